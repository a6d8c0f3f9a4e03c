"""Where a run is computed: versions and hardware, as the card and every checkpoint record them."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import tensorflow as tf

_PACKAGES = {
    "larqnets": "larqnets",
    "tensorflow": "tensorflow",
    "larq": "larq",
    "larq_compute_engine": "larq-compute-engine",
    "numpy": "numpy",
}


def versions() -> dict[str, str | None]:
    """Return the versions of Python and of the packages that decide the numbers; None for one not installed."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name, package in _PACKAGES.items():
        try:
            found[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def cpu_count() -> int:
    """Return the number of CPUs this process may use; it decides how sums are split, and so their last bits."""
    if hasattr(os, "sched_getaffinity"):  # Linux only
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def hardware() -> dict[str, Any]:
    """Return ``{"cpu": model name, "cpu_count": usable CPUs, "gpu": name or None}``."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    return {"cpu": _cpu_model(), "cpu_count": cpu_count(), "gpu": ", ".join(names) or None}


def determinism(gpu: str | None, replicas: int = 1) -> str:
    """Return in one sentence how exactly a run on this hardware repeats."""
    if replicas > 1:
        return "Same data order, initial weights and schedule when repeated; sums over replicas may differ in the last bits."
    if gpu is None:
        return "Bit-identical when repeated with the same versions on the same number of CPUs."
    return "Same data order, initial weights and schedule when repeated; sums on the GPU may differ in the last bits."


def _cpu_model() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
