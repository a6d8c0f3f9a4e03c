// Runs ops on cases from a file, for kernel_cases.py: cases PATH INPUT OUTPUT, PATH reference|portable|neon.
//
// Every buffer lies flush against a page that may not be touched, with its end or (place 1) its start, so
// that one byte too far ends the program; place 1 also leaves it unaligned for loads of more than a byte
// where sizes allow it.
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include "kernels.h"

using namespace larqnets;

namespace {

struct Header {
  int32_t op, threads, place, ints[21];
  double scale;
  uint64_t output_bytes;
};

// What a convolution has prepared: the size of its output, the way that it counts, and the bytes that this way takes.
struct Prepared {
  int32_t height, width, kernels, bytes;
};

class Guarded {
 public:
  Guarded(size_t size, int place) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t body = (size + page - 1) / page * page;
    total_ = body + 2 * page;
    base_ = static_cast<uint8_t*>(mmap(nullptr, total_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED || (body && mprotect(base_ + page, body, PROT_READ | PROT_WRITE))) _exit(3);
    data_ = place ? base_ + page : base_ + page + body - size;
    std::memset(data_, 0xa5, size);
  }
  Guarded(const Guarded&) = delete;
  ~Guarded() { munmap(base_, total_); }
  uint8_t* data() { return data_; }

 private:
  uint8_t *base_, *data_;
  size_t total_;
};

void run_threads(void* pool, void (*task)(void*, size_t), void* context, size_t range) {
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t i = next++; i < range; i = next++) task(context, i);
  };
  std::vector<std::thread> others;
  for (int i = 1; i < *static_cast<int*>(pool); ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
}

// Runs one case; returns the error. inputs: filter, multiplier, bias, thresholds, input (convolution), or
// filter, filter scales, bias, input scale, input (int8 convolution), or input alone.
std::string run_case(Path path, Header& h, void* const* inputs, void* output, Prepared* made) {
  const Parallel parallel = h.threads > 1 ? Parallel{run_threads, &h.threads, h.threads} : one_thread();
  const int32_t* v = h.ints;
  const size_t rows = static_cast<size_t>(v[0]), channels = static_cast<size_t>(v[1]);
  std::string error;
  if (h.op == 0) {
    BconvParams p;
    p.channels_in = v[0], p.channels_out = v[1], p.filter_h = v[2], p.filter_w = v[3], p.groups = v[4];
    p.stride_h = v[5], p.stride_w = v[6], p.dilation_h = v[7], p.dilation_w = v[8];
    p.padding = static_cast<Padding>(v[9]), p.pad_value = v[10],
    p.activation = static_cast<Activation>(v[11]);
    p.output = static_cast<Output>(v[12]), p.output_zero_point = v[13], p.output_scale = h.scale;
    p.kernels = static_cast<Kernels>(v[17]), p.low_memory = v[18] != 0;
    if (v[19] != 0) p.threads = v[19];  // else as many as there may be
    Bconv op;
    error = op.prepare(path, p, inputs[0], inputs[1], inputs[2], inputs[3]);
    // Another shape first: nothing of it may be left.
    if (error.empty() && v[14] < 9 && v[15] < 99 && v[16] < 99) op.resize(v[14] + 1, v[15] + 2, v[16] + 5);
    if (error.empty()) error = op.resize(v[14], v[15], v[16]);
    if (error.empty()) {
      *made = {op.out_h(), op.out_w(), static_cast<int32_t>(op.kernels()),
               static_cast<int32_t>(op.prepared_bytes())};
      op.run(inputs[4], output, parallel);
      op.run(inputs[4], output, parallel);  // nothing is left over from the first time
    }
  } else if (h.op == 1) {
    PoolParams p;
    p.filter_h = v[0], p.filter_w = v[1], p.stride_h = v[2], p.stride_w = v[3];
    p.padding = static_cast<Padding>(v[4]);
    MaxPool op;
    error = op.prepare(path, p);
    if (error.empty()) error = op.resize(v[5], v[6], v[7], v[8]);
    if (error.empty()) {
      made->height = op.out_h(), made->width = op.out_w();
      op.run(inputs[4], output, parallel);
    }
  } else if (h.op == 2) {
    if (v[2] == 0) quantize_float(path, inputs[4], rows, channels, output, parallel);
    if (v[2] == 1) quantize_int8(path, inputs[4], v[3], rows, channels, output, parallel);
    if (v[2] == 2) quantize_bool(path, inputs[4], rows, channels, output, parallel);
  } else if (h.op == 4) {
    Conv8Params p;
    p.channels_in = v[0], p.channels_out = v[1], p.filter_h = v[2], p.filter_w = v[3];
    p.stride_h = v[4], p.stride_w = v[5], p.padding = static_cast<Padding>(v[6]);
    p.activation = static_cast<Activation>(v[7]), p.input_zero_point = v[8], p.output_zero_point = v[9];
    p.output_scale = static_cast<float>(h.scale);
    std::memcpy(&p.input_scale, inputs[3], sizeof(float));
    Conv8 op;
    error = op.prepare(path, p, inputs[0], inputs[1], inputs[2]);
    // Another shape first: nothing of it may be left.
    if (error.empty() && v[10] < 9 && v[11] < 99 && v[12] < 99) op.resize(v[10] + 1, v[11] + 2, v[12] + 5);
    if (error.empty()) error = op.resize(v[10], v[11], v[12]);
    if (error.empty()) {
      made->height = op.out_h(), made->width = op.out_w();
      op.run(inputs[4], output, parallel);
      op.run(inputs[4], output, parallel);  // nothing is left over from the first time
    }
  } else {
    int8_t plus = 0, minus = 0;
    if (v[2] == 0) dequantize_float(path, inputs[4], rows, channels, output, parallel);
    if (v[2] == 1) error = int8_signs(h.scale, v[3], &plus, &minus);
    if (v[2] == 1 && error.empty())
      dequantize_int8(path, inputs[4], plus, minus, rows, channels, output, parallel);
    if (v[2] == 2) dequantize_bool(path, inputs[4], rows, channels, output, parallel);
  }
  return error;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const Path path = !std::strcmp(argv[1], "neon")       ? Path::kNeon
                    : !std::strcmp(argv[1], "portable") ? Path::kPortable
                                                        : Path::kReference;
  FILE* in = std::fopen(argv[2], "rb");
  FILE* out = std::fopen(argv[3], "wb");
  if (!in || !out) return 2;
  Header header;
  while (std::fread(&header, sizeof header, 1, in) == 1) {
    std::vector<std::unique_ptr<Guarded>> blobs;
    void* inputs[5] = {};
    for (void*& input : inputs) {
      int64_t size;
      if (std::fread(&size, sizeof size, 1, in) != 1) return 2;
      if (size < 0) continue;  // absent
      blobs.push_back(std::make_unique<Guarded>(size, header.place));
      input = blobs.back()->data();
      if (std::fread(input, 1, size, in) != static_cast<size_t>(size)) return 2;
    }
    Guarded output(header.output_bytes, header.place);
    Prepared made = {};
    const std::string error = run_case(path, header, inputs, output.data(), &made);
    const uint64_t sizes[2] = {error.size(), error.empty() ? header.output_bytes : 0};
    std::fwrite(&made, sizeof made, 1, out);
    std::fwrite(sizes, sizeof sizes, 1, out);
    std::fwrite(error.data(), 1, error.size(), out);
    std::fwrite(output.data(), 1, sizes[1], out);
  }
  std::fclose(in);
  return std::fclose(out) ? 2 : 0;
}
