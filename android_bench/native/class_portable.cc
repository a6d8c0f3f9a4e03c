// LceBconv2d by class sums with 64-bit words: what the NEON path is compared with. Counts bit by bit, without
// its adders.
#include <cstring>

#include "class_tiles.h"

namespace larqnets {
namespace {

constexpr size_t kLanes = kPassBytes * 8;

class PortableKernel {
 public:
  PortableKernel(const BconvPlan& plan, const ClassPlan& classes, uint8_t* output, size_t)
      : plan_(plan), classes_(classes), output_(output) {}

  static void make_planes(const BconvPlan& plan, const ClassPlan& classes, const PlaneRows& rows) {
    const size_t step = plan.params.stride_w * plan.in_pixel, width = plan.images.out_w;
    for (size_t row = 0; row < rows.rows; ++row) {
      for (size_t c = 0; c < rows.channel_bytes * 8; ++c) {
        const uint8_t* from = rows.source + row * rows.source_row + c / 8;
        uint8_t* to = rows.to + c * classes.plane_bytes + row * classes.row_bytes;
        std::memset(to, 0, classes.row_bytes);
        for (size_t x = 0; x < width; ++x)
          to[x / 8] |= static_cast<uint8_t>((from[x * step] >> c % 8 & 1) << x % 8);
      }
    }
  }

  void start(const Pass& pass) { pass_ = pass; }

  void run(const Bundle& bundle) {
    for (size_t g = bundle.group; g < bundle.group_end; ++g) sum_group(classes_.groups[g], bundle.channel);
    Eights eights(plan_, classes_, pass_);
    for (size_t byte = 0; byte < pass_.vectors * kVectorBytes; ++byte) {
      const Eight eight = eights.next();
      for (int i = 0; i < eight.count; ++i) {
        for (int c = 0; c < bundle.count; c += kBlockChannels)
          finish(plan_, output_, eight.pixel + i, (bundle.channel + c) / kBlockChannels,
                 &sums_[byte * 8 + i][c]);
      }
    }
  }

 private:
  void sum_group(const FilterGroup& group, int first) {
    const uint16_t* at = classes_.positions.data() + group.positions;
    const uint8_t* size = classes_.sizes.data() + group.sizes;
    for (int j = 0; j < group.count; ++j) {
      for (auto& sums : sums_) sums[group.channel - first + j] = classes_.minus[group.channel + j];
    }
    for (size_t number = 0; number < size_t{1} << (group.count - 1); ++number, size += 2)
      at = add(group, first, number, size[0], size[1], at);
    for (size_t i = group.surplus; i < group.surplus_end; ++i) {
      const Surplus& more = classes_.surplus[i];
      at = add(group, first, more.number, more.less, more.more, at);
    }
  }

  // Adds the positions of a class to the sums of its group; returns where the next class's begin.
  const uint16_t* add(const FilterGroup& group, int first, size_t number, int less, int more,
                      const uint16_t* at) {
    for (int sign = -1; sign <= 1; sign += 2) {
      for (int n = sign < 0 ? less : more; n > 0; --n, ++at) {
        for (size_t lane = 0; lane < pass_.vectors * kVectorBytes * 8; ++lane) {
          const int bit = pass_.planes[*at + lane / 8] >> lane % 8 & 1;
          for (int j = 0; bit && j < group.count; ++j) {
            const bool opposite = j > 0 && (number >> (j - 1) & 1);
            sums_[lane][group.channel - first + j] += static_cast<uint32_t>(opposite ? -sign : sign);
          }
        }
      }
    }
    return at;
  }

  const BconvPlan& plan_;
  const ClassPlan& classes_;
  uint8_t* output_;
  Pass pass_ = {};
  uint32_t sums_[kLanes][kMaxBundle] = {};
};

}  // namespace

void run_classes_portable(BconvPlan& plan, ClassPlan& classes, const uint8_t* input, uint8_t* output,
                          const Parallel& parallel) {
  run_classes<PortableKernel>(plan, classes, input, output, parallel);
}

}  // namespace larqnets
