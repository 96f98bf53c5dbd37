/* Strands and triangles into a supersampled z-buffer, and light on strands through their own shade.
 *
 * A sample is one 64-bit word, depth above colour: the nearest surface is the least word, so a
 * picture does not depend on the order of drawing. Colours come coded as square roots in [0, 1].
 * Mirrored in raster.py and shading.py, which refuse another ABI. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
EXPORT void *PyInit__raster(void) { return (void *)0; } /* setuptools' linker asks for it */
#else
#define EXPORT __attribute__((visibility("default")))
#endif

enum { ABI = 1, KNOTS = 256, PIECES = 16, NEAR_MOST = 4, TILE = 16 };
static const float NEAREST = 0.01f, WIDE = 4;
static const uint64_t EMPTY = ~(uint64_t)0;

typedef struct {
    float turn[9], place[3], shift[3]; /* rows right, up, ahead; the camera; the things' motion */
    float focal, centre[2], lens[2], focus;
} View;

typedef struct {
    uint64_t *samples;
    int32_t side, grid; /* samples to a side, and to a pixel's side */
    int32_t first, total; /* this pass's first sample of a pixel, and all of them: a power of two */
    uint32_t *farthest;   /* of each tile's samples, as far as was looked: what lies behind is hidden */
} Canvas;

typedef struct {
    float axes[9], low[3], scale[3];
    int32_t across, deep;
    float *depth;
} Shade;

EXPORT int64_t a2u_raster_abi(void) { return ABI; }

/* Inline, where those of the C library would be called. */
static int up(float x) {
    int whole = (int)x;
    return whole + (x > whole);
}
static float least(float a, float b) { return a < b ? a : b; }
static float most(float a, float b) { return a > b ? a : b; }

static uint32_t bits(float z) {
    uint32_t as;
    memcpy(&as, &z, 4);
    return as; /* for z > 0 in the order of z */
}

static uint64_t code(float z, const float *c) {
    uint32_t rgb = (uint32_t)(c[0] * 2047 + .5f) << 21 | (uint32_t)(c[1] * 2047 + .5f) << 10;
    return (uint64_t)bits(z) << 32 | rgb | (uint32_t)(c[2] * 1023 + .5f);
}

/* Gives x, y in samples, depth, and the samples that a length of 1 covers there. */
static void project(const View *v, const float *p, float *out) {
    float q[3], c[3];
    for (int a = 0; a < 3; a++) q[a] = p[a] - v->place[a] + v->shift[a];
    for (int a = 0; a < 3; a++) c[a] = v->turn[3 * a] * q[0] + v->turn[3 * a + 1] * q[1] + v->turn[3 * a + 2] * q[2];
    float scale = v->focal / (c[2] > 1e-3f ? c[2] : 1e-3f), off = 1 - c[2] / v->focus;
    out[0] = v->centre[0] + scale * (c[0] - v->lens[0] * off);
    out[1] = v->centre[1] - scale * (c[1] - v->lens[1] * off);
    out[2] = c[2];
    out[3] = scale;
}

EXPORT void a2u_project(const View *view, const float *points, int64_t count, float *out) {
    for (int64_t i = 0; i < count; i++) project(view, points + 3 * i, out + 4 * i);
}

static int tiles(const Canvas *of) { return (of->side + TILE - 1) / TILE; }

/* Looks at what has been drawn; from then on what is hidden costs little. */
EXPORT void a2u_look(const Canvas *at) {
    int side = at->side, wide = tiles(at);
    memset(at->farthest, 0, sizeof *at->farthest * wide * wide);
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            uint32_t z = at->samples[(int64_t)y * side + x] >> 32, *tile = at->farthest + (int64_t)(y / TILE) * wide + x / TILE;
            if (z > *tile) *tile = z;
        }
}

