// What LarqnetsConv2dInt8 works out before it runs: packed filter, how windows are gathered, factors. Shared
// by the fast paths.
//
// The op is computed in tiles of 8 output pixels, gathered once, times blocks of 8 output channels. A window is
// taken densely, row after row of its filter_w * channels_in values, and padded once at its end to steps of 8
// values: 147 values of 7 x 7 x 3 take 19 steps. A tile is, per step, 8 pixels x 8 values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bconv_plan.h"
#include "conv8_scale.h"
#include "kernels.h"
#include "reference.h"

namespace larqnets {

constexpr size_t kStepValues = 8;
constexpr size_t kStepBytes = kTilePixels * kStepValues;  // of a tile

// The filter of a block, per step:
enum class Filter8 {
  kPairs,    // 8 channels x 8 values
  kQuads,    // values 0..3 of 8 channels, then values 4..7 of them
  kDoubled,  // 8 channels x 8 values, each twice; the steps of channels 0..3 first, then those of channels 4..7
};

struct Conv8Plan {
  Conv8Params params;

  // From prepare. Per block 8 values, also of channels that do not exist.
  Filter8 order = Filter8::kPairs;
  size_t depth = 0, steps = 0;  // values of a window
  size_t blocks = 0, block_bytes = 0;
  Buffer filter;
  std::vector<int32_t> starts;  // bias less input zero point times the sum of the weights
  std::vector<Scale8> scales;
  std::vector<int32_t> significands, lefts, rights;  // the same in parts, rights as negative shifts
  bool all_shrink = true;                            // every factor is below one half
  Range8 range = {-128, 127};

  // From resize.
  reference::Images images = {};
  size_t pixels = 0;  // of the output, all images
  size_t bordered_h = 0, bordered_w = 0;
  Buffer bordered;                // the input among its zero points, for moves of 16 bytes
  std::vector<uint32_t> windows;  // per output pixel: byte at which its window starts
  std::vector<Move> moves;        // 16 bytes each, `record` not used; one may write into the next one's place
  Buffer scratch;                 // of params.threads tasks: 8 dense windows, and a tile
  size_t window_bytes = 0, tile_bytes = 0;

  // scale: per channel; packed as `filter_order` says.
  void pack(const int8_t* weights, const int32_t* bias, const std::vector<Scale8>& scale,
            Filter8 filter_order);
  void lay_out(const reference::Images& geometry, int pad_bottom, int pad_right);
  void add_borders(const uint8_t* input);
  size_t scratch_bytes() const { return kTilePixels * window_bytes + tile_bytes; }
};

// Runs the whole op; `output` as in Conv8::run.
void run_portable(Conv8Plan& plan, const uint8_t* input, uint8_t* output, const Parallel& parallel);
void run_neon(Conv8Plan& plan, const uint8_t* input, uint8_t* output, const Parallel& parallel);
// The order that this processor's kernel reads: of SMMLA, SDOT, or SMULL, the first that it has.
Filter8 neon_order();

}  // namespace larqnets
