/* What is asked of the library as a whole: whether it fits its callers, and work for a team of threads. */
#include "arguments.h"

/* ABI, then the sizes of the arguments, then -1. */
EXPORT int64_t a2u_abi(int64_t at) {
    static const int64_t numbers[] = {ABI, sizeof(Resampling), sizeof(Picture), sizeof(Convolution), sizeof(Encoding),
                                      sizeof(Kernels), sizeof(Strip), sizeof(Team)};
    return at >= 0 && at < (int64_t)(sizeof numbers / sizeof *numbers) ? numbers[at] : -1;
}

/* As many bytes as a vector may have: 64 for AVX-512, 32 for AVX2; for tests and timings. */
static int widest = 64;
EXPORT void a2u_use_at_most(int bytes) { widest = bytes; }

#if defined(__x86_64__) && defined(__GNUC__) && !defined(_WIN32)
EXPORT int a2u_has_avx2(void) {
    return widest >= 32 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
EXPORT int a2u_has_avx512(void) {
    return widest >= 64 && a2u_has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#else
EXPORT int a2u_has_avx2(void) { return 0; }
EXPORT int a2u_has_avx512(void) { return 0; }
#endif

/* Takes jobs, one after the other, until none is left: every thread of the team runs this. */
#if defined(__GNUC__) && !defined(_WIN32)
EXPORT void a2u_take(Team *team) {
    int64_t job;
    while ((job = __atomic_fetch_add(&team->next, 1, __ATOMIC_RELAXED)) < team->count)
        team->function(team->jobs + job * team->size);
}
#endif

#if defined(_WIN32)
/* setuptools has the linker export this from every extension; here ctypes loads the library instead. */
EXPORT void *PyInit__compiled(void) { return (void *)0; }
#endif
