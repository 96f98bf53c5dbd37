/* The A2U resampling operators on the CPU, forward and backward, on channels-last memory.
 *
 * Every array lies as (n, row, column, channel); kernels lie as (n, row, column, tap). Work is counted
 * in coarse rows (n * h of them), so that callers may split [start, stop) over threads: gradients are
 * gathered, never scattered, and no two rows write the same place. Sums are float32 for both types.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER)
#define INLINE static __forceinline
#define EXPORT __declspec(dllexport)
#define restrict __restrict
#else
#define INLINE static inline __attribute__((always_inline))
#define EXPORT __attribute__((visibility("default")))
#endif

enum { MAX_TAPS = 64, BLOCK = 256 }; /* BLOCK channels are summed at a time, in the first-level cache */
enum { DOWN, UP, FILTER, DOWN_BACKWARD, UP_BACKWARD, FILTER_BACKWARD };

/* Mirrored field by field in native.py. */
typedef struct {
    int64_t op, bf16, h, w, channels, k, start, stop; /* h, w: coarse size; the fine size is twice that */
    const void *x, *kernels, *kernels2, *grad, *grad2;
    void *out, *out2; /* forward: result(s); backward: gradient of x, gradient of the kernels */
    double *sums;     /* FILTER_BACKWARD: per sample k*k sums for each of the two filters, added to */
} Job;

/* `bf16` is a constant wherever these are called, so each caller is compiled once per type. */
INLINE float get(const void *data, ptrdiff_t at, int bf16) {
    if (!bf16) return ((const float *)data)[at];
    uint32_t bits = (uint32_t)((const uint16_t *)data)[at] << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

INLINE void put(void *data, ptrdiff_t at, float value, int bf16) {
    if (!bf16) {
        ((float *)data)[at] = value;
        return;
    }
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16; /* to nearest, ties to even */
    ((uint16_t *)data)[at] = (uint16_t)(value != value ? 0x7fc0u : rounded);
}

INLINE const void *move(const void *data, ptrdiff_t elements, int bf16) {
    return (const char *)data + elements * (bf16 ? 2 : 4);
}

INLINE ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }
INLINE ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }

/* sum[c] += weight[0] * x[c] + weight[1] * x[c + stride] + ... over `taps` neighbouring pixels.
 * All taps in one pass over the channels: one load and store of `sum` for six (three) products. */
INLINE void add_run(float *restrict sum, const float *restrict weight, const void *restrict x, ptrdiff_t taps,
                    ptrdiff_t stride, ptrdiff_t channels, int bf16) {
    ptrdiff_t t = 0;
    for (; t + 6 <= taps; t += 6) {
        const float a = weight[t], b = weight[t + 1], d = weight[t + 2];
        const float e = weight[t + 3], f = weight[t + 4], g = weight[t + 5];
        const void *at = move(x, t * stride, bf16);
        for (ptrdiff_t c = 0; c < channels; c++)
            sum[c] += (a * get(at, c, bf16) + b * get(at, stride + c, bf16)) +
                      (d * get(at, 2 * stride + c, bf16) + e * get(at, 3 * stride + c, bf16)) +
                      (f * get(at, 4 * stride + c, bf16) + g * get(at, 5 * stride + c, bf16));
    }
    for (; t + 3 <= taps; t += 3) {
        const float a = weight[t], b = weight[t + 1], d = weight[t + 2];
        const void *at = move(x, t * stride, bf16);
        for (ptrdiff_t c = 0; c < channels; c++)
            sum[c] += a * get(at, c, bf16) + b * get(at, stride + c, bf16) + d * get(at, 2 * stride + c, bf16);
    }
    for (; t < taps; t++)
        for (ptrdiff_t c = 0; c < channels; c++) sum[c] += weight[t] * get(x, t * stride + c, bf16);
}

