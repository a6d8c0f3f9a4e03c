#include "class_plan.h"

#include <algorithm>
#include <array>
#include <limits>
#include <set>

namespace larqnets {
namespace {

constexpr int64_t kMaxTileBytes = 65536;  // positions are 16-bit offsets
constexpr int64_t kCacheBytes = 32768;    // of a small core's first level
constexpr int64_t kMaxRun = 128;  // bytes of a tile's plane without its border, where a row is no longer
constexpr int64_t kMaxBeyond = 1 << 20;  // bytes read beyond the copy of the input
constexpr int64_t kMaxPlanes = 1 << 26;  // bytes of all planes

// How many filters are counted together: bundles of so many filters in so many groups, by the depth K at
// least.
struct Cut {
  int64_t depth;
  int filters, groups;
};
constexpr Cut kCuts[] = {{3400, 32, 5}, {1600, 24, 4}, {750, 16, 3}, {0, 8, 2}};

// Instructions per pass of two vectors and of one: per position, per class, per filter, and beside; of planes, per
// byte, per row, and per 32 channels of 16 pixels. Where there are few positions their lists are so short that it
// takes kShort times as many. Measured by us under qemu.
struct Cost {
  double position, class_sum, filter, pass;
};
constexpr Cost kPair = {6.6, 234, 477, 10400}, kSingle = {5.2, 98, 338, 5200};
constexpr double kPlaneByte = 3.2, kPlaneRow = 11.3, kPlaneWord = 53, kShort = 1.08;
constexpr int64_t kFewPositions = 256;
constexpr double kBetter = 0.97;

const Cut& cut_of(int64_t depth) {
  return *std::find_if(std::begin(kCuts), std::end(kCuts),
                       [&](const Cut& cut) { return depth >= cut.depth; });
}

double group_cost(const Cost& cost, int64_t depth, int filters) {
  return cost.position * static_cast<double>(depth) + cost.class_sum * (1 << (filters - 1)) +
         cost.filter * filters;
}

// Passes of two vectors and of one over a tile of `bytes` per plane.
double tile_cost(double pair, double single, int64_t bytes) {
  const int64_t vectors = (bytes + kVectorBytes - 1) / kVectorBytes;
  return static_cast<double>(vectors / 2) * pair + static_cast<double>(vectors % 2) * single;
}

}  // namespace

size_t ClassPlan::rows_of(const BconvPlan& plan, size_t tile) const {
  return std::min(tile_rows, plan.images.out_h - tile % image_tiles * tile_rows);
}

size_t ClassPlan::prepared_bytes() const {
  return positions.size() * sizeof(positions[0]) + sizes.size() + surplus.size() * sizeof(Surplus) +
         groups.size() * sizeof(FilterGroup) + bundles.size() * sizeof(Bundle) +
         minus.size() * sizeof(minus[0]) + planes.size() + nowhere.size();
}

// Chooses the rows of a tile: few vectors, few single ones, few rows that are made twice, and near 32 KiB.
double ClassPlan::reckon(const BconvPlan& plan) {
  const BconvParams& p = plan.params;
  constexpr double kNever = std::numeric_limits<double>::infinity();
  if (p.groups != 1 || !plan.fits16()) return kNever;
  if (int64_t{p.stride_w} * static_cast<int64_t>(plan.in_pixel) > kMaxBeyond / 8) return kNever;
  std::set<size_t> remainders;
  for (int64_t y = 0; y < p.filter_h; ++y)
    remainders.insert(static_cast<size_t>(y * p.dilation_h % p.stride_h));
  phases.assign(remainders.begin(), remainders.end());
  channels = (static_cast<size_t>(p.channels_in) + 7) / 8 * 8;
  row_bytes = (static_cast<size_t>(plan.images.out_w) + 7) / 8;
  const int64_t height = plan.images.out_h, row = static_cast<int64_t>(row_bytes);
  const int64_t border =
      (int64_t{p.filter_h} - 1) * p.dilation_h / p.stride_h;  // rows more than a tile makes
  const int64_t all_planes = static_cast<int64_t>(phases.size() * channels) * p.filter_w;
  const Cut& cut = cut_of(plan.depth);
  const int filters = (cut.filters + cut.groups - 1) / cut.groups;
  const double groups_all = static_cast<double>(p.channels_out) / filters;
  const double pair = groups_all * group_cost(kPair, plan.depth, filters) + kPair.pass;
  const double single = groups_all * group_cost(kSingle, plan.depth, filters) + kSingle.pass;
  const double plane_row =
      static_cast<double>(all_planes) * (kPlaneByte * static_cast<double>(row) + kPlaneRow) +
      static_cast<double>(plan.in_pixel / 4 * row) / 2 * kPlaneWord;
  double least = kNever;
  for (int64_t rows = 1; rows <= height && (rows == 1 || rows * row <= kMaxRun); ++rows) {
    // Rows are stored in steps of 8, 4, 2 or 1 bytes and spill beyond their end, where the next row goes.
    const int64_t bytes = (rows + border) * row + 8;
    if (border * row > kMaxTileBytes || bytes * all_planes > kMaxTileBytes) break;
    const int64_t whole = height / rows, rest = height % rows;
    double cost = static_cast<double>(whole) * tile_cost(pair, single, rows * row) +
                  tile_cost(pair, single, rest * row) +
                  static_cast<double>(height + (whole + (rest > 0)) * border) * plane_row;
    if (bytes * all_planes > kCacheBytes) cost *= 1.1;
    if (cost >= kBetter * least) continue;  // threads share many tiles more evenly than few
    least = cost;
    tile_rows = static_cast<size_t>(rows);
    plane_rows = static_cast<size_t>(rows + border);
    plane_bytes = static_cast<size_t>(bytes);
  }
  if (least == kNever) return kNever;
  if (plan.depth < kFewPositions) least *= kShort;
  image_tiles = (plan.images.out_h + tile_rows - 1) / tile_rows;
  tile_bytes = (static_cast<size_t>(all_planes) * plane_bytes + 63) / 64 * 64;
  if (static_cast<int64_t>(tiles(plan) * tile_bytes) > kMaxPlanes) return kNever;
  return least;
}

// Cuts are made where two to four threads share the filters, then every kCuts.filters, then evenly into
// groups.
void ClassPlan::cut_filters(const BconvPlan& plan) {
  const int all = plan.params.channels_out;
  const Cut& cut = cut_of(plan.depth);
  std::set<int> ends = {all};
  for (int threads = 2; threads <= 4; ++threads) {
    for (int i = 1; i < threads; ++i) ends.insert(std::min(all, (all / threads * i + 4) / 8 * 8));
  }
  groups.clear();
  bundles.clear();
  int channel = 0;
  for (const int end : ends) {
    while (channel < end) {
      const int count = std::min(cut.filters, end - channel);
      const int parts =
          std::max((count * cut.groups + cut.filters / 2) / cut.filters, (count + kMaxGroup - 1) / kMaxGroup);
      Bundle bundle = {groups.size(), groups.size() + parts, channel, count, 0};
      for (int i = 0; i < parts; ++i) {
        const int first = count * i / parts, size = count * (i + 1) / parts - first;
        groups.push_back({channel + first, size, 0, 0, 0, 0, true});
        bundle.cost += static_cast<size_t>(group_cost(kPair, plan.depth, size));
      }
      bundles.push_back(bundle);
      channel += count;
    }
  }
}

void ClassPlan::lay_out(BconvPlan& plan) {
  cut_filters(plan);
  list(plan);
  planes.resize(tiles(plan) * tile_bytes + kPassBytes);
  nowhere_bytes = (plan.out_pixel + 63) / 64 * 64;
  nowhere.resize(plan.params.threads * nowhere_bytes);
  plan.make_copy(8 * size_t(plan.params.stride_w) * plan.in_pixel);
}

namespace {

// The positions of one group, sorted: [class][0] those that are subtracted, [class][1] those that are added.
using Lists = std::array<std::array<std::vector<uint16_t>, 2>, kMaxClasses>;

// The weights of a group's filters at one word of the window's depth.
struct Words {
  uint32_t first;                  // of the first filter
  uint32_t differ[kMaxGroup - 1];  // of the others, set where they differ from the first's
};

void sort_word(const Words& words, int filters, uint32_t bits, size_t offset, size_t plane_bytes,
               Lists* lists) {
  for (uint32_t bit = 0; bit < bits; ++bit, offset += plane_bytes) {
    size_t number = 0;
    for (int j = 0; j < filters - 1; ++j) number |= static_cast<size_t>(words.differ[j] >> bit & 1) << j;
    (*lists)[number][(words.first >> bit & 1) ^ 1].push_back(static_cast<uint16_t>(offset));
  }
}

// Writes kMaxList positions of either sign of a class, or what is left of them from the round-th time on.
std::array<uint8_t, 2> take(const std::array<std::vector<uint16_t>, 2>& lists, size_t round,
                            std::vector<uint16_t>* to) {
  std::array<uint8_t, 2> counts;
  for (int sign = 0; sign < 2; ++sign) {
    const std::vector<uint16_t>& list = lists[sign];
    const size_t begin = std::min(list.size(), round * kMaxList),
                 end = std::min(list.size(), (round + 1) * kMaxList);
    to->insert(to->end(), list.data() + begin, list.data() + end);
    counts[sign] = static_cast<uint8_t>(end - begin);
  }
  return counts;
}

// Writes the lists of a group behind those of the groups before it.
void take_all(const Lists& lists, ClassPlan* plan, FilterGroup* group) {
  const size_t classes = size_t{1} << (group->count - 1);
  group->sizes = plan->sizes.size();
  group->positions = plan->positions.size();
  group->surplus = plan->surplus.size();
  for (size_t number = 0; number < classes; ++number) {
    const auto counts = take(lists[number], 0, &plan->positions);
    plan->sizes.insert(plan->sizes.end(), counts.begin(), counts.end());
    group->is_short &= std::max(counts[0], counts[1]) <= kShortList;
  }
  for (size_t number = 0; number < classes; ++number) {
    const size_t most = std::max(lists[number][0].size(), lists[number][1].size());
    for (size_t round = 1; round * kMaxList < most; ++round) {
      const auto counts = take(lists[number], round, &plan->positions);
      plan->surplus.push_back({static_cast<uint8_t>(number), counts[0], counts[1]});
    }
  }
  group->surplus_end = plan->surplus.size();
}

}  // namespace

void ClassPlan::list(BconvPlan& plan) {
  const BconvParams& p = plan.params;
  const size_t tap_words = plan.in_pixel / 4;
  sizes.clear();
  positions.clear();
  surplus.clear();
  minus.assign(p.channels_out, 0);
  positions.reserve(groups.size() * static_cast<size_t>(plan.depth));
  Lists lists;
  for (FilterGroup& group : groups) {
    for (auto& list : lists) list[0].clear(), list[1].clear();
    for (size_t y = 0; y < size_t(p.filter_h); ++y) {
      const size_t row = y * p.dilation_h;
      const size_t phase = std::find(phases.begin(), phases.end(), row % p.stride_h) - phases.begin();
      for (size_t x = 0; x < size_t(p.filter_w); ++x) {
        for (size_t word = 0; word < tap_words; ++word) {
          Words words = {};
          for (int j = 0; j < group.count; ++j) {
            const size_t channel = static_cast<size_t>(group.channel + j);
            const uint32_t w =
                plan.weights(channel / 8, channel % 8, (y * p.filter_w + x) * tap_words + word);
            minus[channel] = static_cast<uint16_t>(minus[channel] + __builtin_popcount(w));
            if (j == 0) words.first = w;
            if (j > 0) words.differ[j - 1] = w ^ words.first;
          }
          const size_t plane = (phase * p.filter_w + x) * channels + word * 32;
          const uint32_t bits = static_cast<uint32_t>(std::min<size_t>(32, p.channels_in - word * 32));
          sort_word(words, group.count, bits, plane * plane_bytes + row / p.stride_h * row_bytes, plane_bytes,
                    &lists);
        }
      }
    }
    take_all(lists, this, &group);
  }
}

}  // namespace larqnets
