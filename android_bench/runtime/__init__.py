"""The ARM64 runtime: what it is built from, how, and how a process or a runner talks with it."""
