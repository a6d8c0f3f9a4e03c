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

// All of them; `parallel`, which says how their kernels share the work, has to outlive them.
std::vector<OperatorPointer> larq_operators(Parallel* parallel);

}  // namespace larqnets

#endif  // LARQNETS_LARQ_OPS_H_
