// A node of TensorFlow Lite as the Larq ops see it: tensors, their sizes, constants, options.
#ifndef LARQNETS_NODE_H_
#define LARQNETS_NODE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "options.h"
#include "tflite_abi.h"

namespace larqnets {

using Dims = std::vector<int>;

std::string text(const Dims& dims);

const char* type_name(int type);

// A kernel's own sentence as a clause about the op; empty stays empty.
std::string said(const std::string& sentence);

inline int words_of(int channels) { return static_cast<int>((static_cast<int64_t>(channels) + 31) / 32); }

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

  std::string resize_output(const Dims& dims) const;

 private:
  TfLiteOpaqueContext* context_;
  TfLiteOpaqueNode* node_;
  const int* inputs_ = nullptr;
  const int* outputs_ = nullptr;
  int num_inputs_ = 0;
  int num_outputs_ = 0;
};

Dims dims_of(const TfLiteOpaqueTensor* tensor);

bool any_negative(const Dims& dims);

// Product of the dimensions from `begin` to `end`, capped far above what memory can hold.
int64_t product(const Dims& dims, size_t begin, size_t end);

// A constant of the file with this type and shape; null, and why not, otherwise.
const void* constant(const Node& node, int index, int type, const Dims& dims, const char* noun,
                     std::string* problem);

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
  // Remembers the sizes; says what is wrong when they are not those that the shapes give.
  std::string take(const Node& node, uint64_t input_bytes, uint64_t output_bytes) {
    input = TfLiteOpaqueTensorByteSize(node.input(0));
    output = TfLiteOpaqueTensorByteSize(node.output());
    return input == input_bytes && output == output_bytes ? "" : "has a tensor that is too large";
  }
};

}  // namespace larqnets

#endif  // LARQNETS_NODE_H_
