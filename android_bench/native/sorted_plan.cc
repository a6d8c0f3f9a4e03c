#include "sorted_plan.h"

#include <algorithm>
#include <limits>

namespace larqnets {
namespace {

constexpr size_t kMaxPositions = 32767;  // twice a position fits 16 bits

// Pixels of a group, by positions at least.
struct Cut {
  size_t positions;
  int pixels;
};
constexpr Cut kCuts[] = {{2000, 7}, {1100, 6}, {550, 5}, {0, 4}};

// Instructions of a group: to sort a position, by rows also per list, and beside; per two vectors of filters, and
// per vector alone, for a position, a class, and a pixel. Measured by us under qemu.
constexpr double kSort = 11, kSortByRows = 4.5, kJoin = 60, kGroup = 1500;
struct Cost {
  double position, class_sum, pixel;
};
constexpr Cost kPair = {9, 220, 900}, kSingle = {6.2, 130, 450};

double group_cost(const Cost& cost, size_t positions, int pixels) {
  return cost.position * static_cast<double>(positions) + cost.class_sum * (1 << (pixels - 1)) +
         cost.pixel * pixels;
}

}  // namespace

double SortedPlan::reckon(const BconvPlan& plan) {
  const BconvParams& p = plan.params;
  const size_t channel_bytes = (static_cast<size_t>(p.channels_in) + 7) / 8;
  positions = static_cast<size_t>(p.filter_h) * p.filter_w * channel_bytes * 8;
  if (p.groups != 1 || !plan.fits16() || positions > kMaxPositions)
    return std::numeric_limits<double>::infinity();
  most = std::find_if(std::begin(kCuts), std::end(kCuts), [&](const Cut& c) {
           return positions >= c.positions;
         })->pixels;
  const size_t vectors = (static_cast<size_t>(p.channels_out) + 127) / 128;
  pairs = (vectors + 1) / 2;
  pair_bytes = positions * kPassBytes;
  row_positions = positions / p.filter_h;
  rows = p.filter_h > 1 && p.filter_h <= kMaxSortedRows && p.stride_h == 1 && p.dilation_h == 1 &&
         groups(plan) * plan.images.out_w == plan.pixels;
  const int usual = static_cast<int>((plan.pixels + groups(plan) - 1) / groups(plan));  // pixels of a group
  const double sorting = rows ? kSortByRows * static_cast<double>(positions) + kJoin * (1 << usual)
                              : kSort * static_cast<double>(positions);
  const double all = kGroup + sorting +
                     static_cast<double>(vectors / 2) * group_cost(kPair, positions, usual) +
                     static_cast<double>(vectors % 2) * group_cost(kSingle, positions, usual);
  return all * static_cast<double>(groups(plan)) / plan.images.batch;
}

void SortedPlan::lay_out(BconvPlan& plan) {
  const BconvParams& p = plan.params;
  pieces.clear();
  for (size_t y = 0; y < size_t(p.filter_h); ++y) {
    for (size_t x = 0; x < size_t(p.filter_w); ++x) {
      const size_t tap = (y * p.dilation_h * plan.bordered_w + x * p.dilation_w) * plan.in_pixel;
      const size_t bytes = (static_cast<size_t>(p.channels_in) + 7) / 8;
      for (size_t at = 0; at < bytes; at += 16)
        pieces.push_back({tap + at, std::min<size_t>(16, bytes - at)});
    }
  }
  plan.list_windows(&windows);
  make_planes(plan);
  scratch_bytes =
      pattern_bytes() + list_bytes(positions) + (rows ? p.filter_h * list_bytes(row_positions) : 0);
  scratch.resize(p.threads * scratch_bytes);
  plan.make_copy(16);
}

void SortedPlan::make_planes(const BconvPlan& plan) {
  const BconvParams& p = plan.params;
  const size_t tap_words = plan.in_pixel / 4, channel_bytes = (static_cast<size_t>(p.channels_in) + 7) / 8;
  const size_t words = static_cast<size_t>(p.filter_h) * p.filter_w * tap_words;
  planes.resize(pairs * pair_bytes);
  for (size_t filter = 0; filter < size_t(p.channels_out); ++filter) {
    const size_t lane = filter % 256, at = filter / 256 * pair_bytes + lane / 128 * kVectorBytes + lane % 16;
    const int bit = static_cast<int>(lane % 128 / 16);
    for (size_t word = 0; word < words; ++word) {
      const size_t tap = word / tap_words * channel_bytes * 8;  // its first position
      for (uint32_t left = plan.weights(filter / 8, filter % 8, word); left != 0; left &= left - 1) {
        const size_t channel = word % tap_words * 32 + static_cast<size_t>(__builtin_ctz(left));
        const size_t piece = channel / 128, bytes = std::min<size_t>(16, channel_bytes - piece * 16);
        const size_t position = tap + piece * 128 + channel % 8 * bytes + channel / 8 % 16;
        planes.data()[at + position * kPassBytes] |= static_cast<uint8_t>(1 << bit);
      }
    }
  }
}

size_t SortedPlan::prepared_bytes() const {
  return planes.size() + scratch.size() + windows.size() * sizeof(windows[0]) + pieces.size() * sizeof(Piece);
}

}  // namespace larqnets
