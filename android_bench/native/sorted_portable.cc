// LceBconv2d with filters in the lanes, pixel by pixel: what the NEON path is compared with. Sorts nothing.
#include "bconv_tiles.h"
#include "sorted_tiles.h"

namespace larqnets {
namespace {

class PortableKernel {
 public:
  PortableKernel(const BconvPlan& plan, const SortedPlan& sorted, uint8_t* output, uint8_t*)
      : plan_(plan), sorted_(sorted), output_(output) {}

  void run(size_t first, int count, size_t pair, size_t pair_end) {
    constexpr size_t kBlocks = kPassVectors * kVectorBytes;  // of two vectors of filters
    for (size_t pixel = first; pixel < first + count; ++pixel) {
      for (size_t block = pair * kBlocks; block < std::min(plan_.blocks.size(), pair_end * kBlocks);
           ++block) {
        uint32_t sums[kBlockChannels];
        for (int lane = 0; lane < kBlockChannels; ++lane)
          sums[lane] = differences(pixel, block * kBlockChannels + lane);
        finish(plan_, output_, pixel, block, sums);
      }
    }
  }

 private:
  // How many bits of a window and a filter differ.
  uint32_t differences(size_t pixel, size_t filter) const {
    const uint8_t* window = plan_.bordered.data() + sorted_.windows[pixel];
    const size_t lane = filter % 256;
    const uint8_t* plane =
        sorted_.planes.data() + filter / 256 * sorted_.pair_bytes + lane / 128 * kVectorBytes + lane % 16;
    uint32_t sum = 0;
    for (const Piece& piece : sorted_.pieces) {
      for (int bit = 0; bit < 8; ++bit) {
        for (size_t byte = 0; byte < piece.bytes; ++byte, plane += kPassBytes)
          sum += (window[piece.source + byte] >> bit ^ *plane >> lane % 128 / 16) & 1;
      }
    }
    return sum;
  }

  const BconvPlan& plan_;
  const SortedPlan& sorted_;
  uint8_t* output_;
};

}  // namespace

void run_sorted_portable(BconvPlan& plan, SortedPlan& sorted, const uint8_t* input, uint8_t* output,
                         const Parallel& parallel) {
  run_sorted<PortableKernel>(plan, sorted, input, output, parallel);
}

}  // namespace larqnets
