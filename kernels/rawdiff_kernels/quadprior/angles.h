// The angle and the logarithm of vectors.
//
// Only +, -, *, /, comparisons and whole-number arithmetic on the bits, so that every CPU gives the same bits.
// The polynomials are summed in pairs, which halves the time that one value waits for the next.
#pragma once

#include <limits>

#include "lanes.h"

namespace rawdiff {

// Largest |error| 2e-8 for t in [0, 1] (Abramowitz and Stegun 4.4.49), besides rounding.
inline Vector atan_unit(Vector t) {
    const Vector s = t * t, s2 = s * s, s4 = s2 * s2;
    const Vector low = (-0.3333314528f + 0.1999355085f * s) + (-0.1420889944f + 0.1065626393f * s) * s2;
    const Vector high = (-0.0752896400f + 0.0429096138f * s) + (-0.0161657367f + 0.0028662257f * s) * s2;
    return t + t * s * (low + high * s4);
}

// atan(over / under) for both at least 0; 0 where both are 0.
inline Vector acute_angle(Vector over, Vector under) {
    const Whole steep = over > under;
    const Vector large = steep ? over : under, small = steep ? under : over;
    const Vector angle = atan_unit(small / (large == 0.0f ? spread(1.0f) : large));
    return steep ? 1.57079637f - angle : angle;
}

// atan(over / under) for any signs; 0 where both are 0.
inline Vector angle(Vector over, Vector under) {
    const auto magnitude = [](Vector x) { return (Vector)((Whole)x & 0x7FFFFFFF); };
    const Vector acute = acute_angle(magnitude(over), magnitude(under));
    return (over < 0.0f) != (under < 0.0f) ? -acute : acute;
}

// Series of the inverse hyperbolic tangent around a power of two; error below 3e-9 besides rounding, for normal
// x above 0; infinity and NaN stay.
inline Vector natural_log(Vector x) {
    constexpr int32_t kOne = 0x3F800000, kRootHalf = 0x3F3504F3;
    const Whole bits = (Whole)x + (kOne - kRootHalf);
    const Vector mantissa = (Vector)((bits & 0x007FFFFF) + kRootHalf);
    const Vector exponent = __builtin_convertvector((bits >> 23) - 127, Vector);
    const Vector f = (mantissa - 1.0f) / (mantissa + 1.0f), s = f * f, s2 = s * s;
    const Vector p = (2.0f + (2.0f / 3) * s) + ((2.0f / 5 + (2.0f / 7) * s) + (2.0f / 9) * s2) * s2;
    const Vector value = exponent * 0.693145752f + (f * p + exponent * 1.42860677e-6f);
    return x < std::numeric_limits<float>::infinity() ? value : x;
}

}  // namespace rawdiff
