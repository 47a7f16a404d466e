/* A BERT encoder for AVX2 and better: token numbers in, unit vectors out. Most of the work are the
 * products of dense layers, in encoder_dense.h.
 *
 * A chunk of a few texts goes through all layers on one thread, without a barrier. Its tokens lie
 * end to end, without padding. Widths are multiples of 16, and so is the width of a head: there are
 * no loops for remainders. encoder.py has checked all that this file is given.
 */
#define _GNU_SOURCE /* for CPU_CLR and sched_getcpu */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "instruction_set.h"
#include "shared.h"
#include "vector_math.h"
/* After those that it uses. */
#include "encoder_dense.h"

/* Tokens of a chunk at most, or one text: many enough that each weight that is read is used often,
 * few enough that a batch becomes a chunk for each thread. Other sizes gained nothing. */
enum { CHUNK = 128 };
/* Threads of a call at most, beside the calling one. */
enum { MAX_HELPERS = 64 };

typedef struct { const float *scale, *shift; } Norm;
typedef struct { Dense qkv, mix; Norm mixed; Dense widen, narrow; Norm out; } Layer;

/* How the vectors of a text's tokens become one: the first, their mean, or their mean with weights
 * that grow with the position. */
enum { FIRST_TOKEN, MEAN, WEIGHTED_MEAN };

typedef struct {
    int32_t instruction_set, layers, width, heads, inner, pooling;
    float epsilon;
    const uint16_t *words, *places; /* float16 rows of the vocabulary, and of the positions */
    Norm embedded;
    const Layer *layer;
} Model;

const Shared encoder_shared[] = {
    SHARED_CONSTANT(BLOCK), SHARED_CONSTANT(PANEL), SHARED_CONSTANT(GROUP),
    SHARED_STRUCT(Dense), SHARED_FIELD(Dense, weight), SHARED_FIELD(Dense, scale),
    SHARED_FIELD(Dense, sums), SHARED_FIELD(Dense, factor), SHARED_FIELD(Dense, bias),
    SHARED_STRUCT(Norm), SHARED_FIELD(Norm, scale), SHARED_FIELD(Norm, shift),
    SHARED_STRUCT(Layer), SHARED_FIELD(Layer, qkv), SHARED_FIELD(Layer, mix),
    SHARED_FIELD(Layer, mixed), SHARED_FIELD(Layer, widen), SHARED_FIELD(Layer, narrow),
    SHARED_FIELD(Layer, out),
    SHARED_STRUCT(Model), SHARED_FIELD(Model, instruction_set), SHARED_FIELD(Model, layers),
    SHARED_FIELD(Model, width), SHARED_FIELD(Model, heads), SHARED_FIELD(Model, inner),
    SHARED_FIELD(Model, pooling), SHARED_FIELD(Model, epsilon), SHARED_FIELD(Model, words),
    SHARED_FIELD(Model, places), SHARED_FIELD(Model, embedded), SHARED_FIELD(Model, layer),
    SHARED_END,
};

/* One call: chunk c has the texts from chunks[c] to chunks[c + 1]; threads take the next one. */

typedef struct {
    const Model *model;
    const int32_t *ids, *starts;
    const int32_t *chunks;
    int32_t n_chunks;
    atomic_int next, failed;
    float *out;
} Job;

/* Buffers of one thread: tokens [n, width], tokens within a layer [n, 3 * width or inner], scores
 * of one query [n, heads], and the input of a product. */
typedef struct { float *x, *wide, *scores; Rows rows; } Scratch;

static int round_up_to_8(int n) { return (n + 7) / 8 * 8; }

/* ---- Operations on rows ---- */

static void gelu(float *x, int n) {
    const __m256 half = _mm256_set1_ps(0.5f);
    for (int i = 0; i < n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i), h = _mm256_mul_ps(v, half);
        _mm256_storeu_ps(x + i, _mm256_fmadd_ps(h, erf8(v), h));
    }
}

/* The sum of the squared differences from the mean, in two sums at once: an addition waits for the
 * one before it in the same sum. */
static float squared_differences(const float *x, int n, __m256 mean) {
    __m256 a = _mm256_setzero_ps(), b = a;
    for (int i = 0; i < n; i += 16) {
        __m256 u = _mm256_sub_ps(_mm256_loadu_ps(x + i), mean);
        __m256 v = _mm256_sub_ps(_mm256_loadu_ps(x + i + 8), mean);
        a = _mm256_fmadd_ps(u, u, a), b = _mm256_fmadd_ps(v, v, b);
    }
    return sum8(_mm256_add_ps(a, b));
}

