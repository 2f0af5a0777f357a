// Warping, mismatch and accumulation on the CPU, operation for operation as reference.py. Each strip computes
// the few rows around it again instead of waiting for its neighbour.
#include <cmath>

#include "mosaic.h"
#include "window.h"

namespace {

using merge::Band;
using merge::Field;
using merge::kPlanes;
using merge::Mosaic;
using merge::over_strips;
using merge::sum_down;
using merge::sum_rows;
using merge::warp;

constexpr float kTiny = 1e-30f;

inline float at_least(float x, float least) { return x > least ? x : least; }

struct Frame {
    const float *alternate, *share;
    int64_t height, width;

    const float *row(int64_t plane, int64_t y) const { return alternate + (plane * height + y) * width; }

    // 1 where a cell has all its samples, else 0.
    void valid_row(int64_t y, float *__restrict out) const {
        const float *a = row(0, y), *b = row(1, y), *c = row(2, y), *d = row(3, y), *q = share + y * width;
        for (int64_t x = 0; x < width; ++x) {
            const bool whole = (a[x] == a[x]) & (b[x] == b[x]) & (c[x] == c[x]) & (d[x] == d[x]);
            out[x] = whole & (q[x] > 0.0f) ? 1.0f : 0.0f;
        }
    }
};

inline float stabilise(float value, const float *constants) {
    return 2.0f * std::sqrt(at_least((value + constants[2]) * constants[3], 0.0f));
}

// What the running estimate (or a reference of exposure 1) knows.
struct Estimate {
    const float *light, *weight, *square;
    bool single;

    float value(int64_t plane_at, int64_t at) const {
        return single ? light[plane_at] : light[plane_at] / weight[at];
    }
    float before(int64_t at) const { return single ? 1.0f : weight[at]; }
    float own(int64_t at) const { return single ? 1.0f : square[at] / (weight[at] * weight[at]); }
};

struct Judgement {
    Frame frame;
    Estimate estimate;
    const float *constants, *low, *high;
    int64_t radius;
    float exposure, slack;

    void run(int64_t begin, int64_t end, float *trust) const {
        const int64_t first = begin - radius, last = end + radius, height = frame.height, width = frame.width;
        Band squares(first, last, height, width), expected(first, last, height, width);
        Band slopes(first, last, height, width), count(first, last, height, width);
        for (int64_t plane = 0; plane < kPlanes; ++plane) compare(plane, squares, expected, slopes);
        for (int64_t y = count.begin; y < count.end; ++y) {
            float *valid = count.row(y), *a = squares.row(y), *b = expected.row(y), *c = slopes.row(y);
            frame.valid_row(y, valid);
            for (int64_t x = 0; x < width; ++x) {
                a[x] = valid[x] > 0.0f ? a[x] : 0.0f;
                b[x] = valid[x] > 0.0f ? b[x] : 0.0f;
                c[x] = valid[x] > 0.0f ? c[x] : 0.0f;
            }
        }
        for (Band *band : {&squares, &expected, &slopes, &count}) sum_rows(*band, radius);
        std::vector<float> sums(static_cast<size_t>(5 * width));
        for (int64_t y = begin; y < end; ++y) {
            const Band *bands[] = {&squares, &expected, &slopes, &count};
            for (int64_t i = 0; i < 4; ++i) sum_down(*bands[i], y, radius, sums.data() + i * width);
            frame.valid_row(y, sums.data() + 4 * width);
            weigh(sums.data(), trust + y * width);
        }
    }

    void compare(int64_t plane, Band &squares, Band &expected, Band &slopes) const {
        const int64_t height = frame.height, width = frame.width;
        const float *c = constants + 4 * plane;
        const float gain = c[0], floor = c[1], e = exposure;
        Band light(squares.begin - 1, squares.end + 1, height, width), stable = light;
        for (int64_t y = light.begin; y < light.end; ++y)
            for (int64_t x = 0; x < width; ++x) {
                const int64_t at = y * width + x;
                light.row(y)[x] = estimate.value(plane * height * width + at, at);
                stable.row(y)[x] = stabilise(light.row(y)[x], c);
            }
        for (int64_t y = squares.begin; y < squares.end; ++y) {
            const float *found = frame.row(plane, y), *share = frame.share + y * width, *value = light.row(y);
            const float *here = stable.row(y), *above = stable.row(std::max<int64_t>(y - 1, 0));
            const float *below = stable.row(std::min(y + 1, height - 1));
            float *__restrict a = squares.row(y), *__restrict b = expected.row(y), *__restrict s = slopes.row(y);
            for (int64_t x = 0; x < width; ++x) {
                const int64_t at = y * width + x, left = x > 0 ? x - 1 : 0, right = x + 1 < width ? x + 1 : x;
                const float before = estimate.before(at), own = estimate.own(at);
                const float difference = here[x] - stabilise(found[x], c);
                const float photons = gain * at_least((value[x] * before + found[x] * e) / (before + e), 0.0f);
                const float noise = photons + floor, part = photons / at_least(noise, kTiny);
                const float unit = noise / (photons + gain * c[2]);
                const float down = below[x] - above[x], across = here[right] - here[left];
                a[x] += difference * difference;
                b[x] += unit * (own + (part * (share[x] / e) + (1.0f - part) * (share[x] / (e * e))));
                s[x] += 0.25f * (down * down + across * across) - unit * own;
            }
        }
    }

