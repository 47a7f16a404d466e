/* A BERT encoder for AVX2: tokens in, unit vectors out, with products of 16-bit integers.
 *
 * `vpmaddwd` multiplies twice as many pairs a cycle as a float32 FMA, and 12 bits lose next to
 * nothing. Each row of weights has its own scale and so has each token: a text gives the same bits
 * in every batch. No sum can overflow: the quantised weights of a row add up to at most
 * INT32_MAX / TOKEN_MAX.
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

enum { BLOCK = 512, PANEL = 16, ROWS = 4, FEW = 16, CHUNK = 128, TOKEN_MAX = 4095 };

typedef struct { const int16_t *weight; const float *scale, *bias; } Dense;
typedef struct { const float *scale, *shift; } Norm;
typedef struct { Dense qkv, mix; Norm mixed; Dense widen, narrow; Norm out; } Layer;

/* Layout shared with the loader in Python. */
typedef struct {
    int32_t layers, width, heads, inner, mean;
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

/* Returns the scale of the row: its value is quantised * scale. */
static float quantise(const float *x, int n, int16_t *q) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 top = _mm256_setzero_ps();
    for (int i = 0; i < n; i += 8)
        top = _mm256_max_ps(top, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)));
    float most = max8(top);
    if (!(most > 0)) most = 1;
    __m256 factor = _mm256_set1_ps(TOKEN_MAX / most);
    for (int i = 0; i < n; i += 16) {
        __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor));
        __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i + 8), factor));
        __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
        _mm256_storeu_si256((__m256i *)(q + i), both);
    }
    return most / TOKEN_MAX;
}

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

/* ---- dense: y[m, n] (+)= x[m, k] * weight + bias ---- */

/* A few rows by PANEL columns: as many sums as the registers hold beside what they multiply. */
static inline __attribute__((always_inline)) void tile(
    const int rows, const int few, const int16_t *x, int stride, int k, const int16_t *w,
    const float *sx, const float *scale, const float *bias, float *y, int n, int add) {
    __m256i acc[ROWS][2];
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
#pragma GCC unroll 2
    for (int i = 0; i < k; i += 2, w += 2 * PANEL) {
        if (few) _mm_prefetch((const char *)w + 4096, _MM_HINT_T0);
        __m256i w0 = _mm256_load_si256((const __m256i *)w);
        __m256i w1 = _mm256_load_si256((const __m256i *)(w + PANEL));
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            int32_t pair;
            memcpy(&pair, x + (size_t)r * stride + i, 4);
            __m256i v = _mm256_set1_epi32(pair);
            acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(v, w0));
            acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(v, w1));
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
        for (int half = 0; half < 2; half++) {
            __m256 f = _mm256_mul_ps(_mm256_loadu_ps(scale + 8 * half), _mm256_set1_ps(sx[r]));
            float *to = y + (size_t)r * n + 8 * half;
            __m256 b = _mm256_loadu_ps(bias + 8 * half);
            if (add) b = _mm256_add_ps(b, _mm256_loadu_ps(to));
            _mm256_storeu_ps(to, _mm256_fmadd_ps(_mm256_cvtepi32_ps(acc[r][half]), f, b));
        }
    }
}

/* Asks for the share [from, to) / m of n weights. */
static inline void prefetch(const int16_t *w, int n, int from, int to, int m) {
    for (int i = n * from / m; i < n * to / m; i += 32)
        _mm_prefetch((const char *)(w + i), _MM_HINT_T1);
}

#define TILE(R) \
    case R: tile(R, 0, xr, k, take_k, w, sx + r, d.scale + p, bias, yr, n, more); break; \
    case R + 8: tile(R, 1, xr, k, take_k, w, sx + r, d.scale + p, bias, yr, n, more); break
/* The weights come from far away. Few rows are done with a block before the next one could arrive:
 * they ask for it line by line, a page ahead. */
