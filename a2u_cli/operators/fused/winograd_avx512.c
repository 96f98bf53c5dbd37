/* `winograd.c` for processors with AVX-512. */
#define AVX512
#include "winograd.c"
