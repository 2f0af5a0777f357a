// Generalised Anscombe transform and its exact unbiased inverse.
//
// Gain and sigma are one value per plane or one per pixel; the template picks the loop. Comparisons are
// written so that NaN passes through. `rise` is 0 for the published constant 3/8.
#include <algorithm>
#include <cmath>
#include <memory>
#include <type_traits>

#include "lanes.h"
#include "strips.h"

namespace {

constexpr int64_t kStripPixels = 16384;
constexpr int64_t kPiece = 1024;  // pixels computed in the first-level cache, then written past it
constexpr float kMiddle = 1.5f;   // of the table: v is a half at A = 1.5 c
constexpr float kAlmostOne = 0.9999998f;  // keeps v = 1 within the last cell

float not_below_zero(float value) { return value < 0.0f ? 0.0f : value; }

// a(s) = 3/8 + rise s^2 / (7/4 + s^2), from the square of the read noise in electrons.
float constant_of(float read_variance, float rise) {
    return 0.375f + rise * (read_variance / (1.75f + read_variance));
}

template <bool GainMap, bool SigmaMap>
void forward_run(const float *__restrict x, float *__restrict out, const float *__restrict gain,
                 const float *__restrict sigma, float rise, int64_t begin, int64_t end) {
    alignas(64) float piece[kPiece];
    for (int64_t at = begin; at < end; at += kPiece) {
        const int64_t count = std::min(kPiece, end - at);
        for (int64_t j = 0; j < count; ++j) {
            const int64_t i = at + j;
            const float k = gain[GainMap ? i : 0], s = sigma[SigmaMap ? i : 0];
            const float read_noise = s / k;
            const float floor = constant_of(read_noise * read_noise, rise) * k * k + s * s;
            const float variance = k * x[i] + floor;
            piece[j] = (2.0f / k) * std::sqrt(not_below_zero(variance));
        }
        rawdiff::stream(out + at, piece, count);
    }
    rawdiff::end_stream();
}

// The node left of a position that is at least 0 or NaN, at most `last`.
int32_t node_of(float position, float last) {
    return static_cast<int32_t>(position < last ? position : last);
}

// One gain and sigma, everything in the unit of the gain. `pairs` are H's straight line in each of `cells` cells over
// v: its value where the position is 0, and what it grows by from cell to cell.
struct Inverse {
    const float *pairs;
    float cells, quarter, middle, reach, offset;

    Inverse(float gain, float sigma, float rise, const float *its_pairs, float its_cells)
        : pairs(its_pairs), cells(its_cells), quarter(0.25f * gain) {
        const float read_noise = sigma / gain, read_variance = read_noise * read_noise;
        const float constant = constant_of(read_variance, rise);
        middle = gain * (kMiddle * (constant + read_variance));
        reach = middle * (cells * kAlmostOne);
        offset = gain * ((0.25f - constant) - read_variance);
    }

    void run(const float *__restrict z, float *__restrict out, int64_t begin, int64_t end) const {
        for (int64_t i = begin; i < end; ++i) {
            const float root = not_below_zero(z[i]);
            const float square = quarter * root * root;
            const float position = reach / (middle + square);
            const int32_t j = node_of(position, cells - 1.0f);
            out[i] = (square + offset) + (pairs[2 * j] + position * pairs[2 * j + 1]);
        }
    }
};

#if defined(__AVX2__)
using rawdiff::kLanes;
using rawdiff::Vector;
using rawdiff::Whole;

constexpr int64_t kCells = 16;  // that the registers hold

// A value for each cell in registers: a look-up takes no memory, where a gather loads every value by itself.
struct Lookup {
    Vector part[kCells / kLanes];

    // Takes every second value.
    explicit Lookup(const float *values) {
        for (int64_t i = 0; i < kCells; ++i) part[i / kLanes][i % kLanes] = values[2 * i];
    }

    Vector at(Whole node) const {
#if defined(__AVX512F__)
        return (Vector)_mm512_permutex2var_ps((__m512)part[0], (__m512i)node, (__m512)part[0]);
#else
        const __m256i place = (__m256i)node;
        const __m256 low = _mm256_permutevar8x32_ps((__m256)part[0], place);
        const __m256 high = _mm256_permutevar8x32_ps((__m256)part[1], place);
        return (Vector)_mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(place, 28)));
#endif
    }
};

// The same as Inverse::run, past the caches, for a row of `kCells`.
void run_lanes(const Inverse &inverse, const float *z, float *out, int64_t begin, int64_t end) {
    const Lookup start(inverse.pairs), step(inverse.pairs + 1);
    const int64_t unaligned = -static_cast<int64_t>(reinterpret_cast<uintptr_t>(out + begin) / 4) & (kLanes - 1);
    int64_t i = std::min(begin + unaligned, end);
    inverse.run(z, out, begin, i);
    for (; i + kLanes <= end; i += kLanes) {
        const Vector value = rawdiff::load(z + i), root = value < 0.0f ? Vector{} : value;
        const Vector square = inverse.quarter * root * root, position = inverse.reach / (inverse.middle + square);
        const Whole node = __builtin_convertvector(position, Whole);  // of NaN: any, which then becomes NaN again
        const Vector small = start.at(node) + position * step.at(node);
        rawdiff::stream(out + i, (square + inverse.offset) + small);
    }
    inverse.run(z, out, i, end);
    rawdiff::end_stream();
}
#endif

