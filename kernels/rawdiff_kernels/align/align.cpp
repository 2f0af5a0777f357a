// Tile matching: each tile and the part of the other frame that it may meet are copied side by side, so that
// the search runs in the first-level cache; whole tiles without NaN skip the counting.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>

#include "strips.h"

namespace {

constexpr int64_t kLanes = 8;
constexpr int64_t kLeastShare = 4;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Frame {
    const float *data;
    int64_t height, width;
};

// A square cut out of a frame, NaN outside of it; `pitch` floats per row, also NaN beyond the square.
struct Patch {
    std::unique_ptr<float[]> data;
    int64_t side, pitch, top = 0, left = 0, known = 0;

    explicit Patch(int64_t its_side)
        : data(new float[its_side * (its_side + kLanes)]), side(its_side), pitch(its_side + kLanes) {}

    bool complete() const { return known == side * side; }

    void cut(const Frame &frame, int64_t its_top, int64_t its_left) {
        top = its_top;
        left = its_left;
        const int64_t begin = std::clamp<int64_t>(-left, 0, side);
        const int64_t end = std::clamp<int64_t>(frame.width - left, begin, side);
        known = 0;
        for (int64_t y = 0; y < side; ++y) {
            float *row = data.get() + y * pitch;
            if (top + y < 0 || top + y >= frame.height) {
                std::fill(row, row + pitch, kNaN);
                continue;
            }
            const float *source = frame.data + (top + y) * frame.width + left;
            std::fill(row, row + begin, kNaN);
            int32_t found = 0;
            for (int64_t x = begin; x < end; ++x) {
                row[x] = source[x];
                found += source[x] == source[x];
            }
            std::fill(row + end, row + pitch, kNaN);
            known += found;
        }
    }
};

struct Call {
    Frame reference, alternate;
    const int32_t *start, *steps;
    const float *penalties;
    float *vectors, *cost;
    int64_t columns, tile, stride, step_count;
    bool subpixel;
};

template <bool kSquare, bool kComplete>
float sum_of_tile(const float *own, int64_t own_pitch, const float *other, int64_t other_pitch, int64_t tile,
                  int64_t &paired) {
    float sum[kLanes] = {}, count[kLanes] = {};
    for (int64_t y = 0; y < tile; ++y, own += own_pitch, other += other_pitch)
        for (int64_t x = 0; x < tile; x += kLanes)
            for (int64_t lane = 0; lane < kLanes; ++lane) {
                const float difference = own[x + lane] - other[x + lane];
                const float term = kSquare ? difference * difference : std::fabs(difference);
                const bool known = kComplete || difference == difference;
                sum[lane] += known ? term : 0.0f;
                if (!kComplete) count[lane] += known ? 1.0f : 0.0f;
            }
    paired = tile * tile;
    if (!kComplete) paired = static_cast<int64_t>(((count[0] + count[1]) + (count[2] + count[3])) +
                                                  ((count[4] + count[5]) + (count[6] + count[7])));
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

template <bool kSquare>
class Search {
   public:
    Search(const Call &call, int64_t reach)
        : call_(call), reach_(reach), own_(call.tile), other_(call.tile + 2 * reach) {}

    void run(int64_t index) {
        const int64_t top = index / call_.columns * call_.stride, left = index % call_.columns * call_.stride;
        const int64_t start_y = call_.start[2 * index], start_x = call_.start[2 * index + 1];
        own_.cut(call_.reference, top, left);
        other_.cut(call_.alternate, top + start_y - reach_, left + start_x - reach_);
        float best = kInfinity, cost = kInfinity;
        int64_t step_y = 0, step_x = 0;
        for (int64_t i = 0; i < call_.step_count; ++i) {
            const int64_t dy = call_.steps[2 * i], dx = call_.steps[2 * i + 1];
            const float found = cost_at(dy, dx), total = found + call_.penalties[i];
            if (total < best) {
                best = total;
                cost = found;
                step_y = dy;
                step_x = dx;
            }
        }
        float vector_y = static_cast<float>(start_y + step_y), vector_x = static_cast<float>(start_x + step_x);
        if (call_.subpixel) refine(step_y, step_x, vector_y, vector_x);
        call_.vectors[2 * index] = vector_y;
        call_.vectors[2 * index + 1] = vector_x;
        call_.cost[index] = cost;
    }

   private:
    float cost_at(int64_t dy, int64_t dx) const {
        const float *other = other_.data.get() + (dy + reach_) * other_.pitch + dx + reach_;
        const bool complete = own_.complete() && other_.complete() && call_.tile % kLanes == 0;
        int64_t paired;
        const float sum = complete
                              ? sum_of_tile<kSquare, true>(own_.data.get(), own_.pitch, other, other_.pitch,
                                                           call_.tile, paired)
                              : sum_of_tile<kSquare, false>(own_.data.get(), own_.pitch, other, other_.pitch,
                                                            call_.tile, paired);
        const bool enough = paired > 0 && kLeastShare * paired >= own_.known;
        return enough ? sum / static_cast<float>(paired) : kInfinity;
    }

    // The minimum of the quadratic surface through the 3x3 costs, as reference.subpixel_step.
    void refine(int64_t step_y, int64_t step_x, float &vector_y, float &vector_x) const {
        float c[9];
        for (int64_t i = 0; i < 9; ++i) c[i] = cost_at(step_y + i / 3 - 1, step_x + i % 3 - 1);
        const float left = (c[0] + c[3]) + c[6], centre = (c[1] + c[4]) + c[7], right = (c[2] + c[5]) + c[8];
        const float top = (c[0] + c[1]) + c[2], middle = (c[3] + c[4]) + c[5], bottom = (c[6] + c[7]) + c[8];
        const float sixth = static_cast<float>(1.0 / 6), third = static_cast<float>(1.0 / 3);
        const float slope_x = (right - left) * sixth, slope_y = (bottom - top) * sixth;
        const float bend_x = ((right + left) - 2.0f * centre) * third;
        const float bend_y = ((bottom + top) - 2.0f * middle) * third;
        const float twist = ((c[0] + c[8]) - (c[2] + c[6])) * 0.25f;
        const float determinant = bend_x * bend_y - twist * twist;
        const float dx = (twist * slope_y - bend_y * slope_x) / determinant;
        const float dy = (twist * slope_x - bend_x * slope_y) / determinant;
        if (bend_x > 0.0f && determinant > 0.0f && std::fabs(dx) <= 1.0f && std::fabs(dy) <= 1.0f) {
            vector_y += dy;
            vector_x += dx;
        }
    }

    const Call &call_;
    int64_t reach_;
    Patch own_, other_;
};

template <bool kSquare>
int match(const Call &call, int64_t rows, int64_t threads) {
    int64_t reach = call.subpixel ? 1 : 0;
    for (int64_t i = 0; i < call.step_count; ++i)
        reach = std::max<int64_t>(reach, std::abs(call.steps[2 * i]) + (call.subpixel ? 1 : 0));
    std::atomic<int> status{0};
    rawdiff::for_strips(rows, 1, threads, [&](int64_t begin, int64_t end) {
        try {
            Search<kSquare> search(call, reach);
            for (int64_t i = begin * call.columns; i < end * call.columns; ++i) search.run(i);
        } catch (const std::bad_alloc &) {
            status.store(1);
        }
    });
    return status.load();
}

}  // namespace

// reference and alternate to vectors [rows, columns, 2] and cost [rows, columns]; start [rows, columns, 2] whole
// pixels; steps [step_count, 2] in the order of preference, with their penalties.
RAWDIFF_EXPORT int align_match_tiles(const float *reference, const float *alternate, const int32_t *start,
                                     const int32_t *steps, const float *penalties, float *vectors, float *cost,
                                     int64_t height, int64_t width, int64_t other_height, int64_t other_width,
                                     int64_t rows, int64_t columns, int64_t tile, int64_t stride,
                                     int64_t step_count, int64_t square, int64_t subpixel, int64_t threads) {
    const Call call{{reference, height, width}, {alternate, other_height, other_width}, start, steps, penalties,
                    vectors, cost, columns, tile, stride, step_count, subpixel != 0};
    return square ? match<true>(call, rows, threads) : match<false>(call, rows, threads);
}
