// The walk over tiles, passes and bundles of class_plan.h. `Kernel` makes the planes, counts, and writes.
#pragma once

#include <algorithm>

#include "bconv_tiles.h"
#include "class_plan.h"

namespace larqnets {

// Up to kPassVectors vectors of a tile.
struct Pass {
  const uint8_t* planes;  // where the pass begins in the tile's first plane
  size_t vectors;
  size_t first_pixel;  // of the tile in the output
  size_t begin;        // byte of the tile's output rows at which the pass begins
  size_t rows;         // of the tile
};

// The pixels of a byte of a pass: eight in a row of the output, of which the first `count` are some.
struct Eight {
  size_t pixel;
  int count;
};

// Gives those of one byte after the other.
class Eights {
 public:
  Eights(const BconvPlan& plan, const ClassPlan& classes, const Pass& pass)
      : pass_(pass),
        width_(plan.images.out_w),
        row_(pass.begin / classes.row_bytes),
        x_(pass.begin % classes.row_bytes * 8) {}

  Eight next() {
    if (row_ >= pass_.rows) return {0, 0};
    const Eight eight = {pass_.first_pixel + row_ * width_ + x_,
                         static_cast<int>(std::min<size_t>(8, width_ - x_))};
    if ((x_ += 8) >= width_) ++row_, x_ = 0;
    return eight;
  }

 private:
  const Pass& pass_;
  size_t width_, row_, x_;
};

// Rows of up to 128 channels, seen from one column of the window, and where they go: channel c to plane c.
struct PlaneRows {
  const uint8_t* source;
  size_t source_row;  // bytes from row to row
  uint8_t* to;
  size_t rows, channel_bytes;
};

// What is shared by the tasks of a run.
struct ClassJob {
  BconvPlan* plan;
  ClassPlan* classes;
  uint8_t* output;
  size_t tasks;

  size_t units() const {
    return classes->phases.size() * plan->params.filter_w * ((plan->in_pixel + 15) / 16);
  }

  // Part `unit` of the planes of a tile.
  PlaneRows plane_rows(size_t tile, size_t unit) const {
    const BconvPlan& p = *plan;
    const size_t chunks = (p.in_pixel + 15) / 16, chunk = unit % chunks, plane = unit / chunks;
    const size_t x = plane % p.params.filter_w, phase = classes->phases[plane / p.params.filter_w];
    const size_t y = tile % classes->image_tiles * classes->tile_rows * p.params.stride_h + phase;
    const size_t first = tile / classes->image_tiles * p.bordered_h + y;
    PlaneRows to;
    to.source =
        p.bordered.data() + (first * p.bordered_w + x * p.params.dilation_w) * p.in_pixel + chunk * 16;
    to.source_row = p.params.stride_h * p.bordered_w * p.in_pixel;
    to.to = classes->planes.data() + tile * classes->tile_bytes +
            (plane * classes->channels + chunk * 128) * classes->plane_bytes;
    const size_t left = y < p.bordered_h ? (p.bordered_h - y - 1) / p.params.stride_h + 1 : 0;
    to.rows = std::min(classes->plane_rows, left);  // no window looks further
    to.channel_bytes = std::min<size_t>(16, classes->channels / 8 - chunk * 16);
    return to;
  }

  // Tile and bundle, the latter counted on from tile to tile, at which task i begins: the work before it is i
  // of `tasks` parts as nearly as bundles allow.
  size_t start(size_t i) const {
    size_t all_bundles = 0;
    for (const Bundle& bundle : classes->bundles) all_bundles += bundle.cost;
    const size_t tiles = classes->tiles(*plan), count = classes->bundles.size();
    size_t all = 0;
    for (size_t tile = 0; tile < tiles; ++tile) all += weight(tile) * all_bundles;
    size_t goal = all / tasks * i;
    if (i == tasks) return tiles * count;
    for (size_t tile = 0; tile < tiles; ++tile) {
      const size_t whole = weight(tile) * all_bundles;
      if (goal >= whole) {
        goal -= whole;
        continue;
      }
      for (size_t b = 0; b < count; ++b) {
        const size_t cost = weight(tile) * classes->bundles[b].cost;
        if (goal < cost) return tile * count + b + (2 * goal >= cost);
        goal -= cost;
      }
    }
    return tiles * count;
  }

 private:
  // Of a tile against another: a vector alone takes five eighths of two.
  size_t weight(size_t tile) const {
    const size_t bytes = classes->rows_of(*plan, tile) * classes->row_bytes;
    const size_t vectors = (bytes + kVectorBytes - 1) / kVectorBytes;
    return vectors / 2 * 8 + vectors % 2 * 5;
  }
};

// Bundles [begin, end) of a tile.
template <class Kernel>
void run_tile(const ClassJob& job, Kernel& kernel, size_t tile, size_t begin, size_t end) {
  const BconvPlan& plan = *job.plan;
  const ClassPlan& classes = *job.classes;
  const size_t image = tile / classes.image_tiles, row = tile % classes.image_tiles * classes.tile_rows;
  Pass pass = {};
  pass.rows = classes.rows_of(plan, tile);
  pass.first_pixel = (image * plan.images.out_h + row) * plan.images.out_w;
  const size_t bytes = pass.rows * classes.row_bytes;
  for (; pass.begin < bytes; pass.begin += kPassBytes) {
    pass.planes = classes.planes.data() + tile * classes.tile_bytes + pass.begin;
    pass.vectors = bytes - pass.begin > kVectorBytes ? 2 : 1;
    kernel.start(pass);
    for (size_t b = begin; b < end; ++b) kernel.run(classes.bundles[b]);
  }
  if (plan.params.output == Output::kBits && end == classes.bundles.size()) {
    for (size_t i = 0; i < pass.rows * plan.images.out_w; ++i)
      clear_rest(plan, job.output, pass.first_pixel + i);
  }
}

// The whole op on a path: first the planes, then the sums.
template <class Kernel>
void run_classes(BconvPlan& plan, ClassPlan& classes, const uint8_t* input, uint8_t* output,
                 const Parallel& parallel) {
  plan.add_borders(input);
  const size_t threads = std::clamp(parallel.threads, 1, plan.params.threads);
  ClassJob job = {&plan, &classes, output, threads};
  const auto make = [](void* context, size_t i) {
    const ClassJob& j = *static_cast<const ClassJob*>(context);
    const size_t units = j.units(), all = units * j.classes->tiles(*j.plan);
    for (size_t u = all * i / j.tasks; u < all * (i + 1) / j.tasks; ++u)
      Kernel::make_planes(*j.plan, *j.classes, j.plane_rows(u / units, u % units));
  };
  run_tasks(parallel, make, &job, threads);
  const auto sum = [](void* context, size_t i) {
    const ClassJob& j = *static_cast<const ClassJob*>(context);
    const size_t count = j.classes->bundles.size(), end = j.start(i + 1);
    Kernel kernel(*j.plan, *j.classes, j.output, i);
    for (size_t at = j.start(i); at < end;) {
      const size_t tile = at / count, stop = std::min(end, (tile + 1) * count);
      run_tile(j, kernel, tile, at % count, stop - tile * count);
      at = stop;
    }
  };
  run_tasks(parallel, sum, &job, threads);
}

}  // namespace larqnets
