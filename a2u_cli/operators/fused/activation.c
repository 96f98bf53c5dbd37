/* A sum and its leaky ReLU in one pass over dense memory, and the gradient of both in another.
 *
 * Bound by memory: the narrow vectors of any processor serve.
 */
#include "arguments.h"
#include "lanes.h"

INLINE void activate(const Activation *job, int bf16) {
    const float slope = (float)job->slope;
    for (ptrdiff_t i = job->start; i < job->stop; i += LANES) {
        const ptrdiff_t count = job->stop - i < LANES ? job->stop - i : LANES;
        Lanes y, other = {0};
        load_part(&y, move(job->y, i, bf16), count, bf16);
        if (job->other) load_part(&other, move(job->other, i, bf16), count, bf16);
        if (job->backward) {
            leak(&other, &y, slope);
            store_part((void *)move(job->out, i, bf16), &other, count, bf16);
        } else {
            add_scaled(&y, 1, &other);
            leak(&y, &y, slope);
            store_part((void *)move(job->out, i, bf16), &y, count, bf16);
        }
    }
}

EXPORT void a2u_activate(const Activation *job) {
    if (job->bf16) activate(job, 1);
    else activate(job, 0);
}