static int hidden(const Canvas *in, const float *a, const float *b) {
    float r = 1.5f * (a[3] > b[3] ? a[3] : b[3]) + 1;
    uint32_t nearest = bits(a[2] < b[2] ? a[2] : b[2]);
    int low[2], high[2], last = tiles(in) - 1;
    for (int d = 0; d < 2; d++) {
        low[d] = (int)((least(a[d], b[d]) - r) / TILE);
        high[d] = (int)((most(a[d], b[d]) + r) / TILE);
        if (low[d] < 0) low[d] = 0;
        if (high[d] > last) high[d] = last;
    }
    for (int y = low[1]; y <= high[1]; y++)
        for (int x = low[0]; x <= high[0]; x++)
            if (nearest <= in->farthest[(int64_t)y * (last + 1) + x]) return 0;
    return 1;
}

/* One straight piece from a to b (x, y, depth, radius), whose colours run from along[0] to along[1]
 * of the way from one knot's columns to the next's. */
static void draw_piece(const Canvas *to, const float *a, const float *b, const float *near, const float *far,
                       int columns, const float *along) {
    float dx = b[0] - a[0], dy = b[1] - a[1], widest = a[3] > b[3] ? a[3] : b[3];
    int steep = fabsf(dy) >= fabsf(dx), side = to->side;
    float from = steep ? a[1] : a[0], run = steep ? dy : dx, start = steep ? a[0] : a[1];
    if (fabsf(run) < 1e-6f) return;
    float slope = (steep ? dx : dy) / run, wide = sqrtf(1 + slope * slope), end = from + run;
    float low = from < end ? from : end, high = from < end ? end : from, cap = widest > 1 ? .25f * widest : 0;
    int first = up(low - cap - .5f), last = up(high + cap - .5f);
    if (first < 0) first = 0;
    if (last > side) last = side;
    for (int i = first; i < last; i++) {
        float t = (i + .5f - from) / run, middle = start + (i + .5f - from) * slope;
        t = t < 0 ? 0 : t > 1 ? 1 : t;
        float r = (a[3] + (b[3] - a[3]) * t) * wide, z = a[2] + (b[2] - a[2]) * t;
        int left = up(middle - r - .5f), right = up(middle + r - .5f);
        if (left < 0) left = 0;
        if (right > side) right = side;
        float share = along[0] + (along[1] - along[0]) * t, c[3];
        uint32_t depth = bits(z);
        uint64_t *sample = to->samples + (steep ? (int64_t)i * side + left : (int64_t)left * side + i);
        for (int j = left; j < right; j++, sample += steep ? 1 : side) {
            int column = 0;
            if (depth > *sample >> 32) continue;
            if (columns > 1) { /* across a cord: from the left of its course to the right */
                float q = (j + .5f - middle) / r, turned = (steep ? dy < 0 : dx > 0) ? q : -q;
                column = (int)((turned * .5f + .5f) * columns);
                column = 3 * (column < 0 ? 0 : column >= columns ? columns - 1 : column);
            }
            for (int d = 0; d < 3; d++) c[d] = near[column + d] + (far[column + d] - near[column + d]) * share;
            uint64_t word = code(z, c);
            if (word < *sample) *sample = word;
        }
    }
}

