// All of tflite_abi.h but the thread pool over a library that is found at run time (tflite_library.h), for the
// app build. The other sources call it as if it were linked. Where there is no library,
// TfLiteModelCreateWithErrorReporter says so.
//
// Until 2.14 what is now TfLiteOperator was TfLiteRegistrationExternal, whose callbacks have no user data. Both
// families have callbacks of the same types without user data, so these alone are used, and an operator keeps
// its user data here: init finds it through the interpreter that its thread is creating and keeps it in the
// node's state.
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "tflite_abi.h"
#include "tflite_library.h"

using larqnets::InitOp;
using larqnets::Registration;
using larqnets::Report;
using larqnets::tflite;

// Ours, in the place of the library's.
struct TfLiteOperator {
  Registration* registration = nullptr;
  void* user_data = nullptr;
  void* (*init)(void*, TfLiteOpaqueContext*, const char*, size_t) = nullptr;
  void (*free)(void*, TfLiteOpaqueContext*, void*) = nullptr;
  TfLiteStatus (*prepare)(void*, TfLiteOpaqueContext*, TfLiteOpaqueNode*) = nullptr;
  TfLiteStatus (*invoke)(void*, TfLiteOpaqueContext*, TfLiteOpaqueNode*) = nullptr;
};

namespace {

// What a TfLiteInterpreterOptions* of ours points to: the library's, and the operators in the order in which
// they were added.
struct Options {
  TfLiteInterpreterOptions* inner;
  std::vector<const TfLiteOperator*> operators;
};

Options* ours(TfLiteInterpreterOptions* options) { return reinterpret_cast<Options*>(options); }

// What the library keeps for a node of our ops.
struct State {
  const TfLiteOperator* op;
  void* state;  // that the op's own init returned
};

// Of the interpreter that this thread is creating: its nodes are made in no other call.
thread_local const Options* creating = nullptr;

template <size_t kNumber>
void* init_op(TfLiteOpaqueContext* context, const char* data, size_t size) {
  if (creating == nullptr || kNumber >= creating->operators.size()) return nullptr;
  const TfLiteOperator* op = creating->operators[kNumber];
  auto* state = new (std::nothrow) State{op, nullptr};
  if (state != nullptr) state->state = op->init(op->user_data, context, data, size);
  return state;
}

void free_op(TfLiteOpaqueContext* context, void* node_state) {
  const std::unique_ptr<State> state(static_cast<State*>(node_state));
  if (state != nullptr) state->op->free(state->op->user_data, context, state->state);
}

template <typename Act>
TfLiteStatus with_state(TfLiteOpaqueContext* context, TfLiteOpaqueNode* node, Act act) {
  const auto* state = static_cast<const State*>(tflite().TfLiteOpaqueNodeGetUserData(node));
  if (state != nullptr) return act(*state->op);
  tflite().TfLiteOpaqueContextReportError(context, "A Larq op finds no memory.");
  return kTfLiteError;
}

TfLiteStatus prepare_op(TfLiteOpaqueContext* context, TfLiteOpaqueNode* node) {
  return with_state(context, node,
                    [&](const TfLiteOperator& op) { return op.prepare(op.user_data, context, node); });
}

TfLiteStatus invoke_op(TfLiteOpaqueContext* context, TfLiteOpaqueNode* node) {
  return with_state(context, node,
                    [&](const TfLiteOperator& op) { return op.invoke(op.user_data, context, node); });
}

constexpr size_t kMaxOperators = 16;

template <size_t... kNumbers>
InitOp init_of(size_t number, std::index_sequence<kNumbers...>) {
  constexpr InitOp kInits[] = {init_op<kNumbers>...};
  return kInits[number];
}

}  // namespace

// Calls the library's function of the same name.
#define FORWARD(result, name, parameters, arguments) \
  result name parameters { return tflite().name arguments; }

extern "C" {

// Null where there is no library.
const char* TfLiteVersion() { return tflite().handle == nullptr ? nullptr : tflite().TfLiteVersion(); }

int TfLiteSetMinimumLogSeverity(int severity) {
  return tflite().set_log_severity == nullptr ? 0 : tflite().set_log_severity(severity);
}

FORWARD(TfLiteIntArray*, TfLiteIntArrayCreate, (int size), (size))

TfLiteModel* TfLiteModelCreateWithErrorReporter(const void* data, size_t size, Report report,
                                                void* user_data) {
  if (tflite().handle != nullptr) {
    return tflite().TfLiteModelCreateWithErrorReporter(data, size, report, user_data);
  }
  const auto say = [&](const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    report(user_data, format, arguments);
    va_end(arguments);
  };
  say("%s", tflite().problem);
  return nullptr;
}
FORWARD(void, TfLiteModelDelete, (TfLiteModel * model), (model))

TfLiteInterpreterOptions* TfLiteInterpreterOptionsCreate() {
  return reinterpret_cast<TfLiteInterpreterOptions*>(
      new Options{tflite().TfLiteInterpreterOptionsCreate(), {}});
}
void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions* options) {
  tflite().TfLiteInterpreterOptionsDelete(ours(options)->inner);
  delete ours(options);
}
FORWARD(void, TfLiteInterpreterOptionsSetNumThreads, (TfLiteInterpreterOptions * options, int32_t threads),
        (ours(options)->inner, threads))
