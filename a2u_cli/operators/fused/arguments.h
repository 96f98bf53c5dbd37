/* What the compiled functions are called with. Mirrored field by field in arguments.py, which refuses a library whose
 * ABI or sizes differ: change a field, a meaning or a function, and count ABI up here and there. */
#pragma once
#include <stdint.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

enum { ABI = 4 };

enum { DOWN, UP, FILTER, DOWN_BACKWARD, UP_BACKWARD, FILTER_BACKWARD };

/* Of a2u_resample. */
typedef struct {
    int64_t op, bf16, h, w, channels, k; /* h, w: coarse size; the fine size is twice that */
    int64_t start, stop;                 /* coarse rows, or places in `tiles` */
    const int32_t *tiles;                /* UP: numbers of the tiles of 4x4 fine pixels to write, or null: all */
    const void *x;
    const float *kernels, *kernels2;
    const void *grad, *grad2;
    void *out, *out2; /* forward: the result(s); backward: the gradients of x and of the kernels, or null */
    double *sums;     /* FILTER_BACKWARD: (n, 2, k * k) gradients of the two filters, added to; or null */
} Resampling;

/* Distances in elements from one image, row and pixel to the next; channels lie side by side. */
typedef struct {
    const float *at;
    int64_t image, row, pixel;
} Picture;

/* Of a2u_convolve and a2u_convolve_backward. */
typedef struct {
    int64_t height, width, inputs, outputs; /* outputs in multiples of PANEL; inputs of LANES where size is 0 */
    int64_t size;                           /* side of the filter: 1, 3, or of 4 inputs 7; 0: 3, by minimal filtering */
    int64_t start, stop;                    /* tiles, or places in `tiles` */
    const int32_t *tiles;                   /* numbers of the tiles to write; null: all */
    const uint8_t *known;                   /* of every tile of x: whether it is to be read, else zero; null: all */
    Picture x, other;                       /* forward: what is added to the result, or null; else the gradient */
    int64_t late;                           /* whether that is added after the activation */
    float *filter;                          /* (36 or taps, outputs / PANEL, inputs, PANEL); or its gradient, added to */
    const float *bias;                      /* (outputs) */
    float *out;                             /* (images, height, width, outputs) */
    float *space;                           /* as much as a2u_convolution_space says */
    double slope;                           /* of the result where it is negative */
} Convolution;

/* Of a2u_encode: of one picture, whose coarse size is (h, w). */
typedef struct {
    int64_t h, w, channels, k, start, stop; /* coarse rows; channels in multiples of BLOCK */
    int64_t left, right;                    /* columns that are summed up */
    Picture x;
    const float *filters;      /* (2, k * k) */
    const float *gain, *shift; /* (2, channels) of what is standardised */
    double scale, slope;       /* of the affinities; of what is negative */
    float *affinity;           /* (h, w) */
    double *sums;              /* (h, 2, 2, channels): of both encodings values and squares; null: affinities */
} Encoding;

/* Of a2u_write_kernels: of pictures whose coarse size is (h, w). */
typedef struct {
    int64_t h, w;
    int64_t sets, taps, room; /* kernels of a coarse pixel, 1, or 4 of its fine ones; floats from one's weights on */
    int64_t sigmoid;          /* whether the softmax is of it */
    int64_t start, stop;      /* coarse rows of all pictures, or places in `tiles` */
    const int32_t *tiles;     /* numbers of the tiles of 4x4 fine pixels to write, of one picture; null: all */
    Picture affinity;
    const float *weights; /* (images, sets, room) */
    const float *ends;    /* (images, sets, 2): their least and their largest */
    const float *inside;  /* (room): 1 for each tap, then 0 */
    float *out;           /* (images, h, w, taps), or for 4 sets (images, 2 * h, 2 * w, taps) */
} Kernels;

/* Of the steps of `laplacian.c`: planes (height, width), and ties to the pixels that look like one. */
typedef struct {
    int64_t height, width, top, bottom; /* rows of the strip */
    int64_t first;                      /* number of the strip's first free pixel */
    const float *colours;               /* (height, width, 3) */
    const uint8_t *free;
    float *links; /* (12, height, width), zero at first */
    const float *trust, *given;
    float *direction, *product, *residual, *sweep, *moved, *scale;
    const int32_t *starts, *others; /* ties of the free pixel with a number, and the places of their other ends */
    const float *ties;
    const double *factors; /* of the direction: what is kept of it, how far to walk */
    double *sums;          /* of this strip: two */
} Strip;

/* Whether this processor has what the wider forms are compiled for (`vectors.h`), and they may be used. */
EXPORT int a2u_has_avx2(void);
EXPORT int a2u_has_avx512(void);

/* Of a2u_take. */
typedef struct {
    void (*function)(const void *);
    const char *jobs;
    int64_t size, count, next;
} Team;
