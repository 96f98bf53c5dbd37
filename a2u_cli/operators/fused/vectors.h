/* Vectors of floats on x86-64. A source that includes this is compiled for processors with AVX2 and fused multiply-add,
 * and once more for those with AVX-512, by a source that defines AVX512 and includes it. Elsewhere there is nothing;
 * nor on Windows, where gcc leaves the stack unaligned for vectors of this width. What follows is all for that
 * processor, as far as END_VECTORS.
 */
#pragma once
#include <stddef.h>

#include "arguments.h"

#if defined(__x86_64__) && defined(__GNUC__) && !defined(_WIN32)
#define HAS_VECTORS
#if defined(AVX512)
#define FORM(name) name##_avx512
enum { VECTOR = 64 }; /* bytes of a register: wider vector types would live in memory */
#else
#define FORM(name) name##_avx2
enum { VECTOR = 32 };
#endif

#if defined(__clang__) && defined(AVX512)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,fma"))), apply_to = function)
#elif defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif defined(AVX512)
#pragma GCC target("avx512f,avx512dq,avx512vl,fma")
#else
#pragma GCC target("avx2,fma")
#endif
#if defined(__clang__)
#define END_VECTORS _Pragma("clang attribute pop")
#else
#define END_VECTORS
#endif
#endif
