// LceBconv2d on ARM64: the ends of the inner loop for float, int8 and bit-packed output.
#ifdef __aarch64__

#include "bconv_neon_kernel.h"
#include "bconv_tiles.h"

namespace larqnets {
namespace {

// What a sum needs beyond its bits: nothing; a start that zero padding gives; or also halves and clamps.
enum class Extra { kNone, kStart, kAll };

constexpr size_t kMaxRecords = 500;  // 16-bit sums of 128 bits each, and a rest

int rest_of(const BconvPlan& plan) { return (plan.rest64 ? 1 : 0) | (plan.rest32 ? 2 : 0); }

// The eight values of a pixel, as many as `kOutput` makes.
struct Transform {
  float32x4_t m0, m1, b0, b1;
  uint16x8_t limits, odd_limits;
};

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

// Blocks [block, end) of one group, 16-bit sums, outputs that begin at a byte.
template <int kPixels, Output kOutput, Extra kExtra>
void narrow_blocks(const BconvPlan& plan, const Part& part, size_t pixel, size_t block, size_t end) {
  constexpr size_t kOutBytes = kOutput == Output::kFloat  ? 32
                               : kOutput == Output::kInt8 ? 8
                                                          : 1;  // of eight channels
  const size_t lanes = plan.blocks.size() * kBlockChannels;
  uint8_t* out = part.output + pixel * plan.out_pixel + plan.blocks[block].channel / 8 * kOutBytes +
                 plan.blocks[block].channel % 8 * (kOutBytes / 8);
  size_t out_stride = plan.out_pixel;
  const uint16_t* start[kPixels];
  int odd[kPixels];
  for (int p = 0; p < kPixels; ++p) {
    start[p] = nullptr;
    odd[p] = 0;
    if (kExtra != Extra::kNone && !plan.classes.empty()) {
      start[p] = plan.starts16.data() + plan.classes[pixel + p] * lanes + block * kBlockChannels;
      odd[p] = plan.odd[plan.classes[pixel + p]];
    }
  }
  const size_t records = plan.records, block_bytes = plan.block_bytes;
  const int rest = rest_of(plan);
  const uint8_t* filter = plan.filter.data() + block * block_bytes;
  const float* affine = plan.affine.data() + block * 2 * kBlockChannels;
  const uint16_t *limits = plan.limits.data(), *odd_limits = plan.odd_limits.data();
  // A last block of fewer channels goes by way of `spare`; missing bits of a byte are 0 anyway.
  const int last_count = plan.blocks[end - 1].count;
  const bool partial = kOutput != Output::kBits && last_count < kBlockChannels;
  alignas(16) uint8_t spare[kPixels * kOutBytes];
  uint8_t* partial_out = nullptr;
  for (size_t stop = end - partial;; stop = end) {
    for (; block < stop; ++block, filter += block_bytes) {
      uint16x8_t sums[kPixels];
      for (int p = 0; p < kPixels; ++p) {
        if constexpr (kExtra == Extra::kNone) {
          sums[p] = vdupq_n_u16(0);
        } else {
          sums[p] = kExtra == Extra::kStart || start[p] ? vld1q_u16(start[p]) : vdupq_n_u16(0);
          if (start[p]) start[p] += kBlockChannels;
        }
      }
      count<kPixels>(filter, part.tile, records, rest, sums);
      Transform t = {};
      if constexpr (kOutput == Output::kBits) {
        t.limits = vld1q_u16(limits + block * 8);
        if constexpr (kExtra == Extra::kAll) t.odd_limits = vld1q_u16(odd_limits + block * 8);
      } else {
        t.m0 = vld1q_f32(affine), t.m1 = vld1q_f32(affine + 4);
        t.b0 = vld1q_f32(affine + 8), t.b1 = vld1q_f32(affine + 12);
        affine += 2 * kBlockChannels;
      }
      uint8_t* to = out;
      for (int p = 0; p < kPixels; ++p, to += out_stride)
        store<kOutput, kExtra>(plan, t, sums[p], odd[p], to);
      out += kOutBytes;
    }
    if (block == end) break;
    partial_out = out;
    out = spare;
    out_stride = kOutBytes;
  }
  if (!partial) return;
  for (int p = 0; p < kPixels; ++p) {
    std::memcpy(partial_out + p * plan.out_pixel, spare + p * kOutBytes, last_count * (kOutBytes / 8));
  }
}

// Any depth, and groups whose channels share bytes: 16-bit sums of a stretch of the depth are added up.
template <int kPixels>
void wide_blocks(const BconvPlan& plan, const Part& part, size_t pixel, size_t block, size_t end) {
  for (; block < end; ++block) {
    uint32_t sums[kPixels][kBlockChannels] = {};
    const uint8_t* filter = plan.filter.data() + block * plan.block_bytes;
    for (size_t record = 0;; record += kMaxRecords) {
      const size_t left = plan.records - record;
      const bool last = left <= kMaxRecords;
      uint16x8_t piece[kPixels];
      for (int p = 0; p < kPixels; ++p) piece[p] = vdupq_n_u16(0);
      count<kPixels>(filter + record * kBlockRecordBytes, part.tile + record * kPixels * kRecordBytes,
                     last ? left : kMaxRecords, last ? rest_of(plan) : 0, piece);
      for (int p = 0; p < kPixels; ++p) {
        uint16_t lanes[kBlockChannels];
        vst1q_u16(lanes, piece[p]);
        for (int i = 0; i < kBlockChannels; ++i) sums[p][i] += lanes[i];
      }
      if (last) break;
    }
    for (int p = 0; p < kPixels; ++p) finish(plan, part.output, pixel + p, block, sums[p]);
  }
}

struct NeonKernel {
  template <int kPixels>
  static void blocks(const BconvPlan& plan, const Part& part, size_t pixel, size_t block, size_t end) {
    if (!plan.fits16() || !plan.whole_bytes) return wide_blocks<kPixels>(plan, part, pixel, block, end);
    switch (plan.params.output) {
      case Output::kFloat: return with<kPixels, Output::kFloat>(plan, part, pixel, block, end);
      case Output::kInt8: return with<kPixels, Output::kInt8>(plan, part, pixel, block, end);
      case Output::kBits: return with<kPixels, Output::kBits>(plan, part, pixel, block, end);
    }
  }

  template <int kPixels, Output kOutput>
  static void with(const BconvPlan& plan, const Part& part, size_t pixel, size_t block, size_t end) {
    bool starts = false, halves = false;
    if (!plan.classes.empty()) {
      for (int p = 0; p < kPixels; ++p) {
        starts |= plan.classes[pixel + p] != 0;
        halves |= plan.odd[plan.classes[pixel + p]] != 0;
      }
    }
    if (plan.clamps || halves)
      return narrow_blocks<kPixels, kOutput, Extra::kAll>(plan, part, pixel, block, end);
    if (starts) return narrow_blocks<kPixels, kOutput, Extra::kStart>(plan, part, pixel, block, end);
    narrow_blocks<kPixels, kOutput, Extra::kNone>(plan, part, pixel, block, end);
  }
};

}  // namespace

void run_neon(BconvPlan& plan, const uint8_t* input, uint8_t* output, const Parallel& parallel) {
  run_tiles<NeonKernel>(plan, input, output, parallel);
}

}  // namespace larqnets

#endif
