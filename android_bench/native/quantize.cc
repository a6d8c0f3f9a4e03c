// LceQuantize and LceDequantize: between values and packed signs, and what all ops share.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels.h"
#include "reference.h"

#ifdef __aarch64__
#include <arm_neon.h>
#endif

namespace larqnets {

#ifdef __aarch64__
Path best_path() { return Path::kNeon; }
bool has_path(Path) { return true; }
#else
Path best_path() { return Path::kPortable; }
bool has_path(Path path) { return path != Path::kNeon; }
#endif

Parallel one_thread() {
  const auto run = [](void*, void (*task)(void*, size_t), void* context, size_t range) {
    for (size_t i = 0; i < range; ++i) task(context, i);
  };
  return {run, nullptr, 1};
}

namespace {

// How an element type is compared: in memory, and as -1.
struct Float {
  using Value = float;
  static bool is_minus(float x, int) { return x < 0; }
};
struct Int8 {
  using Value = int8_t;
  static bool is_minus(int8_t x, int zero_point) { return x < zero_point; }
};
struct Bool {
  using Value = uint8_t;
  static bool is_minus(uint8_t x, int) { return x == 0; }
};

template <class Type>
bool element_is_minus(const uint8_t* in, size_t i, int zero_point) {
  typename Type::Value value;
  std::memcpy(&value, in + i * sizeof(value), sizeof(value));
  return Type::is_minus(value, zero_point);
}

// Packs `count` <= 32 values into a word; the bits above are 0.
template <class Type>
void pack_word(const uint8_t* in, size_t count, int zero_point, uint8_t* out) {
  uint32_t word = 0;
  for (size_t i = 0; i < count; ++i) word |= uint32_t{element_is_minus<Type>(in, i, zero_point)} << i;
  std::memcpy(out, &word, 4);
}

#ifdef __aarch64__

// Sixteen bytes, each all ones for -1.
uint8x16_t minus16(Float, const uint8_t* in, int8x16_t) {
  const auto mask = [in](int i) { return vcltzq_f32(vreinterpretq_f32_u8(vld1q_u8(in + 16 * i))); };
  const uint16x8_t low = vuzp1q_u16(vreinterpretq_u16_u32(mask(0)), vreinterpretq_u16_u32(mask(1)));
  const uint16x8_t high = vuzp1q_u16(vreinterpretq_u16_u32(mask(2)), vreinterpretq_u16_u32(mask(3)));
  return vuzp1q_u8(vreinterpretq_u8_u16(low), vreinterpretq_u8_u16(high));
}
uint8x16_t minus16(Int8, const uint8_t* in, int8x16_t zero_point) {
  return vcltq_s8(vreinterpretq_s8_u8(vld1q_u8(in)), zero_point);
}
uint8x16_t minus16(Bool, const uint8_t* in, int8x16_t) { return vceqzq_u8(vld1q_u8(in)); }

// Packs whole words, 128 values (one register of signs) at a time; returns how many words were packed.
template <class Type>
size_t pack_neon(const uint8_t* in, size_t words, int zero_point, uint8_t* out) {
  constexpr size_t kBytes = 16 * sizeof(typename Type::Value);
  const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
  const int8x16_t zero = vdupq_n_s8(static_cast<int8_t>(zero_point));
  const auto bits = [&](const uint8_t* values) { return vandq_u8(minus16(Type(), values, zero), bit); };
  size_t done = 0;
  for (; done + 4 <= words; done += 4, in += 8 * kBytes) {
    // Adding neighbours three times makes a byte of eight bits.
    const uint8x16_t a = vpaddq_u8(bits(in), bits(in + kBytes));
    const uint8x16_t b = vpaddq_u8(bits(in + 2 * kBytes), bits(in + 3 * kBytes));
    const uint8x16_t ab = vpaddq_u8(a, b);
    const uint8x16_t c = vpaddq_u8(bits(in + 4 * kBytes), bits(in + 5 * kBytes));
    const uint8x16_t d = vpaddq_u8(bits(in + 6 * kBytes), bits(in + 7 * kBytes));
    vst1q_u8(out + done * 4, vpaddq_u8(ab, vpaddq_u8(c, d)));
  }
  for (; done < words; ++done, in += 2 * kBytes) {
    const uint8x16_t a = vpaddq_u8(bits(in), bits(in + kBytes));
    const uint8x16_t b = vpaddq_u8(a, a);
    vst1q_lane_u32(reinterpret_cast<uint32_t*>(out + done * 4), vreinterpretq_u32_u8(vpaddq_u8(b, b)), 0);
  }
  return done;
}

// Packs rows whose channels are no multiple of 32. For the rest of a row, at most kRead values, kRead are read.
template <class Type, size_t kRead>
void pack_rows_neon(const uint8_t* in, size_t rows, size_t channels, int zero_point, uint8_t* out) {
  constexpr size_t kSize = sizeof(typename Type::Value);
  const size_t full = channels / 32, rest = channels % 32;
  const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
  const int8x16_t zero = vdupq_n_s8(static_cast<int8_t>(zero_point));
  const uint32x4_t used = vdupq_n_u32(UINT32_MAX >> (32 - rest));
  for (; rows > 0; --rows, in += rest * kSize, out += 4) {
    if (full > 0) {
      pack_neon<Type>(in, full, zero_point, out);
      in += full * 32 * kSize;
      out += full * 4;
    }
    uint8x16_t high = vdupq_n_u8(0);
    if constexpr (kRead == 32) high = vandq_u8(minus16(Type(), in + 16 * kSize, zero), bit);
    const uint8x16_t a = vpaddq_u8(vandq_u8(minus16(Type(), in, zero), bit), high), b = vpaddq_u8(a, a);
    const uint32x4_t word = vandq_u32(vreinterpretq_u32_u8(vpaddq_u8(b, b)), used);
    vst1q_lane_u32(reinterpret_cast<uint32_t*>(out), word, 0);
  }
}

#endif

template <class Type>
struct Packing {
  Path path;
  const uint8_t* in;
  int zero_point;
  size_t rows, channels;
  uint8_t* out;
  size_t rows_per_task;

