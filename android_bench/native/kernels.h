// The Larq ops on bit-packed tensors, LceBconv2d, LceQuantize, LceDequantize, LceBMaxPool2d, and
// LarqnetsConv2dInt8. Knows nothing of TFLite.
//
// A packed tensor is (N, H, W, words) of 32-bit words, channels last, words = ceil(C / 32): channel c is bit
// c % 32 of word c / 32, bit 0 means +1, bit 1 means -1, the unused high bits of the last word are 0 (in
// inputs by contract, in outputs by promise). Data pointers may have any alignment; nothing outside of the
// tensors is ever read or written. Errors are one sentence for the user; an empty string means success. No
// function throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace larqnets {

// Three implementations with equal results. kReference is slow and obviously right, kPortable runs anywhere,
// kNeon exists only on aarch64.
enum class Path { kReference, kPortable, kNeon };
Path best_path();
bool has_path(Path path);

// Ways to count, with equal results: the bits in which a window and a filter differ (bconv_plan.h); the bits
// of windows in classes that several filters share (class_plan.h); the bits of filters in classes that
// several windows share (sorted_plan.h). kChosen is the one that is reckoned to take the fewest instructions
// for the shape; a way that a shape cannot have is replaced by kPopcount.
enum class Kernels { kChosen, kPopcount, kClasses, kSorted };
constexpr const char* kKernelNames[] = {"chosen", "popcount", "classes", "sorted"};

enum class Output { kFloat, kInt8, kBits };
enum class Padding { kSame, kValid };
enum class Activation { kNone, kRelu, kReluN1To1, kRelu6 };

// Calls task(context, i) for every i in [0, range), in any order and on any thread, and returns when all are
// done. `threads` is how many of them can run at once. Results do not depend on it.
struct Parallel {
  void (*run)(void* pool, void (*task)(void* context, size_t i), void* context, size_t range);
  void* pool;
  int threads;
};
Parallel one_thread();
inline void run_tasks(const Parallel& parallel, void (*task)(void* context, size_t i), void* context,
                      size_t range) {
  if (range == 1) return task(context, 0);  // not worth waking a pool
  parallel.run(parallel.pool, task, context, range);
}
constexpr int kMaxThreads = 16;  // more are not used

struct BconvParams {
  int channels_in = 0;  // of the whole input, all groups together
  int channels_out = 0;
  int filter_h = 1, filter_w = 1;
  int groups = 1;  // > 1: channels_in / groups must be a multiple of 32, channels_out one of groups
  int stride_h = 1, stride_w = 1;
  int dilation_h = 1, dilation_w = 1;
  Padding padding = Padding::kSame;
  int pad_value = 1;                          // what is outside of the image: 1 or 0
  Activation activation = Activation::kNone;  // on the sum; ignored for bits, where the thresholds say it all
  Output output = Output::kFloat;
  double output_scale = 1;    // int8 only
  int output_zero_point = 0;  // int8 only
  Kernels kernels = Kernels::kChosen;
  // Ways that keep more than four bytes per byte of packed filter give place to kPopcount.
  bool low_memory = false;
  int threads = kMaxThreads;  // for which there is room; more are not used
};

// LceBconv2d, one node. With s the sum of x * w over the window (K products), two_acc = K - s (twice the
// number of products that are -1; counting a zero as one half), clamped to what the activation lets through:
//   float   float(two_acc) * m + b, each step rounds;
//           m = float(-multiplier), b = float(bias + K * multiplier)
//   int8    the same rounded half away from zero and saturated, NaN gives 0;
//           m = float(-multiplier / scale), b = float((bias + K * multiplier) / scale + zero point)
//   bits    bit = two_acc > 2 * threshold
class Bconv {
 public:
  Bconv();
  ~Bconv();
  Bconv(Bconv&&) noexcept;
  Bconv& operator=(Bconv&&) noexcept;

