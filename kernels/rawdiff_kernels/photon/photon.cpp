// Counted light on the CPU: the laws of reference.py in chunks of a row.
//
// Light draws walk up the distribution in step, a whole chunk at a time. Bright ones go through rejection
// trials: the elements still pending are packed together before each, so that the loops stay vectors.
#include <algorithm>
#include <limits>

#include "numbers.h"
#include "strips.h"

namespace photon {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Place {
    uint32_t row, plane;
    uint64_t seed;
    uint32_t stream;

    void block(const uint32_t *column, int64_t count, uint32_t number, Words &words) const {
        philox(column, row, plane, (stream << 8) | number, seed, count, words);
    }
};

// Elements of a chunk that follow the same path: where they stand and their two parameters.
struct Group {
    int64_t count = 0;
    int32_t at[kChunk];
    uint32_t column[kChunk];
    double first[kChunk], second[kChunk];

    void add(int64_t where, uint32_t its_column, double a, double b) {
        at[count] = static_cast<int32_t>(where);
        column[count] = its_column;
        first[count] = a;
        second[count++] = b;
    }

    void keep(const bool *wanted) {
        int64_t kept = 0;
        for (int64_t i = 0; i < count; ++i) {
            at[kept] = at[i];
            column[kept] = column[i];
            first[kept] = first[i];
            second[kept] = second[i];
            kept += wanted[i];
        }
        count = kept;
    }
};

struct Poisson {
    static double zero_mass(double mean, double) { return exp(-mean); }
    static double odds(double mean, double) { return mean; }
    static double share(double mass, double mean, double, double) { return mass * mean; }
    static bool below_limit(double, double) { return true; }

    static bool trial(double mean, double, double u, double v, double &count) {
        const double b = 0.931 + 2.53 * std::sqrt(mean);
        const double a = -0.059 + 0.02483 * b;
        const double us = 0.5 - std::fabs(u);
        count = std::floor((2.0 * a / us + b) * u + mean + 0.43);
        return (us >= 0.07) & (v <= 0.9277 - 3.6224 * (1.0 / (b - 2.0)));
    }

    static bool exact(double mean, double, double u, double v, double count) {
        const double b = 0.931 + 2.53 * std::sqrt(mean);
        const double a = -0.059 + 0.02483 * b;
        const double inverse_alpha = 1.1239 + 1.1328 * (1.0 / (b - 3.4));
        const double us = 0.5 - std::fabs(u);
        const bool inside = (count >= 0.0) & !((us < 0.013) & (v > us));
        const double k = count > 0.0 ? count : 0.0;
        const double height =
            log(v * inverse_alpha / (a / (us * us) + b) * std::sqrt(6.283185307179586 * mean));
        const double target =
            (k + 0.5) * log(mean / (k + 1.0)) + ((k + 1.0) - mean) - factorial_tail(k);
        return inside & (height <= target);
    }
};

struct Binomial {
    static double zero_mass(double number, double chance) { return exp(number * log(1.0 - chance)); }
    static double odds(double, double chance) { return chance / (1.0 - chance); }
    static double share(double mass, double odds, double number, double k) {
        return mass * ((number - k) + 1.0) * odds;
    }
    static bool below_limit(double count, double number) { return count < number; }

    static bool trial(double number, double chance, double u, double v, double &count) {
        const double expected = number * chance;
        const double b = 1.15 + 2.53 * std::sqrt(expected * (1.0 - chance));
        const double a = -0.0873 + 0.0248 * b + 0.01 * chance;
        const double us = 0.5 - std::fabs(u);
        count = std::floor((2.0 * a / us + b) * u + (expected + 0.5));
        return (us >= 0.07) & (v <= 0.92 - 4.2 * (1.0 / b)) & (count >= 0.0) & (count <= number);
    }

