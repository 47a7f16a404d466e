/* Dense layers, for encoder_kernel.c: y[m, n] (+)= x[m, k] * weight + bias, by 16-bit integers.
 *
 * Rows are of 12 bits, which lose next to nothing. Weights are of bytes, each BLOCK of a row of
 * them with its own scale: one text has to read them all, and waits for nothing else. Vectors of
 * items stay words of about 12 bits: their cosines are wanted as they are.
 * Each token has its own scale too: a text gives the same bits in every batch. No sum can overflow:
 * bytes are few enough in a BLOCK, and the words of a row add up to at most INT32_MAX / TOKEN_MAX.
 * Sums of integers are exact and everything else is done in one order: the same bits come out of
 * whichever instructions make the products.
 *
 *   AVX2  vpmaddwd multiplies twice as many pairs a cycle as a float32 FMA, 16 with one
 *   VNNI  vpdpwssd of AVX-512 multiplies 32 and adds them up as well
 *   AMX   see encoder_kernel_amx.h
 */
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { AVX2, VNNI, AMX };
enum { BLOCK = 192, WORDS_BLOCK = 512, TOKEN_MAX = 4095, BYTE_MAX = 127 };
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

/* What weights are of, and where a tile meets them. */
enum { NEAR, BYTES, WORDS };

/* Weights lie in panels of as many columns as a tile takes, by pairs along k; each byte has the
 * scale [k / BLOCK, n], each word the scale [n]. */
typedef struct { const void *weight; const float *scale, *bias; int32_t of; } Dense;

static const float no_bias[32];

#define NAME(x) x##_avx2
#define LANES 8
#define ROWS 4
#define INTS __m256i
#define HALF __m128i
#define FLOATS __m256
#define OP(x) _mm256_##x
#define DOT(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#define TARGET
#include "encoder_kernel_tile.h"
#undef NAME
#undef LANES
#undef ROWS
#undef INTS
#undef HALF
#undef FLOATS
#undef OP
#undef DOT
#undef TARGET

#define NAME(x) x##_vnni
#define LANES 16
#define ROWS 8
#define INTS __m512i
#define HALF __m256i
#define FLOATS __m512
#define OP(x) _mm512_##x
#define DOT(sum, a, b) _mm512_dpwssd_epi32(sum, a, b)
#define TARGET AVX512
#include "encoder_kernel_tile.h"

#include "encoder_kernel_amx.h"

/* How many bytes of a row share a scale. */
int32_t bytes_block(void) { return BLOCK; }

/* Whether this processor, and its system, can make products this way. AVX2 is taken for granted. */
int can(int32_t products) {
    if (products == AVX2) return 1;
    if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512bw")) return 0;
    if (products == VNNI) return 1;
    const unsigned tile_and_int8 = 3u << 24;
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & tile_and_int8) != tile_and_int8) return 0;
    return syscall(SYS_arch_prctl, 0x1023 /* ask for */, 18 /* the tiles */) == 0;
}

static void dense(int products, const int16_t *x, const float *sx, int m, int k, Dense d, float *y,
                  int n, int add) {
    if (products == AMX) dense_amx(x, sx, m, k, d, y, n, add);
    else if (products == VNNI) dense_vnni(x, sx, m, k, d, y, n, add);
    else dense_avx2(x, sx, m, k, d, y, n, add);
}

/* Quantises a row of n: a value is quantised * scale, which is returned. Into integers, or, where
 * there is a place for them, low bytes and (at q) high bytes. */
static float quantise(const float *x, int n, void *q, uint8_t *low) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 top = _mm256_setzero_ps();
    for (int i = 0; i < n; i += 8)
        top = _mm256_max_ps(top, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)));
    float most = max8(top);
    if (!(most > 0)) most = 1;
    __m256 factor = _mm256_set1_ps(TOKEN_MAX / most);
    for (int i = 0; i < n; i += 16) {
        __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor));
        __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i + 8), factor));
        __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
        if (low) {
            __m256i bytes = _mm256_packs_epi16(
                _mm256_srai_epi16(both, 8), _mm256_setzero_si256());
            __m256i below = _mm256_packus_epi16(
                _mm256_and_si256(both, _mm256_set1_epi16(255)), _mm256_setzero_si256());
            bytes = _mm256_permute4x64_epi64(_mm256_unpacklo_epi64(bytes, below), 0xD8);
            _mm_storeu_si128((__m128i *)((int8_t *)q + i), _mm256_castsi256_si128(bytes));
            _mm_storeu_si128((__m128i *)(low + i), _mm256_extracti128_si256(bytes, 1));
        } else
            _mm256_storeu_si256((__m256i *)((int16_t *)q + i), both);
    }
    return most / TOKEN_MAX;
}

