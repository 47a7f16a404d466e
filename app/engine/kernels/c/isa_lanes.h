/* The registers that a file of tiles is compiled for: included before each include of such a file,
 * with WIDE 0 or 1. */
#undef NAME
#undef LANES
#undef INTS
#undef FLOATS
#undef OP
#undef TARGET
#if WIDE
#define NAME(x) x##_vnni
#define LANES 16
#define INTS __m512i
#define FLOATS __m512
#define OP(x) _mm512_##x
#define TARGET AVX512
#else
#define NAME(x) x##_avx2
#define LANES 8
#define INTS __m256i
#define FLOATS __m256
#define OP(x) _mm256_##x
#define TARGET
#endif
#undef WIDE
