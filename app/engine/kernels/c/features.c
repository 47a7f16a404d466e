/* Features of pairs, a whole batch at a time: app/engine/kernels/features.py says what each of them means, and
 * does the same in numpy. What the scorer was trained on must not depend on which of the two it was.
 *
 * Pointers and lengths are our caller's; rows are checked here.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "encoder_math.h"

enum { RECENT = 20, EIGHTS = 24, KINDS = 8, ITEM = 4 }; /* as RECENT, _TABLE and _ITEM there */
enum { TOTAL, LAST, BEFORE_LAST, HIGHEST, NEWEST_THREE, MEAN, RANK, COUNT };

/* Layout shared with features_kernel.py. */
typedef struct { const int32_t *rows; const float *weights; int64_t items, near; } Table;

typedef struct {
    const Table *tables;
    int64_t n_tables, n_items, dim;
    const float *given, *wanted, *items; /* [n, dim], [n, dim], [ITEM, n] */
    const float *sums;                   /* [RECENT + 1, n_tables + 1, 3, RECENT] */
    const float *log1p;                  /* of every place that a candidate can have */
    int32_t *place;                      /* [n], of each row among the candidates: else -1 */
} Facts;

typedef struct {
    const int64_t *recent, *rows;
    int64_t n_recent, n_rows;
    double log_length;
} Asked;

/* Of one call: lines of `step` floats, a multiple of eight. */
typedef struct {
    float *pairs, *kinds, *given; /* [RECENT, step], [KINDS, step], [dim, EIGHTS] */
    uint64_t *keys, *other;       /* [step] */
    int64_t step;
} Scratch;

/* The products of four candidates with `eights` times eight recent items, given [n, EIGHTS]. */
static inline __attribute__((always_inline)) void taste_tile(
    const int eights, const float *const wanted[4], const float *given, int64_t n,
    float near[4][EIGHTS]) {
    __m256 sum[4][EIGHTS / 8];
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++)
#pragma GCC unroll 3
        for (int e = 0; e < eights; e++) sum[c][e] = _mm256_setzero_ps();
    for (int64_t i = 0; i < n; i++, given += EIGHTS)
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++) {
            const __m256 v = _mm256_set1_ps(wanted[c][i]);
#pragma GCC unroll 3
            for (int e = 0; e < eights; e++)
                sum[c][e] = _mm256_fmadd_ps(v, _mm256_loadu_ps(given + 8 * e), sum[c][e]);
        }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++)
#pragma GCC unroll 3
        for (int e = 0; e < eights; e++) _mm256_storeu_ps(near[c] + 8 * e, sum[c][e]);
}

/* How near each recent item lies to each candidate in the learned space. */
static void taste_pairs(const Facts *f, Asked q, Scratch s) {
    memset(s.given, 0, f->dim * EIGHTS * sizeof *s.given);
    for (int64_t r = 0; r < q.n_recent; r++)
        for (int64_t i = 0; i < f->dim; i++)
            s.given[i * EIGHTS + r] = f->given[q.recent[r] * f->dim + i];
    for (int64_t x = 0; x < s.step; x += 4) {
        const float *wanted[4]; /* the last one again, up to whole fours */
        float near[4][EIGHTS];
        for (int c = 0; c < 4; c++)
            wanted[c] = f->wanted + q.rows[x + c < q.n_rows ? x + c : q.n_rows - 1] * f->dim;
        if (q.n_recent <= 8) taste_tile(1, wanted, s.given, f->dim, near);
        else if (q.n_recent <= 16) taste_tile(2, wanted, s.given, f->dim, near);
        else taste_tile(3, wanted, s.given, f->dim, near);
        for (int64_t r = 0; r < q.n_recent; r++)
            for (int c = 0; c < 4; c++) s.pairs[r * s.step + x + c] = near[c][r];
    }
}

