// The quadruple prior in one pass: blocks of a frame whose rows stay in a core's caches.
//
// A block's rows go through the colour model and the filters along the row into a ring of rows; each output row
// is the filters down the ring, then the invariants, and goes to memory piece by piece. Halos are computed again by the
// neighbouring block.
#include <algorithm>
#include <atomic>
#include <memory>
#include <type_traits>

#include "angles.h"
#include "lanes.h"
#include "strips.h"

namespace {

using rawdiff::kLanes;
using rawdiff::load;
using rawdiff::spread;
using rawdiff::store;
using rawdiff::Vector;
using rawdiff::Whole;

constexpr int64_t kMostColumns = 1024;  // of a block: a page of each plane, whose address is looked up once a row
constexpr int64_t kLeastColumns = 256;
constexpr int64_t kPiece = 128;  // columns whose results go out together: a plane's lines whole, one after the other
constexpr int64_t kLine = 64 / sizeof(float);  // of the cache, in floats
constexpr int64_t kMostRadius = 63;
constexpr int64_t kPlanes = 4;  // E smooth, E derivative along the row, E_l smooth, E_ll smooth

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

// What one step of a row writes: H, C, O_R, O_G, O_B, W.
struct Features {
    Vector plane[6];
};

// One block of one image: columns [left, left + columns), whose buffers are whole vectors wide. kRadius is the
// half-width of the filters, so that their loops are unrolled, or 0 for any.
template <int64_t kRadius, bool kPublished>
class Block {
   public:
    Block(const Call &call, int64_t image, int64_t left, int64_t columns, int64_t radius)
        : call_(call), left_(left), columns_(columns), any_radius_(radius), size_(call.height * call.width),
          // A line more than is needed: rows a power of two apart would share their places in the cache.
          pitch_((columns + kLine - 1) / kLine * kLine + kLine), line_(pitch_ + (2 * radius + kLine) / kLine * kLine),
          ring_rows_(2 * radius + 1) {
        rgb_ = call.rgb + image * 3 * size_;
        out_ = call.out + image * 6 * size_;
        bell_ = call.taps + image * 2 * call.most_taps;
        slope_ = bell_ + call.most_taps;
        const int64_t floats = 3 * line_ + ring_rows_ * kPlanes * pitch_;
        memory_.reset(new float[floats + kLine]());
        void *first = memory_.get();
        size_t room = (floats + kLine) * sizeof(float);
        colors_ = static_cast<float *>(std::align(64, floats * sizeof(float), first, room));
        ring_ = colors_ + 3 * line_;
    }

    void run(int64_t begin, int64_t end) {
        for (int64_t y = begin - radius(); y < begin + radius(); ++y) enter(y);
        for (int64_t y = begin; y < end; ++y) {
            enter(y + radius());
            finish(y);
        }
        rawdiff::end_stream();
    }

   private:
    int64_t radius() const { return kRadius > 0 ? kRadius : any_radius_; }

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
        const float *red = rgb_ + y * call_.width, *green = red + size_, *blue = green + size_;
        const int64_t first = left_ - radius(), last = left_ + columns_ + radius();
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
        const float *energy = colors_ + radius(), *first = energy + line_, *second = first + line_;
        for (int64_t x = 0; x < columns_; x += kLanes) {
            Vector level = bell_[0] * load(energy + x), ramp = {};
            Vector smooth1 = bell_[0] * load(first + x), smooth2 = bell_[0] * load(second + x);
            for (int64_t k = 1; k <= radius(); ++k) {
                const Vector right = load(energy + x + k), left = load(energy + x - k);
                level += bell_[k] * (right + left);
                ramp += slope_[k] * (right - left);
                smooth1 += bell_[k] * (load(first + x + k) + load(first + x - k));
                smooth2 += bell_[k] * (load(second + x + k) + load(second + x - k));
            }
            store(row + x, level);
            store(row + pitch_ + x, ramp);
            store(row + 2 * pitch_ + x, smooth1);
            store(row + 3 * pitch_ + x, smooth2);
        }
    }

    void finish(int64_t y) const {
        const float *below[kMostRadius + 1], *above[kMostRadius + 1];
        below[0] = above[0] = ring(y);
        for (int64_t k = 1; k <= radius(); ++k) {
            below[k] = ring(y + k);
            above[k] = ring(y - k);
        }
        const float *red = rgb_ + y * call_.width + left_;
        // The row that enters next but one: each row begins a new page, where no prefetcher goes by itself.
        const float *coming = red + std::min(radius() + 1, call_.height - 1 - y) * call_.width;
        float *out = out_ + y * call_.width + left_;
        alignas(64) float piece[6][kPiece];
        for (int64_t begin = 0; begin < columns_; begin += kPiece) {
            const int64_t end = std::min(begin + kPiece, columns_);
            for (int64_t x = begin; x < end; x += kLanes) {
                for (int64_t i = 0; i < 3; ++i) __builtin_prefetch(coming + i * size_ + x);
                const Features found = features(below, above, x, red + x, columns_ - x);
                for (int64_t i = 0; i < 6; ++i) store(piece[i] + x - begin, found.plane[i]);
            }
            for (int64_t i = 0; i < 6; ++i) rawdiff::stream(out + i * size_ + begin, piece[i], end - begin);
        }
    }

