// larqnets_runner: loads a .tflite file, feeds it, times it, prints one JSON object on stdout.
//
// Exit codes: 0 done, 1 could not (one line on stderr), 2 wrong usage. Everything is measured in nanoseconds
// of the monotonic clock; judging the numbers is left to who reads them.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "larqnets.h"

namespace {

constexpr const char* kUsage =
    "usage: larqnets_runner --model FILE [options]\n"
    "  --input FILE       values of one input, raw or .npy, one sample after another; once per input of the "
    "model\n"
    "  --output PREFIX    write every output of every sample to PREFIX.0.npy, PREFIX.1.npy, ...\n"
    "  --threads N        threads, default 1\n"
    "  --cpus MASK        run on these cores only; hexadecimal, bit i is core i, e.g. f0\n"
    "  --no-xnnpack       ordinary ops in TensorFlow Lite's own kernels\n"
    "  --warmup-runs N    invocations before the rounds, default 10\n"
    "  --warmup-ms N      and at least this long, default 1000\n"
    "  --rounds N         time this many rounds, default 0\n"
    "  --round-runs N     invocations of a round, default 50\n"
    "  --round-ms N       and at least this long, default 0\n"
    "  --profile N        time every op, in N further invocations of their own\n"
    "  --count            mark one more invocation for an instruction counter\n"
    "  --count-ops        and every op of yet another\n"
    "  --version          print versions and stop\n";

struct Options {
  std::string model, output;
  std::vector<std::string> inputs;
  uint64_t cpus = 0;
  int threads = 1, warmup_runs = 10, warmup_ms = 1000, rounds = 0, round_runs = 50, round_ms = 0, profile = 0;
  bool xnnpack = true, count = false, count_ops = false;
};

[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
void fail(const char* format, ...) {
  char message[8192];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  for (char* c = message; *c != 0; ++c) {
    if (static_cast<unsigned char>(*c) < ' ') *c = ' ';
  }
  std::fprintf(stderr, "larqnets_runner: %s\n", message);
  std::exit(1);
}

[[noreturn]] void wrong_usage(const std::string& reason) {
  std::fprintf(stderr, "larqnets_runner: %s\n%s", reason.c_str(), kUsage);
  std::exit(2);
}

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

// A file in memory, on a boundary of 64 bytes: TFLite uses constants where they lie.
struct Content {
  std::unique_ptr<uint8_t, decltype(&std::free)> data{nullptr, std::free};
  size_t size = 0;
};

Content read_file(const std::string& path) {
  Content content;
  FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) fail("cannot read %s: %s.", path.c_str(), std::strerror(errno));
  struct stat info;
  if (fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode)) fail("%s is not a file.", path.c_str());
  content.size = static_cast<size_t>(info.st_size);
  content.data.reset(static_cast<uint8_t*>(std::aligned_alloc(64, content.size / 64 * 64 + 64)));
  if (content.data == nullptr) fail("%s does not fit into memory.", path.c_str());
  if (std::fread(content.data.get(), 1, content.size, file) != content.size) {
    fail("cannot read %s: it ends early.", path.c_str());
  }
  std::fclose(file);
  return content;
}

std::string read_line(const std::string& path) {
  FILE* file = std::fopen(path.c_str(), "r");
  if (file == nullptr) return "";
  char line[256] = "";
  if (std::fgets(line, sizeof line, file) == nullptr) line[0] = 0;
  std::fclose(file);
  line[std::strcspn(line, "\n")] = 0;
  return line;
}

struct NumpyType {
  int type;
  const char* name;
  size_t size;
};
constexpr NumpyType kTypes[] = {{1, "<f4", 4},  {2, "<i4", 4},  {3, "|u1", 1},  {4, "<i8", 8},
                                {6, "|b1", 1},  {7, "<i2", 2},  {8, "<c8", 8},  {9, "|i1", 1},
                                {10, "<f2", 2}, {11, "<f8", 8}, {13, "<u8", 8}, {16, "<u4", 4},
                                {17, "<u2", 2}};

