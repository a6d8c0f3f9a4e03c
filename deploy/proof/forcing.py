"""A run of the trained network with what it would choose by taken from the file: signs, places of unpoolings, gates.

It tells what it would have taken itself, which `deploy.proof.layerwise` holds against the file's. A part of the samples is run
in as many steps as the largest maps of the network ask for: what a step needs beside its answers is the most of a proof's memory.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from deploy.proof.gates import Gate, nearest_gate, products_of
from deploy.proof.outputs import Ending
from deploy.proof.unpoolings import Windows, joined_windows, nearest, unpoolings_of, windows_of
from deploy.run.interpreter import as_list
from larqnets.training.evaluation import images_at_once

Layer = tf.keras.layers.Layer


class End(NamedTuple):
    """The bounded function that an output of model and file ends with, and the file's tensor in front of it."""

    ending: Ending
    before: int


class Run(NamedTuple):
    """An output of the model, and what its bounded function was given."""

    values: np.ndarray
    logits: np.ndarray | None


class Forced(NamedTuple):
    """What the network takes from the file."""

    signs: dict[str, list[np.ndarray]]  # layer -> those of its input, in each of its places
    maps: list[np.ndarray]  # among which every unpooling finds the one that it chooses its places by
    gates: list[np.ndarray]  # among which every product finds its gate, by the real samples
    num_real: int


class Seen(NamedTuple):
    """By layer and place, what the network would have taken itself."""

    values: dict[tuple[str, int], np.ndarray]  # what it was given to binarise
    windows: dict[tuple[str, int], Windows]  # what an unpooling would have chosen by
    gates: dict[str, Gate]  # by product: what it would have multiplied by


def forward(
    model: tf.keras.Model, images: np.ndarray, forced: Forced, ends: Sequence[End | None]
) -> tuple[list[Run], Seen]:
    """Run the model with its signs and indices forced; returns its outputs, and what was binarised and chosen by.

    As many samples at once as memory has room for, the real ones first: by them is found which gate of the file is which.
    """
    size, gates = images_at_once(model, len(images)), {}
    parts = [slice(start, start + size) for start in range(0, len(images), size)]
    answers, seen = zip(
        *(_forward_part(model, images[p], _part_of(forced, p), ends, gates) for p in parts), strict=True
    )
    return _joined_runs(answers), _joined_seen(seen)


def _forward_part(
    model: tf.keras.Model, images: np.ndarray, forced: Forced, ends: Sequence[End | None], gates: dict[str, int | None]
) -> tuple[list[Run], Seen]:
    with _forced(model, forced, gates) as seen, ExitStack() as recorded:
        for end in filter(None, ends):
            recorded.enter_context(end.ending.recorded())
        answers = model(images, training=False)
    outputs = [np.asarray(values) for values in as_list(answers)]
    return [Run(v, end.ending.logits if end else None) for v, end in zip(outputs, ends, strict=True)], seen


def _part_of(forced: Forced, part: slice) -> Forced:
    signs = {name: [values[part] for values in places] for name, places in forced.signs.items()}
    maps, gates = ([values[part] for values in tensors] for tensors in (forced.maps, forced.gates))
    return Forced(signs, maps, gates, min(forced.num_real, part.stop))


def _joined_runs(parts: Sequence[list[Run]]) -> list[Run]:
    if len(parts) == 1:
        return parts[0]
    joined = []
    for of_one in zip(*parts, strict=True):
        logits = [run.logits for run in of_one if run.logits is not None]
        joined.append(Run(np.concatenate([run.values for run in of_one]), np.concatenate(logits) if logits else None))
    return joined


def _joined_seen(parts: Sequence[Seen]) -> Seen:
    if len(parts) == 1:
        return parts[0]
    values, windows, gates = zip(*parts, strict=True)
    return Seen(
        {key: np.concatenate([part[key] for part in values]) for key in values[0]},
        {key: joined_windows([part[key] for part in windows]) for key in windows[0]},
        {name: Gate(*map(np.concatenate, zip(*(part[name] for part in gates), strict=True))) for name in gates[0]},
    )


@contextmanager
def _forced(model: tf.keras.Model, forced: Forced, found: dict[str, int | None]) -> Iterator[Seen]:
    """While the block runs the model once, layers that are named binarise to the given signs, and unpoolings choose by the
    given maps, place by place; products have the given gates.

    `found`: which of the gates a product has, where that is known; filled in where it is not. Yields what they would have
    taken.
    """
    seen = Seen({}, {}, {})

    def quantizer(layer: Layer) -> Callable[[tf.Tensor], tf.Tensor]:
        places = iter(_order_of_places(model, layer.name))

        def quantize(x: tf.Tensor) -> tf.Tensor:
            place = next(places)
            seen.values[layer.name, place] = values = x.numpy()
            return tf.constant(forced.signs[layer.name][place].reshape(values.shape))

        return quantize

    def chooser(layer: Layer) -> Callable[[tf.Tensor], tf.Tensor]:
        places = iter(_order_of_places(model, layer.name))

        def choose(x: tf.Tensor) -> tf.Tensor:
            place, values = next(places), x.numpy()
            if (chosen_by := nearest(values, forced.maps)) is None:
                return x
            seen.windows[layer.name, place] = windows_of(values, chosen_by)
            return tf.constant(chosen_by)

        return choose

    def gated(layer: Layer) -> Callable[..., tf.Tensor]:
        call = layer.call

        def multiply(inputs: list[tf.Tensor]) -> tf.Tensor:
            x, gate = inputs
            if layer.name not in found:
                taken = [which for which in found.values() if which is not None]
                found[layer.name] = nearest_gate(gate.numpy(), forced.gates, forced.num_real, taken)
            if (which := found[layer.name]) is None:
                return call(inputs)
            theirs = forced.gates[which]
            seen.gates[layer.name] = Gate(gate.numpy(), theirs)
            return call([x, tf.constant(theirs)])

        return multiply

    with ExitStack() as restored:
        for layer in products_of(model) if forced.gates else []:
            restored.callback(setattr, layer, "call", layer.call)
            layer.call = gated(layer)
        for layer in map(model.get_layer, forced.signs):
            restored.callback(setattr, layer, "input_quantizer", layer.input_quantizer)
            layer.input_quantizer = quantizer(layer)  # pyright: ignore[reportAttributeAccessIssue]  # Larq's
        for layer in unpoolings_of(model):
            restored.callback(setattr, layer, "forced", None)
            layer.forced = chooser(layer)
        yield seen


def _order_of_places(model: tf.keras.Model, name: str) -> list[int]:
    """Return the numbers of the layer's places in the order in which Keras runs them: deep ones first, then as listed."""
    places = {id(node): i for i, node in enumerate(model.get_layer(name).inbound_nodes)}
    by_depth = model._nodes_by_depth
    nodes = [id(node) for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    return [places[node] for node in nodes if node in places]
