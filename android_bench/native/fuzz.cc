// Throws drawn parameters and data at the kernel core and compares the portable path with the reference:
//   fuzz SECONDS SEED       cases 0, 1, 2, ... of a seed until the time is up
//   fuzz replay SEED CASE   one of them again
// Compile it with -fsanitize=address,undefined. Buffers have exactly the size of their tensor. Exits with 1,
// or as the sanitizer does, and names the case when a path reads or writes elsewhere, results differ, or an
// error is no sentence.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>
#include <vector>

#include "kernels.h"

extern "C" void __sanitizer_set_death_callback(void (*callback)());

using namespace larqnets;

namespace {

uint64_t current_seed, current_case;
uint64_t refused, compared;  // cases that ended with an error, and with results

void name_case() {
  std::fprintf(stderr, "fuzz replay %llu %llu\n", static_cast<unsigned long long>(current_seed),
               static_cast<unsigned long long>(current_case));
}

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "fuzz: %s\n", what);
  name_case();
  std::_Exit(1);
}

// splitmix64: every seed and case starts somewhere else.
class Draw {
 public:
  Draw(uint64_t seed, uint64_t index) : state_(seed * 0x9e3779b97f4a7c15 ^ index * 0xd1342543de82ef95) {}
  uint64_t bits() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
  }
  int below(int n) { return static_cast<int>(bits() % static_cast<unsigned>(n)); }
  bool one_in(int n) { return below(n) == 0; }
  // Mostly 1..most; in a wild case now and then anything, with a liking for the ends of int.
  int size(int most) {
    if (!wild || !one_in(12)) return 1 + below(most);
    constexpr int kEnds[] = {0, -1, INT32_MIN, INT32_MAX, INT32_MAX - 1, 65535, 65536, 1 << 30, 46341};
    return one_in(2) ? kEnds[below(9)] : static_cast<int>(bits());
  }
  bool wild = false;

 private:
  uint64_t state_;
};

// Exactly `size` bytes, at an odd address now and then.
class Bytes {
 public:
  Bytes(Draw& draw, size_t size)
      : shift_(draw.one_in(2) ? 0 : draw.below(8)), memory_(new uint8_t[size + shift_]) {
    for (size_t i = 0; i < size; ++i) data()[i] = static_cast<uint8_t>(draw.bits());
  }
  uint8_t* data() { return memory_.get() + shift_; }

 private:
  size_t shift_;
  std::unique_ptr<uint8_t[]> memory_;
};

using Wide = __int128;
constexpr Wide kMost = 1 << 20;  // bytes of a tensor that is really made, products that are really computed
constexpr Wide kRefused = INT32_MAX;  // bytes that must be refused above

void clear_unused_bits(uint8_t* bits, size_t pixels, int channels) {
  const size_t bytes = (static_cast<size_t>(channels) + 31) / 32 * 4;
  for (size_t i = 0; i < pixels; ++i) {
    for (size_t c = channels; c < bytes * 8; ++c)
      bits[i * bytes + c / 8] &= static_cast<uint8_t>(~(1 << c % 8));
  }
}

// Runs tasks backwards: their order must not matter.
Parallel backwards(int threads) {
  const auto run = [](void*, void (*task)(void*, size_t), void* context, size_t range) {
    for (size_t i = range; i > 0; --i) task(context, i - 1);
  };
  return {run, nullptr, threads};
}

bool sentence(const std::string& error) {
  return error.empty() || (error.size() > 20 && error.back() == '.');
}

bool same(const uint8_t* a, const uint8_t* b, size_t size, bool floats) {
  if (!floats) return std::memcmp(a, b, size) == 0;
  for (size_t i = 0; i < size; i += 4) {
    float x, y;
    std::memcpy(&x, a + i, 4);
    std::memcpy(&y, b + i, 4);
    if (std::memcmp(a + i, b + i, 4) != 0 && !(std::isnan(x) && std::isnan(y))) return false;
  }
  return true;
}

