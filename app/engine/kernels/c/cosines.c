/* Probes times the vectors of items, by 16-bit integers: half the memory of float32 to read, which
 * is what one probe waits for, and cosines as they are to four places.
 *
 * A probe keeps 12 bits. No sum can overflow: the words of a vector add up to at most
 * INT32_MAX / PROBE_MAX. packed_vectors.py has checked what it is given.
 *
 *   AVX2  vpmaddwd multiplies twice as many pairs a cycle as a float32 FMA
 *   VNNI  vpdpwssd of AVX-512 multiplies twice as many again, and adds them up as well
 *
 * AMX has no such product: where it is there, VNNI is.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "encoder_math.h"
#include "isa.h"

enum { PROBE_MAX = 4095 };

#define WIDE 0
#include "isa_lanes.h"
#define ROWS 4
#define DOT(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))
#include "cosines_tile.h"
#undef ROWS
#undef DOT

#define WIDE 1
#include "isa_lanes.h"
#define ROWS 8
#define DOT(sum, a, b) _mm512_dpwssd_epi32(sum, a, b)
#include "cosines_tile.h"

/* Quantises a row of k: a value is quantised * scale, which is returned. */
static float quantise(const float *x, int k, int16_t *words) {
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 top = _mm256_setzero_ps();
    for (int i = 0; i < k; i += 8)
        top = _mm256_max_ps(top, _mm256_andnot_ps(sign, _mm256_loadu_ps(x + i)));
    float most = max8(top);
    if (!(most > 0)) most = 1;
    const __m256 factor = _mm256_set1_ps(PROBE_MAX / most);
    for (int i = 0; i < k; i += 16) {
        __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i), factor));
        __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + i + 8), factor));
        __m256i both = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
        _mm256_storeu_si256((__m256i *)(words + i), both);
    }
    return most / PROBE_MAX;
}

/* Panels of as many vectors as a tile takes, by pairs along k. */
static size_t place(int panel, int c, int i, int k) {
    return (size_t)(c / panel) * panel * k + (size_t)(i / 2) * 2 * panel + c % panel * 2 + i % 2;
}

/* Quantises vectors float16[n, k] to words; scale float[n].
 * n: a multiple of 16, but for AVX2 of 32; k: of 16. */
void pack_words(const uint16_t *vectors, int32_t n, int32_t k, int32_t products, int16_t *out,
                float *scale) {
    const int panel = products == AVX2 ? 16 : 32;
    for (int c = 0; c < n; c++) {
        const uint16_t *row = vectors + (size_t)c * k;
        double sum = 0, top = 0;
        for (int i = 0; i < k; i++) {
            double v = fabs(_cvtsh_ss(row[i]));
            sum += v;
            if (v > top) top = v;
        }
        /* Rounding adds at most a half to each of the k. */
        double factor = sum > 0 ? ((double)INT32_MAX / PROBE_MAX - k * 0.5) / sum : 1;
        if (factor * top > INT16_MAX) factor = INT16_MAX / top;
        for (int i = 0; i < k; i++)
            out[place(panel, c, i, k)] = (int16_t)lrint(_cvtsh_ss(row[i]) * factor);
        scale[c] = (float)(1 / factor);
    }
}

/* y[m, n] = x[m, k] * vectors, of rows of floats and what `pack_words` made.
 * Returns 0, or 1 without memory. */
int multiply(const float *x, int32_t m, int32_t k, const int16_t *vectors, const float *scale,
             int32_t n, int32_t products, float *y) {
    const size_t bytes = (size_t)m * k * sizeof(int16_t);
    int16_t *rows = aligned_alloc(64, (bytes + 63) / 64 * 64);
    float *row_scale = malloc(m * sizeof(float));
    const int failed = !rows || !row_scale;
    if (!failed) {
        for (int r = 0; r < m; r++)
            row_scale[r] = quantise(x + (size_t)r * k, k, rows + (size_t)r * k);
        if (products == AVX2) products_avx2(rows, row_scale, m, k, vectors, scale, y, n);
        else products_vnni(rows, row_scale, m, k, vectors, scale, y, n);
    }
    free(rows), free(row_scale);
    return failed;
}
