/* A few rows times a panel of weights, for encoder_kernel_dense.h, which includes this once for
 * each width of registers. It defines NAME(x), LANES, ROWS, TARGET, the types INTS, HALF and
 * FLOATS, OP(x) and DOT(sum, a, b): to each lane of sum, the product of two pairs of 16-bit
 * integers. */

/* As many sums as the registers hold beside what they multiply. The weights come from far away:
 * who meets them first asks for them line by line, a page ahead, and leaves bytes as words, near,
 * for the rows to come. */
static inline __attribute__((always_inline)) TARGET void NAME(tile)(
    const int rows, const int met, const int16_t *x, int stride, int k, const void *weights,
    int16_t *near, const float *sx, const float *scale, const float *bias, float *y, int n,
    int add) {
    const int far_step = 4 * LANES * (met == BYTES ? 1 : 2);
    const char *far = weights;
    INTS sums[ROWS][2];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) sums[r][0] = sums[r][1] = OP(set1_epi32)(0);
#pragma GCC unroll 2
    for (int i = 0; i < k; i += 2, far += far_step, near += 4 * LANES) {
        INTS w0, w1;
        if (met == BYTES) {
            w0 = OP(cvtepi8_epi16)(*(const HALF *)far);
            w1 = OP(cvtepi8_epi16)(*(const HALF *)(far + 2 * LANES));
            *(INTS *)near = w0, *(INTS *)(near + 2 * LANES) = w1;
        } else {
            const int16_t *words = met == WORDS ? (const int16_t *)far : near;
            w0 = *(const INTS *)words, w1 = *(const INTS *)(words + 2 * LANES);
        }
        if (met)
            for (int line = 0; line < far_step; line += 64)
                _mm_prefetch(far + 4096 + line, _MM_HINT_T0);
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

#define TILE_OF(R, MET) \
    case R + 16 * MET: \
        NAME(tile)(R, MET, xr, k, take_k, w, panel, sx + r, scale, bias, yr, n, more); \
        break
#define TILE(R) TILE_OF(R, NEAR); TILE_OF(R, BYTES); TILE_OF(R, WORDS)
static TARGET void NAME(dense)(
    const int16_t *x, const float *sx, int m, int k, Dense d, float *y, int n, int add) {
    int16_t near[BLOCK * 2 * LANES] __attribute__((aligned(64)));
    const int bytes = d.of == BYTES, block = bytes ? BLOCK : WORDS_BLOCK;
    for (int p = 0; p < n; p += 2 * LANES)
        for (int from = 0, take_k; from < k; from += take_k) {
            take_k = k - from < block ? k - from : block;
            const size_t at = (size_t)p * k + (size_t)from * 2 * LANES;
            const char *w = (const char *)d.weight + (bytes ? at : 2 * at);
            const float *scale = d.scale + p + (bytes ? (size_t)(from / BLOCK) * n : 0);
            const float *bias = from ? no_bias : d.bias + p;
            const int more = add || from;
            for (int r = 0, take; r < m; r += take) {
                int left = m - r;
                take = left >= 2 * ROWS ? ROWS : left > ROWS ? (left + 1) / 2 : left;
                const int16_t *xr = x + (size_t)r * k + from;
                float *yr = y + (size_t)r * n + p;
                int16_t *panel = bytes ? near : (int16_t *)w;
                switch (take + 16 * (r ? NEAR : d.of)) {
                    TILE(1); TILE(2); TILE(3); TILE(4);
#if ROWS == 8
                    TILE(5); TILE(6); TILE(7); TILE(8);
#endif
                }
            }
        }
}
#undef TILE
#undef TILE_OF
