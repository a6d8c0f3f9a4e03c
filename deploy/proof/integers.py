"""Is an int8-rest file what its float-rest file says in integers? Op by op on the same inputs, never end to end.

    constants   those of 1-bit convolutions are the float-rest file's byte for byte; kernels and biases within half a step,
                but for half a step less where nothing but signs is taken (`gives_signs_alone`)
    Larq ops    the signs of integers are exact; on ARM64 everything that they give is bit for bit what it is on x86
    int8 ops    within STEPS of what the same op computes in floats from the same integers, on x86 and on ARM64
    no float    op with weights is left but those that --keep-float names

How much signal is left of each tensor end to end is told as its ratio to the noise: nothing is judged by it.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deploy.export.edit import tap
from deploy.export.own_stem import with_stock_stem
from deploy.integers.apart import apart, in_floats
from deploy.integers.plan import gives_signs_alone
from deploy.integers.rewrite import BOUNDARIES
from deploy.run.interpreter import QEMU, Interpreter, as_list
from larqnets.tflite.lce_ops import CONV_INT8
from larqnets.tflite.model import Model, Operator, Tensor, pack_bits
from larqnets.tflite.quantized import dequantized, is_quantized, quantized
from larqnets.tflite.reading import read_model
from larqnets.tflite.weight_ops import WEIGHT_OPS

INT8_REST = "int8_rest"  # in the metadata of such a file: how it was made, of which file beside it
STEPS = 1
FLOAT_TOLERANCE = 1e-4  # of the largest value of an op of floats, between engines
SAMPLES = 16  # at most, and
PIXELS = 8 * 112 * 112  # of the samples together
ROUNDED = 1.002  # steps: their scale itself is rounded


@dataclass(frozen=True)
class OpProof:
    """What was found of one op on the same inputs. `worst`: of integers in steps, of floats relative to the largest."""

    op: str
    layer: str
    kind: str  # larq, int8, float or boundary
    values: int
    differ: int
    worst: float
    sqnr_db: float | None  # of its output end to end, None where it is of bits or nothing differs


@dataclass(frozen=True)
class IntegerProof:
    """The verdict, with `reasons` why it is no."""

    equal: bool
    reasons: list[str]
    ops: list[OpProof]
    samples: int
    engine: str

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def prove_integers(
    file: Model,
    float_rest: Model,
    images: np.ndarray,
    layers: dict[str, str],
    *,
    keep_float: Collection[str] = (),
    device: str | None = None,
    host: str | None = None,
) -> IntegerProof:
    """Hold an int8-rest file against the float-rest file that it was made of.

    `images`: some samples (N, H, W, C); `layers`: op index of `file` -> layer; `keep_float`: layers with weights that may be
    float; `device`: where the ops of the file run, `host`: what they are compared with, see Interpreter. Raises
    LarqnetsError where a file cannot be run. A stem of our runtime is to be what CONV_2D in its place is.
    """
    given = file
    if CONV_INT8 in file.operator_codes:
        file = read_model(with_stock_stem(given.content))
    pairs = _pairs(file, float_rest)
    if pairs is None:
        return IntegerProof(False, ["its ops are not those of the float-rest file"], [], 0, "")
    reasons = [*_other_constants(file, float_rest, pairs), *_left(file, layers, keep_float)]
    if reasons:  # such a file may be no file to be run at all
        return IntegerProof(False, reasons, [], 0, "")
    seen = _values(file, _few(images), host)
    engine, found = _on(given, seen, device)
    due = _references(file, seen, host)
    noise = _noise(file, pairs, seen, _values(float_rest, _few(images), host))
    ops = []
    outputs = [(op, output) for op in given.subgraphs[0].operators for output in op.outputs]
    for op, output in outputs:
        layer = layers.get(str(op.index), "")
        kind, differ, worst = _judge(
            file.subgraphs[0].tensors[output], op, found[output], seen[output], due.get(output)
        )
        ops.append(OpProof(op.name, layer, kind, found[output].size, differ, worst, noise.get(output)))
        reasons += _too_far(file.subgraphs[0].tensors[output], op, layer, kind, worst)
    return IntegerProof(not reasons, reasons, ops, len(_few(images)), engine)


def other_on(
    file: Model, images: np.ndarray, layers: dict[str, str], device: str, host: str | None = None
) -> list[str]:
    """Return which ops of a file, each by itself on the same inputs, give something else on a device than on the host, and how far.

    Nothing is said of what they have to compute, only that both engines do the same. Arguments as of `prove_integers`.
    """
    stock = read_model(with_stock_stem(file.content)) if CONV_INT8 in file.operator_codes else file
    seen = _values(stock, _few(images), host)
    _, found = _on(file, seen, device)
    reasons = []
    for op in file.subgraphs[0].operators:
        for output in op.outputs:
            tensor = file.subgraphs[0].tensors[output]
            due = dequantized(tensor, seen[output]) if is_quantized(tensor) else None
            kind, _, worst = _judge(tensor, op, found[output], seen[output], due)
            reasons += _too_far(tensor, op, layers.get(str(op.index), ""), kind, worst)
    return reasons


def _few(images: np.ndarray) -> np.ndarray:
    """Return so many samples that all tensors of a network fit into memory."""
    return images[: min(SAMPLES, max(1, PIXELS // math.prod(images.shape[1:3])))]


def _too_far(output: Tensor, op: Operator, layer: str, kind: str, worst: float) -> list[str]:
    """Return that an output of an op is farther than rounding from what is due, if it is."""
    integers = is_quantized(output)
    if worst <= (STEPS if integers else 0.0 if kind == "larq" else FLOAT_TOLERANCE):
        return []
    unit = " steps" if integers else " of the largest"
    return [f"op {op.index} ({op.name}, '{layer}') is {worst:.3g}{unit} from what it has to compute"]


def _pairs(file: Model, float_rest: Model) -> list[tuple[Operator, Operator]] | None:
    """Return op of the file and op of the float-rest file; None where they are not the same ops of the same shapes in order."""
    ours = [op for op in file.subgraphs[0].operators if op.name not in BOUNDARIES]
    theirs = list(float_rest.subgraphs[0].operators)
    same = [_form(file, op) for op in ours] == [_form(float_rest, op) for op in theirs]
    return list(zip(ours, theirs, strict=True)) if same else None


def _form(file: Model, op: Operator) -> tuple[Any, ...]:
    """Return what of an op is the same whatever numbers it computes in."""
    tensors = file.subgraphs[0].tensors
    given = [tensors[i].shape if i >= 0 else None for i in op.inputs]
    return op.name, op.options, given, [tensors[i].shape for i in op.outputs]


def _other_constants(file: Model, float_rest: Model, pairs: Iterable[tuple[Operator, Operator]]) -> list[str]:
    """Return which ops have constants that do not stand for those of the float-rest file."""
    reasons = []
    for ours, theirs in pairs:
        known = WEIGHT_OPS.get(ours.name)
        for position, (i, j) in enumerate(zip(ours.inputs, theirs.inputs, strict=True)):
            if i < 0:
                continue
            less = _half_a_step(file, ours) if known is not None and position == known.bias else 0.0
            steps = 1.0 if known is None else 0.5  # an end of a range may be half a step farther than 256 steps reach
            stored, due = (model.subgraphs[0].tensors[k] for model, k in ((file, i), (float_rest, j)))
            if not _stands_for(file, stored, float_rest, due, less, steps):
                reasons.append(f"op {ours.index} ({ours.name}) has constants that are not those of the float-rest file")
                break
    return reasons


def _half_a_step(file: Model, op: Operator) -> float:
    """Return by how much less than its float rest's an op's bias is to be: where signs alone are taken of integers."""
    output = file.subgraphs[0].tensors[op.outputs[0]]
    if not is_quantized(output) or output.quantization is None or not gives_signs_alone(file, op):
        return 0.0
    return output.quantization.scales[0] / 2


def _stands_for(file: Model, ours: Tensor, float_rest: Model, theirs: Tensor, less: float, within: float) -> bool:
    """Whether integers are so many steps within floats, so much less, and all other constants the same; computed are both or none."""
    stored, due = ours.data(file), theirs.data(float_rest)
    if stored is None or due is None:
        return stored is due
    if not is_quantized(ours) or is_quantized(theirs):
        return stored.dtype == due.dtype and stored.tobytes() == due.tobytes()
    steps = dequantized(ours, np.ones_like(stored)) - dequantized(ours, np.zeros_like(stored))
    error = np.abs(dequantized(ours, stored) - (due - less))
    return bool(np.all(error <= within * ROUNDED * steps + 1e-6 * np.abs(due)))


def _left(file: Model, layers: dict[str, str], keep: Collection[str]) -> list[str]:
    """Return which ops with weights still compute in floats, of layers that are not to."""
    reasons = []
    for op in file.subgraphs[0].operators:
        if op.name not in WEIGHT_OPS or op.name == "LceBconv2d":
            continue
        layer = layers.get(str(op.index), "")
        source = file.subgraphs[0].tensors[op.inputs[WEIGHT_OPS[op.name].activation]]
        if source.dtype == "float32" and layer not in keep:
            reasons.append(f"op {op.index} ({op.name}, '{layer}') computes in floats; --keep-float would allow it")
    return reasons


def _values(file: Model, images: np.ndarray, host: str | None) -> dict[int, np.ndarray]:
    """Return every tensor that is given or computed on images, as the host computes them end to end."""
    graph = file.subgraphs[0]
    tensors = [output for op in graph.operators for output in op.outputs]
    source = graph.tensors[graph.inputs[0]]
    given = {source.index: quantized(source, images) if is_quantized(source) else images}
    found = as_list(Interpreter(tap(file.content, tensors), device=host).predict(given[source.index]))
    return {**given, **dict(zip(tensors, found, strict=False))}


def _on(file: Model, seen: dict[int, np.ndarray], device: str | None) -> tuple[str, dict[int, np.ndarray]]:
    """Return the engine and what every op gives there for the inputs that it was seen with."""
    if device != QEMU:
        return Interpreter(file, device=device).engine, seen
    alone = apart(file)
    interpreter = Interpreter(alone.content, device=device)
    return interpreter.engine, dict(zip(alone.gives, _run(interpreter, alone.takes, seen), strict=True))


def _run(interpreter: Interpreter, takes: list[int], seen: dict[int, np.ndarray]) -> list[np.ndarray]:
    return as_list(interpreter.predict([seen[tensor] for tensor in takes]))


def _references(file: Model, seen: dict[int, np.ndarray], host: str | None) -> dict[int, np.ndarray]:
    """Return what ops that give or take integers are to give, in real values, by their output."""
    tensors, due = file.subgraphs[0].tensors, {}
    integers = []
    for op in file.subgraphs[0].operators:
        source, output = tensors[op.inputs[0]], tensors[op.outputs[0]]
        if op.name in BOUNDARIES:
            given = seen[source.index]
            due[output.index] = dequantized(source, given) if is_quantized(source) else given
        elif op.name == "LceQuantize":
            real = dequantized(source, seen[source.index]) if is_quantized(source) else seen[source.index]
            due[output.index] = pack_bits(real)
        elif output.dtype == "int8":
            integers.append(op)
    if integers:
        real = in_floats(file, integers)
        due |= dict(zip(real.gives, _run(Interpreter(real.content, device=host), real.takes, seen), strict=True))
    return due


def _judge(
    output: Tensor, op: Operator, found: np.ndarray, seen: np.ndarray, due: np.ndarray | None
) -> tuple[str, int, float]:
    """Return of which kind an op is, how many of its values differ from what is due, and how far."""
    if op.name == "LceQuantize" or (op.name.startswith("Lce") and output.dtype != "int8"):
        wrong = int(np.sum(found != (seen if due is None else due)))
        return "larq", wrong, float(wrong > 0)
    if is_quantized(output) and due is not None:
        steps = np.abs(found.astype(np.float64) - quantized(output, due))
        worst = float(steps.max(initial=0))
        if op.name.startswith("Lce") and np.any(found != seen):
            worst = math.inf  # Larq's own op, which is to be the same on every engine
        return ("boundary" if op.name in BOUNDARIES else "int8"), int(np.sum(steps > 0)), worst
    reference = seen if due is None else due.astype(np.float32)
    apart_by = np.abs(found.astype(np.float64) - reference)
    largest = float(np.abs(reference).max(initial=0)) or 1.0
    return (
        ("boundary" if op.name in BOUNDARIES else "float"),
        int(np.sum(apart_by > 0)),
        float(apart_by.max(initial=0)) / largest,
    )


def _noise(
    file: Model, pairs: list[tuple[Operator, Operator]], seen: dict[int, np.ndarray], due: dict[int, np.ndarray]
) -> dict[int, float]:
    """Return the ratio of signal to noise in decibels of outputs of the file, end to end; `due`: the float-rest file's."""
    found = {}
    outputs = [pair for ours, theirs in pairs for pair in zip(ours.outputs, theirs.outputs, strict=True)]
    for ours, theirs in outputs:
        tensor, signal = file.subgraphs[0].tensors[ours], due[theirs].astype(np.float64)
        if tensor.dtype not in ("int8", "float32"):
            continue
        values = seen[tensor.index]
        noise = signal - (dequantized(tensor, values) if is_quantized(tensor) else values)
        power, lost = float(np.sum(signal**2)), float(np.sum(noise**2))
        if power and lost:
            found[tensor.index] = 10 * math.log10(power / lost)
    return found