const NumpyType& numpy_type(const larqnets_tensor& tensor) {
  for (const NumpyType& t : kTypes) {
    if (t.type == tensor.type) return t;
  }
  fail("tensor '%s' has the type %d, which cannot be read or written.", tensor.name, tensor.type);
}

std::string shape_of(const larqnets_tensor& tensor) {
  std::string text = "(";
  for (int i = 0; i < tensor.rank; ++i)
    text += std::to_string(tensor.dims[i]) + (i + 1 < tensor.rank ? ", " : "");
  return text + ")";
}

// Samples of one input: `count` times the bytes of the tensor, starting at `start`.
struct Samples {
  Content content;
  size_t start = 0;
  size_t count = 0;
};

// Reads raw values, or a .npy of the tensor's type whose dimensions behind the first are the tensor's.
Samples read_samples(const std::string& path, const larqnets_tensor& tensor) {
  Samples samples;
  samples.content = read_file(path);
  const uint8_t* data = samples.content.data.get();
  size_t bytes = samples.content.size;
  if (bytes >= 10 && std::memcmp(data, "\x93NUMPY", 6) == 0) {
    const size_t before = data[6] == 1 ? 10 : 12;
    size_t length = data[8] | static_cast<size_t>(data[9]) << 8;
    if (before == 12 && bytes >= 12)
      length |= static_cast<size_t>(data[10]) << 16 | static_cast<size_t>(data[11]) << 24;
    if (bytes < before || length > bytes - before) fail("%s is cut off.", path.c_str());
    const std::string header(reinterpret_cast<const char*>(data) + before, length);
    const NumpyType& type = numpy_type(tensor);
    if (header.find(std::string("'descr': '") + type.name + "'") == std::string::npos) {
      fail("%s does not hold values of type %s, which input '%s' takes.", path.c_str(), type.name,
           tensor.name);
    }
    if (header.find("'fortran_order': False") == std::string::npos) {
      fail("%s is in Fortran order. Save it with numpy.ascontiguousarray.", path.c_str());
    }
    std::string rest;  // the dimensions behind the first, as numpy writes them
    for (int i = 1; i < tensor.rank; ++i) rest += ", " + std::to_string(tensor.dims[i]);
    rest += tensor.rank <= 1 ? ",)" : ")";  // one scalar per sample is an array of rank 1, too
    const size_t open = header.find("'shape': ("), close = header.find(')', open);
    const size_t comma = header.find(',', open);
    if (open == std::string::npos || close == std::string::npos || comma > close ||
        header.substr(comma, close + 1 - comma) != rest) {
      fail("%s does not have the shape %s of input '%s', repeated along the first axis.", path.c_str(),
           shape_of(tensor).c_str(), tensor.name);
    }
    samples.start = before + length;
    bytes -= samples.start;
  }
  if (tensor.bytes == 0 || bytes == 0 || bytes % tensor.bytes != 0) {
    fail("%s holds %zu bytes, which is no multiple of the %" PRIu64 " of input '%s' %s.", path.c_str(), bytes,
         tensor.bytes, tensor.name, shape_of(tensor).c_str());
  }
  samples.count = bytes / tensor.bytes;
  return samples;
}

