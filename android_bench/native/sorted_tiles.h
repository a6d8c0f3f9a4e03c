// The walk over groups of pixels of sorted_plan.h. `Kernel` counts and writes.
#pragma once

#include "bconv_tiles.h"
#include "sorted_plan.h"

namespace larqnets {

template <class Kernel>
void run_sorted(BconvPlan& plan, SortedPlan& sorted, const uint8_t* input, uint8_t* output,
                const Parallel& parallel) {
  plan.add_borders(input);
  // Parts of the work are groups with two vectors of filters. A thread gets those of whole groups, which are sorted once
  // then, unless it would get more.
  struct Job {
    BconvPlan* plan;
    SortedPlan* sorted;
    uint8_t* output;
    size_t tasks, grain;
  } job = {&plan, &sorted, output, static_cast<size_t>(std::clamp(parallel.threads, 1, plan.params.threads)),
           1};
  const auto most = [&](size_t parts) { return (parts + job.tasks - 1) / job.tasks; };
  const size_t groups = sorted.groups(plan);
  if (most(groups) * sorted.pairs <= most(groups * sorted.pairs)) job.grain = sorted.pairs;
  const auto task = [](void* context, size_t i) {
    const Job& j = *static_cast<const Job*>(context);
    const size_t pixels = j.plan->pixels, groups = j.sorted->groups(*j.plan), pairs = j.sorted->pairs;
    const size_t grains = groups * pairs / j.grain;
    const size_t begin = grains * i / j.tasks * j.grain, end = grains * (i + 1) / j.tasks * j.grain;
    Kernel kernel(*j.plan, *j.sorted, j.output, j.sorted->scratch.data() + i * j.sorted->scratch_bytes);
    for (size_t g = begin / pairs; g * pairs < end; ++g) {
      const size_t first = pixels * g / groups, behind = pixels * (g + 1) / groups;
      const size_t from = std::max(begin, g * pairs) - g * pairs, to = std::min(end - g * pairs, pairs);
      kernel.run(first, static_cast<int>(behind - first), from, to);
      if (j.plan->params.output != Output::kBits || to < pairs) continue;
      for (size_t pixel = first; pixel < behind; ++pixel) clear_rest(*j.plan, j.output, pixel);
    }
  };
  run_tasks(parallel, task, &job, job.tasks);
}

}  // namespace larqnets
