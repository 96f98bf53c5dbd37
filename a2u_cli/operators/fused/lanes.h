/* What the sources for `vectors.h` share: a vector's LANES floats, and how they are read, written and chosen from. */
#pragma once
#include "vectors.h"

typedef ptrdiff_t Index;

#if defined(HAS_VECTORS)
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { LANES = VECTOR / 4 };

typedef float Floats __attribute__((vector_size(VECTOR)));
typedef int32_t Whole __attribute__((vector_size(VECTOR))); /* numbers, or all bits of a lane set where something holds */
typedef Floats Anywhere __attribute__((aligned(4), may_alias));

INLINE Floats load(const float *from) { return *(const Anywhere *)from; }
INLINE void store(float *to, Floats x) { *(Anywhere *)to = x; }
INLINE Floats choose(Whole where, Floats x, Floats y) { return (Floats)((where & (Whole)x) | (~where & (Whole)y)); }
INLINE Index larger(Index a, Index b) { return a > b ? a : b; }
INLINE Index smaller(Index a, Index b) { return a < b ? a : b; }
#endif
