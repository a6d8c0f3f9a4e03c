"""Is the file equal to what was trained? Measured layer by layer with the same input, and end to end on real samples.

End to end, two correct programs differ: one float ulp at a sign's threshold turns a bit, and everything behind it moves.
So the layers are compared one by one (part a). The file's own binary inputs of every layer are read from a copy with
more outputs, and the trained Keras model is run with those very bits in place of its signs. Then every pre-sign value
that Keras computes has seen the same bits as the file, and its sign must be the bit that the file computed, unless it
lies within `EPS` of the threshold. The real-valued work between the layers and the logits are covered the same way.
Part (b) counts argmax agreement and accuracy end to end on real samples, without forcing anything.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from deploy.contents import match_layers
from deploy.edit import tap
from deploy.export import describe_binary_layers
from deploy.interpreter import Interpreter
from deploy.tflite import Operator, read_model, unpack_bits
from larqnets.errors import LarqnetsError

# Relative to the magnitudes that a pre-sign value is made of (multiplier, bias, the map's largest value): float32 keeps
# 6e-8 of each, and a value passes a few dozen additions between two signs.
EPS = 1e-5
LOGITS_EPS = 1e-4
MAX_ACCURACY_DIFFERENCE = 0.005
LAYERWISE_SAMPLES = 32


@dataclass(frozen=True)
class LayerResult:
    """Part (a) for one binary layer: the signs of its input, file against Keras."""

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
    logits_difference: float  # largest, relative to the largest logit, with the signs forced
    samples: int  # part (b); 0 when there was no data
    real_samples: bool
    argmax_agreement: float | None
    accuracy_trained: float | None
    accuracy_converted: float | None
    engine: str
    warnings: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def verify(
    content: bytes,
    model: tf.keras.Model,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    real_samples: bool = True,
    allowed_float: Collection[str] = (),
    seed: int = 0,
    on_sample: Callable[[int], Any] | None = None,
) -> Verification:
    """Compare a converted file with the trained Keras model that it came from.

    `images`: float32 (N, H, W, C), preprocessed as for training, at least 1,000 for a verdict worth having; `labels`
    (N,) integers, None when unknown; `allowed_float`: binary layers that may be without a 1-bit op. Raises LarqnetsError when the file does not fit the model at all.
    """
    interpreter = Interpreter(content)
    if interpreter.input_shapes[0][1:] != tuple(model.input_shape[1:]):
        raise LarqnetsError(
            f"The file takes {interpreter.input_shapes[0]} and the model {model.input_shape}: they do not belong together."
        )
    layers, unchecked, logits_difference = _compare_layers(content, model, _probe_inputs(images, seed))
    trained = model.predict(images, batch_size=128, verbose=0)
    converted = interpreter.predict(images, on_sample)
    agreement = float(np.mean(trained.argmax(-1) == converted.argmax(-1)))
    accuracy = (
        [None, None] if labels is None else [float(np.mean(y.argmax(-1) == labels)) for y in (trained, converted)]
    )

    reasons = [
        f"layer '{r.layer}': {r.wrong} of {r.signs} signs differ, up to {r.worst:.1e} from the threshold"
        for r in layers
        if r.wrong
    ]
    missing = [name for name in unchecked if name not in allowed_float]
    reasons += [f"no 1-bit op of the file has the kernel of layer '{name}'" for name in missing]
    if not logits_difference <= LOGITS_EPS:
        reasons.append(f"the logits differ by {logits_difference:.1e} of their size with equal signs before them")
    if labels is not None and abs(accuracy[0] - accuracy[1]) > MAX_ACCURACY_DIFFERENCE:
        reasons.append(f"the accuracy is {accuracy[0]:.4f} trained and {accuracy[1]:.4f} converted")
    if not np.isfinite(converted).all():
        reasons.append("the file computes values that are not finite")
    return Verification(
        not reasons,
        reasons,
        layers,
        unchecked,
        logits_difference,
        len(images),
        real_samples,
        agreement,
        *accuracy,
        interpreter.engine,
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


def _compare_layers(
    content: bytes, model: tf.keras.Model, images: np.ndarray
) -> tuple[list[LayerResult], list[str], float]:
    file = read_model(content)
    binary = [layer for layer in describe_binary_layers(model) if layer.signs is not None]
    matched = match_layers(file, binary)
    unchecked = [layer.name for layer in describe_binary_layers(model) if layer.name not in matched]
    order = [layer for layer in binary if layer.name in matched]
    bits, logits = _file_signs(content, [matched[layer.name] for layer in order], images)
    channels = [layer.signs.shape[2] for layer in order]
    forced = {
        layer.name: unpack_bits(words, c).astype(np.float32)
        for layer, words, c in zip(order, bits, channels, strict=True)
    }
    with _forced_signs(model, forced) as seen:
        keras_logits = np.asarray(model(images, training=False))
    results = [_compare_signs(name, seen[name], forced[name], _affine(model, name)) for name in forced]
    scale = np.abs(keras_logits).max(axis=-1, keepdims=True) + np.finfo(np.float32).tiny
    return results, unchecked, float(np.max(np.abs(keras_logits - logits) / scale))


def _file_signs(content: bytes, ops: list[Operator], images: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the bit-packed input of every op, (N, H, W, words), and the file's logits."""
    tensors = list(dict.fromkeys(op.inputs[0] for op in ops))
    outputs = Interpreter(tap(content, tensors)).predict(images)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    by_tensor = dict(zip(tensors, outputs, strict=False))
    return [by_tensor[op.inputs[0]] for op in ops], outputs[-1]


