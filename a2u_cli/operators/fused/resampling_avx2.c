/* `resampling.c` for processors with AVX2 and fused multiply-add, or with AVX-512; nothing elsewhere. */
#include "vectors.h"

#if defined(HAS_VECTORS)
#define RESAMPLE FORM(resample)
#include "resampling.c"
END_VECTORS
#endif
