// The Larq ops and LarqnetsConv2dInt8 on top of kernels.h.
//
// Shapes, types and options come from the file and are checked here, before a kernel sees them; what does not
// fit is reported in one sentence. No exception leaves a function that C code calls.
#include "larq_ops.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <exception>
#include <string>

#include "conv8_op.h"
#include "node.h"

namespace larqnets {

namespace {

// Every op is a class with: a constructor from its options and the settings, prepare(), and run(). Both return what is wrong
// as a clause about the op, or empty.

class QuantizeOp {
 public:
  static constexpr const char* kName = "LceQuantize";
  QuantizeOp(const char*, size_t, Settings&) {}

  std::string prepare(const Node& node) {
    if (std::string problem = node.check_arity(1); !problem.empty()) return problem;
    Dims dims = dims_of(node.input(0));
    type_ = TfLiteOpaqueTensorType(node.input(0));
    if (type_ != kTfLiteFloat32 && type_ != kTfLiteInt8 && type_ != kTfLiteBool) {
      return "reads values of a type that it cannot pack";
    }
    if (TfLiteOpaqueTensorType(node.output()) != kTfLiteInt32) return "writes values that are not int32";
    if (dims.empty() || any_negative(dims)) return "reads a tensor of shape " + text(dims);
    channels_ = static_cast<size_t>(dims.back());
    rows_ = static_cast<size_t>(product(dims, 0, dims.size() - 1));
    zero_point_ = TfLiteOpaqueTensorGetQuantizationParams(node.input(0)).zero_point;
    dims.back() = words_of(dims.back());
    if (std::string problem = node.resize_output(dims); !problem.empty()) return problem;
    const size_t packed = rows_ * static_cast<size_t>(dims.back()) * 4;
    return sizes_.take(node, rows_ * channels_ * (type_ == kTfLiteFloat32 ? 4 : 1), packed);
  }

  std::string run(const Node& node, const Parallel& parallel) {
    const void* in;
    void* out;
    if (!sizes_.open(node, &in, &out)) return "has a tensor whose size changed";
    const Path path = best_path();
    if (type_ == kTfLiteFloat32) {
      quantize_float(path, in, rows_, channels_, out, parallel);
    } else if (type_ == kTfLiteInt8) {
      quantize_int8(path, in, zero_point_, rows_, channels_, out, parallel);
    } else {
      quantize_bool(path, in, rows_, channels_, out, parallel);
    }
    return "";
  }

 private:
  int type_ = 0;
  int zero_point_ = 0;
  size_t rows_ = 0;
  size_t channels_ = 0;
  Sizes sizes_;
};

class DequantizeOp {
 public:
  static constexpr const char* kName = "LceDequantize";
  DequantizeOp(const char*, size_t, Settings&) {}

  std::string prepare(const Node& node) {
    if (std::string problem = node.check_arity(1); !problem.empty()) return problem;
    // Only the file knows how many channels there are; all other dimensions follow the input.
    Dims dims = dims_of(node.input(0)), plain = dims_of(node.output());
    type_ = TfLiteOpaqueTensorType(node.output());
    if (TfLiteOpaqueTensorType(node.input(0)) != kTfLiteInt32) return "reads values that are not int32";
    if (type_ != kTfLiteFloat32 && type_ != kTfLiteInt8 && type_ != kTfLiteBool) {
      return "writes values of a type that it cannot unpack into";
    }
    if (dims.empty() || any_negative(dims) || plain.size() != dims.size() || plain.back() < 0 ||
        words_of(plain.back()) != dims.back()) {
      return "unpacks " + text(dims) + " into " + text(plain);
    }
    channels_ = static_cast<size_t>(plain.back());
    rows_ = static_cast<size_t>(product(dims, 0, dims.size() - 1));
    const size_t words = static_cast<size_t>(dims.back());
    dims.back() = plain.back();
    if (type_ == kTfLiteInt8) {
      const TfLiteQuantizationParams q = TfLiteOpaqueTensorGetQuantizationParams(node.output());
      const std::string problem = int8_signs(static_cast<double>(q.scale), q.zero_point, &plus_, &minus_);
      if (!problem.empty()) return said(problem);
    }
    if (std::string problem = node.resize_output(dims); !problem.empty()) return problem;
    return sizes_.take(node, rows_ * words * 4, rows_ * channels_ * (type_ == kTfLiteFloat32 ? 4 : 1));
  }