/* dot[t] += sum over c of grad[c] * x[c + t * stride]: the gradient of add_run's weights. */
INLINE void add_dots(float *restrict dot, const float *restrict grad, const void *restrict x, ptrdiff_t taps,
                     ptrdiff_t stride, ptrdiff_t channels, int bf16) {
    ptrdiff_t t = 0;
    for (; t + 3 <= taps; t += 3) {
        float a = 0, b = 0, d = 0;
        const void *at = move(x, t * stride, bf16);
        for (ptrdiff_t c = 0; c < channels; c++) {
            a += grad[c] * get(at, c, bf16);
            b += grad[c] * get(at, stride + c, bf16);
            d += grad[c] * get(at, 2 * stride + c, bf16);
        }
        dot[t] += a, dot[t + 1] += b, dot[t + 2] += d;
    }
    for (; t < taps; t++) {
        float a = 0;
        for (ptrdiff_t c = 0; c < channels; c++) a += grad[c] * get(x, t * stride + c, bf16);
        dot[t] += a;
    }
}

/* A k x k window of the image (height, width) whose first tap is at (top, left); taps outside are left out. */
typedef struct {
    const void *image; /* this sample's, at the first channel of the block */
    ptrdiff_t height, width, stride, channels, top, left, k;
} Window;

INLINE void add_window(float *sum, const float *weight, Window s, int bf16) {
    const ptrdiff_t left = larger(0, -s.left), right = smaller(s.k, s.width - s.left);
    for (ptrdiff_t u = larger(0, -s.top); u < smaller(s.k, s.height - s.top); u++) {
        const void *x = move(s.image, ((s.top + u) * s.width + s.left + left) * s.stride, bf16);
        add_run(sum, weight + u * s.k + left, x, right - left, s.stride, s.channels, bf16);
    }
}

INLINE void add_window_dots(float *dot, const float *grad, Window s, int bf16) {
    const ptrdiff_t left = larger(0, -s.left), right = smaller(s.k, s.width - s.left);
    for (ptrdiff_t u = larger(0, -s.top); u < smaller(s.k, s.height - s.top); u++) {
        const void *x = move(s.image, ((s.top + u) * s.width + s.left + left) * s.stride, bf16);
        add_dots(dot + u * s.k + left, grad, x, right - left, s.stride, s.channels, bf16);
    }
}

/* The gradient that reaches fine pixel (y, x) through every coarse window over it (top = 2i - pad).
 * `step` is the distance between neighbouring pixels' kernels: k*k, or 0 for one filter everywhere. */
INLINE void add_from_coarse(float *sum, const void *kernels, ptrdiff_t step, Window s, ptrdiff_t y, ptrdiff_t x,
                            int bf16) {
    const ptrdiff_t pad = (s.k - 1) / 2;
    const ptrdiff_t last_row = smaller(s.height - 1, (y + pad) / 2), last = smaller(s.width - 1, (x + pad) / 2);
    const ptrdiff_t first = larger(0, (x + pad - s.k + 2) / 2); /* truncation of a negative half gives 0 too */
    float weight[MAX_TAPS];
    for (ptrdiff_t i = larger(0, (y + pad - s.k + 2) / 2); i <= last_row; i++) {
        const ptrdiff_t tap = (y + pad - 2 * i) * s.k + x + pad;
        for (ptrdiff_t j = first; j <= last; j++)
            weight[j - first] = get(kernels, (i * s.width + j) * step + tap - 2 * j, bf16);
        const void *at = move(s.image, (i * s.width + first) * s.stride, bf16);
        add_run(sum, weight, at, last - first + 1, s.stride, s.channels, bf16);
    }
}

/* The gradient that reaches coarse pixel (i, j) from every fine window over it (top = y / 2 - pad). */
INLINE void add_from_fine(float *sum, const void *kernels, Window s, ptrdiff_t i, ptrdiff_t j, int bf16) {
    const ptrdiff_t pad = (s.k - 1) / 2, taps = s.k * s.k;
    const ptrdiff_t first = larger(0, 2 * (j + pad - s.k + 1)), end = smaller(s.width, 2 * (j + pad) + 2);
    float weight[MAX_TAPS];
    for (ptrdiff_t y = larger(0, 2 * (i + pad - s.k + 1)); y < smaller(s.height, 2 * (i + pad) + 2); y++) {
        for (ptrdiff_t x = first; x < end; x++)
            weight[x - first] = get(kernels, (y * s.width + x) * taps + (i + pad - y / 2) * s.k + j + pad - x / 2, bf16);
        const void *at = move(s.image, (y * s.width + first) * s.stride, bf16);
        add_run(sum, weight, at, end - first, s.stride, s.channels, bf16);
    }
}

