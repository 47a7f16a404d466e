/* The registers that a tile file is compiled for. Define WIDE as 0 (AVX2, 8 lanes) or 1 (AVX-512,
 * 16 lanes) and include this before each include of such a file. */
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