// Writes a .npy beside its place and renames it, so that a full disk leaves no half file under the name.
void write_npy(const std::string& path, const larqnets_tensor& tensor, const std::vector<uint8_t>& data,
               size_t count) {
  std::string shape =
      std::to_string(count * (tensor.rank > 0 ? static_cast<size_t>(tensor.dims[0]) : 1)) + ",";
  for (int i = 1; i < tensor.rank; ++i) shape += (i > 1 ? ", " : " ") + std::to_string(tensor.dims[i]);
  std::string header = std::string("{'descr': '") + numpy_type(tensor).name +
                       "', 'fortran_order': False, 'shape': (" + shape + "), }";
  header += std::string(63 - (header.size() + 10) % 64, ' ') + "\n";
  const uint8_t preamble[10] = {0x93,
                                'N',
                                'U',
                                'M',
                                'P',
                                'Y',
                                1,
                                0,
                                static_cast<uint8_t>(header.size() & 255),
                                static_cast<uint8_t>(header.size() >> 8)};
  const std::string temporary = path + ".writing";
  FILE* file = std::fopen(temporary.c_str(), "wb");
  bool done = file != nullptr;
  done = done && std::fwrite(preamble, 1, sizeof preamble, file) == sizeof preamble;
  done = done && std::fwrite(header.data(), 1, header.size(), file) == header.size();
  done = done && std::fwrite(data.data(), 1, data.size(), file) == data.size();
  done = done && std::fflush(file) == 0 && fsync(fileno(file)) == 0;
  int reason = errno;
  if (file != nullptr && std::fclose(file) != 0 && done) {
    done = false;
    reason = errno;
  }
  if (done && std::rename(temporary.c_str(), path.c_str()) != 0) {
    done = false;
    reason = errno;
  }
  if (!done) {
    unlink(temporary.c_str());
    fail("cannot write %s: %s.", path.c_str(), std::strerror(reason));
  }
}

// JSON, built as text.
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) > '~') {
      char escape[8];  // each byte by itself: names that are not ASCII come out as Latin-1
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned char>(c));
      result += escape;
    } else {
      result += c;
    }
  }
  return result + "\"";
}

using Fields = std::vector<std::pair<std::string, std::string>>;

std::string object(const Fields& fields) {
  std::string result = "{";
  for (const auto& [name, value] : fields)
    result += (result.size() > 1 ? ", " : "") + quoted(name) + ": " + value;
  return result + "}";
}

std::string list(const std::vector<std::string>& items) {
  std::string result = "[";
  for (const std::string& item : items) result += (result.size() > 1 ? ", " : "") + item;
  return result + "]";
}

std::string milliseconds(uint64_t ns) {
  char text[40];
  std::snprintf(text, sizeof text, "%.6f", static_cast<double>(ns) / 1e6);
  return text;
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

// Cores that this process may use, as a mask of the first 64.
uint64_t affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  uint64_t mask = 0;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  for (int i = 0; i < 64; ++i) mask |= CPU_ISSET(i, &set) ? uint64_t{1} << i : 0;
  return mask;
}

std::string hexadecimal(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "%" PRIx64, value);
  return text;
}

void pin(uint64_t mask) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int i = 0; i < 64; ++i) {
    if (mask >> i & 1) CPU_SET(i, &set);
  }
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    fail("cannot pin to the cores of mask %" PRIx64 ": %s.", mask, std::strerror(errno));
  }
  if (affinity() != mask) {
    fail("cannot pin to the cores of mask %" PRIx64 ": only %" PRIx64 " are there.", mask, affinity());
  }
}

// Frequencies in kHz of the cores in `mask`, temperatures in thousandths of a degree Celsius; what cannot be
// read is left out.
std::string conditions(uint64_t mask) {
  Fields clocks, temperatures;
  for (int i = 0; i < 64; ++i) {
    if (!(mask >> i & 1)) continue;
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(i) + "/cpufreq/";
    const std::string now = read_line(folder + "scaling_cur_freq"),
                      most = read_line(folder + "cpuinfo_max_freq");
    if (now.empty() && most.empty()) continue;
    clocks.push_back(
        {std::to_string(i), object({{"khz", quoted(now)},
                                    {"max_khz", quoted(most)},
                                    {"governor", quoted(read_line(folder + "scaling_governor"))}})});
  }
  for (int i = 0; i < 128; ++i) {
    const std::string zone = "/sys/class/thermal/thermal_zone" + std::to_string(i) + "/";
    const std::string value = read_line(zone + "temp");
    if (!value.empty())
      temperatures.push_back({std::to_string(i) + " " + read_line(zone + "type"), quoted(value)});
  }
  // Raspberry Pi: bits for under-voltage and throttling, now and since the start.
  const std::string throttled = read_line("/sys/devices/platform/soc/soc:firmware/get_throttled");
  return object({{"clocks", object(clocks)},
                 {"temperatures", object(temperatures)},
                 {"throttled", throttled.empty() ? "null" : quoted(throttled)},
                 {"load", quoted(read_line("/proc/loadavg"))}});
}

