/* Which instructions multiply; what is compiled for AVX-512 says so function by function. */
#include <stdint.h>

enum { AVX2, VNNI, AMX };
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

/* Whether this processor, and its system, can make products this way. AVX2 is taken for granted. */
int can(int32_t products);
