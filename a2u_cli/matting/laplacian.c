/* Matting with the Laplacian of Levin, Lischinski and Weiss (CVPR 2006): its assembly, and the steps of
 * conjugate gradients on (L + T + trust) x = right, preconditioned by a symmetric sweep of over-relaxation.
 *
 * All planes are (height, width), with margins of REACH pixels where nothing is free. Work is counted in
 * strips of rows: each function writes rows [top, bottom) alone, and a sweep stays within its strip, so that
 * results do not hang on how strips are shared out to threads. Pixels that are not free hold 0 in `direction`
 * and `sweep`.
 */
#include <math.h>
#include <stddef.h>

#include "../operators/fused/arguments.h"

typedef ptrdiff_t Index;

enum { REACH = 2, WINDOW = 9, LINKS = 12 };
static const double EPSILON = 1e-7;   /* regularises the covariance of a window's colours */
static const double RELAXATION = 1.4; /* of the sweeps: a tenth fewer rounds than with 1 */

/* The later neighbours that share a window with a pixel, by rows: link d joins it to the one at BELOW[d], BESIDE[d]. */
static const int BELOW[LINKS] = {0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2};
static const int BESIDE[LINKS] = {1, 2, -2, -1, 0, 1, 2, -2, -1, 0, 1, 2};

static Index later(int down, int across) { return down ? 5 * down - 1 + across : across - 1; }

/* Whitens a window's colours: the dot product of two of them is what equation 12 adds to 1. */
static void whiten(double colours[WINDOW][3], const float *at, Index row) {
    double mean[3] = {0}, c[3][3] = {{0}};
    for (int k = 0; k < WINDOW; k++)
        for (int i = 0; i < 3; i++) mean[i] += colours[k][i] = at[(k / 3 * row + k % 3) * 3 + i];
    for (int k = 0; k < WINDOW; k++)
        for (int i = 0; i < 3; i++) {
            colours[k][i] -= mean[i] / WINDOW;
            for (int j = 0; j <= i; j++) c[i][j] += colours[k][i] * colours[k][j];
        }
    /* the covariance's Cholesky factor: the inverse itself would lose what near-grey windows have */
    for (int i = 0; i < 3; i++)
        for (int j = 0; j <= i; j++) {
            double sum = (c[i][j] + (i == j) * EPSILON) / WINDOW;
            for (int k = 0; k < j; k++) sum -= c[i][k] * c[j][k];
            c[i][j] = i == j ? sqrt(sum) : sum / c[j][j];
        }
    for (int k = 0; k < WINDOW; k++)
        for (int i = 0; i < 3; i++) {
            for (int j = 0; j < i; j++) colours[k][i] -= c[i][j] * colours[k][j];
            colours[k][i] /= c[i][i];
        }
}

static int any_free(const uint8_t *free, Index row) {
    int any = 0;
    for (int k = 0; k < WINDOW; k++) any |= free[k / 3 * row + k % 3];
    return any;
}

/* Sums up the links of the strip's pixels over all windows that hold a free pixel. */
EXPORT void a2u_link(const Strip *s) {
    const Index width = s->width, plane = s->height * width;
    const Index first = s->top - 2 > REACH ? s->top - 2 : REACH;
    for (Index y = first; y < s->bottom && y + 3 <= s->height - REACH; y++)
        for (Index x = REACH; x + 3 <= width - REACH; x++) {
            const Index corner = y * width + x;
            if (!any_free(s->free + corner, width)) continue;
            double colours[WINDOW][3];
            whiten(colours, s->colours + 3 * corner, width);
            for (int a = 0; a < WINDOW; a++) {
                const Index row = y + a / 3;
                if (row < s->top || row >= s->bottom) continue;
                for (int b = a + 1; b < WINDOW; b++) {
                    double alike = 1.0;
                    for (int i = 0; i < 3; i++) alike += colours[a][i] * colours[b][i];
                    const Index link = later(b / 3 - a / 3, b % 3 - a % 3);
                    s->links[link * plane + row * width + x + a % 3] += (float)(alike / WINDOW);
                }
            }
        }
}

