"""The same input bytes on the device and on the host: the inputs, the host's outputs, and how far the device's are away."""

import hashlib
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from android_bench.record import Equality
from larqnets.errors import LarqnetsError, excerpt
from larqnets.scores import class_agreement
from larqnets.tflite import detection_op
from larqnets.tflite.answers import kind_of_file
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.indices import index_limits
from larqnets.tflite.interface import batch_of, interface_of, numpy_type
from larqnets.tflite.model import Model
from larqnets.tflite.unpooling import maps_before_pooling

SAMPLES = 8
# Relative to the largest output. LCE's own tests allow 1e-3 for float; int8 kernels may round a step elsewhere in every
# layer, which a network of many layers carries on.
FLOAT_TOLERANCE, INT8_TOLERANCE = 1e-3, 0.1
# A value within rounding of a sign's threshold, one of some ten million, may turn it, and everything behind it moves. That
# strikes single samples; a kernel that is wrong strikes most.
TURNED_SIGN_TOLERANCE = 0.25
# With integers around them a step that is rounded otherwise turns some signs in every sample. Each op by itself is held to a
# step by the proof of the conversion; what a whole network answers can only be told from that of a wrong kernel, which is as
# far away as that of another network.
TURNED_SIGNS_TOLERANCE = 0.4
# So may the largest of a window, and what is unpooled there goes to another place: in integers, where many are equal but for
# a step, in every sample. A kernel that is wrong strikes most values of it.
TURNED_PLACE_TOLERANCE = 2.0


class Engine(Protocol):
    """What computes on the host: deploy.run.interpreter.Interpreter."""

    engine: str

    def predict(self, x: list[np.ndarray]) -> Any: ...


@dataclass(frozen=True)
class Expected:
    """Inputs of one model, also as .npy files, and the host's outputs for them; without outputs `why` says why not."""

    values: list[np.ndarray]
    inputs: list[bytes]
    outputs: list[np.ndarray]
    engine: str
    why: str | None


def judge(model: Model, due: Sequence[np.ndarray], found: Sequence[np.ndarray]) -> tuple[float, float]:
    """Hold the outputs of another engine (`found`) against the host's (`due`), samples along the first axis.

    Returns the largest difference and what is allowed, of the output that is worst; the first is the largest float64 where
    a value is not finite. Of numbers of classes, two of which are as far apart as any, it is the share that differs. Of what
    TFLite_Detection_PostProcess leaves, the scores: which of two boxes is left, and in what order, may turn on a rounding.
    """
    graph, masks = model.subgraphs[0], kind_of_file(model) == "mask"
    is_int8 = any(t.dtype in ("int8", "uint8") for t in graph.tensors if not (masks and t.index in graph.outputs))
    has_signs = any(op.name == "LceQuantize" for op in graph.operators)
    unpools = bool(maps_before_pooling(model))
    # What an int8 detector is sure of may be next to nothing everywhere: then a step of its logits is a large part of that,
    # and little of a probability.
    least = 1.0 if is_int8 and (own_metadata(model) or {}).get("task") == "detection" else 0.0
    judged = [
        _judge_classes(a, b, is_int8, has_signs, unpools)
        if masks
        else _judge(_precise(a), _precise(b), is_int8, has_signs, unpools, least if name == "scores" else 0.0)
        for (name, a), (_, b) in zip(_told(model, due), _told(model, found), strict=True)
    ]
    return max(judged, key=lambda result: (result[0] > result[1], result[0] / (result[1] or 1)))


def _judge_classes(
    due: np.ndarray, found: np.ndarray, is_int8: bool, has_signs: bool, unpools: bool
) -> tuple[float, float]:
    """Judge numbers of classes by the share of a sample's that differ."""
    differ = np.mean((due != found).reshape(len(due), -1), axis=1)
    if unpools:
        return float(differ.max(initial=0)), TURNED_SIGN_TOLERANCE
    return _judge(np.ones_like(differ), 1 - differ, is_int8, has_signs, unpools)


def _precise(y: np.ndarray) -> np.ndarray:
    return y.astype(np.complex128 if y.dtype.kind == "c" else np.float64)


def _told(model: Model, outputs: Sequence[np.ndarray]) -> list[tuple[str, np.ndarray]]:
    """Return of a file's outputs, with their names, those that differ little where the numbers behind them do.

    Behind the detections the op leaves in memory what was there, so scores there are 0 here.
    """
    graph = model.subgraphs[0]
    names = {i: port.names[0] for i, port in enumerate(interface_of(model).outputs) if port.names}
    last = graph.operators[-1] if graph.operators else None
    if last is None or last.name != detection_op.NAME or not set(last.outputs) <= set(graph.outputs):
        return [(names.get(i, ""), values) for i, values in enumerate(outputs)]
    _, _, scores, count = (outputs[graph.outputs.index(tensor)] for tensor in last.outputs)
    return [("scores", np.where(np.arange(scores.shape[-1]) < count.reshape(-1, 1), scores, 0))]


