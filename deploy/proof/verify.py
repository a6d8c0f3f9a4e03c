"""Is the file equal to what was trained? Measured layer by layer with the same input, and end to end on real samples.

End to end, two correct programs differ: one float ulp at a sign's threshold turns a bit, and everything behind it moves.
So the layers are compared one by one (part a). The file's own binary inputs of every layer are read from a copy with
more outputs, and the trained Keras model is run with those very bits in place of its signs. Then every pre-sign value
that Keras computes has seen the same bits as the file, and its sign must be the bit that the file computed, unless it
lies within `EPS` of the threshold. The real-valued work between the layers and the logits are covered the same way.
Part (b) runs both end to end on real samples, without forcing anything: how far the outputs are apart, how far they mean
the same, and the scores. How outputs are compared is said in `deploy.proof.outputs`.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from deploy.export.edit import tap
from deploy.export.links import is_norm
from deploy.export.model import BinaryLayer, describe_binary_layers
from deploy.export.precision import in_float32
from deploy.proof.contents import match_layers
from deploy.proof.outputs import Ending, difference, ending_of, last_function
from deploy.proof.scoring import as_list, end_to_end
from deploy.run.interpreter import Interpreter
from larqnets.errors import LarqnetsError
from larqnets.layers.channel_match import ChannelMatch
from larqnets.layers.hard_tanh import HardTanh
from larqnets.layers.link_scale import LinkScale
from larqnets.layers.rprelu import RPReLU
from larqnets.layers.rsign import RSign
from larqnets.tasks import Info, Task, Tree, get_task
from larqnets.tflite.model import Model, read_model, unpack_bits

# Relative to the numbers that a pre-sign value is made of (`_made_of`), not to the value itself: those may cancel to
# nearly nothing. float32 keeps 6e-8 of each, and a value passes a few dozen operations between two signs.
EPS = 1e-5
# Of a binary convolution that counts: TensorFlow adds K values of +-a in floats, each partial sum rounded to 6e-8 of
# itself, where the file counts bits. EPS * 0.02 a K is three such roundings, and far from a whole step of 2 a.
SUMMATION = 0.02
LOGITS_EPS = 1e-4
# Far from real inputs a network may turn a rounding into much more, e.g. by a sigmoid of values in the thousands of which
# some cancel. So the trained network is also run on the same inputs moved by NUDGE of themselves, four roundings up or
# down, and SLACK times what that changes is no difference: the file rounds in every one of a few dozen operations.
NUDGE = 2.0**-22
SLACK = 16
MAX_ACCURACY_DIFFERENCE = 0.005
MIN_AGREEMENT = 0.95
LAYERWISE_SAMPLES = 32


@dataclass(frozen=True)
class LayerResult:
    """Part (a) for one binary layer: the signs of its input in all of its places, file against Keras."""

    layer: str
    signs: int  # compared
    near_threshold: int  # differ, but within EPS of the threshold: rounding
    wrong: int  # differ farther away: a failure
    worst: float  # largest relative distance from the threshold of a sign that differs; 0 if none


@dataclass(frozen=True)
class Verification:
    """The measured equality of a file and its trained model; `equal` is the verdict, `reasons` say why it is not."""

    equal: bool
    reasons: list[str]
    layers: list[LayerResult]
    unchecked_layers: list[str]  # without a 1-bit op (allowed float): only part (b) covers them
    logits_difference: float  # largest of all outputs, of its size, with the signs forced; in front of a last softmax
    samples: int  # part (b); 0 when there was no data
    real_samples: bool
    output_difference: float | None  # part (b): mean, relative to the largest output; None where one is not finite
    argmax_agreement: (
        float | None
    )  # part (b): share of samples, or pixels, that mean the same; None where none means any
    accuracy_trained: float | None  # the score of that name, where the task has it
    accuracy_converted: float | None
    engine: str
    warnings: list[str] = field(default_factory=list)
    scores_trained: dict[str, float] | None = None
    scores_converted: dict[str, float] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def verify(
    content: bytes,
    model: tf.keras.Model,
    images: np.ndarray,
    labels: np.ndarray | Tree | None = None,
    *,
    task: Task | None = None,
    info: Info | None = None,
    real_samples: bool = True,
    allowed_float: Collection[str] = (),
    seed: int = 0,
    device: str | None = None,
    on_sample: Callable[[int], Any] | None = None,
) -> Verification:
    """Compare a converted file with the trained Keras model that it came from.

    `images`: float32 (N, H, W, C), preprocessed as for training, at least 1,000 for a verdict worth having; `labels`
    (N,) integers, for another `task` than classification a tree of what is known about the images, None when unknown;
    `info` of the data set that they are from; `allowed_float`: binary layers that may be without a 1-bit op;
    `device`: where the file runs, see Interpreter. Raises LarqnetsError when the file does not fit the model at all.
    """
    model = in_float32(model)
    interpreter = Interpreter(content, device=device)
    if interpreter.input_shapes[0][1:] != tuple(model.input_shape[1:]):
        raise LarqnetsError(
            f"The file takes {interpreter.input_shapes[0]} and the model {model.input_shape}: they do not belong together."
        )
    layers, unchecked, outputs = _compare_layers(
        content, model, _probe_inputs(images, seed), min(len(images), LAYERWISE_SAMPLES), device
    )
    ends = end_to_end(model, interpreter, images, labels, task or get_task(), info, on_sample)
    agreement = ends.agreement

    reasons = [
        f"layer '{r.layer}': {r.wrong} of {r.signs} signs differ, up to {r.worst:.1e} from the threshold"
        for r in layers
        if r.wrong
    ]
    missing = [name for name in unchecked if name not in allowed_float]
    reasons += [f"no 1-bit op of the file has the kernel of layer '{name}'" for name in missing]
    if not outputs.beyond_rounding <= LOGITS_EPS:
        reasons.append(f"the logits differ by {outputs.logits:.1e} of their size with equal signs before them")
    if not outputs.function <= LOGITS_EPS:
        reasons.append(f"what the file makes of its logits at the end differs by {outputs.function:.1e} of its size")
    trained, converted = ((scores or {}).get(ends.headline) for scores in (ends.trained, ends.converted))
    if trained is not None and converted is not None and abs(trained - converted) > MAX_ACCURACY_DIFFERENCE:
        reasons.append(f"the {ends.headline} is {trained:.4f} trained and {converted:.4f} converted")
    if not ends.finite:
        reasons.append("the file computes values that are not finite")
    warnings = []
    near, compared = sum(r.near_threshold for r in layers), sum(r.signs for r in layers)
    if near > 1e-3 * compared:
        warnings.append(
            f"{near:,} of {compared:,} signs lie within rounding of their threshold: such a network, often an untrained "
            "one, computes by chance, here and on a device."
        )
    if agreement is not None and agreement < MIN_AGREEMENT:
        warnings.append(f"Only {agreement:.1%} {ends.counted}, though every layer is equal by itself.")
    return Verification(
        not reasons,
        reasons,
        layers,
        unchecked,
        outputs.logits,
        len(images),
        real_samples,
        ends.difference,
        agreement,
        (ends.trained or {}).get("accuracy"),
        (ends.converted or {}).get("accuracy"),
        interpreter.engine,
        warnings,
        ends.trained,
        ends.converted,
    )


def _probe_inputs(images: np.ndarray, seed: int) -> np.ndarray:
    """Real samples and hostile ones: zeros, constants of both signs, tiny and huge values, noise, a checkerboard."""
    rng = np.random.default_rng(seed)
    real = images[rng.permutation(len(images))[:LAYERWISE_SAMPLES]]
    shape = images.shape[1:]
    board = np.indices(shape).sum(axis=0) % 2 * 2.0 - 1
    hostile = [np.full(shape, v) for v in (0, 1, -1, 1e-6, 1e3, -1e3)]
    hostile += [board, rng.normal(size=shape), 1e3 * rng.normal(size=shape), 1e-3 * rng.normal(size=shape)]
    return np.concatenate([real, np.stack(hostile)]).astype(np.float32)


@dataclass(frozen=True)
class _Outputs:
    """With the signs forced: the largest difference of the logits, without what is rounding of their inputs, and of what
    the last function makes of the file's.
    """

    logits: float
    beyond_rounding: float
    function: float


def _compare_layers(
    content: bytes, model: tf.keras.Model, images: np.ndarray, num_real: int, device: str | None
) -> tuple[list[LayerResult], list[str], _Outputs]:
    file = read_model(content)
    described = describe_binary_layers(model)
    binary = [layer for layer in described if layer.signs is not None]
    channels = {layer.name: layer.signs.shape[2] for layer in described if layer.signs is not None}
    matched = match_layers(file, binary)
    if len(file.subgraphs[0].outputs) != len(model.outputs):
        raise LarqnetsError(
            f"The file has {len(file.subgraphs[0].outputs)} outputs and the model {len(model.outputs)}: they do not belong "
            "together."
        )
    unchecked = [layer.name for layer in described if layer.name not in matched]
    order = [(layer, op) for layer in binary for op in matched.get(layer.name, ())]
    ends = [_common_end(model, file, output) for output in range(len(model.outputs))]
    tensors = [op.inputs[0] for _, op in order] + [end.before for end in ends if end]
    tapped = _tapped(content, tensors, images, device)
    forced: dict[str, list[np.ndarray]] = {}  # layer -> signs in each of its places
    for layer, op in order:
        signs = unpack_bits(tapped[op.inputs[0]], channels[layer.name]).astype(np.float32)
        forced.setdefault(layer.name, []).append(signs)
    outputs, seen = _forward(model, images, forced, ends)
    nudges = np.random.default_rng(0).choice([-NUDGE, NUDGE], images.shape).astype(np.float32)
    moved, seen_nudged = _forward(model, images * (1 + nudges), forced, ends)
    parts = _made_of(model, {layer.name: layer for layer in binary})
    results = []
    for name, places in forced.items():
        compared = [
            _compare_signs(seen[name, i], seen_nudged[name, i], signs, made_of, num_real)
            for i, (signs, made_of) in enumerate(zip(places, parts[name], strict=True))
        ]
        signs, near, wrong, worst = zip(*compared, strict=True)
        results.append(LayerResult(name, sum(signs), sum(near), sum(wrong), max(worst)))
    compared = [
        _compare_output(end, values, nudged, tapped, tensor, num_real)
        for end, values, nudged, tensor in zip(ends, outputs, moved, file.subgraphs[0].outputs, strict=True)
    ]
    return results, unchecked, _Outputs(*(max(figures) for figures in zip(*compared, strict=True)))


class _End(NamedTuple):
    """The bounded function that an output of model and file ends with, and the file's tensor in front of it."""

    ending: Ending
    before: int