    static bool exact(double number, double chance, double u, double v, double count) {
        const double spread = std::sqrt(number * chance * (1.0 - chance));
        const double odds = chance / (1.0 - chance);
        const double mode = std::floor((number + 1.0) * chance);
        const double b = 1.15 + 2.53 * spread;
        const double a = -0.0873 + 0.0248 * b + 0.01 * chance;
        const double us = 0.5 - std::fabs(u);
        const bool inside = (count >= 0.0) & (count <= number);
        const double above = count > 0.0 ? count : 0.0;
        const double k = above < number ? above : number;
        const double height = log(v * ((2.83 + 5.1 * (1.0 / b)) * spread) / (a / (us * us) + b));
        const double rest = (number - k) + 1.0, rest_mode = (number - mode) + 1.0;
        double target = (mode + 0.5) * log((mode + 1.0) / (odds * rest_mode));
        target = target + (number + 1.0) * log(rest_mode / rest);
        target = target + (k + 0.5) * log(odds * rest / (k + 1.0));
        target = target + (factorial_tail(mode) + factorial_tail(number - mode));
        target = target - (factorial_tail(k) + factorial_tail(number - k));
        return inside & (height <= target);
    }
};

template <typename Law>
void walk(const Group &group, const Place &place, double *counts) {
    Words words;
    double left[kChunk], mass[kChunk], odds[kChunk], count[kChunk];
    const int64_t n = group.count;
    place.block(group.column, n, 0, words);
    for (int64_t i = 0; i < n; ++i) {
        left[i] = unit53(words.w[0][i], words.w[1][i]);
        mass[i] = Law::zero_mass(group.first[i], group.second[i]);
        odds[i] = Law::odds(group.first[i], group.second[i]);
        count[i] = 0.0;
    }
    for (int step = 1; step <= kInversionCap; ++step) {
        const double k = step, inverse = kInverse.of[step];
        double moved = 0.0;
        for (int64_t i = 0; i < n; ++i) {
            const bool above = (left[i] > mass[i]) & Law::below_limit(count[i], group.first[i]);
            const double next = Law::share(mass[i], odds[i], group.first[i], k) * inverse;
            left[i] = above ? left[i] - mass[i] : left[i];
            count[i] = above ? k : count[i];
            mass[i] = above ? next : mass[i];
            moved = above ? 1.0 : moved;
        }
        if (moved == 0.0) break;
    }
    for (int64_t i = 0; i < n; ++i) counts[group.at[i]] = count[i];
}

template <typename Law>
void reject(Group &group, const Place &place, double *counts) {
    Words words;
    double u[kChunk], v[kChunk], k[kChunk];
    bool pending[kChunk];
    for (int trial = 0; trial < kTrials && group.count; ++trial) {
        const int64_t n = group.count;
        place.block(group.column, n, static_cast<uint32_t>(trial / 2), words);
        const uint32_t *high = words.w[2 * (trial % 2)], *low = words.w[2 * (trial % 2) + 1];
        for (int64_t i = 0; i < n; ++i) {
            u[i] = unit(high[i]) - 0.5;
            v[i] = unit(low[i]);
            pending[i] = !Law::trial(group.first[i], group.second[i], u[i], v[i], k[i]);
        }
        for (int64_t i = 0; i < n; ++i) counts[group.at[i]] = k[i];
        int64_t kept = 0;
        for (int64_t i = 0; i < n; ++i) {
            u[kept] = u[i];
            v[kept] = v[i];
            k[kept] = k[i];
            kept += pending[i];
        }
        group.keep(pending);
        for (int64_t i = 0; i < kept; ++i)
            pending[i] = !Law::exact(group.first[i], group.second[i], u[i], v[i], k[i]);
        group.keep(pending);
    }
    for (int64_t i = 0; i < group.count; ++i) counts[group.at[i]] = 0.0;
}

void draw_poisson(const double *mean, const uint32_t *column, int64_t count, const Place &place, double *out) {
    Group light, bright;
    for (int64_t i = 0; i < count; ++i) {
        if (mean[i] >= 0.0 && mean[i] < kInversionBelow) light.add(i, column[i], mean[i], 0.0);
        else if (mean[i] >= kInversionBelow && mean[i] < kInfinity) bright.add(i, column[i], mean[i], 0.0);
        else out[i] = kNaN;
    }
    if (light.count) walk<Poisson>(light, place, out);
    if (bright.count) reject<Poisson>(bright, place, out);
}

void draw_binomial(const double *number, const double *chance, const uint32_t *column, int64_t count,
                   const Place &place, double *out) {
    Group few, many;
    for (int64_t i = 0; i < count; ++i) {
        const double n = number[i], p = chance[i] > 0.5 ? 1.0 - chance[i] : chance[i];
        const bool whole = n >= 0.0 && n < kInfinity && std::floor(n) == n;
        if (!(whole && chance[i] >= 0.0 && chance[i] <= 1.0)) out[i] = kNaN;
        else if (n * p < kInversionBelow) few.add(i, column[i], n, p);
        else many.add(i, column[i], n, p);
    }
    if (few.count) walk<Binomial>(few, place, out);
    if (many.count) reject<Binomial>(many, place, out);
    for (int64_t i = 0; i < count; ++i) out[i] = chance[i] > 0.5 ? number[i] - out[i] : out[i];
}

// A map that broadcasts over planes, rows and columns: a step of 0 where it does not vary.
struct Map {
    const float *data;
    int64_t plane, row, column;
    float at(int64_t p, int64_t r, int64_t c) const { return data[p * plane + r * row + c * column]; }
};

// Where the elements of [planes, rows, columns] stand in the random numbers.
struct Numbering {
    int64_t rows, columns, origin_row, origin_column, seed, stream;