    // The filters down the ring at column x, and what follows; `count` columns are left in the row.
    Features features(const float *const *below, const float *const *above, int64_t x, const float *red,
                      int64_t count) const {
        const int64_t x1 = x + pitch_, x2 = x1 + pitch_, x3 = x2 + pitch_;
        const float *middle = below[0];
        Vector level = bell_[0] * load(middle + x), down = {}, across = bell_[0] * load(middle + x1);
        Vector first = bell_[0] * load(middle + x2), second = bell_[0] * load(middle + x3);
        for (int64_t k = 1; k <= radius(); ++k) {
            const float *low = below[k], *high = above[k];
            const Vector a = load(low + x), b = load(high + x);
            level += bell_[k] * (a + b);
            down += slope_[k] * (a - b);
            across += bell_[k] * (load(low + x1) + load(high + x1));
            first += bell_[k] * (load(low + x2) + load(high + x2));
            second += bell_[k] * (load(low + x3) + load(high + x3));
        }
        Features found;
        invariants(level, down, across, first, second, found);
        order(load(red, count), load(red + size_, count), load(red + 2 * size_, count), found);
        return found;
    }

    void invariants(Vector level, Vector down, Vector across, Vector first, Vector second, Features &found) const {
        const float eps = call_.eps;
        const Vector power = first * first + second * second, below = level * level + eps;
        if (kPublished) {
            const Vector d = down / (level + eps), c = across / (level + eps);
            found.plane[0] = rawdiff::angle(first, second + eps);
            found.plane[1] = rawdiff::natural_log(power / below + eps);
            found.plane[5] = rawdiff::acute_angle(d * d + c * c, spread(1.0f));
        } else {
            found.plane[0] = rawdiff::angle(first, second);
            found.plane[1] = rawdiff::natural_log(power / below + call_.floor);
            found.plane[5] = rawdiff::acute_angle(down * down + across * across, below);
        }
    }

    // Half the sum of the signs of a colour's difference from the two others is its rank.
    static void order(Vector red, Vector green, Vector blue, Features &found) {
        const auto sign = [](Vector a, Vector b) { return (a < b) - (a > b); };
        const auto halve = [](Whole twice) { return 0.5f * __builtin_convertvector(twice, Vector); };
        const Whole rg = sign(red, green), gb = sign(green, blue), rb = sign(red, blue);
        found.plane[2] = halve(rg + rb);
        found.plane[3] = halve(gb - rg);
        found.plane[4] = halve(-rb - gb);
    }

    const Call &call_;
    int64_t left_, columns_, any_radius_, size_, pitch_, line_, ring_rows_;
    const float *rgb_, *bell_, *slope_;
    float *out_, *colors_, *ring_;
    std::unique_ptr<float[]> memory_;
};

template <int64_t kRadius>
void run_block(const Call &call, int64_t image, int64_t left, int64_t columns, int64_t radius, int64_t begin,
               int64_t end) {
    if (call.published) Block<kRadius, true>(call, image, left, columns, radius).run(begin, end);
    else Block<kRadius, false>(call, image, left, columns, radius).run(begin, end);
}

// Unrolled for sigma up to 1.1 pixels.
void run_block(const Call &call, int64_t image, int64_t left, int64_t columns, int64_t radius, int64_t begin,
               int64_t end) {
    const auto run = radius == 2   ? run_block<2>
                     : radius == 3 ? run_block<3>
                     : radius == 4 ? run_block<4>
                                   : run_block<0>;
    run(call, image, left, columns, radius, begin, end);
}

// As many as a ring that stays in the second-level cache allows.
int64_t block_columns(int64_t most_taps) {
    const int64_t fit = rawdiff::kCacheBytes / ((2 * most_taps - 1) * kPlanes * static_cast<int64_t>(sizeof(float)));
    return std::clamp(fit / kLeastColumns * kLeastColumns, kLeastColumns, kMostColumns);
}

}  // namespace

// rgb [batch, 3, height, width] to out [batch, 6, height, width]; taps [batch, 2, most_taps] are the right
// halves of the Gaussian and of its derivative, radii [batch] their half-widths.
RAWDIFF_EXPORT int quadprior_f32(const float *rgb, const float *matrix, const float *taps, const int64_t *radii,
                                 float *out, int64_t batch, int64_t height, int64_t width, int64_t most_taps,
                                 double eps, double floor, int64_t reflect, int64_t published, int64_t threads) {
    const Call call{rgb, matrix, taps, out, height, width, most_taps, static_cast<float>(eps),
                    static_cast<float>(floor), reflect != 0, published != 0};
    const int64_t block = block_columns(most_taps), across = (width + block - 1) / block;
    // Tall enough that the halo, computed twice, costs little.
    const int64_t rows = 32 * most_taps, down = (height + rows - 1) / rows;
    std::atomic<int> status{0};
    rawdiff::for_strips(batch * down * across, 1, threads, [&](int64_t unit, int64_t) {
        const int64_t image = unit / (down * across), row = unit / across % down, column = unit % across;
        const int64_t left = column * block, top = row * rows;
        try {
            run_block(call, image, left, std::min(block, width - left), radii[image], top,
                      std::min(top + rows, height));
        } catch (const std::bad_alloc &) {
            status.store(1);
        }
    });
    return status.load();
}
