/* Dense layers, for encoder.c: y[m, n] (+)= x[m, k] * weight + bias, by products of bytes.
 *
 * A row of x, a token, is rounded to unsigned bytes with its own scale and least value:
 *
 *     x[i] * factor[i] = least + scale * byte[i]
 *
 * Its own, and not the batch's, so that a text gives the same bits in every batch. `factor` evens
 * out inputs that vary much more than others (SmoothQuant); the weights are divided by it.
 *
 * Weights are signed bytes, each BLOCK of a row of them with its own scale. So
 *
 *     y = scale * sum over blocks(scale of block * sum(byte * weight)) + least * sums + bias
 *
 * where sums is what `least` is multiplied by: the sum of the scaled weights of a column.
 *
 * Sums of integers are exact, and everything else is done in one order: all instruction sets give
 * the same bits.
 *
 *   AVX2  vpmaddubsw multiplies four times as many pairs a cycle as a float32 FMA, and adds two of
 *         them in 16 bits; here four of its results are added in 16 bits before they are widened.
 *         That sum of eight products cannot overflow: the weights of one sign in it add up to 128
 *         at most, and 255 * 128 < 2^15. app/offline/encoder/quantise.py rounds weights accordingly.
 *   VNNI  vpdpbusd of AVX-512 multiplies twice as many, and adds four in 32 bits
 *   AMX   see encoder_amx.h
 */

/* Weights lie in panels of PANEL columns, in a panel by GROUPs along k, which the instructions
 * multiply and add up together. K_STEP: bytes of a row that a round of a tile takes, four groups.
 */
enum { BLOCK = 192, PANEL = 16, GROUP = 4, K_STEP = 16 };

/* scale [blocks, n], sums [n], factor [k], bias [n]; see above. */
typedef struct { const int8_t *weight; const float *scale, *sums, *factor, *bias; } Dense;

/* The input of a dense layer: bytes [m, k], with room for whole tiles of AMX; scale, least [m]. */
typedef struct { uint8_t *bytes; float *scale, *least; } Rows;

#define WIDE 0
#include "lanes.h"
#define ROWS 3
#define SECOND(k) (GROUP * LANES) /* two registers are one panel */
/* Adds to each lane of sum the products of sixteen pairs. The empty asm says that sum is changed
 * there: otherwise the compiler reorders the additions of all rows, and runs out of registers. */
#define DOT(sum, x, w, half) do { \
    __m256i pairs = _mm256_maddubs_epi16(x[0], w[0][half]); \
    _Pragma("GCC unroll 4") for (int four = 1; four < 4; four++) \
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(x[four], w[four][half])); \
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1))); \
    __asm__("" : "+x"(sum)); \
} while (0)
#include "encoder_tile.h"
#undef ROWS
#undef SECOND
#undef DOT

#define WIDE 1
#include "lanes.h"
#define ROWS 8
#define SECOND(k) (PANEL * (size_t)(k)) /* a register is a panel */
#define DOT(sum, x, w, half) \
    _Pragma("GCC unroll 4") for (int four = 0; four < 4; four++) \
        sum = _mm512_dpbusd_epi32(sum, x[four], w[four][half])
#include "encoder_tile.h"

#include "encoder_amx.h"

static void dense(int instruction_set, Rows x, int m, int k, Dense d, float *y, int n, int add) {
    if (instruction_set == AMX) dense_amx(x, m, k, d, y, n, add);
    else if (instruction_set == VNNI) dense_vnni(x, m, k, d, y, n, add);
    else dense_avx2(x, m, k, d, y, n, add);
}

/* Rounds the k values of a row to bytes, from its least value (0) to its greatest (255). */
static void quantise(const float *x, const float *factor, int k, uint8_t *bytes, float *scale,
                     float *least) {
    __m256 low = _mm256_set1_ps(INFINITY), high = _mm256_set1_ps(-INFINITY);
    for (int i = 0; i < k; i += 8) {
        __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + i), _mm256_loadu_ps(factor + i));
        low = _mm256_min_ps(low, v), high = _mm256_max_ps(high, v);
    }
    *least = min8(low);
    const float range = max8(high) - *least;
    *scale = range / 255;
    low = _mm256_set1_ps(*least);
    /* A row of equal values is all `least`: its bytes are 0. */
    const __m256 steps = _mm256_set1_ps(range > 0 ? 255 / range : 0);
    for (int i = 0; i < k; i += 16) {
        __m256i q[2];
        for (int h = 0; h < 2; h++) {
            const int at = i + 8 * h;
            __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + at), _mm256_loadu_ps(factor + at));
            q[h] = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_sub_ps(v, low), steps));
        }
        __m256i words = _mm256_packs_epi32(q[0], q[1]);
        __m128i a = _mm256_castsi256_si128(words), b = _mm256_extracti128_si256(words, 1);
        /* packs has worked on each half of a register alone: 0-3, 8-11, 4-7, 12-15 by now. */
        __m128i both = _mm_packus_epi16(a, b);
        _mm_storeu_si128((__m128i *)(bytes + i), _mm_shuffle_epi32(both, 0xD8));
    }
}

/* Writes x, rounded, as row t of the input of the dense layer `d`. */
static void quantise_row(const float *x, int t, int k, Dense d, Rows rows) {
    quantise(x, d.factor, k, rows.bytes + (size_t)t * k, rows.scale + t, rows.least + t);
}
