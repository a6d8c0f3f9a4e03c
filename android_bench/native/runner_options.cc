#include "runner_options.h"

#include <errno.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "kernels.h"
#include "larqnets.h"

namespace larqnets_runner {

namespace {

constexpr const char* kUsage =
    "usage: larqnets_runner --model FILE [options]\n"
    "  --input FILE       values of one input, raw or .npy, one sample after another; once per input of the "
    "model\n"
    "  --output PREFIX    write every output of every sample to PREFIX.0.npy, PREFIX.1.npy, ...\n"
    "  --threads N        threads, default 1\n"
    "  --cpus MASK        run on these cores only; hexadecimal, bit i is core i, e.g. f0\n"
    "  --no-xnnpack       ordinary ops in TensorFlow Lite's own kernels\n"
    "  --kernels WAY      how 1-bit convolutions count: popcount, classes, sorted, where their shapes can "
    "have it, "
    "or\n"
    "                     chosen, the default: each as takes the fewest instructions\n"
    "  --low-memory       no way that keeps more than four bytes per byte of filters\n"
    "  --warmup-runs N    invocations before the rounds, default 10\n"
    "  --warmup-ms N      and at least this long, default 1000\n"
    "  --rounds N         time this many rounds, default 0\n"
    "  --round-runs N     invocations of a round, default 50\n"
    "  --round-ms N       and at least this long, default 0\n"
    "  --profile N        time every op, in N further invocations of their own\n"
    "  --count            mark what loads the model and one more invocation for an instruction counter\n"
    "  --count-ops        and every op of yet another\n"
    "  --version          print versions and stop\n";

[[noreturn]] void wrong_usage(const std::string& reason) {
  std::fprintf(stderr, "larqnets_runner: %s\n%s", reason.c_str(), kUsage);
  std::exit(2);
}

uint64_t parse_number(const std::string& option, const char* text, int base, uint64_t low, uint64_t high) {
  char* end = nullptr;
  errno = 0;
  const unsigned long long value = std::strtoull(text, &end, base);
  if (end == text || *end != 0 || errno != 0 || std::strchr(text, '-') != nullptr || value < low ||
      value > high) {
    wrong_usage(option + " cannot be '" + text + "'");
  }
  return value;
}

int parse_kernels(const std::string& name) {
  const auto* found = std::find(std::begin(larqnets::kKernelNames), std::end(larqnets::kKernelNames), name);
  if (found == std::end(larqnets::kKernelNames)) wrong_usage("--kernels cannot be '" + name + "'");
  return static_cast<int>(found - std::begin(larqnets::kKernelNames));
}

}  // namespace

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    auto value = [&]() -> const char* {
      if (i + 1 >= argc) wrong_usage(option + " lacks its value");
      return argv[++i];
    };
    auto number = [&](int low) {
      return static_cast<int>(parse_number(option, value(), 10, low, 100000000));
    };
    if (option == "--model")
      o.model = value();
    else if (option == "--input")
      o.inputs.emplace_back(value());
    else if (option == "--output")
      o.output = value();
    else if (option == "--threads")
      o.threads = static_cast<int>(parse_number(option, value(), 10, 1, 256));
    else if (option == "--cpus")
      o.cpus = parse_number(option, value(), 16, 1, UINT64_MAX);
    else if (option == "--no-xnnpack")
      o.xnnpack = false;
    else if (option == "--kernels")
      o.kernels = parse_kernels(value());
    else if (option == "--low-memory")
      o.low_memory = true;
    else if (option == "--warmup-runs")
      o.warmup_runs = number(0);
    else if (option == "--warmup-ms")
      o.warmup_ms = number(0);
    else if (option == "--rounds")
      o.rounds = number(0);
    else if (option == "--round-runs")
      o.round_runs = number(1);
    else if (option == "--round-ms")
      o.round_ms = number(0);
    else if (option == "--profile")
      o.profile = number(1);
    else if (option == "--count")
      o.count = true;
    else if (option == "--count-ops")
      o.count_ops = true;
    else if (option == "--version") {
      std::printf("larqnets %s, TensorFlow Lite %s, kernels %s\n", larqnets_version(),
                  larqnets_tflite_version(), larqnets_kernels());
      std::exit(0);
    } else if (option == "--help" || option == "-h") {
      std::printf("%s", kUsage);
      std::exit(0);
    } else {
      wrong_usage("there is no option " + option);
    }
  }
  if (o.model.empty()) wrong_usage("--model is missing");
  return o;
}

}  // namespace larqnets_runner
