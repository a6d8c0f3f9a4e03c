// C interface of liblarqnets.so: TensorFlow Lite with the Larq ops. What the runner, Python and apps call.
//
// Functions that can fail return 0 for success; larqnets_error() then says in one sentence what went wrong. A
// model is used by one thread at a time. Damaged files can crash Google's library: validate them first, and
// load files from strangers in a process that you can lose.
#ifndef LARQNETS_LARQNETS_H_
#define LARQNETS_LARQNETS_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct larqnets_model larqnets_model;

enum { LARQNETS_MAX_RANK = 8 };

typedef struct {
  const char* name;  // owned by the model
  int32_t
      type;  // number of TFLite's TfLiteType: 1 float32, 2 int32, 3 uint8, 4 int64, 6 bool, 7 int16, 9 int8
  int32_t rank;
  int32_t dims[LARQNETS_MAX_RANK];
  float scale;  // real = scale (stored - zero_point); scale 0: not quantised
  int32_t zero_point;
  uint64_t bytes;
} larqnets_tensor;

// One op of one invocation, in order of execution.
typedef struct {
  const char* name;      // of the op, or of XNNPACK's kernel; owned by the model
  int32_t op;            // node number; inside a delegate the number within its partition
  int32_t in_delegate;   // 1: ran inside the delegate node before it
  uint64_t nanoseconds;  // inside a delegate in steps of 1,000
  const char* way;       // that a 1-bit convolution counted: popcount, classes or sorted; empty for other ops
} larqnets_event;

// What each invocation marks for an instruction counter (see mark.h).
enum { LARQNETS_MARK_NOTHING = 0, LARQNETS_MARK_INVOKE = 1, LARQNETS_MARK_OPS = 2 };
// Regions: 1 a whole invocation; with LARQNETS_MARK_OPS 2 + 2 i what comes before the i-th op that is not in
// a delegate (a delegate's ops, and TFLite's own work), 3 + 2 i that op.
// What makes the model marks LARQNETS_REGION_LOAD itself.
enum { LARQNETS_REGION_INVOKE = 1, LARQNETS_REGION_FIRST_GAP = 2, LARQNETS_REGION_LOAD = 4095 };

// How 1-bit convolutions count: each in the way that is reckoned to take the fewest instructions for its shape, or
// all in one way, where their shapes can have it.
enum {
  LARQNETS_KERNELS_CHOSEN = 0,
  LARQNETS_KERNELS_POPCOUNT = 1,
  LARQNETS_KERNELS_CLASSES = 2,
  LARQNETS_KERNELS_SORTED = 3
};

typedef struct {
  int32_t threads;     // at least 1
  int32_t xnnpack;     // 1: ordinary ops run in XNNPACK, 0: in TFLite's own kernels
  int32_t profile;     // 1: larqnets_events() and LARQNETS_MARK_OPS work; costs time in every invocation
  int32_t kernels;     // LARQNETS_KERNELS_...
  int32_t low_memory;  // 1: a way that keeps more than four bytes per byte of filters gives place to popcount
} larqnets_options;

// Loads a .tflite file from memory, which must stay as it is until larqnets_destroy. Returns null and writes
// a sentence to `error` when it cannot.
larqnets_model* larqnets_create(const void* bytes, size_t size, const larqnets_options* options, char* error,
                                size_t error_size);
void larqnets_destroy(larqnets_model*);
const char* larqnets_error(const larqnets_model*);

int32_t larqnets_num_inputs(const larqnets_model*);
int32_t larqnets_num_outputs(const larqnets_model*);
int larqnets_input(larqnets_model*, int32_t index, larqnets_tensor* description);
int larqnets_output(larqnets_model*, int32_t index, larqnets_tensor* description);

int larqnets_set_input(larqnets_model*, int32_t index, const void* data, size_t bytes);
int larqnets_invoke(larqnets_model*);
int larqnets_get_output(larqnets_model*, int32_t index, void* data, size_t bytes);

// What 1-bit convolutions keep beside their filters: lists, planes, and room to work.
uint64_t larqnets_prepared_bytes(const larqnets_model*);

void larqnets_set_mark(larqnets_model*, int32_t mark);
// Events of the last invocation; false (0) behind the last one.
int larqnets_get_event(const larqnets_model*, int32_t index, larqnets_event* event);

const char* larqnets_version(void);         // of this library
const char* larqnets_tflite_version(void);  // of TensorFlow Lite; null in an app that has none
const char* larqnets_kernels(void);         // "neon" or "portable"

#ifdef __cplusplus
}
#endif

#endif  // LARQNETS_LARQNETS_H_
