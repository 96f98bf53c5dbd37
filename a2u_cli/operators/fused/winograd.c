/* 3x3 convolution on channels-last float32 by Winograd's minimal filtering, F(4x4, 3x3) of Lavin and Gray 2016
 * (https://arxiv.org/abs/1509.09308): 36 products where the sum over the taps takes 144. Where there are no
 * `vectors.h`, there is nothing, and `convolution.py` leaves the work to torch.
 *
 * Outputs are made in tiles of 4x4, and tiles in blocks: transform the inputs of a block, multiply at each of the 36
 * places, transform back. The gradient of the filter goes the same way: transform inputs and gradients of a block,
 * multiply at each place, add up. Tiles are counted over the whole batch, so that callers may split them over threads,
 * or name those that are to be written. Filters of one tap, or for few channels, which may have 7x7, are summed up over
 * the taps, tile by tile.
 */
#include "lanes.h"

#if defined(HAS_VECTORS)
/* A block's products fill three quarters of the registers, of which there are half as many as a vector has bytes: ROWS
 * tiles by STRIP channels; those for a gradient half: INPUTS by STRIP channels. A gradient's blocks are larger, since
 * for each the whole filter passes by. SKEW keeps the 36 planes of a block from falling into the same few sets of the
 * cache. */
enum { TILE = 4, REACH = 6, PLACES = 36, PANEL = 16, STRIP = 2 * LANES, SKEW = 16 };
enum { ROWS = VECTOR * 6 / 32, INPUTS = VECTOR / 8, BLOCK = 24, GRADIENT_BLOCK = 96 };
enum { FEW = 4 /* channels of a picture and its trimap */, LARGEST = 7 /* side of a filter for these */ };

/* Where a tile's outputs begin. */
typedef struct {
    Index image, top, left;
} Tile;

INLINE Tile tile(const Convolution *job, Index place) {
    const Index number = job->tiles ? job->tiles[place] : place;
    const Index across = (job->width + TILE - 1) / TILE, down = (job->height + TILE - 1) / TILE;
    const Tile at = {number / (across * down), number / across % down * TILE, number % across * TILE};
    return at;
}

INLINE const float *pixel(const Picture *picture, Index image, Index y, Index x) {
    return picture->at + image * picture->image + y * picture->row + x * picture->pixel;
}

/* The pixel of x or other at (y, x): zeros where there is none, or where nothing is known of it. */
INLINE const float *find(const Convolution *job, const Picture *picture, Index image, Index y, Index x,
                         const float *zeros) {
    const Index across = (job->width + TILE - 1) / TILE, down = (job->height + TILE - 1) / TILE;
    if (y < 0 || y >= job->height || x < 0 || x >= job->width) return zeros;
    if (job->known && picture == &job->x && !job->known[(image * down + y / TILE) * across + x / TILE]) return zeros;
    return pixel(picture, image, y, x);
}

/* The interpolation points are 0, A, -A, B, -B and infinity: at A = 2/3 and B = 1/A, rounding is a fourth of what it is
 * at the paper's 1 and 2. */
#define A (2.0f / 3)
#define B (3.0f / 2)
#define A2 (A * A)
#define B2 (B * B)

INLINE void transform_in(Floats to[REACH], const Floats d[REACH]) {
    const Floats even1 = d[4] - B2 * d[2], odd1 = A * d[3] - B * d[1];
    const Floats even2 = d[4] - A2 * d[2], odd2 = B * d[3] - A * d[1];
    to[0] = d[0] + d[4] - (A2 + B2) * d[2];
    to[1] = even1 + odd1;
    to[2] = even1 - odd1;
    to[3] = even2 + odd2;
    to[4] = even2 - odd2;
    to[5] = d[1] + d[5] - (A2 + B2) * d[3];
}

