/* The operator's kernels at one go from the affinity plane (affinity.py): projected, and their taps normalised. Float32;
 * nothing where there are no `vectors.h`.
 */
#include <string.h>

#include "lanes.h"

#if defined(HAS_VECTORS)
enum { MAX_TAPS = 64, MAX_VECTORS = MAX_TAPS / LANES, SIDE = 2 /* of a tile, in coarse pixels */ };

typedef float Quad __attribute__((vector_size(16), may_alias));

/* e^x, x kept between -87 and 87: 2^n e^r, with r at most half of ln 2, and that one's series. Not a number stays so. */
INLINE Floats power(Floats x) {
    const Floats end = (Floats){0} + 87.0f, magic = (Floats){0} + 12582912.0f; /* adding 1.5 * 2^23 rounds */
    x = choose(x < -end, -end, x);
    x = choose(x > end, end, x);
    const Floats shifted = x * 1.44269504f + magic, n = shifted - magic;
    const Floats r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts, the first exact */
    Floats y = r * (1.0f / 5040) + 1.0f / 720;
    y = y * r + 1.0f / 120;
    y = y * r + 1.0f / 24;
    y = y * r + 1.0f / 6;
    y = y * r + 0.5f;
    y = y * r + 1.0f;
    y = y * r + 1.0f;
    return (Floats)((Whole)y + (((Whole)shifted - (Whole)magic) << 23));
}

INLINE float total(Floats x) {
    const Quad *quad = (const Quad *)&x;
    Quad sum = quad[0];
    UNROLL for (int q = 1; q < LANES / 4; q++) sum += quad[q];
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

/* Writes a kernel: the softmax of weights times affinity, or of their sigmoid; `taps` and `sigmoid` are constants. */
INLINE void write_kernel(const Kernels *job, float *out, Index set, float affinity, Index taps, int sigmoid) {
    const int vectors = (int)(taps + LANES - 1) / LANES;
    const Floats one = (Floats){0} + 1.0f;
    const float *weights = job->weights + set * job->room, *ends = job->ends + 2 * set;
    const float most = (affinity > 0 ? ends[1] : ends[0]) * affinity;
    Floats powers[MAX_VECTORS] = {0}, sum = {0};
    float last[LANES];
    UNROLL for (int v = 0; v < vectors; v++) {
        const Floats x = load(weights + v * LANES) * affinity;
        powers[v] = power(sigmoid ? one / (one + power(-x)) : x - most);
    }
    powers[vectors - 1] *= load(job->inside + (vectors - 1) * LANES); /* past the last tap there is nothing */
    UNROLL for (int v = 0; v < vectors; v++) sum += powers[v];
    const float scale = 1.0f / total(sum);
    UNROLL for (int v = 0; v < vectors - 1; v++) store(out + v * LANES, powers[v] * scale);
    store(last, powers[vectors - 1] * scale);
    memcpy(out + (vectors - 1) * LANES, last, sizeof(float) * (size_t)(taps - (vectors - 1) * LANES));
}

/* The kernels of the pixel, or of its four fine ones, at coarse row `row` of all pictures and column j. */
INLINE void write_place(const Kernels *job, Index row, Index j) {
    const Index n = row / job->h, taps = job->taps, w = job->w;
    const float affinity = job->affinity.at[n * job->affinity.image + row % job->h * job->affinity.row +
                                            j * job->affinity.pixel];
    for (Index q = 0; q < job->sets; q++) {
        const Index pixel = job->sets == 1 ? row * w + j : (2 * row + q / 2) * 2 * w + 2 * j + q % 2;
        float *out = job->out + pixel * taps;
        const Index set = n * job->sets + q;
        if (taps == 36 && !job->sigmoid) write_kernel(job, out, set, affinity, 36, 0);
        else if (taps == 9 && job->sigmoid) write_kernel(job, out, set, affinity, 9, 1);
        else write_kernel(job, out, set, affinity, taps, (int)job->sigmoid);
    }
}

void FORM(write_kernels)(const Kernels *job) {
    const Index across = (job->w + SIDE - 1) / SIDE;
    for (Index at = job->start; at < job->stop; at++)
        if (job->tiles) { /* of one picture */
            const Index i = job->tiles[at] / across * SIDE, j = job->tiles[at] % across * SIDE;
            for (Index y = i; y < smaller(i + SIDE, job->h); y++)
                for (Index x = j; x < smaller(j + SIDE, job->w); x++) write_place(job, y, x);
        } else {
            for (Index j = 0; j < job->w; j++) write_place(job, at, j);
        }
}
END_VECTORS

#if !defined(AVX512)
void write_kernels_avx512(const Kernels *job);

EXPORT void a2u_write_kernels(const Kernels *job) {
    (a2u_has_avx512() ? write_kernels_avx512 : write_kernels_avx2)(job);
}
#endif
#endif
