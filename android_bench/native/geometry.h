// Sizes of windows and images, in 64-bit arithmetic.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "kernels.h"

namespace larqnets {

// Tensors and scratch of 2 GiB and more are refused, so that an offset always fits 32 bits.
constexpr int64_t kMaxBytes = INT32_MAX;

// Whether the product of the factors (all >= 0) is at most `limit`.
inline bool product_fits(std::initializer_list<int64_t> factors, int64_t limit) {
  int64_t product = 1;
  for (int64_t factor : factors) {
    if (__builtin_mul_overflow(product, factor, &product)) return false;
  }
  return product <= limit;
}

// One dimension of a sliding window, as TFLite defines it.
struct Window {
  int out = 0;     // positions
  int before = 0;  // pixels outside of the image before its first pixel
  int after = 0;   // and after its last one
};

// `name` is height or width. All arguments are >= 1.
inline std::string slide(const char* name, int in, int filter, int stride, int dilation, Padding padding,
                         Window* window) {
  const int64_t extent = (int64_t{filter} - 1) * dilation + 1;
  if (padding == Padding::kValid) {
    if (extent > in) {
      return std::string("The window is larger than the image: its ") + name + " is " +
             std::to_string(extent) + ", the image's " + std::to_string(in) + ". Give a larger image.";
    }
    *window = {static_cast<int>((in - extent) / stride + 1), 0, 0};
    return "";
  }
  const int64_t out = (int64_t{in} - 1) / stride + 1;
  const int64_t reach = (out - 1) * stride + extent;
  const int64_t pad = reach > in ? reach - in : 0;
  if (pad > kMaxBytes) return std::string("The padded ") + name + " of the image is too large. Dilate less.";
  *window = {static_cast<int>(out), static_cast<int>(pad / 2), static_cast<int>(pad - pad / 2)};
  return "";
}

// Where the windows of a convolution lie in images (batch, in_h, in_w), of so many bytes a pixel given and made; what
// is wrong, or empty. Params has the window, strides and padding.
template <class Params>
std::string place_windows(int batch, int in_h, int in_w, const Params& p, int dilation_h, int dilation_w,
                          int64_t in_bytes, int64_t out_bytes, Window* rows, Window* columns) {
  if (batch < 1 || in_h < 1 || in_w < 1) return "The input of a convolution is empty.";
  std::string error = slide("height", in_h, p.filter_h, p.stride_h, dilation_h, p.padding, rows);
  if (error.empty()) error = slide("width", in_w, p.filter_w, p.stride_w, dilation_w, p.padding, columns);
  if (!error.empty()) return error;
  if (!product_fits({batch, int64_t{in_h} + rows->before + rows->after,
                     int64_t{in_w} + columns->before + columns->after, in_bytes},
                    kMaxBytes) ||
      !product_fits({batch, rows->out, columns->out, out_bytes}, kMaxBytes)) {
    return "The input or output of a convolution is larger than 2 GiB.";
  }
  return "";
}

}  // namespace larqnets
