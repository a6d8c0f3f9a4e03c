// LceBconv2d with filters in the lanes on ARM64: positions are sorted by their bits in a group of pixels,
// then counted.
#ifdef __aarch64__

#include <cstring>

#include "bconv_neon_store.h"
#include "class_neon_kernel.h"
#include "class_neon_planes.h"
#include "class_neon_sums.h"
#include "sorted_tiles.h"

namespace larqnets {
namespace {

constexpr size_t kPatterns = size_t{1} << kMaxGroup;

class NeonKernel {
 public:
  NeonKernel(const BconvPlan& plan, const SortedPlan& sorted, uint8_t* output, uint8_t* scratch)
      : plan_(plan),
        sorted_(sorted),
        output_(output),
        patterns_(scratch),
        lists_(reinterpret_cast<uint16_t*>(scratch + (sorted.positions + 64 + 63) / 64 * 64)) {}

  // The output of pixels [first, first + count).
  void run(size_t first, int count) {
    first_ = first;
    count_ = count;
    for (int j = 0; j < count; ++j) {
      const size_t border = plan_.classes.empty() ? 0 : plan_.classes[first + j];
      start_[j] =
          border == 0 ? nullptr : plan_.starts16.data() + border * plan_.blocks.size() * kBlockChannels;
      odd_[j] = border == 0 ? 0 : plan_.odd[border];
    }
    make_patterns();
    sort();
    const size_t filters = plan_.params.channels_out;
    for (size_t pair = 0; pair < sorted_.pairs; ++pair) {
      if (filters - pair * kPassLanes > kVectorLanes) {
        sum<2>(pair);
      } else {
        sum<1>(pair);
      }
      switch (plan_.params.output) {
        case Output::kFloat: write<Output::kFloat>(pair); break;
        case Output::kInt8: write<Output::kInt8>(pair); break;
        case Output::kBits: write<Output::kBits>(pair); break;
      }
    }
  }

 private:
  // Of every position a byte: bit j is that of pixel j.
  void make_patterns() {
    const uint8_t* window[8];
    for (int j = 0; j < 8; ++j)
      window[j] = plan_.bordered.data() + sorted_.windows[first_ + std::min(j, count_ - 1)];
    const uint8x16_t pixels = vdupq_n_u8(static_cast<uint8_t>((1 << count_) - 1));
    uint8_t* to = patterns_;
    for (const Piece& piece : sorted_.pieces) {
      uint8x16_t v[8];
      for (int j = 0; j < 8; ++j) v[j] = vld1q_u8(window[j] + piece.source);
      transpose_bits(v);
      for (int bit = 0; bit < 8; ++bit, to += piece.bytes)
        vst1q_u8(to, vandq_u8(v[bit], pixels));  // what is too much is overwritten
    }
  }

  // Lists the positions class after class, those at which pixel 0 has a set bit first; twice their numbers,
  // which are sixteenths of where their planes begin.
  void sort() {
    uint16_t sizes[kPatterns] = {};
    const uint8_t* const patterns = patterns_;
    const size_t positions = sorted_.positions;  // of whole bytes of channels
    for (size_t i = 0; i < positions; i += 8)
      for (size_t k = 0; k < 8; ++k) ++sizes[patterns[i + k]];
    uint16_t* next[kPatterns];
    uint16_t* at = lists_;
    const size_t classes = size_t{1} << (count_ - 1);
    int longest = 0;
    for (size_t number = 0; number < classes; ++number) {
      const size_t more = number << 1, less = more ^ (2 * classes - 1);
      next[less] = at;
      at += less_[number] = sizes[less];
      next[more] = at;
      at += more_[number] = sizes[more];
      longest = std::max({longest, less_[number], more_[number]});
    }
    longest_ = longest;
    for (size_t i = 0; i < positions; i += 8)
      for (size_t k = 0; k < 8; ++k) *next[patterns[i + k]]++ = static_cast<uint16_t>(2 * (i + k));
    count_ones(sizes);
  }

  // ones_[j]: how many positions have patterns with bit j.
  void count_ones(const uint16_t (&sizes)[kPatterns]) {
    constexpr uint16_t kBits[3][8] = {
        {0, 1, 0, 1, 0, 1, 0, 1}, {0, 0, 1, 1, 0, 0, 1, 1}, {0, 0, 0, 0, 1, 1, 1, 1}};
    uint16x8_t all = vdupq_n_u16(0), with[kMaxGroup - 3] = {all, all, all, all};
    for (size_t i = 0; i < kPatterns / 8; ++i) {
      const uint16x8_t eight = vld1q_u16(sizes + 8 * i);
      all = vaddq_u16(all, eight);
      for (int j = 0; j < kMaxGroup - 3; ++j) {
        if (i >> j & 1) with[j] = vaddq_u16(with[j], eight);
      }
    }
    for (int j = 0; j < kMaxGroup; ++j)
      ones_[j] = vaddvq_u16(j < 3 ? vmulq_u16(all, vld1q_u16(kBits[j])) : with[j - 3]);
  }

