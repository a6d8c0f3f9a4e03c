// What LceBconv2d works out before it runs: packed filter, copy plan, start values. Shared by the fast paths.
//
// The op is computed in tiles: up to 8 output pixels, gathered once, times blocks of 8 output channels. The
// depth of a window (its bits, one tap after the other) is cut into records of 128 bits:
//   filter   per block: per record 8 channels x 16 bytes; a rest of 64 or 96 bits, then of 32 bits, densely:
//            bytes 0..63 the first 64 bits of 8 channels, bytes 64..95 the last 32 bits of 8 channels
//   tile     per record: pixels x 16 bytes; in the last record a rest of 32 bits lies at byte 8
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels.h"
#include "reference.h"

namespace larqnets {

constexpr int kTilePixels = 8;
constexpr int kBlockChannels = 8;
constexpr size_t kRecordBytes = 16;  // of one pixel or channel
constexpr size_t kBlockRecordBytes = kBlockChannels * kRecordBytes;
constexpr int64_t kMaxDepth16 = 65534;  // sums and their thresholds fit 16 bits

struct alignas(64) CacheLine {
  uint8_t bytes[64];
};
// Memory that starts at a cache line and may be read 256 bytes past its end: the kernels load ahead.
class Buffer {
 public:
  void resize(size_t bytes) { lines_.assign(bytes / 64 + 5, CacheLine{}); }
  size_t size() const { return lines_.size() * sizeof(CacheLine); }
  uint8_t* data() { return lines_.data()->bytes; }
  const uint8_t* data() const { return lines_.data()->bytes; }

 private:
  std::vector<CacheLine> lines_;
};

// Up to eight output channels of one group.
struct Block {
  int group;
  int channel;  // the first one
  int count;
};

// `source` bytes from the start of a window go to byte `within` of record `record / 16` of the pixel.
struct Move {
  uint32_t source, record, within;
};

struct BconvPlan {
  BconvParams params;

  // From prepare.
  int64_t depth = 0;   // K: products per output, padding bits of words not counted
  size_t records = 0;  // whole ones
  bool rest64 = false, rest32 = false;
  size_t in_pixel = 0, out_pixel = 0;  // bytes
  std::vector<Block> blocks;
  size_t block_bytes = 0;
  Buffer filter;                   // blocks x block_bytes
  std::vector<int32_t> tap_minus;  // per tap, per block: how many weights of the 8 channels are -1
  // Per block 8 values, also of channels that do not exist.
  std::vector<float> affine;  // per block: 8 multipliers m, then 8 biases b
  std::vector<int32_t> thresholds;
  std::vector<uint16_t> limits, odd_limits;  // the same for 16-bit sums: bit = sum >= limit
  bool clamps = false;
  int32_t clamp_min = 0, clamp_max = 0;  // of twice the sum
  bool whole_bytes = true;               // bit-packed output: every block begins at a byte

  // From resize.
  reference::Images images = {};
  size_t pixels = 0;    // of the output, all images
  bool copies = false;  // the input is copied into `bordered` first
  size_t bordered_h = 0, bordered_w = 0;
  Buffer bordered;
  std::vector<std::vector<Move>> moves16, moves8, moves4;  // per group
  std::vector<uint32_t> windows;  // per output pixel: byte at which its window starts
  // Zero padding: a sum starts at Cin * outside / 2 - (weights -1 outside); a class is a set of taps outside,
  // class 0 the empty one. Not used (empty) when nothing is padded with zeros.
  std::vector<uint32_t> classes;   // per output pixel
  std::vector<int32_t> starts;     // per class, per block 8 values
  std::vector<uint16_t> starts16;  // the same for 16-bit sums
  std::vector<uint8_t> odd;        // per class: the half that was left out of the start
  Buffer tiles;                    // scratch of params.threads tasks
  size_t tile_bytes = 0;

  bool fits16() const { return depth <= kMaxDepth16; }
  size_t all_records() const { return records + (rest64 || rest32); }

  void pack(const uint8_t* packed, const float* scale, const float* offset, const int32_t* limit);
  // Where the windows lie; then either lay_out_tiles, or a ClassPlan or SortedPlan, which need the copy.
  void place(const reference::Images& geometry, int pad_bottom, int pad_right);
  // What an image is reckoned to take with tiles, in instructions.
  double reckon() const;
  void lay_out_tiles();
  void drop_tiles();
  void make_copy(size_t bytes_beyond);
  void list_windows(std::vector<uint32_t>* starts) const;
  void add_borders(const uint8_t* input);
  // Word `word` of the weights of channel `lane` of a block, as it was given.
  uint32_t weights(size_t block, size_t lane, size_t word) const;

 private:
  void fold(const float* scale, const float* offset, const int32_t* limit);
  void plan_moves();
  void plan_classes();
};

// The parts of the op that can run at the same time: strips of whole tiles, and in small images also the
// blocks.
struct Split {
  int strips, parts;
};
Split split(size_t tiles, size_t blocks, int threads);

// Runs the whole op; `output` as in Bconv::run.
void run_portable(BconvPlan& plan, const uint8_t* input, uint8_t* output, const Parallel& parallel);
void run_neon(BconvPlan& plan, const uint8_t* input, uint8_t* output, const Parallel& parallel);

}  // namespace larqnets
