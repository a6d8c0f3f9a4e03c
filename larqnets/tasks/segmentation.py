"""Semantic segmentation: a class for every pixel, told by the largest of the logits (N, H, W, classes) there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from larqnets import scores
from larqnets.config import TrainConfig
from larqnets.data.info import MASK, OUTSIDE, MaskInfo
from larqnets.data.overlay import colored, wrong_pixels
from larqnets.data.palette import Colors, palette
from larqnets.errors import LarqnetsError
from larqnets.schema import Range
from larqnets.scores import FORMS
from larqnets.tasks import TASKS, Facts, Info, Loss, Task, Tree, check_told_apart, only
from larqnets.tasks.pixel_metric import MIOU, ConfusionMetric
from larqnets.tasks.pixel_study import PixelStudy, given

if TYPE_CHECKING:
    from larqnets.backbones import Backbone
    from larqnets.methods import Method

RESIZE = "bilinear_half_pixel"
MOST_CLASSES = OUTSIDE  # numbers 0 to 254


@TASKS.register("segmentation")
@dataclass(frozen=True)
class Segmentation(Task):
    """A head on the last map of the backbone, brought to the size of the image."""

    name = "segmentation"
    about = "a class for every pixel, scored by mIoU"
    no_answer = "no segmenter of images"
    headline = MIOU
    learns_from = MASK
    per_pixel = True
    forms = FORMS

    head: Literal["fcn", "aspp", "plain"] = (
        "fcn"  # a 3x3 and a 1x1 convolution; five paths that see further; or one 3x3
    )
    # convolution on a map as large as the image, for the method segnet
    output_stride: Literal[8, 16, 32] = (
        8  # pixels of the image to one of the last map, at most: the backbone is dilated
    )
    class_weights: Literal["none", "median_frequency"] | tuple[Annotated[float, Range(0, 1e6)], ...] = "none"  # in the
    # loss: none, the rarer a class the higher (median_j(f_j) / f_c), or a list with a number for every class

    skip: bool = False  # head fcn: add the scores of the last stage but one
    aspp_activation: Literal["zero_one", "sign"] = "zero_one"  # head aspp of a binary method: the paper's, or its sign
    aspp_rates: tuple[
        Annotated[int, Range(1, 4096)], ...
    ] = ()  # head aspp: three rates; []: 12, 24, 36, less on small maps

    def topology(self, backbone: "Backbone", method: "Method", info: Info) -> "Backbone":
        """Return the backbone with strides up to `output_stride`, and dilation in the place of the others."""
        return method.dilated(backbone, self.output_stride, info.image_shape[:2])

    def check(self, backbone: "Backbone", info: Info) -> None:
        """A mask must have a number for every class, and the loss a weight."""
        if info.num_classes > MOST_CLASSES:
            raise LarqnetsError(
                f"A mask has room for {MOST_CLASSES} classes, and there are {info.num_classes}. Join some."
            )
        self._listed_weights(info.num_classes)

    def outputs(self, stages: list[Any], method: "Method", backbone: "Backbone", info: Info) -> Tree:
        """Logits (N, H, W, classes), in the size of the image."""
        given_to_all = (stages, method, backbone, info.num_classes, info.image_shape)
        if self.head == "fcn":
            from larqnets.heads.fcn import fcn

            return {"logits": fcn(*given_to_all, skip=self.skip)}
        if self.head == "plain":
            from larqnets.heads.plain import plain

            return {"logits": plain(*given_to_all)}
        from larqnets.heads.aspp import aspp

        return {"logits": aspp(*given_to_all, activation=self.aspp_activation, rates=self.aspp_rates)}

    def check_answers(self, shapes: Sequence[tuple[int | None, ...]], info: Info, whose: str) -> None:
        """There must be one output, of classes for pixels, and in it a place for every class."""
        if len(shapes) != 1 or len(shapes[0]) not in (3, 4):
            raise LarqnetsError(
                f"A segmenter has one output, (N, H, W, classes), and {whose} has {', '.join(map(str, shapes))}. Run it on "
                "arrays: larqnets run."
            )
        classes = shapes[0][-1] if len(shapes[0]) == 4 else None
        check_told_apart(classes, info, whose)

    def scores(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """One output of logits (N, H, W, classes), or of masks (N, H, W)."""
        return len(shapes) == 1 and (len(shapes[0]) == 3 or (len(shapes[0]) == 4 and 1 < shapes[0][3] <= MOST_CLASSES))

    def targets(self, example: Tree, info: Info) -> Tree:
        """The class of every pixel, int32 (B, H, W), OUTSIDE where it has none."""
        import tensorflow as tf

        return {MASK: tf.cast(example[MASK], tf.int32)[..., 0]}

    def loss(self, config: TrainConfig, info: Info) -> Loss:
        """Cross entropy of the pixels that have a class, each times the weight of its class."""
        if config.loss != "cross_entropy":
            raise LarqnetsError(
                f"A network for {self.name} learns by the cross entropy of its pixels, not by {config.loss}. Leave train.loss out."
            )
        weights = self.weights(info)
        return lambda outputs, targets: pixel_loss(only(outputs), targets[MASK], weights, config.label_smoothing)

    def weights(self, info: Info) -> tuple[float, ...] | None:
        """Return the weight of every class in the loss, None where all count alike.

        Raises LarqnetsError for a list of another length, and for frequencies where no masks are at hand.
        """
        if self.class_weights == "median_frequency":
            if not isinstance(info, MaskInfo):
                raise LarqnetsError(
                    f"{info.name} has no masks whose classes could be counted. Give the weights as a list."
                )
            return info.median_frequency()
        return self._listed_weights(info.num_classes)

    def _listed_weights(self, classes: int) -> tuple[float, ...] | None:
        if isinstance(self.class_weights, str):
            return None
        if len(self.class_weights) != classes or not any(self.class_weights):
            raise LarqnetsError(
                f"task.class_weights has {len(self.class_weights)} numbers, and there are {classes} classes. Give one for each, not all "
                'of them 0, or "none".'
            )
        return self.class_weights

    def loss_of(self, model: Any) -> Loss:
        """Cross entropy of what the model answers with, logits or probabilities."""
        from larqnets.endings import kind_of_model
        from larqnets.losses import logits_of

        kind = kind_of_model(model)
        return lambda outputs, targets: pixel_loss(logits_of(only(outputs), kind), targets[MASK])

    def metric(self, info: Info) -> ConfusionMetric:
        """Mean IoU, then the accuracy of pixels and that of classes."""
        return ConfusionMetric(info.labels)

    def doubt(self, scores: Mapping[str, float], images: int, info: Info) -> str:
        """The mIoU must be above 1 / classes: no network that gives one class to all pixels has more."""
        miou = scores.get(MIOU)
        if miou is None or not images or info.num_classes < 2 or miou > 1 / info.num_classes:
            return ""
        return (
            f"An mIoU of {miou:.2%} is not above what one class for every pixel can give ({1 / info.num_classes:.2%} with "
            f"{info.num_classes} classes): the images are prepared otherwise than in its training, the classes are in another "
            "order, or the network is not trained."
        )

    def study(self, info: Info, facts: Facts) -> PixelStudy:
        """Every class, the confusion between them, and the images with the most wrong pixels."""
        return PixelStudy(info.labels)

    def pictures(self, image: np.ndarray, outputs: Tree, targets: Tree, info: Info) -> dict[str, np.ndarray]:
        """The mask and the answer in the colours of the classes, and where they differ."""
        from PIL import Image

        picture, colors, true = Image.fromarray(image), colors_of(info), targets[MASK]
        answer = given(only(outputs), true.shape)
        shown = {
            "truth": colored(true, colors),
            "answer": colored(answer, colors),
            "errors": wrong_pixels(picture, true, answer),
        }
        return {name: np.asarray(one) for name, one in shown.items()}

    def distil(self, teacher: Any, config: TrainConfig) -> Loss:
        """The mean over the pixels of the cross entropy with the teacher's probabilities, at `teacher_temperature`."""
        import tensorflow as tf

        from larqnets.endings import kind_of_model
        from larqnets.losses import distribution_loss, logits_of

        kind = kind_of_model(teacher)

        def loss(outputs: Tree, answers: Tree) -> Any:
            each = distribution_loss(only(outputs), logits_of(only(answers), kind), config.teacher_temperature)
            return tf.reduce_mean(each, axis=[1, 2])

        return loss

    def metadata(self, info: Info | None) -> dict[str, Any]:
        """Names and colours of the classes, what a mask says of pixels without one, and how logits are enlarged."""
        if info is None:
            return {}
        return {
            "classes": list(info.labels),
            "colors": [list(color) for color in colors_of(info)],
            "ignore_label": OUTSIDE,
            "resize": RESIZE,
        }

    def decode(self, outputs: dict[str, np.ndarray], facts: Facts) -> list[list[dict[str, Any]]]:
        """Return for every sample the share of the pixels of every class that occurs, the largest first; see `shares`."""
        return [shares(mask, facts.get("labels", ())) for mask in masks_of(outputs)]

    def agreement(self, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float | None:
        """How often a pixel gets the same class from both."""
        if len(ours) != 1:
            return None
        mine, other = only(ours), only(theirs)
        return float(np.mean(mine == other)) if mine.ndim == 3 else scores.class_agreement(mine, other)

    def agreed(self, shapes: Sequence[tuple[int | None, ...]]) -> str:
        """Pixels of the same class."""
        return "of the pixels get the same class"


def pixel_loss(logits: Any, mask: Any, weights: Sequence[float] | None = None, label_smoothing: float = 0.0) -> Any:
    """Return the loss of every image, (B,): of logits (B, H, W, C) and classes (B, H, W) int32, OUTSIDE for none.

    loss = 1/|V| · Σ_{i in V} w_{y_i} · CE(z_i, y_i), V the pixels that have a class; 0 where there are none.
    """
    import tensorflow as tf

    from larqnets.losses import cross_entropy

    valid = tf.cast(mask != OUTSIDE, logits.dtype)
    labels = tf.where(mask != OUTSIDE, mask, 0)
    each = cross_entropy(logits, labels, label_smoothing) * valid
    if weights is not None:
        each *= tf.gather(tf.constant(weights, logits.dtype), labels)
    return tf.reduce_sum(each, axis=[1, 2]) / tf.maximum(tf.reduce_sum(valid, axis=[1, 2]), 1)


def colors_of(info: Info) -> Colors:
    """Return the colours of the classes, those of the data set where it has any."""
    own = info.colors if isinstance(info, MaskInfo) else ()
    return own or palette(info.num_classes)


def masks_of(outputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Return the class of every pixel, uint8 (H, W) for every sample, of what a network or a file answers with.

    Nothing of outputs that are neither logits (N, H, W, C) nor masks (N, H, W) uint8.
    """
    values = only(dict(outputs)) if len(outputs) == 1 else None
    if values is None or not values.size or (values.ndim, values.dtype.kind) not in ((4, "f"), (4, "i"), (3, "u")):
        return []
    return [given(answer, answer.shape[:2]).astype(np.uint8) for answer in values]


def shares(mask: np.ndarray, labels: Sequence[Any]) -> list[dict[str, Any]]:
    """Return of every class that occurs in a mask its label, its number and the share of the pixels that have a class.

    The largest share comes first; where the labels are too few, they are numbers.
    """
    counts = np.bincount(mask.ravel(), minlength=OUTSIDE)[:OUTSIDE]
    order = np.argsort(-counts, kind="stable").tolist()
    named = [str(label) for label in labels] if len(labels) > np.flatnonzero(counts).max(initial=0) else range(OUTSIDE)
    return [
        {"label": str(named[i]), "class": i, "share": int(counts[i]) / int(counts.sum())} for i in order if counts[i]
    ]


def colors_of_file(facts: Mapping[str, Any], classes: int, name: str) -> Colors:
    """Return the colours that the metadata of a file have for its classes, others where they have none.

    Raises LarqnetsError when they are nonsense.
    """
    said = facts.get("colors")
    if said is None:
        return palette(classes)
    if not isinstance(said, list) or len(said) != classes or not all(map(_is_color, said)):
        raise LarqnetsError(
            f"What {name} says about the colours of its {classes} classes is nonsense. Convert it again."
        )
    return tuple((red, green, blue) for red, green, blue in said)


def _is_color(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(part) is int and 0 <= part <= 255 for part in value)
