// LceBconv2d by class sums: what it works out before it runs.
//
// Every channel and column of the window is a plane of bits, one for every row of the input and pixel of an
// output row. The weights of a group of g filters sort the K positions of the window (a plane and a row) into
// classes: positions whose g weights are equal belong to one class, and so do those whose weights are all
// opposite, which makes 2^(g-1) classes; bit j-1 of the number of a class is set where the weights of the
// filters 0 and j differ. With D the number of set bits among a class's positions at which filter 0 has
// weight +1, less those at which it has -1,
//   sum of filter j = (weights of filter j that are -1) + sum of D over classes, negative where bit j-1 is set.
// So bits are counted once for g filters, and in 128 pixels at a time.
//
// An image is cut into tiles of whole rows. A row of a plane takes row_bytes, its rows follow each other, and
// one row of the window further is so many bytes further. Where rows go in steps, every remainder has planes
// of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bconv_plan.h"

namespace larqnets {

constexpr size_t kVectorBytes = 16;  // 128 pixels, a bit each
constexpr size_t kPassVectors = 2;   // counted together where there are two
constexpr size_t kPassBytes = kPassVectors * kVectorBytes;
constexpr int kMaxGroup = 7;  // filters
constexpr int kMaxBundle = 32;
constexpr size_t kMaxClasses = size_t{1} << (kMaxGroup - 1);
constexpr int kMaxList = 127;   // positions of either sign that a class counts at once
constexpr int kShortList = 63;  // as before, where a group can do with one bit less

// The next positions of a class that has more than kMaxList of a sign.
struct Surplus {
  uint8_t number, less, more;  // the class's; how many positions are subtracted and added
};

// Filters next to each other whose bits are counted together.
struct FilterGroup {
  int channel, count;  // the first filter, and how many
  size_t sizes;        // into ClassPlan::sizes: of every class how many positions are subtracted and added
  size_t positions;    // into ClassPlan::positions: class after class those subtracted, then those added
  size_t surplus, surplus_end;  // whose positions follow in the same order
  bool is_short;                // no list is longer than kShortList
};

// Groups that end together at a multiple of eight filters, or at the last one.
struct Bundle {
  size_t group, group_end;
  int channel, count;
  size_t cost;  // in instructions, of a pass
};

struct ClassPlan {
  size_t row_bytes = 0, tile_rows = 0, image_tiles = 0;
  size_t channels = 0;         // that have planes: whole bytes
  std::vector<size_t> phases;  // remainders of the window's rows by the stride
  size_t plane_rows = 0, plane_bytes = 0, tile_bytes = 0;
  std::vector<Bundle> bundles;
  std::vector<FilterGroup> groups;
  std::vector<uint8_t> sizes;
  std::vector<uint16_t> positions;  // byte offsets in a tile
  std::vector<Surplus> surplus;
  std::vector<uint16_t> minus;  // per filter: weights that are -1
  Buffer planes;                // of all tiles of all images
  Buffer nowhere;               // a pixel of the output for every task, for lanes that are no pixel
  size_t nowhere_bytes = 0;

  // Cuts tiles; what an image is reckoned to take, in instructions. Infinite for groups, sums of more than 16
  // bits, a tile of one row that is too large, and planes that are together.
  double reckon(const BconvPlan& plan);
  // Lists the positions and makes `plan` copy its input. After reckon, where that was finite.
  void lay_out(BconvPlan& plan);
  size_t tiles(const BconvPlan& plan) const { return image_tiles * plan.images.batch; }
  size_t rows_of(const BconvPlan& plan, size_t tile) const;
  uint8_t* nowhere_of(size_t task) const {
    return const_cast<uint8_t*>(nowhere.data()) + task * nowhere_bytes;
  }
  // Bytes that are kept for lists and planes.
  size_t prepared_bytes() const;

 private:
  void cut_filters(const BconvPlan& plan);
  void list(BconvPlan& plan);
};

// Runs the whole op; `output` as in Bconv::run.
void run_classes_portable(BconvPlan& plan, ClassPlan& classes, const uint8_t* input, uint8_t* output,
                          const Parallel& parallel);
void run_classes_neon(BconvPlan& plan, ClassPlan& classes, const uint8_t* input, uint8_t* output,
                      const Parallel& parallel);

}  // namespace larqnets
