"""The weights of a network, taken back from the .tflite file that was made of it.

A file has less in it than the network that was trained: of latent binary kernels the signs, and of a BatchNorm one gain and one
shift per filter, y = gain * (q(x) * signs) + shift, or where the next op takes signs alone an integer that the sum is compared
with. What comes back computes the same:

    kernel of a 1-bit convolution   sign / sqrt(n), n = kernel height x width x channels: so its sums have a variance near 1
    kernel that stayed real         as it stands in the file, gain included
    BatchNorm                       moving mean 0, moving variance 1 - epsilon, gamma and beta the gain and the shift
    learned factor of a place       the gain of its copy of the kernel over that of the first place

An op belongs to the layer that the file names for it (`larqnets inspect`) and has to have its shape. A layer that is called
in several places stands in the file once for every size, as NAME_HEIGHTxWIDTH.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from larqnets.errors import LarqnetsError, excerpt, some
from larqnets.layers.learned_factor import LearnedFactor
from larqnets.runs.weights import named_weights, quantizer_weights
from larqnets.shapes import known
from larqnets.tflite.inspect import own_metadata
from larqnets.tflite.model import Model, Operator, binary_filter, unpack_bits
from larqnets.tflite.weight_ops import stored_bias, stored_kernel

_OPS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "LceBconv2d")
_SAME = 1e-5  # of the largest weight: as far as float32 products of the same kernel may be apart
_NUMBER = re.compile(r"_\d+$")  # what the converter puts behind names that are taken


class _UntakenError(Exception):
    """Why a layer's weights cannot be taken back, as a clause to follow a colon."""


@dataclass(frozen=True)
class _Stored:
    """What the file has of a layer in one place: y = gain * (x * kernel) + shift, gain and shift (filters,).

    `kernel`: (..., filters), of a 1-bit op signs.
    """

    kernel: np.ndarray
    gain: np.ndarray
    shift: np.ndarray
    is_binary: bool
    is_threshold: bool = False  # only the sign of y goes on


@dataclass(frozen=True)
class TakenBack:
    """The weights of a file, `values` by the names of `named_weights`, and of which layers they are not those of the training."""

    values: dict[str, np.ndarray]
    binary: tuple[str, ...]  # layers whose kernels are signs
    norms: tuple[str, ...]
    thresholds: tuple[str, ...]  # of `binary`, those behind which only signs go on

    def sentences(self) -> tuple[str, ...]:
        """Return what of the training the file does not have."""
        said = []
        if self.binary:
            said.append(
                f"Of {len(self.binary)} 1-bit kernels the file has the signs: within a filter all weights are equally far "
                "from changing theirs."
            )
        if self.norms:
            said.append(
                f"Of {len(self.norms)} BatchNorms it has what they do, not the statistics, which are measured on training "
                "images; gamma and beta go with these, so that the network computes what the file does."
            )
        if self.thresholds:
            said.append(
                f"Behind {some(self.thresholds)} the file compares sums with integers, so that the BatchNorms there give the "
                "same signs, not the same values."
            )
        return tuple(said)


def weights_of_file(model: tf.keras.Model, file: Model) -> TakenBack:
    """Return the weights of a float or binary file.

    `model` is the network that the file was made of, with any weights. What only training has, of a sign or a dropout, is
    left out. Raises LarqnetsError naming the first layer whose weights cannot be taken back, and why.
    """
    nodes = [node for depth in sorted(model._nodes_by_depth, reverse=True) for node in model._nodes_by_depth[depth]]
    consumers: dict[int, list[Any]] = {}
    for node in nodes:
        for given in tf.nest.flatten(node.keras_inputs):
            consumers.setdefault(id(given), []).append(node)
    ops, values = _ops_by_layer(model, file), _Values()
    layers = {node.layer.name: node.layer for node in nodes}
    binary: dict[str, list[_Stored]] = {}
    for layer in layers.values():
        if not layer.weights or _kernel(layer) is None:
            continue
        places = [node for node in nodes if node.layer is layer]
        try:
            stored = [_stored(file, layer, _take(ops, layer, place, len(places))) for place in places]
            behind = [_behind(layer, consumers.get(id(place.outputs), [])) for place in places]
            _take_back(layer, stored, behind, values)
            if stored[0].is_binary:
                binary[layer.name] = stored
        except _UntakenError as error:
            raise _refusal(file, layer, str(error)) from error
    _check_all_taken(model, file, values, ops)
    return TakenBack(
        {name: values[id(weight)] for name, weight in named_weights(model).items() if id(weight) in values},
        tuple(binary),
        tuple(layer.name for layer in layers.values() if isinstance(layer, tf.keras.layers.BatchNormalization)),
        tuple(name for name, places in binary.items() if any(place.is_threshold for place in places)),
    )