/* The same for a wide piece: its ends are cut across its course, with a little over for bends. */
static void draw_wide(const Canvas *to, const float *a, const float *b, const float *near, const float *far,
                      int columns, const float *along) {
    float u[2] = {b[0] - a[0], b[1] - a[1]}, length = sqrtf(u[0] * u[0] + u[1] * u[1]), widest = most(a[3], b[3]);
    int low[2], high[2];
    if (length < 1e-6f) return;
    for (int d = 0; d < 2; d++) {
        u[d] /= length;
        low[d] = up(least(a[d], b[d]) - 1.3f * widest - .5f);
        high[d] = up(most(a[d], b[d]) + 1.3f * widest - .5f);
        if (low[d] < 0) low[d] = 0;
        if (high[d] > to->side) high[d] = to->side;
    }
    for (int y = low[1]; y < high[1]; y++)
        for (int x = low[0]; x < high[0]; x++) {
            float p = x + .5f - a[0], q = y + .5f - a[1], on = p * u[0] + q * u[1], off = q * u[0] - p * u[1], c[3];
            if (on < -.3f * widest || on > length + .3f * widest) continue;
            float t = on < 0 ? 0 : on > length ? 1 : on / length, r = a[3] + (b[3] - a[3]) * t;
            if (off > r || off < -r) continue;
            float z = a[2] + (b[2] - a[2]) * t, share = along[0] + (along[1] - along[0]) * t;
            uint64_t *sample = to->samples + (int64_t)y * to->side + x;
            if (bits(z) > *sample >> 32) continue;
            float place = (off / r * .5f + .5f) * columns - .5f; /* between two columns */
            place = place < 0 ? 0 : place > columns - 1.001f ? columns - 1.001f : place;
            int column = columns > 1 ? 3 * (int)place : 0, next = columns > 1 ? column + 3 : 0;
            float rest = columns > 1 ? place - (int)place : 0;
            for (int d = 0; d < 3; d++) {
                float m = near[column + d] + (near[next + d] - near[column + d]) * rest;
                c[d] = m + (far[column + d] + (far[next + d] - far[column + d]) * rest - m) * share;
            }
            uint64_t word = code(z, c);
            if (word < *sample) *sample = word;
        }
}

static float spline(float a, float b, float c, float d, float t) {
    return b + .5f * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
}

/* points (n, knots, 3), radii (n, knots), colours (n, knots, columns, 3); piece: samples long. */
EXPORT void a2u_draw_strands(const Canvas *to, const View *view, const float *points, const float *radii,
                             const float *colours, int64_t count, int32_t knots, int32_t columns, float piece) {
    float knot[KNOTS][4];
    for (int64_t i = 0; i < count; i++) {
        float low[2] = {1e9f, 1e9f}, high[2] = {-1e9f, -1e9f}, near = 1e9f;
        for (int j = 0; j < knots; j++) {
            float *k = knot[j];
            project(view, points + 3 * (i * knots + j), k);
            k[3] *= radii[i * knots + j];
            near = k[2] < near ? k[2] : near;
            for (int a = 0; a < 2; a++) {
                low[a] = k[a] - k[3] < low[a] ? k[a] - k[3] : low[a];
                high[a] = k[a] + k[3] > high[a] ? k[a] + k[3] : high[a];
            }
        }
        if (near < NEAREST || high[0] < 0 || high[1] < 0 || low[0] > to->side || low[1] > to->side) continue;
        for (int j = 0; j + 1 < knots; j++) {
            const float *a = knot[j ? j - 1 : 0], *b = knot[j], *c = knot[j + 1], *d = knot[j + 2 < knots ? j + 2 : j + 1];
            const float *colour = colours + (i * knots + j) * columns * 3;
            int pieces = 1 + (int)(sqrtf((c[0] - b[0]) * (c[0] - b[0]) + (c[1] - b[1]) * (c[1] - b[1])) / piece);
            if (pieces > PIECES) pieces = PIECES;
            float last[4] = {b[0], b[1], b[2], b[3]};
            for (int s = 1; s <= pieces; s++) {
                float t = (float)s / pieces, along[2] = {(s - 1.f) / pieces, t}, next[4];
                for (int e = 0; e < 2; e++) next[e] = spline(a[e], b[e], c[e], d[e], t);
                for (int e = 2; e < 4; e++) next[e] = b[e] + (c[e] - b[e]) * t;
                if (!hidden(to, last, next))
                    (most(last[3], next[3]) > WIDE ? draw_wide : draw_piece)(to, last, next, colour, colour + columns * 3, columns, along);
                memcpy(last, next, sizeof last);
            }
        }
    }
}

static uint32_t scramble(uint32_t x) {
    x = (x ^ x >> 16) * 0x7feb352dU;
    x = (x ^ x >> 15) * 0x846ca68bU;
    return x ^ x >> 16;
}