  void run(size_t task) const {
    const size_t first = task * rows_per_task, last = std::min(rows, first + rows_per_task);
    const size_t full = channels / 32, words = (channels + 31) / 32, size = sizeof(typename Type::Value);
    if (channels % 32 == 0) {  // no gaps: the rows are one
      pack_full(in + first * channels * size, (last - first) * full, out + first * words * 4);
      return;
    }
    for (size_t row = first + pack_most(first, last); row < last; ++row) {
      const uint8_t* from = in + row * channels * size;
      uint8_t* to = out + row * words * 4;
      pack_full(from, full, to);
      pack_word<Type>(from + full * 32 * size, channels % 32, zero_point, to + full * 4);
    }
  }

  // Packs the rows from `first` on that may be read past their end, since others follow; returns how many.
  size_t pack_most(size_t first, size_t last) const {
#ifdef __aarch64__
    const size_t rest = channels % 32, read = rest > 16 ? 32 : 16;
    const size_t ending = (read - rest + channels - 1) / channels;  // rows at the end that may not
    if (path == Path::kNeon && rows > ending && first < rows - ending) {
      const size_t count = std::min(last, rows - ending) - first;
      const auto pack = rest > 16 ? pack_rows_neon<Type, 32> : pack_rows_neon<Type, 16>;
      pack(in + first * channels * sizeof(typename Type::Value), count, channels, zero_point,
           out + first * ((channels + 31) / 32) * 4);
      return count;
    }
#else
    static_cast<void>(first), static_cast<void>(last);
#endif
    return 0;
  }