  std::string run(const Node& node, const Parallel& parallel) {
    const void* in;
    void* out;
    if (!sizes_.open(node, &in, &out)) return "has a tensor whose size changed";
    const Path path = best_path();
    if (type_ == kTfLiteFloat32) {
      dequantize_float(path, in, rows_, channels_, out, parallel);
    } else if (type_ == kTfLiteInt8) {
      dequantize_int8(path, in, plus_, minus_, rows_, channels_, out, parallel);
    } else {
      dequantize_bool(path, in, rows_, channels_, out, parallel);
    }
    return "";
  }

 private:
  int type_ = 0;
  int8_t plus_ = 1;
  int8_t minus_ = -1;
  size_t rows_ = 0;
  size_t channels_ = 0;
  Sizes sizes_;
};

class BconvOp {
 public:
  static constexpr const char* kName = "LceBconv2d";

  BconvOp(const char* data, size_t size, Settings& settings) : settings_(settings) {
    OptionReader options(data, size);
    params_.channels_in = options.get("channels_in", 1, INT32_MAX);
    params_.stride_h = options.get("stride_height", 1, INT32_MAX);
    params_.stride_w = options.get("stride_width", 1, INT32_MAX);
    params_.dilation_h = options.get("dilation_height_factor", 1, INT32_MAX);
    params_.dilation_w = options.get("dilation_width_factor", 1, INT32_MAX);
    params_.padding = options.get("padding", 0, 1) == 0 ? Padding::kSame : Padding::kValid;
    params_.pad_value = options.get("pad_values", 0, 1);
    params_.activation = static_cast<Activation>(options.get("fused_activation_function", 0, 3));
    params_.kernels = settings.kernels;
    params_.low_memory = settings.low_memory;
    params_.threads = std::clamp(settings.parallel.threads, 1, kMaxThreads);
    problem_ = options.problem();
  }

  std::string prepare(const Node& node) {
    if (!problem_.empty()) return problem_;
    if (std::string problem = node.check_arity(5); !problem.empty()) return problem;
    const Dims in = dims_of(node.input(0));
    if (TfLiteOpaqueTensorType(node.input(0)) != kTfLiteInt32 || in.size() != 4 || any_negative(in)) {
      return std::string("reads ") + type_name(TfLiteOpaqueTensorType(node.input(0))) + " " + text(in);
    }
    if (in[3] != words_of(params_.channels_in)) {
      return "reads " + std::to_string(in[3]) + " words for " + std::to_string(params_.channels_in) +
             " channels";
    }
    if (!packed_) {
      if (std::string problem = pack(node, in); !problem.empty()) return problem;
      packed_ = true;  // the constants cannot change any more; only the geometry can
    }
    settings_.prepared_bytes -= kernel_.prepared_bytes();
    if (std::string problem = said(kernel_.resize(in[0], in[1], in[2])); !problem.empty()) return problem;
    settings_.prepared_bytes += kernel_.prepared_bytes();
    const int last = params_.output == Output::kBits ? words_of(params_.channels_out) : params_.channels_out;
    const Dims out = {in[0], kernel_.out_h(), kernel_.out_w(), last};
    if (std::string problem = node.resize_output(out); !problem.empty()) return problem;
    const int64_t item = params_.output == Output::kInt8 ? 1 : 4;
    return sizes_.take(node, product(in, 0, 4) * 4, product(out, 0, 4) * item);
  }

  std::string run(const Node& node, const Parallel& parallel) {
    const void* in;
    void* out;
    if (!sizes_.open(node, &in, &out)) return "has a tensor whose size changed";
    kernel_.run(in, out, parallel);
    settings_.way = kKernelNames[static_cast<int>(kernel_.kernels())];
    return "";
  }