static void layer_norm(float *x, int n, Norm norm, float epsilon) {
    __m256 a = _mm256_setzero_ps(), b = a;
    for (int i = 0; i < n; i += 16) {
        a = _mm256_add_ps(a, _mm256_loadu_ps(x + i));
        b = _mm256_add_ps(b, _mm256_loadu_ps(x + i + 8));
    }
    const __m256 mean = _mm256_set1_ps(sum8(_mm256_add_ps(a, b)) / n);
    const float variance = squared_differences(x, n, mean) / n;
    const __m256 inverse = _mm256_set1_ps(1.0f / sqrtf(variance + epsilon));
    for (int i = 0; i < n; i += 8) {
        __m256 d = _mm256_mul_ps(_mm256_sub_ps(_mm256_loadu_ps(x + i), mean), inverse);
        __m256 scale = _mm256_loadu_ps(norm.scale + i), shift = _mm256_loadu_ps(norm.shift + i);
        _mm256_storeu_ps(x + i, _mm256_fmadd_ps(d, scale, shift));
    }
}

/* ---- Attention of one text ---- */

/* scores: for each head the inner product of a query and a key, divided by sqrt(d), eight heads at
 * a time. Heads beyond the last, up to a multiple of eight, get 0. */
static void attention_scores(const float *q, const float *k, int heads, int d, float *scores) {
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

/* The softmax over n of scores[n, cells], for each cell, a head, by itself. */
static void softmax(float *scores, int n, int cells) {
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
        const __m256 factor = _mm256_div_ps(_mm256_set1_ps(1), total);
        for (int j = 0; j < n; j++) {
            float *at = scores + j * cells + h;
            _mm256_storeu_ps(at, _mm256_mul_ps(_mm256_loadu_ps(at), factor));
        }
    }
}

/* qkv[n, 3 * width]: queries, keys and values of each token; the result replaces the queries. */
static void attention(float *qkv, int n, int width, int heads, float *scores) {
    const int d = width / heads, step = 3 * width, cells = round_up_to_8(heads);
    const float *k = qkv + width, *v = qkv + 2 * width;
    for (float *q = qkv; q < qkv + (size_t)n * step; q += step) {
        for (int j = 0; j < n; j++)
            attention_scores(q, k + (size_t)j * step, heads, d, scores + j * cells);
        softmax(scores, n, cells);
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

/* ---- A chunk: the texts [from, to) through all layers ---- */

static void embed(const Model *m, const int32_t *ids, int n, float *x) {
    for (int t = 0; t < n; t++, x += m->width) {
        const uint16_t *a = m->words + (size_t)ids[t] * m->width;
        const uint16_t *b = m->places + (size_t)t * m->width;
        for (int i = 0; i < m->width; i += 8) {
            __m256 u = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(a + i)));
            __m256 v = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(b + i)));
            _mm256_storeu_ps(x + i, _mm256_add_ps(u, v));
        }
        layer_norm(x, m->width, m->embedded, m->epsilon);
    }
}

/* out: the first token of x[n, width], or the mean of all, at unit norm. A sum has the direction of
 * the mean, so nothing is divided by n. 1e-24 keeps a vector of 0 from dividing by 0. */
static void pool(const Model *m, const float *x, int n, float *out) {
    const int width = m->width;
    memcpy(out, x, width * sizeof *out);
    for (int t = 1; m->pooling != FIRST_TOKEN && t < n; t++) {
        const float weight = m->pooling == WEIGHTED_MEAN ? (float)(t + 1) : 1.0f;
        for (int i = 0; i < width; i++) out[i] += weight * x[(size_t)t * width + i];
    }
    float square = 0;
    for (int i = 0; i < width; i++) square += out[i] * out[i];
    float factor = 1.0f / sqrtf(square > 1e-24f ? square : 1e-24f);
    for (int i = 0; i < width; i++) out[i] *= factor;
}

/* What is done to a row between two products, normalising or GELU and rounding, is done row by row,
 * while it lies in the nearest cache. */
static void transformer_layer(const Model *m, const Layer *l, const int32_t *starts, int texts,
                              Scratch s) {
    const int set = m->instruction_set, width = m->width, inner = m->inner;
    const int n = starts[texts] - starts[0];
    float *row = s.x;
    for (int t = 0; t < n; t++, row += width) quantise_row(row, t, width, l->qkv, s.rows);
    dense(set, s.rows, n, width, l->qkv, s.wide, 3 * width, 0);
    for (int t = 0; t < texts; t++) {
        float *qkv = s.wide + (size_t)(starts[t] - starts[0]) * 3 * width;
        attention(qkv, starts[t + 1] - starts[t], width, m->heads, s.scores);
    }
    row = s.wide;
    for (int t = 0; t < n; t++, row += 3 * width) quantise_row(row, t, width, l->mix, s.rows);
    dense(set, s.rows, n, width, l->mix, s.x, width, 1);
    row = s.x;
    for (int t = 0; t < n; t++, row += width) {
        layer_norm(row, width, l->mixed, m->epsilon);
        quantise_row(row, t, width, l->widen, s.rows);
    }
    dense(set, s.rows, n, width, l->widen, s.wide, inner, 0);
    row = s.wide;
    for (int t = 0; t < n; t++, row += inner) {
        gelu(row, inner);
        quantise_row(row, t, inner, l->narrow, s.rows);
    }
    dense(set, s.rows, n, inner, l->narrow, s.x, width, 1);
    row = s.x;
    for (int t = 0; t < n; t++, row += width) layer_norm(row, width, l->out, m->epsilon);
}

