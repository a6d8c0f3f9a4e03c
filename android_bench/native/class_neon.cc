// LceBconv2d by class sums on ARM64: the sums of a group, and their way to the output.
#ifdef __aarch64__

#include <cstring>

#include "bconv_neon_store.h"
#include "class_neon_kernel.h"
#include "class_neon_planes.h"
#include "class_neon_sums.h"
#include "class_tiles.h"

namespace larqnets {
namespace {

// Eight vectors of eight become the columns of their matrix.
inline void transpose(uint16x8_t (&v)[8]) {
  uint16x8_t a[8];
  for (int i = 0; i < 4; ++i)
    a[2 * i] = vzip1q_u16(v[i], v[i + 4]), a[2 * i + 1] = vzip2q_u16(v[i], v[i + 4]);
  for (int i = 0; i < 4; ++i)
    v[2 * i] = vzip1q_u16(a[i], a[i + 4]), v[2 * i + 1] = vzip2q_u16(a[i], a[i + 4]);
  for (int i = 0; i < 4; ++i)
    a[2 * i] = vzip1q_u16(v[i], v[i + 4]), a[2 * i + 1] = vzip2q_u16(v[i], v[i + 4]);
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
    if (!plan_.classes.empty()) {
      std::memset(start_, 0, sizeof(start_));
      std::memset(odd_, 0, sizeof(odd_));
      std::memset(borders_, 0, sizeof(borders_));
    }
    Eights eights(plan_, classes_, pass);
    for (size_t byte = 0; byte < pass.vectors * kVectorBytes; ++byte) {
      const Eight eight = eights.next();
      const size_t lane = byte / kVectorBytes * kVectorLanes + byte % kVectorBytes;
      uint8_t* to = output_ + eight.pixel * plan_.out_pixel;
      for (int p = 0; p < 8; ++p, to += plan_.out_pixel)
        to_[lane + p * kVectorBytes] = p < eight.count ? to : nowhere_;
      if (!plan_.classes.empty()) set_borders(lane, eight);
    }
  }

  void run(const Bundle& bundle) {
    if (bundle.count % kBlockChannels != 0)
      std::memset(sums_, 0, sizeof(sums_));  // of filters that do not exist
    for (size_t g = bundle.group; g < bundle.group_end; ++g) {
      const FilterGroup& group = classes_.groups[g];
      uint16_t* sums = sums_[group.channel - bundle.channel];
      if (pass_.vectors == 2) {
        group.is_short ? sum_group<2, kShortList>(group, sums) : sum_group<2, kMaxList>(group, sums);
      } else {
        group.is_short ? sum_group<1, kShortList>(group, sums) : sum_group<1, kMaxList>(group, sums);
      }
    }
    switch (plan_.params.output) {
      case Output::kFloat: return write<Output::kFloat>(bundle);
      case Output::kInt8: return write<Output::kInt8>(bundle);
      case Output::kBits: return write<Output::kBits>(bundle);
    }
  }

 private:
  // Each pixel in the lane kVectorBytes behind that of the one before it.
  void set_borders(size_t lane, const Eight& eight) {
    const uint32_t* borders = plan_.classes.data() + eight.pixel;
    if (eight.count == 8 && vmaxvq_u32(vorrq_u32(vld1q_u32(borders), vld1q_u32(borders + 4))) == 0)
      return;  // most
    for (int p = 0; p < eight.count; ++p, lane += kVectorBytes) {
      const size_t border = borders[p];
      if (border == 0) continue;
      start_[lane] = plan_.starts16.data() + border * plan_.blocks.size() * kBlockChannels;
      odd_[lane] = plan_.odd[border];
      borders_[lane / 8] = true;
    }
  }

  template <size_t kVectors, int kMost>
  void sum_group(const FilterGroup& group, uint16_t* sums) {
    const uint16_t* list = classes_.positions.data() + group.positions;
    const uint8_t* size = classes_.sizes.data() + group.sizes;
    const size_t classes = size_t{1} << (group.count - 1);
    for (size_t number = 0; number < classes; ++number, size += 2)
      list = class_difference<kVectors, Positions::kBytes, kMost>(pass_.planes, list, size[0], size[1],
                                                                  differences_ + number * kPassLanes);
    const size_t lanes = kVectors * kVectorLanes;
    const uint16_t* starts = classes_.minus.data() + group.channel;
    if (group.surplus == group.surplus_end)
      return combine_group(group.count, differences_, starts, lanes, sums);
    for (size_t number = 0; number < classes; ++number)
      add_difference(differences_ + number * kPassLanes, lanes, true, wide_ + number * kPassLanes);
    for (size_t i = group.surplus; i < group.surplus_end; ++i) {
      const Surplus& more = classes_.surplus[i];
      list = class_difference<kVectors, Positions::kBytes, kMost>(pass_.planes, list, more.less, more.more,
                                                                  differences_);
      add_difference(differences_, lanes, false, wide_ + more.number * kPassLanes);
    }
    combine_group(group.count, wide_, starts, lanes, sums);
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
      if (kOutput == Output::kBits || plan_.blocks[block].count == kBlockChannels) {
        write_block<kOutput, kExtra, false>(block, sums_[c]);
      } else {
        write_block<kOutput, kExtra, true>(block, sums_[c]);
      }
    }
  }

  // Eight filters of all pixels of the pass.
  template <Output kOutput, Extra kExtra, bool kPart>
  void write_block(size_t block, const uint16_t* sums) const {
    const Transform t = transform<kOutput>(plan_, block);
    for (size_t i = 0; i < pass_.vectors * kVectorLanes; i += 8) {
      uint16x8_t v[8];
      for (int j = 0; j < 8; ++j) v[j] = vld1q_u16(sums + j * kPassLanes + i);
      transpose(v);
      const bool borders = kExtra != Extra::kNone && borders_[i / 8];
      for (int j = 0; j < 8 && borders; ++j) {
        if (start_[i + j]) v[j] = vaddq_u16(v[j], vld1q_u16(start_[i + j] + block * kBlockChannels));
      }
      for (int j = 0; j < 8; ++j) {
        const int odd = kExtra == Extra::kAll && borders ? odd_[i + j] : 0;
        store_block<kOutput, kExtra, kPart>(plan_, t, v[j], odd, block, to_[i + j]);
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
  uint8_t* to_[kPassLanes];
  // With zero padding: what the sums of a pixel at a border begin with, or null; the half that is left out of
  // it; and whether any of eight is such a pixel.
  alignas(64) const uint16_t* start_[kPassLanes];
  alignas(64) uint8_t odd_[kPassLanes];
  alignas(64) bool borders_[kPassLanes / 8] = {};
  alignas(64) int8_t differences_[kMaxClasses * kPassLanes];
  alignas(64) int16_t wide_[kMaxClasses * kPassLanes];  // the same where a class has a surplus
  alignas(64) uint16_t sums_[kMaxBundle][kPassLanes];
};

}  // namespace

void run_classes_neon(BconvPlan& plan, ClassPlan& classes, const uint8_t* input, uint8_t* output,
                      const Parallel& parallel) {
  run_classes<NeonKernel>(plan, classes, input, output, parallel);
}

}  // namespace larqnets

#endif