void fuzz_bconv(Draw& draw) {
  BconvParams p;
  p.groups = draw.one_in(4) ? draw.size(3) : 1;
  const uint32_t per_group = p.groups == 1 || draw.one_in(8) ? draw.size(100) : 32u * draw.size(3);
  p.channels_in = static_cast<int>(per_group * static_cast<uint32_t>(p.groups));
  if (draw.one_in(30)) p.channels_in = 65000 + draw.below(1100);
  p.channels_out = static_cast<int>(static_cast<uint32_t>(draw.size(20)) * static_cast<uint32_t>(p.groups));
  p.filter_h = draw.size(4);
  p.filter_w = draw.size(4);
  p.stride_h = draw.size(3);
  p.stride_w = draw.size(3);
  p.dilation_h = draw.size(3);
  p.dilation_w = draw.size(3);
  p.padding = draw.one_in(2) ? Padding::kSame : Padding::kValid;
  p.pad_value = draw.wild && draw.one_in(8) ? draw.size(5) : draw.below(2);
  p.activation = static_cast<Activation>(draw.below(4));
  p.output = static_cast<Output>(draw.below(3));
  p.output_scale = std::ldexp(1.0 + draw.below(100), draw.below(20) - 10);
  if (draw.wild && draw.one_in(8)) p.output_scale = draw.one_in(2) ? 0 : NAN;
  p.output_zero_point = draw.below(256) - 128;
  p.kernels = static_cast<Kernels>(draw.below(4));
  p.low_memory = draw.one_in(4);
  p.threads = draw.one_in(2) ? kMaxThreads : 1 + draw.below(4);
  const int batch = draw.size(3), in_h = draw.size(9), in_w = draw.size(9);

  const auto positive = [](int value) { return Wide(std::max(value, 0)); };
  const auto words = [](int channels) { return (Wide(channels) + 31) / 32; };
  Wide filter_bytes = 0;
  if (p.groups > 0) {
    filter_bytes = positive(p.channels_out) * positive(p.filter_h) * positive(p.filter_w);
    if (filter_bytes <= kRefused) filter_bytes *= words(p.channels_in / p.groups) * 4;
  }
  if (filter_bytes < 0) filter_bytes = 0;
  if (filter_bytes > kMost && filter_bytes <= kRefused) return;  // lawful, but too much work here
  if (p.channels_out > kMost) return;
  const size_t channels = static_cast<size_t>(std::max(p.channels_out, 0));
  Bytes filter(draw, filter_bytes > kMost ? 0 : static_cast<size_t>(filter_bytes));
  Bytes multiplier(draw, channels * 4), bias(draw, channels * 4), thresholds(draw, channels * 4);
  for (size_t i = 0; i < channels && draw.one_in(2); ++i) {  // thresholds that decide
    const int32_t near = draw.below(64);
    std::memcpy(thresholds.data() + i * 4, &near, 4);
  }
  Bconv slow, fast;
  std::string errors[2];
  for (int i = 0; i < 2; ++i) {
    const bool absent = draw.wild && draw.one_in(20);
    errors[i] =
        (i ? fast : slow)
            .prepare(i ? Path::kPortable : Path::kReference, p, filter.data(),
                     absent ? nullptr : multiplier.data(), bias.data(), absent ? nullptr : thresholds.data());
    if (!sentence(errors[i])) fail("an error is no sentence");
  }
  if (errors[0].empty() && filter_bytes > kRefused) fail("a filter that is too large was taken");
  if (!errors[0].empty() || !errors[1].empty()) {
    ++refused;
    return;
  }

  const Wide in_bytes = positive(batch) * positive(in_h) * positive(in_w) * words(p.channels_in) * 4;
  const Wide padded_h =
      positive(in_h) + (p.padding == Padding::kSame ? Wide(p.filter_h - 1) * p.dilation_h : 0);
  const Wide padded_w =
      positive(in_w) + (p.padding == Padding::kSame ? Wide(p.filter_w - 1) * p.dilation_w : 0);
  Wide padded = positive(batch) * words(p.channels_in) * 4;
  padded = padded * padded_h <= Wide(1) << 90 ? padded * padded_h : Wide(1) << 90;
  padded = padded > (Wide(1) << 60) ? padded : padded * padded_w;
  const Wide products = positive(batch) * positive(in_h) * positive(in_w) * p.channels_out;
  if (padded > 16 * kMost && padded <= 4 * kRefused) return;
  if (products > kMost && products <= 4 * kRefused) return;
  errors[0] = slow.resize(batch, in_h, in_w);
  errors[1] = fast.resize(batch, in_h, in_w);
  if (errors[0] != errors[1]) fail("the paths do not agree on what they refuse");
  if (!sentence(errors[0])) fail("an error is no sentence");
  if (!errors[0].empty()) {
    ++refused;
    return;
  }
  if (in_bytes > kMost || products * p.filter_h * p.filter_w * (p.channels_in / p.groups) > 4 * kMost) return;

  const size_t pixels = static_cast<size_t>(batch) * in_h * in_w;
  Bytes input(draw, static_cast<size_t>(in_bytes));
  const bool lawful =
      !draw.one_in(10);  // else bits that are no channel are set: any result, but no byte too far
  if (lawful) clear_unused_bits(input.data(), pixels, p.channels_in);
  const size_t out_pixels = static_cast<size_t>(batch) * slow.out_h() * slow.out_w();
  const size_t out_bytes = out_pixels * (p.output == Output::kFloat  ? channels * 4
                                         : p.output == Output::kInt8 ? channels
                                                                     : (channels + 31) / 32 * 4);
  Bytes expected(draw, out_bytes), found(draw, out_bytes);
  slow.run(input.data(), expected.data(), one_thread());
  fast.run(input.data(), found.data(), backwards(1 + draw.below(20)));
  ++compared;
  if (lawful && !same(expected.data(), found.data(), out_bytes, p.output == Output::kFloat))
    fail("results differ");
}

