// LarqnetsConv2dInt8: the checks, the geometry, and which path runs.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <vector>

#include "conv8_plan.h"
#include "geometry.h"
#include "kernels.h"
#include "reference.h"

namespace larqnets {
namespace {

constexpr int64_t kMaxDepth8 = 65536;  // sums of 8-bit weights times 9-bit values fit an int32

bool is_scale(float scale) { return scale > 0 && std::isfinite(scale); }
bool is_zero_point(int value) { return value >= -128 && value <= 127; }

std::string check(const Conv8Params& p) {
  if (p.channels_in < 1 || p.channels_out < 1)
    return "A convolution needs at least one input and one output channel.";
  if (p.threads < 1 || p.threads > kMaxThreads) return "A convolution runs on 1 to 16 threads.";
  if (p.filter_h < 1 || p.filter_w < 1) return "The filter of a convolution must be at least 1 x 1.";
  if (p.stride_h < 1 || p.stride_w < 1) return "The strides of a convolution must be at least 1.";
  if (static_cast<unsigned>(p.activation) > static_cast<unsigned>(Activation::kRelu6)) {
    return "An int8 convolution can be followed by relu, relu_n1_to_1 or relu6 only.";
  }
  if (!product_fits({p.filter_h, p.filter_w, p.channels_in}, kMaxDepth8) ||
      !product_fits({p.channels_out + int64_t{7}, int64_t{p.filter_h} * p.filter_w * p.channels_in + 7, 2},
                    kMaxBytes)) {  // as packed
    return "The filter of a convolution is too large: use fewer channels or a smaller window.";
  }
  if (!is_scale(p.input_scale) || !is_scale(p.output_scale))
    return "The scales of an int8 convolution must be positive and finite.";
  if (!is_zero_point(p.input_zero_point) || !is_zero_point(p.output_zero_point))
    return "The zero points of an int8 convolution must lie between -128 and 127.";
  return "";
}

// As TFLite computes it: in float, rounded half away from zero.
Range8 range_of(const Conv8Params& p) {
  const auto quantised = [&](float value) {
    const double steps = p.output_zero_point + std::round(static_cast<double>(value / p.output_scale));
    return static_cast<int32_t>(std::clamp(steps, -128.0, 127.0));
  };
  switch (p.activation) {
    case Activation::kNone: break;
    case Activation::kRelu: return {quantised(0), 127};
    case Activation::kReluN1To1: return {quantised(-1), quantised(1)};
    case Activation::kRelu6: return {quantised(0), quantised(6)};
  }
  return {-128, 127};
}

// One factor per channel; empty, or why there is none.
std::string read_scales(const Conv8Params& p, const void* filter_scales, std::vector<Scale8>* scales) {
  for (size_t c = 0; c < static_cast<size_t>(p.channels_out); ++c) {
    float scale;
    std::memcpy(&scale, static_cast<const uint8_t*>(filter_scales) + c * sizeof scale, sizeof scale);
    if (!is_scale(scale)) return "The scales of an int8 convolution must be positive and finite.";
    const double factor =
        static_cast<double>(p.input_scale) * static_cast<double>(scale) / static_cast<double>(p.output_scale);
    scales->push_back(scale8(factor));
    if (scales->back().shift > kMaxShift8)
      return "The output's scale of an int8 convolution is too small beside those of input and filter.";
  }
  return "";
}

}  // namespace

struct Conv8::State {
  Path path;
  Conv8Plan plan;
  // For the reference alone, as given.
  std::vector<int8_t> filter;
  std::vector<int32_t> bias;
  std::vector<Scale8> scales;
};

Conv8::Conv8() = default;
Conv8::~Conv8() = default;
Conv8::Conv8(Conv8&&) noexcept = default;
Conv8& Conv8::operator=(Conv8&&) noexcept = default;

std::string Conv8::prepare(Path path, const Conv8Params& p, const void* filter, const void* filter_scales,
                           const void* bias) try {
  state_.reset();
  if (!has_path(path)) return "This build has no such implementation of LarqnetsConv2dInt8.";
  std::string error = check(p);
  if (!error.empty()) return error;
  if (!filter || !filter_scales || !bias) return "An int8 convolution needs a filter, its scales and a bias.";
  auto state = std::make_unique<State>();
  state->path = path;
  state->plan.params = p;
  state->plan.range = range_of(p);
  error = read_scales(p, filter_scales, &state->scales);
  if (!error.empty()) return error;
  const size_t count = static_cast<size_t>(p.channels_out) * p.filter_h * p.filter_w * p.channels_in;
  const auto* weights = static_cast<const int8_t*>(filter);
  if (std::find(weights, weights + count, -128) != weights + count)
    return "A weight of an int8 convolution is -128, but they lie between -127 and 127.";
  state->filter.assign(weights, weights + count);
  state->bias.resize(p.channels_out);
  std::memcpy(state->bias.data(), bias, state->bias.size() * sizeof(int32_t));
  if (path != Path::kReference) {
#ifdef __aarch64__
    const Filter8 order = path == Path::kNeon ? neon_order() : Filter8::kPairs;
#else
    const Filter8 order = Filter8::kPairs;
#endif
    state->plan.pack(state->filter.data(), state->bias.data(), state->scales, order);
    state->filter = {};
  }
  state_ = std::move(state);
  return "";
} catch (const std::bad_alloc&) {
  return "There is not enough memory for the filter of a convolution.";
}

std::string Conv8::resize(int batch, int in_h, int in_w) try {
  if (!state_) return "A convolution was given a shape before its filter.";
  Conv8Plan& plan = state_->plan;
  const Conv8Params& p = plan.params;
  plan.images = {};
  Window rows, columns;
  const std::string error =
      place_windows(batch, in_h, in_w, p, 1, 1, p.channels_in, p.channels_out, &rows, &columns);
  if (!error.empty()) return error;
  const reference::Images images = {batch, in_h, in_w, rows.out, columns.out, rows.before, columns.before};
  if (state_->path == Path::kReference) {
    plan.images = images;
    return "";
  }
  plan.lay_out(images, rows.after, columns.after);
  return "";
} catch (const std::bad_alloc&) {
  return "There is not enough memory for a convolution.";
}

int Conv8::out_h() const { return state_ ? state_->plan.images.out_h : 0; }
int Conv8::out_w() const { return state_ ? state_->plan.images.out_w : 0; }

void Conv8::run(const void* input, void* output, const Parallel& parallel) {
  if (!state_ || state_->plan.images.batch == 0) return;  // never given a shape, or it was refused
  State& s = *state_;
  const auto* in = static_cast<const uint8_t*>(input);
  auto* out = static_cast<uint8_t*>(output);
  switch (s.path) {
    case Path::kReference:
      return reference::conv8(s.plan.params, s.plan.images, static_cast<const int8_t*>(input),
                              s.filter.data(), s.scales.data(), s.bias.data(), s.plan.range,
                              static_cast<int8_t*>(output));
    case Path::kPortable: return run_portable(s.plan, in, out, parallel);
    case Path::kNeon:
#ifdef __aarch64__
      return run_neon(s.plan, in, out, parallel);
#else
      return;  // prepare refuses it
#endif
  }
}

}  // namespace larqnets
