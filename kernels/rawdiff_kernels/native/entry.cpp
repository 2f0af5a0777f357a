// Linked into every op's library: who it was built from, and where its threads come from.
#include "strips.h"

namespace rawdiff {
ParallelFor parallel_for = nullptr;
}

RAWDIFF_EXPORT const char *rawdiff_build_id() { return RAWDIFF_BUILD_ID; }

RAWDIFF_EXPORT void rawdiff_attach(rawdiff::ParallelFor pool) { rawdiff::parallel_for = pool; }
