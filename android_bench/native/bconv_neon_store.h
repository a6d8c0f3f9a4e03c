// LceBconv2d on ARM64: eight sums of a pixel as float, int8 or packed bits.
#pragma once

#include <arm_neon.h>

#include <cstring>

#include "bconv_plan.h"

namespace larqnets {

// What a sum needs beyond its bits: nothing; a start that zero padding gives; or also halves and clamps.
enum class Extra { kNone, kStart, kAll };

// The eight values of a pixel, as many as `kOutput` makes.
struct Transform {
  float32x4_t m0, m1, b0, b1;
  uint16x8_t limits, odd_limits;
};

// Bytes of eight channels.
template <Output kOutput>
constexpr size_t kOutBytes = kOutput == Output::kFloat  ? 32
                             : kOutput == Output::kInt8 ? 8
                                                        : 1;

template <Output kOutput>
inline Transform transform(const BconvPlan& plan, size_t block) {
  Transform t = {};
  if constexpr (kOutput == Output::kBits) {
    t.limits = vld1q_u16(plan.limits.data() + block * kBlockChannels);
    t.odd_limits = vld1q_u16(plan.odd_limits.data() + block * kBlockChannels);
  } else {
    const float* affine = plan.affine.data() + block * 2 * kBlockChannels;
    t.m0 = vld1q_f32(affine), t.m1 = vld1q_f32(affine + 4);
    t.b0 = vld1q_f32(affine + 8), t.b1 = vld1q_f32(affine + 12);
  }
  return t;
}

template <Output kOutput, Extra kExtra>
inline void store(const BconvPlan& plan, const Transform& t, uint16x8_t sums, int odd, uint8_t* out) {
  if constexpr (kOutput == Output::kBits) {
    constexpr uint16_t kBit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    const uint16x8_t minus = vcgeq_u16(sums, kExtra == Extra::kAll && odd ? t.odd_limits : t.limits);
    *out = static_cast<uint8_t>(vaddvq_u16(vandq_u16(minus, vld1q_u16(kBit))));
  } else {
    uint32x4_t low = vshll_n_u16(vget_low_u16(sums), 1), high = vshll_high_n_u16(sums, 1);
    if constexpr (kExtra == Extra::kAll) {
      low = vaddq_u32(low, vdupq_n_u32(odd));
      high = vaddq_u32(high, vdupq_n_u32(odd));
      if (plan.clamps) {
        const uint32x4_t least = vdupq_n_u32(plan.clamp_min), most = vdupq_n_u32(plan.clamp_max);
        low = vminq_u32(vmaxq_u32(low, least), most);
        high = vminq_u32(vmaxq_u32(high, least), most);
      }
    }
    const float32x4_t y0 = vaddq_f32(vmulq_f32(vcvtq_f32_u32(low), t.m0), t.b0);
    const float32x4_t y1 = vaddq_f32(vmulq_f32(vcvtq_f32_u32(high), t.m1), t.b1);
    if constexpr (kOutput == Output::kFloat) {
      vst1q_u8(out, vreinterpretq_u8_f32(y0));
      vst1q_u8(out + 16, vreinterpretq_u8_f32(y1));
    } else {
      const int16x4_t r0 = vqmovn_s32(vcvtaq_s32_f32(y0)), r1 = vqmovn_s32(vcvtaq_s32_f32(y1));
      vst1_s8(reinterpret_cast<int8_t*>(out), vqmovn_s16(vcombine_s16(r0, r1)));
    }
  }
}

// The channels of a block of an ungrouped convolution, kPart: fewer than eight; `pixel` is where the output
// of the pixel begins.
template <Output kOutput, Extra kExtra, bool kPart>
inline void store_block(const BconvPlan& plan, const Transform& t, uint16x8_t sums, int odd, size_t block,
                        uint8_t* pixel) {
  uint8_t* out = pixel + block * kOutBytes<kOutput>;
  if constexpr (!kPart) return store<kOutput, kExtra>(plan, t, sums, odd, out);
  alignas(16) uint8_t spare[kOutBytes<kOutput>];
  store<kOutput, kExtra>(plan, t, sums, odd, spare);
  std::memcpy(out, spare, plan.blocks[block].count * (kOutBytes<kOutput> / kBlockChannels));
}

}  // namespace larqnets