std::string peak_memory_kb() {
  FILE* file = std::fopen("/proc/self/status", "r");
  if (file == nullptr) return "null";
  char line[256];
  long kb = -1;
  while (std::fgets(line, sizeof line, file) != nullptr) {
    if (std::sscanf(line, "VmHWM: %ld kB", &kb) == 1) break;
  }
  std::fclose(file);
  return kb < 0 ? "null" : std::to_string(kb);
}

// What translates ARM64 to another machine's instructions here, empty on ARM64 itself: times then mean
// nothing. qemu's user mode answers like the system that it is not, but its process bears its own name, and
// the kernel says what it runs on (kernel.arch since Linux 6.1; /proc/cpuinfo, which newer qemus make up).
std::string emulator() {
  if (read_line("/proc/self/status").find("qemu") != std::string::npos) return "qemu";
  const std::string arch = read_line("/proc/sys/kernel/arch");
  if (!arch.empty() && arch != "aarch64") return "an emulator on " + arch;
  FILE* file = std::fopen("/proc/cpuinfo", "r");
  if (file == nullptr) return "";
  char line[256];
  bool x86 = false;
  while (!x86 && std::fgets(line, sizeof line, file) != nullptr) {
    x86 = std::strncmp(line, "vendor_id", 9) == 0;
  }
  std::fclose(file);
  return x86 ? "an emulator on x86" : "";
}

class Model {
 public:
  Model(const Content& content, const Options& o, bool profile) : name_(o.model) {
    const larqnets_options options = {o.threads, o.xnnpack ? 1 : 0, profile ? 1 : 0};
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
      fail("output %zu of %s has another shape for every sample, such as %s and %s. Run one sample at a time.", index,
           name_.c_str(), shape_of(outputs_[index]).c_str(), shape_of(now).c_str());
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

// Values for a model that nobody gave an input, always the same: float32 from -1 to 1, bytes of any value, 0 and
// 1 of booleans and of wider integers, which may be indices, zeros of other types.
std::vector<Samples> made_up(const std::vector<larqnets_tensor>& inputs) {
  std::vector<Samples> result;
  uint64_t state = 1;
  for (const larqnets_tensor& tensor : inputs) {
    Samples s;
    s.content.size = tensor.bytes;
    s.content.data.reset(static_cast<uint8_t*>(std::aligned_alloc(64, tensor.bytes / 64 * 64 + 64)));
    if (s.content.data == nullptr) fail("input '%s' does not fit into memory.", tensor.name);
    auto next = [&state] {
      state = state * 6364136223846793005u + 1442695040888963407u;
      return static_cast<uint32_t>(state >> 33);  // 31 bits
    };
    if (tensor.type == 1) {
      auto* values = reinterpret_cast<float*>(s.content.data.get());
      for (size_t i = 0; i < tensor.bytes / 4; ++i)
        values[i] = static_cast<float>(next()) / 1073741824.0f - 1;
    } else {
      uint8_t* bytes = s.content.data.get();
      const NumpyType& type = numpy_type(tensor);
      const bool any_value = type.size == 1 && type.type != 6;
      std::memset(bytes, 0, tensor.bytes);
      for (size_t i = 0; i < tensor.bytes && std::strchr("fc", type.name[1]) == nullptr; i += type.size) {
        bytes[i] = static_cast<uint8_t>(any_value ? next() >> 20 : next() >> 30);
      }
    }
    s.count = 1;
    result.push_back(std::move(s));
  }
  return result;
}

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
                          {"in_delegate", event.in_delegate ? "true" : "false"}}));
  }
  return list(ops);
}

