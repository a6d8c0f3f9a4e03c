"""Teachers for distillation: a trained run, or a network of keras.applications. They answer and never learn."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from larqnets.config import TaskConfig, TrainConfig
from larqnets.errors import LarqnetsError, nearest
from larqnets.published import KERAS, is_keras
from larqnets.published.applications import applications, preprocess_of
from larqnets.runs.applications import build_application
from larqnets.runs.card import KINDS, Images
from larqnets.runs.run import Run
from larqnets.runs.subject import open_subject
from larqnets.tasks import Tree, tree_of

if TYPE_CHECKING:
    from larqnets.data import DatasetInfo

_IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class Teacher:
    """A frozen network; `to_input` turns our images (B, H, W, C), normalised as the data set is, into what it takes."""

    name: str
    model: tf.keras.Model
    to_input: Callable[[tf.Tensor], tf.Tensor] = tf.identity

    def __call__(self, images: tf.Tensor) -> Tree:
        """Return the teacher's answers by name, in inference mode and without gradient."""
        answers = tree_of(self.model.output_names, self.model(self.to_input(images), training=False))
        return {name: tf.stop_gradient(values) for name, values in answers.items()}

    def has_tanh(self) -> bool:
        """Return whether tanh is among its ops, in front of which TensorFlow's rewrite fails (see `without_remapping`)."""
        given = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in self.model.inputs]
        graph = tf.function(lambda x: self.model(x, training=False)).get_concrete_function(*given).graph
        return any(op.type == "Tanh" for op in graph.get_operations())

    def fingerprint(self) -> str:
        """Return the SHA-256 of its weights: a resumed run must have the same teacher."""
        digest = hashlib.sha256()
        for weight in self.model.get_weights():
            digest.update(np.ascontiguousarray(weight).tobytes())
        return digest.hexdigest()


def load_teacher(config: TrainConfig, info: "DatasetInfo", task: TaskConfig | None = None) -> Teacher | None:
    """Return the teacher that a config names, None when it names none.

    A teacher keeps the normalisation that it was trained with. Raises LarqnetsError when there is no such teacher or it was made for
    another task, other images or classes.
    """
    if not config.teacher:
        return None
    if is_keras(config.teacher):
        return _load_application(config.teacher.removeprefix(KERAS), config.teacher_weights, info)
    return _load_run(Path(config.teacher), info, task or TaskConfig())


def _load_run(path: Path, info: "DatasetInfo", task: TaskConfig) -> Teacher:
    run = Run.open(path)
    if run.config.task.kind != task.kind:
        raise LarqnetsError(
            f"The teacher {path} was trained for {run.config.task.kind}, and the run is for {task.kind}. Name another run."
        )
    if run.card.status not in KINDS:
        raise LarqnetsError(
            f"The teacher {path} is not trained to its end. Run `larqnets train --resume {path}` first."
        )
    seen = run.card.images
    if seen is None:
        raise LarqnetsError(f"The teacher {path} does not say which images it is for. Name another run.")
    for what, key in (("image shape", "image_shape"), ("classes", "labels")):
        ours, theirs = list(getattr(info, key)), list(getattr(seen, key))
        if ours != theirs:
            raise LarqnetsError(
                f"The teacher {path} was trained on images of another {what}: {_short(theirs)}, not {_short(ours)}. "
                "Use a teacher that was trained on the same data set and image size."
            )
    return Teacher(str(path), open_subject(run).model, _renormalised(info, seen))


def _renormalised(ours: "DatasetInfo", theirs: Images) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return what brings an image normalised by our mean and deviation to the teacher's, per channel.

    ((x · std + mean) - mean') / std' = x · std / std' + (mean - mean') / std'; where both are alike, x itself, bit for bit.
    """
    if (list(ours.mean), list(ours.std)) == (list(theirs.mean), list(theirs.std)):
        return tf.identity
    mean, std, their_mean, their_std = (
        np.asarray(of, np.float64) for of in (ours.mean, ours.std, theirs.mean, theirs.std)
    )
    scale, offset = (tf.constant(values, tf.float32) for values in (std / their_std, (mean - their_mean) / their_std))
    return lambda images: tf.cast(images, tf.float32) * scale + offset


def _load_application(name: str, weights: str, info: "DatasetInfo") -> Teacher:
    networks = applications()
    if name not in networks:
        raise LarqnetsError(
            f"keras.applications has no network '{name}'.{nearest(name, networks)} "
            "A teacher is keras:MobileNet and the like, or a run folder."
        )
    if weights == "imagenet" and info.num_classes != _IMAGENET_CLASSES:
        raise LarqnetsError(
            f"The teacher {KERAS}{name} knows ImageNet's {_IMAGENET_CLASSES} classes, and {info.name} has "
            f"{info.num_classes}. Use a run on {info.name} as teacher, or name a weights file in train.teacher_weights."
        )
    if weights != "imagenet" and not Path(weights).is_file():
        raise LarqnetsError(f"There is no file {weights} for train.teacher_weights. Name one, or say 'imagenet'.")
    model = build_application(
        name,
        f"The teacher {KERAS}{name} cannot be made for images of {info.image_shape} and {info.num_classes} classes",
        "Choose another teacher, train.teacher_weights or data.image_size.",
        weights=weights,
        input_shape=info.image_shape,
        classes=info.num_classes,
    )
    preprocess = preprocess_of(name)
    mean, std = (np.asarray(values, np.float32) for values in (info.mean, info.std))
    return Teacher(f"{KERAS}{name}", model, lambda images: preprocess(255 * (images * std + mean)))


def _short(values: list[object]) -> str:
    shown = ", ".join(map(str, values[:4]))
    return f"({shown})" if len(values) <= 4 else f"({shown}, ... {len(values)} of them)"
