"""What a conversion is proven with, and one of its files with what was proven of it."""

from dataclasses import dataclass, field

import numpy as np

from deploy.proof import contents
from deploy.proof.outputs import accuracy
from deploy.proof.verify import Verification
from deploy.run.interpreter import Interpreter


@dataclass(frozen=True)
class Samples:
    """Images to verify with. The first `num_test` are test images, whose accuracy is reported; the rest only fills up."""

    images: np.ndarray  # float32 (N, H, W, C), preprocessed
    labels: np.ndarray | None = None  # (N,)
    num_test: int = 0
    real: bool = True  # False: random values, for want of images


@dataclass(frozen=True)
class Converted:
    """One file of a conversion."""

    variant: str  # binary, float, int8
    content: bytes
    verification: Verification | None  # None for a file with real weights, whose accuracy alone is measured
    test_accuracy: float | None
    fallbacks: list[contents.Fallback] = field(default_factory=list)
    bytes_check: contents.ByteCheck | None = None
    layers: dict[str, str] = field(default_factory=dict)  # op index -> layer
    warnings: list[str] = field(default_factory=list)
    note: str = ""


def accuracy_of(content: bytes, samples: Samples, result: Verification | None) -> float | None:
    """Return the accuracy on the test images among the samples; None where there are no labels, or no one class per image."""
    if samples.labels is None or not samples.num_test:
        return None
    if result is not None and samples.num_test == len(samples.images):
        return result.accuracy_converted
    outputs = Interpreter(content).predict(samples.images[: samples.num_test])
    return accuracy(outputs, samples.labels[: samples.num_test])
