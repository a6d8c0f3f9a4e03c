"""Does the ARM64 runtime compute what TensorFlow Lite's reference kernels compute? Op by op, in float32 and in int8.

`python -m deploy.proof.op_sweep` goes over all cases of `op_cases` and prints what differs; --quick takes every 40th.
Files are made by stock TFLite's converter, many ops in each, and run by our runtime, XNNPACK included, under qemu.
"""

import argparse
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from larqnets import require_keras_2

require_keras_2()

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from android_bench.emulation.qemu import QemuModel  # noqa: E402
from deploy.proof.op_cases import Case, families  # noqa: E402
from larqnets.errors import LarqnetsError  # noqa: E402
from larqnets.terminal import captured_stderr  # noqa: E402
from larqnets.tflite.model import Subgraph  # noqa: E402
from larqnets.tflite.reading import read_model  # noqa: E402

PER_FILE = 60
# Of the largest value of the output; XNNPACK's exp, tanh and reciprocals are polynomials.
FLOAT_TOLERANCE = 1e-4
# Quantised values: a kernel may round another way at each of its steps.
INT8_STEPS = 1


@dataclass(frozen=True)
class Find:
    """A case whose output differs: how far, of its largest value in float32 and in steps in int8."""

    case: str
    dtype: str  # float32 or int8: that of the op's output
    difference: float
    runtime: str  # what the runtime returns, in words


def sweep(cases: Sequence[Case], *, quantised: bool, bundle: Path | None = None) -> list[Find]:
    """Run the cases on both engines and return those that differ."""
    finds = []
    for start in range(0, len(cases), PER_FILE):
        part = cases[start : start + PER_FILE]
        content, model = write(part, quantised=quantised)
        finds += _compare(part, content, model, bundle)
    return finds


def write(cases: Sequence[Case], *, quantised: bool) -> tuple[bytes, tf.keras.Model]:
    """Return one file of all cases and its model: inputs x_<i>_<j>, the j-th of case i, and an output case_<i> for each.

    `quantised` ops are int8 inside, between float inputs and outputs, where the converter has them in int8.
    """
    inputs: dict[str, Any] = {}
    outputs: list[Any] = []
    for i, case in enumerate(cases):
        own = [tf.keras.Input(shape, batch_size=1, name=f"x_{i}_{j}") for j, shape in enumerate(case.shapes)]
        inputs |= {x.name: x for x in own}
        outputs.append(tf.keras.layers.Activation("linear", name=f"case_{i}")(case.make(*own)))
    model = tf.keras.Model(inputs, outputs)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantised:
        shapes = {name: tuple(x.shape) for name, x in inputs.items()}
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (_values(shapes, seed) for seed in range(4))
    with captured_stderr(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
        return converter.convert(), model


def _values(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: (2 * rng.normal(size=shape)).astype(np.float32) for name, shape in shapes.items()}


def _compare(cases: Sequence[Case], content: bytes, keras: tf.keras.Model, bundle: Path | None) -> list[Find]:
    signature = _reference(content).get_signature_runner()
    values = _values({name: tuple(x["shape"]) for name, x in signature.get_input_details().items()}, seed=99)
    expected = signature(**values)
    by_place = {x["index"]: values[name] for name, x in signature.get_input_details().items()}
    names = {x["index"]: name for name, x in signature.get_output_details().items()}

    model = read_model(content)
    graph = model.subgraphs[0]
    ours = QemuModel(model, bundle=bundle).predict([by_place[place] for place in graph.inputs])
    trained = dict(zip(keras.output_names, keras({name: tf.constant(x) for name, x in values.items()}), strict=True))
    finds = []
    for place, found in zip(graph.outputs, ours, strict=True):
        name = names[place]
        due, step = expected[name], _step(graph, place)
        size = float(np.abs(due).max(initial=0))
        allowed = INT8_STEPS * step * 1.001 if step else FLOAT_TOLERANCE * size
        wrong = ~(np.abs(found.astype(np.float64) - due) <= allowed)
        if not wrong.any() or _distance(found, trained[name]) <= _distance(due, trained[name]):
            continue  # where they differ and Keras computes what we do, the reference is wrong: int8 SUM in TensorFlow 2.21
        case = cases[int(name.removeprefix("case_"))]
        difference = _distance(found, due) / (step or size or 1)
        finds.append(Find(case.name, "int8" if step else "float32", difference, _words(found, due, wrong)))
    return finds


def _distance(a: np.ndarray, b: Any) -> float:
    return float(np.abs(a.astype(np.float64) - np.asarray(b)).max(initial=0))


def _reference(content: bytes) -> tf.lite.Interpreter:
    """Return the reference kernels, or the plain ones where those lack a version of an op, never XNNPACK."""
    kinds = tf.lite.experimental.OpResolverType
    try:
        interpreter = tf.lite.Interpreter(model_content=content, experimental_op_resolver_type=kinds.BUILTIN_REF)
        interpreter.allocate_tensors()
    except ValueError:
        kind = kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = tf.lite.Interpreter(model_content=content, experimental_op_resolver_type=kind)
    return interpreter


def _step(graph: Subgraph, place: int) -> float:
    """Return the scale of the quantised tensor behind a float output, 0 where the op itself gives floats."""
    makers = {t: op for op in graph.operators for t in op.outputs}
    maker = makers.get(place)
    if maker is None or maker.name != "DEQUANTIZE":
        return 0.0
    quantization = graph.tensors[maker.inputs[0]].quantization
    return 0.0 if quantization is None else float(quantization.scales[0])


def _words(found: np.ndarray, due: np.ndarray, wrong: np.ndarray) -> str:
    return f"{int(wrong.sum())} of {wrong.size} values differ: {found[wrong][:3]} where {due[wrong][:3]} are due"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print every find; returns 1 when there are some."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="every 40th case alone")
    parser.add_argument(
        "--only", default="", metavar="KIND", choices=families(), help=f"one of: {', '.join(families())}"
    )
    options = parser.parse_args(arguments)
    finds: list[Find] = []
    try:
        for kind, cases in families().items():
            if options.only not in ("", kind):
                continue
            chosen = cases[:: 40 if options.quick else 1]
            for quantised in (False, True):
                found = sweep(chosen, quantised=quantised)
                print(
                    f"{kind}, {'int8' if quantised else 'float32'}: {len(chosen)} cases, {len(found)} differ",
                    flush=True,
                )
                for find in found:
                    print(f"  {find.case}, {find.dtype}: {find.difference:.3g}; {find.runtime}", flush=True)
                finds += found
    except LarqnetsError as error:
        print(error, file=sys.stderr)
        return 1
    return 1 if finds else 0


if __name__ == "__main__":
    raise SystemExit(main())
