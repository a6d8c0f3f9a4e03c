"""Part (b) of a proof, batch by batch: all outputs of a network for all samples may be more than memory holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from deploy.proof.outputs import Difference
from deploy.proof.samples import Samples
from deploy.run.interpreter import Interpreter, as_list
from larqnets.data.info import IMAGE
from larqnets.reporter import Reporter
from larqnets.tasks import Images, Info, Task, Tree, add, tree_of
from larqnets.training.evaluation import BATCH, Watch, answering

MAX_BYTES = 1 << 26  # of the outputs of a batch


def batches_of(samples: np.ndarray, output_shapes: Sequence[tuple[int | None, ...]]) -> Iterator[slice]:
    """Yield the parts of the samples (N, ...) whose outputs, of shapes (1 or None, ...), are run together."""
    bytes_per_sample = sum(4 * int(np.prod([size or 1 for size in shape[1:]])) for shape in output_shapes)
    fit = MAX_BYTES // max(1, bytes_per_sample)
    # where a batch is too large: those of model and file, and what is computed of them
    size = BATCH * (fit // BATCH) if fit >= BATCH else max(1, fit // 4)
    for start in range(0, len(samples), size):
        yield slice(start, min(start + size, len(samples)))


class Scorer:
    """Adds up the metric of a task over parts of the samples; `watch` looks at every part that is scored."""

    def __init__(self, task: Task, info: Info | None, names: Sequence[str], watch: Watch | None = None) -> None:
        self._task, self._names, self._info = task, names, info or Images((0, 0, 0), 0)
        self._watch = watch
        self._metric = task.metric(self._info)
        self._total, self._images, self._usable = self._metric.zero(), 0, True
        self.headline = self._metric.names[0]

    def add(self, example: Tree | None, outputs: list[np.ndarray]) -> None:
        """Count the outputs for a part of the samples, of which `example` is known."""
        self._usable = self._usable and self._task.scores([values.shape for values in outputs])
        if example is None or not self._usable:
            self._usable = False
            return
        answers = tree_of(self._names, outputs)
        with tf.device("CPU:0"):
            given, known = ({name: tf.constant(v) for name, v in tree.items()} for tree in (answers, example))
            targets = self._task.targets(known, self._info)
            partial = self._metric.partial(given, targets)
        if self._watch is not None:
            self._watch(example[IMAGE], answers, {name: np.asarray(values) for name, values in targets.items()})
        self._total = add(self._metric, self._total, {name: np.asarray(value) for name, value in partial.items()})
        self._images += len(outputs[0])

    def result(self) -> dict[str, float] | None:
        """Return the scores; None where nothing is known about the samples, or the network gives no answers to score."""
        return self._metric.result(self._total | {"images": self._images}) if self._usable else None


class _Onward(Reporter):
    """Counts on from what is done already."""

    def __init__(self, reporter: Reporter, done: int) -> None:
        self._reporter, self._done = reporter, done

    def count(self, done: int, total: int | None = None, what: str = "") -> None:
        self._reporter.count(self._done + done, total, what)


@dataclass(frozen=True)
class EndToEnd:
    """Part (b): what comes out of both, without anything forced."""

    difference: float | None
    agreement: float | None
    counted: str  # what the agreement is the share of
    headline: str
    trained: dict[str, float] | None
    converted: dict[str, float] | None
    finite: bool


def end_to_end(
    model: tf.keras.Model,
    interpreter: Interpreter,
    samples: Samples,
    reporter: Reporter,
) -> EndToEnd:
    """Run model and file on all samples, part by part; see `deploy.proof.verify`."""
    images, task = samples.images, samples.task
    scorers = [Scorer(task, samples.info, model.output_names) for _ in range(2)]
    apart, agreements, finite = Difference(), [], True
    shapes = [tuple(tensor.shape) for tensor in model.outputs]
    network = answering(model)
    for part in batches_of(images, shapes):
        trained = network(images[part])
        converted = as_list(interpreter.predict(images[part], _Onward(reporter, part.start)))
        for scorer, outputs in zip(scorers, (trained, converted), strict=True):
            scorer.add(samples.examples(part), outputs)
        apart.add(trained, converted)
        finite = finite and all(np.isfinite(values).all() for values in converted)
        same = task.agreement(*(tree_of(model.output_names, outputs) for outputs in (trained, converted)))
        agreements.append((same, part.stop - part.start))
    return EndToEnd(
        apart.result(),
        _mean(agreements),
        task.agreed(shapes),
        scorers[0].headline,
        scorers[0].result(),
        scorers[1].result(),
        bool(finite),
    )


def _mean(shares: list[tuple[float | None, int]]) -> float | None:
    """Return the mean of shares, each of so many samples; None where one is not known."""
    if len(shares) == 1:
        return shares[0][0]  # not a bit is lost
    known = [share * count for share, count in shares if share is not None]
    return sum(known) / sum(count for _, count in shares) if len(known) == len(shares) else None
