// The profiler of tflite.cc while memory ends, for test_profile.py: a double of TensorFlow Lite invokes two
// ops, and every allocation of an invocation fails once.
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "larqnets.h"
#include "tflite_abi.h"

namespace {

long allocations_left = -1;  // before one fails; -1: none does
TfLiteTelemetryProfilerStruct* profiler = nullptr;
int place;  // what opaque pointers point to

template <typename T>
T* something() {
  return reinterpret_cast<T*>(&place);
}

}  // namespace

void* operator new(std::size_t size) {
  if (allocations_left == 0) throw std::bad_alloc();
  if (allocations_left > 0) --allocations_left;
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

extern "C" {
int TfLiteSetMinimumLogSeverity(int) { return 0; }
TfLiteModel* TfLiteModelCreateWithErrorReporter(const void*, size_t, void (*)(void*, const char*, va_list),
                                                void*) {
  return something<TfLiteModel>();
}
void TfLiteModelDelete(TfLiteModel*) {}
TfLiteInterpreterOptions* TfLiteInterpreterOptionsCreate() { return something<TfLiteInterpreterOptions>(); }
void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions*) {}
void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions*, int32_t) {}
void TfLiteInterpreterOptionsAddOperator(TfLiteInterpreterOptions*, TfLiteOperator*) {}
void TfLiteInterpreterOptionsSetErrorReporter(TfLiteInterpreterOptions*,
                                              void (*)(void*, const char*, va_list), void*) {}
void TfLiteInterpreterOptionsSetTelemetryProfiler(TfLiteInterpreterOptions*,
                                                  TfLiteTelemetryProfilerStruct* p) {
  profiler = p;
}
TfLiteOperator* TfLiteOperatorCreate(int32_t, const char*, int, void*) { return something<TfLiteOperator>(); }
void TfLiteOperatorDelete(TfLiteOperator*) {}
TfLiteStatus TfLiteOperatorSetInitWithData(TfLiteOperator*,
                                           void* (*)(void*, TfLiteOpaqueContext*, const char*, size_t)) {
  return kTfLiteOk;
}
TfLiteStatus TfLiteOperatorSetFreeWithData(TfLiteOperator*, void (*)(void*, TfLiteOpaqueContext*, void*)) {
  return kTfLiteOk;
}
TfLiteStatus TfLiteOperatorSetPrepareWithData(TfLiteOperator*, TfLiteStatus (*)(void*, TfLiteOpaqueContext*,
                                                                                TfLiteOpaqueNode*)) {
  return kTfLiteOk;
}
TfLiteStatus TfLiteOperatorSetInvokeWithData(TfLiteOperator*, TfLiteStatus (*)(void*, TfLiteOpaqueContext*,
                                                                               TfLiteOpaqueNode*)) {
  return kTfLiteOk;
}
TfLiteInterpreter* TfLiteInterpreterCreate(const TfLiteModel*, const TfLiteInterpreterOptions*) {
  return something<TfLiteInterpreter>();
}
void TfLiteInterpreterDelete(TfLiteInterpreter*) {}
TfLiteStatus TfLiteInterpreterAllocateTensors(TfLiteInterpreter*) { return kTfLiteOk; }

TfLiteStatus TfLiteInterpreterInvoke(TfLiteInterpreter*) {
  for (int op = 0; op < 2; ++op) {
    const char* name =
        op == 0 ? "an op whose name is longer than a string holds by itself" : "XNNPACK's part of it";
    const uint32_t handle = profiler->ReportBeginOpInvokeEvent(profiler, name, op, 0);
    profiler->ReportOpInvokeEvent(profiler, "a kernel in the delegate, with a long name too", 5, 0, 0);
    profiler->ReportEndOpInvokeEvent(profiler, handle);
  }
  return kTfLiteOk;
}
}

int main() {
  alignas(16) uint8_t file[16] = {};
  std::memcpy(file + 4, "TFL3", 4);
  const larqnets_options options = {1, 0, 1, LARQNETS_KERNELS_CHOSEN, 0};
  for (long before = 0;; ++before) {
    char error[256] = "";
    larqnets_model* model = larqnets_create(file, sizeof file, &options, error, sizeof error);
    if (model == nullptr) {
      std::fprintf(stderr, "cannot be created: %s\n", error);
      return 1;
    }
    allocations_left = before;
    const int status = larqnets_invoke(model);
    const bool failed = allocations_left == 0;
    allocations_left = -1;
    std::printf("%ld: %s\n", before, status == 0 ? "done" : larqnets_error(model));
    if (larqnets_invoke(model) != 0) return 1;  // memory is back
    larqnets_event event;
    int events = 0;
    while (larqnets_get_event(model, events, &event) != 0) ++events;
    larqnets_destroy(model);
    if (events != 4) return 1;
    if (!failed) return 0;
  }
}
