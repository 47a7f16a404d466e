/* A few rows times two registers' width of columns, for encoder_dense.h, which includes this once
 * for each width of registers. It defines what lanes.h does, ROWS, DOT, and SECOND(k): how many bytes
 * behind the first half of the columns the second half lies.
 */

/* total += the product of `rows` rows x and the columns w, a block of k at a time, as each block
 * has its own scale. There are as many sums as fit into the registers beside what they multiply. `rows`
 * and `few` are constants at each call, so that the compiler unrolls the loops. With `few`, weights
 * from `next` on are prefetched on the way. */
static inline __attribute__((always_inline)) TARGET void NAME(tile)(
    const int rows, const int few, const uint8_t *x, int k, const int8_t *w, const int8_t *next,
    const int8_t *next_end, const float *scale, int n, FLOATS total[ROWS][2]) {
    for (int from = 0, end; from < k; from = end, scale += n) {
        INTS sums[ROWS][2];
        end = k - from < BLOCK ? k : from + BLOCK;
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = OP(set1_epi32)(0);
        for (int i = from; i < end; i += K_STEP, w += K_STEP * PANEL) {
            INTS weights[4][2];
#pragma GCC unroll 4
            for (int four = 0; four < 4; four++) {
                weights[four][0] = *(const INTS *)(w + GROUP * PANEL * four);
                weights[four][1] = *(const INTS *)(w + GROUP * PANEL * four + SECOND(k));
            }
            for (int line = 0; few && line < LANES / 2 && next < next_end; line++, next += 64)
                _mm_prefetch((const char *)next, _MM_HINT_T0);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                INTS values[4];
#pragma GCC unroll 4
                for (int four = 0; four < 4; four++) {
                    int32_t value;
                    memcpy(&value, x + (size_t)r * k + i + GROUP * four, sizeof value);
                    values[four] = OP(set1_epi32)(value);
                }
                DOT(sums[r][0], values, weights, 0);
                DOT(sums[r][1], values, weights, 1);
            }
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
            for (int half = 0; half < 2; half++) {
                const FLOATS s = OP(loadu_ps)(scale + LANES * half);
                total[r][half] = OP(fmadd_ps)(OP(cvtepi32_ps)(sums[r][half]), s, total[r][half]);
            }
    }
}

/* y[r to r + rows, p to p + 2 * LANES] (+)= the rows times the columns from p on, as floats.
 *
 * The weights come from memory, beyond the nearest caches: while a tile works on some columns it
 * prefetches its share of the next ones. `part`: bytes of a share, rounded up, so that a few beyond
 * them may be asked for. GCC is told to unroll even loops of two: it would leave them, and then the
 * totals would go through memory instead of registers. */
static inline __attribute__((always_inline)) TARGET void NAME(rows)(
    const int rows, const int few, Rows x, int r, size_t part, int k, Dense d, int p, float *y,
    int n, int add) {
    const int8_t *w = d.weight + (size_t)p * k;
    FLOATS total[ROWS][2];
#pragma GCC unroll 8
    for (int t = 0; t < rows; t++) total[t][0] = total[t][1] = OP(setzero_ps)();
    /* Where there are few tiles, a share is more than a processor can fetch at once: then it is
     * asked for line by line during the products. Otherwise all at once, before them. */
    const int8_t *next = w + 2 * LANES * (size_t)k + part * r / 64 * 64;
    const int8_t *next_end = w + 2 * LANES * (size_t)k + part * (r + rows);
    for (; !few && next < next_end; next += 64) _mm_prefetch((const char *)next, _MM_HINT_T0);
    NAME(tile)(rows, few, x.bytes + (size_t)r * k, k, w, next, next_end, d.scale + p, n, total);
    const FLOATS sums[2] = {OP(loadu_ps)(d.sums + p), OP(loadu_ps)(d.sums + p + LANES)};
    const FLOATS bias[2] = {OP(loadu_ps)(d.bias + p), OP(loadu_ps)(d.bias + p + LANES)};
#pragma GCC unroll 8
    for (int t = 0; t < rows; t++) {
        float *to = y + (size_t)(r + t) * n + p;
        const FLOATS least = OP(set1_ps)(x.least[r + t]), scale = OP(set1_ps)(x.scale[r + t]);
#pragma GCC unroll 2
        for (int half = 0; half < 2; half++, to += LANES) {
            FLOATS b = OP(fmadd_ps)(least, sums[half], bias[half]);
            if (add) b = OP(add_ps)(b, OP(loadu_ps)(to));
            OP(storeu_ps)(to, OP(fmadd_ps)(total[t][half], scale, b));
        }
    }
}

/* A call for each number of rows: `rows` and `few` are constants in it. */
#define TAKE_OF(R, FEW) \
    case 2 * R + FEW: NAME(rows)(R, FEW, x, r, part, k, d, p, y, n, add); break
#define TAKE(R) TAKE_OF(R, 0); TAKE_OF(R, 1)
static TARGET void NAME(dense)(Rows x, int m, int k, Dense d, float *y, int n, int add) {
    const size_t part = (2 * LANES * (size_t)k + m - 1) / m;
    for (int p = 0; p < n; p += 2 * LANES)
        for (int r = 0, take; r < m; r += take) {
            /* The last two tiles share what remains evenly: a tile of one row takes nearly as long
             * as a full one. */
            const int remaining = m - r;
            take = remaining >= 2 * ROWS ? ROWS
                 : remaining > ROWS      ? (remaining + 1) / 2
                                         : remaining;
            switch (2 * take + (m <= 2 * ROWS)) {
                TAKE(1); TAKE(2); TAKE(3);
#if ROWS == 8
                TAKE(4); TAKE(5); TAKE(6); TAKE(7); TAKE(8);
#endif
            }
        }
}
#undef TAKE
#undef TAKE_OF
