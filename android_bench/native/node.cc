#include "node.h"

#include <algorithm>

namespace larqnets {

const char* type_name(int type) {
  switch (type) {
    case kTfLiteFloat32: return "float32";
    case kTfLiteInt32: return "int32";
    case kTfLiteInt8: return "int8";
    case kTfLiteBool: return "bool";
    default: return "another type";
  }
}

std::string said(const std::string& sentence) { return sentence.empty() ? "" : "is refused: " + sentence; }

std::string text(const Dims& dims) {
  std::string result = "[";
  for (size_t i = 0; i < dims.size(); ++i) result += (i ? "," : "") + std::to_string(dims[i]);
  return result + "]";
}

std::string Node::resize_output(const Dims& dims) const {
  TfLiteIntArray* array = TfLiteIntArrayCreate(static_cast<int>(dims.size()));
  if (array == nullptr) return "finds no memory";
  std::copy(dims.begin(), dims.end(), array->data);
  if (TfLiteOpaqueContextResizeTensor(context_, output(), array) != kTfLiteOk) {
    return "cannot have an output of " + text(dims);
  }
  return "";
}

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

int64_t product(const Dims& dims, size_t begin, size_t end) {
  constexpr int64_t kCap = int64_t{1} << 46;
  int64_t result = 1;
  for (size_t i = begin; i < end; ++i) result = std::min(kCap, result) * dims[i];
  return result;
}

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
  const uint64_t item = type == kTfLiteInt8 ? 1 : 4;  // all are int8, float32 or int32
  const uint64_t bytes = static_cast<uint64_t>(product(dims, 0, dims.size())) * item;
  if (TfLiteOpaqueTensorGetAllocationType(tensor) != kTfLiteMmapRo || (data == nullptr && bytes > 0) ||
      TfLiteOpaqueTensorByteSize(tensor) != bytes) {
    *problem = std::string("has ") + noun + " that are not a constant of the file";
    return nullptr;
  }
  return data == nullptr ? "" : data;
}

}  // namespace larqnets
