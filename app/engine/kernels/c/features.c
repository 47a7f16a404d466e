/* Features of candidates, for a whole batch in one call. features.py says what each of them means
 * and does the same in numpy; a scorer must not notice which of the two it gets.
 *
 * Pointers and lengths are our caller's; rows are checked in `features_batch`.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ranks.h"
#include "shared.h"
#include "vector_math.h"

/* The features of a table, in order; of taste all but COUNT. */
enum { TOTAL, LAST, BEFORE_LAST, HIGHEST, NEWEST_THREE, MEAN, RANK, COUNT, TABLE_FEATURES };
enum { RECENT = 20, TASTE_FEATURES = COUNT, ITEM_FEATURES = 4, USER_FEATURES = 5 };
enum { OUT_OF_MEMORY = 1, INVALID_ROWS = 2 };
/* RECENT, rounded up to whole registers of eight floats. */
enum { PADDED_RECENT = (RECENT + 7) / 8 * 8 };

/* [n_rows, n_neighbours]; a neighbour of weight 0 is padding. */
typedef struct {
    const int32_t *rows;
    const float *weights;
    int64_t n_rows, n_neighbours;
} NeighbourTable;

typedef struct {
    const NeighbourTable *tables;
    int64_t n_tables, n_items, dim;
    const float *inputs, *targets; /* of taste: [n_items, dim] */
    const float *items;            /* [ITEM_FEATURES, n_items] */
    const float *sums;             /* [RECENT + 1, n_tables + 1, 3, RECENT] */
    const float *log1p;            /* [n_items]: log(1 + n) */
    int32_t *columns;              /* [n_items]: of each row among the candidates, else -1 */
} Catalogue;

typedef struct {
    const int64_t *recent, *rows;
    int64_t n_recent, n_rows;
    double log_length;
} Request;

const Shared features_shared[] = {
    SHARED_STRUCT(NeighbourTable), SHARED_FIELD(NeighbourTable, rows),
    SHARED_FIELD(NeighbourTable, weights), SHARED_FIELD(NeighbourTable, n_rows),
    SHARED_FIELD(NeighbourTable, n_neighbours),
    SHARED_STRUCT(Catalogue), SHARED_FIELD(Catalogue, tables), SHARED_FIELD(Catalogue, n_tables),
    SHARED_FIELD(Catalogue, n_items), SHARED_FIELD(Catalogue, dim), SHARED_FIELD(Catalogue, inputs),
    SHARED_FIELD(Catalogue, targets), SHARED_FIELD(Catalogue, items), SHARED_FIELD(Catalogue, sums),
    SHARED_FIELD(Catalogue, log1p), SHARED_FIELD(Catalogue, columns),
    SHARED_STRUCT(Request), SHARED_FIELD(Request, recent), SHARED_FIELD(Request, rows),
    SHARED_FIELD(Request, n_recent), SHARED_FIELD(Request, n_rows),
    SHARED_FIELD(Request, log_length),
    SHARED_CONSTANT(TOTAL), SHARED_CONSTANT(LAST), SHARED_CONSTANT(BEFORE_LAST),
    SHARED_CONSTANT(HIGHEST), SHARED_CONSTANT(NEWEST_THREE), SHARED_CONSTANT(MEAN),
    SHARED_CONSTANT(RANK), SHARED_CONSTANT(COUNT),
    SHARED_CONSTANT(RECENT), SHARED_CONSTANT(TABLE_FEATURES), SHARED_CONSTANT(TASTE_FEATURES),
    SHARED_CONSTANT(ITEM_FEATURES), SHARED_CONSTANT(USER_FEATURES),
    SHARED_CONSTANT(OUT_OF_MEMORY), SHARED_CONSTANT(INVALID_ROWS),
    SHARED_END,
};

/* Buffers of one call. Lines have `step` floats, the candidates rounded up to whole registers, so
 * that no loop has a remainder. */
typedef struct {
    float *pairs;           /* [RECENT, step] */
    float *features;        /* [TABLE_FEATURES, step] */
    float *inputs;          /* [dim, PADDED_RECENT]: of the recent items, transposed */
    uint64_t *keys, *other; /* [step]: for sorting */
    int64_t step;
} Scratch;

/* ---- How near each recent item is to each candidate ---- */

/* The inner products of four candidates with `eights` times eight recent items, inputs [dim,
 * PADDED_RECENT]. `eights` is a constant at each call, so the compiler unrolls the loops and keeps
 * all sums in registers: 4 * 3 of the 16 that AVX2 has. */
static inline __attribute__((always_inline)) void taste_tile(
    const int eights, const float *const targets[4], const float *inputs, int64_t dim,
    float products[4][PADDED_RECENT]) {
    __m256 sum[4][PADDED_RECENT / 8];
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++)
#pragma GCC unroll 3
        for (int e = 0; e < eights; e++) sum[c][e] = _mm256_setzero_ps();
    for (int64_t i = 0; i < dim; i++, inputs += PADDED_RECENT)