/* The same by a table of neighbours. Backwards: of two places of one the nearer counts. */
static void table_pairs(const Facts *f, Table table, Asked q, Scratch s) {
    memset(s.pairs, 0, q.n_recent * s.step * sizeof *s.pairs);
    for (int64_t r = 0; r < q.n_recent; r++) {
        if (q.recent[r] >= table.items) continue; /* it came after the table was made */
        const int32_t *rows = table.rows + q.recent[r] * table.near;
        const float *weights = table.weights + q.recent[r] * table.near;
        for (int64_t j = table.near; j-- > 0;) {
            if (!(weights[j] > 0) || rows[j] < 0 || rows[j] >= f->n_items) continue;
            const int32_t at = f->place[rows[j]];
            if (at >= 0) s.pairs[r * s.step + at] = weights[j];
        }
    }
}

/* All kinds but the ranks. What lies beyond the candidates comes to nothing of theirs. */
static void add_up(const float *sums, int64_t n_recent, Scratch s) {
    for (int64_t x = 0; x < s.step; x += 8) {
        __m256 sum[3], highest = _mm256_set1_ps(-INFINITY);
        __m256i count = _mm256_setzero_si256();
        for (int k = 0; k < 3; k++) sum[k] = _mm256_setzero_ps();
        for (int64_t r = 0; r < n_recent; r++) {
            const __m256 v = _mm256_loadu_ps(s.pairs + r * s.step + x);
            for (int k = 0; k < 3; k++)
                sum[k] = _mm256_fmadd_ps(v, _mm256_set1_ps(sums[k * RECENT + r]), sum[k]);
            highest = _mm256_max_ps(highest, v);
            const __m256 more = _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ);
            count = _mm256_sub_epi32(count, _mm256_castps_si256(more));
        }
        float *to = s.kinds + x;
        _mm256_storeu_ps(to + TOTAL * s.step, sum[0]);
        _mm256_storeu_ps(to + NEWEST_THREE * s.step, sum[1]);
        _mm256_storeu_ps(to + MEAN * s.step, sum[2]);
        _mm256_storeu_ps(to + HIGHEST * s.step, highest);
        _mm256_storeu_ps(to + COUNT * s.step, _mm256_cvtepi32_ps(count));
    }
    const size_t line = s.step * sizeof *s.pairs;
    memcpy(s.kinds + LAST * s.step, s.pairs, line);
    if (n_recent > 1) memcpy(s.kinds + BEFORE_LAST * s.step, s.pairs + s.step, line);
    else memset(s.kinds + BEFORE_LAST * s.step, 0, line);
}

/* Sorts by the upper halves; what is equal keeps its order. */
static void sort(uint64_t *keys, uint64_t *other, int64_t n) {
    for (int shift = 32; shift < 64; shift += 8) {
        int64_t starts[257] = {0};
        for (int64_t i = 0; i < n; i++) starts[(keys[i] >> shift & 255) + 1]++;
        for (int digit = 0; digit < 256; digit++) starts[digit + 1] += starts[digit];
        for (int64_t i = 0; i < n; i++) other[starts[keys[i] >> shift & 255]++] = keys[i];
        uint64_t *swap = keys;
        keys = other, other = swap;
    }
}

/* log(1 + how many values are higher): see `log_ranks`. */
static void rank(const float *values, int64_t n, const float *log1p, Scratch s, float *out) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        bits = bits >> 31 ? bits : ~bits & 0x7FFFFFFF; /* the highest value is the lowest number */
        s.keys[i] = (uint64_t)bits << 32 | (uint32_t)i;
    }
    sort(s.keys, s.other, n);
    const float first = values[(uint32_t)s.keys[0]], last = values[(uint32_t)s.keys[n - 1]];
    const float least = 1e-6f * fmaxf(fabsf(first), fabsf(last));
    float before = first;
    int64_t higher = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t at = (uint32_t)s.keys[i];
        if (before - values[at] > least) higher = i;
        before = values[at], out[at] = log1p[higher];
    }
}

static float highest_of(const float *values, int64_t n) {
    float found = values[0];
    for (int64_t i = 1; i < n; i++) found = fmaxf(found, values[i]);
    return found;
}

