// The walk over tiles and blocks, the gather of a tile, and the plain end of a sum. `Kernel` supplies the
// inner loops.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "bconv_plan.h"

namespace larqnets {

// One task: pixels [first, last) of the output, blocks [block, block_end).
struct Part {
  const uint8_t* source;  // where windows start: the input or its bordered copy
  uint8_t* output;
  uint8_t* tile;  // scratch
  size_t block, block_end;
};

template <int kPixels, size_t kSize>
inline void copy(const std::vector<Move>& moves, const uint8_t* const (&window)[kPixels], uint8_t* tile) {
  for (const Move& move : moves) {
    uint8_t* to = tile + size_t{move.record} * kPixels + move.within;
    for (int p = 0; p < kPixels; ++p) std::memcpy(to + p * kRecordBytes, window[p] + move.source, kSize);
  }
}

// Copies the windows of kPixels pixels into the tile, record by record.
template <int kPixels>
void gather(const BconvPlan& plan, const Part& part, size_t pixel, int group) {
  const uint8_t* window[kPixels];
  for (int p = 0; p < kPixels; ++p) window[p] = part.source + plan.windows[pixel + p];
  copy<kPixels, 16>(plan.moves16[group], window, part.tile);
  copy<kPixels, 8>(plan.moves8[group], window, part.tile);
  copy<kPixels, 4>(plan.moves4[group], window, part.tile);
}

inline int8_t round_to_int8(float y) {
  if (std::isnan(y)) return 0;
  return static_cast<int8_t>(std::clamp(std::round(y), -128.0f, 127.0f));
}

// Writes the channels of one block and pixel; sums holds how many products are -1, less what the class adds.
inline void finish(const BconvPlan& plan, uint8_t* output, size_t pixel, size_t block, const uint32_t* sums) {
  const Block& channels = plan.blocks[block];
  const size_t lane0 = block * kBlockChannels, lanes = plan.blocks.size() * kBlockChannels;
  const size_t id = plan.classes.empty() ? 0 : plan.classes[pixel];
  const int32_t* start = plan.starts.empty() ? nullptr : plan.starts.data() + id * lanes + lane0;
  const int odd = plan.odd.empty() ? 0 : plan.odd[id];
  uint8_t* out = output + pixel * plan.out_pixel;
  for (int i = 0; i < channels.count; ++i) {
    const int64_t sum = static_cast<int64_t>(sums[i]) + (start ? start[i] : 0);
    int64_t twice = 2 * sum + odd;
    const size_t c = channels.channel + i;
    if (plan.params.output == Output::kBits) {
      if (c % 8 == 0) out[c / 8] = 0;
      out[c / 8] |= static_cast<uint8_t>((twice > 2 * int64_t{plan.thresholds[lane0 + i]}) << (c % 8));
      continue;
    }
    if (plan.clamps) twice = std::clamp<int64_t>(twice, plan.clamp_min, plan.clamp_max);
    const float* m = plan.affine.data() + 2 * lane0 + i;
    const float product = static_cast<float>(twice) * m[0];
    const float result = product + m[kBlockChannels];
    if (plan.params.output == Output::kFloat) {
      std::memcpy(out + c * 4, &result, 4);
    } else {
      out[c] = static_cast<uint8_t>(round_to_int8(result));
    }
  }
}

// The bytes of the last word that hold no channel.
inline void clear_rest(const BconvPlan& plan, uint8_t* output, size_t pixel) {
  const size_t used = (static_cast<size_t>(plan.params.channels_out) + 7) / 8;
  std::memset(output + pixel * plan.out_pixel + used, 0, plan.out_pixel - used);
}

template <class Kernel, int kPixels>
void run_tile(const BconvPlan& plan, const Part& part, size_t pixel) {
  for (size_t block = part.block; block < part.block_end;) {
    const int group = plan.blocks[block].group;
    size_t end = block + 1;
    if (plan.params.groups == 1) {
      end = part.block_end;
    } else {
      while (end < part.block_end && plan.blocks[end].group == group) ++end;
    }
    gather<kPixels>(plan, part, pixel, group);
    Kernel::template blocks<kPixels>(plan, part, pixel, block, end);
    block = end;
  }
  if (plan.params.output == Output::kBits && part.block_end == plan.blocks.size()) {
    for (int p = 0; p < kPixels; ++p) clear_rest(plan, part.output, pixel + p);
  }
}

// The whole op on a path; splits it among the threads.
template <class Kernel>
void run_tiles(BconvPlan& plan, const uint8_t* input, uint8_t* output, const Parallel& parallel) {
  if (plan.copies) plan.add_borders(input);
  struct Job {
    BconvPlan* plan;
    const uint8_t* source;
    uint8_t* output;
    size_t tiles;
    Split parts;
  } job = {&plan,
           plan.copies ? plan.bordered.data() : input,
           output,
           (plan.pixels + kTilePixels - 1) / kTilePixels,
           {}};
  job.parts = split(job.tiles, plan.whole_bytes ? plan.blocks.size() : 1,
                    std::min(parallel.threads, plan.params.threads));
  const auto task = [](void* context, size_t i) {
    const Job& j = *static_cast<const Job*>(context);
    const BconvPlan& p = *j.plan;
    const size_t strip = i / j.parts.parts, slice = i % j.parts.parts, blocks = p.blocks.size();
    const Part part = {j.source, j.output, j.plan->tiles.data() + i * p.tile_bytes,
                       blocks * slice / j.parts.parts, blocks * (slice + 1) / j.parts.parts};
    size_t pixel = j.tiles * strip / j.parts.strips * kTilePixels;
    const size_t end = std::min(p.pixels, j.tiles * (strip + 1) / j.parts.strips * kTilePixels);
    for (; pixel + 8 <= end; pixel += 8) run_tile<Kernel, 8>(p, part, pixel);
    if (pixel + 4 <= end) run_tile<Kernel, 4>(p, part, pixel), pixel += 4;
    if (pixel + 2 <= end) run_tile<Kernel, 2>(p, part, pixel), pixel += 2;
    if (pixel < end) run_tile<Kernel, 1>(p, part, pixel);
  };
  run_tasks(parallel, task, &job, static_cast<size_t>(job.parts.strips) * job.parts.parts);
}

}  // namespace larqnets