@contextmanager
def _forced_signs(model: tf.keras.Model, forced: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """While the block runs, each named layer binarises to the given signs; yields what it was given to binarise."""
    seen: dict[str, np.ndarray] = {}
    originals = {name: model.get_layer(name).input_quantizer for name in forced}

    def force(name: str) -> Callable[[tf.Tensor], tf.Tensor]:
        def quantizer(x: tf.Tensor) -> tf.Tensor:
            seen[name] = x.numpy()
            return tf.constant(forced[name].reshape(x.shape))

        return quantizer

    try:
        for name in forced:
            model.get_layer(name).input_quantizer = force(name)
        yield seen
    finally:
        for name, quantizer in originals.items():
            model.get_layer(name).input_quantizer = quantizer


def _affine(model: tf.keras.Model, name: str) -> np.ndarray | float:
    """Return |multiplier mean| + |bias| per channel of a BatchNorm right before the sign of this layer, else 0.

    Where a BatchNorm subtracts two large numbers, the rounding of each counts, not only that of their difference.
    """
    node = model.get_layer(name).inbound_nodes[0]
    while not isinstance(node.inbound_layers, list):
        before = node.inbound_layers
        if isinstance(before, tf.keras.layers.BatchNormalization):
            multiplier = 1 / np.sqrt(before.moving_variance.numpy() + before.epsilon)
            multiplier = multiplier * before.gamma.numpy() if before.scale else multiplier
            beta = before.beta.numpy() if before.center else 0.0
            return np.abs(multiplier * before.moving_mean.numpy()) + np.abs(beta)
        if not isinstance(before, tf.keras.layers.MaxPooling2D | tf.keras.layers.ReLU):
            return 0.0
        node = before.inbound_nodes[0]
    return 0.0


def _compare_signs(name: str, pre_sign: np.ndarray, signs: np.ndarray, affine: np.ndarray | float) -> LayerResult:
    """Compare sign(pre_sign) with the file's signs, both (N, H, W, C) or (N, C)."""
    signs = signs.reshape(pre_sign.shape)
    differ = (pre_sign >= 0) != (signs > 0)
    positions = tuple(range(1, pre_sign.ndim - 1))
    magnitude = np.abs(pre_sign).max(axis=positions, keepdims=True) + affine + np.finfo(np.float32).tiny
    distance = np.where(differ, np.abs(pre_sign) / magnitude, 0)
    wrong = int(np.sum(distance > EPS))
    return LayerResult(name, differ.size, int(differ.sum()) - wrong, wrong, float(distance.max()))
