// The part of TensorFlow Lite's C API that we call, declared by ourselves: names, numbers and layouts are
// those that libLiteRtRuntimeCApi.so of ai-edge-litert 2.0.3 (aarch64) exports. Only structs that cross the
// border by value or whose fields we touch have a layout here; all others stay opaque.
#ifndef LARQNETS_TFLITE_ABI_H_
#define LARQNETS_TFLITE_ABI_H_

#include <cstdarg>
#include <cstddef>
#include <cstdint>

extern "C" {

typedef struct TfLiteModel TfLiteModel;
typedef struct TfLiteInterpreter TfLiteInterpreter;
typedef struct TfLiteInterpreterOptions TfLiteInterpreterOptions;
typedef struct TfLiteOperator TfLiteOperator;
typedef struct TfLiteTensor TfLiteTensor;
typedef struct TfLiteOpaqueContext TfLiteOpaqueContext;
typedef struct TfLiteOpaqueNode TfLiteOpaqueNode;
typedef struct TfLiteOpaqueTensor TfLiteOpaqueTensor;

typedef int32_t TfLiteStatus;
enum { kTfLiteOk = 0, kTfLiteError = 1 };
enum {
  kTfLiteBuiltinConv2d = 3,
  kTfLiteBuiltinDepthwiseConv2d = 4,
  kTfLiteBuiltinCustom = 32,
  kTfLiteBuiltinBatchMatmul = 126,
};
enum { kTfLitePaddingSame = 1, kTfLitePaddingValid = 2 };
enum {
  kTfLiteNoType = 0,
  kTfLiteFloat32 = 1,
  kTfLiteInt32 = 2,
  kTfLiteUInt8 = 3,
  kTfLiteInt64 = 4,
  kTfLiteBool = 6,
  kTfLiteInt16 = 7,
  kTfLiteInt8 = 9,
  kTfLiteFloat16 = 10,
  kTfLiteFloat64 = 11,
  kTfLiteUInt64 = 13,
  kTfLiteUInt32 = 16,
  kTfLiteUInt16 = 17,
};
enum { kTfLiteMmapRo = 1 };           // allocation type of a constant of the file
enum { kTfLiteOptionalTensor = -1 };  // index of an absent input

// Of a delegate we know where the function stands that chooses its nodes.
typedef struct TfLiteDelegate {
  void* data;
  TfLiteStatus (*Prepare)(TfLiteOpaqueContext*, struct TfLiteDelegate*);
} TfLiteDelegate;

typedef struct {
  float scale;
  int32_t zero_point;
} TfLiteQuantizationParams;

typedef struct {
  int size;
  int data[];
} TfLiteIntArray;
typedef struct {
  int size;
  float data[];
} TfLiteFloatArray;

// All of what a file says about the quantisation of a tensor: `params` is a TfLiteAffineQuantization where type
// is kTfLiteAffineQuantization.
typedef struct {
  int32_t type;
  const void* params;
} TfLiteQuantization;
typedef struct {
  const TfLiteFloatArray* scale;
  const TfLiteIntArray* zero_point;
  int32_t quantized_dimension;
} TfLiteAffineQuantization;
enum { kTfLiteAffineQuantization = 1 };

const char* TfLiteVersion();
// tflite::logging_internal::MinimalLogger::SetMinimumLogSeverity; 1 info, 2 warning, 3 error. Returns the old
// one.
int TfLiteSetMinimumLogSeverity(int severity) __asm__(
    "_ZN6tflite16logging_internal13MinimalLogger21SetMinimumLogSeverityENS_11LogSeverityE");
TfLiteIntArray* TfLiteIntArrayCreate(int size);

// Model and interpreter.
TfLiteModel* TfLiteModelCreateWithErrorReporter(const void* data, size_t size,
                                                void (*report)(void* user_data, const char* format, va_list),
                                                void* user_data);
void TfLiteModelDelete(TfLiteModel*);
TfLiteInterpreterOptions* TfLiteInterpreterOptionsCreate();
void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions*);
void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions*, int32_t);
void TfLiteInterpreterOptionsAddDelegate(TfLiteInterpreterOptions*, TfLiteDelegate*);
void TfLiteInterpreterOptionsAddOperator(TfLiteInterpreterOptions*, TfLiteOperator*);
void TfLiteInterpreterOptionsSetErrorReporter(TfLiteInterpreterOptions*,
                                              void (*report)(void* user_data, const char* format, va_list),
                                              void* user_data);
