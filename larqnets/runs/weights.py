"""Models of runs: built from the config, restored strictly, weights moved from one model to another."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import tensorflow as tf

from larqnets.config import Experiment, StageConfig
from larqnets.errors import LarqnetsError, some
from larqnets.int8_aware import Int8Kernel, with_float_rest
from larqnets.models import create_model
from larqnets.published.bodies import build_body
from larqnets.runs import checkpoints
from larqnets.runs.keras_file import keras_file_content, load_keras_file
from larqnets.runs.run import Run
from larqnets.tasks import get_task

# Keras' names of a layer's kernels, and Larq's names of their quantizers.
_KERNELS = {
    "kernel": "kernel_quantizer",
    "depthwise_kernel": "depthwise_quantizer",
    "pointwise_kernel": "pointwise_quantizer",
}


def build_model(
    experiment: Experiment,
    input_shape: tuple[int, int, int],
    num_classes: int,
    stage: StageConfig | None = None,
    body: tf.keras.Model | None = None,
) -> tf.keras.Model:
    """Return the model of an experiment in a stage, its first by default, with its initial weights.

    The same seed gives the same names and weights. `body` is that of `stored_body`, which needs the packages no more that
    published it; it has no constraints, so that it is no body to train.
    """
    model, stage = experiment.model, stage or experiment.training_stages[0]
    tf.keras.backend.reset_uids()  # layers without a name of their own are numbered from one again
    tf.keras.utils.set_random_seed(experiment.seed)
    return create_model(
        model.method,
        model.backbone,
        input_shape,
        num_classes,
        task=get_task(experiment.task),
        stem=model.stem,
        width=model.width,
        precision=stage.precision,
        surrogate=stage.surrogate,
        int8_rest=stage.int8_rest,
        body=body,
        **model.options,
    )


def stored_body(run: Run) -> tf.keras.Model | None:
    """Return the published body that a run holds, None where its network was made here; LarqnetsError where it is damaged."""
    return load_keras_file(run.body_file) if run.body_file.is_file() else None


def body_content(experiment: Experiment, model: tf.keras.Model) -> bytes:
    """Return the published body of a model of `build_model`, with the weights of that, as the bytes of a Keras file."""
    body, values = build_body(experiment.model.backbone, model.input_shape[1:]), named_weights(model)
    tf.keras.backend.batch_set_value([(weight, values[name].numpy()) for name, weight in named_weights(body).items()])
    return keras_file_content(body)


def load_trained_model(run: Run) -> tf.keras.Model:
    """Return the run's model with the weights of its newest checkpoint; needs no data set.

    A run that was not trained here holds its model as a file. Else it is the model of the stage that the checkpoint stands
    in: of a finished run the last one.
    Raises LarqnetsError when the run has no checkpoint yet or the checkpoint and the model differ in any weight.
    """
    if run.kind != "trained":
        return load_keras_file(run.model_file)
    saved = checkpoints.latest(run)
    if saved is None:
        raise LarqnetsError(f"{run.path} has no checkpoint yet. Train it with `larqnets train --resume {run.path}`.")
    images = run.card.images
    if images is None:
        raise LarqnetsError(f"The card of {run.path} says nothing about its images. Restore it from a copy.")

    def built(stage: StageConfig) -> tf.keras.Model:
        return build_model(run.experiment, images.image_shape, len(images.labels), stage, stored_body(run))

    stage = run.experiment.training_stages[saved.state.get("stage", 0)]
    model = built(stage)
    checkpoints.restore_model(saved, model)
    return as_measured(model, stage, built)


def as_measured(
    model: tf.keras.Model, stage: StageConfig, build: Callable[[StageConfig], tf.keras.Model]
) -> tf.keras.Model:
    """Return the model of a stage as it is measured, without what only training rounds; it tells the ranges that it learned.

    `build` gives the same network in another stage.
    """
    if not stage.int8_rest:
        return model
    plain = build(replace(stage, int8_rest=False))
    transfer_weights(model, plain)
    return with_float_rest(model, plain)


def transfer_weights(source: tf.keras.Model, target: tf.keras.Model) -> list[str]:
    """Copy every weight to the weight of the same name and shape; nothing is copied when one has no partner.

    One kind of weight needs no partner: what a quantizer owns (the progress of an estimator, a counter of draws) where the
    other model has the same layer without that quantizer, as stages with fewer signs do. Returns the names of those of
    the target, which keep their initial values.
    Raises LarqnetsError naming the first weights without partner.
    """
    sources, targets = named_weights(source), named_weights(target)
    owned_by_sign = _taken_away(source, target) | _taken_away(target, source)
    only_source, only_target = (
        sorted(key for key in these.keys() - others.keys() if id(these[key]) not in owned_by_sign)
        for these, others in ((sources, targets), (targets, sources))
    )
    if only_source or only_target:
        found = [f"{some(only_source)} only in the source"] if only_source else []
        found += [f"{some(only_target)} only in the target"] if only_target else []
        raise LarqnetsError(
            f"Weights without a partner: {' and '.join(found)}. "
            "Use the same backbone, width and kind of shortcut in both models."
        )
    shared = [name for name in targets if name in sources]
    for name in shared:
        weight, partner = targets[name], sources[name]
        if partner.shape != weight.shape:
            raise LarqnetsError(
                f"The weight {name} has shape {tuple(partner.shape)} in the source and "
                f"{tuple(weight.shape)} in the target. Both need the same width, image size and number of classes."
            )
    tf.keras.backend.batch_set_value([(targets[name], np.asarray(sources[name])) for name in shared])
    return sorted(targets.keys() - sources.keys())


def named_weights(model: tf.keras.Model) -> dict[str, tf.Variable]:
    """Return the model's weights by what identifies them in another model of the same network.

    That is their name, but for the weights of a quantizer its layer and place in it: Keras names quantizers, and so their
    weights, differently from model to model.
    """
    place = {
        id(weight): f"{layer.name}/{attribute}/{weight.name.rsplit('/', 1)[-1]}"
        for layer, attribute, quantizer in _quantizers(model)
        for weight in quantizer.weights
    }
    return {place.get(id(weight), weight.name): weight for weight in model.weights}


def _taken_away(model: tf.keras.Model, other: tf.keras.Model) -> set[int]:
    """Return the ids of the weights of quantizers that `other` lacks in its layer of the same name."""
    layers = {layer.name for layer in other.layers}
    there = {(layer.name, attribute) for layer, attribute, quantizer in _quantizers(other) if quantizer.weights}
    return {
        id(weight)
        for layer, attribute, quantizer in _quantizers(model)
        if layer.name in layers and (layer.name, attribute) not in there
        for weight in quantizer.weights
    }


def quantizer_weights(model: tf.keras.Model) -> set[int]:
    """Return the ids of the weights that quantizers own: progress of an estimator, counters of draws."""
    return {id(weight) for _, _, quantizer in _quantizers(model) for weight in quantizer.weights}


def _quantizers(model: tf.keras.Model) -> list[tuple[tf.keras.layers.Layer, str, tf.keras.layers.Layer]]:
    """Return (layer, attribute, quantizer) of every quantizer that is a Keras layer and so may own weights."""
    return [
        (layer, attribute, quantizer)
        for layer in model.layers
        for attribute in ("input_quantizer", *_KERNELS.values(), "output_quantizer")
        if isinstance(quantizer := getattr(layer, attribute, None), tf.keras.layers.Layer)
    ]


def decayed_kernels(model: tf.keras.Model) -> list[tf.Variable]:
    """Return the trainable kernels that weight decay acts on by default: those of layers without a kernel quantizer.

    In a stage with real weights these are all, also those that are binary later (step 1 of ReActNet). Latent binary
    kernels are left out, since only their sign counts, and so is all that is no kernel: BatchNorm, biases, slopes,
    thresholds, gates.
    """
    trainable = {id(weight) for weight in model.trainable_variables}
    kernels: dict[int, tf.Variable] = {}
    for layer in model.submodules:
        for name, attribute in _KERNELS.items():
            kernel, quantizer = getattr(layer, name, None), getattr(layer, attribute, None)
            is_real = quantizer is None or isinstance(quantizer, Int8Kernel)
            if kernel is not None and id(kernel) in trainable and is_real:
                kernels[id(kernel)] = kernel
    return list(kernels.values())
