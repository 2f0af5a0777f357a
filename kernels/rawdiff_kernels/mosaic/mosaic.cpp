// Mosaic normalise-and-pack and its inverse, in one pass over the pixels.
#include "strips.h"

namespace {

template <typename Pixel>
void pack_row(const Pixel *__restrict in, float *__restrict left, float *__restrict right, int64_t width,
              float black_left, float scale_left, float black_right, float scale_right) {
    for (int64_t x = 0; x < width; ++x) {
        left[x] = (static_cast<float>(in[2 * x]) - black_left) * scale_left;
        right[x] = (static_cast<float>(in[2 * x + 1]) - black_right) * scale_right;
    }
}

template <typename Pixel>
int pack(const Pixel *mosaic, float *packed, int64_t height, int64_t width, const int64_t *plane,
         const float *black, const float *scale, int64_t threads) {
    const int64_t size = height * width;
    const int64_t bytes = 4 * width * static_cast<int64_t>(sizeof(Pixel) + sizeof(float));
    rawdiff::for_strips(height, rawdiff::strip_rows(bytes), threads, [&](int64_t begin, int64_t end) {
        for (int64_t y = begin; y < end; ++y)
            for (int64_t row = 0; row < 2; ++row) {
                const int64_t left = 2 * row, right = 2 * row + 1;
                pack_row(mosaic + (2 * y + row) * 2 * width, packed + plane[left] * size + y * width,
                         packed + plane[right] * size + y * width, width, black[left], scale[left],
                         black[right], scale[right]);
            }
    });
    return 0;
}

void unpack_row(const float *__restrict left, const float *__restrict right, float *__restrict out,
                int64_t width, float black_left, float scale_left, float black_right, float scale_right) {
    for (int64_t x = 0; x < width; ++x) {
        out[2 * x] = left[x] * scale_left + black_left;
        out[2 * x + 1] = right[x] * scale_right + black_right;
    }
}

}  // namespace

// mosaic [2 height, 2 width] to packed [4, height, width]; plane, black, scale per site of the 2x2 cell.
RAWDIFF_EXPORT int mosaic_pack_u16(const uint16_t *mosaic, float *packed, int64_t height, int64_t width,
                                   const int64_t *plane, const float *black, const float *scale,
                                   int64_t threads) {
    return pack(mosaic, packed, height, width, plane, black, scale, threads);
}

RAWDIFF_EXPORT int mosaic_pack_f32(const float *mosaic, float *packed, int64_t height, int64_t width,
                                   const int64_t *plane, const float *black, const float *scale,
                                   int64_t threads) {
    return pack(mosaic, packed, height, width, plane, black, scale, threads);
}

RAWDIFF_EXPORT int mosaic_unpack_f32(const float *packed, float *mosaic, int64_t height, int64_t width,
                                     const int64_t *plane, const float *black, const float *scale,
                                     int64_t threads) {
    const int64_t size = height * width;
    rawdiff::for_strips(height, rawdiff::strip_rows(32 * width), threads, [&](int64_t begin, int64_t end) {
        for (int64_t y = begin; y < end; ++y)
            for (int64_t row = 0; row < 2; ++row) {
                const int64_t left = 2 * row, right = 2 * row + 1;
                unpack_row(packed + plane[left] * size + y * width, packed + plane[right] * size + y * width,
                           mosaic + (2 * y + row) * 2 * width, width, black[left], scale[left], black[right],
                           scale[right]);
            }
    });
    return 0;
}
