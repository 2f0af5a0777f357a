// Generalised Anscombe transform and its exact unbiased inverse.
//
// Gain and sigma are one value per plane or one per pixel; the template picks the loop. Comparisons are
// written so that NaN passes through.
#include <cmath>
#include <cstring>
#include <memory>
#include <type_traits>

#include "strips.h"

namespace {

constexpr int64_t kStripPixels = 16384;

float not_below_zero(float value) { return value < 0.0f ? 0.0f : value; }

template <bool GainMap, bool SigmaMap>
void forward_run(const float *__restrict x, float *__restrict out, const float *__restrict gain,
                 const float *__restrict sigma, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
        const float k = gain[GainMap ? i : 0], s = sigma[SigmaMap ? i : 0];
        const float variance = k * x[i] + (0.375f * k * k + s * s);
        out[i] = (2.0f / k) * std::sqrt(not_below_zero(variance));
    }
}

// The node left of a position in a table of `cells`, which lies in [0, cells] or is NaN.
int32_t node_of(float position, float cells) {
    return static_cast<int32_t>(position < cells ? position : cells);
}

// One cell of a row of H: its two ends.
struct Ends {
    float left, right;
};

#if defined(__AVX512F__)
// Both ends in one word, so that one load fetches them; on narrower registers that does not pay.
using Cell = uint64_t;

Cell cell_of(const float *row) {
    Cell cell;
    std::memcpy(&cell, row, sizeof cell);
    return cell;
}

Ends ends_of(const Cell *cells, int32_t j) {
    const Cell cell = cells[j];
    const uint32_t low = static_cast<uint32_t>(cell), high = static_cast<uint32_t>(cell >> 32);
    Ends ends;
    std::memcpy(&ends.left, &low, sizeof low);
    std::memcpy(&ends.right, &high, sizeof high);
    return ends;
}
#else
using Cell = float;

Cell cell_of(const float *row) { return *row; }

Ends ends_of(const Cell *cells, int32_t j) { return {cells[j], cells[j + 1]}; }
#endif

// One gain and sigma: `cells` is the row of H over v.
void inverse_run(const float *__restrict z, float *__restrict out, float gain, float sigma,
                 const Cell *__restrict cells, float v_cells, int64_t begin, int64_t end) {
    const float read_noise = sigma / gain;
    const float floor = 0.375f + read_noise * read_noise;
    const float offset = -0.125f - read_noise * read_noise;
    for (int64_t i = begin; i < end; ++i) {
        const float root = not_below_zero(z[i]);
        const float square = 0.25f * root * root;
        const float position = (floor / (floor + square)) * v_cells;
        const int32_t j = node_of(position, v_cells);
        const Ends ends = ends_of(cells, j);
        const float small = ends.left + (position - static_cast<float>(j)) * (ends.right - ends.left);
        out[i] = gain * ((square + offset) + small);
    }
}

// A gain or a sigma for each pixel: `table` holds H over q and v.
template <bool GainMap, bool SigmaMap>
void inverse_map_run(const float *__restrict z, float *__restrict out, const float *__restrict gain,
                     const float *__restrict sigma, const float *__restrict table, float v_cells,
                     float q_cells, int64_t begin, int64_t end) {
    const int32_t stride = static_cast<int32_t>(v_cells) + 2;
    for (int64_t i = begin; i < end; ++i) {
        const float k = gain[GainMap ? i : 0];
        const float read_noise = sigma[SigmaMap ? i : 0] / k;
        const float floor = 0.375f + read_noise * read_noise;
        const float q = (0.375f / floor) * q_cells;
        const int32_t r = node_of(q, q_cells);
        const float weight = q - static_cast<float>(r);
        const float root = not_below_zero(z[i]);
        const float square = 0.25f * root * root;
        const float position = (floor / (floor + square)) * v_cells;
        const int32_t j = node_of(position, v_cells);
        const int32_t cell = r * stride + j, below = cell + stride;
        const float left = table[cell] + weight * (table[below] - table[cell]);
        const float right = table[cell + 1] + weight * (table[below + 1] - table[cell + 1]);
        const float small = left + (position - static_cast<float>(j)) * (right - left);
        out[i] = k * ((square + (-0.125f - read_noise * read_noise)) + small);
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
                                    int64_t sigma_map, int64_t threads) {
    with_flags(gain_map, sigma_map, [&](auto gains, auto sigmas) {
        constexpr bool G = decltype(gains)::value, S = decltype(sigmas)::value;
        for_planes(planes, pixels, threads, [&](int64_t n, int64_t begin, int64_t end) {
            const int64_t start = n * pixels;
            forward_run<G, S>(x + start, out + start, gain + (G ? start : n), sigma + (S ? start : n), begin,
                              end);
        });
    });
    return 0;
}

// table: a row of v_cells + 2 values per plane where neither is a map, else q_cells + 2 rows.
RAWDIFF_EXPORT int anscombe_inverse(const float *z, float *out, int64_t planes, int64_t pixels,
                                    const float *gain, int64_t gain_map, const float *sigma,
                                    int64_t sigma_map, const float *table, int64_t v_cells, int64_t q_cells,
                                    int64_t threads) {
    const float vs = static_cast<float>(v_cells), qs = static_cast<float>(q_cells);
    const int64_t width = v_cells + 1, count = gain_map || sigma_map ? 0 : planes * (width + 1);
    const std::unique_ptr<Cell[]> rows(new (std::nothrow) Cell[count + 1]);
    if (!rows) return 1;
    // A row's last value repeats the one before it, so the very last cell may be that one's.
    for (int64_t i = 0; i < count; ++i) rows[i] = cell_of(table + (i + 1 < count ? i : i - 1));
    with_flags(gain_map, sigma_map, [&](auto gains, auto sigmas) {
        constexpr bool G = decltype(gains)::value, S = decltype(sigmas)::value;
        for_planes(planes, pixels, threads, [&](int64_t n, int64_t begin, int64_t end) {
            const int64_t start = n * pixels;
            if constexpr (G || S)
                inverse_map_run<G, S>(z + start, out + start, gain + (G ? start : n), sigma + (S ? start : n),
                                      table, vs, qs, begin, end);
            else
                inverse_run(z + start, out + start, gain[n], sigma[n], rows.get() + n * (width + 1), vs, begin,
                            end);
        });
    });
    return 0;
}
