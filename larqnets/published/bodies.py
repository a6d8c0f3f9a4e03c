"""The body of a published network: its layers up to the last feature map, without the head that knows ImageNet's classes."""

import contextlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from larqnets.errors import LarqnetsError, keras_reason
from larqnets.published import IMAGENET, KERAS, is_zoo
from larqnets.published.applications import PixelFormula, find_application, pixel_formula
from larqnets.published.zoo import NORMALISATION, build_zoo, zoo_function

MOMENTUM = 0.9  # of running averages, as in all networks here


def build_body(named: str, input_shape: tuple[int, ...]) -> tf.keras.Model:
    """Return the body of `zoo:NAME` or `keras:NAME` for images (H, W, C), with random weights: (N, H, W, C) -> (N, h, w, c).

    Its answers are those of the published layers. How it is trained is as with every network here: running averages forget
    with MOMENTUM, for at the published 0.999 those of ImageNet would outlast a short training; several replicas share their
    statistics; and nothing is dropped at random, since the draws of Keras' layers cannot be repeated after an interruption.

    Raises LarqnetsError where there is no such network, or none for such images.
    """
    if len(input_shape) != 3 or input_shape[2] != 3:
        raise LarqnetsError(
            f"{named} takes images in colour, and these are {'x'.join(map(str, input_shape))}. Use colour images, or a backbone "
            "of `larqnets list backbones`."
        )
    build = zoo_function(named) if is_zoo(named) else find_application(named.removeprefix(KERAS))
    tf.keras.backend.reset_uids()  # layers without a name of their own are numbered
    try:
        with contextlib.redirect_stdout(sys.stderr):
            body = build(include_top=False, weights=None, input_shape=input_shape)
    except Exception as error:  # Keras raises ValueError and others where nothing is left of an image
        height, width, _ = input_shape
        raise LarqnetsError(
            f"{named} cannot be built for images of {height}x{width}: {keras_reason(error)}. Set a larger data.image_size, such as 224."
        ) from error
    own = sorted({type(layer).__name__ for layer in body.layers if ".applications." in type(layer).__module__})
    if own:
        raise LarqnetsError(f"{named} has layers that only its own code knows, {', '.join(own)}. Name another network.")
    _train_as_here(body.layers, several=tf.distribute.get_strategy().num_replicas_in_sync > 1)
    return body


def _train_as_here(layers: Iterable[tf.keras.layers.Layer], *, several: bool) -> None:
    """Set the options that `build_body` names, of layers that are built already."""
    for layer in layers:
        options: dict[str, Any] = {}
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            options = {"momentum": MOMENTUM}
            if several:  # the fused op knows its own replica alone
                options |= {"synchronized": True, "fused": False}
        elif isinstance(layer, tf.keras.layers.Dropout):
            options = {"rate": 0.0}
        for name, value in options.items():
            setattr(layer, name, value)


def formula_of(named: str) -> PixelFormula:
    """Return how the images of a published network are prepared; raises LarqnetsError where there is no such network."""
    if is_zoo(named):
        return PixelFormula(NORMALISATION["mean"], NORMALISATION["std"])
    name = named.removeprefix(KERAS)
    find_application(name)
    return pixel_formula(name)


def published_body(named: str, weights: str) -> tf.keras.Model:
    """Return the body with its trained weights, for images of any size that are given as its own preprocessing gives them.

    `weights`: "imagenet", those that were published, or a file of Keras that holds those of the network with its head or
    without. Raises LarqnetsError where they cannot be had, or the file is one of another network.
    """
    if is_zoo(named):
        return build_zoo(named, include_top=False)
    build = find_application(named.removeprefix(KERAS))
    tf.keras.backend.reset_uids()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            if weights == IMAGENET:
                return build(include_top=False, weights=weights)
            return _from_file(build, weights)
    except Exception as error:  # Keras raises a bare one where a download fails, ValueError where a file does not fit
        if weights == IMAGENET:
            remedy = "Check the network connection, or name a file of its weights with --init-weights."
        else:
            remedy = "Name a file that model.save_weights wrote of this network."
        raise LarqnetsError(f"The weights of {named} cannot be had: {keras_reason(error)}. {remedy}") from error


def _from_file(build: Any, weights: str) -> tf.keras.Model:
    body = build(include_top=False, weights=None)
    try:
        body.load_weights(weights)
    except ValueError as misfit:  # one layer more: with its head
        tf.keras.backend.reset_uids()
        whole = build(weights=None)
        try:
            whole.load_weights(weights)
        except ValueError:
            raise misfit from None
        for layer in body.layers:
            layer.set_weights(whole.get_layer(layer.name).get_weights())
    return body


def first_kernel(body: tf.keras.Model) -> str:
    """Return the name of the kernel that sees the colours."""
    return next(weight.name for layer in body.layers for weight in layer.weights if tuple(weight.shape[2:3]) == (3,))


def turned_round(values: Mapping[str, np.ndarray], kernel: str) -> dict[str, np.ndarray]:
    """Return weights whose first kernel (h, w, 3, filters) sees R, G, B where it saw B, G, R; the sums are the same."""
    return {**values, kernel: values[kernel][:, :, ::-1]}