    Place place(int64_t line) const {
        return {static_cast<uint32_t>(line % rows + origin_row), static_cast<uint32_t>(line / rows),
                static_cast<uint64_t>(seed), static_cast<uint32_t>(stream)};
    }
};

// Calls work(place, plane, row, first column, column numbers, count) for each chunk of each line.
template <typename Work>
void for_chunks(int64_t planes, const Numbering &numbering, int64_t threads, const Work &work) {
    const int64_t strip = rawdiff::strip_rows(numbering.columns * 16);
    rawdiff::for_strips(planes * numbering.rows, strip, threads, [&](int64_t begin, int64_t end) {
        uint32_t column[kChunk];
        for (int64_t line = begin; line < end; ++line) {
            const Place place = numbering.place(line);
            for (int64_t c = 0; c < numbering.columns; c += kChunk) {
                const int64_t count = std::min(kChunk, numbering.columns - c);
                for (int64_t i = 0; i < count; ++i)
                    column[i] = static_cast<uint32_t>(numbering.origin_column + c + i);
                work(place, line / numbering.rows, line % numbering.rows, c, column, count);
            }
        }
    });
}

}  // namespace
}  // namespace photon

using photon::kChunk;
using photon::Map;
using photon::Numbering;
using photon::Place;

RAWDIFF_EXPORT int photon_random_bits(uint32_t *out, int64_t planes, int64_t rows, int64_t columns,
                                           int64_t origin_row, int64_t origin_column, int64_t seed,
                                           int64_t stream, int64_t threads) {
    const Numbering numbering{rows, columns, origin_row, origin_column, seed, stream};
    photon::for_chunks(planes, numbering, threads, [&](const Place &place, int64_t plane, int64_t row, int64_t c,
                                                       const uint32_t *column, int64_t count) {
        photon::Words words;
        uint32_t block[kChunk];
        const uint32_t first = column[0] >> 2, blocks = (column[count - 1] >> 2) - first + 1;
        for (uint32_t i = 0; i < blocks; ++i) block[i] = first + i;
        place.block(block, blocks, 255, words);
        uint32_t *line = out + (plane * rows + row) * columns + c;
        for (int64_t i = 0; i < count; ++i) line[i] = words.w[column[i] & 3][(column[i] >> 2) - first];
    });
    return 0;
}