/* Tells whether a surface of this opacity stops a sample: of a pixel's samples just that share, in
 * an order of each layer's own (Enderton et al., "Stochastic Transparency", 2010, stratified). */
static int stopped(const Canvas *to, int x, int y, uint32_t layer, float opacity) {
    uint32_t pixel = scramble((uint32_t)(y / to->grid) << 16 ^ (uint32_t)(x / to->grid)), own = scramble(pixel ^ layer * 0x9e3779b9U);
    uint32_t number = (uint32_t)(to->first + y % to->grid * to->grid + x % to->grid);
    uint32_t place = (number * (own << 1 | 1) + (own >> 12)) & (uint32_t)(to->total - 1);
    place ^= place >> 3; /* another order than the other layers' */
    return (place + (own & 1023) * (1 / 1024.f)) < opacity * to->total;
}

/* corners (v, 4) as projected; colours (v, 3); opacity (v,) or null where nothing shines through. */
EXPORT void a2u_draw_triangles(const Canvas *to, const float *corners, const float *colours, const float *opacity,
                               const int32_t *faces, int64_t count, uint32_t layer) {
    for (int64_t i = 0; i < count; i++) {
        const int32_t *f = faces + 3 * i;
        const float *a = corners + 4 * (int64_t)f[0], *b = corners + 4 * (int64_t)f[1], *c = corners + 4 * (int64_t)f[2];
        float area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
        if (a[2] < NEAREST || b[2] < NEAREST || c[2] < NEAREST || fabsf(area) < 1e-9f) continue;
        int x0 = up(least(a[0], least(b[0], c[0])) - .5f), x1 = up(most(a[0], most(b[0], c[0])) - .5f);
        int y0 = up(least(a[1], least(b[1], c[1])) - .5f), y1 = up(most(a[1], most(b[1], c[1])) - .5f);
        if (x0 < 0) x0 = 0;
        if (y0 < 0) y0 = 0;
        if (x1 > to->side) x1 = to->side;
        if (y1 > to->side) y1 = to->side;
        for (int y = y0; y < y1; y++)
            for (int x = x0; x < x1; x++) {
                float px = x + .5f - a[0], py = y + .5f - a[1], mixed[3];
                float u = (px * (c[1] - a[1]) - (c[0] - a[0]) * py) / area, w = ((b[0] - a[0]) * py - px * (b[1] - a[1])) / area;
                if (u < 0 || w < 0 || u + w > 1) continue;
                const float *ca = colours + 3 * (int64_t)f[0], *cb = colours + 3 * (int64_t)f[1], *cc = colours + 3 * (int64_t)f[2];
                float z = a[2] + u * (b[2] - a[2]) + w * (c[2] - a[2]);
                uint64_t *sample = to->samples + (int64_t)y * to->side + x;
                if (bits(z) > *sample >> 32) continue;
                if (opacity) {
                    float o = opacity[f[0]] + u * (opacity[f[1]] - opacity[f[0]]) + w * (opacity[f[2]] - opacity[f[0]]);
                    if (!stopped(to, x, y, 2 * layer + (area > 0), o)) continue;
                }
                for (int d = 0; d < 3; d++) {
                    float m = ca[d] + u * (cb[d] - ca[d]) + w * (cc[d] - ca[d]);
                    mixed[d] = m < 0 ? 0 : m > 1 ? 1 : m;
                }
                uint64_t word = code(z, mixed);
                if (word < *sample) *sample = word;
            }
    }
}

/* Adds each pixel's samples to out, (side / grid, side / grid, 4): premultiplied linear RGBA. */
EXPORT void a2u_resolve(const Canvas *from, float *out) {
    int grid = from->grid, side = from->side;
    float weight = 1.f / from->total;
    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            uint64_t word = from->samples[(int64_t)y * side + x];
            if (word == EMPTY) continue;
            float r = (word >> 21 & 2047) * (1 / 2047.f), g = (word >> 10 & 2047) * (1 / 2047.f), b = (word & 1023) * (1 / 1023.f);
            float *o = out + 4 * ((int64_t)(y / grid) * (side / grid) + x / grid);
            o[0] += r * r * weight;
            o[1] += g * g * weight;
            o[2] += b * b * weight;
            o[3] += weight;
        }
}

