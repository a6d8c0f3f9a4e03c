// larqnets_runner: loads a .tflite file, feeds it, times it, prints one JSON object on stdout.
//
// Exit codes: 0 done, 1 could not (one line on stderr), 2 wrong usage. Everything is measured in nanoseconds
// of the monotonic clock; judging the numbers is left to who reads them.
#include <errno.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>
#include <utility>
#include <vector>

#include "conditions.h"
#include "json.h"
#include "kernels.h"
#include "larqnets.h"
#include "mark.h"
#include "npy.h"
#include "runner_files.h"
#include "runner_options.h"

namespace larqnets_runner {
namespace {

// Google's library trusts the file; what damage it does not notice ends here, as one line instead of a core
// dump.
extern "C" void on_crash(int signal_number) {
  const char* what = signal_number == SIGABRT ? "gave up" : "crashed";
  char line[160];
  const int n = std::snprintf(
      line, sizeof line,
      "larqnets_runner: TensorFlow Lite %s (signal %d) on this model. Convert or copy it again.\n", what,
      signal_number);
  if (write(STDERR_FILENO, line, static_cast<size_t>(n)) < 0) _exit(1);
  _exit(1);
}

void catch_crashes() {
  static uint8_t stack[65536];
  stack_t alternative = {};
  alternative.ss_sp = stack;
  alternative.ss_size = sizeof stack;
  sigaltstack(&alternative, nullptr);
  for (int s : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) {
    struct sigaction action = {};
    action.sa_handler = on_crash;
    action.sa_flags = SA_ONSTACK;
    sigaction(s, &action, nullptr);
  }
}

uint64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1000000000u + static_cast<uint64_t>(t.tv_nsec);
}

std::string tensor_json(const larqnets_tensor& t) {
  std::vector<std::string> dims;
  for (int i = 0; i < t.rank; ++i) dims.push_back(std::to_string(t.dims[i]));
  char scale[40];
  std::snprintf(scale, sizeof scale, "%.9g", static_cast<double>(t.scale));
  return object({{"name", quoted(t.name)},
                 {"type", quoted(numpy_type(t).name)},
                 {"shape", list(dims)},
                 {"scale", scale},
                 {"zero_point", std::to_string(t.zero_point)}});
}

class Model {
 public:
  Model(const Content& content, const Options& o, bool profile) : name_(o.model) {
    const larqnets_options options = {o.threads, o.xnnpack ? 1 : 0, profile ? 1 : 0, o.kernels,
                                      o.low_memory ? 1 : 0};
    char error[4096] = "";
    model_ = larqnets_create(content.data.get(), content.size, &options, error, sizeof error);
    if (model_ == nullptr) fail("cannot load %s: %s", name_.c_str(), error);
    inputs_.resize(static_cast<size_t>(larqnets_num_inputs(model_)));
    for (size_t i = 0; i < inputs_.size(); ++i)
      check(larqnets_input(model_, static_cast<int32_t>(i), &inputs_[i]));
    outputs_.resize(static_cast<size_t>(larqnets_num_outputs(model_)));
    for (size_t i = 0; i < outputs_.size(); ++i)
      check(larqnets_output(model_, static_cast<int32_t>(i), &outputs_[i]));
  }
  ~Model() { larqnets_destroy(model_); }
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const std::vector<larqnets_tensor>& inputs() const { return inputs_; }
  const std::vector<larqnets_tensor>& outputs() const { return outputs_; }

  void set_sample(const std::vector<Samples>& samples, size_t index) {
    for (size_t i = 0; i < samples.size(); ++i) {
      const size_t bytes = inputs_[i].bytes;
      const uint8_t* data = samples[i].content.data.get() + samples[i].start + index * bytes;
      check(larqnets_set_input(model_, static_cast<int32_t>(i), data, bytes));
    }
  }

  void invoke() { check(larqnets_invoke(model_)); }

  // Some outputs get their shape only when the model runs; all samples must get the same.
  void append_output(size_t index, size_t sample, std::vector<uint8_t>* data) {
    larqnets_tensor now;
    check(larqnets_output(model_, static_cast<int32_t>(index), &now));
    if (sample > 0 && shape_of(now) != shape_of(outputs_[index])) {
      fail(
          "output %zu of %s has another shape for every sample, such as %s and %s. Run one sample at a time.",
          index, name_.c_str(), shape_of(outputs_[index]).c_str(), shape_of(now).c_str());
    }
    outputs_[index] = now;
    const size_t bytes = now.bytes, old = data->size();
    data->resize(old + bytes);
    check(larqnets_get_output(model_, static_cast<int32_t>(index), data->data() + old, bytes));
  }

