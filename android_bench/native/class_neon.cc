// LceBconv2d by class sums on ARM64: the sums of a group, and their way to the output.
#ifdef __aarch64__

#include <cstring>

#include "bconv_neon_store.h"
#include "class_neon_kernel.h"
#include "class_neon_planes.h"
#include "class_tiles.h"

namespace larqnets {
namespace {

constexpr size_t kVectorPixels = kVectorBytes * 8;
constexpr size_t kClassStride = kPassVectors * kVectorPixels;

// Of 16 pixels.
struct Sums {
  int16x8_t low, high;
};

// The sum of 2^kLevel classes; of those whose number has bit i set, also in set[i].
template <int kLevel>
inline Sums add_classes(const int8_t* classes, Sums (&set)[kMaxGroup - 1]) {
  if constexpr (kLevel == 0) {
    const int8x16_t v = vld1q_s8(classes);
    return {vmovl_s8(vget_low_s8(v)), vmovl_high_s8(v)};
  } else if constexpr (kLevel == 1) {
    const int8x16_t u = vld1q_s8(classes), v = vld1q_s8(classes + kClassStride);
    set[0] = {vaddw_s8(set[0].low, vget_low_s8(v)), vaddw_high_s8(set[0].high, v)};
    return {vaddl_s8(vget_low_s8(u), vget_low_s8(v)), vaddl_high_s8(u, v)};
  } else {
    const Sums u = add_classes<kLevel - 1>(classes, set);
    const Sums v = add_classes<kLevel - 1>(classes + (kClassStride << (kLevel - 1)), set);
    Sums& sum = set[kLevel - 1];
    sum = {vaddq_s16(sum.low, v.low), vaddq_s16(sum.high, v.high)};
    return {vaddq_s16(u.low, v.low), vaddq_s16(u.high, v.high)};
  }
}

// Eight vectors of eight become the columns of their matrix.
inline void transpose(uint16x8_t (&v)[8]) {
  uint16x8_t a[8];
  for (int i = 0; i < 4; ++i) a[2 * i] = vzip1q_u16(v[i], v[i + 4]), a[2 * i + 1] = vzip2q_u16(v[i], v[i + 4]);
  for (int i = 0; i < 4; ++i) v[2 * i] = vzip1q_u16(a[i], a[i + 4]), v[2 * i + 1] = vzip2q_u16(a[i], a[i + 4]);
  for (int i = 0; i < 4; ++i) a[2 * i] = vzip1q_u16(v[i], v[i + 4]), a[2 * i + 1] = vzip2q_u16(v[i], v[i + 4]);
  for (int i = 0; i < 8; ++i) v[i] = a[i];
}

class NeonKernel {
 public:
  NeonKernel(const BconvPlan& plan, const ClassPlan& classes, uint8_t* output, size_t task)
      : plan_(plan), classes_(classes), output_(output), nowhere_(classes.nowhere_of(task)) {
    bool halves = false;
    for (const uint8_t odd : plan.odd) halves |= odd != 0;
    extra_ = plan.clamps || halves ? Extra::kAll : plan.classes.empty() ? Extra::kNone : Extra::kStart;
  }

  static void make_planes(const BconvPlan& plan, const ClassPlan& classes, const PlaneRows& rows) {
    make_neon_planes(plan, classes, rows);
  }

  void start(const Pass& pass) {
    pass_ = pass;
    const size_t lanes = plan_.blocks.size() * kBlockChannels;
    for (size_t byte = 0; byte < pass.vectors * kVectorBytes; ++byte) {
      const Eight eight = pixels_of(plan_, classes_, pass, byte);
      for (int p = 0; p < 8; ++p) {
        const size_t i = byte / kVectorBytes * kVectorPixels + p * kVectorBytes + byte % kVectorBytes;
        const bool pixel = p < eight.count;
        to_[i] = pixel ? output_ + (eight.pixel + p) * plan_.out_pixel : nowhere_;
        if (extra_ == Extra::kNone) continue;
        const size_t border = pixel && !plan_.classes.empty() ? plan_.classes[eight.pixel + p] : 0;
        start_[i] = plan_.classes.empty() ? nullptr : plan_.starts16.data() + border * lanes;
        odd_[i] = plan_.classes.empty() ? 0 : plan_.odd[border];
      }
    }
  }

