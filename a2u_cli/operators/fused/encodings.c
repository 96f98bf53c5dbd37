/* What the kernels need of the two encodings of a picture (affinity.py), without writing these: sums over each coarse
 * row, or the affinity plane. Channels-last float32; nothing where there are no `vectors.h`. Sums are in double:
 * variances are small beside squared means.
 */
#include "lanes.h"

#if defined(HAS_VECTORS)
/* Both encodings of BLOCK channels fill a quarter of the registers, or half where they are 16. */
enum { BLOCK = 32, VECTORS = BLOCK / LANES };

/* Correlates channels from c on with both filters, at coarse pixel (i, j); outside is zero. */
INLINE void encode(const Encoding *job, Index i, Index j, Index c, Floats code[2][VECTORS]) {
    const Index k = job->k, top = 2 * i - (k - 1) / 2, left = 2 * j - (k - 1) / 2;
    const Index last_u = smaller(k, 2 * job->h - top), last_v = smaller(k, 2 * job->w - left);
    const Floats zero = {0};
    UNROLL for (int n = 0; n < VECTORS; n++) code[0][n] = code[1][n] = zero;
    for (Index u = larger(0, -top); u < last_u; u++)
        for (Index v = larger(0, -left); v < last_v; v++) {
            const float *x = job->x.at + (top + u) * job->x.row + (left + v) * job->x.pixel + c;
            const float first = job->filters[u * k + v], second = job->filters[(k + u) * k + v];
            UNROLL for (int n = 0; n < VECTORS; n++) {
                code[0][n] += first * load(x + n * LANES);
                code[1][n] += second * load(x + n * LANES);
            }
        }
}

/* Writes the sums of a coarse row's encodings, from column `left` to `right`, and of their squares. */
static void sum_row(const Encoding *job, Index i) {
    double *out = job->sums + i * 4 * job->channels;
    for (Index c = 0; c < job->channels; c += BLOCK) {
        double sums[2][2][BLOCK] = {{{0}}};
        for (Index j = job->left; j < job->right; j++) {
            Floats code[2][VECTORS];
            encode(job, i, j, c, code);
            for (int f = 0; f < 2; f++) {
                float values[BLOCK];
                UNROLL for (int n = 0; n < VECTORS; n++) store(values + n * LANES, code[f][n]);
                for (int l = 0; l < BLOCK; l++) {
                    const double value = values[l];
                    sums[f][0][l] += value;
                    sums[f][1][l] += value * value;
                }
            }
        }
        for (int f = 0; f < 2; f++)
            for (int power = 0; power < 2; power++)
                for (int l = 0; l < BLOCK; l++) out[(f * 2 + power) * job->channels + c + l] = sums[f][power][l];
    }
}

INLINE Floats standardise(const Encoding *job, Floats code, int filter, Index c) {
    const Floats zero = {0}, gain = load(job->gain + filter * job->channels + c);
    const Floats y = code * gain + load(job->shift + filter * job->channels + c);
    return choose(y > zero, y, (float)job->slope * y);
}

/* Writes the affinities of a coarse row: scaled sums over the channels of products of what is standardised. */
static void relate_row(const Encoding *job, Index i) {
    for (Index j = 0; j < job->w; j++) {
        Floats sum = {0}, code[2][VECTORS];
        float total = 0;
        for (Index c = 0; c < job->channels; c += BLOCK) {
            encode(job, i, j, c, code);
            UNROLL for (int n = 0; n < VECTORS; n++)
                sum += standardise(job, code[0][n], 0, c + n * LANES) * standardise(job, code[1][n], 1, c + n * LANES);
        }
        for (int l = 0; l < LANES; l++) total += sum[l];
        job->affinity[i * job->w + j] = (float)(total * job->scale);
    }
}

void FORM(encode_rows)(const Encoding *job) {
    for (Index i = job->start; i < job->stop; i++)
        if (job->sums) sum_row(job, i);
        else relate_row(job, i);
}
END_VECTORS

#if !defined(AVX512)
void encode_rows_avx512(const Encoding *job);

EXPORT void a2u_encode(const Encoding *job) {
    (a2u_has_avx512() ? encode_rows_avx512 : encode_rows_avx2)(job);
}
#endif
#endif