INLINE void transform_out(Floats to[TILE], const Floats m[REACH]) {
    const Floats sum1 = m[1] + m[2], gap1 = m[1] - m[2], sum2 = m[3] + m[4], gap2 = m[3] - m[4];
    to[0] = m[0] + sum1 + sum2;
    to[1] = A * gap1 + B * gap2;
    to[2] = A2 * sum1 + B2 * sum2;
    to[3] = A * A2 * gap1 + B * B2 * gap2 + m[5];
}

/* The transpose of transform_out. */
INLINE void transform_back(Floats to[REACH], const Floats y[TILE]) {
    const Floats even1 = y[0] + A2 * y[2], odd1 = A * y[1] + A * A2 * y[3];
    const Floats even2 = y[0] + B2 * y[2], odd2 = B * y[1] + B * B2 * y[3];
    to[0] = y[0];
    to[1] = even1 + odd1;
    to[2] = even1 - odd1;
    to[3] = even2 + odd2;
    to[4] = even2 - odd2;
    to[5] = y[3];
}

/* Writes `size` x `size` pixels from `margin` before a tile on, transformed, to 36 planes `plane` apart. */
INLINE void read_tile(const Convolution *job, const Picture *picture, Tile at, Index size, Index channels,
                      void transform(Floats *, const Floats *), const float *zeros, float *to, Index plane) {
    const Index margin = (size - TILE) / 2;
    const float *from[REACH][REACH];
    for (Index i = 0; i < size; i++)
        for (Index j = 0; j < size; j++)
            from[i][j] = find(job, picture, at.image, at.top + i - margin, at.left + j - margin, zeros);
    for (Index c = 0; c < channels; c += LANES) {
        Floats half[REACH][REACH], line[REACH], row[REACH];
        UNROLL for (int j = 0; j < size; j++) {
            UNROLL for (int i = 0; i < size; i++) line[i] = load(from[i][j] + c);
            transform(half[j], line);
        }
        UNROLL for (int i = 0; i < REACH; i++) {
            UNROLL for (int j = 0; j < size; j++) line[j] = half[j][i];
            transform(row, line);
            UNROLL for (int j = 0; j < REACH; j++) store(to + (i * REACH + j) * plane + c, row[j]);
        }
    }
}

static void read_inputs(const Convolution *job, Tile at, const float *zeros, float *to, Index plane) {
    read_tile(job, &job->x, at, REACH, job->inputs, transform_in, zeros, to, plane);
}

static void read_gradient(const Convolution *job, Tile at, const float *zeros, float *to, Index plane) {
    read_tile(job, &job->other, at, TILE, job->outputs, transform_back, zeros, to, plane);
}

INLINE Index plane_of(Index channels, Index block) { return block * channels + SKEW; }

/* The part of the filter, or of its gradient, for a place and the outputs from `channel` on: rows of PANEL. */
INLINE float *filter_at(const Convolution *job, Index place, Index channel) {
    const Index panel = place * (job->outputs / PANEL) + channel / PANEL;
    return job->filter + panel * job->inputs * PANEL + channel % PANEL;
}

/* Multiplies ROWS tiles (ROWS, inputs) by a strip of the filter: two of its rows' vectors, from here and there on. */
INLINE void multiply(float *out, Index outputs, const float *x, Index inputs, const float *here, const float *there) {
    Floats sum[ROWS][2] = {{{0}}};
    for (Index c = 0; c < inputs; c++, here += PANEL, there += PANEL) {
        const Floats a = load(here), b = load(there);
        UNROLL for (int r = 0; r < ROWS; r++) {
            const float value = x[r * inputs + c];
            sum[r][0] += value * a;
            sum[r][1] += value * b;
        }
    }
    UNROLL for (int r = 0; r < ROWS; r++) {
        store(out + r * outputs, sum[r][0]);
        store(out + r * outputs + LANES, sum[r][1]);
    }
}

