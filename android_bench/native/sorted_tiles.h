// The walk over groups of pixels of sorted_plan.h. `Kernel` counts and writes.
#pragma once

#include "bconv_tiles.h"
#include "sorted_plan.h"

namespace larqnets {

template <class Kernel>
void run_sorted(BconvPlan& plan, SortedPlan& sorted, const uint8_t* input, uint8_t* output,
                const Parallel& parallel) {
  plan.add_borders(input);
  struct Job {
    BconvPlan* plan;
    SortedPlan* sorted;
    uint8_t* output;
    size_t groups, tasks;
  } job = {&plan, &sorted, output, 0, static_cast<size_t>(std::clamp(parallel.threads, 1, kMaxThreads))};
  job.groups = sorted.groups(plan, job.tasks);
  const auto task = [](void* context, size_t i) {
    const Job& j = *static_cast<const Job*>(context);
    const size_t pixels = j.plan->pixels;
    Kernel kernel(*j.plan, *j.sorted, j.output, j.sorted->scratch.data() + i * j.sorted->scratch_bytes);
    for (size_t g = j.groups * i / j.tasks; g < j.groups * (i + 1) / j.tasks; ++g) {
      const size_t first = pixels * g / j.groups, end = pixels * (g + 1) / j.groups;
      kernel.run(first, static_cast<int>(end - first));
      if (j.plan->params.output != Output::kBits) continue;
      for (size_t pixel = first; pixel < end; ++pixel) clear_rest(*j.plan, j.output, pixel);
    }
  };
  run_tasks(parallel, task, &job, job.tasks);
}

}  // namespace larqnets
