/* Top k, gather, union and positions over the rows of a catalogue, a whole batch in one call.
 * topk.py says what each function computes.
 *
 * What is asked of each request is a line of an int64 table, read here as a struct. Pointers and
 * row numbers are our caller's and are trusted.
 *
 * Buffers with one entry a row (`marks`, `total`, `stamps`) hold zeros between two calls. A call
 * undoes what it wrote instead of clearing them: a catalogue has up to millions of rows, and a
 * request touches hundreds.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <immintrin.h>

#include "shared.h"

/* ---- Tables, as topk.py fills them ---- */

/* Rows that must not come back: those listed, and those where `blocked`, a byte a row or NULL, is
 * 1. */
typedef struct { const int64_t *hidden; int64_t n_hidden; const uint8_t *blocked; } Exclusion;

/* The `size` highest of float32[n_rows] scores. */
typedef struct {
    const float *scores;
    int64_t n_rows, size;
    Exclusion exclusion;
} TopkRequest;

/* A sparse vector: values to add at rows. values NULL: what was added there before is dropped. */
typedef struct { const int32_t *rows; const float *values; int64_t n; } Piece;

/* The pieces [first, first + n) of the table of pieces: the summands of one sum. */
typedef struct { int64_t first, n; } PieceRange;

/* The `size` highest of a sum of pieces. */
typedef struct { PieceRange pieces; int64_t size; Exclusion exclusion; } SumRequest;

/* Scores of n_rows rows; base and more: float32 of every row, or NULL. */
typedef struct {
    const int64_t *rows;
    int64_t n_rows;
    const float *base, *more;
    PieceRange pieces;
} GatherRequest;

typedef struct { const int64_t *rows; int64_t n; } RowList;

/* A row of `tops`, counted over the batch, stands in a list, counted so too, at a position. */
typedef struct { int64_t top, list, position; } Position;

const Shared topk_shared[] = {
    SHARED_STRUCT(TopkRequest), SHARED_FIELD(TopkRequest, scores),
    SHARED_FIELD(TopkRequest, n_rows), SHARED_FIELD(TopkRequest, size),
    SHARED_FIELD(TopkRequest, exclusion.hidden), SHARED_FIELD(TopkRequest, exclusion.n_hidden),
    SHARED_FIELD(TopkRequest, exclusion.blocked),
    SHARED_STRUCT(Piece), SHARED_FIELD(Piece, rows), SHARED_FIELD(Piece, values),
    SHARED_FIELD(Piece, n),
    SHARED_STRUCT(SumRequest), SHARED_FIELD(SumRequest, pieces.first),
    SHARED_FIELD(SumRequest, pieces.n), SHARED_FIELD(SumRequest, size),
    SHARED_FIELD(SumRequest, exclusion.hidden), SHARED_FIELD(SumRequest, exclusion.n_hidden),
    SHARED_FIELD(SumRequest, exclusion.blocked),
    SHARED_STRUCT(GatherRequest), SHARED_FIELD(GatherRequest, rows),
    SHARED_FIELD(GatherRequest, n_rows), SHARED_FIELD(GatherRequest, base),
    SHARED_FIELD(GatherRequest, more), SHARED_FIELD(GatherRequest, pieces.first),
    SHARED_FIELD(GatherRequest, pieces.n),
    SHARED_STRUCT(RowList), SHARED_FIELD(RowList, rows), SHARED_FIELD(RowList, n),
    SHARED_STRUCT(Position), SHARED_FIELD(Position, top), SHARED_FIELD(Position, list),
    SHARED_FIELD(Position, position),
    SHARED_END,
};

/* ---- Keys: a score and its row as one integer, so that one comparison orders both ---- */

/* The higher the score, the lower the key; among equal scores, the lower the row, the lower the
 * key. That way the k lowest keys are the top k with ties broken by row.
 *
 * IEEE 754: the bits of positive floats, read as an integer, rise with the value, and those of
 * negative ones fall. Flipping the sign bit of the former and all bits of the latter gives an
 * unsigned integer that rises with the value throughout. */
static uint64_t key_of(float score, uint32_t row) {
    uint32_t bits;
    score += 0.0f; /* -0.0 becomes 0.0: they are equal, but their bits differ */
    memcpy(&bits, &score, sizeof bits);
    bits ^= bits >> 31 ? UINT32_MAX : 1u << 31;
    return (uint64_t)~bits << 32 | row;
}

static float score_of(uint64_t key) {
    uint32_t bits = ~(uint32_t)(key >> 32);
    bits ^= bits >> 31 ? 1u << 31 : UINT32_MAX;
    float score;
    memcpy(&score, &bits, sizeof score);
    return score;
}

static void swap(uint64_t *a, uint64_t *b) {
    uint64_t before = *a;
    *a = *b, *b = before;
}