class _Values(dict[int, np.ndarray]):
    """Values by the identity of the weight that gets them."""

    def put(self, weight: tf.Variable, value: Any) -> None:
        """Give a weight a value, or each of its elements the same."""
        self[id(weight)] = np.broadcast_to(np.asarray(value, np.float32), known(weight.shape)).copy()


def _ops_by_layer(model: tf.keras.Model, file: Model) -> dict[str, list[Operator]]:
    """Return the ops with weights by the layer that the file names; without a name by what their tensor is called."""
    recorded: Mapping[str, Any] = (own_metadata(file) or {}).get("layers") or {}
    graph, layers = file.subgraphs[0], {layer.name for layer in model.layers if _kernel(layer) is not None}
    found: dict[str, list[Operator]] = {}
    for op in graph.operators:
        if stored_kernel(file, op) is None:
            continue
        name = recorded.get(str(op.index))
        if name is None:
            parts = graph.tensors[op.outputs[0]].name.split(";")[0].split("/")
            guesses = [guess for part in parts for guess in (part, _NUMBER.sub("", part)) if guess in layers]
            name = guesses[-1] if guesses else ""
        found.setdefault(str(name), []).append(op)
    return found


def _kernel(layer: tf.keras.layers.Layer) -> tf.Variable | None:
    kernels = [getattr(layer, name, None) for name in ("kernel", "depthwise_kernel")]
    return next((kernel for kernel in kernels if kernel is not None), None)


def _take(ops: dict[str, list[Operator]], layer: tf.keras.layers.Layer, place: Any, places: int) -> Operator:
    """Take the op of a layer in a place out of those that are left."""
    given = place.keras_inputs[0].shape
    sized = f"{layer.name}_{'x'.join(map(str, given[1:-1] or given[1:]))}"
    name = sized if places > 1 and sized in ops else layer.name
    if not (mine := ops.get(name)):
        raise _UntakenError("no op of the file is its")
    op = mine.pop(0)
    if not mine:
        del ops[name]
    return op


def _stored(file: Model, layer: tf.keras.layers.Layer, op: Operator) -> _Stored:
    """Return what an op has; it has to have the shape of the layer's kernel."""
    kernel, bias, mine = stored_kernel(file, op), stored_bias(file, op), _kernel(layer)
    assert kernel is not None
    assert mine is not None
    if op.name not in _OPS:
        raise _UntakenError(f"its op is {op.name}, of which nothing is taken back")
    _check_nothing_unfolded(file, op)
    if op.name == "LceBconv2d":
        stored = _stored_signs(file, op)
    else:
        values, shift = kernel.data(file), None if bias is None else bias.data(file)
        if kernel.dtype != "float32" or values is None:
            raise _UntakenError(f"its kernel is stored as {kernel.dtype}, which is rounded")
        filters_first = op.name != "DEPTHWISE_CONV_2D"  # (filters, h, w, channels), there (1, h, w, filters)
        values = np.moveaxis(values, 0, -1) if filters_first else np.moveaxis(values, 0, 2)
        filters = values.shape[-1]
        stored = _Stored(values, np.ones(filters), np.zeros(filters) if shift is None else shift, is_binary=False)
    expected = known(mine.shape)
    if hasattr(layer, "depthwise_kernel"):  # (h, w, channels, filters of each)
        expected = (*expected[:2], 1, expected[2] * expected[3])
    if stored.kernel.shape[-len(expected) :] != expected or stored.kernel.size != math.prod(expected):
        raise _UntakenError(f"its kernel is {stored.kernel.shape} in the file and {expected} in the network")
    return stored