/* Writes to y, for columns [left, right) of a row, the sum of links times differences to the neighbours. */
static void pull(const Strip *s, float *restrict y, const float *x, Index at, Index count) {
    const Index width = s->width, plane = s->height * width;
    for (Index i = 0; i < count; i++) y[i] = 0;
    for (int d = 0; d < LINKS; d++) {
        const Index far = BELOW[d] * width + BESIDE[d];
        const float *link = s->links + d * plane + at, *here = x + at;
        for (Index i = 0; i < count; i++)
            y[i] += link[i] * (here[i] - here[i + far]) + link[i - far] * (here[i] - here[i - far]);
    }
}

/* Finds the next run of free pixels of a row, from *left on, up to the returned column: none where both are equal. */
static Index run(const Strip *s, Index y, Index *left) {
    const uint8_t *free = s->free + y * s->width;
    while (*left < s->width && !free[*left]) ++*left;
    Index right = *left;
    while (right < s->width && free[right]) right++;
    return right;
}

/* The same from the row's end: the run before *right begins at the returned column. */
static Index run_back(const Strip *s, Index y, Index *right) {
    const uint8_t *free = s->free + y * s->width;
    while (*right > 0 && !free[*right - 1]) --*right;
    Index left = *right;
    while (left > 0 && free[left - 1]) left--;
    return left;
}

/* The ties of the pixel with a number: adds their pull on it. */
static float tied(const Strip *s, const float *x, Index at, Index number) {
    float sum = 0;
    for (Index k = s->starts[number]; k < s->starts[number + 1]; k++) sum += s->ties[k] * (x[at] - x[s->others[k]]);
    return sum;
}

/* Writes the sweeps' RELAXATION / diagonal, and the residual that the start leaves: `direction` holds alpha, known pixels included. */
EXPORT void a2u_begin(const Strip *s) {
    const Index width = s->width, plane = s->height * width;
    Index number = s->first;
    for (Index y = s->top; y < s->bottom; y++)
        for (Index left = 0, right; (right = run(s, y, &left)) > left; left = right) {
            const Index at = y * width + left;
            pull(s, s->residual + at, s->direction, at, right - left);
            for (Index i = at; i < at + right - left; i++, number++) {
                double sum = s->trust[i];
                for (int d = 0; d < LINKS; d++) {
                    const float *link = s->links + d * plane + i;
                    sum += (double)link[0] + link[-(BELOW[d] * width + BESIDE[d])];
                }
                for (Index k = s->starts[number]; k < s->starts[number + 1]; k++) sum += s->ties[k];
                s->scale[i] = (float)(RELAXATION / sum);
                s->residual[i] = s->trust[i] * (s->given[i] - s->direction[i]) - s->residual[i] -
                                 tied(s, s->direction, i, number);
            }
        }
}

/* direction = sweep + ratio * direction */
EXPORT void a2u_turn(const Strip *s) {
    const float ratio = (float)s->factors[0];
    for (Index i = s->top * s->width; i < s->bottom * s->width; i++)
        s->direction[i] = s->free[i] ? s->sweep[i] + ratio * s->direction[i] : 0;
}

/* product = (L + T + trust) direction; gives its dot product with the direction. */
EXPORT void a2u_multiply(const Strip *s) {
    Index number = s->first;
    double energy = 0;
    for (Index y = s->top; y < s->bottom; y++)
        for (Index left = 0, right; (right = run(s, y, &left)) > left; left = right) {
            const Index at = y * s->width + left;
            pull(s, s->product + at, s->direction, at, right - left);
            for (Index i = at; i < at + right - left; i++, number++) {
                s->product[i] += s->trust[i] * s->direction[i] + tied(s, s->direction, i, number);
                energy += (double)s->direction[i] * s->product[i];
            }
        }
    s->sums[0] = energy;
}

