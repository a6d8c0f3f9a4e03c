// The C interface of larqnets.h: a model of TensorFlow Lite with the Larq ops, its pool of threads, its profiler.
//
// No exception leaves a function that C code calls.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "kernels.h"
#include "larq_ops.h"
#include "larqnets.h"
#include "mark.h"
#include "profile.h"
#include "tflite_abi.h"
#include "xnnpack.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace larqnets {
namespace {

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
  larqnets::Settings settings;
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
  event->way = std::exchange(m->settings.way, "");
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
  if (options.kernels < LARQNETS_KERNELS_CHOSEN || options.kernels > LARQNETS_KERNELS_SORTED) {
    return "There are no such kernels of 1-bit convolutions.";
  }
  m->settings.kernels = static_cast<larqnets::Kernels>(options.kernels);
  m->settings.low_memory = options.low_memory != 0;
  const auto* content = static_cast<const uint8_t*>(bytes);
  if (content == nullptr || size < 8 || std::memcmp(content + 4, "TFL3", 4) != 0) {
    return "This is not a .tflite file: the identifier TFL3 is missing.";
  }
  if (reinterpret_cast<uintptr_t>(bytes) % 16 != 0) {  // constants are used where they lie
    void* copy = nullptr;
    if (posix_memalign(&copy, 64, size) != 0) return "There is no memory for the model.";
    m->copy.reset(static_cast<uint8_t*>(copy));
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
    larqnets::keep_misread_out(m->delegate);
    TfLiteInterpreterOptionsAddDelegate(settings.get(), m->delegate);
    m->settings.parallel.pool = TfLiteXNNPackDelegateGetThreadPool(m->delegate);
  }
  if (m->settings.parallel.pool == nullptr && options.threads > 1) {
    m->own_pool = pthreadpool_create(static_cast<size_t>(options.threads));
    if (m->own_pool == nullptr) return "The threads cannot be created.";
    m->settings.parallel.pool = m->own_pool;
  }
  m->settings.parallel.run = larqnets::run_in_pool;
  void* pool = m->settings.parallel.pool;
  m->settings.parallel.threads = pool == nullptr ? 1 : static_cast<int>(pthreadpool_get_threads_count(pool));

  m->operators = larqnets::larq_operators(&m->settings);
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
  const auto say = [&](const char* sentence) {
    if (error != nullptr && error_size > 0) std::snprintf(error, error_size, "%s", sentence);
  };
  try {
    auto m = std::make_unique<larqnets_model>();
    const std::string problem = build(m.get(), bytes, size, *options);
    if (problem.empty()) {
      m->error.clear();
      return m.release();
    }
    say((m->error.empty() ? problem : m->error).c_str());  // the cause, as the op or TFLite says it
  } catch (const std::exception&) {
    say("There is no memory for the model.");
  }
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

EXPORT uint64_t larqnets_prepared_bytes(const larqnets_model* m) { return m->settings.prepared_bytes; }

EXPORT void larqnets_set_mark(larqnets_model* m, int32_t mark) { m->mark = mark; }

EXPORT int larqnets_get_event(const larqnets_model* m, int32_t index, larqnets_event* event) {
  const larqnets::Event* found = index < 0 ? nullptr : m->profile.find(static_cast<uint32_t>(index));
  if (found == nullptr) return 0;
  *event = {found->name.c_str(), found->op, found->in_delegate ? 1 : 0, found->nanoseconds, found->way};
  return 1;
}

EXPORT const char* larqnets_version(void) { return LARQNETS_VERSION; }

EXPORT const char* larqnets_tflite_version(void) { return TfLiteVersion(); }

EXPORT const char* larqnets_kernels(void) {
  return larqnets::best_path() == larqnets::Path::kNeon ? "neon" : "portable";
}
