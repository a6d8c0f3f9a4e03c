// The command line of the runner.
#ifndef LARQNETS_RUNNER_OPTIONS_H_
#define LARQNETS_RUNNER_OPTIONS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "larqnets.h"

namespace larqnets_runner {

struct Options {
  std::string model, output;
  std::vector<std::string> inputs;
  uint64_t cpus = 0;
  int threads = 1, warmup_runs = 10, warmup_ms = 1000, rounds = 0, round_runs = 50, round_ms = 0, profile = 0;
  int kernels = LARQNETS_KERNELS_CHOSEN;
  bool xnnpack = true, low_memory = false, count = false, count_ops = false;
};

// Reads the options. Wrong ones end the process with exit code 2, --version and --help with 0.
Options parse(int argc, char** argv);

}  // namespace larqnets_runner

#endif  // LARQNETS_RUNNER_OPTIONS_H_
