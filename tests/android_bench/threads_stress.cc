// The thread pool of the app build under load, for ThreadSanitizer: pools of 1 to 5 threads are made, used by as many
// callers at once as there are pools, and destroyed right after a call. Every task runs once, and none after its call.
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "tflite_abi.h"

namespace {

constexpr size_t kPools = 5;
std::atomic<int> bad{0};

struct Job {
  std::vector<uint32_t> runs;  // not atomic: two threads at one task are a race, which the sanitizer sees
};

void count(void* context, size_t i) { ++static_cast<Job*>(context)->runs[i]; }

void use(size_t threads, int rounds) {
  for (int round = 0; round < rounds; ++round) {
    void* pool = pthreadpool_create(threads);
    if (pool == nullptr || pthreadpool_get_threads_count(pool) != threads) return void(++bad);
    for (size_t range : {0u, 1u, 2u, 3u, 7u, 64u, 1000u, 5u, 0u, 2u}) {
      const auto job = std::make_unique<Job>();  // gone right after the call
      job->runs.assign(range, 0);
      pthreadpool_parallelize_1d(pool, count, job.get(), range, 0);
      for (uint32_t runs : job->runs) bad += runs != 1;
    }
    pthreadpool_destroy(pool);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 1;
  std::vector<std::thread> callers;
  for (size_t threads = 1; threads <= kPools; ++threads) callers.emplace_back(use, threads, rounds);
  for (std::thread& caller : callers) caller.join();
  Job job;
  job.runs.assign(9, 0);
  pthreadpool_parallelize_1d(nullptr, count, &job, 9, 0);  // no pool: this thread alone
  for (uint32_t runs : job.runs) bad += runs != 1;
  bad += pthreadpool_get_threads_count(nullptr) != 1;
  pthreadpool_destroy(nullptr);
  if (bad == 0) std::printf("every task once\n");
  return bad != 0;
}
