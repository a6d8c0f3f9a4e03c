// What XNNPACK is kept from.
#ifndef LARQNETS_XNNPACK_H_
#define LARQNETS_XNNPACK_H_

#include "tflite_abi.h"

namespace larqnets {

// Leaves to TensorFlow Lite's own kernels what this delegate of XNNPACK would compute wrongly.
void keep_misread_out(TfLiteDelegate* delegate);

}  // namespace larqnets

#endif  // LARQNETS_XNNPACK_H_