FORWARD(void, TfLiteInterpreterOptionsAddDelegate,
        (TfLiteInterpreterOptions * options, TfLiteDelegate* delegate), (ours(options)->inner, delegate))
FORWARD(void, TfLiteInterpreterOptionsSetErrorReporter,
        (TfLiteInterpreterOptions * options, Report report, void* user_data),
        (ours(options)->inner, report, user_data))
FORWARD(void, TfLiteInterpreterOptionsSetTelemetryProfiler,
        (TfLiteInterpreterOptions * options, TfLiteTelemetryProfilerStruct* profiler),
        (ours(options)->inner, profiler))
// One more than kMaxOperators is not added: a model with it is refused, its name said.
void TfLiteInterpreterOptionsAddOperator(TfLiteInterpreterOptions* options, TfLiteOperator* op) {
  const size_t number = ours(options)->operators.size();
  if (number >= kMaxOperators) return;
  ours(options)->operators.push_back(op);
  tflite().operator_set_init(op->registration, init_of(number, std::make_index_sequence<kMaxOperators>()));
  tflite().options_add_operator(ours(options)->inner, op->registration);
}
TfLiteInterpreter* TfLiteInterpreterCreate(const TfLiteModel* model,
                                           const TfLiteInterpreterOptions* options) {
  creating = reinterpret_cast<const Options*>(options);
  TfLiteInterpreter* interpreter = tflite().TfLiteInterpreterCreate(model, creating->inner);
  creating = nullptr;
  return interpreter;
}

FORWARD(void, TfLiteInterpreterDelete, (TfLiteInterpreter * interpreter), (interpreter))
FORWARD(TfLiteStatus, TfLiteInterpreterAllocateTensors, (TfLiteInterpreter * interpreter), (interpreter))
FORWARD(TfLiteStatus, TfLiteInterpreterInvoke, (TfLiteInterpreter * interpreter), (interpreter))
FORWARD(int32_t, TfLiteInterpreterGetInputTensorCount, (const TfLiteInterpreter* interpreter), (interpreter))
FORWARD(int32_t, TfLiteInterpreterGetOutputTensorCount, (const TfLiteInterpreter* interpreter), (interpreter))
FORWARD(TfLiteTensor*, TfLiteInterpreterGetInputTensor, (const TfLiteInterpreter* interpreter, int32_t index),
        (interpreter, index))
FORWARD(const TfLiteTensor*, TfLiteInterpreterGetOutputTensor,
        (const TfLiteInterpreter* interpreter, int32_t index), (interpreter, index))
FORWARD(int32_t, TfLiteTensorType, (const TfLiteTensor* tensor), (tensor))
FORWARD(int32_t, TfLiteTensorNumDims, (const TfLiteTensor* tensor), (tensor))
FORWARD(int32_t, TfLiteTensorDim, (const TfLiteTensor* tensor, int32_t index), (tensor, index))
FORWARD(size_t, TfLiteTensorByteSize, (const TfLiteTensor* tensor), (tensor))
FORWARD(const char*, TfLiteTensorName, (const TfLiteTensor* tensor), (tensor))
FORWARD(void*, TfLiteTensorData, (const TfLiteTensor* tensor), (tensor))
FORWARD(TfLiteQuantizationParams, TfLiteTensorQuantizationParams, (const TfLiteTensor* tensor), (tensor))

TfLiteOperator* TfLiteOperatorCreate(int32_t builtin_code, const char* name, int version, void* user_data) {
  auto op = std::make_unique<TfLiteOperator>();
  op->registration = tflite().operator_create(builtin_code, name, version, nullptr);
  op->user_data = user_data;
  tflite().operator_set_free(op->registration, free_op);
  tflite().operator_set_prepare(op->registration, prepare_op);
  tflite().operator_set_invoke(op->registration, invoke_op);
  return op.release();
}
void TfLiteOperatorDelete(TfLiteOperator* op) {
  tflite().operator_delete(op->registration);
  delete op;
}
TfLiteStatus TfLiteOperatorSetInitWithData(TfLiteOperator* op,
                                           void* (*init)(void*, TfLiteOpaqueContext*, const char*, size_t)) {
  op->init = init;
  return kTfLiteOk;
}
TfLiteStatus TfLiteOperatorSetFreeWithData(TfLiteOperator* op,
                                           void (*free)(void*, TfLiteOpaqueContext*, void*)) {
  op->free = free;
  return kTfLiteOk;
}
TfLiteStatus TfLiteOperatorSetPrepareWithData(TfLiteOperator* op,
                                              TfLiteStatus (*prepare)(void*, TfLiteOpaqueContext*,
                                                                      TfLiteOpaqueNode*)) {
  op->prepare = prepare;
  return kTfLiteOk;
}
TfLiteStatus TfLiteOperatorSetInvokeWithData(TfLiteOperator* op,
                                             TfLiteStatus (*invoke)(void*, TfLiteOpaqueContext*,
                                                                    TfLiteOpaqueNode*)) {
  op->invoke = invoke;
  return kTfLiteOk;
}
// Of what TfLiteOpaqueContextGetNodeAndRegistration gives, which is the library's own.
int32_t TfLiteOperatorGetBuiltInCode(const TfLiteOperator* op) {
  return tflite().operator_builtin_code(reinterpret_cast<const Registration*>(op));
}