void inverse_run(const Inverse &inverse, const float *z, float *out, int64_t begin, int64_t end) {
#if defined(__AVX2__)
    if (inverse.cells == static_cast<float>(kCells)) return run_lanes(inverse, z, out, begin, end);
#endif
    inverse.run(z, out, begin, end);
}

// A gain or a sigma for each pixel: `table` holds H over q and v.
template <bool GainMap, bool SigmaMap>
void inverse_map_run(const float *__restrict z, float *__restrict out, const float *__restrict gain,
                     const float *__restrict sigma, float rise, const float *__restrict table,
                     float v_cells, float q_cells, int64_t begin, int64_t end) {
    const int32_t stride = static_cast<int32_t>(v_cells) + 2;
    for (int64_t i = begin; i < end; ++i) {
        const float k = gain[GainMap ? i : 0];
        const float read_noise = sigma[SigmaMap ? i : 0] / k, read_variance = read_noise * read_noise;
        const float constant = constant_of(read_variance, rise), floor = constant + read_variance;
        const float q = (0.375f / floor) * q_cells, middle = kMiddle * floor;
        const int32_t r = node_of(q, q_cells);
        const float weight = q - static_cast<float>(r);
        const float root = not_below_zero(z[i]);
        const float square = 0.25f * root * root;
        const float position = (middle / (middle + square)) * v_cells;
        const int32_t j = node_of(position, v_cells);
        const int32_t cell = r * stride + j, below = cell + stride;
        const float left = table[cell] + weight * (table[below] - table[cell]);
        const float right = table[cell + 1] + weight * (table[below + 1] - table[cell + 1]);
        const float small = left + (position - static_cast<float>(j)) * (right - left);
        out[i] = k * ((square + ((0.25f - constant) - read_variance)) + small);
    }
}

// Calls run(plane, begin, end) for strips of pixels.
template <typename Run>
void for_planes(int64_t planes, int64_t pixels, int64_t threads, const Run &run) {
    const int64_t strips = (pixels + kStripPixels - 1) / kStripPixels;
    rawdiff::for_strips(planes * strips, 1, threads, [&](int64_t index, int64_t) {
        const int64_t begin = index % strips * kStripPixels;
        const int64_t end = begin + kStripPixels < pixels ? begin + kStripPixels : pixels;
        run(index / strips, begin, end);
    });
}

// Calls `run` with the two flags as types, so that each loop is compiled for its own layout.
template <typename Run>
void with_flags(bool gain_map, bool sigma_map, const Run &run) {
    const std::true_type yes;
    const std::false_type no;
    if (gain_map && sigma_map) run(yes, yes);
    else if (gain_map) run(yes, no);
    else if (sigma_map) run(no, yes);
    else run(no, no);
}

}  // namespace

RAWDIFF_EXPORT int anscombe_forward(const float *x, float *out, int64_t planes, int64_t pixels,
                                    const float *gain, int64_t gain_map, const float *sigma,
                                    int64_t sigma_map, double rise, int64_t threads) {
    const float its_rise = static_cast<float>(rise);
    with_flags(gain_map, sigma_map, [&](auto gains, auto sigmas) {
        constexpr bool G = decltype(gains)::value, S = decltype(sigmas)::value;
        for_planes(planes, pixels, threads, [&](int64_t n, int64_t begin, int64_t end) {
            const int64_t start = n * pixels;
            forward_run<G, S>(x + start, out + start, gain + (G ? start : n), sigma + (S ? start : n),
                              its_rise, begin, end);
        });
    });
    return 0;
}

// table: a row of v_cells + 2 values per plane where neither is a map, else q_cells + 2 rows.
RAWDIFF_EXPORT int anscombe_inverse(const float *z, float *out, int64_t planes, int64_t pixels,
                                    const float *gain, int64_t gain_map, const float *sigma,
                                    int64_t sigma_map, double rise, const float *table, int64_t v_cells,
                                    int64_t q_cells, int64_t threads) {
    const float its_rise = static_cast<float>(rise);
    const float vs = static_cast<float>(v_cells), qs = static_cast<float>(q_cells);
    const int64_t count = gain_map || sigma_map ? 0 : planes * v_cells;
    const std::unique_ptr<float[]> pairs(new (std::nothrow) float[2 * count + 1]);
    if (!pairs) return 1;
    for (int64_t i = 0; i < count; ++i) {
        const int64_t n = i / v_cells, j = i % v_cells;
        const float *cell = table + n * (v_cells + 2) + j;
        const float step = cell[1] - cell[0];
        pairs[2 * i] = gain[n] * (cell[0] - static_cast<float>(j) * step);
        pairs[2 * i + 1] = gain[n] * step;
    }
    with_flags(gain_map, sigma_map, [&](auto gains, auto sigmas) {
        constexpr bool G = decltype(gains)::value, S = decltype(sigmas)::value;
        for_planes(planes, pixels, threads, [&](int64_t n, int64_t begin, int64_t end) {
            const int64_t start = n * pixels;
            if constexpr (G || S)
                inverse_map_run<G, S>(z + start, out + start, gain + (G ? start : n), sigma + (S ? start : n),
                                      its_rise, table, vs, qs, begin, end);
            else
                inverse_run({gain[n], sigma[n], its_rise, pairs.get() + 2 * n * v_cells, vs}, z + start, out + start,
                            begin, end);
        });
    });
    return 0;
}
