// What every op's C++ shares: the export macro and the loop over strips.
//
// An exported function takes tensors as pointers, whole numbers as int64_t, real numbers as double, and the
// number of threads last. It returns 0, or 1 where memory ran out. Arithmetic is compiled without
// contraction, so that a product and a sum round alike on every CPU.
#pragma once

#include <cstdint>
#include <new>

#define RAWDIFF_EXPORT extern "C" __attribute__((visibility("default")))

namespace rawdiff {

using Body = void (*)(void *context, int64_t index);
using ParallelFor = void (*)(int64_t count, int64_t threads, Body body, void *context);

// Set by rawdiff_attach when the library is loaded; the pool is one for all ops.
extern ParallelFor parallel_for;

// Bytes that one strip should touch so that it stays in a core's second-level cache.
constexpr int64_t kCacheBytes = 256 * 1024;

// Rows per strip so that `row_bytes` each fit the cache, a multiple of `align`.
inline int64_t strip_rows(int64_t row_bytes, int64_t align = 1) {
    int64_t rows = row_bytes > 0 ? kCacheBytes / row_bytes : 1;
    rows -= rows % align;
    return rows < align ? align : rows;
}

// Calls work(begin, end) for each strip of [0, rows). Strips are cut by size alone and each writes its own
// part of the output, so the result does not depend on the number of threads.
template <typename Work>
void for_strips(int64_t rows, int64_t strip, int64_t threads, const Work &work) {
    struct Context {
        const Work *work;
        int64_t rows, strip;
    } context{&work, rows, strip};
    const int64_t count = (rows + strip - 1) / strip;
    parallel_for(
        count, threads,
        [](void *raw, int64_t index) {
            const Context &c = *static_cast<Context *>(raw);
            const int64_t begin = index * c.strip;
            const int64_t end = begin + c.strip < c.rows ? begin + c.strip : c.rows;
            (*c.work)(begin, end);
        },
        &context);
}

}  // namespace rawdiff
