// LceBconv2d: the checks, the geometry, and which path runs.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <vector>

#include "bconv_plan.h"
#include "class_plan.h"
#include "geometry.h"
#include "kernels.h"
#include "reference.h"
#include "sorted_plan.h"

namespace larqnets {
namespace {

constexpr double kWorthIt = 0.95;                      // of the popcount's instructions, and less
constexpr size_t kLowMemory = 4;                       // bytes per byte of packed filter
constexpr int64_t kMaxDepth = (int64_t{1} << 30) - 1;  // twice a sum must fit an int32

std::string check(const BconvParams& p, const void* multiplier, const void* bias, const void* thresholds) {
  if (p.channels_in < 1 || p.channels_out < 1)
    return "A convolution needs at least one input and one output channel.";
  if (p.filter_h < 1 || p.filter_w < 1) return "The filter of a convolution must be at least 1 x 1.";
  if (p.stride_h < 1 || p.stride_w < 1) return "The strides of a convolution must be at least 1.";
  if (p.dilation_h < 1 || p.dilation_w < 1) return "The dilations of a convolution must be at least 1.";
  if (p.pad_value != 0 && p.pad_value != 1) {
    return "pad_values is " + std::to_string(p.pad_value) + ", but an image can only be padded with 0 or 1.";
  }
  if (static_cast<unsigned>(p.activation) > static_cast<unsigned>(Activation::kRelu6)) {
    return "A binary convolution can be followed by relu, relu_n1_to_1 or relu6 only.";
  }
  if (p.threads < 1 || p.threads > kMaxThreads) return "A convolution runs on 1 to 16 threads.";
  if (p.groups < 1 || p.channels_in % p.groups != 0 || p.channels_out % p.groups != 0) {
    return std::to_string(p.groups) + " groups do not divide " + std::to_string(p.channels_in) +
           " input and " + std::to_string(p.channels_out) + " output channels.";
  }
  if (p.groups > 1 && p.channels_in / p.groups % 32 != 0) {
    return "A grouped convolution needs a multiple of 32 input channels per group, this one has " +
           std::to_string(p.channels_in / p.groups) + ".";
  }
  const int64_t group_in = p.channels_in / p.groups;
  if (!product_fits({p.filter_h, p.filter_w, group_in}, kMaxDepth) ||
      !product_fits({p.channels_out, p.filter_h, p.filter_w, (group_in + 31) / 32 * 4}, kMaxBytes)) {
    return "The filter of a convolution is too large: use fewer channels or a smaller window.";
  }
  if (p.output == Output::kBits)
    return thresholds ? "" : "A convolution with bit-packed output needs thresholds.";
  if (!multiplier || !bias) return "A convolution without bit-packed output needs a multiplier and a bias.";
  if (p.output == Output::kInt8) {
    if (!(p.output_scale > 0) || !std::isfinite(p.output_scale)) {
      return "The scale of an int8 output must be positive and finite.";
    }
    if (p.output_zero_point < -128 || p.output_zero_point > 127) {
      return "The zero point of an int8 output must lie between -128 and 127.";
    }
  }
  return "";
}

template <class T>
std::vector<T> copy(const void* data, size_t count) {
  std::vector<T> values(count);
  std::memcpy(values.data(), data, count * sizeof(T));
  return values;
}

}  // namespace

struct Bconv::State {
  Path path;
  BconvPlan plan;
  ClassPlan classes;
  SortedPlan sorted;
  Kernels kernels = Kernels::kPopcount;  // of the geometry
  // For the reference alone, as given.
  std::vector<uint8_t> filter;
  std::vector<float> multiplier, bias;
  std::vector<int32_t> thresholds;

  void lay_out();
  size_t prepared_bytes() const;