RAWDIFF_EXPORT int photon_poisson(const float *mean, float *out, int64_t planes, int64_t rows,
                                       int64_t columns, int64_t origin_row, int64_t origin_column, int64_t seed,
                                       int64_t stream, int64_t threads) {
    const Numbering numbering{rows, columns, origin_row, origin_column, seed, stream};
    photon::for_chunks(planes, numbering, threads, [&](const Place &place, int64_t plane, int64_t row, int64_t c,
                                                       const uint32_t *column, int64_t count) {
        double means[kChunk], counts[kChunk];
        const int64_t at = (plane * rows + row) * columns + c;
        for (int64_t i = 0; i < count; ++i) means[i] = mean[at + i];
        photon::draw_poisson(means, column, count, place, counts);
        for (int64_t i = 0; i < count; ++i) out[at + i] = static_cast<float>(counts[i]);
    });
    return 0;
}

RAWDIFF_EXPORT int photon_thin(const float *counts, const float *chance, int64_t chance_plane,
                                    int64_t chance_row, int64_t chance_column, float *out, int64_t planes,
                                    int64_t rows, int64_t columns, int64_t origin_row, int64_t origin_column,
                                    int64_t seed, int64_t stream, int64_t threads) {
    const Numbering numbering{rows, columns, origin_row, origin_column, seed, stream};
    const Map map{chance, chance_plane, chance_row, chance_column};
    photon::for_chunks(planes, numbering, threads, [&](const Place &place, int64_t plane, int64_t row, int64_t c,
                                                       const uint32_t *column, int64_t count) {
        double numbers[kChunk], chances[kChunk], kept[kChunk];
        const int64_t at = (plane * rows + row) * columns + c;
        for (int64_t i = 0; i < count; ++i) {
            numbers[i] = counts[at + i];
            chances[i] = map.at(plane, row, c + i);
        }
        photon::draw_binomial(numbers, chances, column, count, place, kept);
        for (int64_t i = 0; i < count; ++i) out[at + i] = static_cast<float>(kept[i]);
    });
    return 0;
}

RAWDIFF_EXPORT int photon_reexpose(
    const float *state, const float *prediction, float *out, const float *start, int64_t start_plane,
    int64_t start_row, int64_t start_column, const float *exposure, int64_t exposure_plane, int64_t exposure_row,
    int64_t exposure_column, const float *white_e, int64_t white_plane, int64_t white_row, int64_t white_column,
    double ceiling, int64_t planes, int64_t rows, int64_t columns, int64_t origin_row, int64_t origin_column,
    int64_t seed, int64_t stream, int64_t threads) {
    const Numbering numbering{rows, columns, origin_row, origin_column, seed, stream};
    const Map from{start, start_plane, start_row, start_column};
    const Map to{exposure, exposure_plane, exposure_row, exposure_column};
    const Map white{white_e, white_plane, white_row, white_column};
    photon::for_chunks(planes, numbering, threads, [&](const Place &place, int64_t plane, int64_t row, int64_t c,
                                                       const uint32_t *column, int64_t count) {
        double before[kChunk], after[kChunk], scale[kChunk], mean[kChunk], added[kChunk];
        const int64_t at = (plane * rows + row) * columns + c;
        for (int64_t i = 0; i < count; ++i) {
            before[i] = from.at(plane, row, c + i);
            after[i] = to.at(plane, row, c + i);
            scale[i] = white.at(plane, row, c + i);
            const double light = prediction[at + i];
            double clipped = light < 0.0 ? 0.0 : light;
            clipped = clipped > ceiling ? ceiling : clipped;
            mean[i] = clipped * (after[i] - before[i]) * scale[i];
        }
        photon::draw_poisson(mean, column, count, place, added);
        for (int64_t i = 0; i < count; ++i) {
            const double measured = state[at + i];
            out[at + i] = static_cast<float>((measured * before[i] + added[i] / scale[i]) / after[i]);
        }
    });
    return 0;
}
