/* The A2U resampling operators on the CPU, forward and backward, on channels-last memory.
 *
 * Every array lies as (n, row, column, channel); kernels lie as (n, row, column, tap). Work is counted in
 * coarse rows (n * h of them), so that callers may split [start, stop) over threads: gradients are
 * gathered, never scattered, and no two rows write the same place. Images are float32 or bfloat16; kernels,
 * their gradients and all sums are float32 for both.
 *
 * All operators and their gradients reduce to two loops over a rectangle of pixels and the weights that
 * belong to it: `weigh` (a weighted sum of pixels) and `dots` (the gradient of such a sum's weights).
 */
#include <stddef.h>
#include <string.h>

#include "arguments.h"

#if defined(_MSC_VER)
#define INLINE static __forceinline
#define UNROLL
#else
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 8")
#endif

#if !defined(RESAMPLE)
enum { VECTOR = 16 }; /* bytes of a register */
#endif
/* The sums of BLOCKS * LANES channels fill eight registers; the windows of TILE coarse columns fit the cache. */
enum { MAX_TAPS = 64, LANES = VECTOR / 2, BLOCKS = 4, FINE_BLOCKS = VECTOR > 32 ? 2 : 1, TILE = 64 };

typedef ptrdiff_t Index;

/* Rows x columns of pixels at x, and for each a weight; distances are in elements. */
typedef struct {
    Index rows, columns;
    const void *x;
    Index x_row, x_column;
    const float *weight;
    Index first, weight_row, weight_column; /* the first weight is weight[first] */
} Rectangle;

INLINE Index larger(Index a, Index b) { return a > b ? a : b; }
INLINE Index smaller(Index a, Index b) { return a < b ? a : b; }

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

/* `blocks` (constant) times LANES channels from c on of a weighted sum, or the last `count` < LANES channels. */
INLINE void weigh_block(void *out, const Rectangle *r, const Rectangle *end, Index c, int blocks, Index count,
                        int bf16) {
    Lanes sum[BLOCKS] = {0}, x;
    for (; r < end; r++)
        for (Index u = 0; u < r->rows; u++)
            for (Index v = 0; v < r->columns; v++) {
                const float weight = r->weight[r->first + u * r->weight_row + v * r->weight_column];
                const void *at = move(r->x, u * r->x_row + v * r->x_column + c, bf16);
                UNROLL for (int b = 0; b < blocks; b++) {
                    load_part(&x, move(at, b * LANES, bf16), count, bf16);
                    add_scaled(&sum[b], weight, &x);
                }
            }
    UNROLL for (int b = 0; b < blocks; b++)
        store_part((void *)move(out, c + b * LANES, bf16), &sum[b], count, bf16);
}

/* out[c] = the sum over all pixels of these rectangles of weight * x[c]. */
INLINE void weigh(void *out, const Rectangle *r, int rectangles, Index channels, int bf16) {
    const Rectangle *end = r + rectangles;
    Index c = 0;
    for (; c + BLOCKS * LANES <= channels; c += BLOCKS * LANES) weigh_block(out, r, end, c, BLOCKS, LANES, bf16);
    for (; c + 2 * LANES <= channels; c += 2 * LANES) weigh_block(out, r, end, c, 2, LANES, bf16);
    for (; c + LANES <= channels; c += LANES) weigh_block(out, r, end, c, 1, LANES, bf16);
    if (c < channels) weigh_block(out, r, end, c, 1, channels - c, bf16);
}

/* As `weigh_block` at the four fine pixels of a place, which see the same window: their kernels lie `apart`. */
INLINE void weigh_fine_block(void *const out[4], const Rectangle *r, const Index apart[4], Index c, int blocks,
                             Index count, int bf16) {
    Lanes sum[4][FINE_BLOCKS] = {0}, x;
    for (Index u = 0; u < r->rows; u++)
        for (Index v = 0; v < r->columns; v++) {
            const float *weight = r->weight + r->first + u * r->weight_row + v * r->weight_column;
            const void *at = move(r->x, u * r->x_row + v * r->x_column + c, bf16);
            UNROLL for (int b = 0; b < blocks; b++) {
                load_part(&x, move(at, b * LANES, bf16), count, bf16);
                UNROLL for (int q = 0; q < 4; q++) add_scaled(&sum[q][b], weight[apart[q]], &x);
            }
        }
    UNROLL for (int q = 0; q < 4; q++)
        UNROLL for (int b = 0; b < blocks; b++)
            store_part((void *)move(out[q], c + b * LANES, bf16), &sum[q][b], count, bf16);
}