def _common_end(model: tf.keras.Model, file: Model, output: int) -> _End | None:
    ending, last = ending_of(model, output), last_function(file, output)
    return None if ending is None or last is None or ending.op != last.name else _End(ending, last.inputs[0])


class _Run(NamedTuple):
    """An output of the model, and what its bounded function was given."""

    values: np.ndarray
    logits: np.ndarray | None


def _compare_output(
    end: _End | None, trained: _Run, nudged: _Run, tapped: dict[int, np.ndarray], tensor: int, num_real: int
) -> tuple[float, float, float]:
    """Return the figures of `_Outputs` for one output, `tensor` of the file."""
    found, function = tapped[tensor], 0.0
    due, moved = trained.values, nudged.values
    if end is not None:
        due, moved = trained.logits, nudged.logits
        assert due is not None  # `_forward` records them for an ending
        assert moved is not None
        given = tapped[end.before].reshape(due.shape)
        function, found = difference(end.ending.apply(given), found, num_real), given
    with np.errstate(invalid="ignore"):  # infinity that stays infinity gives NaN, which is no slack
        slack = SLACK * np.abs(moved - due)
    return difference(due, found, num_real), difference(due, found, num_real, slack), function


Seen = dict[tuple[str, int], np.ndarray]  # (layer, place) -> what it was given to binarise