/* Walks `length` along the direction, and sweeps the strip forth and back over what is left: sweep is then the residual
 * times the inverse of (D - U)' D^-1 (D - U), where U are the links within the strip and D the diagonal by RELAXATION. Gives residual' sweep and
 * residual' residual. */
EXPORT void a2u_walk(const Strip *s) {
    const Index width = s->width, plane = s->height * width;
    const float length = (float)s->factors[1];
    for (Index y = s->top; y < s->bottom; y++)
        for (Index left = 0, right; (right = run(s, y, &left)) > left; left = right) {
            const Index at = y * width + left, count = right - left;
            float *restrict sweep = s->sweep + at;
            for (Index i = at; i < at + count; i++) {
                s->moved[i] += length * s->direction[i];
                s->residual[i] -= length * s->product[i];
                s->sweep[i] = s->residual[i];
            }
            for (int d = 2; d < LINKS && BELOW[d] <= y - s->top; d++) {
                const Index far = BELOW[d] * width + BESIDE[d];
                const float *link = s->links + d * plane + at - far, *above = s->sweep + at - far;
                for (Index i = 0; i < count; i++) sweep[i] += link[i] * above[i];
            }
            const float *one = s->links + at, *two = one + plane, *scale = s->scale + at;
            for (Index i = 0; i < count; i++)
                sweep[i] = (sweep[i] + one[i - 1] * sweep[i - 1] + two[i - 2] * sweep[i - 2]) * scale[i];
        }
    double energy = 0, rest = 0;
    for (Index y = s->bottom - 1; y >= s->top; y--)
        for (Index right = width, left; (left = run_back(s, y, &right)) < right; right = left) {
            const Index at = y * width + left, count = right - left;
            float *restrict sum = s->product + at; /* of no use any more */
            float *sweep = s->sweep + at;
            for (Index i = 0; i < count; i++) sum[i] = 0;
            for (int d = 2; d < LINKS && BELOW[d] < s->bottom - y; d++) {
                const Index far = BELOW[d] * width + BESIDE[d];
                const float *link = s->links + d * plane + at, *below = sweep + far;
                for (Index i = 0; i < count; i++) sum[i] += link[i] * below[i];
            }
            const float *one = s->links + at, *two = one + plane, *scale = s->scale + at;
            for (Index i = count - 1; i >= 0; i--) {
                sweep[i] += (sum[i] + one[i] * sweep[i + 1] + two[i] * sweep[i + 2]) * scale[i];
                const float residual = s->residual[at + i];
                energy += (double)residual * sweep[i];
                rest += (double)residual * residual;
            }
        }
    s->sums[0] = energy, s->sums[1] = rest;
}

/* Turns ties from each of `count` numbers to `each` others, (each, count), into those of either end: the ones at a
 * number are `to`, places in a plane, and `ties`, from starts[number] on. */
EXPORT void a2u_tie(const int32_t *others, const float *weights, const int32_t *places, int64_t each, int64_t count,
                    int32_t *starts, int32_t *to, float *ties) {
    int32_t *next = starts + 1; /* counts, then where the next tie of a number goes; at last where its ties end */
    for (Index i = 0; i <= count; i++) starts[i] = 0;
    for (Index i = 0; i < each * count; i++) {
        if (i % count + 2 <= count) next[i % count + 1]++;
        if (others[i] + 2 <= count) next[others[i] + 1]++;
    }
    for (Index i = 1; i < count; i++) next[i] += next[i - 1];
    for (Index i = 0; i < each * count; i++) {
        const Index one = i % count, other = others[i];
        const int32_t a = next[one]++, b = next[other]++;
        to[a] = places[other], to[b] = places[one];
        ties[a] = ties[b] = weights[i];
    }
}
