"""From a file to a trustworthy latency: the ARM64 runtime (native/), how it is built and how it is measured.

Needs neither TensorFlow nor Larq: a small board installs little.
"""

UNTRIED = (
    "This version was tried with device doubles under qemu alone, never on a phone or board: if a number looks wrong, "
    "it may be."
)
