#include "xnnpack.h"

#include <atomic>
#include <cstdint>

namespace larqnets {

namespace {

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

}  // namespace

void keep_misread_out(TfLiteDelegate* delegate) {
  prepare_xnnpack = delegate->Prepare;
  delegate->Prepare = prepare_without_misread;
}

}  // namespace larqnets
