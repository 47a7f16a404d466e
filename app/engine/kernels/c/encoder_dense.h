/* Dense layers, for encoder_kernel.c: y[m, n] (+)= x[m, k] * weight + bias, by products of bytes.
 *
 * A token keeps 8 bits: each of its values is least + scale * byte, with its own least and scale,
 * so a text gives the same bits in every batch. Before that each value is multiplied by the factor
 * of its input, which the weights already have in them; it takes the peaks off. Weights are signed
 * bytes, each BLOCK of a row of them with its own scale.
 * Sums of integers are exact and everything else is done in one order: the same bits come out of
 * whichever instructions make the products.
 *
 *   AVX2  vpmaddubsw multiplies four times as many pairs a cycle as a float32 FMA, and adds by two
 *         in 16 bits. No sum of eight can overflow there: the weights that meet in one add up to
 *         128 of either sign at most, which app/offline/encoder/quantise.py takes care of.
 *   VNNI  vpdpbusd of AVX-512 multiplies twice as many, and adds by four in 32 bits
 *   AMX   see encoder_kernel_amx.h
 */
enum { BLOCK = 192, PANEL = 16 };

/* Weights lie in panels of 16 columns, by fours along k; scale [k / BLOCK, n]. sums [n]: of the
 * weights of a column, scaled: what `least` is multiplied by. factor [k]: of the inputs. */
typedef struct { const int8_t *weight; const float *scale, *sums, *factor, *bias; } Dense;

/* Rows of a dense layer's input: bytes [m, k], filled up to whole tiles. */
typedef struct { uint8_t *bytes; float *scale, *least; } Rows;

#define WIDE 0
#include "isa_lanes.h"
#define ROWS 3
#define SECOND(k) (4 * LANES)
/* To each lane of sum, the products of sixteen pairs. A compiler that may put the additions in
 * another order runs out of registers: it is told that sum is touched. */
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
#include "isa_lanes.h"
#define ROWS 8
#define SECOND(k) (PANEL * (size_t)(k))
#define DOT(sum, x, w, half) \
    _Pragma("GCC unroll 4") for (int four = 0; four < 4; four++) \
        sum = _mm512_dpbusd_epi32(sum, x[four], w[four][half])
#include "encoder_tile.h"

#include "encoder_amx.h"

/* How many bytes of a row share a scale. */
int32_t bytes_block(void) { return BLOCK; }

static void dense(int products, Rows x, int m, int k, Dense d, float *y, int n, int add) {
    if (products == AMX) dense_amx(x, m, k, d, y, n, add);
    else if (products == VNNI) dense_vnni(x, m, k, d, y, n, add);
    else dense_avx2(x, m, k, d, y, n, add);
}

/* Quantises the k values of a row. */
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
        __m128i both = _mm_packus_epi16(a, b); /* 0-3, 8-11, 4-7, 12-15 */
        _mm_storeu_si128((__m128i *)(bytes + i), _mm_shuffle_epi32(both, 0xD8));
    }
}

/* Quantises x as row t of what the dense layer `d` takes. */
static void take_row(const float *x, int t, int k, Dense d, Rows rows) {
    quantise(x, d.factor, k, rows.bytes + (size_t)t * k, rows.scale + t, rows.least + t);
}
