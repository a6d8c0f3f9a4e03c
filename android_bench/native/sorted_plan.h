// LceBconv2d by class sums with filters in the lanes: what it works out before it runs.
//
// The same as class_plan.h with the parts of windows and filters exchanged, for few pixels and many filters:
// every position of the window is a plane of bits, one for each filter, made once; the bits of a group of
// pixels sort the positions into classes, in every run.
//
// Positions go by pieces of 128 channels of a tap, in a piece by bit of their byte, then by byte. Two vectors
// of 128 filters lie next to each other, position after position; filter 256 i + 128 v + 16 b + k is bit b of
// byte k of vector v of the i-th two, so that sums come out in the order of the filters.
//
// Where a group is a row of the output and windows go from row to row, a row of the input is sorted once, by the
// positions of one row of the window, and the lists of a window's rows are joined.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "class_plan.h"

namespace larqnets {

// Up to 16 bytes of a pixel, at one tap.
struct Piece {
  size_t source;  // from the first byte of the window
  size_t bytes;
};

constexpr int kMaxSortedRows = 7;  // of a window whose rows are sorted apart

struct SortedPlan {
  int most = 1;              // pixels of a group
  bool rows = false;         // the input can be sorted row by row
  size_t row_positions = 0;  // of one row of the window
  size_t positions = 0, pairs = 0, pair_bytes = 0;
  std::vector<Piece> pieces;
  std::vector<uint32_t> windows;  // per output pixel: byte at which its window starts
  Buffer planes;                  // pairs x positions x 32 bytes
  Buffer scratch;                 // per task: patterns of all positions, their lists, those of each row
  size_t scratch_bytes = 0;

  // What an image is reckoned to take, in instructions; infinite for groups, sums of more than 16 bits, and
  // more positions than a list can name.
  double reckon(const BconvPlan& plan);
  // For the geometry of `plan`, which is made to copy its input. After reckon, where that was finite.
  void lay_out(BconvPlan& plan);
  size_t prepared_bytes() const;
  // The groups of all pixels, as even as possible.
  size_t groups(const BconvPlan& plan) const { return (plan.pixels + most - 1) / most; }
  // Of the scratch: whole lines, with room for what is written too much.
  size_t pattern_bytes() const { return (positions + 2 * 64 - 1) / 64 * 64; }
  size_t list_bytes(size_t count) const { return (count * sizeof(uint16_t) + 2 * 64 - 1) / 64 * 64; }

 private:
  void make_planes(const BconvPlan& plan);
};

// Runs the whole op; `output` as in Bconv::run.
void run_sorted_portable(BconvPlan& plan, SortedPlan& sorted, const uint8_t* input, uint8_t* output,
                         const Parallel& parallel);
void run_sorted_neon(BconvPlan& plan, SortedPlan& sorted, const uint8_t* input, uint8_t* output,
                     const Parallel& parallel);

}  // namespace larqnets
