/* The instruction sets that multiply. What is compiled for AVX-512 says so function by function. */
#ifndef INSTRUCTION_SET_H
#define INSTRUCTION_SET_H

#include <stdint.h>

enum { AVX2, VNNI, AMX };
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

/* Whether this processor and its system have an instruction set. AVX2 is taken for granted:
 * loader.py has checked it. */
int instruction_set_available(int32_t instruction_set);

#endif