#pragma GCC unroll 4
        for (int c = 0; c < 4; c++) {
            const __m256 v = _mm256_set1_ps(targets[c][i]);
#pragma GCC unroll 3
            for (int e = 0; e < eights; e++)
                sum[c][e] = _mm256_fmadd_ps(v, _mm256_loadu_ps(inputs + 8 * e), sum[c][e]);
        }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++)
#pragma GCC unroll 3
        for (int e = 0; e < eights; e++) _mm256_storeu_ps(products[c] + 8 * e, sum[c][e]);
}

/* pairs: inner products in the space of taste. */
static void taste_pairs(const Catalogue *catalogue, Request q, Scratch s) {
    const int64_t dim = catalogue->dim;
    memset(s.inputs, 0, dim * PADDED_RECENT * sizeof *s.inputs);
    for (int64_t r = 0; r < q.n_recent; r++)
        for (int64_t i = 0; i < dim; i++)
            s.inputs[i * PADDED_RECENT + r] = catalogue->inputs[q.recent[r] * dim + i];
    for (int64_t x = 0; x < s.step; x += 4) {
        const float *targets[4]; /* beyond the candidates the last one again, which is not read */
        float products[4][PADDED_RECENT];
        for (int c = 0; c < 4; c++) {
            const int64_t candidate = x + c < q.n_rows ? x + c : q.n_rows - 1;
            targets[c] = catalogue->targets + q.rows[candidate] * dim;
        }
        if (q.n_recent <= 8) taste_tile(1, targets, s.inputs, dim, products);
        else if (q.n_recent <= 16) taste_tile(2, targets, s.inputs, dim, products);
        else taste_tile(3, targets, s.inputs, dim, products);
        for (int64_t r = 0; r < q.n_recent; r++)
            for (int c = 0; c < 4; c++) s.pairs[r * s.step + x + c] = products[c][r];
    }
}

/* pairs: weights of neighbours. Backwards, so that of a row that stands twice the first, which has
 * the higher weight, is written last. */
static void table_pairs(const Catalogue *catalogue, NeighbourTable table, Request q, Scratch s) {
    memset(s.pairs, 0, q.n_recent * s.step * sizeof *s.pairs);
    for (int64_t r = 0; r < q.n_recent; r++) {
        if (q.recent[r] >= table.n_rows) continue; /* the item was added after the table was made */
        const int32_t *rows = table.rows + q.recent[r] * table.n_neighbours;
        const float *weights = table.weights + q.recent[r] * table.n_neighbours;
        for (int64_t j = table.n_neighbours; j-- > 0;) {
            if (!(weights[j] > 0) || rows[j] < 0 || rows[j] >= catalogue->n_items) continue;
            const int32_t column = catalogue->columns[rows[j]];
            if (column >= 0) s.pairs[r * s.step + column] = weights[j];
        }
    }
}

/* ---- Features of a table ---- */

/* All but the rank. Columns beyond the candidates are computed as well, and not copied out. */
static void reduce_pairs(const float *sums, int64_t n_recent, Scratch s) {
    for (int64_t x = 0; x < s.step; x += 8) {
        __m256 sum[3], highest = _mm256_set1_ps(-INFINITY);
        __m256i count = _mm256_setzero_si256();
        for (int k = 0; k < 3; k++) sum[k] = _mm256_setzero_ps();
        for (int64_t r = 0; r < n_recent; r++) {
            const __m256 v = _mm256_loadu_ps(s.pairs + r * s.step + x);
            for (int k = 0; k < 3; k++)
                sum[k] = _mm256_fmadd_ps(v, _mm256_set1_ps(sums[k * RECENT + r]), sum[k]);
            highest = _mm256_max_ps(highest, v);
            /* A comparison that holds is all ones, which is -1 as an integer. */
            const __m256 positive = _mm256_cmp_ps(v, _mm256_setzero_ps(), _CMP_GT_OQ);
            count = _mm256_sub_epi32(count, _mm256_castps_si256(positive));
        }
        float *to = s.features + x;
        _mm256_storeu_ps(to + TOTAL * s.step, sum[0]);
        _mm256_storeu_ps(to + NEWEST_THREE * s.step, sum[1]);
        _mm256_storeu_ps(to + MEAN * s.step, sum[2]);
        _mm256_storeu_ps(to + HIGHEST * s.step, highest);
        _mm256_storeu_ps(to + COUNT * s.step, _mm256_cvtepi32_ps(count));
    }
    const size_t line = s.step * sizeof *s.pairs;
    memcpy(s.features + LAST * s.step, s.pairs, line);
    if (n_recent > 1) memcpy(s.features + BEFORE_LAST * s.step, s.pairs + s.step, line);
    else memset(s.features + BEFORE_LAST * s.step, 0, line);
}

static float maximum(const float *values, int64_t n) {
    float highest = values[0];
    for (int64_t i = 1; i < n; i++) highest = fmaxf(highest, values[i]);
    return highest;
}

