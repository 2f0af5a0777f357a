// A mosaic read between its samples along a field of vectors, in the order of reference.py.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "window.h"

namespace merge {

constexpr int64_t kPlanes = 4;

// The field points around a position.
struct Between {
    int64_t before, after;
    float way;

    Between(int64_t position, int64_t count, float inverse, float origin) {
        way = (static_cast<float>(position) - origin) * inverse;
        way = std::min(std::max(way, 0.0f), static_cast<float>(count - 1));
        before = std::min(static_cast<int64_t>(way), std::max<int64_t>(count - 2, 0));
        way = way - static_cast<float>(before);
        after = std::min(before + 1, count - 1);
    }
};

// taps.py: places per pixel of the mosaic as a power of two, and per cell.
constexpr int64_t kStepBits = 4, kSteps = 1 << kStepBits, kPeriod = 2 * kSteps;

// A mosaic that is read between its samples: weights [3, period, period, 4, S, S].
template <int64_t S> struct Mosaic {
    const float *planes, *weights, *shares;
    int64_t height, width, rows[kPlanes], columns[kPlanes];

    Mosaic(const float *its_planes, const float *its_weights, const float *its_shares, int64_t its_height,
           int64_t its_width, int64_t red_row, int64_t red_column)
        : planes(its_planes), weights(its_weights), shares(its_shares), height(its_height), width(its_width),
          rows{red_row, red_row, 1 - red_row, 1 - red_row},
          columns{red_column, 1 - red_column, red_column, 1 - red_column} {}

    // The samples of plane `j` from cell (y, x) on; false where one that counts lies outside.
    bool gather(int64_t j, int64_t y, int64_t x, bool deep, const float *weight, float *found) const {
        const float *source = planes + j * height * width;
        if (deep) {
            source += y * width + x;
            for (int64_t k = 0; k < S; ++k)
                for (int64_t m = 0; m < S; ++m) found[k * S + m] = source[k * width + m];
            return true;
        }
        bool inside = true;
        for (int64_t k = 0; k < S * S; ++k) {
            const int64_t row = y + k / S, column = x + k % S;
            inside &= weight[k] == 0.0f || (row >= 0 && row < height && column >= 0 && column < width);
            found[k] = source[std::clamp<int64_t>(row, 0, height - 1) * width + std::clamp<int64_t>(column, 0, width - 1)];
        }
        return inside;
    }

    // The colour of `plane` at (y, x) in steps from the mosaic's first pixel; false where a sample is missing.
    bool read(int64_t plane, int64_t y, int64_t x, float &value, float &share) const {
        const int64_t place_y = (y - rows[0] * kSteps) & (kPeriod - 1), place_x = (x - columns[0] * kSteps) & (kPeriod - 1);
        const int64_t place = ((plane + 1) / 2 * kPeriod + place_y) * kPeriod + place_x;
        const int64_t top = (y >> kStepBits) - S + 1, left = (x >> kStepBits) - S + 1;
        const bool deep = top >= 0 && left >= 0 && top + 2 * S <= 2 * height && left + 2 * S <= 2 * width;
        const float *weight = weights + place * kPlanes * S * S;
        float total[S * S] = {}, found[S * S];
        bool inside = true;
        for (int64_t j = 0; j < kPlanes; ++j, weight += S * S) {
            inside &= gather(j, (top - rows[j] + 1) >> 1, (left - columns[j] + 1) >> 1, deep, weight, found);
            for (int64_t k = 0; k < S * S; ++k) {
                const float part = weight[k] * found[k];
                total[k] += weight[k] == 0.0f ? 0.0f : part;
            }
        }
        value = total[0];
        for (int64_t k = 1; k < S * S; ++k) value += total[k];
        share = shares[place];
        return inside;
    }

    // A cell whose first pixel lies at (y, x): its four colours, `stride` apart, and their mean share.
    void read_cell(int64_t y, int64_t x, float *out, int64_t stride, float *share) const {
        float value[kPlanes], left[kPlanes];
        bool inside = true;
        for (int64_t k = 0; k < kPlanes; ++k)
            inside &= read(k, y + rows[k] * kSteps, x + columns[k] * kSteps, value[k], left[k]);
        for (int64_t k = 0; k < kPlanes; ++k) out[k * stride] = inside ? value[k] : 0.0f;
        *share = inside ? (((left[0] + left[1]) + left[2]) + left[3]) * 0.25f : 0.0f;
    }
};

// A field of vectors, in steps of the mosaic.
struct Field {
    const float *vectors;
    int64_t rows, columns;
    float inverse, origin;

    // Calls visit(x, y in steps, x in steps) for the cells of row y.
    template <typename Visit> void along(int64_t y, const std::vector<Between> &across, const Visit &visit) const {
        const Between row(y, rows, inverse, origin);
        const float *upper = vectors + row.before * columns * 2, *lower = vectors + row.after * columns * 2;
        for (int64_t x = 0; x < static_cast<int64_t>(across.size()); ++x) {
            const Between &c = across[static_cast<size_t>(x)];
            int64_t place[2] = {y * kPeriod, x * kPeriod};
            for (int64_t axis = 0; axis < 2; ++axis) {
                const float ul = upper[2 * c.before + axis], ur = upper[2 * c.after + axis];
                const float ll = lower[2 * c.before + axis], lr = lower[2 * c.after + axis];
                const float high = ul + c.way * (ur - ul), low = ll + c.way * (lr - ll);
                const float shift = high + row.way * (low - high);
                place[axis] += static_cast<int64_t>(std::floor(shift * static_cast<float>(kPeriod) + 0.5f));
            }
            visit(x, place[0], place[1]);
        }
    }
};

template <int64_t S>
int warp(const Mosaic<S> &mosaic, const Field &field, float *out, float *share, int64_t top, int64_t rows,
         int64_t threads) {
    const int64_t width = mosaic.width;
    return over_strips(rows, rawdiff::strip_rows(width * 32), threads, [&](int64_t begin, int64_t end) {
        std::vector<Between> across;
        across.reserve(static_cast<size_t>(width));
        for (int64_t x = 0; x < width; ++x) across.emplace_back(x, field.columns, field.inverse, field.origin);
        for (int64_t y = begin; y < end; ++y)
            field.along(top + y, across, [&](int64_t x, int64_t down, int64_t right) {
                mosaic.read_cell(down, right, out + y * width + x, rows * width, share + y * width + x);
            });
    });
}

}  // namespace merge