def _check_nothing_unfolded(file: Model, op: Operator) -> None:
    """Raise where a BatchNorm behind an op was not made a part of it: an op of its own multiplies or adds constants."""
    graph = file.subgraphs[op.subgraph]
    for other in graph.operators:
        if other.name in ("MUL", "ADD", "SUB", "DIV") and op.outputs[0] in other.inputs:
            numbers = [graph.tensors[i] for i in other.inputs if i >= 0 and file.buffers[graph.tensors[i].buffer].size]
            if numbers:
                raise _UntakenError(f"an op of its own behind it ({other.name}) has numbers, which are not told apart")


def _stored_signs(file: Model, op: Operator) -> _Stored:
    """Return signs (h, w, C, filters) of a 1-bit op, with multipliers and biases, or with what its thresholds say.

    A bit is set, for -1, where n - sum > 2 threshold: it is +1 where sum + (2 threshold + 1 - n) > 0, n the products of a
    sum. Only the sign of that goes on, so that its gain is free: 1 / sqrt(n).
    """
    tensors = file.subgraphs[op.subgraph].tensors
    packed = binary_filter(file, op)
    source = tensors[op.inputs[0]].shape[3]
    channels = op.options["channels_in"] * packed.shape[3] // source  # of one group
    signs = np.transpose(unpack_bits(packed, channels), (1, 2, 3, 0)).astype(np.float32)
    n = math.prod(signs.shape[:3])
    if op.inputs[4] >= 0:
        thresholds = tensors[op.inputs[4]].data(file)
        assert thresholds is not None
        limits = np.clip(thresholds.astype(np.int64), -1, n)  # beyond, all sums are on one side
        return _Stored(
            signs, np.full(len(limits), n**-0.5), (2 * limits + 1 - n) * n**-0.5, is_binary=True, is_threshold=True
        )
    multiplier, bias = (tensors[op.inputs[place]].data(file) for place in (2, 3))
    if multiplier is None or bias is None or tensors[op.outputs[0]].dtype != "float32":
        raise _UntakenError("its op answers in int8, which is rounded")
    return _Stored(signs, multiplier.astype(np.float64), bias.astype(np.float64), is_binary=True)


def _behind(layer: tf.keras.layers.Layer, consumers: list[Any]) -> tf.keras.layers.Layer | None:
    """Return the BatchNorm or learned factor that alone takes what a layer answers with in a place."""
    if len(consumers) != 1:
        return None
    one = consumers[0].layer
    return one if isinstance(one, tf.keras.layers.BatchNormalization | LearnedFactor) else None


def _take_back(
    layer: tf.keras.layers.Layer, stored: list[_Stored], behind: list[tf.keras.layers.Layer | None], values: _Values
) -> None:
    """Put the values of a layer and of what stands behind it in every place."""
    norms = [norm for norm in behind if isinstance(norm, tf.keras.layers.BatchNormalization)]
    if 0 < len(norms) < len(behind):
        raise _UntakenError("a BatchNorm stands behind it in some of its places")
    if stored[0].is_binary and not norms:
        raise _UntakenError("no BatchNorm stands behind it, which would take the gains of its filters")
    if norms and getattr(layer, "activation", None) not in (None, tf.keras.activations.linear):
        raise _UntakenError("its activation stands before its BatchNorm, which is then not part of its op")
    kernel, gains = _kernel_and_gains(layer, stored)
    bias = layer.bias if getattr(layer, "use_bias", False) else None
    mine = _kernel(layer)
    assert mine is not None
    values.put(mine, kernel)
    if bias is not None:
        values.put(bias, 0 if norms else stored[0].shift)
    if norms:
        for norm, place, gain in zip(norms, stored, gains, strict=True):
            _take_norm(norm, gain, place.shift, values)
        return
    for place, follower, gain in zip(stored, behind, gains, strict=True):
        factor = 1.0 if follower is None else float(np.mean(gain))
        if follower is not None:
            values.put(follower.factor, factor)
        if not np.allclose(gain, factor, rtol=1e-4):
            raise _UntakenError("its filters have gains of their own, and no BatchNorm stands behind it")
        expected = factor * stored[0].shift if bias is not None else 0 * place.shift
        if not np.allclose(place.shift, expected, rtol=1e-4, atol=_SAME):
            raise _UntakenError("its filters have shifts, and neither a bias nor a BatchNorm takes them")


