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
constexpr int kMaxFew = 12;  // more lists that are too long are summed in sixteen bits

// Positions sorted by their patterns. Lists follow each other class after class, in each those at which pixel 0 has
// a clear bit first; an entry is twice a position, which is a sixteenth of where its plane begins.
struct Lists {
  uint16_t sizes[kPatterns];
  uint16_t* ends[kPatterns];
  uint16_t ones[kMaxGroup];  // how many positions have patterns with bit j
};

// The patterns of a class of a group of `count` pixels.
struct Class {
  size_t less, more;
};
inline Class class_of(size_t number, int count) {
  const size_t more = number << 1;
  return {more ^ ((size_t{2} << (count - 1)) - 1), more};
}

void count_ones(Lists* lists) {
  constexpr uint16_t kBits[3][8] = {
      {0, 1, 0, 1, 0, 1, 0, 1}, {0, 0, 1, 1, 0, 0, 1, 1}, {0, 0, 0, 0, 1, 1, 1, 1}};
  uint16x8_t all = vdupq_n_u16(0), with[kMaxGroup - 3] = {all, all, all, all};
  for (size_t i = 0; i < kPatterns / 8; ++i) {
    const uint16x8_t eight = vld1q_u16(lists->sizes + 8 * i);
    all = vaddq_u16(all, eight);
    for (int j = 0; j < kMaxGroup - 3; ++j) {
      if (i >> j & 1) with[j] = vaddq_u16(with[j], eight);
    }
  }
  for (int j = 0; j < kMaxGroup; ++j)
    lists->ones[j] = vaddvq_u16(j < 3 ? vmulq_u16(all, vld1q_u16(kBits[j])) : with[j - 3]);
}

// Sorts whole bytes of channels into memory from `to` on.
void sort(const uint8_t* patterns, size_t positions, int count, uint16_t* to, Lists* lists) {
  std::memset(lists->sizes, 0, sizeof(lists->sizes));
  for (size_t i = 0; i < positions; i += 8)
    for (size_t k = 0; k < 8; ++k) ++lists->sizes[patterns[i + k]];
  for (size_t number = 0; number < size_t{1} << (count - 1); ++number) {
    const Class c = class_of(number, count);
    lists->ends[c.less] = to;
    to += lists->sizes[c.less];
    lists->ends[c.more] = to;
    to += lists->sizes[c.more];
  }
  for (size_t i = 0; i < positions; i += 8)
    for (size_t k = 0; k < 8; ++k) *lists->ends[patterns[i + k]]++ = static_cast<uint16_t>(2 * (i + k));
  count_ones(lists);
}

// The same where all bits of all positions are clear, as outside of the image.
void list_clear(size_t positions, uint16_t* to, Lists* lists) {
  constexpr uint16_t kFirst[8] = {0, 2, 4, 6, 8, 10, 12, 14};
  uint16x8_t entries = vld1q_u16(kFirst);
  for (size_t i = 0; i < positions; i += 8, entries = vaddq_u16(entries, vdupq_n_u16(16)))
    vst1q_u16(to + i, entries);
  std::memset(lists->sizes, 0, sizeof(lists->sizes));
  std::memset(lists->ones, 0, sizeof(lists->ones));
  lists->sizes[0] = static_cast<uint16_t>(positions);
  for (uint16_t*& end : lists->ends) end = to + positions;
}

class NeonKernel {
 public:
  NeonKernel(const BconvPlan& plan, const SortedPlan& sorted, uint8_t* output, uint8_t* scratch)
      : plan_(plan), sorted_(sorted), output_(output), patterns_(scratch) {
    scratch += sorted.pattern_bytes();
    lists_ = reinterpret_cast<uint16_t*>(scratch);
    scratch += sorted.list_bytes(sorted.positions);
    for (int i = 0; sorted.rows && i < plan.params.filter_h;
         ++i, scratch += sorted.list_bytes(sorted.row_positions))
      row_lists_[i] = reinterpret_cast<uint16_t*>(scratch);
  }