/* Adds to part of a filter's gradient (INPUTS, STRIP) the products of `tiles` inputs and gradients. */
INLINE void accumulate(float *here, float *there, const float *x, Index inputs, const float *grad, Index outputs,
                       Index tiles) {
    Floats part[INPUTS][2];
    UNROLL for (int r = 0; r < INPUTS; r++) {
        part[r][0] = load(here + r * PANEL);
        part[r][1] = load(there + r * PANEL);
    }
    for (Index t = 0; t < tiles; t++, x += inputs, grad += outputs) {
        const Floats a = load(grad), b = load(grad + LANES);
        UNROLL for (int r = 0; r < INPUTS; r++) {
            part[r][0] += x[r] * a;
            part[r][1] += x[r] * b;
        }
    }
    UNROLL for (int r = 0; r < INPUTS; r++) {
        store(here + r * PANEL, part[r][0]);
        store(there + r * PANEL, part[r][1]);
    }
}

/* Adds and activates, and writes LANES channels from c on of pixel (y, x). */
INLINE void finish(const Convolution *job, Index image, Index y, Index x, Index c, Floats sum) {
    const Floats zero = {0};
    const Floats other = job->other.at ? load(pixel(&job->other, image, y, x) + c) : zero;
    sum += load(job->bias + c);
    if (!job->late) sum += other;
    sum = choose(sum > zero, sum, (float)job->slope * sum);
    if (job->late) sum += other;
    store(job->out + ((image * job->height + y) * job->width + x) * job->outputs + c, sum);
}

/* Transforms a tile's products back, and writes what lies inside the picture. */
static void write_tile(const Convolution *job, Tile at, const float *from, Index plane) {
    const Index rows = job->height - at.top, columns = job->width - at.left;
    for (Index c = 0; c < job->outputs; c += LANES) {
        Floats half[REACH][TILE], line[REACH], row[TILE];
        UNROLL for (int j = 0; j < REACH; j++) {
            UNROLL for (int i = 0; i < REACH; i++) line[i] = load(from + (i * REACH + j) * plane + c);
            transform_out(half[j], line);
        }
        for (Index i = 0; i < TILE && i < rows; i++) {
            UNROLL for (int j = 0; j < REACH; j++) line[j] = half[j][i];
            transform_out(row, line);
            for (Index j = 0; j < TILE && j < columns; j++)
                finish(job, at.image, at.top + i, at.left + j, c, row[j]);
        }
    }
}

static void forward(const Convolution *job, Index first, Index count, float *x, float *products, const float *zeros) {
    const Index inputs = job->inputs, outputs = job->outputs;
    const Index in = plane_of(inputs, BLOCK), out = plane_of(outputs, BLOCK);
    for (Index t = 0; t < count; t++) read_inputs(job, tile(job, first + t), zeros, x + t * inputs, in);
    for (Index place = 0; place < PLACES; place++)
        for (Index c = 0; c < outputs; c += STRIP)
            for (Index t = 0; t < count; t += ROWS) /* past the last tile lies what nobody reads */
                multiply(products + place * out + t * outputs + c, outputs, x + place * in + t * inputs, inputs,
                         filter_at(job, place, c), filter_at(job, place, c + LANES));
    for (Index t = 0; t < count; t++) write_tile(job, tile(job, first + t), products + t * outputs, out);
}

/* Sums up over the taps, a row of a tile and a strip of outputs at a time; `size` is a constant, and `inputs` too where
 * they are few. */