  void pack_full(const uint8_t* from, size_t words, uint8_t* to) const {
    size_t done = 0;
#ifdef __aarch64__
    if (path == Path::kNeon) done = pack_neon<Type>(from, words, zero_point, to);
#endif
    for (; done < words; ++done) {
      pack_word<Type>(from + done * 32 * sizeof(typename Type::Value), 32, zero_point, to + done * 4);
    }
  }
};

// Rows per task, so that there are a few tasks per thread and none is tiny.
size_t rows_per_task(size_t rows, size_t channels, int threads) {
  const size_t tasks = threads > 1 ? static_cast<size_t>(std::min(threads, kMaxThreads)) : 1;
  const size_t least = std::max<size_t>(1, 4096 / std::max<size_t>(channels, 1));
  return std::max(least, (rows + tasks - 1) / tasks);
}

template <class Type>
void quantize(Path path, const void* in, int zero_point, size_t rows, size_t channels, void* out,
              const Parallel& parallel) {
  const auto* from = static_cast<const uint8_t*>(in);
  auto* to = static_cast<uint8_t*>(out);
  if (rows == 0 || channels == 0) return;
  if (path == Path::kReference) {
    reference::quantize(element_is_minus<Type>, from, zero_point, rows, channels, to);
    return;
  }
  Packing<Type> packing = {
      path, from, zero_point, rows, channels, to, rows_per_task(rows, channels, parallel.threads)};
  const auto task = [](void* context, size_t i) { static_cast<const Packing<Type>*>(context)->run(i); };
  run_tasks(parallel, task, &packing, (rows + packing.rows_per_task - 1) / packing.rows_per_task);
}

template <class Value>
struct Unpacking {
  const uint8_t* in;
  Value values[2];  // of bit 0 and bit 1
  size_t rows, channels;
  uint8_t* out;
  size_t rows_per_task;

  void run(size_t task) const {
    const size_t last = std::min(rows, (task + 1) * rows_per_task), bytes = (channels + 31) / 32 * 4;
    for (size_t row = task * rows_per_task; row < last; ++row) {
      const uint8_t* from = in + row * bytes;
      uint8_t* to = out + row * channels * sizeof(Value);
      for (size_t c = 0; c < channels; ++c) {
        std::memcpy(to + c * sizeof(Value), &values[from[c / 8] >> (c % 8) & 1], sizeof(Value));
      }
    }
  }
};

template <class Value>
void dequantize(Path path, const void* in, Value plus, Value minus, size_t rows, size_t channels, void* out,
                const Parallel& parallel) {
  const auto* from = static_cast<const uint8_t*>(in);
  auto* to = static_cast<uint8_t*>(out);
  if (rows == 0 || channels == 0) return;
  if (path == Path::kReference) {
    reference::dequantize(from, &plus, &minus, sizeof(Value), rows, channels, to);
    return;
  }
  Unpacking<Value> unpacking = {
      from, {plus, minus}, rows, channels, to, rows_per_task(rows, channels, parallel.threads)};
  const auto task = [](void* context, size_t i) { static_cast<const Unpacking<Value>*>(context)->run(i); };
  run_tasks(parallel, task, &unpacking, (rows + unpacking.rows_per_task - 1) / unpacking.rows_per_task);
}

}  // namespace

void quantize_float(Path path, const void* in, size_t rows, size_t channels, void* out,
                    const Parallel& parallel) {
  quantize<Float>(path, in, 0, rows, channels, out, parallel);
}
void quantize_int8(Path path, const void* in, int zero_point, size_t rows, size_t channels, void* out,
                   const Parallel& parallel) {
  quantize<Int8>(path, in, zero_point, rows, channels, out, parallel);
}
void quantize_bool(Path path, const void* in, size_t rows, size_t channels, void* out,
                   const Parallel& parallel) {
  quantize<Bool>(path, in, 0, rows, channels, out, parallel);
}
void dequantize_float(Path path, const void* in, size_t rows, size_t channels, void* out,
                      const Parallel& parallel) {
  dequantize<float>(path, in, 1.0f, -1.0f, rows, channels, out, parallel);
}
void dequantize_int8(Path path, const void* in, int8_t plus, int8_t minus, size_t rows, size_t channels,
                     void* out, const Parallel& parallel) {
  dequantize<int8_t>(path, in, plus, minus, rows, channels, out, parallel);
}
void dequantize_bool(Path path, const void* in, size_t rows, size_t channels, void* out,
                     const Parallel& parallel) {
  dequantize<uint8_t>(path, in, 1, 0, rows, channels, out, parallel);
}

std::string int8_signs(double scale, int zero_point, int8_t* plus, int8_t* minus) {
  if (!(scale > 0) || !std::isfinite(scale))
    return "The scale of an int8 tensor must be positive and finite.";
  if (zero_point < -128 || zero_point > 127)
    return "The zero point of an int8 tensor must lie between -128 and 127.";
  const double offset = std::min(std::round(1 / scale), 1000.0);
  *plus = static_cast<int8_t>(std::min(127.0, zero_point + offset));
  *minus = static_cast<int8_t>(std::max(-128.0, zero_point - offset));
  return "";
}

}  // namespace larqnets
