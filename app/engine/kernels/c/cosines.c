/* The inner products of a few queries with many vectors, both rounded to 16-bit integers.
 * cosines.py says why.
 *
 * A vector is integers * scale, a query too. The integers of a query fit into 12 bits. No sum of
 * products can overflow 32 bits: `pack_vectors` scales each vector so that the absolute values of
 * its integers add up to INT32_MAX / QUERY_MAX at most. So nothing is checked or widened on the
 * way, and sums are exact: every instruction set gives the same bits.
 *
 *   AVX2  vpmaddwd multiplies twice as many pairs a cycle as a float32 FMA
 *   VNNI  vpdpwssd of AVX-512 multiplies twice as many again, and adds them up as well
 *
 * AMX multiplies no 16-bit integers; a processor that has it has VNNI, which is used then.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "instruction_set.h"
#include "shared.h"
#include "vector_math.h"

/* The largest integer of a query: 12 bits. The other 19 of a sum are the vector's: of 384 numbers
 * each keeps ten bits. */
enum { QUERY_MAX = 4095 };
/* Vectors lie in panels of as many rows as two registers have lanes. This is a multiple of both. */
enum { ROW_MULTIPLE = 32 };

const Shared cosines_shared[] = {
    SHARED_CONSTANT(QUERY_MAX), SHARED_CONSTANT(ROW_MULTIPLE), SHARED_END,
};

#define WIDE 0
#include "lanes.h"
#define ROWS 4
#define DOT(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#include "cosines_tile.h"
#undef ROWS
#undef DOT

#define WIDE 1
#include "lanes.h"
#define ROWS 8
#define DOT(sum, a, b) _mm512_dpwssd_epi32(sum, a, b)
#include "cosines_tile.h"

/* Rounds the k floats of a query; returns its scale: a value is integer * scale. */
static float quantise_query(const float *x, int k, int16_t *integers) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 top = _mm256_setzero_ps();
    for (int i = 0; i < k; i += 8)
        top = _mm256_max_ps(top, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)));
    float most = max8(top);
    if (!(most > 0)) most = 1; /* all zeros, or not a number */
    const __m256 factor = _mm256_set1_ps(QUERY_MAX / most);
    for (int i = 0; i < k; i += 16) {
        __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor));
        __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i + 8), factor));
        /* packs works on each half of a register alone and leaves quarters in the order 0 2 1 3,
         * which is 0xD8; the same permutation undoes it. */
        __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
        _mm256_storeu_si256((__m256i *)(integers + i), both);
    }
    return most / QUERY_MAX;
}

/* Where number i of vector c lies: panels of vectors, and in a panel pairs along k, because the
 * instructions multiply two pairs of 16 bits and add them up. */
static size_t packed_position(int panel, int c, int i, int k) {
    return (size_t)(c / panel) * panel * k + (size_t)(i / 2) * 2 * panel + c % panel * 2 + i % 2;
}

/* Rounds vectors float16[n, k] into `out`, int16[n * k] in panels, and writes scale, float[n].
 * n: a multiple of ROW_MULTIPLE, for AVX2 of half of it; k: of 16. */
void pack_vectors(const uint16_t *vectors, int32_t n, int32_t k, int32_t instruction_set,
                  int16_t *out, float *scale) {
    const int panel = instruction_set == AVX2 ? 16 : 32;
    for (int c = 0; c < n; c++) {
        const uint16_t *row = vectors + (size_t)c * k;
        double sum = 0, top = 0;
        for (int i = 0; i < k; i++) {
            double v = fabs(_cvtsh_ss(row[i]));
            sum += v;
            if (v > top) top = v;
        }
        /* The sum of absolute integers must stay below INT32_MAX / QUERY_MAX. Rounding adds at most
         * a half to each of the k, which is taken off first. */
        double factor = sum > 0 ? ((double)INT32_MAX / QUERY_MAX - k * 0.5) / sum : 1;
        if (factor * top > INT16_MAX) factor = INT16_MAX / top;
        for (int i = 0; i < k; i++)
            out[packed_position(panel, c, i, k)] = (int16_t)lrint(_cvtsh_ss(row[i]) * factor);
        scale[c] = (float)(1 / factor);
    }
}

/* out[m, n] = queries[m, k] * vectors, as `pack_vectors` made them. Returns 0, or 1 without
 * memory. */
int cosines_batch(const float *queries, int32_t m, int32_t k, const int16_t *vectors,
                  const float *scale, int32_t n, int32_t instruction_set, float *out) {
    const size_t bytes = (size_t)m * k * sizeof(int16_t);
    int16_t *rows = aligned_alloc(64, (bytes + 63) / 64 * 64);
    float *row_scale = malloc(m * sizeof(float));
    const int failed = !rows || !row_scale;
    if (!failed) {
        for (int r = 0; r < m; r++)
            row_scale[r] = quantise_query(queries + (size_t)r * k, k, rows + (size_t)r * k);
        if (instruction_set == AVX2) multiply_avx2(rows, row_scale, m, k, vectors, scale, out, n);
        else multiply_vnni(rows, row_scale, m, k, vectors, scale, out, n);
    }
    free(rows), free(row_scale);
    return failed;
}
