"""One file of a conversion with what was proven of it."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from deploy.proof import contents
from deploy.proof.samples import Samples
from deploy.proof.scoring import Scorer, batches_of
from deploy.proof.verify import Verification
from deploy.run.interpreter import Interpreter, as_list
from larqnets.tasks import get_task
from larqnets.tflite.model import Model


@dataclass(frozen=True)
class Converted:
    """One file of a conversion."""

    variant: str  # binary, float, int8
    file: Model
    verification: Verification | None  # None for a file with real weights, whose scores alone are measured
    scores: dict[str, float] | None  # on the test images
    fallbacks: list[contents.Fallback] = field(default_factory=list)
    bytes_check: contents.ByteCheck | None = None
    layers: dict[str, str] = field(default_factory=dict)  # op index -> layer
    warnings: list[str] = field(default_factory=list)
    note: str = ""
    stem: str | None = None  # its form, "as trained" or "rewritten", where there are both (`deploy.export.stem`)

    def __repr__(self) -> str:
        proof = "" if self.verification is None else f", {self.verification!r}"
        return f"<Converted {self.variant}: {len(self.content):,} bytes{proof}>"

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return self.file.content

    @property
    def test_accuracy(self) -> float | None:
        """The score of that name, None where there is none."""
        return (self.scores or {}).get("accuracy")


def scores_of(file: Model, samples: Samples, result: Verification | None) -> dict[str, float] | None:
    """Return the scores on the test images among the samples; None where nothing is known about them, or answers are none."""
    if samples.labels is None or not samples.num_test:
        return None
    if result is not None and samples.num_test == len(samples.images):
        return result.scores_converted
    interpreter = Interpreter(file)
    scorer = Scorer(samples.task, samples.info, interpreter.output_names)
    for part in batches_of(samples.images[: samples.num_test], interpreter.output_shapes):
        scorer.add(samples.examples(part), as_list(interpreter.predict(samples.images[part])))
    return scorer.result()


def task_entry(samples: Samples) -> dict[str, Any]:
    """Return what the metadata of a file say about its task: nothing of a classifier, as which a file without it is taken."""
    if samples.task == get_task():
        return {}
    options = dataclasses.asdict(samples.task)
    return {**samples.task.metadata(samples.info), "task": samples.task.name, "task_options": options}
