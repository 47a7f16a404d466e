/* A BERT encoder for AVX2 and better: tokens in, unit vectors out. The products, nearly all of the
 * work, are in encoder_kernel_dense.h.
 *
 * A chunk of a few texts goes through all layers on one thread, without a barrier; there is no
 * padding. Widths are multiples of 16, and so is the width of a head: there are no tail loops.
 * This file knows nothing of files or tokenizers; encoder_kernel.py has checked what it is given.
 */
#define _GNU_SOURCE /* affinity */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "encoder_kernel_math.h"
#include "encoder_kernel_dense.h"

enum { CHUNK = 128 };

typedef struct { const float *scale, *shift; } Norm;
typedef struct { Dense qkv, mix; Norm mixed; Dense widen, narrow; Norm out; } Layer;

/* Layout shared with the loader in Python. */
typedef struct {
    int32_t products, layers, width, heads, inner, mean;
    float epsilon;
    const uint16_t *words, *places; /* float16 rows */
    Norm embedded;
    const Layer *layer;
} Model;

typedef struct {
    const Model *model;
    const int32_t *ids, *starts;
    const int32_t *chunks;
    int32_t n_chunks;
    atomic_int next, failed;
    float *out;
} Job;

/* Of one thread: the tokens between two layers, their wide form, and quantised rows. */
typedef struct { float *x, *wide, *keys, *scores, *row_scale; int16_t *row; } Scratch;

/* ---- rows ---- */

static void gelu(float *x, size_t n) {
    for (size_t i = 0; i < n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i), h = _mm256_mul_ps(v, _mm256_set1_ps(0.5f));
        __m256 e = erf8(_mm256_mul_ps(v, _mm256_set1_ps(0.70710678f)));
        _mm256_storeu_ps(x + i, _mm256_fmadd_ps(h, e, h));
    }
}

static void normalise(float *x, int n, Norm norm, float eps) {
    __m256 s = _mm256_setzero_ps(), ss = _mm256_setzero_ps();
    for (int i = 0; i < n; i += 8) s = _mm256_add_ps(s, _mm256_loadu_ps(x + i));
    __m256 mean = _mm256_set1_ps(sum8(s) / n);
    for (int i = 0; i < n; i += 8) {
        __m256 d = _mm256_sub_ps(_mm256_loadu_ps(x + i), mean);
        ss = _mm256_fmadd_ps(d, d, ss);
    }
    __m256 rstd = _mm256_set1_ps(1.0f / sqrtf(sum8(ss) / n + eps));
    for (int i = 0; i < n; i += 8) {
        __m256 d = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), mean), rstd);
        __m256 scale = _mm256_loadu_ps(norm.scale + i), shift = _mm256_loadu_ps(norm.shift + i);
        _mm256_storeu_ps(x + i, _mm256_fmadd_ps(d, scale, shift));
    }
}

static void normalise_rows(float *x, int n, int width, Norm norm, float epsilon) {
    for (int t = 0; t < n; t++) normalise(x + (size_t)t * width, width, norm, epsilon);
}

/* ---- attention of one text: qkv[n, 3 * width]; the result replaces the queries ---- */

/* Raises e to n scores, less the largest, with zeros up to a multiple of 8; returns the sum. */
static float exponentials(float *scores, int n) {
    __m256 top = _mm256_set1_ps(-INFINITY), total = _mm256_setzero_ps();
    for (int j = n; j % 8; j++) scores[j] = -INFINITY;
    for (int j = 0; j < n; j += 8) top = _mm256_max_ps(top, _mm256_loadu_ps(scores + j));
    const __m256 most = _mm256_set1_ps(max8(top));
    for (int j = 0; j < n; j += 8) {
        __m256 e = exp8(_mm256_sub_ps(_mm256_loadu_ps(scores + j), most));
        total = _mm256_add_ps(total, e);
        _mm256_storeu_ps(scores + j, e);
    }
    return sum8(total);
}