  void run(const Bundle& bundle) {
    if (bundle.count % kBlockChannels != 0) std::memset(sums_, 0, sizeof(sums_));  // of filters that do not exist
    for (size_t g = bundle.group; g < bundle.group_end; ++g) {
      const FilterGroup& group = classes_.groups[g];
      uint16_t* sums = sums_[group.channel - bundle.channel];
      if (pass_.vectors == 2) {
        sum_group<2>(group, sums);
      } else {
        sum_group<1>(group, sums);
      }
    }
    switch (plan_.params.output) {
      case Output::kFloat: return write<Output::kFloat>(bundle);
      case Output::kInt8: return write<Output::kInt8>(bundle);
      case Output::kBits: return write<Output::kBits>(bundle);
    }
  }

 private:
  template <size_t kVectors>
  void sum_group(const FilterGroup& group, uint16_t* sums) {
    const uint16_t* list = classes_.positions.data() + group.positions;
    const uint8_t* size = classes_.sizes.data() + group.sizes;
    const size_t classes = size_t{1} << (group.count - 1);
    for (size_t number = 0; number < classes; ++number, size += 2)
      list = class_difference<kVectors>(pass_.planes, list, size[0], size[1], differences_ + number * kClassStride);
    switch (group.count) {
      case 1: combine<1>(group, sums); break;
      case 2: combine<2>(group, sums); break;
      case 3: combine<3>(group, sums); break;
      case 4: combine<4>(group, sums); break;
      case 5: combine<5>(group, sums); break;
      case 6: combine<6>(group, sums); break;
      case 7: combine<7>(group, sums); break;
    }
    for (size_t i = group.surplus; i < group.surplus_end; ++i) {
      const Surplus& more = classes_.surplus[i];
      list = class_difference<kVectors>(pass_.planes, list, more.less, more.more, differences_);
      for (int j = 0; j < group.count; ++j) add_surplus(j > 0 && (more.number >> (j - 1) & 1), sums + j * kClassStride);
    }
  }

  // The sums of the filters of a group from the differences of its classes.
  template <int kFilters>
  void combine(const FilterGroup& group, uint16_t* sums) const {
    const int16_t* minus = reinterpret_cast<const int16_t*>(classes_.minus.data()) + group.channel;
    const int16x8_t two = vdupq_n_s16(2);
    for (size_t i = 0; i < pass_.vectors * kVectorPixels; i += 16) {
      Sums set[kMaxGroup - 1];
      for (int j = 0; j < kFilters - 1; ++j) set[j] = {vdupq_n_s16(0), vdupq_n_s16(0)};
      const Sums all = add_classes<kFilters - 1>(differences_ + i, set);
      for (int j = 0; j < kFilters; ++j) {
        const int16x8_t start = vld1q_dup_s16(minus + j);
        Sums sum = {vaddq_s16(start, all.low), vaddq_s16(start, all.high)};
        if (j > 0) sum = {vmlsq_s16(sum.low, set[j - 1].low, two), vmlsq_s16(sum.high, set[j - 1].high, two)};
        vst1q_u16(sums + j * kClassStride + i, vreinterpretq_u16_s16(sum.low));
        vst1q_u16(sums + j * kClassStride + i + 8, vreinterpretq_u16_s16(sum.high));
      }
    }
  }

  void add_surplus(bool opposite, uint16_t* sums) const {
    for (size_t i = 0; i < pass_.vectors * kVectorPixels; i += 8) {
      const uint16x8_t value = vreinterpretq_u16_s16(vmovl_s8(vld1_s8(differences_ + i)));
      const uint16x8_t sum = vld1q_u16(sums + i);
      vst1q_u16(sums + i, opposite ? vsubq_u16(sum, value) : vaddq_u16(sum, value));
    }
  }

