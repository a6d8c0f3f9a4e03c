// LarqnetsConv2dInt8 in plain C++: the path of x86-64, and what the NEON kernels are compared with.
#include "conv8_tiles.h"

namespace larqnets {
namespace {

struct PortableKernel8 {
  static void blocks(const Conv8Plan& plan, const uint8_t* tile, size_t block, size_t end, uint8_t* out,
                     size_t stride) {
    for (; block < end; ++block, out += kBlockChannels) {
      for (size_t p = 0; p < kTilePixels; ++p) {
        for (size_t lane = 0; lane < kBlockChannels; ++lane)
          out[p * stride + lane] = static_cast<uint8_t>(value(plan, tile + p * kStepValues, block, lane));
      }
    }
  }

  static int8_t value(const Conv8Plan& plan, const uint8_t* pixel, size_t block, size_t lane) {
    const uint8_t* filter = plan.filter.data() + block * plan.block_bytes + lane * kStepValues;
    int32_t sum = 0;
    for (size_t step = 0; step < plan.steps; ++step, pixel += kStepBytes, filter += kBlockChannels * 8) {
      for (size_t i = 0; i < kStepValues; ++i)
        sum += static_cast<int8_t>(pixel[i]) * static_cast<int8_t>(filter[i]);
    }
    const size_t c = block * kBlockChannels + lane;
    const uint32_t started = static_cast<uint32_t>(plan.starts[c]) + static_cast<uint32_t>(sum);
    const int64_t result =
        int64_t{rescaled(static_cast<int32_t>(started), plan.scales[c])} + plan.params.output_zero_point;
    return static_cast<int8_t>(std::clamp<int64_t>(result, plan.range.least, plan.range.most));
  }
};

}  // namespace

void run_portable(Conv8Plan& plan, const uint8_t* input, uint8_t* output, const Parallel& parallel) {
  run_tiles8<PortableKernel8>(plan, input, output, parallel);
}

}  // namespace larqnets