static void dense(
    const int16_t *x, const float *sx, int m, int k, Dense d, float *y, int n, int add) {
    static const float none[PANEL];
    for (int p = 0; p < n; p += PANEL)
        for (int from = 0, take_k; from < k; from += take_k) {
            take_k = k - from < BLOCK ? k - from : BLOCK;
            const int16_t *w = d.weight + (size_t)p * k + (size_t)from * PANEL;
            const float *bias = from ? none : d.bias + p;
            const int more = add || from;
            for (int r = 0, take; r < m; r += take) {
                int left = m - r;
                take = left >= 2 * ROWS ? ROWS : left > ROWS ? (left + 1) / 2 : left;
                if (m > FEW) prefetch(w + (size_t)take_k * PANEL, take_k * PANEL, r, r + take, m);
                const int16_t *xr = x + (size_t)r * k + from;
                float *yr = y + (size_t)r * n + p;
                switch (take + 8 * (m <= FEW)) { TILE(4); TILE(3); TILE(2); TILE(1); }
            }
        }
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

/* Quantises n rows of x, which lie `step` apart. */
static void quantise_rows(const float *x, int n, int width, int step, Scratch s) {
    for (int t = 0; t < n; t++)
        s.row_scale[t] = quantise(x + (size_t)t * step, width, s.row + (size_t)t * width);
}

static void layer(const Model *m, const Layer *l, const int32_t *starts, int texts, Scratch s) {
    const int width = m->width, inner = m->inner, n = starts[texts] - starts[0];
    quantise_rows(s.x, n, width, width, s);
    dense(s.row, s.row_scale, n, width, l->qkv, s.wide, 3 * width, 0);
    for (int t = 0; t < texts; t++) {
        float *qkv = s.wide + (size_t)(starts[t] - starts[0]) * 3 * width;
        attend(qkv, starts[t + 1] - starts[t], width, m->heads, s.keys, s.scores);
    }
    quantise_rows(s.wide, n, width, 3 * width, s);
    dense(s.row, s.row_scale, n, width, l->mix, s.x, width, 1);
    normalise_rows(s.x, n, width, l->mixed, m->epsilon);
    quantise_rows(s.x, n, width, width, s);
    dense(s.row, s.row_scale, n, width, l->widen, s.wide, inner, 0);
    gelu(s.wide, (size_t)n * inner);
    quantise_rows(s.wide, n, inner, inner, s);
    dense(s.row, s.row_scale, n, inner, l->narrow, s.x, width, 1);
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
        .row = aligned((size_t)most * (m->inner > m->width ? m->inner : m->width), sizeof(int16_t)),
    };
    if (s.x && s.wide && s.keys && s.scores && s.row_scale && s.row)
        for (int c; (c = atomic_fetch_add(&job->next, 1)) < job->n_chunks;)
            run(job, job->chunks[c], job->chunks[c + 1], s);
    else
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

/* Quantises weight float16[n, k] into panels of PANEL columns by pairs of rows; scale float[n]. */
void pack(const uint16_t *weight, int32_t n, int32_t k, int16_t *out, float *scale) {
    for (int c = 0; c < n; c++) {
        const uint16_t *row = weight + (size_t)c * k;
        int16_t *to = out + (size_t)(c / PANEL) * PANEL * k + c % PANEL * 2;
        double sum = 0, top = 0;
        for (int i = 0; i < k; i++) {
            double v = fabs(_cvtsh_ss(row[i]));
            sum += v;
            if (v > top) top = v;
        }
        /* Rounding adds at most a half to each of the k. */
        double factor = sum > 0 ? ((double)INT32_MAX / TOKEN_MAX - k * 0.5) / sum : 1;
        if (factor * top > INT16_MAX) factor = INT16_MAX / top;
        for (int i = 0; i < k; i++) {
            long rounded = lrint(_cvtsh_ss(row[i]) * factor);
            to[(size_t)(i / 2) * 2 * PANEL + i % 2] = (int16_t)rounded;
        }
        scale[c] = (float)(1 / factor);
    }
}
