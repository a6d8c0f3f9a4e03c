// TensorFlow Lite as an app has it: a library that is found at run time, and where its functions stand.
#ifndef LARQNETS_TFLITE_LIBRARY_H_
#define LARQNETS_TFLITE_LIBRARY_H_

#include "tflite_abi.h"

namespace larqnets {

using Report = void (*)(void* user_data, const char* format, va_list);
using InitOp = void* (*)(TfLiteOpaqueContext*, const char*, size_t);
using FreeOp = void (*)(TfLiteOpaqueContext*, void*);
using RunOp = TfLiteStatus (*)(TfLiteOpaqueContext*, TfLiteOpaqueNode*);
struct Registration;  // of the library: a TfLiteOperator or a TfLiteRegistrationExternal

// Functions of the same name and type in all versions.
#define SAME_IN_ALL(X)                            \
  X(TfLiteVersion)                                \
  X(TfLiteIntArrayCreate)                         \
  X(TfLiteModelCreateWithErrorReporter)           \
  X(TfLiteModelDelete)                            \
  X(TfLiteInterpreterOptionsCreate)               \
  X(TfLiteInterpreterOptionsDelete)               \
  X(TfLiteInterpreterOptionsSetNumThreads)        \
  X(TfLiteInterpreterOptionsAddDelegate)          \
  X(TfLiteInterpreterOptionsSetErrorReporter)     \
  X(TfLiteInterpreterOptionsSetTelemetryProfiler) \
  X(TfLiteInterpreterCreate)                      \
  X(TfLiteInterpreterDelete)                      \
  X(TfLiteInterpreterAllocateTensors)             \
  X(TfLiteInterpreterInvoke)                      \
  X(TfLiteInterpreterGetInputTensorCount)         \
  X(TfLiteInterpreterGetOutputTensorCount)        \
  X(TfLiteInterpreterGetInputTensor)              \
  X(TfLiteInterpreterGetOutputTensor)             \
  X(TfLiteTensorType)                             \
  X(TfLiteTensorNumDims)                          \
  X(TfLiteTensorDim)                              \
  X(TfLiteTensorByteSize)                         \
  X(TfLiteTensorName)                             \
  X(TfLiteTensorData)                             \
  X(TfLiteTensorQuantizationParams)               \
  X(TfLiteOpaqueNodeGetUserData)                  \
  X(TfLiteOpaqueNodeGetBuiltinData)               \
  X(TfLiteOpaqueNodeInputs)                       \
  X(TfLiteOpaqueNodeOutputs)                      \
  X(TfLiteOpaqueNodeGetInput)                     \
  X(TfLiteOpaqueNodeGetOutput)                    \
  X(TfLiteOpaqueTensorType)                       \
  X(TfLiteOpaqueTensorNumDims)                    \
  X(TfLiteOpaqueTensorDim)                        \
  X(TfLiteOpaqueTensorByteSize)                   \
  X(TfLiteOpaqueTensorData)                       \
  X(TfLiteOpaqueTensorGetAllocationType)          \
  X(TfLiteOpaqueTensorGetQuantizationParams)      \
  X(TfLiteOpaqueTensorGetQuantization)            \
  X(TfLiteOpaqueContextResizeTensor)              \
  X(TfLiteOpaqueContextReportError)               \
  X(TfLiteOpaqueContextGetExecutionPlan)          \
  X(TfLiteOpaqueContextGetNodeAndRegistration)    \
  X(TfLiteXNNPackDelegateOptionsDefault)          \
  X(TfLiteXNNPackDelegateCreate)                  \
  X(TfLiteXNNPackDelegateDelete)

struct Library {
  void* handle = nullptr;
  char problem[800] = "";  // why none serves, empty when one does
#define POINTER(name) decltype(&::name) name = nullptr;
  SAME_IN_ALL(POINTER)
#undef POINTER
  // Those of the operator family. Newer versions of Create have a last argument for user data, older ones do
  // not look at it.
  Registration* (*operator_create)(int32_t, const char*, int, void*) = nullptr;
  void (*operator_delete)(Registration*) = nullptr;
  int32_t (*operator_builtin_code)(const Registration*) = nullptr;
  void (*operator_set_init)(Registration*, InitOp) = nullptr;
  void (*operator_set_free)(Registration*, FreeOp) = nullptr;
  void (*operator_set_prepare)(Registration*, RunOp) = nullptr;
  void (*operator_set_invoke)(Registration*, RunOp) = nullptr;
  void (*options_add_operator)(TfLiteInterpreterOptions*, Registration*) = nullptr;
  decltype(&::TfLiteSetMinimumLogSeverity) set_log_severity = nullptr;  // null in libraries of Android
};

// That of this process: the first that has all we call, looked for once. A library is never closed: some crash
// when they are.
const Library& tflite();

}  // namespace larqnets

#endif  // LARQNETS_TFLITE_LIBRARY_H_
