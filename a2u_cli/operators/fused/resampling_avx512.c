/* `resampling.c` for processors with AVX-512. */
#define AVX512
#include "resampling_avx2.c"