def _kernel_and_gains(layer: tf.keras.layers.Layer, stored: list[_Stored]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the kernel of a layer in Keras' layout, and for every place what is multiplied with its sums, (filters,)."""
    first, mine, quantizer = stored[0], _kernel(layer), getattr(layer, "kernel_quantizer", None)
    assert mine is not None
    if first.is_binary != (quantizer is not None):
        there, here = ("1-bit", "real") if first.is_binary else ("real", "1-bit")
        raise _UntakenError(f"it is {there} in the file and {here} in the network")
    gains = [place.gain * _ratio(place, first) for place in stored]
    if quantizer is None:
        return first.kernel.reshape(known(mine.shape)), gains
    signs = first.kernel.reshape(known(mine.shape))
    latent = (signs * math.prod(first.kernel.shape[:-1]) ** -0.5).astype(np.float32)
    reads = np.asarray(quantizer(tf.constant(latent))) / signs
    by_filter = reads.reshape(-1, reads.shape[-1])
    if not (by_filter > 0).all() or not np.allclose(by_filter, by_filter[0], rtol=1e-4):
        raise _UntakenError(f"{type(quantizer).__name__} does not read its signs as they are in the file")
    return latent, [gain / by_filter[0] for gain in gains]


def _ratio(place: _Stored, first: _Stored) -> np.ndarray:
    """Return by which number of each filter, (filters,), the kernel of a place is that of the first one."""
    ours, theirs = (stored.kernel.reshape(-1, stored.kernel.shape[-1]) for stored in (place, first))
    power = np.sum(theirs.astype(np.float64) ** 2, axis=0)
    ratio = np.sum(ours.astype(np.float64) * theirs, axis=0) / np.where(power > 0, power, 1)
    ratio = np.where(power > 0, ratio, 1)
    if not np.allclose(ours, ratio * theirs, rtol=0, atol=_SAME * float(np.abs(ours).max(initial=0))):
        raise _UntakenError("its kernel differs from place to place")
    return ratio


def _take_norm(norm: tf.keras.layers.BatchNormalization, gain: np.ndarray, shift: np.ndarray, values: _Values) -> None:
    if norm.gamma is None or norm.beta is None:
        raise _UntakenError(f"the BatchNorm '{norm.name}' behind it has not both a gamma and a beta")
    values.put(norm.gamma, gain)
    values.put(norm.beta, shift)
    values.put(norm.moving_mean, 0)
    values.put(norm.moving_variance, 1 - norm.epsilon)


def _check_all_taken(model: tf.keras.Model, file: Model, values: _Values, left: Mapping[str, list[Operator]]) -> None:
    """Raise LarqnetsError for a layer that got no values, and for an op that belongs to none."""
    of_signs = quantizer_weights(model)
    for layer in model.layers:
        counts = {id(weight) for weight in layer.non_trainable_weights} if _kernel(layer) is None else set()
        is_norm = isinstance(layer, tf.keras.layers.BatchNormalization)
        missing = {id(weight) for weight in layer.weights} - values.keys() - of_signs
        if missing - (set() if is_norm else counts):
            raise _refusal(file, layer, "what it does stands in other ops, which are not told apart")
    if left:
        name, ops = next(iter(left.items()))
        raise LarqnetsError(
            f"The weights of {file.name} cannot be taken back: operator {ops[0].index} ({ops[0].name}, "
            f"'{excerpt(name)}') is no layer of the network. Start from its run."
        )


def _refusal(file: Model, layer: tf.keras.layers.Layer, why: str) -> LarqnetsError:
    return LarqnetsError(
        f"The weights of {file.name} cannot be taken back: the layer '{layer.name}' ({type(layer).__name__}): {why}. "
        "Start from its run."
    )
