// All that touches TensorFlow Lite: the Larq ops on top of kernels.h, and the C interface of larqnets.h.
//
// Shapes, types and options come from the file and are checked here, before a kernel sees them; what does not
// fit is reported in one sentence. No exception leaves a function that C code calls.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "kernels.h"
#include "larqnets.h"
#include "mark.h"
#include "options.h"
#include "profile.h"
#include "tflite_abi.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace larqnets {
namespace {

using Dims = std::vector<int>;

std::string text(const Dims& dims) {
  std::string result = "[";
  for (size_t i = 0; i < dims.size(); ++i) result += (i ? "," : "") + std::to_string(dims[i]);
  return result + "]";
}

const char* type_name(int type) {
  switch (type) {
    case kTfLiteFloat32: return "float32";
    case kTfLiteInt32: return "int32";
    case kTfLiteInt8: return "int8";
    case kTfLiteBool: return "bool";
    default: return "another type";
  }
}

int words_of(int channels) { return static_cast<int>((static_cast<int64_t>(channels) + 31) / 32); }

// What an op sees of its node while it prepares or runs.
class Node {
 public:
  Node(TfLiteOpaqueContext* context, TfLiteOpaqueNode* node) : context_(context), node_(node) {
    TfLiteOpaqueNodeInputs(node, &inputs_, &num_inputs_);
    TfLiteOpaqueNodeOutputs(node, &outputs_, &num_outputs_);
  }
  int num_inputs() const { return num_inputs_; }
  int num_outputs() const { return num_outputs_; }
  bool has_input(int i) const { return i < num_inputs_ && inputs_[i] != kTfLiteOptionalTensor; }
  const TfLiteOpaqueTensor* input(int i) const { return TfLiteOpaqueNodeGetInput(context_, node_, i); }
  TfLiteOpaqueTensor* output() const { return TfLiteOpaqueNodeGetOutput(context_, node_, 0); }

  // Empty, or why the node does not have these numbers of inputs and outputs and its first input.
  std::string check_arity(int inputs) const {
    if (num_inputs_ != inputs)
      return "has " + std::to_string(num_inputs_) + " inputs, not " + std::to_string(inputs);
    if (num_outputs_ != 1) return "has " + std::to_string(num_outputs_) + " outputs, not 1";
    if (!has_input(0) || input(0) == nullptr) return "lacks its input";
    if (outputs_[0] == kTfLiteOptionalTensor || output() == nullptr) return "lacks its output";
    return "";
  }

  std::string resize_output(const Dims& dims) const {
    TfLiteIntArray* array = TfLiteIntArrayCreate(static_cast<int>(dims.size()));
    if (array == nullptr) return "finds no memory";
    std::copy(dims.begin(), dims.end(), array->data);
    if (TfLiteOpaqueContextResizeTensor(context_, output(), array) != kTfLiteOk) {
      return "cannot have an output of " + text(dims);
    }
    return "";
  }