  larqnets_model* get() const { return model_; }

 private:
  void check(int status) {
    if (status != 0) fail("cannot run %s: %s", name_.c_str(), larqnets_error(model_));
  }

  std::string name_;
  larqnets_model* model_;
  std::vector<larqnets_tensor> inputs_, outputs_;
};

// Repeats an invocation until `runs` are done and `ms` have passed; the latency of each.
std::vector<uint64_t> repeat(Model& model, int runs, int ms) {
  std::vector<uint64_t> latencies;
  latencies.reserve(static_cast<size_t>(runs));
  const uint64_t start = now_ns();
  while (latencies.size() < static_cast<size_t>(runs) ||
         now_ns() - start < static_cast<uint64_t>(ms) * 1000000u) {
    const uint64_t before = now_ns();
    model.invoke();
    latencies.push_back(now_ns() - before);
  }
  return latencies;
}

std::string rounds_json(Model& model, const Options& o) {
  std::vector<std::string> rounds;
  for (int r = 0; r < o.rounds; ++r) {
    const std::string before = conditions(affinity());
    std::vector<std::string> latencies;
    for (uint64_t ns : repeat(model, o.round_runs, o.round_ms)) latencies.push_back(std::to_string(ns));
    rounds.push_back(
        object({{"ns", list(latencies)}, {"before", before}, {"after", conditions(affinity())}}));
  }
  return list(rounds);
}

std::string way_json(const larqnets_event& event) { return *event.way == 0 ? "null" : quoted(event.way); }

// Mean time of every op over `runs` invocations, in order of execution.
std::string profile_json(const Content& content, const Options& o, const std::vector<Samples>& samples) {
  Model model(content, o, true);
  model.set_sample(samples, 0);
  repeat(model, o.warmup_runs, o.warmup_ms);
  std::vector<uint64_t> sums;
  for (int run = 0; run < o.profile; ++run) {
    model.invoke();
    larqnets_event event;
    for (int32_t i = 0; larqnets_get_event(model.get(), i, &event) != 0; ++i) {
      if (sums.size() <= static_cast<size_t>(i)) sums.push_back(0);
      sums[static_cast<size_t>(i)] += event.nanoseconds;
    }
  }
  std::vector<std::string> ops;
  larqnets_event event;
  for (int32_t i = 0; larqnets_get_event(model.get(), i, &event) != 0; ++i) {
    const uint64_t mean = sums[static_cast<size_t>(i)] / static_cast<uint64_t>(o.profile);
    ops.push_back(object({{"name", quoted(event.name)},
                          {"op", std::to_string(event.op)},
                          {"in_delegate", event.in_delegate ? "true" : "false"},
                          {"way", way_json(event)},
                          {"mean_ns", std::to_string(mean)}}));
  }
  return list(ops);
}

// Marks the ops of the second invocation of a model of its own, whose profiler costs instructions; says which
// op is which region.
std::string counted_ops_json(const Content& content, const Options& o, const std::vector<Samples>& samples) {
  Model model(content, o, true);
  model.set_sample(samples, 0);
  model.invoke();
  larqnets_set_mark(model.get(), LARQNETS_MARK_OPS);
  model.invoke();
  std::vector<std::string> ops;
  larqnets_event event;
  for (int32_t i = 0; larqnets_get_event(model.get(), i, &event) != 0; ++i) {
    ops.push_back(object({{"name", quoted(event.name)},
                          {"op", std::to_string(event.op)},
                          {"in_delegate", event.in_delegate ? "true" : "false"},
                          {"way", way_json(event)}}));
  }
  return list(ops);
}

// The given samples, or made-up ones, of every input.
std::vector<Samples> samples_for(const Model& model, const Options& o) {
  if (o.inputs.empty()) return made_up(model.inputs());
  if (o.inputs.size() != model.inputs().size()) {
    fail("%s takes %zu inputs, not %zu.", o.model.c_str(), model.inputs().size(), o.inputs.size());
  }
  std::vector<Samples> samples;
  for (size_t i = 0; i < o.inputs.size(); ++i)
    samples.push_back(read_samples(o.inputs[i], model.inputs()[i]));
  for (const Samples& s : samples) {
    if (s.count != samples[0].count) fail("the inputs have different numbers of samples.");
  }
  return samples;
}

// Runs the model on the first `count` samples and writes its outputs where they are asked for; returns the
// latency of the first.
uint64_t infer(Model& model, const Options& o, const std::vector<Samples>& samples, size_t count) {
  std::vector<std::vector<uint8_t>> outputs(model.outputs().size());
  uint64_t first = 0;
  for (size_t i = 0; i < count; ++i) {
    model.set_sample(samples, i);
    const uint64_t before = now_ns();
    model.invoke();
    if (i == 0) first = now_ns() - before;
    if (o.output.empty()) continue;
    for (size_t k = 0; k < outputs.size(); ++k) model.append_output(k, i, &outputs[k]);
  }
  if (!o.output.empty()) {
    for (size_t k = 0; k < outputs.size(); ++k) {
      write_npy(o.output + "." + std::to_string(k) + ".npy", model.outputs()[k], outputs[k], count);
    }
  }
  return first;
}

// What was run, and what it runs on.
Fields versions_and_system(const Options& o) {
  utsname system = {};
  uname(&system);
  const std::string emulated = emulator();
  return {
      {"larqnets", quoted(larqnets_version())},
      {"tflite", quoted(larqnets_tflite_version())},
      {"kernels", quoted(larqnets_kernels())},
      {"xnnpack", o.xnnpack ? "true" : "false"},
      {"counting", quoted(larqnets::kKernelNames[o.kernels])},
      {"low_memory", o.low_memory ? "true" : "false"},
      {"system", quoted(std::string(system.sysname) + " " + system.release + " " + system.machine)},
      {"emulator", emulated.empty() ? "null" : quoted(emulated)},
      {"hwcap", quoted(hexadecimal(getauxval(AT_HWCAP)))},
      {"hwcap2", quoted(hexadecimal(getauxval(AT_HWCAP2)))},
      {"threads", std::to_string(o.threads)},
  };
}

std::string tensors_json(const std::vector<larqnets_tensor>& tensors) {
  std::vector<std::string> items;
  for (const larqnets_tensor& t : tensors) items.push_back(tensor_json(t));
  return list(items);
}

int run(const Options& o) {
  const uint64_t before_pinning = affinity();
  if (o.cpus != 0) pin(o.cpus);  // before any thread exists, so that all inherit it
  const Content content = read_file(o.model);

  if (o.count) larqnets::mark(LARQNETS_REGION_LOAD);
  const uint64_t start = now_ns();
  Model model(content, o, false);
  const uint64_t created = now_ns();
  if (o.count) larqnets::mark(0);

  const std::vector<Samples> samples = samples_for(model, o);
  const size_t num_samples = o.inputs.empty() || o.output.empty() ? 1 : samples[0].count;
  const uint64_t first_inference = infer(model, o, samples, num_samples);
  if (o.count) {  // what a first invocation alone does, such as filling caches, is done
    larqnets_set_mark(model.get(), LARQNETS_MARK_INVOKE);
    model.invoke();
    larqnets_set_mark(model.get(), LARQNETS_MARK_NOTHING);
  }
  std::string rounds = "[]";
  if (o.rounds > 0) {
    model.set_sample(samples, 0);
    repeat(model, o.warmup_runs, o.warmup_ms);
    rounds = rounds_json(model, o);
  }
  const std::string memory = peak_memory_kb();

  Fields report = versions_and_system(o);
  const Fields measured = {
      {"cpus_before", quoted(hexadecimal(before_pinning))},
      {"cpus_asked", o.cpus == 0 ? "null" : quoted(hexadecimal(o.cpus))},
      {"cpus", quoted(hexadecimal(affinity()))},
      {"inputs", tensors_json(model.inputs())},
      {"outputs", tensors_json(model.outputs())},
      {"samples", std::to_string(num_samples)},
      {"init_ms", milliseconds(created - start)},
      {"first_inference_ms", milliseconds(first_inference)},
      {"peak_memory_kb", memory},
      {"prepared_bytes", std::to_string(larqnets_prepared_bytes(model.get()))},
      {"warmup_runs", std::to_string(o.warmup_runs)},
      {"warmup_ms", std::to_string(o.warmup_ms)},
      {"rounds", rounds},
      {"profile", o.profile > 0 ? profile_json(content, o, samples) : "null"},
      {"counted_ops", o.count_ops ? counted_ops_json(content, o, samples) : "null"},
      {"conditions", conditions(affinity())},
  };
  report.insert(report.end(), measured.begin(), measured.end());
  if (std::printf("%s\n", object(report).c_str()) < 0 || std::fflush(stdout) != 0) {
    fail("cannot write the result: %s.", std::strerror(errno));
  }
  return 0;
}

}  // namespace
}  // namespace larqnets_runner

int main(int argc, char** argv) {
  const larqnets_runner::Options options = larqnets_runner::parse(argc, argv);
  larqnets_runner::catch_crashes();
  try {
    return larqnets_runner::run(options);
  } catch (const std::exception&) {
    larqnets_runner::fail("there is no memory for this model and its values.");
  }
}
