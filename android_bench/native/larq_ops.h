// The Larq ops and LarqnetsConv2dInt8 as TensorFlow Lite takes them.
#ifndef LARQNETS_LARQ_OPS_H_
#define LARQNETS_LARQ_OPS_H_

#include <memory>
#include <vector>

#include "kernels.h"
#include "tflite_abi.h"

namespace larqnets {

struct DeleteOperator {
  void operator()(TfLiteOperator* op) const { TfLiteOperatorDelete(op); }
};
using OperatorPointer = std::unique_ptr<TfLiteOperator, DeleteOperator>;

// What the ops of one interpreter share: how their kernels share the work and how 1-bit convolutions count, and
// what they tell of it.
struct Settings {
  Parallel parallel = {};
  Kernels kernels = Kernels::kChosen;
  bool low_memory = false;
  size_t prepared_bytes = 0;  // that 1-bit convolutions keep beside their packed filters
  const char* way = "";       // that the last op counted, of kKernelNames; empty for other ops
};

// All of them; `settings` has to outlive them.
std::vector<OperatorPointer> larq_operators(Settings* settings);

}  // namespace larqnets

#endif  // LARQNETS_LARQ_OPS_H_
