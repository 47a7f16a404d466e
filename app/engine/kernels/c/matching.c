/* Similar words, rows that contain words, and merging of such lists. matching.py says what each
 * function computes.
 *
 * Pointers and lengths are our caller's, who has checked that what lies in the arrays fits them.
 */
#include <stdint.h>
#include <string.h>

#include "shared.h"

typedef struct {
    /* Postings: word w has those from offsets[w] to offsets[w + 1]. */
    const int64_t *offsets;
    const int32_t *rows;
    const float *impacts;
    const uint8_t *titled;
    /* Trigrams: the words that contain codes[t] are words[lists[t]] to words[lists[t + 1]]. */
    const int64_t *codes, *lists;
    int64_t n_codes;
    const int32_t *words, *counts;
    /* One entry a word: trigrams shared with the query word, zeros between two calls; and room for
     * the words that share any, so that only those are visited and cleared. */
    int32_t *shared, *touched;
} Index;

const Shared matching_shared[] = {
    SHARED_STRUCT(Index),
    SHARED_FIELD(Index, offsets), SHARED_FIELD(Index, rows), SHARED_FIELD(Index, impacts),
    SHARED_FIELD(Index, titled), SHARED_FIELD(Index, codes), SHARED_FIELD(Index, lists),
    SHARED_FIELD(Index, n_codes), SHARED_FIELD(Index, words), SHARED_FIELD(Index, counts),
    SHARED_FIELD(Index, shared), SHARED_FIELD(Index, touched),
    SHARED_END,
};

/* The position of the first of n ascending codes that is not below `code`; n if all are. */
static int64_t lower_bound(const int64_t *codes, int64_t n, int64_t code) {
    int64_t low = 0;
    while (low < n) {
        const int64_t middle = low + (n - low) / 2;
        if (codes[middle] < code) low = middle + 1;
        else n = middle;
    }
    return low;
}

/* Writes the words most similar to one with n trigrams, best first, ties by word: `most` of them at
 * most, with a Dice coefficient of at least `least`. Returns how many there are. */
int64_t similar_words(const Index *x, const int64_t *codes, int64_t n, double least, int64_t most,
                      int64_t *words, double *dice) {
    int64_t n_touched = 0, n_similar = 0;
    for (int64_t c = 0; c < n; c++) {
        const int64_t list = lower_bound(x->codes, x->n_codes, codes[c]);
        if (list == x->n_codes || x->codes[list] != codes[c]) continue;
        for (int64_t i = x->lists[list]; i < x->lists[list + 1]; i++)
            if (!x->shared[x->words[i]]++) x->touched[n_touched++] = x->words[i];
    }
    for (int64_t t = 0; t < n_touched; t++) {
        const int32_t word = x->touched[t];
        /* In double, as numpy does it: in float a coefficient could fall on the other side of
         * `least`. */
        const double similarity = 2.0 * x->shared[word] / (x->counts[word] + n);
        x->shared[word] = 0;
        if (!(similarity >= least)) continue;
        /* Insertion into a short sorted list. */
        int64_t at = n_similar;
        while (at && (dice[at - 1] < similarity ||
                      (dice[at - 1] == similarity && words[at - 1] > word)))
            at--;
        if (at == most) continue;
        if (n_similar < most) n_similar++;
        memmove(words + at + 1, words + at, (n_similar - at - 1) * sizeof *words);
        memmove(dice + at + 1, dice + at, (n_similar - at - 1) * sizeof *dice);
        words[at] = word, dice[at] = similarity;
    }
    return n_similar;
}

/* Rows, ascending, each once, and their values. */
typedef struct { int32_t *rows; float *values; } Matches;

static Matches from(Matches list, int64_t position) {
    return (Matches){list.rows + position, list.values + position};
}

/* Writes each row of two lists once, with the higher value; returns how many there are. */
static int64_t merge_lists(Matches a, int64_t n, Matches b, int64_t m, Matches out) {
    int64_t i = 0, j = 0, merged = 0;
    while (i < n || j < m) {
        const int in_a = j == m || (i < n && a.rows[i] <= b.rows[j]);
        const int in_b = i == n || (j < m && b.rows[j] <= a.rows[i]);
        out.rows[merged] = in_a ? a.rows[i] : b.rows[j];
        const int take_b = in_b && !(in_a && a.values[i] > b.values[j]);
        out.values[merged++] = take_b ? b.values[j] : a.values[i];
        i += in_a, j += in_b;
    }
    return merged;
}

int64_t merge_matches(int32_t *a_rows, float *a_values, int64_t n, int32_t *b_rows,
                      float *b_values, int64_t m, int32_t *rows, float *values) {
    return merge_lists((Matches){a_rows, a_values}, n, (Matches){b_rows, b_values}, m,
                       (Matches){rows, values});
}

/* Writes the rows that contain any of n words, with the highest of impact * weight; with `titles`
 * those whose title does, with the highest weight. Returns how many there are.
 * rows, values, and the spare ones: room for all postings of the words. ends: room for n. */
int64_t match_rows(const Index *x, const int64_t *words, const float *weights, int64_t n,
                   int32_t titles, int32_t *rows, float *values, int32_t *spare_rows,
                   float *spare_values, int64_t *ends) {
    Matches lists = {rows, values}, spare = {spare_rows, spare_values};
    int64_t total = 0;
    for (int64_t w = 0; w < n; ends[w++] = total)
        for (int64_t i = x->offsets[words[w]]; i < x->offsets[words[w] + 1]; i++) {
            if (titles && !x->titled[i]) continue;
            rows[total] = x->rows[i];
            values[total++] = titles ? weights[w] : x->impacts[i] * weights[w];
        }
    /* Merge sort: in each round neighbours become one list, in the other buffer. */
    for (; n > 1; n = (n + 1) / 2) {
        int64_t start = 0;
        total = 0;
        for (int64_t i = 0; i < n; i += 2) {
            const int64_t middle = ends[i], end = i + 1 < n ? ends[i + 1] : middle;
            total += merge_lists(from(lists, start), middle - start,
                                 from(lists, middle), end - middle, from(spare, total));
            start = end, ends[i / 2] = total;
        }
        const Matches before = lists;
        lists = spare, spare = before;
    }
    if (lists.rows != rows) {
        memcpy(rows, lists.rows, total * sizeof *rows);
        memcpy(values, lists.values, total * sizeof *values);
    }
    return total;
}