int run(const Options& o) {
  const uint64_t before_pinning = affinity();
  if (o.cpus != 0) pin(o.cpus);  // before any thread exists, so that all inherit it
  const Content content = read_file(o.model);

  const uint64_t start = now_ns();
  Model model(content, o, false);
  const uint64_t created = now_ns();

  std::vector<Samples> samples;
  if (!o.inputs.empty() && o.inputs.size() != model.inputs().size()) {
    fail("%s takes %zu inputs, not %zu.", o.model.c_str(), model.inputs().size(), o.inputs.size());
  }
  for (size_t i = 0; i < o.inputs.size(); ++i)
    samples.push_back(read_samples(o.inputs[i], model.inputs()[i]));
  for (const Samples& s : samples) {
    if (s.count != samples[0].count) fail("the inputs have different numbers of samples.");
  }
  if (o.inputs.empty()) samples = made_up(model.inputs());
  const size_t num_samples = o.inputs.empty() || o.output.empty() ? 1 : samples[0].count;

  std::vector<std::vector<uint8_t>> outputs(model.outputs().size());
  uint64_t first_inference = 0;
  for (size_t i = 0; i < num_samples; ++i) {
    model.set_sample(samples, i);
    const uint64_t before = now_ns();
    model.invoke();
    if (i == 0) first_inference = now_ns() - before;
    if (o.output.empty()) continue;
    for (size_t k = 0; k < outputs.size(); ++k) model.append_output(k, i, &outputs[k]);
  }
  if (!o.output.empty()) {
    for (size_t k = 0; k < outputs.size(); ++k) {
      write_npy(o.output + "." + std::to_string(k) + ".npy", model.outputs()[k], outputs[k], num_samples);
    }
  }

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

  std::vector<std::string> inputs_json, outputs_json;
  for (const larqnets_tensor& t : model.inputs()) inputs_json.push_back(tensor_json(t));
  for (const larqnets_tensor& t : model.outputs()) outputs_json.push_back(tensor_json(t));
  utsname system = {};
  uname(&system);
  const std::string emulated = emulator();
  const Fields report = {
      {"larqnets", quoted(larqnets_version())},
      {"tflite", quoted(larqnets_tflite_version())},
      {"kernels", quoted(larqnets_kernels())},
      {"xnnpack", o.xnnpack ? "true" : "false"},
      {"system", quoted(std::string(system.sysname) + " " + system.release + " " + system.machine)},
      {"emulator", emulated.empty() ? "null" : quoted(emulated)},
      {"hwcap", quoted(hexadecimal(getauxval(AT_HWCAP)))},
      {"hwcap2", quoted(hexadecimal(getauxval(AT_HWCAP2)))},
      {"threads", std::to_string(o.threads)},
      {"cpus_before", quoted(hexadecimal(before_pinning))},
      {"cpus_asked", o.cpus == 0 ? "null" : quoted(hexadecimal(o.cpus))},
      {"cpus", quoted(hexadecimal(affinity()))},
      {"inputs", list(inputs_json)},
      {"outputs", list(outputs_json)},
      {"samples", std::to_string(num_samples)},
      {"init_ms", milliseconds(created - start)},
      {"first_inference_ms", milliseconds(first_inference)},
      {"peak_memory_kb", memory},
      {"warmup_runs", std::to_string(o.warmup_runs)},
      {"warmup_ms", std::to_string(o.warmup_ms)},
      {"rounds", rounds},
      {"profile", o.profile > 0 ? profile_json(content, o, samples) : "null"},
      {"counted_ops", o.count_ops ? counted_ops_json(content, o, samples) : "null"},
      {"conditions", conditions(affinity())},
  };
  if (std::printf("%s\n", object(report).c_str()) < 0 || std::fflush(stdout) != 0) {
    fail("cannot write the result: %s.", std::strerror(errno));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  catch_crashes();
  try {
    return run(options);
  } catch (const std::exception&) {
    fail("there is no memory for this model and its values.");
  }
}