 private:
  Kernels chosen(double by_classes, double by_sorting) const;
  void lay_out_as(Kernels way);
};

// The way that was asked for, where the shape can have it, or the one that takes the fewest instructions.
Kernels Bconv::State::chosen(double by_classes, double by_sorting) const {
  const Kernels asked = plan.params.kernels;
  if (asked == Kernels::kClasses && std::isfinite(by_classes)) return asked;
  if (asked == Kernels::kSorted && std::isfinite(by_sorting)) return asked;
  if (asked != Kernels::kChosen || std::min(by_classes, by_sorting) > kWorthIt * plan.reckon()) {
    return Kernels::kPopcount;
  }
  return by_classes <= by_sorting ? Kernels::kClasses : Kernels::kSorted;
}

void Bconv::State::lay_out_as(Kernels way) {
  kernels = way;
  if (way == Kernels::kClasses) return classes.lay_out(plan);
  if (way == Kernels::kSorted) return sorted.lay_out(plan);
  plan.lay_out_tiles();
}

// Chooses the way for a geometry and prepares it; another geometry's is dropped.
void Bconv::State::lay_out() {
  classes = {};
  sorted = {};
  plan.drop_tiles();
  const double by_classes = classes.reckon(plan), by_sorting = sorted.reckon(plan);
  lay_out_as(chosen(by_classes, by_sorting));
  const BconvParams& p = plan.params;
  const size_t packed =
      static_cast<size_t>(p.channels_out) * p.filter_h * p.filter_w * plan.in_pixel / p.groups;
  if (p.low_memory && kernels != Kernels::kPopcount && prepared_bytes() > kLowMemory * packed) {
    classes = {};
    sorted = {};
    lay_out_as(Kernels::kPopcount);
  }
}

size_t Bconv::State::prepared_bytes() const {
  switch (kernels) {
    case Kernels::kClasses: return classes.prepared_bytes();
    case Kernels::kSorted: return sorted.prepared_bytes();
    default: return plan.tiles.size();
  }
}

Bconv::Bconv() = default;
Bconv::~Bconv() = default;
Bconv::Bconv(Bconv&&) noexcept = default;
Bconv& Bconv::operator=(Bconv&&) noexcept = default;

std::string Bconv::prepare(Path path, const BconvParams& p, const void* filter, const void* multiplier,
                           const void* bias, const void* thresholds) try {
  state_.reset();
  if (!has_path(path)) return "This build has no such implementation of LceBconv2d.";
  std::string error = check(p, multiplier, bias, thresholds);
  if (!error.empty()) return error;
  auto state = std::make_unique<State>();
  state->path = path;
  state->plan.params = p;
  const size_t tap_bytes = (static_cast<size_t>(p.channels_in) / p.groups + 31) / 32 * 4;
  state->filter = copy<uint8_t>(filter, size_t(p.channels_out) * p.filter_h * p.filter_w * tap_bytes);
  if (p.output == Output::kBits) {
    state->thresholds = copy<int32_t>(thresholds, p.channels_out);
  } else {
    state->multiplier = copy<float>(multiplier, p.channels_out);
    state->bias = copy<float>(bias, p.channels_out);
  }
  if (path != Path::kReference) {
    state->plan.pack(state->filter.data(), state->multiplier.data(), state->bias.data(),
                     state->thresholds.data());
    state->filter = {};
  }
  state_ = std::move(state);
  return "";
} catch (const std::bad_alloc&) {
  return "There is not enough memory for the filter of a convolution.";
}

std::string Bconv::resize(int batch, int in_h, int in_w) try {
  if (!state_) return "A convolution was given a shape before its filter.";
  BconvPlan& plan = state_->plan;
  const BconvParams& p = plan.params;
  plan.images = {};
  const int64_t in_bytes = (int64_t{p.channels_in} + 31) / 32 * 4, out_bytes = int64_t{p.channels_out} * 4;
  Window rows, columns;
  const std::string error =
      place_windows(batch, in_h, in_w, p, p.dilation_h, p.dilation_w, in_bytes, out_bytes, &rows, &columns);
  if (!error.empty()) return error;
  const reference::Images images = {batch, in_h, in_w, rows.out, columns.out, rows.before, columns.before};
  if (state_->path == Path::kReference) {
    plan.images = images;
    return "";
  }
  if (!product_fits({int64_t(plan.all_records()), kTilePixels * kRecordBytes, kMaxThreads}, kMaxBytes)) {
    return "The filter of a convolution is too large: use fewer channels or a smaller window.";
  }
  plan.place(images, rows.after, columns.after);
  state_->lay_out();
  return "";
} catch (const std::bad_alloc&) {
  return "There is not enough memory for a convolution.";
}

int Bconv::out_h() const { return state_ ? state_->plan.images.out_h : 0; }
int Bconv::out_w() const { return state_ ? state_->plan.images.out_w : 0; }

Kernels Bconv::kernels() const { return state_ ? state_->kernels : Kernels::kPopcount; }

size_t Bconv::prepared_bytes() const {
  return !state_ || state_->plan.images.batch == 0 ? 0 : state_->prepared_bytes();
}

void Bconv::run(const void* input, void* output, const Parallel& parallel) {
  if (!state_ || state_->plan.images.batch == 0) return;  // never given a shape, or it was refused
  State& s = *state_;
  const auto* in = static_cast<const uint8_t*>(input);
  auto* out = static_cast<uint8_t*>(output);
  switch (s.path) {
    case Path::kReference:
      return reference::bconv(s.plan.params, s.plan.images, in, s.filter.data(), s.multiplier.data(),
                              s.bias.data(), s.thresholds.data(), out);
    case Path::kPortable:
      if (s.kernels == Kernels::kClasses) return run_classes_portable(s.plan, s.classes, in, out, parallel);
      if (s.kernels == Kernels::kSorted) return run_sorted_portable(s.plan, s.sorted, in, out, parallel);
      return run_portable(s.plan, in, out, parallel);
    case Path::kNeon:
#ifdef __aarch64__
      if (s.kernels == Kernels::kClasses) return run_classes_neon(s.plan, s.classes, in, out, parallel);
      if (s.kernels == Kernels::kSorted) return run_sorted_neon(s.plan, s.sorted, in, out, parallel);
      return run_neon(s.plan, in, out, parallel);
#else
      return;  // prepare refuses it
#endif
  }
}

}  // namespace larqnets