static void attend(float *qkv, int n, int width, int heads, float *keys, float *scores) {
    const int d = width / heads, step = 3 * width, cells = (n + 7) / 8 * 8;
    const float scale = 1.0f / sqrtf((float)d);
    for (int h = 0; h < heads; h++) {
        float *q = qkv + h * d;
        const float *k = q + width, *v = q + 2 * width;
        for (int i = 0; i < d; i++) {
            for (int j = 0; j < n; j++) keys[i * cells + j] = k[(size_t)j * step + i];
            for (int j = n; j < cells; j++) keys[i * cells + j] = 0;
        }
        for (int r = 0; r < n; r++, q += step) {
            for (int j = 0; j < cells; j += 8) {
                __m256 a = _mm256_setzero_ps(), b = a;
                const float *key = keys + j;
                for (int i = 0; i < d; i += 2, key += 2 * cells) {
                    a = _mm256_fmadd_ps(_mm256_set1_ps(q[i]), _mm256_loadu_ps(key), a);
                    b = _mm256_fmadd_ps(_mm256_set1_ps(q[i + 1]), _mm256_loadu_ps(key + cells), b);
                }
                a = _mm256_mul_ps(_mm256_add_ps(a, b), _mm256_set1_ps(scale));
                _mm256_storeu_ps(scores + j, a);
            }
            __m256 part = _mm256_set1_ps(1.0f / exponentials(scores, n));
            for (int i = 0; i < d; i += 16) {
                __m256 a = _mm256_setzero_ps(), b = a;
                for (int j = 0; j < n; j++) {
                    __m256 p = _mm256_set1_ps(scores[j]);
                    a = _mm256_fmadd_ps(p, _mm256_loadu_ps(v + (size_t)j * step + i), a);
                    b = _mm256_fmadd_ps(p, _mm256_loadu_ps(v + (size_t)j * step + i + 8), b);
                }
                _mm256_storeu_ps(q + i, _mm256_mul_ps(a, part));
                _mm256_storeu_ps(q + i + 8, _mm256_mul_ps(b, part));
            }
        }
    }
}

/* ---- a chunk: texts [from, to) through all layers ---- */

static void embed(const Model *m, const int32_t *ids, int n, float *x) {
    for (int t = 0; t < n; t++, x += m->width) {
        const uint16_t *a = m->words + (size_t)ids[t] * m->width;
        const uint16_t *b = m->places + (size_t)t * m->width;
        for (int i = 0; i < m->width; i += 8) {
            __m256 u = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(a + i)));
            __m256 v = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(b + i)));
            _mm256_storeu_ps(x + i, _mm256_add_ps(u, v));
        }
        normalise(x, m->width, m->embedded, m->epsilon);
    }
}

static void pool(const Model *m, const float *x, int n, float *out) {
    const int width = m->width;
    memcpy(out, x, width * sizeof *out);
    for (int t = 1; m->mean && t < n; t++)
        for (int i = 0; i < width; i++) out[i] += x[(size_t)t * width + i];
    float square = 0;
    for (int i = 0; i < width; i++) square += out[i] * out[i];
    float factor = 1.0f / sqrtf(square > 1e-24f ? square : 1e-24f);
    for (int i = 0; i < width; i++) out[i] *= factor;
}

static void layer(const Model *m, const Layer *l, const int32_t *starts, int texts, Scratch s) {
    const int p = m->products, width = m->width, inner = m->inner, n = starts[texts] - starts[0];
    quantise_rows(p, s.x, n, width, width, s.row, s.row_scale);
    dense(p, s.row, s.row_scale, n, width, l->qkv, s.wide, 3 * width, 0);
    for (int t = 0; t < texts; t++) {
        float *qkv = s.wide + (size_t)(starts[t] - starts[0]) * 3 * width;
        attend(qkv, starts[t + 1] - starts[t], width, m->heads, s.keys, s.scores);
    }
    quantise_rows(p, s.wide, n, width, 3 * width, s.row, s.row_scale);
    dense(p, s.row, s.row_scale, n, width, l->mix, s.x, width, 1);
    normalise_rows(s.x, n, width, l->mixed, m->epsilon);
    quantise_rows(p, s.x, n, width, width, s.row, s.row_scale);
    dense(p, s.row, s.row_scale, n, width, l->widen, s.wide, inner, 0);
    gelu(s.wide, (size_t)n * inner);
    quantise_rows(p, s.wide, n, inner, inner, s.row, s.row_scale);
    dense(p, s.row, s.row_scale, n, inner, l->narrow, s.x, width, 1);
    normalise_rows(s.x, n, width, l->out, m->epsilon);
}