  // The sums of 128 or 256 filters and the group's pixels.
  template <size_t kVectors>
  void sum(size_t pair) {
    const uint8_t* planes = sorted_.planes.data() + pair * sorted_.pair_bytes;
    const size_t lanes = kVectors * kVectorLanes;
    if (longest_ > kMaxList) {
      count_long<kVectors>(planes);
      return combine_group(count_, wide_, ones_, lanes, sums_);
    }
    longest_ <= kShortList ? count<kVectors, kShortList>(planes) : count<kVectors, kMaxList>(planes);
    combine_group(count_, differences_, ones_, lanes, sums_);
  }

  // The differences of all classes.
  template <size_t kVectors, int kMost>
  void count(const uint8_t* planes) {
    const uint16_t* list = lists_;
    int8_t* to = differences_;
    for (size_t number = 0; number < size_t{1} << (count_ - 1); ++number, to += kPassLanes) {
      list = class_difference<kVectors, Positions::kSixteenths, kMost>(planes, list, less_[number],
                                                                       more_[number], to);
    }
  }

  // The same where a list is too long for eight bits.
  template <size_t kVectors>
  void count_long(const uint8_t* planes) {
    const uint16_t* list = lists_;
    for (size_t number = 0; number < size_t{1} << (count_ - 1); ++number) {
      int less = less_[number], more = more_[number];
      for (bool first = true; first || less + more > 0; first = false) {
        const int a = std::min(less, kMaxList), b = a < less ? 0 : std::min(more, kMaxList);
        list = class_difference<kVectors, Positions::kSixteenths, kMaxList>(planes, list, a, b, differences_);
        add_difference(differences_, kVectors * kVectorLanes, first, wide_ + number * kPassLanes);
        less -= a;
        more -= b;
      }
    }
  }

  template <Output kOutput>
  void write(size_t pair) const {
    bool starts = false, halves = false;
    for (int j = 0; j < count_; ++j) {
      starts |= start_[j] != nullptr;
      halves |= odd_[j] != 0;
    }
    if (plan_.clamps || halves) return write_all<kOutput, Extra::kAll>(pair);
    if (starts) return write_all<kOutput, Extra::kStart>(pair);
    write_all<kOutput, Extra::kNone>(pair);
  }

  template <Output kOutput, Extra kExtra>
  void write_all(size_t pair) const {
    const size_t first = pair * kPassLanes / kBlockChannels;
    const size_t end = std::min(plan_.blocks.size(), first + kPassLanes / kBlockChannels);
    for (size_t block = first; block < end; ++block) {
      const uint16_t* sums = sums_ + (block - first) * kBlockChannels;
      if (kOutput == Output::kBits || plan_.blocks[block].count == kBlockChannels) {
        write_block<kOutput, kExtra, false>(block, sums);
      } else {
        write_block<kOutput, kExtra, true>(block, sums);
      }
    }
  }

  // Eight filters of the group's pixels.
  template <Output kOutput, Extra kExtra, bool kPart>
  void write_block(size_t block, const uint16_t* sums) const {
    const Transform t = transform<kOutput>(plan_, block);
    uint8_t* to = output_ + first_ * plan_.out_pixel;
    for (int j = 0; j < count_; ++j, sums += kPassLanes, to += plan_.out_pixel) {
      uint16x8_t sum = vld1q_u16(sums);
      if (kExtra != Extra::kNone && start_[j]) {
        sum = vaddq_u16(sum, vld1q_u16(start_[j] + block * kBlockChannels));
      }
      const int odd = kExtra == Extra::kAll ? odd_[j] : 0;
      store_block<kOutput, kExtra, kPart>(plan_, t, sum, odd, block, to);
    }
  }

  const BconvPlan& plan_;
  const SortedPlan& sorted_;
  uint8_t* const output_;
  uint8_t* const patterns_;
  uint16_t* const lists_;
  size_t first_ = 0;
  int count_ = 0;
  // With zero padding: what the sums of a pixel at a border begin with, or null; the half that is left out of
  // it.
  const uint16_t* start_[kMaxGroup];
  int odd_[kMaxGroup];
  int less_[kMaxClasses], more_[kMaxClasses];  // positions of every class
  int longest_ = 0;                            // the most of them
  uint16_t ones_[kMaxGroup];                   // set bits of every window
  alignas(16) int8_t differences_[kMaxClasses * kPassLanes];
  alignas(16) int16_t wide_[kMaxClasses * kPassLanes];  // the same where a list is long
  alignas(16) uint16_t sums_[kMaxGroup * kPassLanes];
};

}  // namespace

void run_sorted_neon(BconvPlan& plan, SortedPlan& sorted, const uint8_t* input, uint8_t* output,
                     const Parallel& parallel) {
  run_sorted<NeonKernel>(plan, sorted, input, output, parallel);
}

}  // namespace larqnets

#endif
