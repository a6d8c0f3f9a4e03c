// LarqnetsConv2dInt8 as a node: int8 input (N, H, W, C), constant int8 filter (filters, height, width, C) with a
// scale per filter or one for all and zero point 0, constant int32 biases (filters); int8 output.
// Options: stride_height, stride_width, padding (0 SAME, 1 VALID), fused_activation_function (0 none, 1 relu,
// 2 relu_n1_to_1, 3 relu6).
#ifndef LARQNETS_CONV8_OP_H_
#define LARQNETS_CONV8_OP_H_

#include <algorithm>
#include <string>
#include <vector>

#include "kernels.h"
#include "larq_ops.h"
#include "node.h"

namespace larqnets {

class Conv8Op {
 public:
  static constexpr const char* kName = "LarqnetsConv2dInt8";

  Conv8Op(const char* data, size_t size, const Settings& settings) {
    OptionReader options(data, size);
    params_.stride_h = options.get("stride_height", 1, INT32_MAX);
    params_.stride_w = options.get("stride_width", 1, INT32_MAX);
    params_.padding = options.get("padding", 0, 1) == 0 ? Padding::kSame : Padding::kValid;
    params_.activation = static_cast<Activation>(options.get("fused_activation_function", 0, 3));
    params_.threads = std::clamp(settings.parallel.threads, 1, kMaxThreads);
    problem_ = options.problem();
  }

  std::string prepare(const Node& node) {
    if (!problem_.empty()) return problem_;
    if (std::string problem = node.check_arity(3); !problem.empty()) return problem;
    const Dims in = dims_of(node.input(0));
    if (TfLiteOpaqueTensorType(node.input(0)) != kTfLiteInt8 || in.size() != 4 || any_negative(in)) {
      return std::string("reads ") + type_name(TfLiteOpaqueTensorType(node.input(0))) + " " + text(in);
    }
    if (TfLiteOpaqueTensorType(node.output()) != kTfLiteInt8) return "writes values that are not int8";
    if (!packed_) {
      if (std::string problem = pack(node, in); !problem.empty()) return problem;
      packed_ = true;  // the constants cannot change any more; only the geometry can
    }
    if (in[3] != params_.channels_in) return "reads " + std::to_string(in[3]) + " channels";
    if (std::string problem = said(kernel_.resize(in[0], in[1], in[2])); !problem.empty()) return problem;
    const Dims out = {in[0], kernel_.out_h(), kernel_.out_w(), params_.channels_out};
    if (std::string problem = node.resize_output(out); !problem.empty()) return problem;
    return sizes_.take(node, product(in, 0, 4), product(out, 0, 4));
  }

  std::string run(const Node& node, const Parallel& parallel) {
    const void* in;
    void* out;
    if (!sizes_.open(node, &in, &out)) return "has a tensor whose size changed";
    kernel_.run(in, out, parallel);
    return "";
  }

 private:
  std::string pack(const Node& node, const Dims& in) {
    if (!node.has_input(1) || node.input(1) == nullptr) return "lacks its filter";
    const Dims filter = dims_of(node.input(1));
    if (filter.size() != 4 || filter[0] < 1 || filter[1] < 1 || filter[2] < 1 || filter[3] < 1) {
      return "has a filter of shape " + text(filter);
    }
    if (filter[3] != in[3]) {
      return "has filters of " + std::to_string(filter[3]) + " channels for " + std::to_string(in[3]) +
             " input channels";
    }
    params_.channels_out = filter[0];
    params_.filter_h = filter[1];
    params_.filter_w = filter[2];
    params_.channels_in = filter[3];
    const TfLiteQuantizationParams source = TfLiteOpaqueTensorGetQuantizationParams(node.input(0));
    const TfLiteQuantizationParams result = TfLiteOpaqueTensorGetQuantizationParams(node.output());
    params_.input_scale = source.scale;
    params_.input_zero_point = source.zero_point;
    params_.output_scale = result.scale;
    params_.output_zero_point = result.zero_point;
    std::string problem;
    const void* weights = constant(node, 1, kTfLiteInt8, filter, "filters", &problem);
    const void* bias = nullptr;
    if (problem.empty()) bias = constant(node, 2, kTfLiteInt32, {params_.channels_out}, "biases", &problem);
    std::vector<float> scales;
    if (problem.empty()) problem = read_scales(node.input(1), &scales);
    if (!problem.empty()) return problem;
    return said(kernel_.prepare(best_path(), params_, weights, scales.data(), bias));
  }

  // One scale per filter, also where the file has one for all.
  std::string read_scales(const TfLiteOpaqueTensor* filter, std::vector<float>* scales) const {
    const TfLiteQuantization all = TfLiteOpaqueTensorGetQuantization(filter);
    if (all.type != kTfLiteAffineQuantization || all.params == nullptr) return "has filters without scales";
    const auto& affine = *static_cast<const TfLiteAffineQuantization*>(all.params);
    const int filters = params_.channels_out;
    if (affine.scale == nullptr || (affine.scale->size != 1 && affine.scale->size != filters)) {
      return "does not have a scale for each of its " + std::to_string(filters) + " filters";
    }
    if (affine.scale->size > 1 && affine.quantized_dimension != 0) {
      return "has scales along dimension " + std::to_string(affine.quantized_dimension) + " of its filters";
    }
    for (int i = 0; affine.zero_point != nullptr && i < affine.zero_point->size; ++i) {
      if (affine.zero_point->data[i] != 0) return "has filters whose zero point is not 0";
    }
    for (int i = 0; i < filters; ++i) scales->push_back(affine.scale->data[affine.scale->size > 1 ? i : 0]);
    return "";
  }

  Conv8Params params_;
  Conv8 kernel_;
  bool packed_ = false;
  std::string problem_;
  Sizes sizes_;
};

}  // namespace larqnets

#endif  // LARQNETS_CONV8_OP_H_
