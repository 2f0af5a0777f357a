// Haar transform and inverse, one or two levels in one pass over the image.
//
// The two-level functions keep the average band between the levels in two rows of scratch that stay in the
// first-level cache, so the image is read once and every coefficient written once.
#include <algorithm>
#include <atomic>
#include <memory>

#include "lanes.h"
#include "strips.h"

namespace {

constexpr int64_t kPiece = 512;  // details computed in the first-level cache, then written past it

int64_t half(int64_t size) { return (size + 1) / 2; }

// The bands HL, LH, HH of one row.
template <typename Pointer>
struct Bands {
    Pointer horizontal, vertical, diagonal;
    Bands(Pointer row, int64_t band) : horizontal(row), vertical(row + band), diagonal(row + 2 * band) {}
};

void split_row(const float *__restrict top, const float *__restrict bottom, float *__restrict average,
               float *__restrict horizontal, float *__restrict vertical, float *__restrict diagonal,
               int64_t width) {
    const int64_t pairs = width / 2;
    alignas(64) float piece[3][kPiece];
    for (int64_t begin = 0; begin < pairs; begin += kPiece) {
        const int64_t count = std::min(kPiece, pairs - begin);
        for (int64_t i = 0; i < count; ++i) {
            const int64_t x = begin + i;
            const float a = top[2 * x], c = top[2 * x + 1], b = bottom[2 * x], d = bottom[2 * x + 1];
            const float upper = a + c, lower = b + d, upper_step = c - a, lower_step = d - b;
            average[x] = (upper + lower) * 0.5f;
            piece[0][i] = (upper_step + lower_step) * 0.5f;
            piece[1][i] = (lower - upper) * 0.5f;
            piece[2][i] = (lower_step - upper_step) * 0.5f;
        }
        rawdiff::stream(horizontal + begin, piece[0], count);
        rawdiff::stream(vertical + begin, piece[1], count);
        rawdiff::stream(diagonal + begin, piece[2], count);
    }
    if (width % 2) {  // the last column counts twice: its steps are zero
        const float upper = top[width - 1] + top[width - 1], lower = bottom[width - 1] + bottom[width - 1];
        average[pairs] = (upper + lower) * 0.5f;
        horizontal[pairs] = 0.0f;
        vertical[pairs] = (lower - upper) * 0.5f;
        diagonal[pairs] = 0.0f;
    }
}

// kStream where top and bottom are rows of the result, not of scratch.
template <bool kStream>
void join_row(const float *__restrict average, const float *__restrict horizontal,
              const float *__restrict vertical, const float *__restrict diagonal, float *__restrict top,
              float *__restrict bottom, int64_t width) {
    const int64_t pairs = width / 2;
    alignas(64) float piece[2][2 * kPiece];
    for (int64_t begin = 0; begin < pairs; begin += kPiece) {
        const int64_t count = std::min(kPiece, pairs - begin);
        float *__restrict first = kStream ? piece[0] : top + 2 * begin;
        float *__restrict second = kStream ? piece[1] : bottom + 2 * begin;
        for (int64_t i = 0; i < count; ++i) {
            const int64_t x = begin + i;
            const float upper = average[x] - vertical[x], lower = average[x] + vertical[x];
            const float upper_step = horizontal[x] - diagonal[x], lower_step = horizontal[x] + diagonal[x];
            first[2 * i] = (upper - upper_step) * 0.5f;
            first[2 * i + 1] = (upper + upper_step) * 0.5f;
            second[2 * i] = (lower - lower_step) * 0.5f;
            second[2 * i + 1] = (lower + lower_step) * 0.5f;
        }
        if (kStream) {
            rawdiff::stream(top + 2 * begin, first, 2 * count);
            rawdiff::stream(bottom + 2 * begin, second, 2 * count);
        }
    }
    if (width % 2) {
        const float upper = average[pairs] - vertical[pairs], lower = average[pairs] + vertical[pairs];
        top[width - 1] = (upper - (horizontal[pairs] - diagonal[pairs])) * 0.5f;
        bottom[width - 1] = (lower - (horizontal[pairs] + diagonal[pairs])) * 0.5f;
    }
}

// One level of rows 2y and 2y+1 of an image of `height` rows; the last of an odd number counts twice.
void split_pair(const float *image, int64_t y, int64_t height, int64_t width, float *average, float *bands) {
    const float *top = image + 2 * y * width;
    const float *bottom = 2 * y + 1 < height ? top + width : top;
    const Bands<float *> out(bands + y * half(width), half(height) * half(width));
    split_row(top, bottom, average, out.horizontal, out.vertical, out.diagonal, width);
}

// The inverse of split_pair. `spare` takes the row that an odd height does not have.
void join_pair(const float *average, const float *bands, int64_t y, int64_t height, int64_t width,
               float *image, float *spare) {
    float *top = image + 2 * y * width;
    float *bottom = 2 * y + 1 < height ? top + width : spare;
    const Bands<const float *> in(bands + y * half(width), half(height) * half(width));
    join_row<true>(average, in.horizontal, in.vertical, in.diagonal, top, bottom, width);
}

// Runs work(image, y, scratch) for row y of each of `images`, with `scratch` floats of its own.
template <typename Work>
int for_rows(int64_t images, int64_t rows, int64_t row_bytes, int64_t scratch, int64_t threads,
             const Work &work) {
    std::atomic<bool> failed{false};
    rawdiff::for_strips(images * rows, rawdiff::strip_rows(row_bytes), threads, [&](int64_t begin, int64_t end) {
        const std::unique_ptr<float[]> room(new (std::nothrow) float[scratch]);
        if (!room) {
            failed = true;
            return;
        }
        for (int64_t i = begin; i < end; ++i) work(i / rows, i % rows, room.get());
        rawdiff::end_stream();
    });
    return failed ? 1 : 0;
}

}  // namespace

