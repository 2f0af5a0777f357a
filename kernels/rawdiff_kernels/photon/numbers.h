// The arithmetic of reference.py, operation for operation, in loops that a compiler can make vectors of.
// Whole numbers become doubles through exact bit patterns, since AVX2 has no conversion from int64.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace photon {

constexpr int64_t kChunk = 128;
constexpr int kInversionCap = 128;
constexpr int kTrials = 128;
constexpr double kInversionBelow = 10.0;

struct Inverses {
    double of[kInversionCap + 1];
    constexpr Inverses() : of() {
        for (int k = 1; k <= kInversionCap; ++k) of[k] = 1.0 / k;
    }
};
constexpr Inverses kInverse;

inline uint64_t as_bits(double x) {
    uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline double as_double(uint64_t bits) {
    double x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}

struct Words {
    uint32_t w[4][kChunk];
};

// Philox-4x32-10 for the counters (column[i], row, plane, last), i < count.
inline void philox(const uint32_t *column, uint32_t row, uint32_t plane, uint32_t last, uint64_t seed,
                   int64_t count, Words &out) {
    for (int64_t i = 0; i < count; ++i) {
        uint32_t c0 = column[i], c1 = row, c2 = plane, c3 = last;
        uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
        for (int round = 0; round < 10; ++round) {
            const uint64_t first = static_cast<uint64_t>(c0) * 0xD2511F53u;
            const uint64_t second = static_cast<uint64_t>(c2) * 0xCD9E8D57u;
            c0 = static_cast<uint32_t>(second >> 32) ^ c1 ^ k0;
            c2 = static_cast<uint32_t>(first >> 32) ^ c3 ^ k1;
            c1 = static_cast<uint32_t>(second);
            c3 = static_cast<uint32_t>(first);
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        out.w[0][i] = c0;
        out.w[1][i] = c1;
        out.w[2][i] = c2;
        out.w[3][i] = c3;
    }
}

inline double unit(uint32_t word) { return (static_cast<double>(word) + 0.5) * 0x1p-32; }

inline double unit53(uint32_t high, uint32_t low) {
    const double whole = static_cast<double>(high >> 5) * 0x1p26 + static_cast<double>(low >> 6);
    return whole * 0x1p-53 + 0x1p-54;
}

constexpr double kLn2High = 6.93147180369123816490e-01;
constexpr double kLn2Low = 1.90821492927058770002e-10;

inline double log(double x) {
    const uint64_t bits = as_bits(x);
    double mantissa = as_double((bits & 0x000FFFFFFFFFFFFFull) | 0x3FF0000000000000ull);
    double scale = as_double((bits >> 52) | 0x4330000000000000ull) - (0x1p52 + 1023.0);
    const bool above = mantissa > 1.4142135623730951;
    mantissa = above ? mantissa * 0.5 : mantissa;
    scale = above ? scale + 1.0 : scale;
    const double f = (mantissa - 1.0) / (mantissa + 1.0);
    const double square = f * f;
    double series = 2.0 / 21;
    series = series * square + 2.0 / 19;
    series = series * square + 2.0 / 17;
    series = series * square + 2.0 / 15;
    series = series * square + 2.0 / 13;
    series = series * square + 2.0 / 11;
    series = series * square + 2.0 / 9;
    series = series * square + 2.0 / 7;
    series = series * square + 2.0 / 5;
    series = series * square + 2.0 / 3;
    series = series * square + 2.0;
    return scale * kLn2High + (f * series + scale * kLn2Low);
}

inline double exp(double x) {
    const double n = std::floor(x * 1.4426950408889634 + 0.5);
    const double r = (x - n * kLn2High) - n * kLn2Low;
    double series = 1.0 / 87178291200.0;
    series = series * r + 1.0 / 6227020800.0;
    series = series * r + 1.0 / 479001600.0;
    series = series * r + 1.0 / 39916800.0;
    series = series * r + 1.0 / 3628800.0;
    series = series * r + 1.0 / 362880.0;
    series = series * r + 1.0 / 40320.0;
    series = series * r + 1.0 / 5040.0;
    series = series * r + 1.0 / 720.0;
    series = series * r + 1.0 / 120.0;
    series = series * r + 1.0 / 24.0;
    series = series * r + 1.0 / 6.0;
    series = series * r + 1.0 / 2.0;
    series = series * r + 1.0;
    series = series * r + 1.0;
    return series * as_double((as_bits(n + 0x1.8p52) + 1023) << 52);
}

inline double factorial_tail(double k) {
    static const double table[10] = {
        0.08106146679532726,  0.0413406959554093,   0.02767792568499834,  0.020790672103765093,
        0.016644691189821193, 0.013876128823070748, 0.01189670994589177,  0.010411265261972096,
        0.009255462182712733, 0.00833056343336287};
    const double inverse = 1.0 / (k + 1.0);
    const double square = inverse * inverse;
    const double series =
        (1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - 1.0 / 1680 * square) * square) * square) * inverse;
    const double low = k < 9.0 ? k : 9.0;
    return k < 10.0 ? table[static_cast<int32_t>(low)] : series;
}

}  // namespace photon