def _judge(
    due: np.ndarray, found: np.ndarray, is_int8: bool, has_signs: bool, unpools: bool, least: float = 0.0
) -> tuple[float, float]:
    scale = float(np.abs(due).max(initial=least))
    values = np.abs(due - found).reshape(len(due), -1)
    differences = values.max(axis=1, initial=0)  # per sample
    if not np.isfinite(differences).all():
        return float(np.finfo(np.float64).max), 0.0
    tolerance = scale * (INT8_TOLERANCE if is_int8 else FLOAT_TOLERANCE)
    if has_signs and is_int8:
        tolerance = scale * TURNED_SIGNS_TOLERANCE
    elif has_signs and np.median(differences) <= tolerance < differences.max(initial=0):
        tolerance = scale * TURNED_SIGN_TOLERANCE
    if unpools and values.size and (np.median(values, axis=1) <= tolerance).all():
        tolerance = scale * TURNED_PLACE_TOLERANCE
    return float(differences.max(initial=0)), tolerance


def expect(model: Model, host: Callable[[bytes], Engine], seed: int = 0) -> Expected:
    """Make inputs from a seed and run them on the host; `host` loads a file's bytes and may raise LarqnetsError."""
    values: list[np.ndarray] = []
    files: list[bytes] = []
    try:
        values = _inputs(model, seed)
        files = [_npy(value) for value in values]
        engine = host(model.content)
        outputs = engine.predict(values)
    except LarqnetsError as error:
        return Expected(values, files, [], "", str(error))
    return Expected(values, files, outputs if isinstance(outputs, list) else [outputs], engine.engine, None)


def _inputs(model: Model, seed: int) -> list[np.ndarray]:
    """Return SAMPLES runs of every input: floats are normally distributed, bytes of any value, other integers 0 or 1.

    An input that is an index points into what is there. Raises LarqnetsError for a type that numpy does not have.
    """
    rng = np.random.default_rng(seed)
    graph = model.subgraphs[0]
    limits = index_limits(model)
    values = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        shape = (SAMPLES * batch_of(tensor.shape), *tensor.shape[1:])
        dtype = numpy_type(tensor.dtype)
        if index in limits:
            values.append(rng.integers(0, limits[index], shape).astype(dtype))
        elif dtype.kind in "fc":
            values.append(rng.normal(size=shape).astype(dtype))
        elif dtype.itemsize == 1 and dtype.kind in "iu":
            info = np.iinfo(dtype)
            values.append(rng.integers(info.min, info.max, shape, dtype, endpoint=True))
        else:
            values.append(rng.integers(0, 2, shape).astype(dtype))
    return values


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def read_outputs(expected: Expected, outputs: Sequence[bytes]) -> list[np.ndarray]:
    """Return the device's outputs (.npy files); raises LarqnetsError when they are others than the host's."""
    return [_array(output, mine) for mine, output in zip(expected.outputs, outputs, strict=True)]


def _array(content: bytes, like: np.ndarray) -> np.ndarray:
    """Return the array of a .npy file whose shape and type are known, so that a header can ask for no memory."""
    header = re.match(
        rb"\x93NUMPY\x01\x00..\{'descr': '([^']*)', 'fortran_order': False, 'shape': \(([\d, ]*)\), *\} *\n",
        content,
        re.DOTALL,
    )
    if header is None:
        raise LarqnetsError(
            "The device returned no .npy file where an output is due. Build the runtime again: larqnets runtime build"
        )
    dtype, sizes = (part.decode("ascii", "replace") for part in header.groups())
    shape = tuple(size for part in sizes.split(",") if (size := part.strip()))
    rest = content[header.end() :]
    if (dtype, shape, len(rest)) != (like.dtype.str, tuple(map(str, like.shape)), like.nbytes):
        raise LarqnetsError(
            f"The device returned {len(rest):,} bytes of {excerpt(dtype)} ({excerpt(sizes)}) where {like.dtype} {like.shape} is "
            "due. Build the runtime again: larqnets runtime build"
        )
    return np.frombuffer(rest, like.dtype).reshape(like.shape)


def all_finite(outputs: Sequence[np.ndarray]) -> bool:
    """Return whether no output holds NaN or infinity."""
    return all(bool(np.isfinite(y).all()) for y in outputs if y.dtype.kind in "fc")


def _same_class(mine: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.mean(mine == theirs))


def _agreement(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Return how often two outputs name the same class; of outputs that name none, how often the largest is at one place."""
    classes = class_agreement(mine, theirs)
    if classes is not None:
        return classes
    return float(np.mean(mine.reshape(len(mine), -1).argmax(-1) == theirs.reshape(len(theirs), -1).argmax(-1)))


def compare_outputs(expected: Expected, model: Model, found: Sequence[np.ndarray]) -> Equality:
    """Hold the device's outputs against the host's: largest difference, and how often argmax agrees.

    Raises LarqnetsError when they have other shapes.
    """
    for mine, theirs in zip(expected.outputs, found, strict=True):
        if mine.shape != theirs.shape:
            raise LarqnetsError(
                f"The device returned {theirs.shape} where {mine.shape} is due. Build the runtime again."
            )
    pairs = list(zip(expected.outputs, found, strict=True))
    largest, tolerance = judge(model, expected.outputs, found)
    same = _same_class if kind_of_file(model) == "mask" else _agreement
    agreements = [same(mine, theirs) for mine, theirs in pairs if mine.size]
    return Equality(
        inputs_sha256=hashlib.sha256(b"".join(expected.inputs)).hexdigest(),
        samples=len(pairs[0][0]),
        max_difference=largest,
        argmax_agreement=min(agreements, default=1.0),
        tolerance=tolerance,
        equal=largest <= tolerance,
        engine=expected.engine,
    )