/* As `TasteSpace.user`: what the sum of weighted recent items is divided by. */
static float length_of_user(const float *given, int64_t dim, const float *recency, int64_t n) {
    float square = 0;
    for (int64_t i = 0; i < dim; i++, given += EIGHTS) {
        float sum = 0;
        for (int64_t r = 0; r < n; r++) sum += recency[r] * given[r];
        square += sum * sum;
    }
    return fmaxf(sqrtf(square), 1e-9f);
}

/* The columns of one request, from `out` on, in lines that lie `n` apart. */
static void describe(const Facts *f, Asked q, Scratch s, float *out, int64_t n) {
    const size_t bytes = q.n_rows * sizeof *out;
    float highest[2] = {0}; /* totals of the first table, and of taste */
    s.step = (q.n_rows + 7) / 8 * 8;
    for (int64_t x = 0; x < q.n_rows; x++) f->place[q.rows[x]] = (int32_t)x;
    for (int64_t t = 0; t <= f->n_tables; t++) {
        const int taste = t == f->n_tables;
        const float *sums = f->sums + (q.n_recent * (f->n_tables + 1) + t) * 3 * RECENT;
        if (taste) taste_pairs(f, q, s);
        else table_pairs(f, f->tables[t], q, s);
        add_up(sums, q.n_recent, s);
        if (taste) {
            const float length = length_of_user(s.given, f->dim, sums, q.n_recent);
            for (int64_t x = 0; x < q.n_rows; x++) s.kinds[x] /= length;
        }
        rank(s.kinds, q.n_rows, f->log1p, s, s.kinds + RANK * s.step);
        for (int kind = 0; kind < KINDS - taste; kind++, out += n)
            memcpy(out, s.kinds + kind * s.step, bytes);
        if (!t || taste) highest[taste] = highest_of(s.kinds, q.n_rows);
    }
    for (int64_t x = 0; x < q.n_rows; x++) f->place[q.rows[x]] = -1;
    for (int i = 0; i < ITEM; i++, out += n)
        for (int64_t x = 0; x < q.n_rows; x++) out[x] = f->items[i * f->n_items + q.rows[x]];
    float mean = 0;
    for (int64_t r = 0; r < q.n_recent; r++) mean += f->items[q.recent[r]] / q.n_recent;
    const float context[] = {
        (float)q.log_length, f->items[q.recent[0]], mean, highest[0], highest[1],
    };
    for (int i = 0; i < 5; i++, out += n)
        for (int64_t x = 0; x < q.n_rows; x++) out[x] = context[i];
}

static int within(const int64_t *rows, int64_t count, int64_t n) {
    for (int64_t i = 0; i < count; i++)
        if (rows[i] < 0 || rows[i] >= n) return 0;
    return 1;
}

/* Writes out[features, n] of all requests, whose candidates are n together; those without have no
 * columns. Returns 0, 1 without memory, 2 for a row that is none of the catalogue's, for nothing
 * taken, or for more candidates than there are rows. */
int describe_all(const Facts *f, const Asked *asked, int64_t requests, float *out, int64_t n) {
    int64_t most = 0;
    for (const Asked *q = asked; q < asked + requests; q++) {
        const int fits = q->n_recent >= 1 && q->n_recent <= RECENT && q->n_rows <= f->n_items;
        if (!fits || !within(q->recent, q->n_recent, f->n_items) ||
            !within(q->rows, q->n_rows, f->n_items))
            return 2;
        if (q->n_rows > most) most = q->n_rows;
    }
    const int64_t step = most / 8 * 8 + 8;
    Scratch s = {
        .pairs = malloc(RECENT * step * sizeof(float)),
        .kinds = malloc(KINDS * step * sizeof(float)),
        .given = malloc(f->dim * EIGHTS * sizeof(float)),
        .keys = malloc(step * sizeof(uint64_t)), .other = malloc(step * sizeof(uint64_t)),
    };
    const int failed = !s.pairs || !s.kinds || !s.given || !s.keys || !s.other;
    for (const Asked *q = asked; !failed && q < asked + requests; out += q->n_rows, q++)
        if (q->n_rows) describe(f, *q, s, out, n);
    free(s.pairs), free(s.kinds), free(s.given), free(s.keys), free(s.other);
    return failed;
}
