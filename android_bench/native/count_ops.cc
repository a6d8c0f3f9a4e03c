// Runs ops once to warm up and once inside a marked region each, on random data: the program that icount.c
// counts. Arguments: bconv:HEIGHT,WIDTH,IN,OUT,FILTER,STRIDE,PAD,OUTPUT,THREADS,PIXELS,KERNELS with PAD one|zero,
// OUTPUT float|int8|bits, PIXELS random|equal, and KERNELS one of kKernelNames; quantize:ROWS,CHANNELS,THREADS;
// conv8:HEIGHT,WIDTH,IN,OUT,FILTER,STRIDE,THREADS. The n-th op (from 1) is region 32 n. With more than one thread
// the tasks of the threads run one after the other, task i in region 32 n + 1 + i, and region 32 n is what no
// thread shares.
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "kernels.h"
#include "mark.h"

using namespace larqnets;

namespace {

uint32_t state = 1;
uint32_t random_word() {
  state ^= state << 13;
  state ^= state >> 17;
  return state ^= state << 5;
}

// Words of random channels whose unused bits are 0.
std::vector<uint32_t> random_bits(size_t rows, int channels) {
  const size_t words = (static_cast<size_t>(channels) + 31) / 32;
  std::vector<uint32_t> bits(rows * words);
  for (size_t i = 0; i < bits.size(); ++i) {
    bits[i] = random_word();
    if (channels % 32 && i % words == words - 1) bits[i] &= (1u << channels % 32) - 1;
  }
  return bits;
}

// Runs task after task, each in a region of its own.
void run_marked(void* base, void (*task)(void*, size_t), void* context, size_t range) {
  const long region = *static_cast<long*>(base);
  for (size_t i = 0; i < range; ++i) {
    mark(region + 1 + static_cast<long>(i));
    task(context, i);
  }
  mark(region);
}

Parallel parallel(long* region, int threads) {
  return threads > 1 ? Parallel{run_marked, region, threads} : one_thread();
}

int fail(const std::string& what) {
  std::fprintf(stderr, "count_ops: %s\n", what.c_str());
  return 1;
}

int count_bconv(const char* text, long region) {
  int h, w, in, out, filter, stride, threads;
  char pad[8], output[8], pixels[8], kernels[12];
  if (std::sscanf(text, "%d,%d,%d,%d,%d,%d,%7[a-z],%7[a-z0-9],%d,%7[a-z],%11[a-z]", &h, &w, &in, &out,
                  &filter, &stride, pad, output, &threads, pixels, kernels) != 11) {
    return fail(std::string("cannot read bconv:") + text);
  }
  BconvParams p;
  p.channels_in = in;
  p.channels_out = out;
  p.filter_h = p.filter_w = filter;
  p.stride_h = p.stride_w = stride;
  p.pad_value = std::strcmp(pad, "one") == 0;
  p.output = std::strcmp(output, "float") == 0  ? Output::kFloat
             : std::strcmp(output, "int8") == 0 ? Output::kInt8
                                                : Output::kBits;
  while (p.kernels < Kernels::kSorted && std::strcmp(kernels, kKernelNames[static_cast<int>(p.kernels)]) != 0)
    p.kernels = static_cast<Kernels>(static_cast<int>(p.kernels) + 1);
  const int depth = filter * filter * in;
  p.output_scale = 0.5 * depth;
  const auto weights = random_bits(static_cast<size_t>(out) * filter * filter, in);
  const std::vector<float> multiplier(out, 0.5f), bias(out, 0.25f);
  const std::vector<int32_t> thresholds(out, depth / 2);
  auto input = random_bits(static_cast<size_t>(h) * w, in);
  const size_t words = (static_cast<size_t>(in) + 31) / 32;
  if (std::strcmp(pixels, "equal") == 0) {
    for (size_t i = words; i < input.size(); ++i) input[i] = input[i % words];
  }
  Bconv op;
  std::string error =
      op.prepare(best_path(), p, weights.data(), multiplier.data(), bias.data(), thresholds.data());
  if (error.empty()) error = op.resize(1, h, w);
  if (!error.empty()) return fail(error);
  std::vector<float> result(static_cast<size_t>(op.out_h()) * op.out_w() * out);
  op.run(input.data(), result.data(), one_thread());
  mark(region);
  op.run(input.data(), result.data(), parallel(&region, threads));
  mark(0);
  return 0;
}

int count_conv8(const char* text, long region) {
  int h, w, in, out, filter, stride, threads;
  if (std::sscanf(text, "%d,%d,%d,%d,%d,%d,%d", &h, &w, &in, &out, &filter, &stride, &threads) != 7)
    return fail(std::string("cannot read conv8:") + text);
  Conv8Params p;
  p.channels_in = in;
  p.channels_out = out;
  p.filter_h = p.filter_w = filter;
  p.stride_h = p.stride_w = stride;
  p.activation = Activation::kRelu;
  p.output_scale = static_cast<float>(100 * filter);
  p.output_zero_point = -128;
  std::vector<int8_t> weights(static_cast<size_t>(out) * filter * filter * in);
  for (int8_t& weight : weights) weight = static_cast<int8_t>(static_cast<int>(random_word() % 255) - 127);
  std::vector<int8_t> input(static_cast<size_t>(h) * w * in);
  for (int8_t& value : input) value = static_cast<int8_t>(random_word());
  const std::vector<float> scales(out, 1.0f);
  const std::vector<int32_t> bias(out, 1000);
  Conv8 op;
  std::string error = op.prepare(best_path(), p, weights.data(), scales.data(), bias.data());
  if (error.empty()) error = op.resize(1, h, w);
  if (!error.empty()) return fail(error);
  std::vector<int8_t> result(static_cast<size_t>(op.out_h()) * op.out_w() * out);
  op.run(input.data(), result.data(), one_thread());
  mark(region);
  op.run(input.data(), result.data(), parallel(&region, threads));
  mark(0);
  return 0;
}

int count_quantize(const char* text, long region) {
  int rows, channels, threads;
  if (std::sscanf(text, "%d,%d,%d", &rows, &channels, &threads) != 3)
    return fail(std::string("cannot read quantize:") + text);
  std::vector<float> values(static_cast<size_t>(rows) * channels);
  for (float& value : values) value = static_cast<float>(random_word() % 201) - 100;
  std::vector<uint32_t> bits(static_cast<size_t>(rows) * ((channels + 31) / 32));
  quantize_float(best_path(), values.data(), rows, channels, bits.data(), one_thread());
  mark(region);
  quantize_float(best_path(), values.data(), rows, channels, bits.data(), parallel(&region, threads));
  mark(0);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const char* colon = std::strchr(argv[i], ':');
    const std::string op(argv[i], colon ? colon - argv[i] : std::strlen(argv[i]));
    int status = 1;
    if (op == "bconv" && colon)
      status = count_bconv(colon + 1, 32L * i);
    else if (op == "quantize" && colon)
      status = count_quantize(colon + 1, 32L * i);
    else if (op == "conv8" && colon)
      status = count_conv8(colon + 1, 32L * i);
    else
      return fail("unknown op " + op);
    if (status) return status;
  }
  return 0;
}
