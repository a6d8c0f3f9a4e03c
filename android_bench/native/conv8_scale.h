// How LarqnetsConv2dInt8 brings a sum to the scale of the output: TFLite's QuantizeMultiplier and
// MultiplyByQuantizedMultiplier with two roundings, as its reference and its own fast kernels have them.
#pragma once

#include <cstdint>
#include <cstring>

namespace larqnets {

// The factor significand 2^(shift - 31), significand 0 or in [2^30, 2^31), shift <= kMaxShift8.
struct Scale8 {
  int32_t significand;
  int shift;
};
constexpr int kMaxShift8 = 30;

// Of a factor >= 0; a shift above kMaxShift8 is for the caller to refuse.
inline Scale8 scale8(double factor) {
  // The 53 bits of the factor, without the C library's functions: Android has them in a library of its own.
  uint64_t bits;
  std::memcpy(&bits, &factor, 8);
  int shift = static_cast<int>(bits >> 52) - 1022;  // factor = fraction 2^shift, 1/2 <= fraction < 1
  const uint64_t fraction = (bits & 0xfffffffffffff) | uint64_t{1} << 52;
  int64_t significand = static_cast<int64_t>((fraction + (1 << 21)) >> 22);
  if (significand == int64_t{1} << 31) significand /= 2, ++shift;
  if (shift < -31) significand = shift = 0;
  return {static_cast<int32_t>(significand), shift};
}

// The product of a sum and a factor: doubled to the left first, mod 2^32, where the factor is 1 and more; then
// rounded half up to the significand, then half away from zero to the power of two.
inline int32_t rescaled(int32_t sum, Scale8 scale) {
  const int left = scale.shift > 0 ? scale.shift : 0, right = scale.shift > 0 ? 0 : -scale.shift;
  const int64_t doubled = static_cast<int32_t>(static_cast<uint32_t>(sum) << left);
  const int64_t high = (doubled * scale.significand + (int64_t{1} << 30)) >> 31;
  const int64_t half = right > 0 ? int64_t{1} << (right - 1) : 0;
  return static_cast<int32_t>(high < 0 ? -((-high + half) >> right) : (high + half) >> right);
}

// The int8 values that an activation lets through.
struct Range8 {
  int32_t least, most;
};

}  // namespace larqnets