/* Quantises m rows of x, which lie `step` apart, as `dense` wants them: for AMX all high bytes,
 * then all low ones, rows filled up to whole tiles. */
static void quantise_rows(int products, const float *x, int m, int k, int step, int16_t *rows,
                          float *scale) {
    int8_t *high = (int8_t *)rows;
    uint8_t *low = (uint8_t *)rows + (size_t)rows_of_tiles(m) * k;
    for (int t = 0; t < m; t++) {
        const size_t at = (size_t)t * k;
        scale[t] = products == AMX ? quantise(x + (size_t)t * step, k, high + at, low + at)
                                   : quantise(x + (size_t)t * step, k, rows + at, NULL);
    }
}

static size_t place(int panel, int c, int i, int k) {
    return (size_t)(c / panel) * panel * k + (size_t)(i / 2) * 2 * panel + c % panel * 2 + i % 2;
}

/* Quantises weight float16[n, k] to bytes; scale float[blocks, n].
 * n: a multiple of 16, for VNNI of 32; k: of 16, for AMX of 64. */
void pack_bytes(const uint16_t *weight, int32_t n, int32_t k, int32_t products, int8_t *out,
                float *scale) {
    const int panel = products == VNNI ? 32 : 16;
    for (int c = 0; c < n; c++)
        for (int from = 0; from < k; from += BLOCK) {
            const uint16_t *row = weight + (size_t)c * k;
            const int end = k - from < BLOCK ? k : from + BLOCK;
            float top = 0;
            for (int i = from; i < end; i++) top = fmaxf(top, fabsf(_cvtsh_ss(row[i])));
            const float factor = top > 0 ? BYTE_MAX / top : 1;
            for (int i = from; i < end; i++)
                out[products == AMX ? place_amx(c, i, k) : place(panel, c, i, k)] =
                    (int8_t)lrintf(_cvtsh_ss(row[i]) * factor);
            scale[(size_t)(from / BLOCK) * n + c] = 1 / factor;
        }
}

/* Words are multiplied without AMX: the vectors of items are read once, and that takes as long. */
static int of_words(int products) { return products == AMX ? VNNI : products; }

/* The same to words; scale float[n]. */
void pack_words(const uint16_t *weight, int32_t n, int32_t k, int32_t products, int16_t *out,
                float *scale) {
    const int panel = of_words(products) == VNNI ? 32 : 16;
    for (int c = 0; c < n; c++) {
        const uint16_t *row = weight + (size_t)c * k;
        double sum = 0, top = 0;
        for (int i = 0; i < k; i++) {
            double v = fabs(_cvtsh_ss(row[i]));
            sum += v;
            if (v > top) top = v;
        }
        /* Rounding adds at most a half to each of the k. */
        double factor = sum > 0 ? ((double)INT32_MAX / TOKEN_MAX - k * 0.5) / sum : 1;
        if (factor * top > INT16_MAX) factor = INT16_MAX / top;
        for (int i = 0; i < k; i++)
            out[place(panel, c, i, k)] = (int16_t)lrint(_cvtsh_ss(row[i]) * factor);
        scale[c] = (float)(1 / factor);
    }
}

/* y[m, n] = x[m, k] * weight, of rows of floats and what `pack_words` made. `none`: n zeros.
 * Returns 0, or 1 without memory. */
int multiply(const float *x, int32_t m, int32_t k, const int16_t *weight, const float *scale,
             const float *none, int32_t n, int32_t products, float *y) {
    const int words = of_words(products);
    const size_t bytes = (size_t)m * k * sizeof(int16_t);
    int16_t *rows = aligned_alloc(64, (bytes + 63) / 64 * 64);
    float *row_scale = malloc(m * sizeof(float));
    if (rows && row_scale) {
        const Dense d = {weight, scale, none, WORDS};
        quantise_rows(words, x, m, k, k, rows, row_scale);
        dense(words, rows, row_scale, m, k, d, y, n, 0);
    }
    const int failed = !rows || !row_scale;
    free(rows), free(row_scale);
    return failed;
}
