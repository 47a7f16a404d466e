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

#include "encoder_math.h"
#include "isa.h"
#include "encoder_dense.h"

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

/* Of one thread: the tokens between two layers, their wide form, and what a product takes. */
typedef struct { float *x, *wide, *scores; Rows rows; } Scratch;

static int eights(int n) { return (n + 7) / 8 * 8; }

/* ---- rows ---- */

static void gelu(float *x, int n) {
    const __m256 half = _mm256_set1_ps(0.5f);
    for (int i = 0; i < n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i), h = _mm256_mul_ps(v, half);
        _mm256_storeu_ps(x + i, _mm256_fmadd_ps(h, within8(v), h));
    }
}

/* The sum of squares of how far n values are from `middle`. */
static float squares(const float *x, int n, __m256 middle) {
    __m256 a = _mm256_setzero_ps(), b = a; /* two: an addition waits for the one before */
    for (int i = 0; i < n; i += 16) {
        __m256 u = _mm256_sub_ps(_mm256_loadu_ps(x + i), middle);
        __m256 v = _mm256_sub_ps(_mm256_loadu_ps(x + i + 8), middle);
        a = _mm256_fmadd_ps(u, u, a), b = _mm256_fmadd_ps(v, v, b);
    }
    return sum8(_mm256_add_ps(a, b));
}

static void normalise(float *x, int n, Norm norm, float eps) {
    __m256 a = _mm256_setzero_ps(), b = a;
    for (int i = 0; i < n; i += 16) {
        a = _mm256_add_ps(a, _mm256_loadu_ps(x + i));
        b = _mm256_add_ps(b, _mm256_loadu_ps(x + i + 8));
    }
    const __m256 middle = _mm256_set1_ps(sum8(_mm256_add_ps(a, b)) / n);
    const __m256 rstd = _mm256_set1_ps(1.0f / sqrtf(squares(x, n, middle) / n + eps));
    for (int i = 0; i < n; i += 8) {
        __m256 d = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), middle), rstd);
        __m256 scale = _mm256_loadu_ps(norm.scale + i), shift = _mm256_loadu_ps(norm.shift + i);
        _mm256_storeu_ps(x + i, _mm256_fmadd_ps(d, scale, shift));
    }
}

/* ---- attention of one text: qkv[n, 3 * width]; the result replaces the queries ---- */

/* The products of a query with a key: one of each head, eight heads at a time. */
static void agree(const float *q, const float *k, int heads, int d, float *scores) {
    const __m256 scale = _mm256_set1_ps(1.0f / sqrtf((float)d));
    for (int first = 0; first < heads; first += 8) {
        __m256 of[8];
        for (int h = 0; h < 8; h++) {
            of[h] = _mm256_setzero_ps();
            for (int i = (first + h) * d; first + h < heads && i < (first + h + 1) * d; i += 8)
                of[h] = _mm256_fmadd_ps(_mm256_loadu_ps(q + i), _mm256_loadu_ps(k + i), of[h]);
        }
        _mm256_storeu_ps(scores + first, _mm256_mul_ps(sums8(of), scale));
    }
}

/* Raises e to the scores[n, cells], less the largest of each head, and divides by their sum. */
static void share(float *scores, int n, int cells) {
    for (int h = 0; h < cells; h += 8) {
        __m256 top = _mm256_set1_ps(-INFINITY), total = _mm256_setzero_ps();
        for (int j = 0; j < n; j++)
            top = _mm256_max_ps(top, _mm256_loadu_ps(scores + j * cells + h));
        for (int j = 0; j < n; j++) {
            float *at = scores + j * cells + h;
            __m256 e = exp8(_mm256_sub_ps(_mm256_loadu_ps(at), top));
            total = _mm256_add_ps(total, e);
            _mm256_storeu_ps(at, e);
        }
        const __m256 part = _mm256_div_ps(_mm256_set1_ps(1), total);
        for (int j = 0; j < n; j++) {
            float *at = scores + j * cells + h;
            _mm256_storeu_ps(at, _mm256_mul_ps(_mm256_loadu_ps(at), part));
        }
    }
}

