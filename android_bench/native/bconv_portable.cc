// LceBconv2d with 64-bit popcounts: the path of x86-64, and what the NEON path is compared with.
#include "bconv_tiles.h"

namespace larqnets {
namespace {

template <class Word>
inline Word load(const uint8_t* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

// How many bits of one pixel and one channel differ.
template <int kPixels>
inline uint32_t differences(const BconvPlan& plan, const uint8_t* pixel, const uint8_t* filter, size_t lane) {
  constexpr size_t kStride = kPixels * kRecordBytes;
  uint64_t sum = 0;
  for (size_t i = 0; i < plan.records; ++i) {
    const uint8_t *a = pixel + i * kStride, *w = filter + i * kBlockRecordBytes + lane * kRecordBytes;
    sum += __builtin_popcountll(load<uint64_t>(a) ^ load<uint64_t>(w));
    sum += __builtin_popcountll(load<uint64_t>(a + 8) ^ load<uint64_t>(w + 8));
  }
  const uint8_t *a = pixel + plan.records * kStride, *w = filter + plan.records * kBlockRecordBytes;
  if (plan.rest64) sum += __builtin_popcountll(load<uint64_t>(a) ^ load<uint64_t>(w + lane * 8));
  if (plan.rest32) sum += __builtin_popcount(load<uint32_t>(a + 8) ^ load<uint32_t>(w + 64 + lane * 4));
  return static_cast<uint32_t>(sum);
}

struct PortableKernel {
  template <int kPixels>
  static void blocks(const BconvPlan& plan, const Part& part, size_t pixel, size_t block, size_t end) {
    for (; block < end; ++block) {
      const uint8_t* filter = plan.filter.data() + block * plan.block_bytes;
      for (int p = 0; p < kPixels; ++p) {
        uint32_t sums[kBlockChannels];
        for (int lane = 0; lane < kBlockChannels; ++lane) {
          sums[lane] = differences<kPixels>(plan, part.tile + p * kRecordBytes, filter, lane);
        }
        finish(plan, part.output, pixel + p, block, sums);
      }
    }
  }
};

}  // namespace

void run_portable(BconvPlan& plan, const uint8_t* input, uint8_t* output, const Parallel& parallel) {
  run_tiles<PortableKernel>(plan, input, output, parallel);
}

}  // namespace larqnets