TfLiteInterpreter* TfLiteInterpreterCreate(const TfLiteModel*, const TfLiteInterpreterOptions*);
void TfLiteInterpreterDelete(TfLiteInterpreter*);
TfLiteStatus TfLiteInterpreterAllocateTensors(TfLiteInterpreter*);
TfLiteStatus TfLiteInterpreterInvoke(TfLiteInterpreter*);
int32_t TfLiteInterpreterGetInputTensorCount(const TfLiteInterpreter*);
int32_t TfLiteInterpreterGetOutputTensorCount(const TfLiteInterpreter*);
TfLiteTensor* TfLiteInterpreterGetInputTensor(const TfLiteInterpreter*, int32_t index);
const TfLiteTensor* TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter*, int32_t index);
int32_t TfLiteTensorType(const TfLiteTensor*);
int32_t TfLiteTensorNumDims(const TfLiteTensor*);
int32_t TfLiteTensorDim(const TfLiteTensor*, int32_t index);
size_t TfLiteTensorByteSize(const TfLiteTensor*);
const char* TfLiteTensorName(const TfLiteTensor*);
void* TfLiteTensorData(const TfLiteTensor*);
TfLiteQuantizationParams TfLiteTensorQuantizationParams(const TfLiteTensor*);

// Custom ops. `user_data` is the last argument of TfLiteOperatorCreate; Init's return value is the node's own
// state.
TfLiteOperator* TfLiteOperatorCreate(int32_t builtin_code, const char* custom_name, int version,
                                     void* user_data);
void TfLiteOperatorDelete(TfLiteOperator*);
TfLiteStatus TfLiteOperatorSetInitWithData(TfLiteOperator*, void* (*)(void* user_data, TfLiteOpaqueContext*,
                                                                      const char*, size_t));
TfLiteStatus TfLiteOperatorSetFreeWithData(TfLiteOperator*,
                                           void (*)(void* user_data, TfLiteOpaqueContext*, void* node_state));
TfLiteStatus TfLiteOperatorSetPrepareWithData(TfLiteOperator*,
                                              TfLiteStatus (*)(void* user_data, TfLiteOpaqueContext*,
                                                               TfLiteOpaqueNode*));
TfLiteStatus TfLiteOperatorSetInvokeWithData(TfLiteOperator*,
                                             TfLiteStatus (*)(void* user_data, TfLiteOpaqueContext*,
                                                              TfLiteOpaqueNode*));
void* TfLiteOpaqueNodeGetUserData(const TfLiteOpaqueNode*);
TfLiteStatus TfLiteOpaqueNodeInputs(const TfLiteOpaqueNode*, const int** indices, int* count);
TfLiteStatus TfLiteOpaqueNodeOutputs(const TfLiteOpaqueNode*, const int** indices, int* count);
const TfLiteOpaqueTensor* TfLiteOpaqueNodeGetInput(const TfLiteOpaqueContext*, const TfLiteOpaqueNode*, int);
TfLiteOpaqueTensor* TfLiteOpaqueNodeGetOutput(TfLiteOpaqueContext*, const TfLiteOpaqueNode*, int);
int32_t TfLiteOpaqueTensorType(const TfLiteOpaqueTensor*);
int32_t TfLiteOpaqueTensorNumDims(const TfLiteOpaqueTensor*);
int32_t TfLiteOpaqueTensorDim(const TfLiteOpaqueTensor*, int32_t index);
size_t TfLiteOpaqueTensorByteSize(const TfLiteOpaqueTensor*);
void* TfLiteOpaqueTensorData(const TfLiteOpaqueTensor*);
int32_t TfLiteOpaqueTensorGetAllocationType(const TfLiteOpaqueTensor*);
TfLiteQuantizationParams TfLiteOpaqueTensorGetQuantizationParams(const TfLiteOpaqueTensor*);
TfLiteQuantization TfLiteOpaqueTensorGetQuantization(const TfLiteOpaqueTensor*);
TfLiteStatus TfLiteOpaqueContextResizeTensor(TfLiteOpaqueContext*, TfLiteOpaqueTensor*,
                                             TfLiteIntArray* taken);
