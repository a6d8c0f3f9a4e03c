// The walk over tiles and blocks of LarqnetsConv2dInt8, and the gather of a tile. `Kernel` supplies the inner
// loops: blocks(plan, tile, block, end, out, stride) writes 8 channels of 8 pixels per block.
#pragma once

#include <algorithm>
#include <cstring>

#include "conv8_plan.h"

namespace larqnets {

// Copies the windows of 8 pixels into the tile; of pixels behind the last one, that one's.
inline void gather(const Conv8Plan& plan, size_t pixel, size_t count, uint8_t* dense, uint8_t* tile) {
  const uint8_t* window[kTilePixels];
  for (size_t p = 0; p < kTilePixels; ++p)
    window[p] = plan.bordered.data() + plan.windows[pixel + std::min(p, count - 1)];
  // What the loops need stands in locals: a byte that is written might be one of the plan's, for a compiler.
  const size_t stride = plan.window_bytes;
  for (const Move *move = plan.moves.data(), *last = move + plan.moves.size(); move != last; ++move) {
    const size_t source = move->source;
    uint8_t* to = dense + move->within;
    for (size_t p = 0; p < kTilePixels; ++p) std::memcpy(to + p * stride, window[p] + source, 16);
  }
  const size_t quads = (plan.steps + 3) / 4;
  for (size_t p = 0; p < kTilePixels; p += 2) {
    const uint8_t *first = dense + p * stride, *second = first + stride;
    uint8_t* to = tile + p * kStepValues;
    for (size_t i = 0; i < quads; ++i, first += 32, second += 32, to += 4 * kStepBytes) {
      uint64_t a[4], b[4];
      std::memcpy(a, first, 32);
      std::memcpy(b, second, 32);
      for (int step = 0; step < 4; ++step) {
        std::memcpy(to + step * kStepBytes, &a[step], 8);
        std::memcpy(to + step * kStepBytes + 8, &b[step], 8);
      }
    }
  }
}

// Blocks [block, end) of a tile of `count` pixels; `output` is that of its first pixel.
template <class Kernel>
void run_tile8(const Conv8Plan& plan, const uint8_t* tile, size_t count, size_t block, size_t end,
               uint8_t* output) {
  const size_t channels = static_cast<size_t>(plan.params.channels_out);
  if (count == kTilePixels) {
    const size_t whole = std::min(end, channels / kBlockChannels);
    if (block < whole) {
      Kernel::blocks(plan, tile, block, whole, output + block * kBlockChannels, channels);
      block = whole;
    }
  }
  for (; block < end; ++block) {
    uint8_t spare[kTilePixels * kBlockChannels];
    Kernel::blocks(plan, tile, block, block + 1, spare, kBlockChannels);
    const size_t first = block * kBlockChannels;
    for (size_t p = 0; p < count; ++p) {
      std::memcpy(output + p * channels + first, spare + p * kBlockChannels,
                  std::min<size_t>(kBlockChannels, channels - first));
    }
  }
}

// The whole op on a path; splits it among the threads.
template <class Kernel>
void run_tiles8(Conv8Plan& plan, const uint8_t* input, uint8_t* output, const Parallel& parallel) {
  plan.add_borders(input);
  struct Job {
    Conv8Plan* plan;
    uint8_t* output;
    size_t tiles;
    Split parts;
  } job = {&plan, output, (plan.pixels + kTilePixels - 1) / kTilePixels, {}};
  job.parts = split(job.tiles, plan.blocks, std::min(parallel.threads, plan.params.threads));
  const auto task = [](void* context, size_t i) {
    const Job& j = *static_cast<const Job*>(context);
    const Conv8Plan& p = *j.plan;
    const size_t strip = i / j.parts.parts, slice = i % j.parts.parts;
    const size_t block = p.blocks * slice / j.parts.parts, end = p.blocks * (slice + 1) / j.parts.parts;
    uint8_t* tile = j.plan->scratch.data() + i * p.scratch_bytes();
    uint8_t* dense = tile + p.tile_bytes;
    for (size_t t = j.tiles * strip / j.parts.strips; t < j.tiles * (strip + 1) / j.parts.strips; ++t) {
      const size_t pixel = t * kTilePixels, count = std::min<size_t>(kTilePixels, p.pixels - pixel);
      gather(p, pixel, count, dense, tile);
      run_tile8<Kernel>(p, tile, count, block, end, j.output + pixel * p.params.channels_out);
    }
  };
  run_tasks(parallel, task, &job, static_cast<size_t>(job.parts.strips) * job.parts.parts);
}

}  // namespace larqnets
