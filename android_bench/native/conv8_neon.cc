// LarqnetsConv2dInt8 on ARM64: three inner loops, of which the processor's best is taken while the program
// runs; all else is ARMv8.0. Only the functions marked below may hold other instructions.
#ifdef __aarch64__

#include <arm_neon.h>
#include <sys/auxv.h>

#include "conv8_tiles.h"

namespace larqnets {
namespace {

constexpr unsigned long kDotProducts = 1ul << 20;   // HWCAP_ASIMDDP of the kernel's asm/hwcap.h
constexpr unsigned long kInt8Matrices = 1ul << 13;  // HWCAP2_I8MM

#define LARQNETS_INLINE inline __attribute__((always_inline))

LARQNETS_INLINE int8x16_t load(const uint8_t* bytes) { return vreinterpretq_s8_u8(vld1q_u8(bytes)); }

// Factors of four sums.
struct Factor {
  int32x4_t significand, left, right;
};

// Of channels that stand in `plan` at `lane` and so on; with kPaired of channels lane, lane + 1 twice.
template <bool kPaired>
LARQNETS_INLINE int32x4_t four(const std::vector<int32_t>& values, size_t lane) {
  if constexpr (!kPaired) return vld1q_s32(values.data() + lane);
  const int32x2_t two = vld1_s32(values.data() + lane);
  return vcombine_s32(two, two);
}

template <bool kPaired>
LARQNETS_INLINE Factor factor(const Conv8Plan& plan, size_t lane) {
  return {four<kPaired>(plan.significands, lane), four<kPaired>(plan.lefts, lane),
          four<kPaired>(plan.rights, lane)};
}

// What the factors and limits of an op allow: all; every right shift at least 1; also nothing below the output's
// zero point, so that it does not matter how negative numbers are rounded.
enum class Rounding { kAny, kShrinking, kPositive };

// `rescaled` of conv8_scale.h.
template <Rounding kRounding>
LARQNETS_INLINE int32x4_t rescale(int32x4_t sums, const Factor& f) {
  if constexpr (kRounding == Rounding::kAny) {
    const int32x4_t high = vqrdmulhq_s32(vshlq_s32(sums, f.left), f.significand);
    const int32x4_t negative = vshrq_n_s32(vandq_s32(high, f.right), 31);
    return vrshlq_s32(vqaddq_s32(high, negative), f.right);
  }
  const int32x4_t high = vqrdmulhq_s32(sums, f.significand);
  if constexpr (kRounding == Rounding::kPositive) return vrshlq_s32(high, f.right);
  return vrshlq_s32(vsraq_n_s32(high, high, 31), f.right);  // half up becomes half away from zero
}

// What ends a sum besides its factor.
struct Limits {
  int16x8_t zero;
  int8x16_t least, most;
};
LARQNETS_INLINE Limits limits_of(const Conv8Plan& plan) {
  return {vdupq_n_s16(static_cast<int16_t>(plan.params.output_zero_point)),
          vdupq_n_s8(static_cast<int8_t>(plan.range.least)),
          vdupq_n_s8(static_cast<int8_t>(plan.range.most))};
}

// Sixteen sums to sixteen bytes, in their order.
template <Rounding kRounding>
LARQNETS_INLINE int8x16_t narrow(const Limits& limits, const int32x4_t (&sums)[4], const Factor& f0,
                                 const Factor& f1, const Factor& f2, const Factor& f3) {
  const int16x4_t s0 = vqmovn_s32(rescale<kRounding>(sums[0], f0));
  const int16x4_t s2 = vqmovn_s32(rescale<kRounding>(sums[2], f2));
  const int16x8_t low = vqmovn_high_s32(s0, rescale<kRounding>(sums[1], f1));
  const int16x8_t high = vqmovn_high_s32(s2, rescale<kRounding>(sums[3], f3));
  const int8x16_t all =
      vqmovn_high_s16(vqmovn_s16(vqaddq_s16(low, limits.zero)), vqaddq_s16(high, limits.zero));
  return vminq_s8(vmaxq_s8(all, limits.least), limits.most);
}

// Eight bytes of two pixels.
LARQNETS_INLINE void store(int8x16_t values, uint8_t* out, size_t stride) {
  vst1_u8(out, vreinterpret_u8_s8(vget_low_s8(values)));
  vst1q_lane_u64(reinterpret_cast<uint64_t*>(out + stride), vreinterpretq_u64_s8(values), 1);
}

// Ends a block whose sums are per pixel those of channels 0..3 and 4..7.
template <Rounding kRounding>
LARQNETS_INLINE void finish_rows(const Conv8Plan& plan, const Limits& limits, const int32x4_t (&sums)[8][2],
                                 size_t lane, uint8_t* out, size_t stride) {
  const Factor f0 = factor<false>(plan, lane), f1 = factor<false>(plan, lane + 4);
#pragma clang loop unroll(full)
  for (int p = 0; p < 8; p += 2, out += 2 * stride) {
    const int32x4_t both[4] = {sums[p][0], sums[p][1], sums[p + 1][0], sums[p + 1][1]};
    store(narrow<kRounding>(limits, both, f0, f1, f0, f1), out, stride);
  }
}

// ARMv8.0: 16 products by SMULL, SMLAL and SADALP. Two products fit 16 bits since no weight is -128.

// The sums of pixels 0..3 of `tile` and the four channels of `filter`, whose halves are equal.
LARQNETS_INLINE void widen_4x4(const uint8_t* tile, const uint8_t* filter, size_t steps,
                               int32x4_t (&sums)[4][4]) {
  for (int p = 0; p < 4; ++p) {
    for (int c = 0; c < 4; ++c) sums[p][c] = vdupq_n_s32(0);
  }
  for (; steps >= 2; steps -= 2, tile += 2 * kStepBytes, filter += 128) {
    const int8x16_t a[2][2] = {{load(tile), load(tile + 16)},
                               {load(tile + kStepBytes), load(tile + kStepBytes + 16)}};
#pragma clang loop unroll(full)
    for (int c = 0; c < 4; ++c) {
      const int8x16_t w0 = load(filter + 16 * c), w1 = load(filter + 64 + 16 * c);
#pragma clang loop unroll(full)
      for (int p = 0; p < 2; ++p) {
        const int16x8_t even =
            vmlal_s8(vmull_s8(vget_low_s8(a[0][p]), vget_low_s8(w0)), vget_low_s8(a[1][p]), vget_low_s8(w1));
        const int16x8_t odd = vmlal_high_s8(vmull_high_s8(a[0][p], w0), a[1][p], w1);
        sums[2 * p][c] = vpadalq_s16(sums[2 * p][c], even);
        sums[2 * p + 1][c] = vpadalq_s16(sums[2 * p + 1][c], odd);
      }
    }
  }
  if (steps == 0) return;
  for (int c = 0; c < 4; ++c) {
    const int8x16_t w = load(filter + 16 * c);
    for (int p = 0; p < 2; ++p) {
      const int8x16_t a = load(tile + 16 * p);
      sums[2 * p][c] = vpadalq_s16(sums[2 * p][c], vmull_s8(vget_low_s8(a), vget_low_s8(w)));
      sums[2 * p + 1][c] = vpadalq_s16(sums[2 * p + 1][c], vmull_high_s8(a, w));
    }
  }
}

template <Rounding kRounding>
struct WidenKernel {
  static void blocks(const Conv8Plan& plan, const uint8_t* tile, size_t block, size_t end, uint8_t* out,
                     size_t stride) {
    const Limits limits = limits_of(plan);
    for (; block < end; ++block, out += kBlockChannels) {
      const size_t lane = block * kBlockChannels;
      const uint8_t* filter = plan.filter.data() + block * plan.block_bytes;
      int32x4_t rows[8][2];
      for (int half = 0; half < 2; ++half, filter += plan.steps * 64) {
        const int32x4_t start = vld1q_s32(plan.starts.data() + lane + 4 * half);
        for (int p = 0; p < 8; p += 4) {
          int32x4_t sums[4][4];
          widen_4x4(tile + p * kStepValues, filter, plan.steps, sums);
          for (int i = 0; i < 4; ++i) {
            const int32x4_t four_sums =
                vpaddq_s32(vpaddq_s32(sums[i][0], sums[i][1]), vpaddq_s32(sums[i][2], sums[i][3]));
            rows[p + i][half] = vaddq_s32(four_sums, start);
          }
        }
      }
      finish_rows<kRounding>(plan, limits, rows, lane, out, stride);
    }
  }
};

// ARMv8.2 with dot products: SDOT, 16 products.
template <Rounding kRounding>
struct DotKernel {
  __attribute__((target("dotprod"))) static void blocks(const Conv8Plan& plan, const uint8_t* tile,
                                                        size_t block, size_t end, uint8_t* out,
                                                        size_t stride) {
    const size_t rest = plan.depth % kStepValues;
    const bool half = rest > 0 && rest <= 4;  // of the last step only the first four values
    const size_t whole = plan.steps - (half ? 1 : 0);
    const Limits limits = limits_of(plan);
    for (; block < end; ++block, out += kBlockChannels) {
      const size_t lane = block * kBlockChannels;
      const uint8_t *w = plan.filter.data() + block * plan.block_bytes, *a = tile;
      const int32x4_t start0 = vld1q_s32(plan.starts.data() + lane);
      const int32x4_t start1 = vld1q_s32(plan.starts.data() + lane + 4);
      int32x4_t sums[8][2];
      for (int p = 0; p < 8; ++p) sums[p][0] = start0, sums[p][1] = start1;
#pragma clang loop unroll_count(4)
      for (size_t step = 0; step < whole; ++step, w += 64, a += kStepBytes) {
        const int8x16_t w0 = load(w), w1 = load(w + 16), w2 = load(w + 32), w3 = load(w + 48);
#pragma clang loop unroll(full)
        for (int p = 0; p < 8; p += 2) {
          const int8x16_t two = load(a + 8 * p);
          sums[p][0] = vdotq_laneq_s32(sums[p][0], w0, two, 0);
          sums[p][1] = vdotq_laneq_s32(sums[p][1], w1, two, 0);
          sums[p + 1][0] = vdotq_laneq_s32(sums[p + 1][0], w0, two, 2);
          sums[p + 1][1] = vdotq_laneq_s32(sums[p + 1][1], w1, two, 2);
          sums[p][0] = vdotq_laneq_s32(sums[p][0], w2, two, 1);
          sums[p][1] = vdotq_laneq_s32(sums[p][1], w3, two, 1);
          sums[p + 1][0] = vdotq_laneq_s32(sums[p + 1][0], w2, two, 3);
          sums[p + 1][1] = vdotq_laneq_s32(sums[p + 1][1], w3, two, 3);
        }
      }
      if (half) {
        const int8x16_t w0 = load(w), w1 = load(w + 16);
#pragma clang loop unroll(full)
        for (int p = 0; p < 8; p += 2) {
          const int8x16_t two = load(a + 8 * p);
          sums[p][0] = vdotq_laneq_s32(sums[p][0], w0, two, 0);
          sums[p][1] = vdotq_laneq_s32(sums[p][1], w1, two, 0);
          sums[p + 1][0] = vdotq_laneq_s32(sums[p + 1][0], w0, two, 2);
          sums[p + 1][1] = vdotq_laneq_s32(sums[p + 1][1], w1, two, 2);
        }
      }
      finish_rows<kRounding>(plan, limits, sums, lane, out, stride);
    }
  }
};

// ARMv8.6 with matrices of int8: SMMLA, 32 products, two pixels times two channels.
template <Rounding kRounding>
struct MatrixKernel {
  __attribute__((target("i8mm"))) static void blocks(const Conv8Plan& plan, const uint8_t* tile, size_t block,
                                                     size_t end, uint8_t* out, size_t stride) {
    const Limits limits = limits_of(plan);
    for (; block < end; ++block, out += kBlockChannels) {
      const size_t lane = block * kBlockChannels;
      const uint8_t *w = plan.filter.data() + block * plan.block_bytes, *a = tile;
      int32x4_t sums[4][4];
      for (int c = 0; c < 4; ++c) {
        const int32x4_t start = four<true>(plan.starts, lane + 2 * c);
        for (int p = 0; p < 4; ++p) sums[p][c] = start;
      }
#pragma clang loop unroll_count(4)
      for (size_t step = 0; step < plan.steps; ++step, w += 64, a += kStepBytes) {
        const int8x16_t w0 = load(w), w1 = load(w + 16), w2 = load(w + 32), w3 = load(w + 48);
#pragma clang loop unroll(full)
        for (int p = 0; p < 4; ++p) {
          const int8x16_t two = load(a + 16 * p);
          sums[p][0] = vmmlaq_s32(sums[p][0], two, w0);
          sums[p][1] = vmmlaq_s32(sums[p][1], two, w1);
          sums[p][2] = vmmlaq_s32(sums[p][2], two, w2);
          sums[p][3] = vmmlaq_s32(sums[p][3], two, w3);
        }
      }
      const Factor f0 = factor<true>(plan, lane), f1 = factor<true>(plan, lane + 2),
                   f2 = factor<true>(plan, lane + 4), f3 = factor<true>(plan, lane + 6);
      uint8_t* to = out;
#pragma clang loop unroll(full)
      for (int p = 0; p < 4; p += 2, to += 4 * stride) {
        // Pairs of channels of one pixel and of the next one alternate.
        const uint16x8_t first = vreinterpretq_u16_s8(narrow<kRounding>(limits, sums[p], f0, f1, f2, f3));
        const uint16x8_t second =
            vreinterpretq_u16_s8(narrow<kRounding>(limits, sums[p + 1], f0, f1, f2, f3));
        store(vreinterpretq_s8_u16(vuzp1q_u16(first, second)), to, 2 * stride);
        store(vreinterpretq_s8_u16(vuzp2q_u16(first, second)), to + stride, 2 * stride);
      }
    }
  }
};

}  // namespace

Filter8 neon_order() {
  if (getauxval(AT_HWCAP2) & kInt8Matrices) return Filter8::kPairs;
  return getauxval(AT_HWCAP) & kDotProducts ? Filter8::kQuads : Filter8::kDoubled;
}

namespace {

template <Rounding kRounding>
void run(Conv8Plan& plan, const uint8_t* input, uint8_t* output, const Parallel& parallel) {
  switch (plan.order) {
    case Filter8::kPairs: return run_tiles8<MatrixKernel<kRounding>>(plan, input, output, parallel);
    case Filter8::kQuads: return run_tiles8<DotKernel<kRounding>>(plan, input, output, parallel);
    case Filter8::kDoubled: return run_tiles8<WidenKernel<kRounding>>(plan, input, output, parallel);
  }
}

}  // namespace

void run_neon(Conv8Plan& plan, const uint8_t* input, uint8_t* output, const Parallel& parallel) {
  if (!plan.all_shrink) return run<Rounding::kAny>(plan, input, output, parallel);
  if (plan.range.least < plan.params.output_zero_point)
    return run<Rounding::kShrinking>(plan, input, output, parallel);
  run<Rounding::kPositive>(plan, input, output, parallel);
}

}  // namespace larqnets

#endif