    void weigh(const float *sums, float *__restrict trust) const {
        const int64_t width = frame.width;
        const float *squares = sums, *expected = sums + width, *slopes = sums + 2 * width;
        const float *count = sums + 3 * width, *valid = sums + 4 * width;
        for (int64_t x = 0; x < width; ++x) {
            const float allowed = at_least(expected[x] + slack * at_least(slopes[x], 0.0f), kTiny);
            const int32_t n = static_cast<int32_t>(count[x]);
            float t = (high[n] - squares[x] / allowed) / (high[n] - low[n]);
            t = at_least(t, 0.0f);
            t = t > 1.0f ? 1.0f : t;
            trust[x] = valid[x] > 0.0f ? (t * t) * (3.0f - 2.0f * t) : 0.0f;
        }
    }
};

struct Comparison {
    Frame frame;
    const float *estimate, *variance, *constants;
    int64_t radius;
    float exposure;

    void run(int64_t begin, int64_t end, float *out) const {
        const int64_t height = frame.height, width = frame.width, size = height * width;
        Band count(begin - radius, end + radius, height, width), energy = count;
        for (int64_t y = count.begin; y < count.end; ++y) frame.valid_row(y, count.row(y));
        for (int64_t y = begin; y < end; ++y)
            std::fill(out + size + y * width, out + size + (y + 1) * width, 0.0f);
        for (int64_t plane = 0; plane < kPlanes; ++plane) add_plane(plane, begin, end, count, energy, out + size);
        sum_rows(count, radius);
        sum_rows(energy, radius);
        std::vector<float> sums(static_cast<size_t>(2 * width));
        for (int64_t y = begin; y < end; ++y) {
            float *n = sums.data(), *total = n + width, *mean = out + y * width, *shift = mean + size;
            sum_down(count, y, radius, n);
            sum_down(energy, y, radius, total);
            for (int64_t x = 0; x < width; ++x) {
                mean[x] = total[x] / (at_least(n[x], 1.0f) * 4.0f);
                shift[x] = shift[x] * 0.25f;
            }
        }
    }

    void add_plane(int64_t plane, int64_t begin, int64_t end, const Band &valid, Band &energy, float *shift) const {
        const int64_t height = frame.height, width = frame.width, size = height * width;
        const float gain = constants[4 * plane], floor = constants[4 * plane + 1], e = exposure;
        Band light(begin - 2 * radius, end + 2 * radius, height, width);
        Band area = light, push(begin - radius, end + radius, height, width), spread = push;
        std::copy(estimate + plane * size + light.begin * width, estimate + plane * size + light.end * width,
                  light.data.begin());
        std::fill(area.data.begin(), area.data.end(), 1.0f);
        sum_rows(light, radius);
        sum_rows(area, radius);
        std::vector<float> sums(static_cast<size_t>(2 * width));
        float *mean = sums.data(), *cells = mean + width;
        for (int64_t y = push.begin; y < push.end; ++y) {
            sum_down(light, y, radius, mean);
            sum_down(area, y, radius, cells);
            const float *found = frame.row(plane, y), *value = estimate + plane * size + y * width;
            const float *own = variance + plane * size + y * width, *share = frame.share + y * width;
            const float *known = valid.row(y);
            float *__restrict a = energy.row(y), *__restrict d = push.row(y), *__restrict v = spread.row(y);
            for (int64_t x = 0; x < width; ++x) {
                const float photons = gain * at_least(mean[x] / cells[x], 0.0f);
                const float whole = at_least(own[x] + share[x] * (photons / e + floor / (e * e)), kTiny);
                const float difference = found[x] - value[x], part = difference * difference / whole;
                d[x] = known[x] > 0.0f ? difference : 0.0f;
                v[x] = known[x] > 0.0f ? whole : 0.0f;
                a[x] += known[x] > 0.0f ? part : 0.0f;
            }
        }
        sum_rows(push, radius);
        sum_rows(spread, radius);
        for (int64_t y = begin; y < end; ++y) {
            sum_down(push, y, radius, mean);
            sum_down(spread, y, radius, cells);
            for (int64_t x = 0; x < width; ++x) shift[y * width + x] += mean[x] * mean[x] / at_least(cells[x], kTiny);
        }
    }
};

// Rows per strip: enough that computing the rows around it again costs little.
int64_t window_strip(int64_t radius) { return std::max<int64_t>(8 * radius, 48); }

}  // namespace

