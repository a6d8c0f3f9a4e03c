"""Classification, the default: one label for an image, told by the largest of the logits or probabilities (N, classes)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from larqnets import scores
from larqnets.config import TrainConfig
from larqnets.data.info import LABEL
from larqnets.errors import LarqnetsError
from larqnets.tasks import TASKS, Facts, Info, Loss, Task, Tree, check_told_apart, only
from larqnets.tasks.class_study import ClassStudy

if TYPE_CHECKING:
    from larqnets.backbones import Backbone
    from larqnets.methods import Method

RARE = 0.01


class Accuracy:
    """The fraction of images whose largest answer is that of their label; a tie goes to the lowest class."""

    names: tuple[str, ...] = ("accuracy",)
    summed: bool = True

    def zero(self) -> Tree:
        """No image, no hit."""
        return {"correct": np.zeros((), np.int64)}

    def partial(self, outputs: Tree, targets: Tree) -> Tree:
        """Count the hits of a batch."""
        from larqnets.losses import correct

        return {"correct": correct(only(outputs), targets[LABEL])}

    def result(self, total: Tree) -> dict[str, float]:
        """Divide the hits by the images."""
        return {"accuracy": int(total["correct"]) / max(1, int(total["images"]))}


@TASKS.register("classification")
@dataclass(frozen=True)
class Classification(Task):
    """The global average or the flattened map of the last stage, and the method's last linear layer."""

    name = "classification"
    about = "one label for an image, scored by accuracy"
    no_answer = "no classifier of images"
    headline = "accuracy"
    mixes = True
    on_any_body = True

    def check(self, backbone: "Backbone", info: Info) -> None:
        """There must be something to tell apart."""
        if info.num_classes < 2:
            raise LarqnetsError(f"A classifier needs at least 2 classes, not {info.num_classes}.")

    def outputs(self, stages: list[Any], method: "Method", backbone: "Backbone", info: Info) -> Tree:
        """Logits (N, classes)."""
        import tensorflow as tf

        x = method.tail(stages[-1], "head")
        if backbone.head == "flatten":
            x = tf.keras.layers.Flatten(name="head_flatten")(x)
        else:
            x = method.averaged(tf.keras.layers.GlobalAvgPool2D(name="head_pool")(x), "head", backbone)
        return {"classifier": method.answer(x, info.num_classes, "classifier")}

    def check_answers(self, shapes: Sequence[tuple[int | None, ...]], info: Info, whose: str) -> None:
        """There must be one output, and in it a number for every class."""
        if len(shapes) != 1:
            raise LarqnetsError(
                f"A classifier has one output, and {whose} has {len(shapes)}. Run it on arrays: larqnets run."
            )
        classes = shapes[0][-1]
        check_told_apart(classes, info, whose)

    def scores(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """One output (N, classes) names a class; of images no one class is asked for."""
        return len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][1] > 1

    def targets(self, example: Tree, info: Info) -> Tree:
        """The label as it is."""
        return {LABEL: example[LABEL]}

    def loss(self, config: TrainConfig, info: Info) -> Loss:
        """Cross entropy, smoothed or not, or squared hinge."""
        from larqnets.losses import make_loss

        loss = make_loss(config)
        return lambda outputs, targets: loss(only(outputs), targets[LABEL])

    def loss_of(self, model: Any) -> Loss:
        """Cross entropy of what the model answers with, logits or probabilities."""
        from larqnets.losses import cross_entropy_of

        loss = cross_entropy_of(model)
        return lambda outputs, targets: loss(only(outputs), targets[LABEL])

    def metric(self, info: Info) -> Accuracy:
        """Accuracy."""
        return Accuracy()

    def doubt(self, scores: Mapping[str, float], images: int, info: Info) -> str:
        """The accuracy must be above what guessing gives: by guessing so many hits are rarer than 1 in 100.

        Nothing of few images of which nearly all are right.
        """
        if (accuracy := scores.get("accuracy")) is None or not images or info.num_classes < 2:
            return ""
        half_way = (1 + 1 / info.num_classes) / 2
        if accuracy > half_way or guessed(round(accuracy * images), images, info.num_classes) < RARE:
            return ""
        return (
            f"An accuracy of {accuracy:.2%} on {images:,} images is not above chance for {info.num_classes} classes "
            f"({1 / info.num_classes:.2%}): the images are prepared otherwise than in its training (convert has --mean, --std, --scale), the "
            "labels are in another order, or the network is not trained."
        )

    def study(self, info: Info, facts: Facts) -> ClassStudy:
        """Every class, the confusion between them, the wrong images, and whether the network knows how sure it is."""
        return ClassStudy(info.labels, facts[scores.KEY])

    def distil(self, teacher: Any, config: TrainConfig) -> Loss:
        """Cross entropy with the teacher's probabilities in the place of the label, at `teacher_temperature`."""
        from larqnets.endings import kind_of_model
        from larqnets.losses import distribution_loss, logits_of

        kind = kind_of_model(teacher)

        def loss(outputs: Tree, answers: Tree) -> Any:
            return distribution_loss(only(outputs), logits_of(only(answers), kind), config.teacher_temperature)

        return loss

    def decode(self, outputs: dict[str, np.ndarray], facts: Facts) -> list[list[dict[str, Any]]]:
        """Return the facts["top"] most probable labels of every sample; facts["output"] says what the numbers are.

        Nothing of outputs that are no float (N, classes).
        """
        values = only(outputs) if len(outputs) == 1 else None
        if values is None or values.ndim != 2 or values.dtype != np.float32 or not values.size:
            return []
        labels = facts.get("labels", ())
        if len(labels) != values.shape[1]:
            labels = [str(i) for i in range(values.shape[1])]
        return [_ranked(row, facts[scores.KEY], labels, facts["top"]) for row in values]

    def agreement(self, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float | None:
        """How often the same class is named, for a sample or each of its pixels; None for outputs that name none."""
        return scores.class_agreement(only(ours), only(theirs)) if len(ours) == 1 else None

    def agreed(self, shapes: Sequence[tuple[int | None, ...]]) -> str:
        """Samples, or pixels, of the same class."""
        return f"of the {'samples' if len(shapes[0]) == 2 else 'pixels'} get the same class"


def guessed(hits: int, images: int, classes: int) -> float:
    """Return the probability of at least so many hits when every class is guessed alike: P(X >= hits), X ~ B(images, 1/classes)."""
    log = math.lgamma
    p, total = 1 / classes, 0.0
    for k in range(hits, images + 1):
        ways = log(images + 1) - log(k + 1) - log(images - k + 1)
        term = math.exp(ways + k * math.log(p) + (images - k) * math.log1p(-p))
        total += term
        if k > images * p and term < 1e-12:  # they only become smaller
            break
    return total


def _ranked(values: np.ndarray, kind: scores.Kind, names: list[str], top: int) -> list[dict[str, Any]]:
    likely = scores.probabilities(values, kind)
    best = np.argsort(-likely, kind="stable")[:top]
    return [{"label": names[i], "class": int(i), "probability": float(likely[i])} for i in best]
