// Calls the C interface of the library for apps as an app would, and as it should not:
//   app_calls run FILE...      each file: the first output for inputs of zeros, or the sentence
//   app_calls contract FILE    wrong sizes, numbers and options; two models at once
//   app_calls threads FILE     four threads, each with models of its own settings
//   app_calls again COUNT FILE makes and destroys a model COUNT times
//   app_calls memory BYTES FILE   while app_shim.c gives no larger piece of memory, and after that
//   app_calls faults once|on FILE   each allocation of a model's making fails, alone or with all that follow (only
//                              where our sources are linked in)
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "larqnets.h"

namespace {

constexpr larqnets_options kUsual = {1, 1, 0, LARQNETS_KERNELS_CHOSEN, 0};

std::string read(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

larqnets_model* make(const std::string& file, const larqnets_options& options, std::string* error) {
  char sentence[4096] = "";
  larqnets_model* model = larqnets_create(file.data(), file.size(), &options, sentence, sizeof sentence);
  *error = sentence;
  return model;
}

// The first output's bytes for inputs of which every byte is `value`; empty, and why, when it fails.
std::string run(larqnets_model* model, char value, std::string* error) {
  larqnets_tensor tensor;
  for (int i = 0; i < larqnets_num_inputs(model); ++i) {
    if (larqnets_input(model, i, &tensor) == 0) {
      const std::string input(tensor.bytes, value);
      larqnets_set_input(model, i, input.data(), input.size());
    }
  }
  std::string output;
  bool done = larqnets_invoke(model) == 0 && larqnets_output(model, 0, &tensor) == 0;
  if (done) {
    output.resize(tensor.bytes);
    done = larqnets_get_output(model, 0, output.data(), output.size()) == 0;
  }
  *error = done ? "" : larqnets_error(model);
  return done ? output : "";
}

int run_files(int count, char** paths) {
  for (int i = 0; i < count; ++i) {
    std::string error;
    const std::string file = read(paths[i]);
    larqnets_model* model = make(file, kUsual, &error);
    if (model != nullptr) run(model, 0, &error);
    larqnets_destroy(model);
    std::printf("%s\n", error.empty() ? "done" : error.c_str());
    std::fflush(stdout);
  }
  return 0;
}

#define EXPECT(condition)                                                 \
  if (!(condition)) {                                                     \
    std::fprintf(stderr, "%d: %s does not hold\n", __LINE__, #condition); \
    return 1;                                                             \
  }

int contract(const std::string& file) {
  std::string error;
  larqnets_tensor tensor;
  for (const larqnets_options& wrong : {larqnets_options{0, 1, 0, 0, 0}, larqnets_options{1025, 1, 0, 0, 0},
                                        larqnets_options{1, 1, 0, 4, 0}, larqnets_options{1, 1, 0, -1, 0}}) {
    EXPECT(make(file, wrong, &error) == nullptr);
    std::printf("%s\n", error.c_str());
  }
  larqnets_model* one = make(file, kUsual, &error);
  larqnets_model* other = make(file, {3, 0, 0, LARQNETS_KERNELS_POPCOUNT, 1}, &error);
  EXPECT(one != nullptr && other != nullptr);
  EXPECT(larqnets_input(one, 0, &tensor) == 0);
  const std::string input(tensor.bytes + 1, 0);
  for (size_t size : {size_t{0}, size_t{tensor.bytes} - 1, size_t{tensor.bytes} + 1}) {
    EXPECT(larqnets_set_input(one, 0, input.data(), size) != 0);
    std::printf("%s\n", larqnets_error(one));
  }
  EXPECT(larqnets_set_input(one, 1, input.data(), tensor.bytes) != 0);
  EXPECT(larqnets_set_input(one, -1, input.data(), tensor.bytes) != 0);
  const std::string first = run(one, 0, &error);
  EXPECT(!first.empty());
  std::string out(first.size() + 1, 0);
  for (size_t size : {size_t{0}, first.size() - 1, first.size() + 1}) {
    EXPECT(larqnets_get_output(one, 0, out.data(), size) != 0);
    std::printf("%s\n", larqnets_error(one));
  }
  EXPECT(larqnets_output(one, 7, &tensor) != 0);
  std::printf("%s\n", larqnets_error(one));
  EXPECT(run(other, 1, &error) != first);  // of other inputs, while the first lives
  EXPECT(run(one, 0, &error) == first);
  larqnets_destroy(one);
  EXPECT(!run(other, 0, &error).empty());
  larqnets_destroy(other);
  larqnets_destroy(nullptr);
  return 0;
}

// Each thread makes models that count in a way of its own: had they settings in common, the ways would be mixed.
int threads(const std::string& file) {
  constexpr const char* kWays[] = {"", "popcount", "classes", "sorted"};
  std::atomic<int> bad{0};
  std::vector<std::string> outputs(4);
  std::vector<std::thread> all;
  for (int kernels = 0; kernels < 4; ++kernels) {
    all.emplace_back([&, kernels] {
      for (int round = 0; round < 3; ++round) {
        std::string error;
        larqnets_model* model = make(file, {1 + kernels, 1, 1, kernels, 0}, &error);
        if (model == nullptr) return void(++bad);
        outputs[kernels] = run(model, 1, &error);
        larqnets_event event;
        int asked = 0;
        for (int i = 0; larqnets_get_event(model, i, &event) != 0; ++i) {
          const std::string way = event.way;
          if (way == kWays[kernels]) ++asked;
          if (kernels > 0 && !way.empty() && way != kWays[kernels] && way != "popcount") ++bad;
        }
        if (asked == 0) ++bad;
        larqnets_destroy(model);
      }
    });
  }
  for (std::thread& thread : all) thread.join();
  for (const std::string& output : outputs) bad += output.empty() || output != outputs[0];
  std::printf("%d\n", bad.load());
  return bad != 0;
}

int again(int count, const std::string& file) {
  for (int i = 0; i < count; ++i) {
    std::string error;
    larqnets_model* model = make(file, {1 + i % 4, i % 2, 0, i % 4, 0}, &error);
    EXPECT(model != nullptr);
    if (i % 50 == 0) EXPECT(!run(model, 0, &error).empty());
    larqnets_destroy(model);
  }
  return 0;
}

int memory(const char* largest, const std::string& file) {
  std::string error;
  setenv("LARQNETS_SHIM_LARGEST", largest, 1);
  larqnets_model* model = make(file, kUsual, &error);
  unsetenv("LARQNETS_SHIM_LARGEST");
  EXPECT(model == nullptr);
  std::printf("%s\n", error.c_str());
  model = make(file, kUsual, &error);
  EXPECT(model != nullptr && !run(model, 0, &error).empty());
  larqnets_destroy(model);
  return 0;
}

#ifdef APP_FAULTS
thread_local long allocations_left = -1;  // before one fails; -1: none does
thread_local bool failed = false;         // whether one did
bool once = false;                        // whether the next ones are served again

bool fails() {
  if (allocations_left != 0) {
    if (allocations_left > 0) --allocations_left;
    return false;
  }
  failed = true;
  if (once) allocations_left = -1;
  return true;
}

int faults(const std::string& file) {
  for (long before = 0;; ++before) {
    char sentence[4096] = "";
    failed = false;
    allocations_left = before;
    larqnets_model* model = larqnets_create(file.data(), file.size(), &kUsual, sentence, sizeof sentence);
    allocations_left = -1;
    std::string error;
    if (model != nullptr && failed) EXPECT(!run(model, 0, &error).empty());  // it did without
    if (model == nullptr) std::printf("%s\n", sentence);
    EXPECT(failed || model != nullptr);
    larqnets_destroy(model);
    if (!failed) {
      std::printf("%ld allocations\n", before);
      return 0;
    }
  }
}
#endif

}  // namespace

#ifdef APP_FAULTS
void* operator new(std::size_t size) {
  if (fails()) throw std::bad_alloc();
  void* memory = std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  if (fails()) return nullptr;
  return std::malloc(size);
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

int main(int argc, char** argv) {
  const std::string what = argc > 2 ? argv[1] : "";
  if (what == "run") return run_files(argc - 2, argv + 2);
  if (what == "contract") return contract(read(argv[2]));
  if (what == "threads") return threads(read(argv[2]));
  if (what == "again" && argc > 3) return again(std::atoi(argv[2]), read(argv[3]));
  if (what == "memory" && argc > 3) return memory(argv[2], read(argv[3]));
#ifdef APP_FAULTS
  once = std::strcmp(argv[2], "once") == 0;
  if (what == "faults" && argc > 3) return faults(read(argv[3]));
#endif
  std::fprintf(stderr, "Use: app_calls run|contract|threads FILE, or app_calls again COUNT FILE.\n");
  return 2;
}