  // The output of pixels [first, first + count) and twice 128 filters each of [pair, pair_end).
  void run(size_t first, int count, size_t pair, size_t pair_end) {
    first_ = first;
    count_ = count;
    for (int j = 0; j < count; ++j) {
      const size_t border = plan_.classes.empty() ? 0 : plan_.classes[first + j];
      start_[j] =
          border == 0 ? nullptr : plan_.starts16.data() + border * plan_.blocks.size() * kBlockChannels;
      odd_[j] = border == 0 ? 0 : plan_.odd[border];
    }
    sorted_.rows ? sort_rows() : sort_all();
    const size_t filters = plan_.params.channels_out;
    for (; pair < pair_end; ++pair) {
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
  // Of every position of the first `pieces` a byte: bit j is that of pixel j, `skip` bytes further in the input.
  void make_patterns(size_t pieces, size_t skip) {
    const uint8_t* window[8];
    for (int j = 0; j < 8; ++j)
      window[j] = plan_.bordered.data() + sorted_.windows[first_ + std::min(j, count_ - 1)] + skip;
    const uint8x16_t pixels = vdupq_n_u8(static_cast<uint8_t>((1 << count_) - 1));
    uint8_t* to = patterns_;
    for (size_t i = 0; i < pieces; ++i) {
      const Piece& piece = sorted_.pieces[i];
      uint8x16_t v[8];
      for (int j = 0; j < 8; ++j) v[j] = vld1q_u8(window[j] + piece.source);
      transpose_bits(v);
      for (int bit = 0; bit < 8; ++bit, to += piece.bytes)
        vst1q_u8(to, vandq_u8(v[bit], pixels));  // what is too much is overwritten
    }
  }

  void sort_all() {
    make_patterns(sorted_.pieces.size(), 0);
    sort(patterns_, sorted_.positions, count_, lists_, &all_);
    longest_ = 0;
    for (size_t number = 0; number < size_t{1} << (count_ - 1); ++number) {
      const Class c = class_of(number, count_);
      set_class(number, all_.sizes[c.less], all_.sizes[c.more]);
    }
    std::memcpy(ones_, all_.ones, sizeof(ones_));
  }

  void set_class(size_t number, int less, int more) {
    less_[number] = less;
    more_[number] = more;
    longest_ = std::max({longest_, less, more});
  }

  // Sorts the rows of the input that the group before this one did not have, and joins the lists of all.
  void sort_rows() {
    const size_t height = plan_.params.filter_h, group = first_ / plan_.images.out_w;
    const size_t image = group / plan_.images.out_h,
                 top = image * plan_.bordered_h + group % plan_.images.out_h;
    const size_t row_bytes = plan_.bordered_w * plan_.in_pixel;
    std::memset(ones_, 0, sizeof(ones_));
    const Lists* rows[kMaxSortedRows];
    for (size_t y = 0; y < height; ++y) {
      const size_t place = (top + y) % height;
      Lists& row = row_[place];
      if (row_number_[place] != top + y) {
        sort_row(group % plan_.images.out_h + y, y * row_bytes, row_lists_[place], &row);
        row_number_[place] = top + y;
      }
      for (int j = 0; j < count_; ++j) ones_[j] = static_cast<uint16_t>(ones_[j] + row.ones[j]);
      rows[y] = &row;
    }
    longest_ = 0;
    uint16_t* to = lists_;
    for (size_t number = 0; number < size_t{1} << (count_ - 1); ++number) {
      const Class c = class_of(number, count_);
      uint16_t* const less = to;
      to = join(rows, c.less, to);
      uint16_t* const more = to;
      to = join(rows, c.more, to);
      set_class(number, static_cast<int>(more - less), static_cast<int>(to - more));
    }
  }

  // The row of an image with its borders, `skip` bytes below the group's windows.
  void sort_row(size_t row, size_t skip, uint16_t* to, Lists* lists) {
    const reference::Images& image = plan_.images;
    if (row < size_t(image.pad_top) || row >= size_t(image.pad_top + image.in_h))
      return list_clear(sorted_.row_positions, to, lists);
    make_patterns(sorted_.pieces.size() / plan_.params.filter_h, skip);
    sort(patterns_, sorted_.row_positions, count_, to, lists);
  }

  // Appends the positions of a pattern in all rows of the window; what is copied too much is overwritten.
  uint16_t* join(const Lists* const* rows, size_t pattern, uint16_t* to) const {
    const uint16x8_t step = vdupq_n_u16(static_cast<uint16_t>(2 * sorted_.row_positions));
    uint16x8_t further = vdupq_n_u16(0);
    for (int y = 0; y < plan_.params.filter_h; ++y, further = vaddq_u16(further, step)) {
      const size_t size = rows[y]->sizes[pattern];
      const uint16_t* from = rows[y]->ends[pattern] - size;
      for (size_t i = 0; i < size; i += 16) {
        vst1q_u16(to + i, vaddq_u16(vld1q_u16(from + i), further));
        vst1q_u16(to + i + 8, vaddq_u16(vld1q_u16(from + i + 8), further));
      }
      to += size;
    }
    return to;
  }

  // The sums of 128 or 256 filters and the group's pixels.
  template <size_t kVectors>
  void sum(size_t pair) {
    const uint8_t* planes = sorted_.planes.data() + pair * sorted_.pair_bytes;
    const size_t lanes = kVectors * kVectorLanes;
    if (longest_ > kMaxList)
      return few_are_long() ? sum_few_long<kVectors>(planes) : sum_long<kVectors>(planes);
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

  // Whether classes with a list that is too long for eight bits are at most so many times kMaxList longer.
  bool few_are_long() const {
    const auto times = [](int size) { return std::max(0, (size - 1) / kMaxList); };
    int all = 0;
    for (size_t number = 0; number < size_t{1} << (count_ - 1); ++number)
      all += times(less_[number]) + times(more_[number]);
    return all <= kMaxFew;
  }

  // Calls piece(class, whether it is its first, positions subtracted, positions added) for up to kMaxList of either,
  // in the order of the lists.
  template <class Piece>
  void each_piece(Piece piece) const {
    for (size_t number = 0; number < size_t{1} << (count_ - 1); ++number) {
      int less = less_[number], more = more_[number];
      for (bool first = true; first || less + more > 0; first = false) {
        const int a = std::min(less, kMaxList), b = a < less ? 0 : std::min(more, kMaxList);
        piece(number, first, a, b);
        less -= a;
        more -= b;
      }
    }
  }

  // The sums where a few lists are too long: what is more of them is added at last.
  template <size_t kVectors>
  void sum_few_long(const uint8_t* planes) {
    const uint16_t* list = lists_;
    size_t numbers[kMaxFew], few = 0;
    each_piece([&](size_t number, bool first, int less, int more) {
      int8_t* to = differences_ + number * kPassLanes;
      if (!first) to = few_ + few * kPassLanes, numbers[few++] = number;
      list = class_difference<kVectors, Positions::kSixteenths, kMaxList>(planes, list, less, more, to);
    });
    const size_t lanes = kVectors * kVectorLanes;
    combine_group(count_, differences_, ones_, lanes, sums_);
    for (size_t i = 0; i < few; ++i) add_surplus(count_, numbers[i], few_ + i * kPassLanes, lanes, sums_);
  }

  // The same where many are.
  template <size_t kVectors>
  void sum_long(const uint8_t* planes) {
    const uint16_t* list = lists_;
    each_piece([&](size_t number, bool first, int less, int more) {
      list = class_difference<kVectors, Positions::kSixteenths, kMaxList>(planes, list, less, more,
                                                                          differences_);
      add_difference(differences_, kVectors * kVectorLanes, first, wide_ + number * kPassLanes);
    });
    combine_group(count_, wide_, ones_, kVectors * kVectorLanes, sums_);
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
  uint16_t* lists_;
  uint16_t* row_lists_[kMaxSortedRows] = {};
  size_t row_number_[kMaxSortedRows] = {SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
  Lists row_
      [kMaxSortedRows];  // of rows of the bordered input, at their number's remainder by the window's height
  Lists all_;            // where rows are not sorted apart
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
  alignas(16) int16_t wide_[kMaxClasses * kPassLanes];  // the same where many lists are long
  alignas(16) int8_t few_[kMaxFew * kPassLanes];        // what is more where few are
  alignas(16) uint16_t sums_[kMaxGroup * kPassLanes];
};

}  // namespace

void run_sorted_neon(BconvPlan& plan, SortedPlan& sorted, const uint8_t* input, uint8_t* output,
                     const Parallel& parallel) {
  run_sorted<NeonKernel>(plan, sorted, input, output, parallel);
}

}  // namespace larqnets

#endif
