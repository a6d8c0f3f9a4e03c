#include "reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace larqnets::reference {
namespace {

// +1 or -1: channel c of the pixel whose words begin at `pixel`.
int sign(const uint8_t* pixel, size_t c) { return pixel[c / 8] >> (c % 8) & 1 ? -1 : 1; }

void set_sign(uint8_t* pixel, size_t c, bool minus) {
  pixel[c / 8] |= static_cast<uint8_t>(minus << (c % 8));
}

size_t packed_bytes(size_t channels) { return (channels + 31) / 32 * 4; }

int64_t activate(Activation activation, int64_t sum) {
  switch (activation) {
    case Activation::kNone: return sum;
    case Activation::kRelu: return std::max<int64_t>(sum, 0);
    case Activation::kReluN1To1: return std::clamp<int64_t>(sum, -1, 1);
    case Activation::kRelu6: return std::clamp<int64_t>(sum, 0, 6);
  }
  return sum;
}

int8_t to_int8(float y) {
  if (std::isnan(y)) return 0;
  return static_cast<int8_t>(std::clamp(std::round(y), -128.0f, 127.0f));
}

}  // namespace

void bconv(const BconvParams& p, const Images& g, const uint8_t* input, const uint8_t* filter,
           const float* multiplier, const float* bias, const int32_t* thresholds, uint8_t* output) {
  const size_t in_bytes = packed_bytes(p.channels_in);
  const size_t out_bytes = packed_bytes(p.channels_out);
  const size_t group_in = p.channels_in / p.groups, group_out = p.channels_out / p.groups;
  const size_t tap_bytes = packed_bytes(group_in);
  const int64_t depth = int64_t{p.filter_h} * p.filter_w * static_cast<int64_t>(group_in);
  const double scale = p.output == Output::kInt8 ? p.output_scale : 1;
  const double zero_point = p.output == Output::kInt8 ? p.output_zero_point : 0;
  size_t pixel = 0;
  for (int n = 0; n < g.batch; ++n) {
    for (int oy = 0; oy < g.out_h; ++oy) {
      for (int ox = 0; ox < g.out_w; ++ox, ++pixel) {
        if (p.output == Output::kBits) std::memset(output + pixel * out_bytes, 0, out_bytes);
        for (size_t co = 0; co < static_cast<size_t>(p.channels_out); ++co) {
          const size_t first = co / group_out * group_in;  // input channel of this group
          int64_t sum = 0;
          for (int ky = 0; ky < p.filter_h; ++ky) {
            for (int kx = 0; kx < p.filter_w; ++kx) {
              const uint8_t* tap = filter + ((co * p.filter_h + ky) * p.filter_w + kx) * tap_bytes;
              const int64_t y = int64_t{oy} * p.stride_h + int64_t{ky} * p.dilation_h - g.pad_top;
              const int64_t x = int64_t{ox} * p.stride_w + int64_t{kx} * p.dilation_w - g.pad_left;
              const bool inside = y >= 0 && y < g.in_h && x >= 0 && x < g.in_w;
              for (size_t c = 0; c < group_in; ++c) {
                const int value =
                    inside ? sign(input + ((int64_t{n} * g.in_h + y) * g.in_w + x) * in_bytes, first + c)
                           : p.pad_value;
                sum += value * sign(tap, c);
              }
            }
          }
          if (p.output == Output::kBits) {
            set_sign(output + pixel * out_bytes, co, depth - sum > 2 * int64_t{thresholds[co]});
            continue;
          }
          const double back = bias[co] + static_cast<double>(depth) * multiplier[co];
          const float m = static_cast<float>(-static_cast<double>(multiplier[co]) / scale);
          const float b = static_cast<float>(back / scale + zero_point);
          const float product = static_cast<float>(depth - activate(p.activation, sum)) * m;
          const float result = product + b;
          const size_t i = pixel * p.channels_out + co;
          if (p.output == Output::kFloat) {
            std::memcpy(output + i * sizeof(float), &result, sizeof(float));
          } else {
            output[i] = static_cast<uint8_t>(to_int8(result));
          }
        }
      }
    }
  }
}

void conv8(const Conv8Params& p, const Images& g, const int8_t* input, const int8_t* filter,
           const Scale8* scales, const int32_t* bias, Range8 range, int8_t* output) {
  for (int64_t n = 0; n < g.batch; ++n) {
    for (int64_t oy = 0; oy < g.out_h; ++oy) {
      for (int64_t ox = 0; ox < g.out_w; ++ox) {
        for (int64_t co = 0; co < p.channels_out; ++co) {
          int64_t sum = bias[co];
          for (int64_t ky = 0; ky < p.filter_h; ++ky) {
            for (int64_t kx = 0; kx < p.filter_w; ++kx) {
              const int64_t y = oy * p.stride_h + ky - g.pad_top, x = ox * p.stride_w + kx - g.pad_left;
              if (y < 0 || y >= g.in_h || x < 0 || x >= g.in_w) continue;
              for (int64_t c = 0; c < p.channels_in; ++c) {
                const int64_t value = input[((n * g.in_h + y) * g.in_w + x) * p.channels_in + c];
                const int64_t weight = filter[((co * p.filter_h + ky) * p.filter_w + kx) * p.channels_in + c];
                sum += weight * (value - p.input_zero_point);
              }
            }
          }
          const int64_t result =
              int64_t{rescaled(static_cast<int32_t>(sum), scales[co])} + p.output_zero_point;
          output[((n * g.out_h + oy) * g.out_w + ox) * p.channels_out + co] =
              static_cast<int8_t>(std::clamp<int64_t>(result, range.least, range.most));
        }
      }
    }
  }
}

void max_pool(const PoolParams& p, const Images& g, int words, const uint8_t* input, uint8_t* output) {
  const size_t bytes = static_cast<size_t>(words) * 4;
  for (int n = 0; n < g.batch; ++n) {
    for (int oy = 0; oy < g.out_h; ++oy) {
      for (int ox = 0; ox < g.out_w; ++ox, output += bytes) {
        std::memset(output, 0xff, bytes);
        for (int ky = 0; ky < p.filter_h; ++ky) {
          for (int kx = 0; kx < p.filter_w; ++kx) {
            const int64_t y = int64_t{oy} * p.stride_h + ky - g.pad_top;
            const int64_t x = int64_t{ox} * p.stride_w + kx - g.pad_left;
            if (y < 0 || y >= g.in_h || x < 0 || x >= g.in_w) continue;
            for (size_t i = 0; i < bytes; ++i)
              output[i] &= input[((int64_t{n} * g.in_h + y) * g.in_w + x) * bytes + i];
          }
        }
      }
    }
  }
}

void quantize(bool (*is_minus)(const uint8_t* in, size_t i, int zero_point), const uint8_t* in,
              int zero_point, size_t rows, size_t channels, uint8_t* out) {
  const size_t bytes = packed_bytes(channels);
  std::memset(out, 0, rows * bytes);
  for (size_t row = 0; row < rows; ++row) {
    for (size_t c = 0; c < channels; ++c) {
      set_sign(out + row * bytes, c, is_minus(in, row * channels + c, zero_point));
    }
  }
}

void dequantize(const uint8_t* in, const void* plus, const void* minus, size_t size, size_t rows,
                size_t channels, uint8_t* out) {
  for (size_t row = 0; row < rows; ++row) {
    for (size_t c = 0; c < channels; ++c) {
      const bool is_minus = sign(in + row * packed_bytes(channels), c) < 0;
      std::memcpy(out + (row * channels + c) * size, is_minus ? minus : plus, size);
    }
  }
}

}  // namespace larqnets::reference
