/* A few queries times a panel of vectors, for cosines.c, which includes this once for each width of
 * registers. It defines what lanes.h does, ROWS, and DOT(sum, a, b), which adds to each lane of sum
 * the products of two pairs of 16-bit integers. */

/* `rows` queries times two registers of vectors. There are as many sums as fit into the registers
 * beside what they multiply: 2 * ROWS + 3 of 16 (AVX2) or 32. `rows` is a constant at each call, so
 * that the compiler unrolls the loops.
 *
 * The vectors come from memory, beyond all caches. The first queries that meet a panel ask for the
 * lines a page (4096 bytes) ahead: the processor's own prefetcher stops at a page. */
static inline __attribute__((always_inline)) TARGET void NAME(tile)(
    const int rows, const int first, const int16_t *x, int k, const int16_t *w, const float *sx,
    const float *scale, float *y, int n) {
    INTS sums[ROWS][2];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = OP(set1_epi32)(0);
#pragma GCC unroll 2
    for (int i = 0; i < k; i += 2, w += 4 * LANES) {
        const INTS w0 = *(const INTS *)w, w1 = *(const INTS *)(w + 2 * LANES);
        if (first)
            for (int line = 0; line < 8 * LANES; line += 64)
                _mm_prefetch((const char *)w + 4096 + line, _MM_HINT_T0);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            int32_t pair;
            memcpy(&pair, x + (size_t)r * k + i, sizeof pair);
            INTS v = OP(set1_epi32)(pair);
            sums[r][0] = DOT(sums[r][0], v, w0);
            sums[r][1] = DOT(sums[r][1], v, w1);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
        for (int half = 0; half < 2; half++) {
            FLOATS f = OP(mul_ps)(OP(loadu_ps)(scale + LANES * half), OP(set1_ps)(sx[r]));
            float *to = y + (size_t)r * n + LANES * half;
            OP(storeu_ps)(to, OP(mul_ps)(OP(cvtepi32_ps)(sums[r][half]), f));
        }
}

/* A call for each number of rows: `rows` and `first` are constants in it. */
#define TAKE_OF(R, FIRST) \
    case 2 * R + FIRST: \
        NAME(tile)(R, FIRST, xr, k, panel, sx + r, scale + p, y + (size_t)r * n + p, n); \
        break
#define TAKE(R) TAKE_OF(R, 0); TAKE_OF(R, 1)
static TARGET void NAME(multiply)(
    const int16_t *x, const float *sx, int m, int k, const int16_t *w, const float *scale,
    float *y, int n) {
    for (int p = 0; p < n; p += 2 * LANES)
        for (int r = 0, take; r < m; r += take) {
            /* The last two tiles share what remains evenly: a tile of one row takes nearly as long
             * as a full one. */
            const int remaining = m - r;
            take = remaining >= 2 * ROWS ? ROWS
                 : remaining > ROWS      ? (remaining + 1) / 2
                                         : remaining;
            const int16_t *xr = x + (size_t)r * k, *panel = w + (size_t)p * k;
            switch (2 * take + !r) {
                TAKE(1); TAKE(2); TAKE(3); TAKE(4);
#if ROWS == 8
                TAKE(5); TAKE(6); TAKE(7); TAKE(8);
#endif
            }
        }
}
#undef TAKE
#undef TAKE_OF