// Of our ops' own nodes.
void* TfLiteOpaqueNodeGetUserData(const TfLiteOpaqueNode* node) {
  return static_cast<const State*>(tflite().TfLiteOpaqueNodeGetUserData(node))->state;
}
FORWARD(void*, TfLiteOpaqueNodeGetBuiltinData, (const TfLiteOpaqueNode* node), (node))
FORWARD(TfLiteStatus, TfLiteOpaqueNodeInputs, (const TfLiteOpaqueNode* node, const int** indices, int* count),
        (node, indices, count))
FORWARD(TfLiteStatus, TfLiteOpaqueNodeOutputs,
        (const TfLiteOpaqueNode* node, const int** indices, int* count), (node, indices, count))
FORWARD(const TfLiteOpaqueTensor*, TfLiteOpaqueNodeGetInput,
        (const TfLiteOpaqueContext* context, const TfLiteOpaqueNode* node, int index), (context, node, index))
FORWARD(TfLiteOpaqueTensor*, TfLiteOpaqueNodeGetOutput,
        (TfLiteOpaqueContext * context, const TfLiteOpaqueNode* node, int index), (context, node, index))
FORWARD(int32_t, TfLiteOpaqueTensorType, (const TfLiteOpaqueTensor* tensor), (tensor))
FORWARD(int32_t, TfLiteOpaqueTensorNumDims, (const TfLiteOpaqueTensor* tensor), (tensor))
FORWARD(int32_t, TfLiteOpaqueTensorDim, (const TfLiteOpaqueTensor* tensor, int32_t index), (tensor, index))
FORWARD(size_t, TfLiteOpaqueTensorByteSize, (const TfLiteOpaqueTensor* tensor), (tensor))
FORWARD(void*, TfLiteOpaqueTensorData, (const TfLiteOpaqueTensor* tensor), (tensor))
FORWARD(int32_t, TfLiteOpaqueTensorGetAllocationType, (const TfLiteOpaqueTensor* tensor), (tensor))
FORWARD(TfLiteQuantizationParams, TfLiteOpaqueTensorGetQuantizationParams, (const TfLiteOpaqueTensor* tensor),
        (tensor))
FORWARD(TfLiteQuantization, TfLiteOpaqueTensorGetQuantization, (const TfLiteOpaqueTensor* tensor), (tensor))
FORWARD(TfLiteStatus, TfLiteOpaqueContextResizeTensor,
        (TfLiteOpaqueContext * context, TfLiteOpaqueTensor* tensor, TfLiteIntArray* taken),
        (context, tensor, taken))

void TfLiteOpaqueContextReportError(TfLiteOpaqueContext* context, const char* format, ...) {
  char sentence[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(sentence, sizeof sentence, format, arguments);
  va_end(arguments);
  tflite().TfLiteOpaqueContextReportError(context, "%s", sentence);
}

FORWARD(TfLiteStatus, TfLiteOpaqueContextGetExecutionPlan,
        (TfLiteOpaqueContext * context, TfLiteIntArray** plan), (context, plan))
FORWARD(TfLiteStatus, TfLiteOpaqueContextGetNodeAndRegistration,
        (TfLiteOpaqueContext * context, int number, TfLiteOpaqueNode** node, TfLiteOperator** op),
        (context, number, node, op))

FORWARD(TfLiteXNNPackDelegateOptions, TfLiteXNNPackDelegateOptionsDefault, (), ())
FORWARD(TfLiteDelegate*, TfLiteXNNPackDelegateCreate, (const TfLiteXNNPackDelegateOptions* options),
        (options))
FORWARD(void, TfLiteXNNPackDelegateDelete, (TfLiteDelegate * delegate), (delegate))
// The delegate's pool is one of its own library, whose functions cannot be called; threads.cc has another.
void* TfLiteXNNPackDelegateGetThreadPool(TfLiteDelegate*) { return nullptr; }

}  // extern "C"
