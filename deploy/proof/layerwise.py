"""Part (a) of a proof: a file and its trained model layer by layer, with the same bits in front of each.

The file's own binary inputs of every layer are read from a copy with more outputs, and the trained Keras model is run with
those very bits in place of its signs. Then every pre-sign value that Keras computes has seen the same bits as the file, and
its sign must be the bit that the file computed, unless it lies within `EPS` of the threshold. The real-valued work between
the layers and the outputs are covered the same way. The indices of unpoolings and the gates of squeeze-and-excite are forced
and judged as signs are (`deploy.proof.unpoolings`, `deploy.proof.gates`).
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from deploy.export.edit import tap
from deploy.export.trained import Trained
from deploy.proof.contents import match_layers
from deploy.proof.forcing import End, Forced, Run, forward
from deploy.proof.gates import GateProof, compare_gates, gates_in_file, products_of
from deploy.proof.nudges import SLACK, nudged, rounded_means, rounded_sums
from deploy.proof.outputs import difference, ending_of, last_function
from deploy.proof.sizes import made_of
from deploy.proof.unpoolings import UnpoolProof, compare_windows, unpoolings_of
from deploy.run.interpreter import Interpreter
from deploy.run.lce_kernels import has_larq_ops
from larqnets.errors import LarqnetsError
from larqnets.tflite.model import Model, unpack_bits
from larqnets.tflite.unpooling import maps_before_pooling

# Relative to the numbers that a pre-sign value is made of (`deploy.proof.sizes`), not to the value itself: those may cancel to
# nearly nothing. float32 keeps 6e-8 of each, and a value passes a few dozen operations between two signs.
EPS = 1e-5
LOGITS_EPS = 1e-4  # of the size of an output
LAYERWISE_SAMPLES = 32
LAYERWISE_PIXELS = LAYERWISE_SAMPLES * 224 * 224  # of these samples together
MAX_BYTES = 1 << 28  # of what a part of the samples is compared by


@dataclass(frozen=True)
class LayerProof:
    """Part (a) for one binary layer: the signs of its input in all of its places, file against Keras."""

    layer: str
    signs: int  # compared
    near_threshold: int  # differ, but within EPS of the threshold: rounding
    wrong: int  # differ farther away: a failure
    worst: float  # largest relative distance from the threshold of a sign that differs; 0 if none


class OutputProof(NamedTuple):
    """Part (a) for the outputs, with the signs forced: the largest of all of them, relative to their size."""

    logits: float  # largest difference, in front of a last softmax
    beyond_rounding: float  # the same without what is rounding of their inputs
    function: float  # what the last function makes of the file's logits


class Layerwise(NamedTuple):
    """What part (a) found."""

    layers: list[LayerProof]
    unchecked: list[str]  # binary layers without a 1-bit op
    outputs: OutputProof
    remarks: list[str]
    unpoolings: list[UnpoolProof]
    unmatched: list[str]  # unpoolings whose maps the file has not got
    gates: list[GateProof]


def compare_layers(
    file: Model, trained: Trained, images: np.ndarray, num_real: int, device: str | None = None
) -> Layerwise:
    """Compare on images (N, H, W, C), of which the first `num_real` are real, part by part; `device`: see Interpreter.

    Raises LarqnetsError when file and model have another number of outputs.
    """
    found = [
        _compare_part(file, trained, images[part], real, device)
        for part, real in _parts(len(images), num_real, _bytes_of_a_sample(trained))
    ]
    first, *others = found
    if not others:
        return first
    layers = [_together(of_one) for of_one in zip(*(part.layers for part in found), strict=True)]
    unpoolings = [_together(of_one) for of_one in zip(*(part.unpoolings for part in found), strict=True)]
    outputs = OutputProof(*map(max, zip(*(part.outputs for part in found), strict=True)))
    gates: dict[str, list[GateProof]] = {}  # the parts in which a gate of the file was found
    for gate in (gate for part in found for gate in part.gates):
        gates.setdefault(gate.layer, []).append(gate)
    gated = [_together(of_one) for of_one in gates.values()]
    return first._replace(layers=layers, unpoolings=unpoolings, outputs=outputs, gates=gated)


_Part = TypeVar("_Part", LayerProof, UnpoolProof, GateProof)


def _together(parts: Sequence[_Part]) -> _Part:
    names, compared, near, wrong, worst = zip(*map(astuple, parts), strict=True)
    return type(parts[0])(names[0], sum(compared), sum(near), sum(wrong), max(worst))


def _bytes_of_a_sample(trained: Trained) -> int:
    """Return about how many bytes the comparison holds of one sample.

    Of the input of a binary layer the signs and two runs of the model, in floats; of the map that an unpooling chooses by the
    file's and its windows. Of an output the file's, three runs and what is computed of them.
    """
    model = trained.model
    asked = [model.get_layer(layer.name) for layer in trained.binary_layers]
    places = [
        shape[0] if isinstance(shape, list) else shape
        for layer in (*asked, *unpoolings_of(model))
        for shape in (layer.get_input_shape_at(place) for place in range(len(layer.inbound_nodes)))
    ]
    outputs = [tensor.shape for tensor in model.outputs]
    inner, outer = (sum(int(np.prod([n or 1 for n in shape[1:]])) for shape in shapes) for shapes in (places, outputs))
    return 12 * inner + 32 * outer


def _parts(samples: int, num_real: int, bytes_per_sample: int) -> list[tuple[np.ndarray, int]]:
    """Return which of the samples, the first `num_real` real, are compared together, and how many of these are real.

    By real ones is measured how large values usually are, so no part is without.
    """
    count = min(max(1, num_real), max(1, -(-samples * bytes_per_sample // MAX_BYTES)))
    real, hostile = (np.array_split(indices, count) for indices in np.split(np.arange(samples), [num_real]))
    return [(np.concatenate(part), len(part[0])) for part in zip(real, hostile, strict=True)]


def _compare_part(file: Model, trained: Trained, images: np.ndarray, num_real: int, device: str | None) -> Layerwise:
    model, described = trained.model, trained.binary_layers
    binary = [layer for layer in described if layer.signs is not None]
    channels = {layer.name: layer.signs.shape[2] for layer in described if layer.signs is not None}
    matched = match_layers(file, binary)
    own = file.subgraphs[0].outputs
    if len(own) != len(model.outputs):
        raise LarqnetsError(
            f"The file has {len(own)} outputs and the model {len(model.outputs)}: they do not belong together."
        )
    order = [(layer, op) for layer in binary for op in matched.get(layer.name, ())]
    ends = [_common_end(model, file, output) for output in range(len(own))]
    maps = maps_before_pooling(file) if unpoolings_of(model) else []
    gates = gates_in_file(file) if products_of(model) else []
    tensors = [op.inputs[0] for _, op in order] + [end.before for end in ends if end] + maps + gates
    tapped = _tapped(file, tensors, images, device)
    signs_of: dict[str, list[np.ndarray]] = {}  # layer -> signs in each of its places
    for layer, op in order:
        signs = unpack_bits(tapped[op.inputs[0]], channels[layer.name]).astype(np.float32)
        signs_of.setdefault(layer.name, []).append(signs)
    forced = Forced(signs_of, [tapped[tensor] for tensor in maps], [tapped[tensor] for tensor in gates], num_real)
    outputs, seen = forward(model, images, forced, ends)
    with rounded_means(model):
        moved, beside = forward(model, nudged(images), forced, ends)
    in_all = {layer.name: range(len(layer.inbound_nodes)) for layer in unpoolings_of(model)}
    matching = [name for name, places in in_all.items() if all((name, place) in seen.windows for place in places)]
    parts = made_of(model, {layer.name: layer for layer in binary}, matching)
    layers, unpoolings = [], []
    for name, places in signs_of.items():
        judged = (
            _compare_signs(seen.values[name, i], beside.values[name, i], signs, size, num_real)
            for i, (signs, size) in enumerate(zip(places, parts.sizes[name], strict=True))
        )
        layers.append(_together([LayerProof(name, *counts) for counts in judged]))
    for name in matching:
        judged = (
            compare_windows(seen.windows[name, i], beside.windows[name, i], size, num_real, EPS, SLACK)
            for i, size in enumerate(parts.sizes[name])
        )
        unpoolings.append(_together([UnpoolProof(name, *counts) for counts in judged]))
    figures = _compare_outputs(ends, outputs, {SLACK: moved}, tapped, own, num_real)
    if any(figure.beyond_rounding > LOGITS_EPS for figure in figures):
        with rounded_sums(model, binary):
            again, _ = forward(model, images, forced, ends)
        figures = _compare_outputs(ends, outputs, {SLACK: moved, 1: again}, tapped, own, num_real)
    unchecked = [layer.name for layer in described if layer.name not in matched]
    unmatched = [name for name in in_all if name not in matching]
    proven = OutputProof(*map(max, zip(*figures, strict=True)))
    gated = compare_gates(seen.gates, beside.gates, EPS, SLACK)
    return Layerwise(layers, unchecked, proven, parts.remarks, unpoolings, unmatched, gated)


class Probes(NamedTuple):
    """The samples (N, H, W, C) of part (a), of which the first `num_real` are real."""

    images: np.ndarray
    num_real: int


def probe_inputs(images: np.ndarray, seed: int) -> Probes:
    """Return real samples and hostile ones: zeros, constants of both signs, tiny and huge values, noise, a checkerboard.

    Of real ones there are LAYERWISE_SAMPLES, or fewer of LAYERWISE_PIXELS in all, but as many as hostile ones: these are compared
    beside one each.
    """
    rng = np.random.default_rng(seed)
    shape, order = images.shape[1:], rng.permutation(len(images))
    board = np.indices(shape).sum(axis=0) % 2 * 2.0 - 1
    hostile = [np.full(shape, v) for v in (0, 1, -1, 1e-6, 1e3, -1e3)]
    hostile += [board, rng.normal(size=shape), 1e3 * rng.normal(size=shape), 1e-3 * rng.normal(size=shape)]
    most = min(LAYERWISE_SAMPLES, max(len(hostile), LAYERWISE_PIXELS // int(np.prod(shape[:-1]))))
    real = images[order[:most]]
    return Probes(np.concatenate([real, np.stack(hostile)]).astype(np.float32), len(real))


def _common_end(model: tf.keras.Model, file: Model, output: int) -> End | None:
    ending, last = ending_of(model, output), last_function(file, output)
    return None if ending is None or last is None or ending.op != last.name else End(ending, last.inputs[0])


def _compare_outputs(
    ends: Sequence[End | None],
    trained: Sequence[Run],
    nudged: dict[int, list[Run]],
    tapped: dict[int, np.ndarray],
    own: Sequence[int],
    num_real: int,
) -> list[OutputProof]:
    """Compare the outputs, which are the tensors `own` of the file; `nudged`: by how many times what differs there is no difference."""
    return [
        _compare_output(end, due, {times: run[i] for times, run in nudged.items()}, tapped, own[i], num_real)
        for i, (end, due) in enumerate(zip(ends, trained, strict=True))
    ]


def _compare_output(
    end: End | None, trained: Run, nudged: dict[int, Run], tapped: dict[int, np.ndarray], tensor: int, num_real: int
) -> OutputProof:
    """Compare one output, `tensor` of the file."""
    found, function = tapped[tensor], 0.0
    due, runs = trained.values, {times: run.values for times, run in nudged.items()}
    if end is not None:
        assert trained.logits is not None  # `_forward` records them for an ending
        due, runs = trained.logits, {times: run.logits for times, run in nudged.items() if run.logits is not None}
        given = tapped[end.before].reshape(due.shape)
        function, found = difference(end.ending.apply(given), found, num_real), given
    with np.errstate(invalid="ignore"):  # infinity that stays infinity gives NaN, which is no slack
        slack = np.max([times * np.abs(moved - due) for times, moved in runs.items()], axis=0)
    return OutputProof(difference(due, found, num_real), difference(due, found, num_real, slack), function)


def _tapped(file: Model, tensors: list[int], images: np.ndarray, device: str | None) -> dict[int, np.ndarray]:
    """Return the values (N, ...) of the given tensors of the file, signs bit-packed, and of its own output."""
    tensors = list(dict.fromkeys(tensors))
    # With one thread TensorFlow Lite writes out all windows of a map before it multiplies: nine times the map for 3x3.
    threads = 1 if has_larq_ops(file) else 2
    outputs = Interpreter(tap(file.content, tensors), threads, device).predict(images)
    own = file.subgraphs[0].outputs
    return dict(zip([*tensors, *own], outputs if isinstance(outputs, list) else [outputs], strict=True))


def _compare_signs(
    pre_sign: np.ndarray, nudged: np.ndarray, signs: np.ndarray, made_of: np.ndarray | float, num_real: int
) -> tuple[int, int, int, float]:
    """Compare sign(pre_sign) with the file's signs, both (N, H, W, C) or (N, C); the first `num_real` are real samples.

    `nudged`: the pre-sign values for nudged inputs.

    Returns how many there are, and of those that differ the near ones, the wrong ones and the worst distance, as in
    LayerProof.
    """
    signs = signs.reshape(pre_sign.shape)
    differ = (pre_sign >= 0) != (signs > 0)
    positions = tuple(range(1, pre_sign.ndim - 1))
    largest = np.abs(pre_sign).max(axis=positions, keepdims=True)  # per sample and channel
    usual = largest[:num_real].max(axis=0, keepdims=True)
    magnitude = np.maximum(largest, usual) + made_of + np.finfo(np.float32).tiny
    slack = SLACK * np.abs(nudged - pre_sign).max(axis=positions, keepdims=True)
    distance = np.where(differ, np.maximum(np.abs(pre_sign) - slack, 0) / magnitude, 0)
    wrong = int(np.sum(distance > EPS))
    return differ.size, int(differ.sum()) - wrong, wrong, float(distance.max())
