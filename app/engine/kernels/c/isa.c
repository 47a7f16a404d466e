/* What this processor can multiply with. */
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "isa.h"

int can(int32_t products) {
    if (products == AVX2) return 1;
    if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512bw")) return 0;
    if (products == VNNI) return 1;
    const unsigned tile_and_int8 = 3u << 24;
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & tile_and_int8) != tile_and_int8) return 0;
    return syscall(SYS_arch_prctl, 0x1023 /* ask for */, 18 /* the tiles */) == 0;
}
