"""ARM64 without ARM64: programs and models under qemu, and the instructions that they execute."""