INLINE void sum_taps(const Convolution *job, Tile at, Index size, Index inputs, const float *zeros) {
    const Index margin = size / 2, rows = job->height - at.top, columns = job->width - at.left;
    const float *from[TILE + LARGEST - 1][TILE + LARGEST - 1];
    for (Index i = 0; i < TILE + size - 1; i++)
        for (Index j = 0; j < TILE + size - 1; j++)
            from[i][j] = find(job, &job->x, at.image, at.top + i - margin, at.left + j - margin, zeros);
    for (Index strip = 0; strip < job->outputs; strip += STRIP)
        for (Index i = 0; i < TILE && i < rows; i++) {
            Floats sum[TILE][2] = {{{0}}};
            for (Index u = 0; u < size; u++)
                for (Index v = 0; v < size; v++) {
                    const float *here = filter_at(job, u * size + v, strip);
                    const float *there = filter_at(job, u * size + v, strip + LANES);
                    const float *const *x = &from[i + u][v], *const at[TILE] = {x[0], x[1], x[2], x[3]};
                    for (Index c = 0; c < inputs; c++, here += PANEL, there += PANEL) {
                        const Floats a = load(here), b = load(there);
                        UNROLL for (int j = 0; j < TILE; j++) {
                            sum[j][0] += at[j][c] * a;
                            sum[j][1] += at[j][c] * b;
                        }
                    }
                }
            UNROLL for (int j = 0; j < TILE; j++)
                UNROLL for (int half = 0; half < 2; half++)
                    if (j < columns)
                        finish(job, at.image, at.top + i, at.left + j, strip + half * LANES, sum[j][half]);
        }
}

static void direct(const Convolution *job, const float *zeros) {
    for (Index t = job->start; t < job->stop; t++)
        if (job->size == 1) sum_taps(job, tile(job, t), 1, job->inputs, zeros);
        else if (job->size == LARGEST) sum_taps(job, tile(job, t), LARGEST, FEW, zeros);
        else if (job->inputs == FEW) sum_taps(job, tile(job, t), 3, FEW, zeros);
        else sum_taps(job, tile(job, t), 3, job->inputs, zeros);
}

static void backward(const Convolution *job, Index first, Index count, float *x, float *grad, const float *zeros) {
    const Index inputs = job->inputs, outputs = job->outputs;
    const Index in = plane_of(inputs, GRADIENT_BLOCK), out = plane_of(outputs, GRADIENT_BLOCK);
    for (Index t = 0; t < count; t++) {
        read_inputs(job, tile(job, first + t), zeros, x + t * inputs, in);
        read_gradient(job, tile(job, first + t), zeros, grad + t * outputs, out);
    }
    for (Index place = 0; place < PLACES; place++)
        for (Index c = 0; c < outputs; c += STRIP)
            for (Index i = 0; i < inputs; i += INPUTS)
                accumulate(filter_at(job, place, c) + i * PANEL, filter_at(job, place, c + LANES) + i * PANEL,
                           x + place * in + i, inputs, grad + place * out + c, outputs, count);
}

void FORM(convolve_tiles)(const Convolution *job, int gradient) {
    const Index block = gradient ? GRADIENT_BLOCK : BLOCK;
    float *x = job->space, *other = x + PLACES * plane_of(job->inputs, block);
    float *zeros = other + PLACES * plane_of(job->outputs, block);
    for (Index c = 0; c < job->inputs || c < job->outputs; c++) zeros[c] = 0;
    if (job->size) {
        direct(job, zeros);
        return;
    }
    for (Index first = job->start; first < job->stop; first += block) {
        const Index count = job->stop - first < block ? job->stop - first : block;
        (gradient ? backward : forward)(job, first, count, x, other, zeros);
    }
}
END_VECTORS

#if !defined(AVX512)
void convolve_tiles_avx512(const Convolution *job, int gradient);

static void convolve_tiles(const Convolution *job, int gradient) {
    const int even = job->outputs % 32 == 0 && (job->size || job->inputs % 16 == 0); /* STRIP and LANES there */
    (even && a2u_has_avx512() ? convolve_tiles_avx512 : convolve_tiles_avx2)(job, gradient);
}

EXPORT int64_t a2u_convolution_space(int64_t inputs, int64_t outputs, int gradient) {
    const Index block = gradient ? GRADIENT_BLOCK : BLOCK;
    return PLACES * (plane_of(inputs, block) + plane_of(outputs, block)) + (inputs > outputs ? inputs : outputs);
}

EXPORT void a2u_convolve(const Convolution *job) { convolve_tiles(job, 0); }

/* Adds to `filter` the gradient of the transformed filter. */
EXPORT void a2u_convolve_backward(const Convolution *job) { convolve_tiles(job, 1); }
#endif
#endif
