"""One file of a conversion with what was proven of it."""

from dataclasses import dataclass, field

from deploy.proof import contents
from deploy.proof.outputs import accuracy
from deploy.proof.samples import Samples
from deploy.proof.verify import Verification
from deploy.run.interpreter import Interpreter
from larqnets.tflite.model import Model


@dataclass(frozen=True)
class Converted:
    """One file of a conversion."""

    variant: str  # binary, float, int8
    file: Model
    verification: Verification | None  # None for a file with real weights, whose accuracy alone is measured
    test_accuracy: float | None
    fallbacks: list[contents.Fallback] = field(default_factory=list)
    bytes_check: contents.ByteCheck | None = None
    layers: dict[str, str] = field(default_factory=dict)  # op index -> layer
    warnings: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return self.file.content


def accuracy_of(file: Model, samples: Samples, result: Verification | None) -> float | None:
    """Return the accuracy on the test images among the samples; None where there are no labels, or no one class per image."""
    if samples.labels is None or not samples.num_test:
        return None
    if result is not None and samples.num_test == len(samples.images):
        return result.accuracy_converted
    outputs = Interpreter(file).predict(samples.images[: samples.num_test])
    return accuracy(outputs, samples.labels[: samples.num_test])