INLINE void load(float *to, const void *from, ptrdiff_t at, ptrdiff_t count, int bf16) {
    for (ptrdiff_t c = 0; c < count; c++) to[c] = get(from, at + c, bf16);
}

INLINE void store(void *to, ptrdiff_t at, const float *from, ptrdiff_t count, int bf16) {
    for (ptrdiff_t c = 0; c < count; c++) put(to, at + c, from[c], bf16);
}

/* One sample's image of `scale` times the coarse size, from channel c on. */
INLINE Window view(const Job *job, const void *image, ptrdiff_t n, ptrdiff_t c, ptrdiff_t scale, int bf16) {
    Window s = {0};
    s.height = scale * job->h, s.width = scale * job->w, s.stride = job->channels, s.k = job->k;
    s.channels = smaller(BLOCK, job->channels - c);
    s.image = move(image, n * s.height * s.width * s.stride + c, bf16);
    return s;
}

/* One window with the kernel at `kernels + tap`, written to pixel `pixel` of `out`. */
INLINE void forward_pixel(const Job *job, const void *kernels, ptrdiff_t tap, void *out, ptrdiff_t pixel, ptrdiff_t n,
                          ptrdiff_t scale, ptrdiff_t top, ptrdiff_t left, int bf16) {
    float weight[MAX_TAPS], sum[BLOCK];
    load(weight, kernels, tap, job->k * job->k, bf16);
    for (ptrdiff_t c = 0; c < job->channels; c += BLOCK) {
        Window s = view(job, job->x, n, c, scale, bf16);
        s.top = top, s.left = left;
        memset(sum, 0, sizeof(float) * (size_t)s.channels);
        add_window(sum, weight, s, bf16);
        store(out, pixel * job->channels + c, sum, s.channels, bf16);
    }
}

/* The gradient of the kernel of one window, whose output's gradient is pixel `pixel` of `grad`. */
INLINE void kernel_gradient(float *dot, const Job *job, const void *grad, ptrdiff_t pixel, ptrdiff_t n,
                            ptrdiff_t scale, ptrdiff_t top, ptrdiff_t left, int bf16) {
    float wide[BLOCK];
    memset(dot, 0, sizeof(float) * MAX_TAPS);
    for (ptrdiff_t c = 0; c < job->channels; c += BLOCK) {
        Window s = view(job, job->x, n, c, scale, bf16);
        s.top = top, s.left = left;
        load(wide, grad, pixel * job->channels + c, s.channels, bf16);
        add_window_dots(dot, wide, s, bf16);
    }
}

INLINE void down_backward_pixel(const Job *job, ptrdiff_t n, ptrdiff_t y, ptrdiff_t x, int bf16) {
    const ptrdiff_t taps = job->k * job->k;
    const void *kernels = move(job->kernels, n * job->h * job->w * taps, bf16);
    const void *filter = move(job->kernels, n * taps, bf16), *filter2 = move(job->kernels2, n * taps, bf16);
    float sum[BLOCK];
    for (ptrdiff_t c = 0; c < job->channels; c += BLOCK) {
        Window s = view(job, job->grad, n, c, 1, bf16);
        memset(sum, 0, sizeof(float) * (size_t)s.channels);
        if (job->op == DOWN_BACKWARD) {
            add_from_coarse(sum, kernels, taps, s, y, x, bf16);
        } else {
            add_from_coarse(sum, filter, 0, s, y, x, bf16);
            add_from_coarse(sum, filter2, 0, view(job, job->grad2, n, c, 1, bf16), y, x, bf16);
        }
        store(job->out, ((n * 2 * job->h + y) * 2 * job->w + x) * job->channels + c, sum, s.channels, bf16);
    }
}

