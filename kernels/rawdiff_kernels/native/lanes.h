// Vectors as wide as the registers of the CPU that is compiled for, and how they come and go.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace rawdiff {

#if defined(__AVX512F__)
constexpr int64_t kLanes = 16;
#elif defined(__AVX2__)
constexpr int64_t kLanes = 8;
#else
constexpr int64_t kLanes = 4;
#endif

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));
typedef int32_t Whole __attribute__((vector_size(kLanes * sizeof(int32_t)), aligned(4), may_alias));

inline int64_t whole_lanes(int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

inline Vector spread(float value) { return value - Vector{}; }

inline Vector load(const float *from) { return *reinterpret_cast<const Vector *>(from); }

// Only `count` of the values where that is less than a vector; zeros for the rest.
inline Vector load(const float *from, int64_t count) {
    if (count >= kLanes) return load(from);
    Vector value = {};
    std::memcpy(&value, from, count * sizeof(float));
    return value;
}

inline void store(float *to, Vector value) { *reinterpret_cast<Vector *>(to) = value; }

// Whether `stream` may write there.
inline bool is_aligned(const float *to) {
    return reinterpret_cast<uintptr_t>(to) % (kLanes * sizeof(float)) == 0;
}

// Writes past the caches to an aligned place: the line is not read first, and what is there stays. For outputs
// larger than the caches, a whole line at a time; `end_stream` before another thread may read them.
inline void stream(float *to, Vector value) {
#if defined(__AVX512F__)
    _mm512_stream_ps(to, (__m512)value);
#elif defined(__AVX2__)
    _mm256_stream_ps(to, (__m256)value);
#elif defined(__SSE__)
    _mm_stream_ps(to, (__m128)value);
#else
    store(to, value);
#endif
}

inline void end_stream() {
#if defined(__SSE__)
    _mm_sfence();
#endif
}

// Copies a finished piece of an output from the first-level cache to anywhere, past the caches where it can.
inline void stream(float *to, const float *from, int64_t count) {
    int64_t i = 0;
    for (; i < count && !is_aligned(to + i); ++i) to[i] = from[i];
    for (; i + kLanes <= count; i += kLanes) stream(to + i, load(from + i));
    for (; i < count; ++i) to[i] = from[i];
}

}  // namespace rawdiff
