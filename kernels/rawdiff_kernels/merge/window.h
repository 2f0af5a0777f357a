// Bands of rows and their window sums, in the order of reference.py: along the rows first, then down.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>
#include <vector>

#include "strips.h"

namespace merge {

// Rows [begin, end) of a frame that has `height` rows, cut at the frame.
struct Band {
    int64_t begin, end, width;
    std::vector<float> data;

    Band(int64_t first, int64_t last, int64_t height, int64_t its_width)
        : begin(std::max<int64_t>(first, 0)), end(std::min(last, height)), width(its_width),
          data(static_cast<size_t>((end - begin) * its_width)) {}

    float *row(int64_t y) { return data.data() + (y - begin) * width; }
    const float *row(int64_t y) const { return data.data() + (y - begin) * width; }
};

inline void sum_along(const float *in, float *__restrict out, int64_t width, int64_t radius) {
    const auto border = [&](int64_t x) {
        float total = x - radius >= 0 ? in[x - radius] : 0.0f;
        for (int64_t k = x - radius + 1; k <= x + radius; ++k) total += k >= 0 && k < width ? in[k] : 0.0f;
        out[x] = total;
    };
    const int64_t first = std::min(radius, width), last = std::max(first, width - radius);
    for (int64_t x = 0; x < first; ++x) border(x);
    for (int64_t x = last; x < width; ++x) border(x);
    for (int64_t x = first; x < last; ++x) out[x] = in[x - radius];
    for (int64_t k = 1; k <= 2 * radius; ++k)
        for (int64_t x = first; x < last; ++x) out[x] += in[x - radius + k];
}

// Replaces every row by its sums along the row.
inline void sum_rows(Band &band, int64_t radius) {
    std::vector<float> row(static_cast<size_t>(band.width));
    for (int64_t y = band.begin; y < band.end; ++y) {
        std::copy(band.row(y), band.row(y) + band.width, row.begin());
        sum_along(row.data(), band.row(y), band.width, radius);
    }
}

// The window sums of row y of a band whose rows have been summed.
inline void sum_down(const Band &band, int64_t y, int64_t radius, float *__restrict out) {
    std::fill(out, out + band.width, 0.0f);
    const int64_t last = std::min(y + radius, band.end - 1);
    for (int64_t k = std::max(y - radius, band.begin); k <= last; ++k) {
        const float *row = band.row(k);
        for (int64_t x = 0; x < band.width; ++x) out[x] += row[x];
    }
}

// Strips over threads; 1 where one of them could not allocate.
template <typename Work>
int over_strips(int64_t rows, int64_t strip, int64_t threads, const Work &work) {
    std::atomic<int> status{0};
    rawdiff::for_strips(rows, strip, threads, [&](int64_t begin, int64_t end) {
        try {
            work(begin, end);
        } catch (const std::bad_alloc &) {
            status.store(1);
        }
    });
    return status.load();
}

}  // namespace merge