/* Below so many keys an insertion sort takes less time than another partition. */
enum { SMALL = 16 };

/* Partitions n >= 3 keys around the median of the first, middle and last one (Hoare). Returns where
 * the part of the larger keys begins. */
static int64_t partition(uint64_t *keys, int64_t n) {
    if (keys[n / 2] < keys[0]) swap(keys + n / 2, keys);
    if (keys[n - 1] < keys[0]) swap(keys + n - 1, keys);
    if (keys[n - 1] < keys[n / 2]) swap(keys + n - 1, keys + n / 2);
    const uint64_t pivot = keys[n / 2];
    int64_t i = 0, j = n - 1;
    for (;;) {
        while (keys[i] < pivot) i++;
        while (pivot < keys[j]) j--;
        if (i >= j) return j + 1;
        swap(keys + i++, keys + j--);
    }
}

/* Quicksort that recurses into the smaller part, so that the stack stays logarithmic. */
static void sort(uint64_t *keys, int64_t n) {
    while (n > SMALL) {
        int64_t middle = partition(keys, n);
        if (middle < n - middle) sort(keys, middle), keys += middle, n -= middle;
        else sort(keys + middle, n - middle), n = middle;
    }
    for (int64_t i = 1; i < n; i++) {
        const uint64_t key = keys[i];
        int64_t j = i;
        for (; j && key < keys[j - 1]; j--) keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

/* Quickselect: moves the `size` < n lowest keys to the front, in any order. */
static void select_lowest(uint64_t *keys, int64_t n, int64_t size) {
    while (n > SMALL) {
        int64_t middle = partition(keys, n);
        if (size < middle) n = middle;
        else keys += middle, n -= middle, size -= middle;
    }
    sort(keys, n);
}

/* The best keys so far. There is room for 2 * size of them, and when it is full the worse half is
 * dropped: that costs O(1) a key on average, where a heap would cost O(log size).
 * worst: from then on the highest key that was kept; no key from it on can come back. */
typedef struct { uint64_t *keys, worst; int64_t n, size; } Best;

static void offer(Best *best, float score, int64_t row) {
    const uint64_t key = key_of(score, (uint32_t)row);
    if (key >= best->worst) return;
    best->keys[best->n++] = key;
    if (best->n < 2 * best->size) return;
    select_lowest(best->keys, best->n, best->size);
    best->n = best->size, best->worst = 0;
    for (int64_t i = 0; i < best->n; i++)
        if (best->keys[i] > best->worst) best->worst = best->keys[i];
}

/* Writes the best in order; returns how many there are. */
static int64_t write_best(Best *best, int64_t *rows, float *scores) {
    sort(best->keys, best->n);
    const int64_t n = best->n < best->size ? best->n : best->size;
    for (int64_t i = 0; i < n; i++) {
        rows[i] = (uint32_t)best->keys[i];
        scores[i] = score_of(best->keys[i]);
    }
    return n;
}

/* ---- Top k of scores of all rows ---- */

/* Writes for each request a line of `width` rows and scores, and to `counts` how many are there.
 * Scores of -inf do not come back. keys: room for twice the largest size. */
void topk_batch(const TopkRequest *requests, int64_t n_requests, uint8_t *marks, uint64_t *keys,
                int64_t width, int64_t *rows, float *scores, int64_t *counts) {
    for (int64_t r = 0; r < n_requests; r++, rows += width, scores += width) {
        const TopkRequest request = requests[r];
        const Exclusion excluded = request.exclusion;
        Best best = {keys, UINT64_MAX, 0, request.size};
        for (int64_t i = 0; i < excluded.n_hidden; i++) marks[excluded.hidden[i]] = 1;
        int64_t at = 0;
        while (request.size && at < request.n_rows) {
            /* Most rows score below the worst of the best: eight are compared at once, and only
             * those above it are looked at. The last, less than eight, come one by one. */
            unsigned above = 1;
            const int64_t step = request.n_rows - at < 8 ? 1 : 8;
            const float threshold = best.worst == UINT64_MAX ? -INFINITY : score_of(best.worst);
            if (step == 8) {
                const __m256 eight = _mm256_loadu_ps(request.scores + at);
                above = _mm256_movemask_ps(
                    _mm256_cmp_ps(eight, _mm256_set1_ps(threshold), _CMP_GT_OQ));
            }
            for (; above; above &= above - 1) { /* clears the lowest bit */
                const int64_t row = at + __builtin_ctz(above);
                const float score = request.scores[row];
                if (!(score > threshold) || marks[row]) continue; /* also what is not a number */
                if (excluded.blocked && excluded.blocked[row]) continue;
                offer(&best, score, row);
            }
            at += step;
        }
        for (int64_t i = 0; i < excluded.n_hidden; i++) marks[excluded.hidden[i]] = 0;
        counts[r] = write_best(&best, rows, scores);
    }
}

/* ---- Sums of pieces ---- */

static void add_pieces(const Piece *pieces, const float *weights, PieceRange range, float *total) {
    for (int64_t p = range.first; p < range.first + range.n; p++) {
        const Piece piece = pieces[p];
        if (!piece.values)
            for (int64_t i = 0; i < piece.n; i++) total[piece.rows[i]] = 0;
        else
            for (int64_t i = 0; i < piece.n; i++)
                total[piece.rows[i]] += weights[p] * piece.values[i];
    }
}

static void clear_pieces(const Piece *pieces, PieceRange range, float *total) {
    for (int64_t p = range.first; p < range.first + range.n; p++)
        for (int64_t i = 0; i < pieces[p].n; i++) total[pieces[p].rows[i]] = 0;
}

/* The same as topk_batch for sums of pieces. Rows whose sum is not above 0 do not come back.
 * weights: one a piece; total: zeros, one a row. */
void topk_sums_batch(const SumRequest *requests, int64_t n_requests, const Piece *pieces,
                     const float *weights, float *total, uint64_t *keys, int64_t width,
                     int64_t *rows, float *scores, int64_t *counts) {
    for (int64_t r = 0; r < n_requests; r++, rows += width, scores += width) {
        const SumRequest request = requests[r];
        const PieceRange range = request.pieces;
        const Exclusion excluded = request.exclusion;
        Best best = {keys, UINT64_MAX, 0, request.size};
        add_pieces(pieces, weights, range, total);
        for (int64_t i = 0; i < excluded.n_hidden; i++) total[excluded.hidden[i]] = 0;
        for (int64_t p = range.first; request.size && p < range.first + range.n; p++)
            for (int64_t i = 0; i < pieces[p].n; i++) {
                const int32_t row = pieces[p].rows[i];
                const float sum = total[row];
                total[row] = 0; /* a row may stand in several pieces and counts once */
                if (sum > 0 && !(excluded.blocked && excluded.blocked[row]))
                    offer(&best, sum, row);
            }
        clear_pieces(pieces, range, total);
        counts[r] = write_best(&best, rows, scores);
    }
}

/* out, end to end: base + weight * min(sum of pieces, 1) + more, for the rows of each request. */
void gather_batch(const GatherRequest *requests, int64_t n_requests, const Piece *pieces,
                  const float *weights, float weight, float *total, float *out) {
    for (int64_t r = 0; r < n_requests; out += requests[r++].n_rows) {
        const GatherRequest request = requests[r];
        add_pieces(pieces, weights, request.pieces, total);
        for (int64_t i = 0; i < request.n_rows; i++) {
            const int64_t row = request.rows[i];
            float sum = request.base ? request.base[row] : 0;
            if (request.pieces.n) sum += weight * (total[row] < 1 ? total[row] : 1);
            out[i] = request.more ? sum + request.more[row] : sum;
        }
        clear_pieces(pieces, request.pieces, total);
    }
}

/* ---- Lists of rows ---- */

/* rows, end to end: each row of the lists of a request once, in order of first appearance. counts:
 * how many each request has. ends: where the lists of each request end in `lists`. */
void union_batch(const RowList *lists, const int64_t *ends, int64_t n_requests, uint8_t *marks,
                 int64_t *rows, int64_t *counts) {
    for (int64_t r = 0, l = 0; r < n_requests; r++) {
        int64_t n = 0;
        for (; l < ends[r]; l++)
            for (int64_t i = 0; i < lists[l].n; i++) {
                const int64_t row = lists[l].rows[i];
                if (marks[row]) continue;
                marks[row] = 1;
                rows[n++] = row;
            }
        for (int64_t i = 0; i < n; i++) marks[rows[i]] = 0;
        rows += n;
        counts[r] = n;
    }
}

/* Writes where the rows of `tops`, a list a request, stand in the lists of that request; returns
 * how many positions there are. A stamp of a row is its place in `tops` + 1, as 0 means none: so
 * each list is read once, whatever the number of tops. */
int64_t positions_batch(const RowList *tops, const RowList *lists, const int64_t *ends,
                        int64_t n_requests, int32_t *stamps, Position *out) {
    int64_t n = 0, tops_before = 0;
    for (int64_t r = 0, l = 0; r < n_requests; r++) {
        const RowList top = tops[r];
        for (int64_t i = 0; i < top.n; i++) stamps[top.rows[i]] = (int32_t)i + 1;
        for (; l < ends[r]; l++)
            for (int64_t i = 0; i < lists[l].n; i++) {
                const int32_t stamp = stamps[lists[l].rows[i]];
                if (stamp) out[n++] = (Position){tops_before + stamp - 1, l, i};
            }
        for (int64_t i = 0; i < top.n; i++) stamps[top.rows[i]] = 0;
        tops_before += top.n;
    }
    return n;
}