static void encode_chunk(const Job *job, int from, int to, Scratch s) {
    const Model *m = job->model;
    const int32_t *starts = job->starts;
    for (int t = from; t < to; t++) {
        float *x = s.x + (size_t)(starts[t] - starts[from]) * m->width;
        embed(m, job->ids + starts[t], starts[t + 1] - starts[t], x);
    }
    for (const Layer *l = m->layer; l < m->layer + m->layers; l++)
        transformer_layer(m, l, starts + from, to - from, s);
    for (int t = from; t < to; t++) {
        const float *x = s.x + (size_t)(starts[t] - starts[from]) * m->width;
        pool(m, x, starts[t + 1] - starts[t], job->out + (size_t)t * m->width);
    }
}

/* ---- Chunks over threads ---- */

static void *aligned(size_t count, size_t size) {
    return aligned_alloc(64, (count * size + 63) / 64 * 64);
}

/* What each thread runs: allocates its buffers, and encodes chunks until there are none. */
static void *encode_chunks(void *argument) {
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
        .scores = aligned((size_t)longest * round_up_to_8(m->heads), sizeof(float)),
        .rows = {
            .bytes = aligned(tile_rows(most), m->inner > m->width ? m->inner : m->width),
            .scale = aligned(most, sizeof(float)),
            .least = aligned(most, sizeof(float)),
        },
    };
    Rows rows = s.rows;
    if (s.x && s.wide && s.scores && rows.bytes && rows.scale && rows.least) {
        if (m->instruction_set == AMX) configure_tiles();
        for (int c; (c = atomic_fetch_add(&job->next, 1)) < job->n_chunks;)
            encode_chunk(job, job->chunks[c], job->chunks[c + 1], s);
        if (m->instruction_set == AMX) release_tiles();
    } else
        atomic_store(&job->failed, 1);
    free(s.x), free(s.wide), free(s.scores);
    free(rows.bytes), free(rows.scale), free(rows.least);
    return NULL;
}

/* Lets new threads run on any core but this one. A scheduler that packs threads onto few cores
 * would queue such a short one behind its caller, which works on. */
static void avoid_this_core(pthread_attr_t *attributes) {
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores) || CPU_COUNT(&cores) < 2) return;
    CPU_CLR(sched_getcpu(), &cores);
    pthread_attr_setaffinity_np(attributes, sizeof cores, &cores);
}

/* out[texts, width]: the vectors of `texts` texts; text t has the tokens ids[starts[t]] to
 * ids[starts[t + 1]], at least one. threads: with the calling one. Returns 0, or 1 without
 * memory. */
int encode_batch(const Model *m, const int32_t *ids, const int32_t *starts, int32_t texts,
                 float *out, int32_t threads) {
    int32_t *chunks = malloc((texts + 1) * sizeof *chunks);
    if (!chunks) return 1;
    /* As few rounds of one chunk a thread as CHUNK allows, and in them all chunks of equal size, so
     * that no thread waits for another. */
    const int32_t total = starts[texts], rounds = (total + threads * CHUNK - 1) / (threads * CHUNK);
    const int32_t size = rounds > 0 ? (total + rounds * threads - 1) / (rounds * threads) : 1;
    Job job = {.model = m, .ids = ids, .starts = starts, .chunks = chunks, .out = out};
    for (int t = 0; t < texts;) {
        /* A chunk ends at the end of the text that is nearest to its size. */
        chunks[job.n_chunks++] = t;
        int64_t goal = starts[t] + size;
        for (t++; t < texts && (int64_t)starts[t] + starts[t + 1] <= 2 * goal; t++) {}
    }
    chunks[job.n_chunks] = texts;
    pthread_t helpers[MAX_HELPERS];
    pthread_attr_t elsewhere;
    int n = 0;
    if (pthread_attr_init(&elsewhere)) return free(chunks), 1;
    avoid_this_core(&elsewhere);
    for (; n < MAX_HELPERS && n + 1 < threads && n + 1 < job.n_chunks; n++)
        if (pthread_create(&helpers[n], &elsewhere, encode_chunks, &job)) break;
    encode_chunks(&job);
    while (n) pthread_join(helpers[--n], NULL);
    pthread_attr_destroy(&elsewhere);
    free(chunks);
    return atomic_load(&job.failed);
}
