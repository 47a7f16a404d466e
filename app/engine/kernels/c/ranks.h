/* How many values are higher: the ranks of values, as `log_ranks` in features.py. */
#ifndef RANKS_H
#define RANKS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Radix sort by the upper 32 bits, a byte at a time from the lowest: four passes, so the result is
 * in `keys` again. It is stable: equal ones keep their order. */
static void radix_sort(uint64_t *keys, uint64_t *other, int64_t n) {
    for (int shift = 32; shift < 64; shift += 8) {
        int64_t starts[257] = {0};
        for (int64_t i = 0; i < n; i++) starts[(keys[i] >> shift & 255) + 1]++;
        for (int digit = 0; digit < 256; digit++) starts[digit + 1] += starts[digit];
        for (int64_t i = 0; i < n; i++) other[starts[keys[i] >> shift & 255]++] = keys[i];
        uint64_t *before = keys;
        keys = other, other = before;
    }
}

/* out: log(1 + how many of the n ≥ 1 values are higher). log1p: of 0 … n − 1. keys, other: room for
 * n. */
static void rank(const float *values, int64_t n, const float *log1p, uint64_t *keys,
                 uint64_t *other, float *out) {
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, values + i, sizeof bits);
        /* An unsigned number that falls with the value: the bits of negative floats do so already,
         * those of the others are inverted, all but the sign bit, which keeps them below. */
        bits = bits >> 31 ? bits : ~bits & 0x7FFFFFFF;
        keys[i] = (uint64_t)bits << 32 | (uint32_t)i;
    }
    radix_sort(keys, other, n);
    const float first = values[(uint32_t)keys[0]], last = values[(uint32_t)keys[n - 1]];
    /* Smaller gaps are rounding. The largest value by size is the first or the last. */
    const float least = 1e-6f * fmaxf(fabsf(first), fabsf(last));
    float before = first;
    int64_t higher = 0;
    for (int64_t i = 0; i < n; i++) {
        const uint32_t at = (uint32_t)keys[i];
        if (before - values[at] > least) higher = i;
        before = values[at], out[at] = log1p[higher];
    }
}

#endif
