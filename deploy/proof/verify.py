"""Is the file equal to what was trained? Measured layer by layer with the same input, and end to end on real samples.

End to end, two correct programs differ: one float ulp at a sign's threshold turns a bit, and everything behind it moves.
So the layers are compared one by one (part a). The file's own binary inputs of every layer are read from a copy with
more outputs, and the trained Keras model is run with those very bits in place of its signs. Then every pre-sign value
that Keras computes has seen the same bits as the file, and its sign must be the bit that the file computed, unless it
lies within `EPS` of the threshold. The real-valued work between the layers and the logits are covered the same way.
Part (b) runs both end to end on real samples, without forcing anything: how far the outputs are apart, how often they
name the same class, and the accuracy. How outputs are compared is said in `deploy.proof.outputs`.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from deploy.export.edit import tap
from deploy.export.trained import Trained
from deploy.proof.contents import match_layers
from deploy.proof.outputs import Ending, accuracy, difference, ending_of, last_function, mean_difference
from deploy.proof.sizes import made_of
from deploy.run.interpreter import Interpreter
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter
from larqnets.scores import class_agreement
from larqnets.tflite.model import Model, unpack_bits
from larqnets.tflite.reading import read_model
from larqnets.training.evaluation import without_remapping

# Relative to the numbers that a pre-sign value is made of (`deploy.proof.sizes`), not to the value itself: those may cancel to
# nearly nothing. float32 keeps 6e-8 of each, and a value passes a few dozen operations between two signs.
EPS = 1e-5
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
class LayerProof:
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
    layers: list[LayerProof]
    unchecked_layers: list[str]  # without a 1-bit op (allowed float): only part (b) covers them
    logits_difference: float  # largest, relative to their size, with the signs forced; in front of a last softmax
    samples: int  # part (b); 0 when there was no data
    real_samples: bool
    output_difference: float | None  # part (b): mean, relative to the largest output; None where one is not finite
    argmax_agreement: float | None  # part (b): of the samples, or of their pixels; None where there are no classes
    accuracy_trained: float | None
    accuracy_converted: float | None
    engine: str
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def verify(
    file: bytes | Model,
    model: tf.keras.Model | Trained,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    real_samples: bool = True,
    allowed_float: Collection[str] = (),
    seed: int = 0,
    device: str | None = None,
    reporter: Reporter = SILENT,
) -> Verification:
    """Compare a converted file with the trained Keras model that it came from.

    `images`: float32 (N, H, W, C), preprocessed as for training, at least 1,000 for a verdict worth having; `labels`
    (N,) integers, None when unknown; `allowed_float`: binary layers that may be without a 1-bit op;
    `device`: where the file runs, see Interpreter. Raises LarqnetsError when the file does not fit the model at all.
    """
    trained = Trained.of(model)
    file, model = read_model(file), trained.model
    interpreter = Interpreter(file, device=device)
    if interpreter.input_shapes[0][1:] != tuple(model.input_shape[1:]):
        raise LarqnetsError(
            f"The file takes {interpreter.input_shapes[0]} and the model {model.input_shape}: they do not belong together."
        )
    layers, unchecked, outputs, warnings = _compare_layers(
        file, trained, _probe_inputs(images, seed), min(len(images), LAYERWISE_SAMPLES), device
    )
    with without_remapping():
        due = model.predict(images, batch_size=128, verbose=0)
    converted = interpreter.predict(images, reporter)
    agreement = class_agreement(due, converted)
    before, after = (accuracy(values, labels) for values in (due, converted))

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
    if before is not None and after is not None and abs(before - after) > MAX_ACCURACY_DIFFERENCE:
        reasons.append(f"the accuracy is {before:.4f} trained and {after:.4f} converted")
    if not np.isfinite(converted).all():
        reasons.append("the file computes values that are not finite")
    near, compared = sum(r.near_threshold for r in layers), sum(r.signs for r in layers)
    if near > 1e-3 * compared:
        warnings.append(
            f"{near:,} of {compared:,} signs lie within rounding of their threshold: such a network, often an untrained "
            "one, computes by chance, here and on a device."
        )
    if agreement is not None and agreement < MIN_AGREEMENT:
        counted = "samples" if due.ndim == 2 else "pixels"
        warnings.append(
            f"Only {agreement:.1%} of the {counted} get the same class, though every layer is equal by itself."
        )
    return Verification(
        not reasons,
        reasons,
        layers,
        unchecked,
        outputs.logits,
        len(images),
        real_samples,
        mean_difference(due, converted),
        agreement,
        before,
        after,
        interpreter.engine,
        warnings,
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
    file: Model, trained: Trained, images: np.ndarray, num_real: int, device: str | None
) -> tuple[list[LayerProof], list[str], _Outputs, list[str]]:
    """Return the binary layers, the names of those without a 1-bit op, the outputs, and remarks."""
    model, described = trained.model, trained.binary_layers
    binary = [layer for layer in described if layer.signs is not None]
    channels = {layer.name: layer.signs.shape[2] for layer in described if layer.signs is not None}
    matched = match_layers(file, binary)
    unchecked = [layer.name for layer in described if layer.name not in matched]
    order = [(layer, op) for layer in binary for op in matched.get(layer.name, ())]
    ending, last = ending_of(model), last_function(file)
    if ending is None or last is None or ending.op != last.name:
        ending = last = None
    tensors = [op.inputs[0] for _, op in order] + ([last.inputs[0]] if last else [])
    tapped = _tapped(file, tensors, images, device)
    forced: dict[str, list[np.ndarray]] = {}  # layer -> signs in each of its places
    for layer, op in order:
        signs = unpack_bits(tapped[op.inputs[0]], channels[layer.name]).astype(np.float32)
        forced.setdefault(layer.name, []).append(signs)
    outputs, seen, logits = _forward(model, images, forced, ending)
    nudges = np.random.default_rng(0).choice([-NUDGE, NUDGE], images.shape).astype(np.float32)
    nudged = _forward(model, images * (1 + nudges), forced, ending)
    parts = made_of(model, {layer.name: layer for layer in binary})
    results = []
    for name, places in forced.items():
        compared = [
            _compare_signs(seen[name, i], nudged[1][name, i], signs, made_of, num_real)
            for i, (signs, made_of) in enumerate(zip(places, parts.sizes[name], strict=True))
        ]
        signs, near, wrong, worst = zip(*compared, strict=True)
        results.append(LayerProof(name, sum(signs), sum(near), sum(wrong), max(worst)))
    found = tapped[file.subgraphs[0].outputs[0]]
    function = 0.0
    moved = nudged[0]
    if ending is not None and last is not None:
        outputs, moved = logits, nudged[2]
        assert outputs is not None  # `_forward` records them for an ending
        assert moved is not None
        given = tapped[last.inputs[0]].reshape(outputs.shape)
        function, found = difference(ending.apply(given), found, num_real), given
    with np.errstate(invalid="ignore"):  # infinity that stays infinity gives NaN, which is no slack
        slack = SLACK * np.abs(moved - outputs)
    return (
        results,
        unchecked,
        _Outputs(difference(outputs, found, num_real), difference(outputs, found, num_real, slack), function),
        parts.remarks,
    )


Seen = dict[tuple[str, int], np.ndarray]  # (layer, place) -> what it was given to binarise


def _forward(
    model: tf.keras.Model, images: np.ndarray, forced: dict[str, list[np.ndarray]], ending: Ending | None
) -> tuple[np.ndarray, Seen, np.ndarray | None]:
    """Run the model with its signs forced; returns its outputs, what was binarised, and what `ending` was given."""
    with _forced_signs(model, forced) as seen, ending.recorded() if ending else nullcontext():
        outputs = np.asarray(model(images, training=False))
    return outputs, seen, ending.logits if ending else None


def _tapped(file: Model, tensors: list[int], images: np.ndarray, device: str | None) -> dict[int, np.ndarray]:
    """Return the values (N, ...) of the given tensors of the file, signs bit-packed, and of its own output."""
    tensors = list(dict.fromkeys(tensors))
    outputs = Interpreter(tap(file.content, tensors), device=device).predict(images)
    own = file.subgraphs[0].outputs
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