static void run(const Job *job, int from, int to, Scratch s) {
    const Model *m = job->model;
    const int32_t *starts = job->starts;
    for (int t = from; t < to; t++) {
        float *x = s.x + (size_t)(starts[t] - starts[from]) * m->width;
        embed(m, job->ids + starts[t], starts[t + 1] - starts[t], x);
    }
    for (const Layer *l = m->layer; l < m->layer + m->layers; l++)
        layer(m, l, starts + from, to - from, s);
    for (int t = from; t < to; t++) {
        const float *x = s.x + (size_t)(starts[t] - starts[from]) * m->width;
        pool(m, x, starts[t + 1] - starts[t], job->out + (size_t)t * m->width);
    }
}

/* ---- chunks over threads ---- */

static void *aligned(size_t count, size_t size) {
    return aligned_alloc(64, (count * size + 63) / 64 * 64);
}

static void *work(void *argument) {
    Job *job = argument;
    const Model *m = job->model;
    int most = 0, longest = 0, widest = 3 * m->width > m->inner ? 3 * m->width : m->inner;
    for (int c = 0; c < job->n_chunks; c++) {
        int tokens = job->starts[job->chunks[c + 1]] - job->starts[job->chunks[c]];
        if (tokens > most) most = tokens;
        for (int t = job->chunks[c]; t < job->chunks[c + 1]; t++) {
            int length = job->starts[t + 1] - job->starts[t];
            if (length > longest) longest = length;
        }
    }
    longest = (longest + 7) / 8 * 8;
    Scratch s = {
        .x = aligned((size_t)most * m->width, sizeof(float)),
        .wide = aligned((size_t)most * widest, sizeof(float)),
        .keys = aligned((size_t)longest * (m->width / m->heads), sizeof(float)),
        .scores = aligned(longest, sizeof(float)),
        .row_scale = aligned(most, sizeof(float)),
        .row = aligned((size_t)rows_of_tiles(most) * (m->inner > m->width ? m->inner : m->width),
                       sizeof(int16_t)),
    };
    if (s.x && s.wide && s.keys && s.scores && s.row_scale && s.row) {
        if (m->products == AMX) take_tiles();
        for (int c; (c = atomic_fetch_add(&job->next, 1)) < job->n_chunks;)
            run(job, job->chunks[c], job->chunks[c + 1], s);
        if (m->products == AMX) leave_tiles();
    } else
        atomic_store(&job->failed, 1);
    free(s.x), free(s.wide), free(s.keys), free(s.scores), free(s.row_scale), free(s.row);
    return NULL;
}

/* A scheduler that packs threads onto few cores would queue a short one behind its caller. */
static void keep_off_this_core(pthread_attr_t *attributes) {
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) || CPU_COUNT(&cores) < 2) return;
    CPU_CLR(sched_getcpu(), &cores);
    pthread_attr_setaffinity_np(attributes, sizeof cores, &cores);
}

/* Encodes `texts` texts, text t being ids[starts[t]] to ids[starts[t + 1]] (at least one token).
 * Returns 0, or 1 without memory. */
int encode(const Model *m, const int32_t *ids, const int32_t *starts, int32_t texts, float *out,
           int32_t threads) {
    int32_t *chunks = malloc((texts + 1) * sizeof *chunks);
    if (!chunks) return 1;
    const int32_t total = starts[texts], rounds = (total + threads * CHUNK - 1) / (threads * CHUNK);
    const int32_t want = rounds > 0 ? (total + rounds * threads - 1) / (rounds * threads) : 1;
    Job job = {.model = m, .ids = ids, .starts = starts, .chunks = chunks, .out = out};
    for (int t = 0; t < texts;) {
        /* Ends as near as whole texts allow to an equal share of the tokens. */
        chunks[job.n_chunks++] = t;
        int64_t goal = starts[t] + want;
        for (t++; t < texts && (int64_t)starts[t] + starts[t + 1] <= 2 * goal; t++) {}
    }
    chunks[job.n_chunks] = texts;
    pthread_t others[64];
    pthread_attr_t elsewhere;
    int n = 0;
    if (pthread_attr_init(&elsewhere)) return free(chunks), 1;
    keep_off_this_core(&elsewhere);
    for (; n < 64 && n + 1 < threads && n + 1 < job.n_chunks; n++)
        if (pthread_create(&others[n], &elsewhere, work, &job)) break;
    work(&job);
    while (n) pthread_join(others[--n], NULL);
    pthread_attr_destroy(&elsewhere);
    free(chunks);
    return atomic_load(&job.failed);
}