 private:
  std::string pack(const Node& node, const Dims& in) {
    if (!node.has_input(1) || node.input(1) == nullptr) return "lacks its filter";
    const Dims filter = dims_of(node.input(1));
    if (filter.size() != 4 || filter[0] < 1 || filter[1] < 1 || filter[2] < 1 || filter[3] < 1) {
      return "has a filter of shape " + text(filter);
    }
    params_.channels_out = filter[0];
    params_.filter_h = filter[1];
    params_.filter_w = filter[2];
    if (in[3] % filter[3] != 0) {
      return "has filters of " + std::to_string(filter[3]) + " words for " + std::to_string(in[3]) +
             " input words";
    }
    params_.groups = in[3] / filter[3];
    if (params_.groups > 1 && (params_.channels_in % (32 * static_cast<int64_t>(params_.groups)) != 0 ||
                               params_.channels_out % params_.groups != 0)) {
      return "cannot split " + std::to_string(params_.channels_in) + " channels and " +
             std::to_string(params_.channels_out) + " filters into " + std::to_string(params_.groups) +
             " groups";
    }
    switch (TfLiteOpaqueTensorType(node.output())) {
      case kTfLiteFloat32: params_.output = Output::kFloat; break;
      case kTfLiteInt8: params_.output = Output::kInt8; break;
      case kTfLiteInt32: params_.output = Output::kBits; break;
      default: return "writes values of a type that it does not have";
    }
    if (params_.output == Output::kInt8) {
      const TfLiteQuantizationParams q = TfLiteOpaqueTensorGetQuantizationParams(node.output());
      if (!(std::isfinite(q.scale) && q.scale > 0) || q.zero_point < -128 || q.zero_point > 127) {
        return "writes int8 values without a scale and a zero point";
      }
      params_.output_scale = static_cast<double>(q.scale);
      params_.output_zero_point = q.zero_point;
    }
    std::string problem;
    const void* weights = constant(node, 1, kTfLiteInt32, filter, "filters", &problem);
    const Dims per_filter = {params_.channels_out};
    const void *multiplier = nullptr, *bias = nullptr, *thresholds = nullptr;
    if (params_.output == Output::kBits) {
      if (problem.empty()) thresholds = constant(node, 4, kTfLiteInt32, per_filter, "thresholds", &problem);
    } else {
      if (problem.empty())
        multiplier = constant(node, 2, kTfLiteFloat32, per_filter, "multipliers", &problem);
      if (problem.empty()) bias = constant(node, 3, kTfLiteFloat32, per_filter, "biases", &problem);
    }
    if (!problem.empty()) return problem;
    return said(kernel_.prepare(best_path(), params_, weights, multiplier, bias, thresholds));
  }

  Settings& settings_;
  BconvParams params_;
  Bconv kernel_;
  bool packed_ = false;
  std::string problem_;
  Sizes sizes_;
};

class MaxPoolOp {
 public:
  static constexpr const char* kName = "LceBMaxPool2d";

  MaxPoolOp(const char* data, size_t size, Settings&) {
    OptionReader options(data, size);
    params_.filter_h = options.get("filter_height", 1, INT32_MAX);
    params_.filter_w = options.get("filter_width", 1, INT32_MAX);
    params_.stride_h = options.get("stride_height", 1, INT32_MAX);
    params_.stride_w = options.get("stride_width", 1, INT32_MAX);
    params_.padding = options.get("padding", 0, 1) == 0 ? Padding::kSame : Padding::kValid;
    problem_ = options.problem();
  }

