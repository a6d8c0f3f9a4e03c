"""What a search for steps judges a network by: the score that ranks its task, on images that are no test images."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from larqnets.data import Dataset
from larqnets.data.info import IMAGE, LABEL
from larqnets.runs.subject import Subject
from larqnets.tasks import Info, Task, Tree
from larqnets.training.evaluation import BATCH, Evaluator, images_at_once


class Judge:
    """Scores a network, whose weights may change between calls, by the score that ranks its task."""

    def __init__(self, model: tf.keras.Model, task: Task, info: Info) -> None:
        self._evaluator = Evaluator(model, task, info, task.loss_of(model))
        self._size = images_at_once(model, BATCH)
        self._headline = task.headline

    def score(self, examples: Tree) -> float:
        """Return the score, a fraction, on examples in arrays."""

        def batches() -> Iterator[Tree]:
            for start in range(0, len(examples[IMAGE]), self._size):
                yield {name: values[start : start + self._size] for name, values in examples.items()}

        specs = {name: tf.TensorSpec((None, *values.shape[1:]), values.dtype) for name, values in examples.items()}
        found = self._evaluator(tf.data.Dataset.from_generator(batches, output_signature=specs))
        assert found is not None  # nobody asked to stop
        return found.scores[self._headline]


def judged_images(
    judge: Judge, subject: Subject, dataset: Dataset, examples: Tree, most: int
) -> tuple[Tree, dict[str, Any]]:
    """Return the examples that a network is judged on, and what the card says of them.

    A network is surer of images that it was trained with, such as `examples`, than of others, and loses less on them. Where
    two images may be mixed they are, see `as_hard_as_unseen`; elsewhere validation images, `most` of them, take their place
    where some were kept.
    """
    if subject.task.mixes:
        mixed, share = as_hard_as_unseen(judge, examples, subject.score)
        return mixed, {"mixed": share}
    if dataset.info.num_validation:
        kept = dataset.samples(most, "validation")
        return kept, {"validation_images": len(kept[IMAGE])}
    return examples, {}


def as_hard_as_unseen(judge: Judge, examples: Tree, score: float | None) -> tuple[Tree, float]:
    """Return examples on which the network scores about `score`, and the share a of the mixture.

    (1 - a) x_i + a x_j with an image j of another class, a below 1/2, the label i. a is 0 where the score is None or the
    network scores no more anyway.
    """
    if score is None or judge.score(examples) <= score:
        return examples, 0.0
    images, labels = examples[IMAGE], examples[LABEL]
    partners = np.arange(len(labels))
    generator = np.random.default_rng(0)
    for label in np.unique(labels):
        others = np.flatnonzero(labels != label)
        if len(others):
            own = labels == label
            partners[own] = generator.choice(others, np.count_nonzero(own))

    def mixed(share: float) -> Tree:
        return {**examples, IMAGE: (1 - np.float32(share)) * images + np.float32(share) * images[partners]}

    low, high = 0.0, 0.5
    while high - low > 0.01:
        middle = (low + high) / 2
        easier = judge.score(mixed(middle)) > score
        low, high = (middle, high) if easier else (low, middle)
    return mixed(high), high