/* The norm of the weighted sum of n recent items: the total of taste is a cosine, as the user is a
 * unit vector (`TasteSpace.user`). 1e-9 keeps a sum of 0 from dividing by 0. */
static float norm_of_user(const float *inputs, int64_t dim, const float *recency, int64_t n) {
    float square = 0;
    for (int64_t i = 0; i < dim; i++, inputs += PADDED_RECENT) {
        float sum = 0;
        for (int64_t r = 0; r < n; r++) sum += recency[r] * inputs[r];
        square += sum * sum;
    }
    return fmaxf(sqrtf(square), 1e-9f);
}

/* ---- Requests ---- */

/* Writes the columns of one request, from `out` on, in lines that are `n` floats apart. */
static void write_features(const Catalogue *catalogue, Request q, Scratch s, float *out,
                           int64_t n) {
    const size_t bytes = q.n_rows * sizeof *out;
    float highest[2] = {0}; /* totals of the first table, and of taste */
    s.step = (q.n_rows + 7) / 8 * 8;
    const int64_t n_tables = catalogue->n_tables;
    const float *items = catalogue->items; /* its first line is popularity */
    float *total = s.features + TOTAL * s.step;
    for (int64_t x = 0; x < q.n_rows; x++) catalogue->columns[q.rows[x]] = (int32_t)x;
    for (int64_t t = 0; t <= n_tables; t++) {
        const int taste = t == n_tables;
        const float *sums = catalogue->sums + (q.n_recent * (n_tables + 1) + t) * 3 * RECENT;
        if (taste) taste_pairs(catalogue, q, s);
        else table_pairs(catalogue, catalogue->tables[t], q, s);
        reduce_pairs(sums, q.n_recent, s);
        if (taste) {
            const float norm = norm_of_user(s.inputs, catalogue->dim, sums, q.n_recent);
            for (int64_t x = 0; x < q.n_rows; x++) total[x] /= norm;
        }
        rank(total, q.n_rows, catalogue->log1p, s.keys, s.other, s.features + RANK * s.step);
        const int n_features = taste ? TASTE_FEATURES : TABLE_FEATURES;
        for (int i = 0; i < n_features; i++, out += n)
            memcpy(out, s.features + i * s.step, bytes);
        if (!t || taste) highest[taste] = maximum(total, q.n_rows);
    }
    for (int64_t x = 0; x < q.n_rows; x++) catalogue->columns[q.rows[x]] = -1;
    for (int i = 0; i < ITEM_FEATURES; i++, out += n)
        for (int64_t x = 0; x < q.n_rows; x++)
            out[x] = items[i * catalogue->n_items + q.rows[x]];
    float mean = 0;
    for (int64_t r = 0; r < q.n_recent; r++) mean += items[q.recent[r]] / q.n_recent;
    const float user[USER_FEATURES] = {
        (float)q.log_length, items[q.recent[0]], mean, highest[0], highest[1],
    };
    for (int i = 0; i < USER_FEATURES; i++, out += n)
        for (int64_t x = 0; x < q.n_rows; x++) out[x] = user[i];
}

static int within(const int64_t *rows, int64_t count, int64_t n) {
    for (int64_t i = 0; i < count; i++)
        if (rows[i] < 0 || rows[i] >= n) return 0;
    return 1;
}

/* Writes out[features, n], where the requests have n candidates together; one without candidates
 * has no columns. Returns 0, OUT_OF_MEMORY, or INVALID_ROWS for a row that is not in the catalogue,
 * no recent item, or more candidates than there are rows, as they repeat then. */
int features_batch(const Catalogue *catalogue, const Request *requests, int64_t n_requests,
                   float *out, int64_t n) {
    const int64_t n_items = catalogue->n_items;
    int64_t most = 0;
    for (const Request *q = requests; q < requests + n_requests; q++) {
        const int fits = q->n_recent >= 1 && q->n_recent <= RECENT && q->n_rows <= n_items;
        if (!fits || !within(q->recent, q->n_recent, n_items) ||
            !within(q->rows, q->n_rows, n_items))
            return INVALID_ROWS;
        if (q->n_rows > most) most = q->n_rows;
    }
    const int64_t step = most / 8 * 8 + 8;
    Scratch s = {
        .pairs = malloc(RECENT * step * sizeof(float)),
        .features = malloc(TABLE_FEATURES * step * sizeof(float)),
        .inputs = malloc(catalogue->dim * PADDED_RECENT * sizeof(float)),
        .keys = malloc(step * sizeof(uint64_t)), .other = malloc(step * sizeof(uint64_t)),
    };
    const int allocated = s.pairs && s.features && s.inputs && s.keys && s.other;
    for (const Request *q = requests; allocated && q < requests + n_requests; out += q->n_rows, q++)
        if (q->n_rows) write_features(catalogue, *q, s, out, n);
    free(s.pairs), free(s.features), free(s.inputs), free(s.keys), free(s.other);
    return allocated ? 0 : OUT_OF_MEMORY;
}
