// Tells icount.c, the instruction counter for qemu, which region of the program runs; 0 is outside. One
// thread only. On a real device it is an unknown system call, which does nothing.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

namespace larqnets {

constexpr long kMarkSyscall = 0x4c51;  // "LQ", far above the numbers in use

inline void mark(long region) { syscall(kMarkSyscall, region); }

}  // namespace larqnets