 private:
  TfLiteOpaqueContext* context_;
  TfLiteOpaqueNode* node_;
  const int* inputs_ = nullptr;
  const int* outputs_ = nullptr;
  int num_inputs_ = 0;
  int num_outputs_ = 0;
};

Dims dims_of(const TfLiteOpaqueTensor* tensor) {
  Dims dims(static_cast<size_t>(std::max(0, TfLiteOpaqueTensorNumDims(tensor))));
  for (size_t i = 0; i < dims.size(); ++i) dims[i] = TfLiteOpaqueTensorDim(tensor, static_cast<int>(i));
  return dims;
}

bool any_negative(const Dims& dims) {
  for (int d : dims) {
    if (d < 0) return true;
  }
  return false;
}

// Product of the dimensions from `begin` to `end`, capped far above what memory can hold.
int64_t product(const Dims& dims, size_t begin, size_t end) {
  constexpr int64_t kCap = int64_t{1} << 46;
  int64_t result = 1;
  for (size_t i = begin; i < end; ++i) result = std::min(kCap, result) * dims[i];
  return result;
}

// A constant of the file with this type and shape; null, and why not, otherwise.
const void* constant(const Node& node, int index, int type, const Dims& dims, const char* noun,
                     std::string* problem) {
  const TfLiteOpaqueTensor* tensor = node.has_input(index) ? node.input(index) : nullptr;
  if (tensor == nullptr) {
    *problem = std::string("lacks its ") + noun;
    return nullptr;
  }
  const Dims found = dims_of(tensor);
  if (TfLiteOpaqueTensorType(tensor) != type || found != dims) {
    *problem = std::string("has ") + noun + " of " + type_name(TfLiteOpaqueTensorType(tensor)) + " " +
               text(found) + " instead of " + type_name(type) + " " + text(dims);
    return nullptr;
  }
  const void* data = TfLiteOpaqueTensorData(tensor);
  const uint64_t bytes =
      static_cast<uint64_t>(product(dims, 0, dims.size())) * 4;  // all are float32 or int32
  if (TfLiteOpaqueTensorGetAllocationType(tensor) != kTfLiteMmapRo || (data == nullptr && bytes > 0) ||
      TfLiteOpaqueTensorByteSize(tensor) != bytes) {
    *problem = std::string("has ") + noun + " that are not a constant of the file";
    return nullptr;
  }
  return data == nullptr ? "" : data;
}

// Reads integers of an op's options; the first that is missing or out of range is the problem.
class OptionReader {
 public:
  OptionReader(const char* data, size_t size) : map_(reinterpret_cast<const uint8_t*>(data), size) {}
  int get(const char* name, int low, int high) {
    int64_t value = low;
    if (!map_.find(name, &value)) {
      fail(std::string("lacks the option ") + name + ", or its options are damaged");
      return low;
    }
    if (value < low || value > high) {
      fail(std::string("has ") + name + " = " + std::to_string(value));
      return low;
    }
    return static_cast<int>(value);
  }
  const std::string& problem() const { return problem_; }

 private:
  void fail(const std::string& problem) {
    if (problem_.empty()) problem_ = problem;
  }
  OptionMap map_;
  std::string problem_;
};

// Sizes that Prepare computed, compared again before a kernel touches memory.
struct Sizes {
  size_t input = 0;
  size_t output = 0;
  // The data of the first input and of the output; false when the sizes are others now.
  bool open(const Node& node, const void** in, void** out) const {
    const TfLiteOpaqueTensor* source = node.input(0);
    const TfLiteOpaqueTensor* result = node.output();
    *in = TfLiteOpaqueTensorData(source);
    *out = TfLiteOpaqueTensorData(result);
    return TfLiteOpaqueTensorByteSize(source) == input && TfLiteOpaqueTensorByteSize(result) == output &&
           (input == 0 || *in != nullptr) && (output == 0 || *out != nullptr);
  }
  void take(const Node& node) {
    input = TfLiteOpaqueTensorByteSize(node.input(0));
    output = TfLiteOpaqueTensorByteSize(node.output());
  }
};

// Every op is a class with: a constructor from its options, prepare(), and run(). Both return what is wrong
// as a clause about the op, or empty; `said` makes one of a kernel's own sentence.
std::string said(const std::string& sentence) { return sentence.empty() ? "" : "is refused: " + sentence; }

class QuantizeOp {
 public:
  static constexpr const char* kName = "LceQuantize";
  QuantizeOp(const char*, size_t) {}

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
    sizes_.take(node);
    const size_t packed = rows_ * static_cast<size_t>(dims.back()) * 4;
    if (sizes_.input != rows_ * channels_ * (type_ == kTfLiteFloat32 ? 4 : 1) || sizes_.output != packed) {
      return "reads a tensor that is too large";
    }
    return "";
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
  DequantizeOp(const char*, size_t) {}

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
    sizes_.take(node);
    if (sizes_.input != rows_ * words * 4 ||
        sizes_.output != rows_ * channels_ * (type_ == kTfLiteFloat32 ? 4 : 1)) {
      return "writes a tensor that is too large";
    }
    return "";
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

