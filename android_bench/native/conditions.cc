#include "conditions.h"

#include <errno.h>
#include <sched.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "json.h"
#include "runner_files.h"

namespace larqnets_runner {

uint64_t affinity() {
  cpu_set_t set;
  CPU_ZERO(&set);
  uint64_t mask = 0;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  for (int i = 0; i < 64; ++i) mask |= CPU_ISSET(i, &set) ? uint64_t{1} << i : 0;
  return mask;
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

}  // namespace larqnets_runner
