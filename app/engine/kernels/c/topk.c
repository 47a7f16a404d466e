/* Choosing among the rows of a catalogue, for a whole batch in one call: selection_kernel.py says
 * what is asked, and selection.py what each answer means. Where something is asked of several
 * requests there is a table, a line of 64-bit words each, and the pointers in it are our caller's.
 *
 * Buffers of one entry a row hold zeros between two calls, and are made zero again by undoing what
 * was written: a catalogue is large, and what a request touches is little.
 */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <immintrin.h>

/* A row and its score as one number: the higher the score, and then the lower the row, the less. */
static uint64_t key_of(float score, uint32_t row) {
    uint32_t bits;
    score += 0.0f; /* there is one zero */
    memcpy(&bits, &score, sizeof bits);
    bits ^= bits >> 31 ? UINT32_MAX : 1u << 31; /* now rises with the score */
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
    uint64_t kept = *a;
    *a = *b, *b = kept;
}

/* Parts n ≥ 3 keys around the middle one of three; returns where the larger ones begin. */
static int64_t part(uint64_t *keys, int64_t n) {
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

static void sort(uint64_t *keys, int64_t n) {
    while (n > 16) {
        int64_t left = part(keys, n);
        if (left < n - left) sort(keys, left), keys += left, n -= left;
        else sort(keys + left, n - left), n = left;
    }
    for (int64_t i = 1; i < n; i++) {
        const uint64_t key = keys[i];
        int64_t j = i;
        for (; j && key < keys[j - 1]; j--) keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

/* Moves the `size` < n least keys to the front, in any order. */
static void least_first(uint64_t *keys, int64_t n, int64_t size) {
    while (n > 16) {
        int64_t left = part(keys, n);
        if (size < left) n = left;
        else keys += left, n -= left, size -= left;
    }
    sort(keys, n);
}

/* The best so far, and room for as many again: cut when it is full. `worst`: nothing above it. */
typedef struct { uint64_t *keys, worst; int64_t n, size; } Best;

static void offer(Best *best, float score, int64_t row) {
    const uint64_t key = key_of(score, (uint32_t)row);
    if (key >= best->worst) return;
    best->keys[best->n++] = key;
    if (best->n < 2 * best->size) return;
    least_first(best->keys, best->n, best->size);
    best->n = best->size, best->worst = 0;
    for (int64_t i = 0; i < best->n; i++)
        if (best->keys[i] > best->worst) best->worst = best->keys[i];
}

static int64_t hand_over(Best *best, int64_t *rows, float *scores) {
    sort(best->keys, best->n);
    const int64_t n = best->n < best->size ? best->n : best->size;
    for (int64_t i = 0; i < n; i++) {
        rows[i] = (uint32_t)best->keys[i];
        scores[i] = score_of(best->keys[i]);
    }
    return n;
}

/* What must not come back: rows that are named, and bytes of 1 of a mask, if there is one. */
typedef struct { const int64_t *hidden; int64_t n_hidden; const uint8_t *blocked; } Without;
typedef struct { const float *scores; int64_t n, size; Without without; } Dense;

/* The best rows of each request, of a score for every row, but for those that are -inf.
 * keys: of twice the largest size; rows, scores: a line of `width` each; found: how many there are. */
void best_of_all(const Dense *asked, int64_t n_asked, uint8_t *marks, uint64_t *keys, int64_t width,
                 int64_t *rows, float *scores, int64_t *found) {
    for (const Dense *one = asked; one < asked + n_asked; one++, rows += width, scores += width) {
        const Without w = one->without;
        Best best = {keys, UINT64_MAX, 0, one->size};
        for (int64_t i = 0; i < w.n_hidden; i++) marks[w.hidden[i]] = 1;
        int64_t at = 0;
        while (one->size && at < one->n) {
            unsigned higher = 1;
            const int64_t wide = one->n - at < 8 ? 1 : 8;
            const float least = best.worst == UINT64_MAX ? -INFINITY : score_of(best.worst);
            if (wide == 8) {
                const __m256 eight = _mm256_loadu_ps(one->scores + at);
                higher = _mm256_movemask_ps(
                    _mm256_cmp_ps(eight, _mm256_set1_ps(least), _CMP_GT_OQ));
            }
            for (; higher; higher &= higher - 1) {
                const int64_t row = at + __builtin_ctz(higher);
                const float score = one->scores[row];
                if (score > least && !marks[row] && !(w.blocked && w.blocked[row]))
                    offer(&best, score, row);
            }
            at += wide;
        }
        for (int64_t i = 0; i < w.n_hidden; i++) marks[w.hidden[i]] = 0;
        *found++ = hand_over(&best, rows, scores);
    }
}

/* Of a sparse vector: rows, and values to add there; without values, what stands there is dropped. */
typedef struct { const int32_t *rows; const float *values; int64_t n; } Piece;
typedef struct { int64_t first, n; } Pieces;

static void add_up(const Piece *pieces, const float *weights, Pieces of, float *total) {
    for (int64_t p = of.first; p < of.first + of.n; p++) {
        const Piece piece = pieces[p];
        if (!piece.values)
            for (int64_t i = 0; i < piece.n; i++) total[piece.rows[i]] = 0;
        else
            for (int64_t i = 0; i < piece.n; i++)
                total[piece.rows[i]] += weights[p] * piece.values[i];
    }
}

static void clear(const Piece *pieces, Pieces of, float *total) {
    for (const Piece *piece = pieces + of.first; piece < pieces + of.first + of.n; piece++)
        for (int64_t i = 0; i < piece->n; i++) total[piece->rows[i]] = 0;
}

typedef struct { Pieces of; int64_t size; Without without; } Sum;

/* The best rows of each request, of a sum of pieces, where that is more than 0. */
void best_of_sums(const Sum *asked, int64_t n_asked, const Piece *pieces, const float *weights,
                  float *total, uint64_t *keys, int64_t width, int64_t *rows, float *scores,
                  int64_t *found) {
    for (const Sum *one = asked; one < asked + n_asked; one++, rows += width, scores += width) {
        const Without w = one->without;
        Best best = {keys, UINT64_MAX, 0, one->size};
        add_up(pieces, weights, one->of, total);
        for (int64_t i = 0; i < w.n_hidden; i++) total[w.hidden[i]] = 0;
        for (int64_t p = one->of.first; one->size && p < one->of.first + one->of.n; p++)
            for (int64_t i = 0; i < pieces[p].n; i++) {
                const int32_t row = pieces[p].rows[i];
                const float sum = total[row];
                total[row] = 0; /* each row counts once */
                if (sum > 0 && !(w.blocked && w.blocked[row])) offer(&best, sum, row);
            }
        clear(pieces, one->of, total);
        *found++ = hand_over(&best, rows, scores);
    }
}

typedef struct { const int64_t *rows; int64_t n; const float *base, *more; Pieces of; } Gather;

/* For some rows of each request: base + weight * min(sum of pieces, 1) + more. */
void gathered(const Gather *asked, int64_t n_asked, const Piece *pieces, const float *weights,
              float weight, float *total, float *out) {
    for (const Gather *one = asked; one < asked + n_asked; out += one++->n) {
        add_up(pieces, weights, one->of, total);
        for (int64_t i = 0; i < one->n; i++) {
            const int64_t row = one->rows[i];
            float sum = one->base ? one->base[row] : 0;
            if (one->of.n) sum += weight * (total[row] < 1 ? total[row] : 1);
            out[i] = one->more ? sum + one->more[row] : sum;
        }
        clear(pieces, one->of, total);
    }
}

typedef struct { const int64_t *rows; int64_t n; } List;

/* Each row of the lists of a request once, in order of appearance; returns nothing but `rows`, end
 * to end, and how many each request has. */
void united(const List *lists, const int64_t *ends, int64_t n_asked, uint8_t *marks, int64_t *rows,
            int64_t *found) {
    for (int64_t asked = 0, l = 0; asked < n_asked; asked++) {
        int64_t n = 0;
        for (; l < ends[asked]; l++)
            for (int64_t i = 0; i < lists[l].n; i++) {
                const int64_t row = lists[l].rows[i];
                if (marks[row]) continue;
                marks[row] = 1;
                rows[n++] = row;
            }
        for (int64_t i = 0; i < n; i++) marks[rows[i]] = 0;
        rows += n;
        *found++ = n;
    }
}

/* Where some rows (`tops`, a list a request) stand in the lists: triples of which top of all, which
 * list of all, and place in it. Returns how many there are. */
int64_t places_in(const List *tops, const List *lists, const int64_t *ends, int64_t n_asked,
                  int32_t *stamps, int64_t *out) {
    int64_t *at = out, before = 0;
    for (int64_t asked = 0, l = 0; asked < n_asked; asked++) {
        const List top = tops[asked];
        for (int64_t i = 0; i < top.n; i++) stamps[top.rows[i]] = (int32_t)i + 1;
        for (; l < ends[asked]; l++)
            for (int64_t i = 0; i < lists[l].n; i++) {
                const int32_t stamp = stamps[lists[l].rows[i]];
                if (stamp) *at++ = before + stamp - 1, *at++ = l, *at++ = i;
            }
        for (int64_t i = 0; i < top.n; i++) stamps[top.rows[i]] = 0;
        before += top.n;
    }
    return (at - out) / 3;
}
