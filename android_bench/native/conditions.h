// Where the runner runs: cores, clocks, temperatures, memory, emulators.
#ifndef LARQNETS_CONDITIONS_H_
#define LARQNETS_CONDITIONS_H_

#include <cstdint>
#include <string>

namespace larqnets_runner {

// Cores that this process may use, as a mask of the first 64.
uint64_t affinity();

// Runs on the cores of `mask` only, or fails.
void pin(uint64_t mask);

// Frequencies in kHz of the cores in `mask`, temperatures in thousandths of a degree Celsius; what cannot be
// read is left out.
std::string conditions(uint64_t mask);

// The largest resident size so far in kB, as JSON.
std::string peak_memory_kb();

// What translates ARM64 to another machine's instructions here, empty on ARM64 itself: times then mean
// nothing. qemu's user mode answers like the system that it is not, but its process bears its own name, and
// the kernel says what it runs on (kernel.arch since Linux 6.1; /proc/cpuinfo, which newer qemus make up).
std::string emulator();

}  // namespace larqnets_runner

#endif  // LARQNETS_CONDITIONS_H_
