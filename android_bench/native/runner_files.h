// What the runner reads, and how it ends when it cannot.
#ifndef LARQNETS_RUNNER_FILES_H_
#define LARQNETS_RUNNER_FILES_H_

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>

namespace larqnets_runner {

// Ends the process with exit code 1 and one line on stderr.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// A file in memory, on a boundary of 64 bytes: TFLite uses constants where they lie.
struct Content {
  std::unique_ptr<uint8_t, decltype(&std::free)> data{nullptr, std::free};
  size_t size = 0;
};

Content read_file(const std::string& path);

// The first line of a file; empty when it cannot be read.
std::string read_line(const std::string& path);

}  // namespace larqnets_runner

#endif  // LARQNETS_RUNNER_FILES_H_