  BconvOp(const char* data, size_t size) {
    OptionReader options(data, size);
    params_.channels_in = options.get("channels_in", 1, INT32_MAX);
    params_.stride_h = options.get("stride_height", 1, INT32_MAX);
    params_.stride_w = options.get("stride_width", 1, INT32_MAX);
    params_.dilation_h = options.get("dilation_height_factor", 1, INT32_MAX);
    params_.dilation_w = options.get("dilation_width_factor", 1, INT32_MAX);
    params_.padding = options.get("padding", 0, 1) == 0 ? Padding::kSame : Padding::kValid;
    params_.pad_value = options.get("pad_values", 0, 1);
    params_.activation = static_cast<Activation>(options.get("fused_activation_function", 0, 3));
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
    if (std::string problem = said(kernel_.resize(in[0], in[1], in[2])); !problem.empty()) return problem;
    const int last = params_.output == Output::kBits ? words_of(params_.channels_out) : params_.channels_out;
    const Dims out = {in[0], kernel_.out_h(), kernel_.out_w(), last};
    if (std::string problem = node.resize_output(out); !problem.empty()) return problem;
    sizes_.take(node);
    const int64_t item = params_.output == Output::kInt8 ? 1 : 4;
    if (sizes_.input != static_cast<uint64_t>(product(in, 0, 4)) * 4 ||
        sizes_.output != static_cast<uint64_t>(product(out, 0, 4) * item)) {
      return "has a tensor that is too large";
    }
    return "";
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

  BconvParams params_;
  Bconv kernel_;
  bool packed_ = false;
  std::string problem_;
  Sizes sizes_;
};

class MaxPoolOp {
 public:
  static constexpr const char* kName = "LceBMaxPool2d";

