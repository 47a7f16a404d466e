/* What words match, a word at a time: matching.py says what is asked and what each answer means.
 * Pointers and lengths are our caller's, who has checked that what lies in the arrays fits them.
 */
#include <stdint.h>
#include <string.h>

/* Layout shared with matching_kernel.py. */
typedef struct {
    const int64_t *offsets;
    const int32_t *rows;
    const float *impacts;
    const uint8_t *titled;
    const int64_t *codes, *lists;
    int64_t n_codes;
    const int32_t *words, *counts;
    int32_t *shared, *touched; /* of each word: zeros between two calls; room for as many */
} Index;

static int64_t first_not_below(const int64_t *codes, int64_t n, int64_t code) {
    int64_t low = 0;
    while (low < n) {
        const int64_t middle = low + (n - low) / 2;
        if (codes[middle] < code) low = middle + 1;
        else n = middle;
    }
    return low;
}

/* The most similar words, `most` of them at most; returns how many there are. */
int64_t similar(const Index *x, const int64_t *codes, int64_t n, double least, int64_t most,
                int64_t *words, double *dice) {
    int64_t n_touched = 0, found = 0;
    for (int64_t c = 0; c < n; c++) {
        const int64_t list = first_not_below(x->codes, x->n_codes, codes[c]);
        if (list == x->n_codes || x->codes[list] != codes[c]) continue;
        for (int64_t i = x->lists[list]; i < x->lists[list + 1]; i++)
            if (!x->shared[x->words[i]]++) x->touched[n_touched++] = x->words[i];
    }
    for (int64_t t = 0; t < n_touched; t++) {
        const int32_t word = x->touched[t];
        const double alike = 2.0 * x->shared[word] / (x->counts[word] + n);
        x->shared[word] = 0;
        if (!(alike >= least)) continue;
        int64_t at = found;
        while (at && (dice[at - 1] < alike || (dice[at - 1] == alike && words[at - 1] > word))) at--;
        if (at == most) continue;
        if (found < most) found++;
        memmove(words + at + 1, words + at, (found - at - 1) * sizeof *words);
        memmove(dice + at + 1, dice + at, (found - at - 1) * sizeof *dice);
        words[at] = word, dice[at] = alike;
    }
    return found;
}

/* Rows, ascending, and their values. */
typedef struct { int32_t *rows; float *values; } Found;

static Found from(Found list, int64_t place) {
    return (Found){list.rows + place, list.values + place};
}

/* Each row of two lists once, with the higher value; returns how many there are. */
static int64_t merged(Found a, int64_t n, Found b, int64_t m, Found to) {
    int64_t i = 0, j = 0, found = 0;
    while (i < n || j < m) {
        const int of_a = j == m || (i < n && a.rows[i] <= b.rows[j]);
        const int of_b = i == n || (j < m && b.rows[j] <= a.rows[i]);
        to.rows[found] = of_a ? a.rows[i] : b.rows[j];
        to.values[found++] = of_b && !(of_a && a.values[i] > b.values[j]) ? b.values[j] : a.values[i];
        i += of_a, j += of_b;
    }
    return found;
}

int64_t either(int32_t *a_rows, float *a_values, int64_t n, int32_t *b_rows, float *b_values,
               int64_t m, int32_t *rows, float *values) {
    return merged((Found){a_rows, a_values}, n, (Found){b_rows, b_values}, m,
                  (Found){rows, values});
}

/* The rows that hold any of n words, with the best of their impacts times the worth of the word; or
 * those whose `titles` do, with the best worth. spare: as large as what is found; ends: of n. */
int64_t matched(const Index *x, const int64_t *words, const float *worth, int64_t n, int32_t titles,
                int32_t *rows, float *values, int32_t *spare_rows, float *spare_values,
                int64_t *ends) {
    Found lists = {rows, values}, spare = {spare_rows, spare_values};
    int64_t found = 0;
    for (int64_t w = 0; w < n; ends[w++] = found)
        for (int64_t i = x->offsets[words[w]]; i < x->offsets[words[w] + 1]; i++) {
            if (titles && !x->titled[i]) continue;
            rows[found] = x->rows[i];
            values[found++] = titles ? worth[w] : x->impacts[i] * worth[w];
        }
    for (; n > 1; n = (n + 1) / 2) { /* neighbours become one, until there is one */
        int64_t start = 0;
        found = 0;
        for (int64_t i = 0; i < n; i += 2) {
            const int64_t middle = ends[i], end = i + 1 < n ? ends[i + 1] : middle;
            found += merged(from(lists, start), middle - start, from(lists, middle), end - middle,
                            from(spare, found));
            start = end, ends[i / 2] = found;
        }
        const Found kept = lists;
        lists = spare, spare = kept;
    }
    if (lists.rows != rows) {
        memcpy(rows, lists.rows, found * sizeof *rows);
        memcpy(values, lists.values, found * sizeof *values);
    }
    return found;
}
