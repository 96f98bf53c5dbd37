/* `resampling.c` compiled for x86-64 processors with AVX2 and fused multiply-add; nothing elsewhere.
 * Nothing on Windows either: there gcc leaves the stack unaligned for vectors of this width. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(_WIN32)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define RESAMPLE resample_avx2
#include "resampling.c"
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