  std::string prepare(const Node& node) {
    if (!problem_.empty()) return problem_;
    if (std::string problem = node.check_arity(1); !problem.empty()) return problem;
    const Dims in = dims_of(node.input(0));
    if (TfLiteOpaqueTensorType(node.input(0)) != kTfLiteInt32 ||
        TfLiteOpaqueTensorType(node.output()) != kTfLiteInt32) {
      return "has values that are not int32";
    }
    if (in.size() != 4 || any_negative(in)) return "reads a tensor of shape " + text(in);
    if (std::string problem = said(pool_.prepare(best_path(), params_)); !problem.empty()) return problem;
    if (std::string problem = said(pool_.resize(in[0], in[1], in[2], in[3])); !problem.empty())
      return problem;
    const Dims out = {in[0], pool_.out_h(), pool_.out_w(), in[3]};
    if (std::string problem = node.resize_output(out); !problem.empty()) return problem;
    return sizes_.take(node, product(in, 0, 4) * 4, product(out, 0, 4) * 4);
  }

  std::string run(const Node& node, const Parallel& parallel) {
    const void* in;
    void* out;
    if (!sizes_.open(node, &in, &out)) return "has a tensor whose size changed";
    pool_.run(in, out, parallel);
    return "";
  }

 private:
  PoolParams params_;
  MaxPool pool_;
  std::string problem_;
  Sizes sizes_;
};

// From here to registered(): the C functions that TFLite calls; user_data is the Settings of the interpreter.

template <typename Op>
TfLiteStatus report(TfLiteOpaqueContext* context, const std::string& problem) {
  if (problem.empty()) return kTfLiteOk;
  TfLiteOpaqueContextReportError(context, "%s %s%s", Op::kName, problem.c_str(),
                                 problem.back() == '.' ? "" : ".");
  return kTfLiteError;
}

template <typename Op, typename Work>
TfLiteStatus guarded(TfLiteOpaqueContext* context, TfLiteOpaqueNode* node, Work work) {
  auto* op = static_cast<Op*>(TfLiteOpaqueNodeGetUserData(node));
  try {
    return report<Op>(context, op == nullptr ? "finds no memory" : work(*op, Node(context, node)));
  } catch (const std::exception&) {  // bad_alloc, length_error: a size of the file is beyond this machine
    TfLiteOpaqueContextReportError(context, "%s finds no memory.", Op::kName);
    return kTfLiteError;
  }
}

template <typename Op>
void* init(void* settings, TfLiteOpaqueContext*, const char* options, size_t size) {
  try {
    return new Op(options, size, *static_cast<Settings*>(settings));
  } catch (const std::exception&) {
    return nullptr;
  }
}

template <typename Op>
void release(void*, TfLiteOpaqueContext*, void* op) {
  delete static_cast<Op*>(op);
}

template <typename Op>
TfLiteStatus prepare(void*, TfLiteOpaqueContext* context, TfLiteOpaqueNode* node) {
  return guarded<Op>(context, node, [](Op& op, const Node& n) { return op.prepare(n); });
}

template <typename Op>
TfLiteStatus invoke(void* settings, TfLiteOpaqueContext* context, TfLiteOpaqueNode* node) {
  return guarded<Op>(context, node, [&](Op& op, const Node& n) {
    return op.run(n, static_cast<Settings*>(settings)->parallel);
  });
}

template <typename Op>
OperatorPointer registered(Settings* settings) {
  OperatorPointer op(TfLiteOperatorCreate(kTfLiteBuiltinCustom, Op::kName, 1, settings));
  TfLiteOperatorSetInitWithData(op.get(), init<Op>);
  TfLiteOperatorSetFreeWithData(op.get(), release<Op>);
  TfLiteOperatorSetPrepareWithData(op.get(), prepare<Op>);
  TfLiteOperatorSetInvokeWithData(op.get(), invoke<Op>);
  return op;
}

}  // namespace

std::vector<OperatorPointer> larq_operators(Settings* settings) {
  std::vector<OperatorPointer> operators;
  operators.push_back(registered<QuantizeOp>(settings));
  operators.push_back(registered<DequantizeOp>(settings));
  operators.push_back(registered<BconvOp>(settings));
  operators.push_back(registered<MaxPoolOp>(settings));
  operators.push_back(registered<Conv8Op>(settings));
  return operators;
}

}  // namespace larqnets