def _forward(
    model: tf.keras.Model, images: np.ndarray, forced: dict[str, list[np.ndarray]], ends: Sequence[_End | None]
) -> tuple[list[_Run], Seen]:
    """Run the model with its signs forced; returns its outputs and what was binarised."""
    with _forced_signs(model, forced) as seen, ExitStack() as recorded:
        for end in filter(None, ends):
            recorded.enter_context(end.ending.recorded())
        answers = model(images, training=False)
    outputs = [np.asarray(values) for values in as_list(answers)]
    return [_Run(v, end.ending.logits if end else None) for v, end in zip(outputs, ends, strict=True)], seen


def _tapped(content: bytes, tensors: list[int], images: np.ndarray, device: str | None) -> dict[int, np.ndarray]:
    """Return the values (N, ...) of the given tensors of the file, signs bit-packed, and of its own output."""
    tensors = list(dict.fromkeys(tensors))
    outputs = Interpreter(tap(content, tensors), device=device).predict(images)
    own = read_model(content).subgraphs[0].outputs
    return dict(zip([*tensors, *own], outputs if isinstance(outputs, list) else [outputs], strict=True))


@contextmanager
def _forced_signs(model: tf.keras.Model, forced: dict[str, list[np.ndarray]]) -> Iterator[Seen]:
    """While the block runs the model once, each named layer binarises to the given signs, place by place.

    Yields what it was given to binarise.
    """
    seen: Seen = {}
    originals = {name: model.get_layer(name).input_quantizer for name in forced}

    def force(name: str) -> Callable[[tf.Tensor], tf.Tensor]:
        places = iter(_order_of_places(model, name))

        def quantizer(x: tf.Tensor) -> tf.Tensor:
            place = next(places)
            seen[name, place] = values = x.numpy()
            return tf.constant(forced[name][place].reshape(values.shape))

        return quantizer

    try:
        for name in forced:
            model.get_layer(name).input_quantizer = force(name)  # pyright: ignore[reportAttributeAccessIssue]  # Larq's
        yield seen
    finally:
        for name, quantizer in originals.items():
            model.get_layer(name).input_quantizer = quantizer  # pyright: ignore[reportAttributeAccessIssue]  # Larq's