  MaxPoolOp(const char* data, size_t size) {
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
    sizes_.take(node);
    if (sizes_.input != static_cast<uint64_t>(product(in, 0, 4)) * 4 ||
        sizes_.output != static_cast<uint64_t>(product(out, 0, 4)) * 4) {
      return "has a tensor that is too large";
    }
    return "";
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

// From here to registered(): the C functions that TFLite calls; user_data is the Parallel of the interpreter.

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
void* init(void*, TfLiteOpaqueContext*, const char* options, size_t size) {
  try {
    return new Op(options, size);
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
TfLiteStatus invoke(void* parallel, TfLiteOpaqueContext* context, TfLiteOpaqueNode* node) {
  return guarded<Op>(context, node, [&](Op& op, const Node& n) {
    return op.run(n, *static_cast<const Parallel*>(parallel));
  });
}

struct DeleteOperator {
  void operator()(TfLiteOperator* op) const { TfLiteOperatorDelete(op); }
};
using OperatorPointer = std::unique_ptr<TfLiteOperator, DeleteOperator>;

template <typename Op>
OperatorPointer registered(Parallel* parallel) {
  OperatorPointer op(TfLiteOperatorCreate(kTfLiteBuiltinCustom, Op::kName, 1, parallel));
  TfLiteOperatorSetInitWithData(op.get(), init<Op>);
  TfLiteOperatorSetFreeWithData(op.get(), release<Op>);
  TfLiteOperatorSetPrepareWithData(op.get(), prepare<Op>);
  TfLiteOperatorSetInvokeWithData(op.get(), invoke<Op>);
  return op;
}

// The XNNPACK of this library takes what SAME pads for an unsigned number. Where on one axis the last window
// ends before the image does, (outputs - 1) stride + window < size, that number is huge, every window lies
// outside, and the convolution is one of zeros. Such ops are left to TFLite's own kernels: while the delegate
// chooses its nodes, their padding is one that it does not know. (Poolings of such a window it never takes.)
constexpr int32_t kHidden = 77;

struct Window {
  TfLiteWindowParams* params;
  int64_t h, w, dilation_h, dilation_w;
};

// The window of a convolution; `params` is null for every other node.
Window window_of(TfLiteOpaqueContext* context, const TfLiteOpaqueNode* node, const TfLiteOperator* op) {
  void* options = TfLiteOpaqueNodeGetBuiltinData(node);
  if (options == nullptr) return {};
  auto filter = [&](int axis) -> int64_t {
    const TfLiteOpaqueTensor* tensor = TfLiteOpaqueNodeGetInput(context, node, 1);
    return tensor != nullptr && TfLiteOpaqueTensorNumDims(tensor) == 4 ? TfLiteOpaqueTensorDim(tensor, axis)
                                                                       : 0;
  };
  switch (TfLiteOperatorGetBuiltInCode(op)) {
    case kTfLiteBuiltinConv2d: {
      auto* conv = static_cast<TfLiteConvParams*>(options);
      return {&conv->window, filter(1), filter(2), conv->dilation_h, conv->dilation_w};
    }
    case kTfLiteBuiltinDepthwiseConv2d: {
      auto* conv = static_cast<TfLiteDepthwiseConvParams*>(options);
      return {&conv->window, filter(1), filter(2), conv->dilation_h, conv->dilation_w};
    }
    default: return {};
  }
}

bool ends_early(int64_t size, int64_t window, int64_t dilation, int64_t stride) {
  return stride > 0 && (size - 1) / stride * stride + (window - 1) * dilation + 1 < size;
}

bool misread_by_xnnpack(TfLiteOpaqueContext* context, const TfLiteOpaqueNode* node, const Window& w) {
  const TfLiteOpaqueTensor* image = TfLiteOpaqueNodeGetInput(context, node, 0);
  if (image == nullptr || TfLiteOpaqueTensorNumDims(image) != 4) return false;
  if (w.h == 1 && w.w == 1) return false;  // it never pads those
  return ends_early(TfLiteOpaqueTensorDim(image, 1), w.h, w.dilation_h, w.params->stride_h) ||
         ends_early(TfLiteOpaqueTensorDim(image, 2), w.w, w.dilation_w, w.params->stride_w);
}

// Its product of int8 matrices is wrong by more than rounding, whatever their shapes. It has no option that the
// delegate does not know, so a graph with one is left to TFLite's own kernels as a whole.
bool multiplies_int8_matrices(TfLiteOpaqueContext* context, const TfLiteOpaqueNode* node,
                              const TfLiteOperator* op) {
  if (TfLiteOperatorGetBuiltInCode(op) != kTfLiteBuiltinBatchMatmul) return false;
  const TfLiteOpaqueTensor* first = TfLiteOpaqueNodeGetInput(context, node, 0);
  return first != nullptr && TfLiteOpaqueTensorType(first) == kTfLiteInt8;
}

// Calls `act` with every node of the graph.
template <typename Act>
void each_node(TfLiteOpaqueContext* context, Act act) {
  TfLiteIntArray* plan = nullptr;
  if (TfLiteOpaqueContextGetExecutionPlan(context, &plan) != kTfLiteOk || plan == nullptr) return;
  for (int i = 0; i < plan->size; ++i) {
    TfLiteOpaqueNode* node = nullptr;
    TfLiteOperator* op = nullptr;
    if (TfLiteOpaqueContextGetNodeAndRegistration(context, plan->data[i], &node, &op) != kTfLiteOk) continue;
    act(node, op);
  }
}

using PrepareDelegate = TfLiteStatus (*)(TfLiteOpaqueContext*, TfLiteDelegate*);
std::atomic<PrepareDelegate> prepare_xnnpack{nullptr};  // the same for every delegate of the library

TfLiteStatus prepare_without_misread(TfLiteOpaqueContext* context, TfLiteDelegate* delegate) {
  bool as_a_whole = false;
  each_node(context, [&](const TfLiteOpaqueNode* node, const TfLiteOperator* op) {
    as_a_whole = as_a_whole || multiplies_int8_matrices(context, node, op);
  });
  if (as_a_whole) return kTfLiteOk;
  each_node(context, [&](const TfLiteOpaqueNode* node, const TfLiteOperator* op) {
    const Window window = window_of(context, node, op);
    if (window.params != nullptr && window.params->padding == kTfLitePaddingSame &&
        misread_by_xnnpack(context, node, window)) {
      window.params->padding = kHidden;
    }
  });
  const TfLiteStatus status = prepare_xnnpack.load()(context, delegate);
  each_node(context, [&](const TfLiteOpaqueNode* node, const TfLiteOperator* op) {
    const Window window = window_of(context, node, op);
    if (window.params != nullptr && window.params->padding == kHidden)
      window.params->padding = kTfLitePaddingSame;
  });
  return status;
}

void run_in_pool(void* pool, void (*task)(void*, size_t), void* context, size_t range) {
  pthreadpool_parallelize_1d(pool, task, context, range, 0);
}

uint64_t now_ns() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace
}  // namespace larqnets

using larqnets::now_ns;

struct larqnets_model {
  larqnets::Parallel parallel = {};
  std::vector<larqnets::OperatorPointer> operators;
  TfLiteTelemetryProfilerStruct profiler = {};
  std::unique_ptr<uint8_t, decltype(&std::free)> copy{nullptr, std::free};
  TfLiteModel* model = nullptr;
  TfLiteDelegate* delegate = nullptr;
  void* own_pool = nullptr;
  TfLiteInterpreter* interpreter = nullptr;
  std::string error;
  larqnets::Profile profile;
  int32_t mark = LARQNETS_MARK_NOTHING;
  int32_t region = 0;
  bool profiled = false;

  ~larqnets_model() {
    if (interpreter != nullptr) TfLiteInterpreterDelete(interpreter);
    if (delegate != nullptr) TfLiteXNNPackDelegateDelete(delegate);
    if (own_pool != nullptr) pthreadpool_destroy(own_pool);
    if (model != nullptr) TfLiteModelDelete(model);
  }
};

namespace {

larqnets_model* owner(TfLiteTelemetryProfilerStruct* profiler) {
  return static_cast<larqnets_model*>(profiler->data);
}

// TFLite reports several lines for one failure, the cause first; they become one sentence after the other.
void take_message(void* user_data, const char* format, va_list arguments) {
  char line[1024];
  std::vsnprintf(line, sizeof line, format, arguments);
  std::string& error = static_cast<larqnets_model*>(user_data)->error;
  try {
    for (char* c = line; *c != 0; ++c) {
      if (*c == '\n' || *c == '\r') *c = ' ';
    }
    if (error.size() < 4096) error += (error.empty() ? "" : " ") + std::string(line);
  } catch (const std::exception&) {  // the message is lost, the failure is not
  }
}

uint32_t on_begin(TfLiteTelemetryProfilerStruct* p, const char* name, int64_t op, int64_t subgraph) {
  larqnets_model* m = owner(p);
  if (subgraph != 0) return larqnets::Profile::kNoEvent;
  const uint32_t number = m->profile.add(name, op, false, 0);
  if (larqnets::Event* event = m->profile.find(number)) event->started = now_ns();
  if (m->mark == LARQNETS_MARK_OPS) larqnets::mark(++m->region);  // last, so that only the op is counted
  return number;
}

void on_end(TfLiteTelemetryProfilerStruct* p, uint32_t number) {
  larqnets_model* m = owner(p);
  larqnets::Event* event = m->profile.find(number);
  if (event == nullptr) return;
  if (m->mark == LARQNETS_MARK_OPS) larqnets::mark(++m->region);
  event->nanoseconds = now_ns() - event->started;
}

void on_delegated_op(TfLiteTelemetryProfilerStruct* p, const char* name, uint64_t microseconds, int64_t op,
                     int64_t) {
  owner(p)->profile.add(name, op, true, 1000 * microseconds);
}

int describe(larqnets_model* m, const TfLiteTensor* tensor, larqnets_tensor* out) {
  const int32_t rank = tensor == nullptr ? -1 : TfLiteTensorNumDims(tensor);
  if (rank < 0 || rank > LARQNETS_MAX_RANK) {
    m->error = rank < 0 ? "There is no such tensor." : "The tensor has too many dimensions.";
    return 1;
  }
  out->name = TfLiteTensorName(tensor) == nullptr ? "" : TfLiteTensorName(tensor);
  out->type = TfLiteTensorType(tensor);
  out->rank = rank;
  for (int32_t i = 0; i < rank; ++i) out->dims[i] = TfLiteTensorDim(tensor, i);
  const TfLiteQuantizationParams q = TfLiteTensorQuantizationParams(tensor);
  out->scale = q.scale;
  out->zero_point = q.zero_point;
  out->bytes = TfLiteTensorByteSize(tensor);
  return 0;
}

// Creates everything of `m`; empty, or what went wrong.
std::string build(larqnets_model* m, const void* bytes, size_t size, const larqnets_options& options) {
  m->error.reserve(8192);  // so that no later sentence needs memory
  if (options.threads < 1 || options.threads > 1024) return "The number of threads must be 1 to 1024.";
  const auto* content = static_cast<const uint8_t*>(bytes);
  if (content == nullptr || size < 8 || std::memcmp(content + 4, "TFL3", 4) != 0) {
    return "This is not a .tflite file: the identifier TFL3 is missing.";
  }
  if (reinterpret_cast<uintptr_t>(bytes) % 16 != 0) {  // constants are used where they lie
    m->copy.reset(static_cast<uint8_t*>(std::aligned_alloc(64, (size + 63) / 64 * 64)));
    if (m->copy == nullptr) return "There is no memory for the model.";
    std::memcpy(m->copy.get(), bytes, size);
    content = m->copy.get();
  }
  TfLiteSetMinimumLogSeverity(2);  // "Created TensorFlow Lite XNNPACK delegate" is no news
  m->model = TfLiteModelCreateWithErrorReporter(content, size, take_message, m);
  if (m->model == nullptr) return "TensorFlow Lite cannot read the model.";

  std::unique_ptr<TfLiteInterpreterOptions, decltype(&TfLiteInterpreterOptionsDelete)> settings(
      TfLiteInterpreterOptionsCreate(), TfLiteInterpreterOptionsDelete);
  TfLiteInterpreterOptionsSetErrorReporter(settings.get(), take_message, m);
  TfLiteInterpreterOptionsSetNumThreads(settings.get(), options.threads);
  if (options.xnnpack != 0) {
    TfLiteXNNPackDelegateOptions delegate_options = TfLiteXNNPackDelegateOptionsDefault();
    delegate_options.num_threads = options.threads;
    m->delegate = TfLiteXNNPackDelegateCreate(&delegate_options);
    if (m->delegate == nullptr) return "XNNPACK does not run on this processor.";
    larqnets::prepare_xnnpack = m->delegate->Prepare;
    m->delegate->Prepare = larqnets::prepare_without_misread;
    TfLiteInterpreterOptionsAddDelegate(settings.get(), m->delegate);
    m->parallel.pool = TfLiteXNNPackDelegateGetThreadPool(m->delegate);
  } else if (options.threads > 1) {
    m->own_pool = pthreadpool_create(static_cast<size_t>(options.threads));
    if (m->own_pool == nullptr) return "The threads cannot be created.";
    m->parallel.pool = m->own_pool;
  }
  m->parallel.run = larqnets::run_in_pool;
  m->parallel.threads =
      m->parallel.pool == nullptr ? 1 : static_cast<int>(pthreadpool_get_threads_count(m->parallel.pool));

  m->operators.push_back(larqnets::registered<larqnets::QuantizeOp>(&m->parallel));
  m->operators.push_back(larqnets::registered<larqnets::DequantizeOp>(&m->parallel));
  m->operators.push_back(larqnets::registered<larqnets::BconvOp>(&m->parallel));
  m->operators.push_back(larqnets::registered<larqnets::MaxPoolOp>(&m->parallel));
  for (const auto& op : m->operators) TfLiteInterpreterOptionsAddOperator(settings.get(), op.get());
  if (options.profile != 0) {
    m->profiled = true;
    m->profiler.data = m;
    m->profiler.ReportTelemetryEvent = [](TfLiteTelemetryProfilerStruct*, const char*, uint64_t) {};
    m->profiler.ReportTelemetryOpEvent = [](TfLiteTelemetryProfilerStruct*, const char*, int64_t, int64_t,
                                            uint64_t) {};
    m->profiler.ReportSettings = [](TfLiteTelemetryProfilerStruct*, const char*, const void*) {};
    m->profiler.ReportBeginOpInvokeEvent = on_begin;
    m->profiler.ReportEndOpInvokeEvent = on_end;
    m->profiler.ReportOpInvokeEvent = on_delegated_op;
    TfLiteInterpreterOptionsSetTelemetryProfiler(settings.get(), &m->profiler);
  }
  m->interpreter = TfLiteInterpreterCreate(m->model, settings.get());
  if (m->interpreter == nullptr) return "TensorFlow Lite cannot use the model.";
  if (TfLiteInterpreterAllocateTensors(m->interpreter) != kTfLiteOk) return "The model cannot be prepared.";
  return "";
}

}  // namespace

EXPORT larqnets_model* larqnets_create(const void* bytes, size_t size, const larqnets_options* options,
                                       char* error, size_t error_size) {
  std::string problem = "There is no memory for the model.";
  try {
    auto m = std::make_unique<larqnets_model>();
    problem = build(m.get(), bytes, size, *options);
    if (problem.empty()) {
      m->error.clear();
      return m.release();
    }
    if (!m->error.empty()) problem = m->error;  // the cause, as the op or TFLite says it
  } catch (const std::exception&) {
  }
  if (error != nullptr && error_size > 0) std::snprintf(error, error_size, "%s", problem.c_str());
  return nullptr;
}

EXPORT void larqnets_destroy(larqnets_model* m) { delete m; }

EXPORT const char* larqnets_error(const larqnets_model* m) { return m->error.c_str(); }

EXPORT int32_t larqnets_num_inputs(const larqnets_model* m) {
  return TfLiteInterpreterGetInputTensorCount(m->interpreter);
}

EXPORT int32_t larqnets_num_outputs(const larqnets_model* m) {
  return TfLiteInterpreterGetOutputTensorCount(m->interpreter);
}

EXPORT int larqnets_input(larqnets_model* m, int32_t index, larqnets_tensor* description) {
  const bool known = index >= 0 && index < larqnets_num_inputs(m);
  return describe(m, known ? TfLiteInterpreterGetInputTensor(m->interpreter, index) : nullptr, description);
}

EXPORT int larqnets_output(larqnets_model* m, int32_t index, larqnets_tensor* description) {
  const bool known = index >= 0 && index < larqnets_num_outputs(m);
  return describe(m, known ? TfLiteInterpreterGetOutputTensor(m->interpreter, index) : nullptr, description);
}

EXPORT int larqnets_set_input(larqnets_model* m, int32_t index, const void* data, size_t bytes) {
  const bool known = index >= 0 && index < larqnets_num_inputs(m);
  TfLiteTensor* tensor = known ? TfLiteInterpreterGetInputTensor(m->interpreter, index) : nullptr;
  if (tensor == nullptr || TfLiteTensorByteSize(tensor) != bytes ||
      (bytes > 0 && TfLiteTensorData(tensor) == nullptr)) {
    m->error = "The input has another size than the model takes.";
    return 1;
  }
  if (bytes > 0) std::memcpy(TfLiteTensorData(tensor), data, bytes);
  return 0;
}

EXPORT int larqnets_invoke(larqnets_model* m) {
  m->error.clear();
  m->profile.clear();
  if (m->mark == LARQNETS_MARK_INVOKE) larqnets::mark(LARQNETS_REGION_INVOKE);
  if (m->mark == LARQNETS_MARK_OPS) larqnets::mark(m->region = LARQNETS_REGION_FIRST_GAP);
  const TfLiteStatus status = TfLiteInterpreterInvoke(m->interpreter);
  if (m->mark != LARQNETS_MARK_NOTHING) larqnets::mark(0);
  if (status == kTfLiteOk && !m->profile.lost()) return 0;
  if (m->error.empty())
    m->error = status == kTfLiteOk ? "There is no memory for the profile." : "The model cannot be run.";
  return 1;
}

EXPORT int larqnets_get_output(larqnets_model* m, int32_t index, void* data, size_t bytes) {
  const bool known = index >= 0 && index < larqnets_num_outputs(m);
  const TfLiteTensor* tensor = known ? TfLiteInterpreterGetOutputTensor(m->interpreter, index) : nullptr;
  if (tensor == nullptr || TfLiteTensorByteSize(tensor) != bytes ||
      (bytes > 0 && TfLiteTensorData(tensor) == nullptr)) {
    m->error = "The output has another size than asked for.";
    return 1;
  }
  if (bytes > 0) std::memcpy(data, TfLiteTensorData(tensor), bytes);
  return 0;
}

EXPORT void larqnets_set_mark(larqnets_model* m, int32_t mark) { m->mark = mark; }

EXPORT int larqnets_get_event(const larqnets_model* m, int32_t index, larqnets_event* event) {
  const larqnets::Event* found = index < 0 ? nullptr : m->profile.find(static_cast<uint32_t>(index));
  if (found == nullptr) return 0;
  *event = {found->name.c_str(), found->op, found->in_delegate ? 1 : 0, found->nanoseconds};
  return 1;
}

EXPORT const char* larqnets_version(void) { return LARQNETS_VERSION; }

EXPORT const char* larqnets_tflite_version(void) { return TfLiteVersion(); }

EXPORT const char* larqnets_kernels(void) {
  return larqnets::best_path() == larqnets::Path::kNeon ? "neon" : "portable";
}
