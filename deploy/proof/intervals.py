"""How sure a share of images is: 95 % intervals of one, and of the difference of two on the same images."""

import math
from dataclasses import dataclass

import numpy as np

Z = 1.959964  # of 95 %


@dataclass(frozen=True)
class Estimate:
    """A share, or a difference of shares, with its 95 % interval; fractions."""

    value: float
    low: float
    high: float


def wilson(right: np.ndarray) -> Estimate:
    """Return the share of `right`, bool (N,), N > 0, with Wilson's interval.

    (p + z²/2N ± z √(p (1 - p)/N + z²/4N²)) / (1 + z²/N); Wilson, JASA 22, 1927. It holds near 0 and 1 too.
    """
    count, share = len(right), float(np.mean(right))
    middle = share + Z**2 / (2 * count)
    half = Z * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    scale = 1 + Z**2 / count
    return Estimate(share, max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale))


def paired_difference(right: np.ndarray, reference: np.ndarray) -> Estimate:
    """Return by how much the share of `right` is above that of `reference`, both bool (N,) on the same images.

    mean(d) ± z s(d)/√N of d = right - reference, of which most are 0: much narrower than two intervals side by side.
    """
    differences = right.astype(np.float64) - reference
    mean, spread = float(differences.mean()), float(differences.std(ddof=1)) if len(differences) > 1 else 1.0
    half = Z * spread / math.sqrt(len(differences))
    return Estimate(mean, mean - half, mean + half)