def _order_of_places(model: tf.keras.Model, name: str) -> list[int]:
    """Return the numbers of the layer's places in the order in which Keras runs them: deep ones first, then as listed."""
    places = {id(node): i for i, node in enumerate(model.get_layer(name).inbound_nodes)}
    by_depth = model._nodes_by_depth
    nodes = [id(node) for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]
    return [places[node] for node in nodes if node in places]


def _made_of(model: tf.keras.Model, binary: dict[str, BinaryLayer]) -> dict[str, list[Any]]:
    """Return per binary layer and place, per channel of its input, how large the numbers are that it is a sum of.

    Walks the graph: a binary convolution gives SUMMATION a K, BatchNorm multiplies and adds |multiplier mean| + |bias|,
    an addition adds, shifts add their size. Other layers are left out (0): the observed values stand for them.
    """
    outputs: dict[str, Any] = {}
    inputs: dict[str, list[Any]] = {}
    for layer in model.layers:
        if not layer.inbound_nodes:
            continue
        places = []
        for node in layer.inbound_nodes:
            before = node.inbound_layers if isinstance(node.inbound_layers, list) else [node.inbound_layers]
            places.append([outputs.get(b.name, 0.0) for b in before])
        inputs[layer.name] = [given[0] if given else 0.0 for given in places]
        outputs[layer.name] = _output_made_of(layer, binary.get(layer.name), places[0])
    return {name: inputs[name] for name in binary}


def _output_made_of(layer: tf.keras.layers.Layer, binary: BinaryLayer | None, given: list[Any]) -> Any:
    kinds = tf.keras.layers
    if binary is not None and binary.signs is not None and binary.scale is not None:
        return SUMMATION * binary.scale * np.prod(binary.signs.shape[:3])
    if is_norm(layer):
        multiplier = 1 / np.sqrt(layer.moving_variance.numpy() + layer.epsilon)
        multiplier = np.abs(multiplier * layer.gamma.numpy()) if layer.scale else multiplier
        beta = np.abs(layer.beta.numpy()) if layer.center else 0.0
        return multiplier * (given[0] + np.abs(layer.moving_mean.numpy())) + beta
    if isinstance(layer, LinkScale):
        return np.abs(layer.gamma.numpy()) * given[0]
    if isinstance(layer, ChannelMatch):
        channels = np.broadcast_to(given[0], layer.input_shape[-1:]).astype(np.float32)
        return layer(channels.reshape(1, 1, 1, -1)).numpy()[0, 0, 0]
    if isinstance(layer, RSign):
        return given[0] + np.abs(layer.threshold.numpy())
    if isinstance(layer, RPReLU):
        steepest = np.maximum(np.abs(layer.slope.numpy()), 1)
        return steepest * (given[0] + np.abs(layer.shift_in.numpy())) + np.abs(layer.shift_out.numpy())
    if isinstance(layer, kinds.Add):
        return sum(given)
    if isinstance(layer, kinds.Concatenate) and layer.axis == -1:
        parts = zip(given, layer.input_shape, strict=True)
        return np.concatenate([np.broadcast_to(part, shape[-1:]) for part, shape in parts])
    if isinstance(layer, kinds.Rescaling):
        return np.abs(layer.scale) * given[0] + np.abs(layer.offset)
    if getattr(layer, "activation", None) is tf.keras.activations.sigmoid:
        return 1.0  # SD-BNN's offset, which is added to the value before a sign
    if isinstance(layer, kinds.Flatten):
        return np.tile(given[0], layer.output_shape[-1] // np.size(given[0])) if np.size(given[0]) > 1 else given[0]
    keeps = (kinds.ReLU, kinds.PReLU, HardTanh, kinds.Dropout, kinds.MaxPooling2D, kinds.AveragePooling2D)
    return given[0] if isinstance(layer, (*keeps, kinds.GlobalAveragePooling2D, kinds.GlobalMaxPooling2D)) else 0.0


def _compare_signs(
    pre_sign: np.ndarray, nudged: np.ndarray, signs: np.ndarray, made_of: np.ndarray | float, num_real: int
) -> tuple[int, int, int, float]:
    """Compare sign(pre_sign) with the file's signs, both (N, H, W, C) or (N, C); the first `num_real` are real samples.

    `nudged`: the pre-sign values for nudged inputs.

    Returns how many there are, and of those that differ the near ones, the wrong ones and the worst distance, as in
    LayerResult.
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
