// The quadruple prior in one pass: blocks of a frame that stay in the second-level cache.
//
// A block's rows go through the colour model and the filters along the row into a ring of rows; each output
// row is the filters down the ring, then the invariants. Halos are computed again by the neighbouring block.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>

#include "strips.h"

namespace {

#if defined(__AVX512F__)
constexpr int64_t kLanes = 16;
#elif defined(__AVX2__)
constexpr int64_t kLanes = 8;
#else
constexpr int64_t kLanes = 4;
#endif
constexpr int64_t kBlockColumns = 1024;
constexpr int64_t kPlanes = 4;  // E smooth, E derivative along the row, E_l smooth, E_ll smooth

typedef float Vector __attribute__((vector_size(kLanes * sizeof(float)), aligned(4), may_alias));

#define LOAD(address) (*reinterpret_cast<const Vector *>(address))
#define STORE(address, value) (*reinterpret_cast<Vector *>(address) = (value))

struct Call {
    const float *rgb, *matrix, *taps;
    float *out;
    int64_t height, width, most_taps;
    float eps, floor;
    bool reflect, published;
};

// Mirrors a position into [0, size), the border itself not repeated.
int64_t fold(int64_t position, int64_t size) {
    const int64_t period = size > 1 ? 2 * (size - 1) : 1;
    const int64_t folded = ((position % period) + period) % period;
    return folded < size ? folded : period - folded;
}

int64_t whole_lanes(int64_t count) { return (count + kLanes - 1) / kLanes * kLanes; }

// Largest |error| 2e-8 for t in [0, 1] (Abramowitz and Stegun 4.4.49), besides rounding.
inline float atan_unit(float t) {
    const float s = t * t;
    float p = 0.0028662257f;
    p = p * s - 0.0161657367f;
    p = p * s + 0.0429096138f;
    p = p * s - 0.0752896400f;
    p = p * s + 0.1065626393f;
    p = p * s - 0.1420889944f;
    p = p * s + 0.1999355085f;
    p = p * s - 0.3333314528f;
    return t + t * s * p;
}

// atan(over / under) for any signs; 0 where both are 0.
inline float atan_ratio(float over, float under) {
    const float a = std::fabs(over), b = std::fabs(under);
    const float large = a > b ? a : b, small = a > b ? b : a;
    const float angle = atan_unit(small / (large > 0.0f ? large : 1.0f));
    const float folded = a > b ? 1.57079637f - angle : angle;
    return (over < 0.0f) != (under < 0.0f) ? -folded : folded;
}

// Series of the inverse hyperbolic tangent; error below 3e-9 besides rounding, for positive normal x.
inline float natural_log(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    const int32_t exponent = static_cast<int32_t>(bits >> 23) - 127;
    bits = (bits & 0x007FFFFFu) | 0x3F800000u;
    float mantissa;
    std::memcpy(&mantissa, &bits, sizeof mantissa);
    const bool above = mantissa > 1.41421354f;
    mantissa = above ? mantissa * 0.5f : mantissa;
    const float scale = static_cast<float>(exponent) + (above ? 1.0f : 0.0f);
    const float f = (mantissa - 1.0f) / (mantissa + 1.0f), s = f * f;
    float p = 2.0f / 9;
    p = p * s + 2.0f / 7;
    p = p * s + 2.0f / 5;
    p = p * s + 2.0f / 3;
    p = p * s + 2.0f;
    return scale * 0.693145752f + (f * p + scale * 1.42860677e-6f);
}

// One block of one image: columns [left, left + columns), whose buffers are whole vectors wide.
class Block {
   public:
    Block(const Call &call, int64_t image, int64_t left, int64_t columns, int64_t radius)
        : call_(call), left_(left), columns_(columns), radius_(radius), pitch_(whole_lanes(columns)),
          line_(pitch_ + 2 * radius + kLanes), ring_rows_(2 * radius + 1) {
        const int64_t size = call.height * call.width;
        rgb_ = call.rgb + image * 3 * size;
        out_ = call.out + image * 6 * size;
        bell_ = call.taps + image * 2 * call.most_taps;
        slope_ = bell_ + call.most_taps;
        memory_.reset(new float[3 * line_ + ring_rows_ * kPlanes * pitch_ + 5 * pitch_]());
        colors_ = memory_.get();
        ring_ = colors_ + 3 * line_;
        filtered_ = ring_ + ring_rows_ * kPlanes * pitch_;
    }

