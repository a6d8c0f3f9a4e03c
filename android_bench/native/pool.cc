// LceBMaxPool2d.
#include <algorithm>
#include <cstring>

#include "geometry.h"
#include "kernels.h"
#include "reference.h"

namespace larqnets {

std::string MaxPool::prepare(Path path, const PoolParams& params) {
  if (!has_path(path)) return "This build has no such implementation of LceBMaxPool2d.";
  if (params.filter_h < 1 || params.filter_w < 1) return "The window of a pooling must be at least 1 x 1.";
  if (params.stride_h < 1 || params.stride_w < 1) return "The strides of a pooling must be at least 1.";
  path_ = path;
  params_ = params;
  return "";
}

std::string MaxPool::resize(int batch, int in_h, int in_w, int words) {
  if (batch < 1 || in_h < 1 || in_w < 1 || words < 1) return "The input of a pooling is empty.";
  Window rows, columns;
  std::string error = slide("height", in_h, params_.filter_h, params_.stride_h, 1, params_.padding, &rows);
  if (error.empty())
    error = slide("width", in_w, params_.filter_w, params_.stride_w, 1, params_.padding, &columns);
  if (!error.empty()) return error;
  if (!product_fits({batch, in_h, in_w, words, 4}, kMaxBytes))
    return "The input of a pooling is larger than 2 GiB.";
  batch_ = batch;
  in_h_ = in_h;
  in_w_ = in_w;
  words_ = words;
  out_h_ = rows.out;
  out_w_ = columns.out;
  pad_top_ = rows.before;
  pad_left_ = columns.before;
  return "";
}

void MaxPool::run(const void* input, void* output, const Parallel& parallel) const {
  if (path_ == Path::kReference) {
    reference::max_pool(params_, {batch_, in_h_, in_w_, out_h_, out_w_, pad_top_, pad_left_}, words_,
                        static_cast<const uint8_t*>(input), static_cast<uint8_t*>(output));
    return;
  }
  struct Job {
    const MaxPool* pool;
    const uint8_t* input;
    uint8_t* output;
  } job = {this, static_cast<const uint8_t*>(input), static_cast<uint8_t*>(output)};
  const auto row = [](void* context, size_t i) {
    const Job& j = *static_cast<const Job*>(context);
    j.pool->run_row(j.input, j.output, i);
  };
  run_tasks(parallel, row, &job, static_cast<size_t>(batch_) * out_h_);
}

// Output row `row` of all rows of the batch: the AND of the pixels inside, word by word, bytes in any
// alignment.
void MaxPool::run_row(const uint8_t* input, uint8_t* output, size_t row) const {
  const size_t bytes = static_cast<size_t>(words_) * 4;
  const size_t image = row / out_h_;
  const int64_t top = static_cast<int64_t>(row % out_h_) * params_.stride_h - pad_top_;
  const int64_t y0 = std::max<int64_t>(top, 0), y1 = std::min<int64_t>(top + params_.filter_h, in_h_);
  for (int ox = 0; ox < out_w_; ++ox) {
    const int64_t left = int64_t{ox} * params_.stride_w - pad_left_;
    const int64_t x0 = std::max<int64_t>(left, 0), x1 = std::min<int64_t>(left + params_.filter_w, in_w_);
    uint8_t* out = output + (row * out_w_ + ox) * bytes;
    for (size_t i = 0; i < bytes; i += 4) {
      uint32_t all = UINT32_MAX;
      for (int64_t y = y0; y < y1; ++y) {
        const uint8_t* in = input + ((image * in_h_ + y) * in_w_ + x0) * bytes + i;
        for (int64_t x = x0; x < x1; ++x, in += bytes) {
          uint32_t word;
          std::memcpy(&word, in, 4);
          all &= word;
        }
      }
      std::memcpy(out + i, &all, 4);
    }
  }
}

}  // namespace larqnets
