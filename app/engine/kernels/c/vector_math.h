/* Functions of eight floats at a time. */
#ifndef VECTOR_MATH_H
#define VECTOR_MATH_H

#include <immintrin.h>

static inline float sum8(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

static inline float max8(__m256 v) {
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

static inline float min8(__m256 v) {
    __m128 s = _mm_min_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_min_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_min_ss(s, _mm_movehdup_ps(s)));
}

/* e to the v, for v <= 0 (a softmax takes off the maximum first), with a relative error of 2e-7.
 * From -87 down it is e to the -87, about 1e-38: below that, 2^n is no normal float any more.
 *
 * Cephes: e^v = 2^n * e^r with n = v / ln 2 rounded, so that |r| <= ln 2 / 2, where a polynomial of
 * degree 7 is enough. ln 2 is taken off in two parts: the first has few bits, so n times it is
 * exact. 2^n is an integer added to the exponent bits of the float. */
static inline __m256 exp8(__m256 v) {
    v = _mm256_max_ps(v, _mm256_set1_ps(-87.0f));
    const int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    __m256 n = _mm256_round_ps(_mm256_mul_ps(v, _mm256_set1_ps(1.44269504f)), nearest);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), v);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_fmadd_ps(p, _mm256_mul_ps(r, r), _mm256_add_ps(r, _mm256_set1_ps(1.0f)));
    __m256i e = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), e));
}

/* erf(v / sqrt 2), the part of GELU(v) = v / 2 * (1 + erf(v / sqrt 2)) that is not plain arithmetic,
 * with an error of 1e-4: what the next layer gets is rounded to bytes, which is coarser.
 *
 * It is an odd polynomial of degree 13 for |v| <= 4. Beyond, erf is 1 or -1 but for 6e-5, so v is
 * clamped. */
static inline __m256 erf8(__m256 v) {
    v = _mm256_max_ps(_mm256_min_ps(v, _mm256_set1_ps(4.0f)), _mm256_set1_ps(-4.0f));
    __m256 s = _mm256_mul_ps(v, v);
    __m256 p = _mm256_set1_ps(4.555816852e-08f);
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(-3.196968601e-06f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(9.590644036e-05f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(-1.627987109e-03f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(1.754456621e-02f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(-1.291457579e-01f));
    p = _mm256_fmadd_ps(p, s, _mm256_set1_ps(7.957663567e-01f));
    return _mm256_mul_ps(v, p);
}

/* The sum of each of eight vectors. */
static inline __m256 sums8(const __m256 v[8]) {
    __m256 a = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
    __m256 b = _mm256_hadd_ps(_mm256_hadd_ps(v[4], v[5]), _mm256_hadd_ps(v[6], v[7]));
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

#endif
