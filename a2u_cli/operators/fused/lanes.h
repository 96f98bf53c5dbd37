/* LANES values of float32 or bfloat16 at a time, reckoned with in float32. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER)
#define INLINE static __forceinline
#define UNROLL
#else
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")
#endif

#if defined(RESAMPLE)
enum { VECTOR = 32 }; /* bytes of a register: wider vector types would live in memory */
#else
enum { VECTOR = 16 };
#endif
enum { LANES = VECTOR / 2 };

typedef ptrdiff_t Index;

/* `bf16` is a constant wherever these are called, so that each caller is compiled once for each type. */
INLINE const void *move(const void *data, Index elements, int bf16) {
    return (const char *)data + elements * (bf16 ? 2 : 4);
}

/* LANES channels. Vector types keep sums in registers, which compilers don't do for arrays. Of bfloat16 the even
 * and the odd channels make the two halves: each is one instruction away from float32. */
#if defined(__GNUC__)
typedef float Floats __attribute__((vector_size(VECTOR)));
typedef uint32_t Bits __attribute__((vector_size(VECTOR)));
typedef float Quad __attribute__((vector_size(16), may_alias));
typedef struct {
    Floats a, b;
} Lanes;

/* Not memcpy: gcc copies through the stack in smaller pieces, ten times slower. */
typedef Floats Anywhere __attribute__((aligned(1), may_alias));

INLINE void load(Lanes *to, const void *from, int bf16) {
    const Anywhere *at = from;
    to->a = at[0];
    if (bf16) {
        const Bits both = (Bits)to->a;
        to->a = (Floats)(both << 16);
        to->b = (Floats)(both & 0xffff0000u);
    } else {
        to->b = at[1];
    }
}

INLINE Bits rounded(Floats x) {
    const Bits bits = (Bits)x, nan = (Bits)(x != x);
    return (nan & 0x7fc00000u) | (~nan & (bits + 0x7fffu + ((bits >> 16) & 1u))); /* ties to even */
}

INLINE void store(void *to, const Lanes *from, int bf16) {
    Anywhere *at = to;
    if (bf16) {
        at[0] = (Floats)(rounded(from->a) >> 16 | (rounded(from->b) & 0xffff0000u));
    } else {
        at[0] = from->a;
        at[1] = from->b;
    }
}

INLINE void add_scaled(Lanes *sum, float weight, const Lanes *x) {
    sum->a += weight * x->a;
    sum->b += weight * x->b;
}

INLINE void add_product(Lanes *sum, const Lanes *x, const Lanes *y) {
    sum->a += x->a * y->a;
    sum->b += x->b * y->b;
}

/* Where `sign` is not positive, multiplies by the slope. */
INLINE void leak(Lanes *value, const Lanes *sign, float slope) {
    const Bits a = (Bits)(sign->a > 0), b = (Bits)(sign->b > 0);
    value->a = (Floats)((a & (Bits)value->a) | (~a & (Bits)(value->a * slope)));
    value->b = (Floats)((b & (Bits)value->b) | (~b & (Bits)(value->b * slope)));
}

INLINE float total(const Lanes *x) {
    const Quad *quad = (const Quad *)x;
    Quad sum = quad[0];
    for (int i = 1; i < LANES / 4; i++) sum += quad[i];
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}
#else
typedef struct {
    float lane[LANES];
} Lanes;

INLINE float get(const void *data, Index at, int bf16) {
    uint16_t half;
    uint32_t bits;
    float value;
    if (!bf16) return ((const float *)data)[at];
    memcpy(&half, move(data, at, 1), sizeof half);
    bits = (uint32_t)half << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

INLINE void put(void *data, Index at, float value, int bf16) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t rounded = value != value ? 0x7fc0u : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16; /* ties to even */
    const uint16_t half = (uint16_t)rounded;
    if (bf16) memcpy((uint16_t *)data + at, &half, sizeof half);
    else ((float *)data)[at] = value;
}

INLINE void load(Lanes *to, const void *from, int bf16) {
    for (int l = 0; l < LANES; l++) to->lane[l] = get(from, l, bf16);
}

INLINE void store(void *to, const Lanes *from, int bf16) {
    for (int l = 0; l < LANES; l++) put(to, l, from->lane[l], bf16);
}

INLINE void add_scaled(Lanes *sum, float weight, const Lanes *x) {
    for (int l = 0; l < LANES; l++) sum->lane[l] += weight * x->lane[l];
}

INLINE void add_product(Lanes *sum, const Lanes *x, const Lanes *y) {
    for (int l = 0; l < LANES; l++) sum->lane[l] += x->lane[l] * y->lane[l];
}

INLINE void leak(Lanes *value, const Lanes *sign, float slope) {
    for (int l = 0; l < LANES; l++) value->lane[l] *= sign->lane[l] > 0 ? 1 : slope;
}

INLINE float total(const Lanes *x) {
    float sum = 0;
    for (int l = 0; l < LANES; l++) sum += x->lane[l];
    return sum;
}
#endif

/* The last channels, fewer than LANES, are copied beside zeros. */
INLINE void load_part(Lanes *to, const void *from, Index count, int bf16) {
    float some[LANES] = {0};
    if (count < LANES) from = memcpy(some, from, (size_t)count * (bf16 ? 2 : 4));
    load(to, from, bf16);
}

INLINE void store_part(void *to, const Lanes *from, Index count, int bf16) {
    float some[LANES];
    store(count < LANES ? some : to, from, bf16);
    if (count < LANES) memcpy(to, some, (size_t)count * (bf16 ? 2 : 4));
}