static void cell(const Shade *s, const float *p, float *out) {
    for (int a = 0; a < 3; a++)
        out[a] = (s->axes[3 * a] * p[0] + s->axes[3 * a + 1] * p[1] + s->axes[3 * a + 2] * p[2] - s->low[a]) * s->scale[a];
}

/* Spreads what stops light (an area each) over a grid whose last axis runs towards the light. */
EXPORT void a2u_deposit(Shade *to, const float *points, const float *areas, int64_t count) {
    float unit = to->scale[0] * to->scale[1], place[3];
    for (int64_t i = 0; i < count; i++) {
        int64_t at = 0;
        cell(to, points + 3 * i, place);
        for (int a = 0; a < 3; a++) {
            int most = (a == 2 ? to->deep : to->across) - 1, c = (int)(place[a] + .5f);
            at = at * (most + 1) + (c < 0 ? 0 : c > most ? most : c);
        }
        to->depth[at] += areas[i] * unit;
    }
}

/* Gives the optical depth between each point and the light. */
static float shade(const Shade *s, const float *p) {
    float f[3];
    int64_t c[3], row = s->deep, plane = row * s->across;
    cell(s, p, f);
    for (int a = 0; a < 3; a++) {
        float most = (a == 2 ? s->deep : s->across) - 1.001f;
        f[a] = f[a] < 0 ? 0 : f[a] > most ? most : f[a];
        c[a] = (int64_t)f[a];
        f[a] -= c[a];
    }
    const float *g = s->depth + c[0] * plane + c[1] * row + c[2];
    float e[4];
    for (int k = 0; k < 4; k++) {
        const float *at = g + (k >> 1) * plane + (k & 1) * row;
        e[k] = at[0] + (at[1] - at[0]) * f[2];
    }
    e[0] += (e[1] - e[0]) * f[1];
    e[2] += (e[3] - e[2]) * f[1];
    return e[0] + (e[2] - e[0]) * f[0];
}

EXPORT void a2u_shade(const Shade *s, const float *points, int64_t count, float *out) {
    for (int64_t i = 0; i < count; i++) out[i] = shade(s, points + 3 * i);
}

