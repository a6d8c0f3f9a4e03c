"""Find the step of every layer for a wanted size."""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from larqnets.decompose.methods import decompose_kernels
from larqnets.decompose.settings import Settings
from larqnets.errors import LarqnetsError

SMALLEST, LARGEST = 0.01, 4.0  # the range of f


def settings_for_bits(
    kernels: Mapping[str, np.ndarray],
    target_bits: float,
    settings: Settings,
    sensitivity: Mapping[str, float] | None = None,
    depthwise: Collection[str] = (),
    stem: str | None = None,
    tolerance: float = 0.01,
) -> tuple[dict[str, Settings], float]:
    """Return the sound-mode settings of each kernel with which their records take `target_bits` per weight, and the bits.

    One f for all is sought by interpolation between known sizes, from `settings.step` on; a size is that of the records
    in full, int8 layers included, and is met within `tolerance` bits. With `sensitivity`, the cost of each layer per
    unit of relative squared error, the layers differ: a step f_l costs sensitivity_l f_l^2 / 12 and saves N_l log2 f_l
    bits, which is cheapest at f_l = f sqrt(N_l / sensitivity_l), up to a factor that leaves the mean of log f over all
    weights at log f. Raises LarqnetsError for a size that no step gives.
    """
    if not settings.is_sound:
        raise LarqnetsError("Steps can be searched in the mode sound only: set 'method' to cbd and 'mode' to sound.")
    ratios = _ratios(kernels, sensitivity)
    weights = sum(kernel.size for kernel in kernels.values())

    def at(log_step: float) -> tuple[dict[str, Settings], float]:
        own = {
            name: replace(settings, step=min(max(math.exp(log_step) * ratio, SMALLEST), LARGEST))
            for name, ratio in ratios.items()
        }
        results = decompose_kernels(kernels, own, depthwise, stem)
        return own, 8 * sum(result.file_bytes for result in results.values()) / weights

    low = math.log(SMALLEST / max(ratios.values()))  # from here on every layer has the smallest step,
    high = math.log(LARGEST / min(ratios.values()))  # and here the largest
    x = math.log(settings.step)
    known: dict[float, float] = {}  # log f -> bits, which fall with it
    while True:
        own, known[x] = at(x)
        excess = known[x] - target_bits
        if abs(excess) <= tolerance or high - low < 1e-4:
            return own, known[x]
        low, high = (x, high) if excess > 0 else (low, x)
        if low == high:
            raise LarqnetsError(
                f"No step gives {target_bits:g} bits per weight: these layers take {known[x]:.2f} with the "
                f"{'coarsest' if excess > 0 else 'finest'}."
            )
        if low in known and high in known:
            share = (known[low] - target_bits) / (known[low] - known[high])
            x = low + (high - low) * min(max(share, 0.1), 0.9)
        else:  # a bit is an octave where every layer has a step; the more tries, the wider the stride
            x = min(max(x + excess * math.log(2) * 2 ** (len(known) - 1), low), high)


def _ratios(kernels: Mapping[str, np.ndarray], sensitivity: Mapping[str, float] | None) -> dict[str, float]:
    """Return f_l / f for every kernel; the mean of their logarithms over all weights is 0."""
    if sensitivity is None:
        return dict.fromkeys(kernels, 1.0)
    logs = {}
    for name, kernel in kernels.items():
        cost = sensitivity.get(name)
        if cost is None or not 0 < cost < math.inf:
            raise LarqnetsError(f"The sensitivity of layer '{name}' is {cost}; it must be a positive number.")
        logs[name] = math.log(kernel.size / cost) / 2
    mean = sum(logs[name] * kernels[name].size for name in kernels) / sum(kernel.size for kernel in kernels.values())
    return {name: math.exp(log - mean) for name, log in logs.items()}