void fuzz_conv8(Draw& draw) {
  Conv8Params p;
  p.channels_in = draw.size(5);
  p.channels_out = draw.size(20);
  p.filter_h = draw.size(11);
  p.filter_w = draw.size(11);
  p.stride_h = draw.size(4);
  p.stride_w = draw.size(4);
  p.padding = draw.one_in(2) ? Padding::kSame : Padding::kValid;
  p.activation = static_cast<Activation>(draw.below(draw.wild ? 5 : 4));
  const auto scale = [&] {
    if (draw.wild && draw.one_in(20)) return draw.one_in(2) ? 0.0f : NAN;
    return std::ldexp(1.0f + static_cast<float>(draw.below(1000)) / 1000, draw.below(20) - 10);
  };
  p.input_scale = scale();
  p.output_scale = 100 * scale();
  p.input_zero_point = draw.wild && draw.one_in(20) ? draw.size(300) : draw.below(256) - 128;
  p.output_zero_point = draw.below(256) - 128;
  const int batch = draw.size(2), in_h = draw.size(20), in_w = draw.size(20);
  const auto positive = [](int value) { return Wide(std::max(value, 0)); };
  const Wide count =
      positive(p.channels_out) * positive(p.filter_h) * positive(p.filter_w) * positive(p.channels_in);
  if ((count > kMost && count <= kRefused) || p.channels_out > kMost) return;  // too much work here
  const size_t channels = static_cast<size_t>(std::max(p.channels_out, 0));
  Bytes filter(draw, count > kMost ? 0 : static_cast<size_t>(count)), scales(draw, channels * 4),
      bias(draw, channels * 4);
  for (Wide i = 0; i < count && count <= kMost && !draw.one_in(500000); ++i) {  // now and then a -128 stays
    if (filter.data()[i] == 0x80) filter.data()[i] = 0x7f;
  }
  for (size_t i = 0; i < channels; ++i) {
    const float value = scale();
    const int32_t start = draw.below(1 << 20) - (1 << 19);
    std::memcpy(scales.data() + i * 4, &value, 4);
    std::memcpy(bias.data() + i * 4, &start, 4);
  }
  Conv8 slow, fast;
  const std::string error = slow.prepare(Path::kReference, p, filter.data(), scales.data(), bias.data());
  if (error != fast.prepare(Path::kPortable, p, filter.data(), scales.data(), bias.data()))
    fail("the paths do not agree on what they refuse");
  if (error.empty() && count > kRefused) fail("a filter that is too large was taken");
  if (!sentence(error)) fail("an error is no sentence");
  const Wide pixels = positive(batch) * positive(in_h) * positive(in_w),
             outputs = pixels * positive(p.channels_out);
  const Wide bordered =
      positive(batch) * (positive(in_h) + positive(p.filter_h)) * (positive(in_w) + positive(p.filter_w));
  if (error.empty() && (bordered > kMost || outputs > kMost) && pixels <= 4 * kRefused) return;
  const std::string refusal = error.empty() ? slow.resize(batch, in_h, in_w) : error;
  if (error.empty() && refusal != fast.resize(batch, in_h, in_w))
    fail("the paths do not agree on what they refuse");
  if (!sentence(refusal)) fail("an error is no sentence");
  if (!refusal.empty()) {
    ++refused;
    return;
  }
  if (outputs * p.filter_h * p.filter_w * p.channels_in > 4 * kMost) return;
  Bytes input(draw, static_cast<size_t>(pixels * p.channels_in));
  const size_t out_bytes = static_cast<size_t>(batch) * slow.out_h() * slow.out_w() * channels;
  Bytes expected(draw, out_bytes), found(draw, out_bytes);
  slow.run(input.data(), expected.data(), one_thread());
  fast.run(input.data(), found.data(), backwards(1 + draw.below(20)));
  ++compared;
  if (!same(expected.data(), found.data(), out_bytes, false)) fail("results of an int8 convolution differ");
}