  template <Output kOutput>
  void write(const Bundle& bundle) const {
    switch (extra_) {
      case Extra::kNone: return write_all<kOutput, Extra::kNone>(bundle);
      case Extra::kStart: return write_all<kOutput, Extra::kStart>(bundle);
      case Extra::kAll: return write_all<kOutput, Extra::kAll>(bundle);
    }
  }

  template <Output kOutput, Extra kExtra>
  void write_all(const Bundle& bundle) const {
    for (int c = 0; c < bundle.count; c += kBlockChannels) {
      const size_t block = (bundle.channel + c) / kBlockChannels;
      const int count = plan_.blocks[block].count;
      if (kOutput == Output::kBits || count == kBlockChannels) {
        write_block<kOutput, kExtra, false>(block, sums_[c]);
      } else {
        write_block<kOutput, kExtra, true>(block, sums_[c]);
      }
    }
  }

  // Eight filters of all pixels of the pass; kPart: of which there are fewer.
  template <Output kOutput, Extra kExtra, bool kPart>
  void write_block(size_t block, const uint16_t* sums) const {
    constexpr size_t kOutBytes = kOutput == Output::kFloat ? 32 : kOutput == Output::kInt8 ? 8 : 1;
    Transform t = {};
    if constexpr (kOutput == Output::kBits) {
      t.limits = vld1q_u16(plan_.limits.data() + block * 8);
      t.odd_limits = vld1q_u16(plan_.odd_limits.data() + block * 8);
    } else {
      const float* affine = plan_.affine.data() + block * 2 * kBlockChannels;
      t.m0 = vld1q_f32(affine), t.m1 = vld1q_f32(affine + 4);
      t.b0 = vld1q_f32(affine + 8), t.b1 = vld1q_f32(affine + 12);
    }
    const size_t offset = block * kOutBytes;
    for (size_t i = 0; i < pass_.vectors * kVectorPixels; i += 8) {
      uint16x8_t v[8];
      for (int j = 0; j < 8; ++j) v[j] = vld1q_u16(sums + j * kClassStride + i);
      transpose(v);
      for (int j = 0; j < 8; ++j) {
        if constexpr (kExtra != Extra::kNone) {
          if (start_[i + j]) v[j] = vaddq_u16(v[j], vld1q_u16(start_[i + j] + block * kBlockChannels));
        }
        const int odd = kExtra == Extra::kAll ? odd_[i + j] : 0;
        if constexpr (kPart) {
          alignas(16) uint8_t spare[kOutBytes];
          store<kOutput, kExtra>(plan_, t, v[j], odd, spare);
          std::memcpy(to_[i + j] + offset, spare, plan_.blocks[block].count * (kOutBytes / 8));
        } else {
          store<kOutput, kExtra>(plan_, t, v[j], odd, to_[i + j] + offset);
        }
      }
    }
  }

  const BconvPlan& plan_;
  const ClassPlan& classes_;
  uint8_t* const output_;
  uint8_t* const nowhere_;  // a pixel's room for lanes that are none
  Extra extra_;
  Pass pass_ = {};
  // Of all lanes, in the order (vector, pixel of eight, byte) in which they are counted.
  uint8_t* to_[kClassStride];
  const uint16_t* start_[kClassStride];
  uint8_t odd_[kClassStride];
  alignas(16) int8_t differences_[kMaxClasses * kClassStride];
  alignas(16) uint16_t sums_[kMaxBundle][kClassStride];
};

}  // namespace

void run_classes_neon(BconvPlan& plan, ClassPlan& classes, const uint8_t* input, uint8_t* output,
                      const Parallel& parallel) {
  run_classes<NeonKernel>(plan, classes, input, output, parallel);
}

}  // namespace larqnets

#endif