INLINE void weigh_fine(void *const out[4], const Rectangle *r, const Index apart[4], Index channels, int bf16) {
    Index c = 0;
    for (; c + FINE_BLOCKS * LANES <= channels; c += FINE_BLOCKS * LANES)
        weigh_fine_block(out, r, apart, c, FINE_BLOCKS, LANES, bf16);
    for (; c + LANES <= channels; c += LANES) weigh_fine_block(out, r, apart, c, 1, LANES, bf16);
    if (c < channels) weigh_fine_block(out, r, apart, c, 1, channels - c, bf16);
}

INLINE void dots_block(Lanes *dot, const void *grad, const Rectangle *r, Index c, int blocks, Index count, int bf16) {
    Lanes d[BLOCKS], x;
    UNROLL for (int b = 0; b < blocks; b++) load_part(&d[b], move(grad, c + b * LANES, bf16), count, bf16);
    for (Index u = 0; u < r->rows; u++)
        for (Index v = 0; v < r->columns; v++) {
            Lanes *sum = &dot[r->first + u * r->weight_row + v * r->weight_column], product = *sum;
            const void *at = move(r->x, u * r->x_row + v * r->x_column + c, bf16);
            UNROLL for (int b = 0; b < blocks; b++) {
                load_part(&x, move(at, b * LANES, bf16), count, bf16);
                add_product(&product, &d[b], &x);
            }
            *sum = product;
        }
}

/* Adds to dot[tap], lane by lane, the products grad[c] * x[c] over all channels at that tap's pixel. */
INLINE void dots(Lanes *dot, const void *grad, const Rectangle *r, Index channels, int bf16) {
    Index c = 0;
    for (; c + BLOCKS * LANES <= channels; c += BLOCKS * LANES) dots_block(dot, grad, r, c, BLOCKS, LANES, bf16);
    for (; c + 2 * LANES <= channels; c += 2 * LANES) dots_block(dot, grad, r, c, 2, LANES, bf16);
    for (; c + LANES <= channels; c += LANES) dots_block(dot, grad, r, c, 1, LANES, bf16);
    if (c < channels) dots_block(dot, grad, r, c, 1, channels - c, bf16);
}

/* The k x k window of sample n from (top, left) on, and its kernel; taps outside the image are left out. */
INLINE Rectangle window(const Resampling *job, Index n, Index scale, Index top, Index left, const float *kernel,
                        int bf16) {
    const Index height = scale * job->h, width = scale * job->w, c = job->channels, k = job->k;
    const Index u = larger(0, -top), v = larger(0, -left);
    Rectangle r;
    r.rows = smaller(k, height - top) - u, r.columns = smaller(k, width - left) - v;
    r.x = move(job->x, ((n * height + top + u) * width + left + v) * c, bf16);
    r.x_row = width * c, r.x_column = c;
    r.weight = kernel, r.first = u * k + v, r.weight_row = k, r.weight_column = 1;
    return r;
}

/* The coarse pixels whose window (from 2i - pad on) holds fine pixel (y, x) of sample n. `kernels` are that
 * sample's; from one coarse pixel's kernel to the next is `step`, 0 where one filter serves them all. */
INLINE Rectangle coarse_over(const Resampling *job, const void *image, Index n, Index y, Index x, const float *kernels,
                             Index step, int bf16) {
    const Index k = job->k, pad = (k - 1) / 2, h = job->h, w = job->w, c = job->channels;
    const Index i = larger(0, y + pad - k + 2) / 2, j = larger(0, x + pad - k + 2) / 2;
    Rectangle r;
    r.rows = smaller(h, (y + pad) / 2 + 1) - i, r.columns = smaller(w, (x + pad) / 2 + 1) - j;
    r.x = move(image, ((n * h + i) * w + j) * c, bf16);
    r.x_row = w * c, r.x_column = c;
    r.weight = kernels, r.first = (i * w + j) * step + (y + pad - 2 * i) * k + x + pad - 2 * j;
    r.weight_row = w * step - 2 * k, r.weight_column = step - 2;
    return r;
}

