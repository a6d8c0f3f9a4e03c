// Slow and obviously right versions of all ops: loops over +1 and -1. Sizes are checked by the callers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "conv8_scale.h"
#include "kernels.h"

namespace larqnets::reference {

struct Images {
  int batch, in_h, in_w, out_h, out_w, pad_top, pad_left;
};

void bconv(const BconvParams& params, const Images& images, const uint8_t* input, const uint8_t* filter,
           const float* multiplier, const float* bias, const int32_t* thresholds, uint8_t* output);
// scales: of the products of input and filter channel to the output.
void conv8(const Conv8Params& params, const Images& images, const int8_t* input, const int8_t* filter,
           const Scale8* scales, const int32_t* bias, Range8 range, int8_t* output);
void max_pool(const PoolParams& params, const Images& images, int words, const uint8_t* input,
              uint8_t* output);
// is_minus(in, i): whether value i is -1.
void quantize(bool (*is_minus)(const uint8_t* in, size_t i, int zero_point), const uint8_t* in,
              int zero_point, size_t rows, size_t channels, uint8_t* out);
// One of two values of `size` bytes for every bit.
void dequantize(const uint8_t* in, const void* plus, const void* minus, size_t size, size_t rows,
                size_t channels, uint8_t* out);

}  // namespace larqnets::reference
