"""The files of a conversion on the engine that will run them: our ARM64 runtime, XNNPACK included, under qemu.

The network itself is compared with the trained model layer by layer, as on x86 but on a few samples. One with an int8 rest is
held against its float rest op by op. Of a file that is not claimed to be equal to the model, such as an int8 twin, both
engines must return the same; where the roundings of a deep network add up to more than that, each of its ops must by itself.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from android_bench.emulation.emulator import qemu_command
from android_bench.measuring.equality import judge
from android_bench.runtime.bundle import find_bundle
from deploy.export.decoding import integer_ends
from deploy.export.edit import answering_with
from deploy.export.trained import Trained
from deploy.proof.converted import Converted, IntegerRest
from deploy.proof.integers import other_on, prove_integers
from deploy.proof.verify import verify
from deploy.run.interpreter import Interpreter, as_list
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter
from larqnets.tflite.model import Model
from larqnets.tflite.quantized import is_quantized
from larqnets.tflite.reading import read_model

SAMPLES = 4
SWITCHED_OFF = "switched off by --no-arm64-proof"


@dataclass(frozen=True)
class Arm64Result:
    """What was proven of one file on ARM64."""

    engine: str
    samples: int
    layers: int  # binary ones that were compared with the trained model; 0 for a file that is compared with itself
    signs: int
    difference: float  # of the outputs, relative to the largest, to the trained model or to the same file on x86
    op_by_op: bool = False  # whether that is more than a rounding, and each op by itself is none


@dataclass(frozen=True)
class Proof:
    """On which engines the files of a conversion were proven; `line` says it in one."""

    engines: tuple[str, ...]
    arm64_not_proven: str | None  # why, and what helps
    arm64: dict[str, Arm64Result]  # by variant

    @property
    def line(self) -> str:
        """One line for people."""
        if self.arm64_not_proven is not None:
            return f"proven on x86; ARM64 not proven: {self.arm64_not_proven}"
        first = next(iter(self.arm64.values()))
        layers = f"{first.layers} binary layers, {first.signs:,} signs" if first.layers else "its outputs"
        return f"proven on x86 and on ARM64 under qemu: {layers} of {first.samples} samples and of made-up inputs"

    @property
    def remarks(self) -> list[str]:
        """What is to be said of files whose answers are others on ARM64."""
        return [
            f"{variant}.tflite: each op is on ARM64 what it is on x86 but for a step of its integers, and those add up: its outputs "
            f"differ by up to {result.difference:.0%} of the largest. Scores are those of x86; --int8 full gives a file that is held "
            "against the float one op by op."
            for variant, result in self.arm64.items()
            if result.op_by_op
        ]

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {**asdict(self), "line": self.line}


def prove(
    files: Sequence[Converted],
    model: tf.keras.Model | Trained,
    images: np.ndarray,
    *,
    wanted: bool = True,
    reporter: Reporter = SILENT,
) -> Proof:
    """Prove the files, the model's own first, on ARM64 too; `images` (N, H, W, C) are real samples.

    Nothing is built: without qemu or the runtime the result says so. Raises LarqnetsError when a file computes something
    else on ARM64 than on x86.
    """
    own = files[0].verification
    assert own is not None  # the twins alone have none
    x86 = own.engine
    reason = missing_engine() if wanted else SWITCHED_OFF
    if reason is not None:
        return Proof((x86,), reason, {})
    trained, results = Trained.of(model), {}
    for file in files:
        reporter.stage("arm64")
        few = images[:SAMPLES]
        results[file.variant] = _proven(file, trained, few)
    return Proof((x86, results[files[0].variant].engine), None, results)


def missing_engine() -> str | None:
    """Return why there is no ARM64 engine here and what helps, None when there is one."""
    try:
        qemu_command()
        if find_bundle() is not None:
            return None
    except LarqnetsError as error:
        return str(error)
    return "the ARM64 runtime is not built. Build it with `larqnets runtime build` and convert again."


def _proven(file: Converted, model: Trained, images: np.ndarray) -> Arm64Result:
    if file.integers is not None:
        return _op_by_op(file, file.integers, images)
    return _same_as_x86(file, images) if file.verification is None else _as_trained(file, model, images)


def _op_by_op(file: Converted, known: IntegerRest, images: np.ndarray) -> Arm64Result:
    found = prove_integers(file.file, known.float_rest, images, file.layers, keep_float=known.keep_float, device="qemu")
    if not found.equal:
        raise LarqnetsError(
            f"{file.variant}.tflite computes something else on ARM64 than on x86 and nothing is published: "
            f"{'; '.join(found.reasons[:3])}. Report it with the model."
        )
    signs = sum(op.values for op in found.ops if op.op == "LceQuantize")
    return Arm64Result(found.engine, found.samples, 0, signs, 0.0)


def _as_trained(file: Converted, model: Trained, images: np.ndarray) -> Arm64Result:
    allowed_float = [fallback.layer for fallback in file.fallbacks]
    found = verify(file.file, model, images, allowed_float=allowed_float, device="qemu")
    if not found.equal:
        raise LarqnetsError(
            f"The converted file is not equal to the trained model on ARM64 and is not published: {'; '.join(found.reasons)}. "
            "On x86 it is: report it with the model."
        )
    signs = sum(layer.signs for layer in found.layers)
    return Arm64Result(found.engine, found.samples, len(found.layers), signs, found.logits_difference)


def _same_as_x86(file: Converted, images: np.ndarray) -> Arm64Result:
    # of a file that decodes in floats its integers: a step of them is much where a function behind them is steep
    ends = integer_ends(file.file)
    compared = read_model(answering_with(file.content, *ends)) if ends else file.file
    here, there = Interpreter(compared), Interpreter(compared, device="qemu")
    due, found = as_list(here.predict(images)), as_list(there.predict(images))
    difference, allowed = judge(here.model, due, found)
    largest = max(float(np.abs(values).max()) for values in due)
    apart = difference > allowed
    if apart and (others := _others(compared, file, images)):
        raise LarqnetsError(
            f"{file.variant}.tflite computes something else on ARM64 than on x86 and nothing is published: its outputs, up "
            f"to {largest:.3g}, differ by {difference:.3g} where {allowed:.3g} is rounding{others}. Report it with the model."
        )
    return Arm64Result(there.engine, len(images), 0, 0, difference / (largest or 1.0), op_by_op=apart)


def _others(compared: Model, file: Converted, images: np.ndarray) -> str:
    """Return what a file of integers does not owe to many roundings: its ops that differ by themselves, or that it has floats."""
    if not any(is_quantized(tensor) for tensor in compared.subgraphs[0].tensors):
        return ", and floats are never so far apart"
    others = other_on(compared, images, file.layers, "qemu")
    return f", and {'; '.join(others[:3])}" if others else ""