/* The fine pixels (2a + q / 2, 2b + q % 2) whose window (from (a, b) - pad on) holds coarse pixel (i, j). */
INLINE Rectangle fine_over(const Resampling *job, Index n, Index i, Index j, int q, int bf16) {
    const Index k = job->k, pad = (k - 1) / 2, h = job->h, w = job->w, c = job->channels;
    const Index a = larger(0, i + pad - k + 1), b = larger(0, j + pad - k + 1);
    const Index pixel = (2 * (n * h + a) + q / 2) * 2 * w + 2 * b + q % 2;
    Rectangle r;
    r.rows = smaller(h, i + pad + 1) - a, r.columns = smaller(w, j + pad + 1) - b;
    r.x = move(job->grad, pixel * c, bf16);
    r.x_row = 4 * w * c, r.x_column = 2 * c;
    r.weight = job->kernels, r.first = pixel * k * k + (i + pad - a) * k + j + pad - b;
    r.weight_row = 4 * w * k * k - k, r.weight_column = 2 * k * k - 1;
    return r;
}

/* Coarse pixel (i, j) of sample n, and the indices of it and of its four fine pixels in the whole batch. */
typedef struct {
    Index n, i, j, coarse, fine[4];
} Place;

INLINE Place place(const Resampling *job, Index row, Index j) {
    Place p = {row / job->h, row % job->h, j, row * job->w + j, {0}};
    for (int q = 0; q < 4; q++) p.fine[q] = (2 * row + q / 2) * 2 * job->w + 2 * j + q % 2;
    return p;
}

/* The window that made output q of the forward operation at this place. */
INLINE Rectangle source(const Resampling *job, const Place *p, int q, int bf16) {
    const Index taps = job->k * job->k, pad = (job->k - 1) / 2;
    const int up = job->op == UP || job->op == UP_BACKWARD, filter = job->op == FILTER || job->op == FILTER_BACKWARD;
    const float *kernels = filter && q ? job->kernels2 : job->kernels;
    const Index scale = up ? 1 : 2, kernel = up ? p->fine[q] : filter ? p->n : p->coarse;
    if (kernels) kernels += kernel * taps; /* the gradient of a kernel does not need it */
    return window(job, p->n, scale, scale * p->i - pad, scale * p->j - pad, kernels, bf16);
}

/* All that made pixel q of the gradient of x at this place; returns the number of rectangles. */
INLINE int gradient_sources(const Resampling *job, const Place *p, int q, Rectangle *r, int bf16) {
    const Index taps = job->k * job->k, y = 2 * p->i + q / 2, x = 2 * p->j + q % 2;
    if (job->op == DOWN_BACKWARD) {
        r[0] = coarse_over(job, job->grad, p->n, y, x, job->kernels + p->n * job->h * job->w * taps, taps, bf16);
        return 1;
    }
    if (job->op == FILTER_BACKWARD) {
        r[0] = coarse_over(job, job->grad, p->n, y, x, job->kernels + p->n * taps, 0, bf16);
        r[1] = coarse_over(job, job->grad2, p->n, y, x, job->kernels2 + p->n * taps, 0, bf16);
        return 2;
    }
    for (int part = 0; part < 4; part++) r[part] = fine_over(job, p->n, p->i, p->j, part, bf16);
    return 4;
}

/* Writes the outputs at one place: the results forward, the gradient of x backward. */
INLINE void write_images(const Resampling *job, const Place *p, int bf16) {
    const int backward = job->op >= DOWN_BACKWARD, fine = backward && job->op != UP_BACKWARD;
    const int outputs = fine ? 4 : job->op == FILTER ? 2 : 1;
    Rectangle r[4];
    if (job->op == UP) {
        void *out[4];
        Index apart[4];
        for (int q = 0; q < 4; q++) {
            out[q] = (void *)move(job->out, p->fine[q] * job->channels, bf16);
            apart[q] = (p->fine[q] - p->fine[0]) * job->k * job->k;
        }
        r[0] = source(job, p, 0, bf16);
        weigh_fine(out, r, apart, job->channels, bf16);
        return;
    }
    for (int q = 0; q < outputs; q++) {
        void *out = job->op == FILTER && q ? job->out2 : job->out;
        int rectangles = 1;
        if (backward) rectangles = gradient_sources(job, p, q, r, bf16);
        else r[0] = source(job, p, q, bf16);
        out = (void *)move(out, (fine ? p->fine[q] : p->coarse) * job->channels, bf16);
        weigh(out, r, rectangles, job->channels, bf16);
    }
}

