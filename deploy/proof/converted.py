"""One file of a conversion with what was proven of it."""

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from android_bench.emulation.emulator import CPUS
from android_bench.emulation.qemu import count
from deploy.proof import contents
from deploy.proof.integers import IntegerProof
from deploy.proof.samples import Samples
from deploy.proof.scoring import Scorer, batches_of
from deploy.proof.verify import Verification
from deploy.run.interpreter import as_list
from deploy.run.real_values import RealInterpreter
from larqnets.data.info import LABEL
from larqnets.int8_aware import LearnedRanges
from larqnets.tasks import Tree, get_task
from larqnets.tflite.model import Model
from larqnets.training.evaluation import Watch


@dataclass(frozen=True)
class IntegerRest:
    """What is known of a file that is its float-rest file with some ops in int8; `facts` are the manifest's."""

    float_rest: Model
    keep_float: tuple[str, ...]  # layers that stay float because they were named
    proof: IntegerProof
    facts: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object, without the other file."""
        return {**self.facts, "keep_float": list(self.keep_float), "proof": self.proof.to_json()}


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
    integers: IntegerRest | None = None
    learned: dict[str, LearnedRanges] = field(default_factory=dict)  # layer -> ranges that it was trained with

    def __repr__(self) -> str:
        proof = "" if self.verification is None else f", {self.verification!r}"
        return f"<Converted {self.variant}: {len(self.content):,} bytes{proof}>"

    @property
    def content(self) -> bytes:
        """The bytes of the file."""
        return self.file.content

    @cached_property
    def instructions(self) -> dict[str, int]:
        """Core -> executed instructions of one inference, counted under qemu when they are first asked for."""
        return {cpu: count(self.content, cpu, per_op=False).instructions for cpu in CPUS}

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
    return _measured(file, samples, None)


def right_of(file: Model, samples: Samples) -> tuple[dict[str, float] | None, np.ndarray | None]:
    """Return the scores of a file on labelled samples, as `scores_of` does, and of a classifier which it gets right, bool (N,)."""
    right: list[np.ndarray] = []

    def watch(_: np.ndarray, answers: Tree, targets: Tree) -> None:
        (logits,) = answers.values()
        right.append(np.argmax(logits, -1).reshape(-1) == targets[LABEL].reshape(-1))

    if samples.labels is None or not samples.num_test:
        return None, None
    watched = watch if samples.task == get_task() else None
    measured = _measured(file, samples, watched)
    return measured, np.concatenate(right) if right and measured is not None else None


def _measured(file: Model, samples: Samples, watch: Watch | None) -> dict[str, float] | None:
    interpreter = RealInterpreter(file)
    scorer = Scorer(samples.task, samples.info, interpreter.output_names, watch)
    for part in batches_of(samples.images[: samples.num_test], interpreter.output_shapes):
        scorer.add(samples.examples(part), as_list(interpreter.predict(samples.images[part])))
    return scorer.result()


def task_entry(samples: Samples) -> dict[str, Any]:
    """Return what the metadata of a file say about its task: nothing of a classifier, as which a file without it is taken."""
    if samples.task == get_task():
        return {}
    options = dataclasses.asdict(samples.task)
    return {**samples.task.metadata(samples.info), "task": samples.task.name, "task_options": options}
