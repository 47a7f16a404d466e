/* Which instruction sets this processor and its operating system have. */
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "instruction_set.h"
#include "shared.h"

const Shared instruction_set_shared[] = {
    SHARED_CONSTANT(AVX2), SHARED_CONSTANT(VNNI), SHARED_CONSTANT(AMX), SHARED_END,
};

/* CPUID leaf 7, register EDX: bit 24 is AMX-TILE, bit 25 AMX-INT8. */
#define AMX_TILE_AND_INT8 (3u << 24)
/* Linux saves the 8 KB of tiles only for processes that ask: arch_prctl(ARCH_REQ_XCOMP_PERM,
 * XFEATURE_XTILEDATA). Both numbers are missing in older headers. */
enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };

int instruction_set_available(int32_t instruction_set) {
    if (instruction_set == AVX2) return 1;
    if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512bw")) return 0;
    if (instruction_set == VNNI) return 1;
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    if ((d & AMX_TILE_AND_INT8) != AMX_TILE_AND_INT8) return 0;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
