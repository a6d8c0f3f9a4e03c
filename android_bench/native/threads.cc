// The thread pool of the app build: what tflite_abi.h declares of pthreadpool, which no Android library of
// TensorFlow Lite exports. Hidden in our library, so another pthreadpool in the process stays untouched.
//
// The calling thread begins at once and the others join it as they wake, so a call takes never longer than one
// thread would, but for waking them.
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "tflite_abi.h"

namespace {

class Pool {
 public:
  // `threads` counts the calling one. Throws std::exception when a thread cannot be had.
  explicit Pool(size_t threads) {
    try {
      workers_.reserve(threads - 1);
      while (workers_.size() + 1 < threads) workers_.emplace_back([this] { serve(); });
    } catch (const std::exception&) {
      end();
      throw;
    }
  }
  ~Pool() { end(); }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  size_t threads() const { return workers_.size() + 1; }

  void run(void (*task)(void*, size_t), void* context, size_t range) {
    const Job job = {task, context, range};
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      job_ = job;
      next_ = 0;
      open_ = true;
      ++number_;
    }
    wake_.notify_all();
    work(job);
    std::unique_lock<std::mutex> lock(mutex_);
    open_ = false;  // who wakes only now finds nothing to do, and must not look at the job any more
    idle_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  struct Job {
    void (*task)(void*, size_t);
    void* context;
    size_t range;
  };

  void work(const Job& job) {
    for (size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < job.range;) job.task(job.context, i);
  }

  void serve() {
    uint64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [&] { return ended_ || (open_ && number_ != seen); });
      if (ended_) return;
      seen = number_;
      const Job job = job_;
      ++busy_;
      lock.unlock();
      work(job);
      lock.lock();
      if (--busy_ == 0) idle_.notify_one();
    }
  }

  void end() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      ended_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  std::mutex mutex_;
  std::condition_variable wake_, idle_;
  Job job_ = {};
  uint64_t number_ = 0;  // of the job
  size_t busy_ = 0;      // workers that are at the job
  bool open_ = false;    // whether workers may begin at it
  bool ended_ = false;
  std::atomic<size_t> next_{0};  // the first task that nobody has taken
  std::vector<std::thread> workers_;
};

}  // namespace

extern "C" {

void* pthreadpool_create(size_t threads) {
  try {
    return new Pool(threads);
  } catch (const std::exception&) {
    return nullptr;
  }
}

void pthreadpool_destroy(void* pool) { delete static_cast<Pool*>(pool); }

size_t pthreadpool_get_threads_count(void* pool) {
  return pool == nullptr ? 1 : static_cast<Pool*>(pool)->threads();
}

void pthreadpool_parallelize_1d(void* pool, void (*task)(void*, size_t), void* context, size_t range,
                                uint32_t) {
  if (pool != nullptr) return static_cast<Pool*>(pool)->run(task, context, range);
  for (size_t i = 0; i < range; ++i) task(context, i);
}

}  // extern "C"
