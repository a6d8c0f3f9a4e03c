// LceBconv2d on ARM64: the ends of the inner loop for float, int8 and bit-packed output.
#ifdef __aarch64__

#include "bconv_neon_kernel.h"
#include "bconv_neon_store.h"
#include "bconv_tiles.h"

namespace larqnets {
namespace {

constexpr size_t kMaxRecords = 500;  // 16-bit sums of 128 bits each, and a rest

int rest_of(const BconvPlan& plan) { return (plan.rest64 ? 1 : 0) | (plan.rest32 ? 2 : 0); }

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