void TfLiteOpaqueContextReportError(TfLiteOpaqueContext*, const char* format, ...);

// What a node is and what the file says of it, for a delegate that looks at the graph.
typedef struct {
  int32_t padding;
  int32_t stride_w;
  int32_t stride_h;
} TfLiteWindowParams;
typedef struct {
  TfLiteWindowParams window;
  int32_t activation;
  int32_t dilation_w;
  int32_t dilation_h;
} TfLiteConvParams;
typedef struct {
  TfLiteWindowParams window;
  int32_t depth_multiplier;
  int32_t activation;
  int32_t dilation_w;
  int32_t dilation_h;
} TfLiteDepthwiseConvParams;

TfLiteStatus TfLiteOpaqueContextGetExecutionPlan(TfLiteOpaqueContext*, TfLiteIntArray** plan);
TfLiteStatus TfLiteOpaqueContextGetNodeAndRegistration(TfLiteOpaqueContext*, int node, TfLiteOpaqueNode**,
                                                       TfLiteOperator**);
int32_t TfLiteOperatorGetBuiltInCode(const TfLiteOperator*);
void* TfLiteOpaqueNodeGetBuiltinData(const TfLiteOpaqueNode*);

// XNNPACK delegate and its thread pool. We set the first field alone; the room behind it is more than any
// version of the library has filled.
typedef struct {
  int32_t num_threads;
  uint8_t rest[508];
} TfLiteXNNPackDelegateOptions;

TfLiteXNNPackDelegateOptions TfLiteXNNPackDelegateOptionsDefault();
TfLiteDelegate* TfLiteXNNPackDelegateCreate(const TfLiteXNNPackDelegateOptions*);
void TfLiteXNNPackDelegateDelete(TfLiteDelegate*);
void* TfLiteXNNPackDelegateGetThreadPool(TfLiteDelegate*);  // null with one thread

void* pthreadpool_create(size_t threads);
void pthreadpool_destroy(void* pool);
size_t pthreadpool_get_threads_count(void* pool);  // 1 for null
void pthreadpool_parallelize_1d(void* pool, void (*task)(void*, size_t), void* context, size_t range,
                                uint32_t flags);

// Per-op profile. All callbacks must be set; the struct must outlive the interpreter.
typedef struct TfLiteTelemetryProfilerStruct {
  void* data;
  void (*ReportTelemetryEvent)(struct TfLiteTelemetryProfilerStruct*, const char* name, uint64_t status);
  void (*ReportTelemetryOpEvent)(struct TfLiteTelemetryProfilerStruct*, const char* name, int64_t op,
                                 int64_t subgraph, uint64_t status);
  void (*ReportSettings)(struct TfLiteTelemetryProfilerStruct*, const char* name, const void* settings);
  uint32_t (*ReportBeginOpInvokeEvent)(struct TfLiteTelemetryProfilerStruct*, const char* name, int64_t op,
                                       int64_t subgraph);
  void (*ReportEndOpInvokeEvent)(struct TfLiteTelemetryProfilerStruct*, uint32_t handle);
  void (*ReportOpInvokeEvent)(struct TfLiteTelemetryProfilerStruct*, const char* name, uint64_t microseconds,
                              int64_t op, int64_t subgraph);
} TfLiteTelemetryProfilerStruct;

void TfLiteInterpreterOptionsSetTelemetryProfiler(TfLiteInterpreterOptions*, TfLiteTelemetryProfilerStruct*);

}  // extern "C"

#endif  // LARQNETS_TFLITE_ABI_H_