    void run(int64_t begin, int64_t end) {
        for (int64_t y = begin - radius_; y < begin + radius_; ++y) enter(y);
        for (int64_t y = begin; y < end; ++y) {
            enter(y + radius_);
            filter_down(y);
            finish(y);
        }
    }

   private:
    float *ring(int64_t y) const {
        return ring_ + ((y % ring_rows_ + ring_rows_) % ring_rows_) * kPlanes * pitch_;
    }

    // Computes the row y of the ring; y may lie outside the frame.
    void enter(int64_t y) {
        float *row = ring(y);
        if (!call_.reflect && (y < 0 || y >= call_.height)) {
            std::fill(row, row + kPlanes * pitch_, 0.0f);
            return;
        }
        color_row(fold(y, call_.height));
        filter_along(row);
    }

    void color_row(int64_t y) {
        const int64_t size = call_.height * call_.width, at = y * call_.width;
        const float *red = rgb_ + at, *green = red + size, *blue = green + size;
        const int64_t first = left_ - radius_, last = left_ + columns_ + radius_;
        const int64_t inner = std::max<int64_t>(first, 0), outer = std::min(last, call_.width);
        for (int64_t plane = 0; plane < 3; ++plane) {
            const float *m = call_.matrix + 3 * plane;
            const float mr = m[0], mg = m[1], mb = m[2];
            float *line = colors_ + plane * line_ - first;
            for (int64_t x = inner; x < outer; ++x) line[x] = mr * red[x] + mg * green[x] + mb * blue[x];
            const auto border = [&](int64_t x) {
                const int64_t from = fold(x, call_.width);
                line[x] = call_.reflect ? mr * red[from] + mg * green[from] + mb * blue[from] : 0.0f;
            };
            for (int64_t x = first; x < inner; ++x) border(x);
            for (int64_t x = outer; x < last; ++x) border(x);
        }
    }

    void filter_along(float *row) const {
        const float *energy = colors_ + radius_, *first = energy + line_, *second = first + line_;
        for (int64_t x = 0; x < columns_; x += kLanes) {
            Vector level = bell_[0] * LOAD(energy + x), ramp = {};
            Vector smooth1 = bell_[0] * LOAD(first + x), smooth2 = bell_[0] * LOAD(second + x);
            for (int64_t k = 1; k <= radius_; ++k) {
                const Vector right = LOAD(energy + x + k), left = LOAD(energy + x - k);
                level += bell_[k] * (right + left);
                ramp += slope_[k] * (right - left);
                smooth1 += bell_[k] * (LOAD(first + x + k) + LOAD(first + x - k));
                smooth2 += bell_[k] * (LOAD(second + x + k) + LOAD(second + x - k));
            }
            STORE(row + x, level);
            STORE(row + pitch_ + x, ramp);
            STORE(row + 2 * pitch_ + x, smooth1);
            STORE(row + 3 * pitch_ + x, smooth2);
        }
    }

    void filter_down(int64_t y) const {
        const float *below[64], *above[64], *middle = ring(y);
        for (int64_t k = 1; k <= radius_; ++k) {
            below[k] = ring(y + k);
            above[k] = ring(y - k);
        }
        for (int64_t x = 0; x < columns_; x += kLanes) {
            const int64_t x1 = x + pitch_, x2 = x1 + pitch_, x3 = x2 + pitch_;
            Vector level = bell_[0] * LOAD(middle + x), down = {};
            Vector across = bell_[0] * LOAD(middle + x1);
            Vector smooth1 = bell_[0] * LOAD(middle + x2), smooth2 = bell_[0] * LOAD(middle + x3);
            for (int64_t k = 1; k <= radius_; ++k) {
                const float *low = below[k], *high = above[k];
                const Vector a = LOAD(low + x), b = LOAD(high + x);
                level += bell_[k] * (a + b);
                down += slope_[k] * (a - b);
                across += bell_[k] * (LOAD(low + x1) + LOAD(high + x1));
                smooth1 += bell_[k] * (LOAD(low + x2) + LOAD(high + x2));
                smooth2 += bell_[k] * (LOAD(low + x3) + LOAD(high + x3));
            }
            STORE(filtered_ + x, level);
            STORE(filtered_ + x1, down);
            STORE(filtered_ + x2, across);
            STORE(filtered_ + x3, smooth1);
            STORE(filtered_ + x3 + pitch_, smooth2);
        }
    }