/* Writes the gradients of the kernels at one place; the filters' are added up in `filters`, tap by tap. */
INLINE void write_kernels(const Resampling *job, const Place *p, Lanes *filters, int bf16) {
    const int up = job->op == UP_BACKWARD, filter = job->op == FILTER_BACKWARD, outputs = up ? 4 : filter ? 2 : 1;
    const Index taps = job->k * job->k;
    float *kernels = job->out2;
    Lanes kernel[MAX_TAPS];
    for (int q = 0; q < outputs; q++) {
        const Index output = up ? p->fine[q] : p->coarse;
        const void *grad = move(filter && q ? job->grad2 : job->grad, output * job->channels, bf16);
        const Rectangle r = source(job, p, q, bf16);
        if (!filter) memset(kernel, 0, sizeof *kernel * (size_t)taps);
        dots(filter ? filters + q * taps : kernel, grad, &r, job->channels, bf16);
        for (Index t = 0; t < taps && !filter; t++) kernels[output * taps + t] = total(&kernel[t]);
    }
}

/* The two passes over a row are apart because together their pixels don't fit the first-level cache. */
INLINE void resample_rows(const Resampling *job, int bf16) {
    const int filter = job->op == FILTER_BACKWARD;
    const int kernels = filter ? job->sums != NULL : job->op >= DOWN_BACKWARD && job->out2 != NULL;
    const Index taps = 2 * job->k * job->k;
    Lanes filters[2 * MAX_TAPS];
    for (Index left = 0; left < job->w; left += TILE)
        for (Index row = job->start; row < job->stop; row++) {
            const Index right = smaller(left + TILE, job->w);
            memset(filters, 0, sizeof filters);
            for (Index j = left; j < right && kernels; j++) {
                const Place p = place(job, row, j);
                write_kernels(job, &p, filters, bf16);
            }
            for (Index j = left; j < right && job->out; j++) {
                const Place p = place(job, row, j);
                write_images(job, &p, bf16);
            }
            for (Index t = 0; t < taps && filter && kernels; t++)
                job->sums[row / job->h * taps + t] += total(&filters[t]);
        }
}

/* Writes the results of UP in tiles of 4x4 fine pixels, which are 2x2 coarse ones. */
INLINE void upsample_tiles(const Resampling *job, int bf16) {
    const Index across = (job->w + 1) / 2, down = (job->h + 1) / 2;
    for (Index t = job->start; t < job->stop; t++) {
        const Index number = job->tiles[t], i = number / across % down * 2, j = number % across * 2;
        const Index n = number / (across * down);
        for (Index y = i; y < smaller(i + 2, job->h); y++)
            for (Index x = j; x < smaller(j + 2, job->w); x++) {
                const Place p = place(job, n * job->h + y, x);
                write_images(job, &p, bf16);
            }
    }
}

/* `resampling_avx2.c` and `resampling_avx512.c` compile all of the above once more, for wider vectors. */
#if !defined(RESAMPLE)
#define RESAMPLE resample_anywhere
#define DISPATCH
#endif

void RESAMPLE(const Resampling *job) {
    if (job->tiles && job->bf16) upsample_tiles(job, 1);
    else if (job->tiles) upsample_tiles(job, 0);
    else if (job->bf16) resample_rows(job, 1);
    else resample_rows(job, 0);
}

#if defined(DISPATCH)
void resample_avx2(const Resampling *job);
void resample_avx512(const Resampling *job);

/* One binary for every x86-64 machine: the widest form runs that the processor has. */
EXPORT void a2u_resample(const Resampling *job) {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(_WIN32)
    if (a2u_has_avx512()) {
        resample_avx512(job);
        return;
    }
    if (a2u_has_avx2()) {
        resample_avx2(job);
        return;
    }
#endif
    resample_anywhere(job);
}
#endif