static void attend(float *qkv, int n, int width, int heads, float *scores) {
    const int d = width / heads, step = 3 * width, cells = eights(heads);
    const float *k = qkv + width, *v = qkv + 2 * width;
    for (float *q = qkv; q < qkv + (size_t)n * step; q += step) {
        for (int j = 0; j < n; j++)
            agree(q, k + (size_t)j * step, heads, d, scores + j * cells);
        share(scores, n, cells);
        for (int i = 0; i < width; i += 16) {
            const float *of = v + i, *score = scores + i / d;
            __m256 a = _mm256_setzero_ps(), b = a;
            for (int j = 0; j < n; j++, of += step, score += cells) {
                const __m256 p = _mm256_set1_ps(*score);
                a = _mm256_fmadd_ps(p, _mm256_loadu_ps(of), a);
                b = _mm256_fmadd_ps(p, _mm256_loadu_ps(of + 8), b);
            }
            _mm256_storeu_ps(q + i, a), _mm256_storeu_ps(q + i + 8, b);
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

/* What is done to a row is done at once, while it lies in the nearest cache. */
static void layer(const Model *m, const Layer *l, const int32_t *starts, int texts, Scratch s) {
    const int p = m->products, width = m->width, inner = m->inner, n = starts[texts] - starts[0];
    float *row = s.x;
    for (int t = 0; t < n; t++, row += width) take_row(row, t, width, l->qkv, s.rows);
    dense(p, s.rows, n, width, l->qkv, s.wide, 3 * width, 0);
    for (int t = 0; t < texts; t++) {
        float *qkv = s.wide + (size_t)(starts[t] - starts[0]) * 3 * width;
        attend(qkv, starts[t + 1] - starts[t], width, m->heads, s.scores);
    }
    row = s.wide;
    for (int t = 0; t < n; t++, row += 3 * width) take_row(row, t, width, l->mix, s.rows);
    dense(p, s.rows, n, width, l->mix, s.x, width, 1);
    row = s.x;
    for (int t = 0; t < n; t++, row += width) {
        normalise(row, width, l->mixed, m->epsilon);
        take_row(row, t, width, l->widen, s.rows);
    }
    dense(p, s.rows, n, width, l->widen, s.wide, inner, 0);
    row = s.wide;
    for (int t = 0; t < n; t++, row += inner) {
        gelu(row, inner);
        take_row(row, t, inner, l->narrow, s.rows);
    }
    dense(p, s.rows, n, inner, l->narrow, s.x, width, 1);
    row = s.x;
    for (int t = 0; t < n; t++, row += width) normalise(row, width, l->out, m->epsilon);
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
    Scratch s = {
        .x = aligned((size_t)most * m->width, sizeof(float)),
        .wide = aligned((size_t)most * widest, sizeof(float)),
        .scores = aligned((size_t)longest * eights(m->heads), sizeof(float)),
        .rows = {
            .bytes = aligned(rows_of_tiles(most), m->inner > m->width ? m->inner : m->width),
            .scale = aligned(most, sizeof(float)),
            .least = aligned(most, sizeof(float)),
        },
    };
    Rows rows = s.rows;
    if (s.x && s.wide && s.scores && rows.bytes && rows.scale && rows.least) {
        if (m->products == AMX) take_tiles();
        for (int c; (c = atomic_fetch_add(&job->next, 1)) < job->n_chunks;)
            run(job, job->chunks[c], job->chunks[c + 1], s);
        if (m->products == AMX) leave_tiles();
    } else
        atomic_store(&job->failed, 1);
    free(s.x), free(s.wide), free(s.scores);
    free(rows.bytes), free(rows.scale), free(rows.least);
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