void fuzz_pool(Draw& draw) {
  PoolParams p;
  p.filter_h = draw.size(5);
  p.filter_w = draw.size(5);
  p.stride_h = draw.size(4);
  p.stride_w = draw.size(4);
  p.padding = draw.one_in(2) ? Padding::kSame : Padding::kValid;
  const int batch = draw.size(3), in_h = draw.size(9), in_w = draw.size(9), words = draw.size(5);
  MaxPool slow, fast;
  const std::string error = slow.prepare(Path::kReference, p);
  if (error != fast.prepare(Path::kPortable, p) || !sentence(error)) fail("errors of a pooling");
  if (!error.empty()) return;
  const std::string refused = slow.resize(batch, in_h, in_w, words);
  if (refused != fast.resize(batch, in_h, in_w, words) || !sentence(refused)) fail("errors of a pooling");
  const Wide work = Wide(batch) * in_h * in_w * words;
  if (!refused.empty() || work > kMost || work * std::min<Wide>(p.filter_h, 99) * p.filter_w > 8 * kMost)
    return;
  if (p.filter_h > 1000) return;
  const size_t bytes = static_cast<size_t>(words) * 4;
  Bytes input(draw, bytes * batch * in_h * in_w);
  const size_t out_bytes = bytes * batch * slow.out_h() * slow.out_w();
  Bytes expected(draw, out_bytes), found(draw, out_bytes);
  slow.run(input.data(), expected.data(), one_thread());
  fast.run(input.data(), found.data(), backwards(2));
  ++compared;
  if (!same(expected.data(), found.data(), out_bytes, false)) fail("results of a pooling differ");
}

void fuzz_conversion(Draw& draw) {
  const size_t rows = draw.below(20), channels = draw.below(300);
  const size_t values = rows * channels, packed = rows * ((channels + 31) / 32 * 4);
  const int type = draw.below(3), zero_point = draw.below(256) - 128;
  const Parallel some = backwards(1 + draw.below(20));
  const bool unpacks = draw.one_in(2);
  const size_t size = type == 0 ? 4 : 1;
  Bytes in(draw, unpacks ? packed : values * size);
  const size_t out_bytes = unpacks ? values * size : packed;
  Bytes expected(draw, out_bytes), found(draw, out_bytes);
  int8_t plus = 0, minus = 0;
  const double scale = draw.one_in(9) ? -1 : std::ldexp(1.0, draw.below(2000) - 1000);
  const std::string error = int8_signs(scale, zero_point, &plus, &minus);
  if (!sentence(error) || error.empty() != (scale > 0)) fail("errors of int8 signs");
  for (int i = 0; i < 2; ++i) {
    const Path path = i ? Path::kPortable : Path::kReference;
    const Parallel parallel = i ? some : one_thread();
    void* out = i ? found.data() : expected.data();
    if (unpacks) {
      if (type == 0) dequantize_float(path, in.data(), rows, channels, out, parallel);
      if (type == 1) dequantize_int8(path, in.data(), plus, minus, rows, channels, out, parallel);
      if (type == 2) dequantize_bool(path, in.data(), rows, channels, out, parallel);
    } else {
      if (type == 0) quantize_float(path, in.data(), rows, channels, out, parallel);
      if (type == 1) quantize_int8(path, in.data(), zero_point, rows, channels, out, parallel);
      if (type == 2) quantize_bool(path, in.data(), rows, channels, out, parallel);
    }
  }
  ++compared;
  if (!same(expected.data(), found.data(), out_bytes, false)) fail("results of a conversion differ");
}

void fuzz_case(uint64_t seed, uint64_t index) {
  current_seed = seed;
  current_case = index;
  Draw draw(seed, index);
  draw.wild = draw.one_in(3);
  const int op = draw.below(8);
  if (op < 4)
    fuzz_bconv(draw);
  else if (op < 6)
    fuzz_conv8(draw);
  else if (op == 6)
    fuzz_pool(draw);
  else
    fuzz_conversion(draw);
}

}  // namespace

int main(int argc, char** argv) {
  __sanitizer_set_death_callback(name_case);
  if (argc == 4 && std::strcmp(argv[1], "replay") == 0) {
    fuzz_case(std::strtoull(argv[2], nullptr, 10), std::strtoull(argv[3], nullptr, 10));
    return 0;
  }
  if (argc != 3) {
    std::fprintf(stderr, "Use: fuzz SECONDS SEED, or fuzz replay SEED CASE.\n");
    return 2;
  }
  const std::time_t end = std::time(nullptr) + std::strtol(argv[1], nullptr, 10);
  const uint64_t seed = std::strtoull(argv[2], nullptr, 10);
  uint64_t index = 0;
  for (; std::time(nullptr) < end; ++index) fuzz_case(seed, index);
  std::printf("%llu cases, %llu refused, %llu compared\n", static_cast<unsigned long long>(index),
              static_cast<unsigned long long>(refused), static_cast<unsigned long long>(compared));
  return 0;
}