static float bell(float x, float width) { return expf(-.5f * x * x / (width * width)) / (width * 2.5066f); }
static float dot(const float *a, const float *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
static float clip(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

/* Adds one light to hair: R, TT and TRT lobes (Marschner et al., "Light Scattering from Human Hair
 * Fibers", 2003), a diffuse part, and light that pale neighbours hand on. points, along, back (to
 * the camera), tint (n, 3), depth (n,); kind: roughness, gloss, transmission; broad: no lobes. */
EXPORT void a2u_light_hair(const float *depth, const float *along, const float *back, const float *tint, int64_t count,
                           const float *light, const float *colour, const float *kind, int32_t broad, float *out) {
    for (int64_t i = 0; i < count; i++) {
        const float *t = along + 3 * i, *w = back + 3 * i;
        float si = clip(dot(t, light), -1, 1), so = clip(dot(t, w), -1, 1), x = clip(depth[i], 0, 30);
        float azimuth = clip((dot(light, w) - si * so) / sqrtf((1 - si * si) * (1 - so * so) + 1e-9f), -1, 1);
        float direct = expf(-.9f * x), diffuse = sqrtf(1 - si * si) * (.5f + .25f * azimuth) * .175f, r, tt, trt, k = 1;
        if (broad) {
            float sum = si + so, lobe = expf(-sum * sum), far = .5f - .5f * azimuth;
            r = .006f * lobe * lobe, tt = .12f * lobe * far * far, trt = .05f * lobe * (.5f + .5f * azimuth);
        } else {
            float in = asinf(si), on = asinf(so), half = .5f * (in + on), c = cosf(.5f * (on - in)), phi = acosf(azimuth);
            float past = (3.14159f - phi) / .45f, glint = (phi - .35f) / .3f;
            k = cosf(in) / (c * c > .15f ? c * c : .15f);
            r = .018f * bell(half + .05f, kind[0]) * cosf(.5f * phi);
            tt = .45f * bell(half - .025f, .6f * kind[0]) * expf(-.5f * past * past);
            trt = .09f * bell(half - .075f, 1.6f * kind[0]) * (.25f + .75f * expf(-.5f * glint * glint));
        }
        for (int d = 0; d < 3; d++) {
            float a = tint[3 * i + d], handed = expf(-.9f * x * (1 - .92f * sqrtf(a))) - direct;
            out[3 * i + d] += colour[d] * (direct * (k * (kind[1] * r + kind[2] * tt * a + kind[1] * trt * a * a) + diffuse * a) + .15f * clip(handed, 0, 1) * a);
        }
    }
}

/* Adds one light to cords, shaded across their round in `columns` from the left of their course to
 * the right as the camera sees it. kind: share let through, gloss, its exponent, sheen. */
EXPORT void a2u_light_cords(const float *depth, const float *along, const float *back, const float *tint, int64_t count,
                            int32_t columns, const float *light, const float *colour, const float *kind, float *out) {
    for (int64_t i = 0; i < count; i++) {
        const float *t = along + 3 * i, *w = back + 3 * i;
        float x = clip(depth[i], 0, 30), direct = expf(-.9f * x);
        float right[3] = {t[1] * w[2] - t[2] * w[1], t[2] * w[0] - t[0] * w[2], t[0] * w[1] - t[1] * w[0]};
        float length = sqrtf(dot(right, right)) + 1e-9f, tilt = dot(t, w), up[3], half[3];
        for (int d = 0; d < 3; d++) right[d] /= length, up[d] = (w[d] - tilt * t[d]) / length, half[d] = light[d] + w[d];
        float size = sqrtf(dot(half, half)) + 1e-9f;
        for (int q = 0; q < columns; q++) {
            float across = columns > 1 ? 2 * (q + .5f) / columns - 1 : 0, high = sqrtf(1 - across * across);
            float facing = across * dot(right, light) + high * dot(up, light), shine = (across * dot(right, half) + high * dot(up, half)) / size;
            float lit = (1 - kind[0]) * clip(facing, 0, 1) + kind[0] * clip(-facing, 0, 1) + .12f * kind[3] * (1 - fabsf(facing));
            float gloss = facing > 0 && shine > 0 ? .25f * kind[1] * powf(shine, kind[2]) : 0, *o = out + 3 * (i * columns + q);
            for (int d = 0; d < 3; d++) {
                float a = tint[3 * i + d], handed = expf(-.9f * x * (1 - .7f * sqrtf(a))) - direct;
                o[d] += colour[d] * (direct * (lit * .3183f * a + gloss) + .075f * clip(handed, 0, 1) * a);
            }
        }
    }
}

/* Gives for each point the `most` nearest sites, nearest first: indices (n, most). */
EXPORT void a2u_nearest(const float *points, int64_t count, const float *sites, int64_t known, int32_t most, int32_t *out) {
    for (int64_t i = 0; i < count; i++) {
        const float *p = points + 3 * i;
        float best[NEAR_MOST];
        int32_t *own = out + i * most;
        for (int k = 0; k < most; k++) best[k] = 1e30f, own[k] = 0;
        for (int64_t j = 0; j < known; j++) {
            const float *s = sites + 3 * j;
            float x = p[0] - s[0], y = p[1] - s[1], z = p[2] - s[2], gap = x * x + y * y + z * z;
            if (gap >= best[most - 1]) continue;
            int k = most - 1;
            for (; k && gap < best[k - 1]; k--) best[k] = best[k - 1], own[k] = own[k - 1];
            best[k] = gap, own[k] = (int32_t)j;
        }
    }
}