  // Checks and packs; copies what it needs. filter: packed (channels_out, filter_h, filter_w, words of one
  // group). multiplier and bias: channels_out floats, not for bits. thresholds: channels_out int32, for bits
  // only.
  std::string prepare(Path path, const BconvParams& params, const void* filter, const void* multiplier,
                      const void* bias, const void* thresholds);
  // The geometry for inputs (batch, in_h, in_w, words); may be called again, keeps the packed filter.
  std::string resize(int batch, int in_h, int in_w);
  int out_h() const;
  int out_w() const;
  // The way that was taken for the shape; never kChosen.
  Kernels kernels() const;
  // Bytes that this way keeps for the shape beside the packed filter: its lists and planes, and room to work.
  size_t prepared_bytes() const;
  // output: (batch, out_h, out_w, channels_out) floats or int8, or packed. One call at a time per node.
  void run(const void* input, void* output, const Parallel& parallel);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

struct Conv8Params {
  int channels_in = 0, channels_out = 0;
  int filter_h = 1, filter_w = 1;
  int stride_h = 1, stride_w = 1;
  Padding padding = Padding::kSame;
  Activation activation = Activation::kNone;
  float input_scale = 1, output_scale = 1;
  int input_zero_point = 0, output_zero_point = 0;
  int threads = kMaxThreads;  // for which there is room; more are not used
};

// LarqnetsConv2dInt8, one node: the int8 convolution of TFLite's reference kernels, bit for bit. With s the
// sum of w (x - input zero point) over the part of the window that lies in the image, plus the bias, mod
// 2^32:
//   y = output zero point + s * (input scale * filter scale / output scale), limited by the activation,
// where the factor is a 32-bit fraction and a power of two, each product rounded half away from zero
// (conv8_scale.h).
class Conv8 {
 public:
  Conv8();
  ~Conv8();
  Conv8(Conv8&&) noexcept;
  Conv8& operator=(Conv8&&) noexcept;

  // Checks and packs; copies what it needs. filter: (channels_out, filter_h, filter_w, channels_in) int8 of
  // which none is -128; filter_scales: channels_out floats; bias: channels_out int32.
  std::string prepare(Path path, const Conv8Params& params, const void* filter, const void* filter_scales,
                      const void* bias);
  // The geometry for inputs (batch, in_h, in_w, channels_in); may be called again, keeps the packed filter.
  std::string resize(int batch, int in_h, int in_w);
  int out_h() const;
  int out_w() const;
  // output: (batch, out_h, out_w, channels_out) int8. One call at a time per node.
  void run(const void* input, void* output, const Parallel& parallel);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// LceQuantize: (rows, channels) of values -> (rows, ceil(channels / 32)) words. Bit = x < 0 (so 0, -0.0 and
// NaN are +1), x < zero_point, or x == false (zero).
void quantize_float(Path path, const void* in, size_t rows, size_t channels, void* out,
                    const Parallel& parallel);
void quantize_int8(Path path, const void* in, int zero_point, size_t rows, size_t channels, void* out,
                   const Parallel& parallel);
void quantize_bool(Path path, const void* in, size_t rows, size_t channels, void* out,
                   const Parallel& parallel);

// LceDequantize: (rows, ceil(channels / 32)) words -> (rows, channels) of +1.0 / -1.0, plus / minus, or true
// / false.
void dequantize_float(Path path, const void* in, size_t rows, size_t channels, void* out,
                      const Parallel& parallel);
void dequantize_int8(Path path, const void* in, int8_t plus, int8_t minus, size_t rows, size_t channels,
                     void* out, const Parallel& parallel);
void dequantize_bool(Path path, const void* in, size_t rows, size_t channels, void* out,
                     const Parallel& parallel);

// +1 and -1 as int8 with a scale: zero_point +- round(1 / scale), saturated. Refuses a scale that is not
// positive.
std::string int8_signs(double scale, int zero_point, int8_t* plus, int8_t* minus);

struct PoolParams {
  int filter_h = 1, filter_w = 1;
  int stride_h = 1, stride_w = 1;
  Padding padding = Padding::kValid;
};

// LceBMaxPool2d: the maximum over the pixels of the window that lie in the image, that is the AND of their
// words.
class MaxPool {
 public:
  std::string prepare(Path path, const PoolParams& params);
  std::string resize(int batch, int in_h, int in_w, int words);
  int out_h() const { return out_h_; }
  int out_w() const { return out_w_; }
  void run(const void* input, void* output, const Parallel& parallel) const;

 private:
  void run_row(const uint8_t* input, uint8_t* output, size_t row) const;

  Path path_ = Path::kReference;
  PoolParams params_;
  int batch_ = 0, in_h_ = 0, in_w_ = 0, words_ = 0, out_h_ = 0, out_w_ = 0, pad_top_ = 0, pad_left_ = 0;
};

}  // namespace larqnets