INLINE void up_backward_pixel(const Job *job, ptrdiff_t n, ptrdiff_t i, ptrdiff_t j, int bf16) {
    const void *kernels = move(job->kernels, 4 * n * job->h * job->w * job->k * job->k, bf16);
    float sum[BLOCK];
    for (ptrdiff_t c = 0; c < job->channels; c += BLOCK) {
        Window s = view(job, job->grad, n, c, 2, bf16);
        memset(sum, 0, sizeof(float) * (size_t)s.channels);
        add_from_fine(sum, kernels, s, i, j, bf16);
        store(job->out, ((n * job->h + i) * job->w + j) * job->channels + c, sum, s.channels, bf16);
    }
}

/* Everything that belongs to coarse pixel (i, j): itself and its four fine pixels. */
INLINE void pixel(const Job *job, ptrdiff_t n, ptrdiff_t i, ptrdiff_t j, int bf16) {
    const ptrdiff_t k = job->k, taps = k * k, pad = (k - 1) / 2, here = (n * job->h + i) * job->w + j;
    const ptrdiff_t top = 2 * i - pad, left = 2 * j - pad;
    float dot[MAX_TAPS];
    switch (job->op) {
    case DOWN:
        forward_pixel(job, job->kernels, here * taps, job->out, here, n, 2, top, left, bf16);
        return;
    case FILTER: /* the second reads the window from the cache */
        forward_pixel(job, job->kernels, n * taps, job->out, here, n, 2, top, left, bf16);
        forward_pixel(job, job->kernels2, n * taps, job->out2, here, n, 2, top, left, bf16);
        return;
    case DOWN_BACKWARD:
        if (!job->out2) break;
        kernel_gradient(dot, job, job->grad, here, n, 2, top, left, bf16);
        store(job->out2, here * taps, dot, taps, bf16);
        break;
    case FILTER_BACKWARD:
        for (int which = 0; which < 2 && job->sums; which++) {
            double *sums = job->sums + (2 * n + which) * taps;
            kernel_gradient(dot, job, which ? job->grad2 : job->grad, here, n, 2, top, left, bf16);
            for (ptrdiff_t t = 0; t < taps; t++) sums[t] += dot[t];
        }
        break;
    case UP_BACKWARD:
        if (job->out) up_backward_pixel(job, n, i, j, bf16);
        break;
    default:
        break;
    }
    for (ptrdiff_t q = 0; q < 4; q++) {
        const ptrdiff_t y = 2 * i + q / 2, x = 2 * j + q % 2, fine = (n * 2 * job->h + y) * 2 * job->w + x;
        if (job->op == UP) {
            forward_pixel(job, job->kernels, fine * taps, job->out, fine, n, 1, i - pad, j - pad, bf16);
        } else if (job->op == UP_BACKWARD) {
            if (!job->out2) return;
            kernel_gradient(dot, job, job->grad, fine, n, 1, i - pad, j - pad, bf16);
            store(job->out2, fine * taps, dot, taps, bf16);
        } else if (job->out) {
            down_backward_pixel(job, n, y, x, bf16);
        }
    }
}

INLINE void work(const Job *job, int bf16) {
    for (ptrdiff_t row = job->start; row < job->stop; row++)
        for (ptrdiff_t j = 0; j < job->w; j++) pixel(job, row / job->h, row % job->h, j, bf16);
}

#define WORK(name, target)                                                                                            \
    target static void name(const Job *job) {                                                                         \
        if (job->bf16) work(job, 1);                                                                                  \
        else work(job, 0);                                                                                            \
    }

WORK(work_anywhere, )

/* One binary for every x86-64 machine: the wide form is chosen when the processor has it. */
#if defined(__x86_64__) && defined(__GNUC__)
WORK(work_avx2, __attribute__((target("avx2,fma"))))
#define HAS_AVX2 (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
#else
#define work_avx2 work_anywhere
#define HAS_AVX2 0
#endif

EXPORT void a2u_resample(const Job *job) {
    if (HAS_AVX2) work_avx2(job);
    else work_anywhere(job);
}

#if defined(_WIN32)
/* The Windows linker is told to export this name from every extension; the library is loaded by ctypes instead. */
EXPORT void *PyInit__affinity(void) { return NULL; }
#endif
