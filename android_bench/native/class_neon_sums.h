// Class sums on ARM64: from the differences of classes to the sums of a group, in 16 bits.
#pragma once

#include <arm_neon.h>

#include "class_plan.h"

namespace larqnets {

constexpr size_t kVectorLanes = kVectorBytes * 8;
constexpr size_t kPassLanes = kPassVectors * kVectorLanes;  // also from class to class, and from sum to sum

// Of 16 lanes.
struct Sums {
  int16x8_t low, high;
};

inline Sums load(const int8_t* values) {
  const int8x16_t v = vld1q_s8(values);
  return {vmovl_s8(vget_low_s8(v)), vmovl_high_s8(v)};
}
inline Sums load(const int16_t* values) { return {vld1q_s16(values), vld1q_s16(values + 8)}; }
inline Sums add(const Sums& a, const Sums& b) { return {vaddq_s16(a.low, b.low), vaddq_s16(a.high, b.high)}; }

// The sum of 2^kLevel classes; of those whose number has bit i set, also in set[i].
template <int kLevel, class Value>
__attribute__((always_inline)) inline Sums add_classes(const Value* classes, Sums (&set)[kMaxGroup - 1]) {
  if constexpr (kLevel == 0) {
    return load(classes);
  } else if constexpr (kLevel == 1 && sizeof(Value) == 1) {  // widening adds
    const int8x16_t u = vld1q_s8(classes), v = vld1q_s8(classes + kPassLanes);
    set[0] = {vaddw_s8(set[0].low, vget_low_s8(v)), vaddw_high_s8(set[0].high, v)};
    return {vaddl_s8(vget_low_s8(u), vget_low_s8(v)), vaddl_high_s8(u, v)};
  } else {
    const Sums u = add_classes<kLevel - 1>(classes, set);
    const Sums v = add_classes<kLevel - 1>(classes + (kPassLanes << (kLevel - 1)), set);
    set[kLevel - 1] = add(set[kLevel - 1], v);
    return add(u, v);
  }
}

// sums[j] = starts[j] + the differences of all classes, negative where bit j-1 of their number is set.
template <int kMembers, class Value>
inline void combine(const Value* differences, const int16_t* starts, size_t lanes, uint16_t* sums) {
  const int16x8_t two = vdupq_n_s16(2);
  for (size_t i = 0; i < lanes; i += 16) {
    Sums set[kMaxGroup - 1];
    for (int j = 0; j < kMembers - 1; ++j) set[j] = {vdupq_n_s16(0), vdupq_n_s16(0)};
    const Sums all = add_classes<kMembers - 1>(differences + i, set);
    for (int j = 0; j < kMembers; ++j) {
      const int16x8_t start = vld1q_dup_s16(starts + j);
      Sums sum = {vaddq_s16(start, all.low), vaddq_s16(start, all.high)};
      if (j > 0) sum = {vmlsq_s16(sum.low, set[j - 1].low, two), vmlsq_s16(sum.high, set[j - 1].high, two)};
      vst1q_u16(sums + j * kPassLanes + i, vreinterpretq_u16_s16(sum.low));
      vst1q_u16(sums + j * kPassLanes + i + 8, vreinterpretq_u16_s16(sum.high));
    }
  }
}

// Adds a further difference of class `number` to the sums of a group of `members`.
inline void add_surplus(int members, size_t number, const int8_t* difference, size_t lanes, uint16_t* sums) {
  for (int j = 0; j < members; ++j, sums += kPassLanes) {
    int16_t* sum = reinterpret_cast<int16_t*>(sums);
    if (j > 0 && (number >> (j - 1) & 1)) {
      for (size_t i = 0; i < lanes; i += 16) {
        const int8x16_t v = vld1q_s8(difference + i);
        vst1q_s16(sum + i, vsubw_s8(vld1q_s16(sum + i), vget_low_s8(v)));
        vst1q_s16(sum + i + 8, vsubw_high_s8(vld1q_s16(sum + i + 8), v));
      }
    } else {
      for (size_t i = 0; i < lanes; i += 16) {
        const int8x16_t v = vld1q_s8(difference + i);
        vst1q_s16(sum + i, vaddw_s8(vld1q_s16(sum + i), vget_low_s8(v)));
        vst1q_s16(sum + i + 8, vaddw_high_s8(vld1q_s16(sum + i + 8), v));
      }
    }
  }
}

// The same for a group of `members`, 1 to kMaxGroup.
template <class Value>
inline void combine_group(int members, const Value* differences, const uint16_t* starts, size_t lanes,
                          uint16_t* sums) {
  const int16_t* first = reinterpret_cast<const int16_t*>(starts);
  switch (members) {
    case 1: return combine<1>(differences, first, lanes, sums);
    case 2: return combine<2>(differences, first, lanes, sums);
    case 3: return combine<3>(differences, first, lanes, sums);
    case 4: return combine<4>(differences, first, lanes, sums);
    case 5: return combine<5>(differences, first, lanes, sums);
    case 6: return combine<6>(differences, first, lanes, sums);
    default: return combine<7>(differences, first, lanes, sums);
  }
}

// Where a class has more positions than eight bits count, differences go on in 16: its first one begins the
// sum, the others are added.
inline void add_difference(const int8_t* difference, size_t lanes, bool first, int16_t* sum) {
  for (size_t i = 0; i < lanes; i += 16) {
    Sums all = load(difference + i);
    if (!first) all = add(all, load(sum + i));
    vst1q_s16(sum + i, all.low);
    vst1q_s16(sum + i + 8, all.high);
  }
}

}  // namespace larqnets
