/* A few rows times a panel of weights, for encoder_kernel_dense.h, which includes this once for
 * each width of registers. It defines NAME(x), LANES, ROWS, TARGET, the types INTS and FLOATS,
 * OP(x) and DOT(sum, a, b): to each lane of sum, the product of two pairs of 16-bit integers. */

/* As many sums as the registers hold beside what they multiply. The weights come from far away:
 * who meets them first asks for them line by line, a page ahead. */
static inline __attribute__((always_inline)) TARGET void NAME(tile)(
    const int rows, const int first, const int16_t *x, int stride, int k, const int16_t *w,
    const float *sx, const float *scale, const float *bias, float *y, int n, int add) {
    INTS sums[ROWS][2];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = OP(set1_epi32)(0);
#pragma GCC unroll 2
    for (int i = 0; i < k; i += 2, w += 4 * LANES) {
        INTS w0 = *(const INTS *)w, w1 = *(const INTS *)(w + 2 * LANES);
        if (first)
            for (int line = 0; line < 8 * LANES; line += 64)
                _mm_prefetch((const char *)w + 4096 + line, _MM_HINT_T0);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            int32_t pair;
            memcpy(&pair, x + (size_t)r * stride + i, sizeof pair);
            INTS v = OP(set1_epi32)(pair);
            sums[r][0] = DOT(sums[r][0], v, w0);
            sums[r][1] = DOT(sums[r][1], v, w1);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
        for (int half = 0; half < 2; half++) {
            const int at = LANES * half;
            float *to = y + (size_t)r * n + at;
            FLOATS f = OP(mul_ps)(OP(loadu_ps)(scale + at), OP(set1_ps)(sx[r]));
            FLOATS b = OP(loadu_ps)(bias + at);
            if (add) b = OP(add_ps)(b, OP(loadu_ps)(to));
            OP(storeu_ps)(to, OP(fmadd_ps)(OP(cvtepi32_ps)(sums[r][half]), f, b));
        }
    }
}

#define TILE(R) \
    case R: NAME(tile)(R, 0, xr, k, take_k, w, sx + r, d.scale + p, bias, yr, n, more); break; \
    case R + 8: NAME(tile)(R, 1, xr, k, take_k, w, sx + r, d.scale + p, bias, yr, n, more); break
static TARGET void NAME(dense)(
    const int16_t *x, const float *sx, int m, int k, Dense d, float *y, int n, int add) {
    for (int p = 0; p < n; p += 2 * LANES)
        for (int from = 0, take_k; from < k; from += take_k) {
            take_k = k - from < BLOCK ? k - from : BLOCK;
            const int16_t *w = d.weight + (size_t)p * k + (size_t)from * 2 * LANES;
            const float *bias = from ? no_bias : d.bias + p;
            const int more = add || from;
            for (int r = 0, take; r < m; r += take) {
                int left = m - r;
                take = left >= 2 * ROWS ? ROWS : left > ROWS ? (left + 1) / 2 : left;
                const int16_t *xr = x + (size_t)r * k + from;
                float *yr = y + (size_t)r * n + p;
                switch (take + 8 * (r == 0)) {
                    TILE(1); TILE(2); TILE(3); TILE(4);
#if ROWS == 8
                    TILE(5); TILE(6); TILE(7); TILE(8);
#endif
                }
            }
        }
}
#undef TILE
