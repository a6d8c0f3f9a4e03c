#include "conv8_plan.h"

#include <algorithm>
#include <cstring>

namespace larqnets {
namespace {

// Where the value `depth` of channel `lane` of a block stands.
size_t position(const Conv8Plan& plan, size_t depth, size_t lane) {
  const size_t step = depth / kStepValues, value = depth % kStepValues;
  switch (plan.order) {
    case Filter8::kPairs: return (step * kBlockChannels + lane) * 8 + value;
    case Filter8::kQuads: return step * 64 + value / 4 * 32 + lane * 4 + value % 4;
    case Filter8::kDoubled: return ((lane / 4 * plan.steps + step) * 4 + lane % 4) * 16 + value;
  }
  return 0;
}

}  // namespace

void Conv8Plan::pack(const int8_t* weights, const int32_t* bias, const std::vector<Scale8>& scale,
                     Filter8 filter_order) {
  const Conv8Params& p = params;
  order = filter_order;
  depth = static_cast<size_t>(p.filter_h) * p.filter_w * p.channels_in;
  steps = (depth + kStepValues - 1) / kStepValues;
  blocks = (static_cast<size_t>(p.channels_out) + kBlockChannels - 1) / kBlockChannels;
  block_bytes = steps * kBlockChannels * kStepValues * (order == Filter8::kDoubled ? 2 : 1);
  filter.resize(blocks * block_bytes);
  const size_t lanes = blocks * kBlockChannels;
  starts.assign(lanes, 0);
  scales.assign(lanes, {0, 0});
  significands.assign(lanes, 0);
  lefts.assign(lanes, 0);
  rights.assign(lanes, -1);
  all_shrink = true;
  for (size_t c = 0; c < static_cast<size_t>(p.channels_out); ++c) {
    uint8_t* block = filter.data() + c / kBlockChannels * block_bytes;
    uint32_t sum = 0;
    for (size_t i = 0; i < depth; ++i) {
      const int8_t weight = weights[c * depth + i];
      const size_t at = position(*this, i, c % kBlockChannels);
      block[at] = static_cast<uint8_t>(weight);
      if (order == Filter8::kDoubled) block[at + 8] = static_cast<uint8_t>(weight);
      sum += static_cast<uint32_t>(int32_t{weight});
    }
    starts[c] = static_cast<int32_t>(static_cast<uint32_t>(bias[c]) -
                                     static_cast<uint32_t>(p.input_zero_point) * sum);
    scales[c] = scale[c];
    significands[c] = scale[c].significand;
    lefts[c] = std::max(scale[c].shift, 0);
    rights[c] = std::min(scale[c].shift, 0);
    all_shrink &= scale[c].shift < 0;
  }
}

void Conv8Plan::lay_out(const reference::Images& geometry, int pad_bottom, int pad_right) {
  const Conv8Params& p = params;
  images = geometry;
  const size_t pixel_bytes = p.channels_in;
  bordered_h = static_cast<size_t>(images.pad_top) + images.in_h + pad_bottom;
  bordered_w = static_cast<size_t>(images.pad_left) + images.in_w + pad_right;
  const size_t bytes = images.batch * bordered_h * bordered_w * pixel_bytes;
  bordered.resize(bytes);
  std::memset(bordered.data(), static_cast<uint8_t>(p.input_zero_point), bytes);
  pixels = static_cast<size_t>(images.batch) * images.out_h * images.out_w;
  windows.resize(pixels);
  for (size_t i = 0; i < pixels; ++i) {
    const size_t x = i % images.out_w, y = i / images.out_w % images.out_h,
                 n = i / images.out_w / images.out_h;
    windows[i] = static_cast<uint32_t>(((n * bordered_h + y * p.stride_h) * bordered_w + x * p.stride_w) *
                                       pixel_bytes);
  }
  moves.clear();
  const size_t row = p.filter_w * pixel_bytes;
  for (int y = 0; y < p.filter_h; ++y) {
    for (size_t i = 0; i < row; i += 16) {
      moves.push_back(
          {static_cast<uint32_t>(y * bordered_w * pixel_bytes + i), 0, static_cast<uint32_t>(y * row + i)});
    }
  }
  const size_t quads = (steps + 3) / 4;  // of steps, as the gather goes
  window_bytes = quads * 32 + 16;        // the last move writes up to 15 bytes behind the window
  tile_bytes = quads * 4 * kStepBytes;
  scratch.resize(scratch_bytes() * params.threads);
}

// The border keeps the zero points that it was made with.
void Conv8Plan::add_borders(const uint8_t* input) {
  const size_t row_bytes = static_cast<size_t>(images.in_w) * params.channels_in,
               bordered_row = bordered_w * params.channels_in;
  for (int n = 0; n < images.batch; ++n) {
    uint8_t* to = bordered.data() + (n * bordered_h + images.pad_top) * bordered_row +
                  static_cast<size_t>(images.pad_left) * params.channels_in;
    for (int y = 0; y < images.in_h; ++y, to += bordered_row, input += row_bytes)
      std::memcpy(to, input, row_bytes);
  }
}

}  // namespace larqnets