    void finish(int64_t y) const {
        const int64_t size = call_.height * call_.width, at = y * call_.width + left_;
        const float *level = filtered_, *down = level + pitch_, *across = down + pitch_;
        const float *first = across + pitch_, *second = first + pitch_;
        float *out = out_ + at;
        if (call_.published) published(level, down, across, first, second, out, size);
        else invariant(level, down, across, first, second, out, size);
        order(rgb_ + at, out + 2 * size, size);
    }

    void invariant(const float *level, const float *down, const float *across, const float *first,
                   const float *second, float *__restrict out, int64_t size) const {
        const float eps = call_.eps, floor = call_.floor;
        float *__restrict chroma = out + size, *__restrict edge = out + 5 * size;
        for (int64_t x = 0; x < columns_; ++x) {
            const float a = first[x], b = second[x], below = level[x] * level[x] + eps;
            out[x] = atan_ratio(a, b);
            chroma[x] = natural_log((a * a + b * b) / below + floor);
            edge[x] = atan_ratio(down[x] * down[x] + across[x] * across[x], below);
        }
    }

    void published(const float *level, const float *down, const float *across, const float *first,
                   const float *second, float *__restrict out, int64_t size) const {
        const float eps = call_.eps;
        float *__restrict chroma = out + size, *__restrict edge = out + 5 * size;
        for (int64_t x = 0; x < columns_; ++x) {
            const float a = first[x], b = second[x], e = level[x] + eps;
            const float d = down[x] / e, c = across[x] / e;
            out[x] = atan_ratio(a, b + eps);
            chroma[x] = natural_log((a * a + b * b) / (level[x] * level[x] + eps) + eps);
            edge[x] = atan_ratio(d * d + c * c, 1.0f);
        }
    }

    void order(const float *red, float *__restrict out, int64_t size) const {
        const float *green = red + size, *blue = green + size;
        float *__restrict out_green = out + size, *__restrict out_blue = out_green + size;
        for (int64_t x = 0; x < columns_; ++x) {
            const float r = red[x], g = green[x], b = blue[x];
            const float rg = r > g ? r : g, most = rg > b ? rg : b;
            const float low = r < g ? r : g, least = low < b ? low : b;
            const float rt = r == most ? 1.0f : 0.0f, gt = g == most ? 1.0f : 0.0f, bt = b == most ? 1.0f : 0.0f;
            const float rb = r == least ? 1.0f : 0.0f, gb = g == least ? 1.0f : 0.0f, bb = b == least ? 1.0f : 0.0f;
            const float top = rt + gt + bt == 1.0f ? 1.0f : 0.5f, bottom = rb + gb + bb == 1.0f ? 1.0f : 0.5f;
            out[x] = top * rt - bottom * rb;
            out_green[x] = top * gt - bottom * gb;
            out_blue[x] = top * bt - bottom * bb;
        }
    }

    const Call &call_;
    int64_t left_, columns_, radius_, pitch_, line_, ring_rows_;
    const float *rgb_, *bell_, *slope_;
    float *out_, *colors_, *ring_, *filtered_;
    std::unique_ptr<float[]> memory_;
};

}  // namespace

// rgb [batch, 3, height, width] to out [batch, 6, height, width]; taps [batch, 2, most_taps] are the right
// halves of the Gaussian and of its derivative, radii [batch] their half-widths.
RAWDIFF_EXPORT int quadprior_f32(const float *rgb, const float *matrix, const float *taps, const int64_t *radii,
                                 float *out, int64_t batch, int64_t height, int64_t width, int64_t most_taps,
                                 double eps, double floor, int64_t reflect, int64_t published, int64_t threads) {
    const Call call{rgb, matrix, taps, out, height, width, most_taps, static_cast<float>(eps),
                    static_cast<float>(floor), reflect != 0, published != 0};
    const int64_t across = (width + kBlockColumns - 1) / kBlockColumns;
    // Tall enough that the halo, computed twice, costs little.
    const int64_t rows = 32 * most_taps, down = (height + rows - 1) / rows;
    std::atomic<int> status{0};
    rawdiff::for_strips(batch * down * across, 1, threads, [&](int64_t unit, int64_t) {
        const int64_t image = unit / (down * across), row = unit / across % down, column = unit % across;
        const int64_t left = column * kBlockColumns, top = row * rows;
        try {
            Block block(call, image, left, std::min(kBlockColumns, width - left), radii[image]);
            block.run(top, std::min(top + rows, height));
        } catch (const std::bad_alloc &) {
            status.store(1);
        }
    });
    return status.load();
}
