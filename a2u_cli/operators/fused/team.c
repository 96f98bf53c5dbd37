/* Jobs for a team of threads to take, one after the other, until none is left. */
#include <stdint.h>

#if defined(__GNUC__) && !defined(_WIN32)
typedef struct {
    void (*function)(const void *);
    const char *jobs;
    int64_t size, count, next;
} Team;

__attribute__((visibility("default"))) void a2u_take(Team *team) {
    int64_t job;
    while ((job = __atomic_fetch_add(&team->next, 1, __ATOMIC_RELAXED)) < team->count)
        team->function(team->jobs + job * team->size);
}
#endif