// image [images, height, width] to average [images, h, w] and bands [images, 3, h, w].
RAWDIFF_EXPORT int haar_forward1(const float *image, float *average, float *bands, int64_t images,
                                 int64_t height, int64_t width, int64_t threads) {
    const int64_t h = half(height), w = half(width);
    return for_rows(images, h, 16 * width, 1, threads, [&](int64_t n, int64_t y, float *) {
        split_pair(image + n * height * width, y, height, width, average + n * h * w + y * w,
                   bands + n * 3 * h * w);
    });
}

// The same over two levels: bands1 [images, 3, h, w], bands2 and average of half that.
RAWDIFF_EXPORT int haar_forward2(const float *image, float *average, float *bands1, float *bands2,
                                 int64_t images, int64_t height, int64_t width, int64_t threads) {
    const int64_t h1 = half(height), w1 = half(width), h2 = half(h1), w2 = half(w1);
    return for_rows(images, h2, 32 * width, 2 * w1, threads, [&](int64_t n, int64_t y, float *scratch) {
        const float *source = image + n * height * width;
        float *fine = bands1 + n * 3 * h1 * w1;
        const bool paired = 2 * y + 1 < h1;
        split_pair(source, 2 * y, height, width, scratch, fine);
        if (paired) split_pair(source, 2 * y + 1, height, width, scratch + w1, fine);
        const Bands<float *> out(bands2 + n * 3 * h2 * w2 + y * w2, h2 * w2);
        split_row(scratch, paired ? scratch + w1 : scratch, average + n * h2 * w2 + y * w2, out.horizontal,
                  out.vertical, out.diagonal, w1);
    });
}

RAWDIFF_EXPORT int haar_inverse1(const float *average, const float *bands, float *image, int64_t images,
                                 int64_t height, int64_t width, int64_t threads) {
    const int64_t h = half(height), w = half(width);
    return for_rows(images, h, 16 * width, width, threads, [&](int64_t n, int64_t y, float *spare) {
        join_pair(average + n * h * w + y * w, bands + n * 3 * h * w, y, height, width,
                  image + n * height * width, spare);
    });
}

RAWDIFF_EXPORT int haar_inverse2(const float *average, const float *bands1, const float *bands2,
                                 float *image, int64_t images, int64_t height, int64_t width,
                                 int64_t threads) {
    const int64_t h1 = half(height), w1 = half(width), h2 = half(h1), w2 = half(w1);
    return for_rows(images, h2, 32 * width, 2 * w1 + width, threads, [&](int64_t n, int64_t y, float *scratch) {
        const Bands<const float *> in(bands2 + n * 3 * h2 * w2 + y * w2, h2 * w2);
        join_row<false>(average + n * h2 * w2 + y * w2, in.horizontal, in.vertical, in.diagonal, scratch,
                 scratch + w1, w1);
        const float *fine = bands1 + n * 3 * h1 * w1;
        float *target = image + n * height * width, *spare = scratch + 2 * w1;
        join_pair(scratch, fine, 2 * y, height, width, target, spare);
        if (2 * y + 1 < h1) join_pair(scratch + w1, fine, 2 * y + 1, height, width, target, spare);
    });
}
