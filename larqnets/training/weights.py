"""Models of runs: built from the config, restored strictly, weights moved from one model to another."""

import numpy as np
import tensorflow as tf

from larqnets.config import Experiment
from larqnets.errors import LarqnetsError
from larqnets.models import create_model
from larqnets.run_folder import Run
from larqnets.training import checkpoints

# Keras' names of a layer's kernels, and Larq's names of their quantizers.
_KERNELS = {
    "kernel": "kernel_quantizer",
    "depthwise_kernel": "depthwise_quantizer",
    "pointwise_kernel": "pointwise_quantizer",
}


def build_model(experiment: Experiment, input_shape: tuple[int, int, int], num_classes: int) -> tf.keras.Model:
    """Return the model of an experiment with its initial weights; the same seed gives the same names and weights."""
    model = experiment.model
    tf.keras.backend.reset_uids()  # layers without a name of their own are numbered from one again
    tf.keras.utils.set_random_seed(experiment.seed)
    return create_model(
        model.method,
        model.backbone,
        input_shape,
        num_classes,
        stem=model.stem,
        width=model.width,
        **model.options,
    )


def load_trained_model(run: Run) -> tf.keras.Model:
    """Return the run's model with the weights of its newest checkpoint; needs no data set.

    Raises LarqnetsError when the run has no checkpoint yet or the checkpoint and the model differ in any weight.
    """
    saved = checkpoints.latest(run)
    if saved is None:
        raise LarqnetsError(f"{run.path} has no checkpoint yet. Train it with `larqnets train --resume {run.path}`.")
    images = run.card.get("images")
    if images is None:
        raise LarqnetsError(f"The card of {run.path} says nothing about its images. Restore it from a copy.")
    height, width, channels = images["image_shape"]
    model = build_model(run.experiment, (height, width, channels), len(images["labels"]))
    checkpoints.restore_model(saved, model)
    return model


def transfer_weights(source: tf.keras.Model, target: tf.keras.Model) -> None:
    """Copy every weight to the weight of the same name and shape; nothing is copied when one has no partner.

    Raises LarqnetsError naming the first weights without partner.
    """
    sources = {weight.name: weight for weight in source.weights}
    targets = {weight.name: weight for weight in target.weights}
    only_source, only_target = sorted(sources.keys() - targets.keys()), sorted(targets.keys() - sources.keys())
    if only_source or only_target:
        found = [f"{_names(only_source)} only in the source"] if only_source else []
        found += [f"{_names(only_target)} only in the target"] if only_target else []
        raise LarqnetsError(
            f"Weights without a partner: {' and '.join(found)}. "
            "Use the same backbone, width and kind of shortcut in both models."
        )
    for name, weight in targets.items():
        if sources[name].shape != weight.shape:
            raise LarqnetsError(
                f"The weight {name} has shape {tuple(sources[name].shape)} in the source and "
                f"{tuple(weight.shape)} in the target. Both need the same width, image size and number of classes."
            )
    tf.keras.backend.batch_set_value([(weight, np.asarray(sources[name])) for name, weight in targets.items()])


def decayed_kernels(model: tf.keras.Model) -> list[tf.Variable]:
    """Return the trainable kernels that weight decay acts on: those of layers without a kernel quantizer.

    Latent binary kernels are left out, since only their sign counts, and so is all that is no kernel: BatchNorm, biases,
    slopes, thresholds, gates.
    """
    trainable = {id(weight) for weight in model.trainable_variables}
    kernels: dict[int, tf.Variable] = {}
    for layer in model.submodules:
        for name, quantizer in _KERNELS.items():
            kernel = getattr(layer, name, None)
            if id(kernel) in trainable and getattr(layer, quantizer, None) is None:
                kernels[id(kernel)] = kernel
    return list(kernels.values())


def _names(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