// planes [4, height, width] to out [4, rows, width] and share [rows, width], rows from `top` on.
RAWDIFF_EXPORT int merge_warp(const float *planes, const float *field, const float *weights, const float *shares,
                              float *out, float *share, int64_t height, int64_t width, int64_t field_rows,
                              int64_t field_columns, int64_t spacing, int64_t top, int64_t rows, int64_t red_row,
                              int64_t red_column, int64_t samples, double origin, int64_t threads) {
    const Field vectors{field, field_rows, field_columns, static_cast<float>(1.0 / static_cast<double>(spacing)),
                        static_cast<float>(origin)};
    const auto run = [&](const auto &mosaic) { return warp(mosaic, vectors, out, share, top, rows, threads); };
    if (samples == 1) return run(Mosaic<1>(planes, weights, shares, height, width, red_row, red_column));
    if (samples == 2) return run(Mosaic<2>(planes, weights, shares, height, width, red_row, red_column));
    return run(Mosaic<3>(planes, weights, shares, height, width, red_row, red_column));
}

// Energy and shift, out [2, height, width]; constants [4, 4] begin with gain and floor of each plane.
RAWDIFF_EXPORT int merge_mismatch(const float *estimate, const float *variance, const float *alternate,
                                  const float *share, const float *constants, float *out, int64_t height,
                                  int64_t width, int64_t radius, double exposure, int64_t threads) {
    const Comparison comparison{{alternate, share, height, width}, estimate, variance, constants, radius,
                                static_cast<float>(exposure)};
    return over_strips(height, window_strip(radius), threads,
                       [&](int64_t begin, int64_t end) { comparison.run(begin, end, out); });
}

// Trust [height, width]; constants [4, 4] are gain, floor, offset and factor of the stabiliser of each plane.
RAWDIFF_EXPORT int merge_judge(const float *light, const float *weight, const float *square, const float *alternate,
                               const float *share, float *trust, const float *constants, const float *low,
                               const float *high, int64_t height, int64_t width, int64_t radius, int64_t single,
                               double exposure, double slack, int64_t threads) {
    const Judgement judgement{{alternate, share, height, width}, {light, weight, square, single != 0}, constants,
                              low, high, radius, static_cast<float>(exposure), static_cast<float>(slack)};
    return over_strips(height, window_strip(radius), threads,
                       [&](int64_t begin, int64_t end) { judgement.run(begin, end, trust); });
}

RAWDIFF_EXPORT int merge_add(float *total, float *weight, float *square, const float *alternate, const float *share,
                             const float *trust, int64_t height, int64_t width, double exposure, int64_t threads) {
    const Frame frame{alternate, share, height, width};
    const float e = static_cast<float>(exposure);
    return over_strips(height, rawdiff::strip_rows(width * 48), threads, [&](int64_t begin, int64_t end) {
        std::vector<float> used(static_cast<size_t>(width));
        for (int64_t y = begin; y < end; ++y) {
            frame.valid_row(y, used.data());
            for (int64_t x = 0; x < width; ++x) {
                const float kept = trust[y * width + x];
                used[x] = (used[x] > 0.0f) & (kept > 0.0f) ? kept * e : 0.0f;
            }
            for (int64_t plane = 0; plane < kPlanes; ++plane) {
                float *__restrict sum = total + (plane * height + y) * width;
                const float *found = frame.row(plane, y);
                for (int64_t x = 0; x < width; ++x) {
                    const float added = used[x] * found[x];
                    sum[x] += used[x] > 0.0f ? added : 0.0f;
                }
            }
            for (int64_t x = 0; x < width; ++x) {
                weight[y * width + x] += used[x];
                square[y * width + x] += used[x] * used[x] * share[y * width + x] / e;
            }
        }
    });
}
