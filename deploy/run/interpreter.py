"""Run a .tflite file: numpy in, numpy out.

On x86-64 this is the Larq Compute Engine's own interpreter, or TensorFlow Lite's for a file without Larq ops (both in the
extra `train`), on ARM64 Linux our runtime, and with `device="qemu"` our ARM64 runtime under an emulator; what an emulator
or x86-64 takes in time means nothing for ARM. The first three run in this process, which a damaged file can abort although
every file passes our structural validator first: load files from strangers with `device="child"`, which runs them in a
child process of this one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from deploy.run.shipped import is_shipped
from larqnets.errors import LarqnetsError, printable
from larqnets.reporter import SILENT, Reporter
from larqnets.tflite.interface import Interface, check_inputs, display_names, interface_of
from larqnets.tflite.model import Model
from larqnets.tflite.reading import read_model

CHILD, QEMU = "child", "qemu"


class Engine(Protocol):
    """What runs a model.

    `predict` takes checked samples (N, ...) of every input, a scalar's as (N,), and returns every output for all of them,
    (N, ...). `resizes`: whether it takes inputs of other sizes than the file's along dimensions that the file leaves open.
    """

    engine: str
    resizes: bool
    input_shapes: list[tuple[int, ...]]
    output_shapes: list[tuple[int, ...]]
    input_types: list[np.dtype]
    output_types: list[np.dtype]

    def predict(self, inputs: list[np.ndarray], reporter: Reporter = SILENT) -> list[np.ndarray]: ...


class Interpreter:
    """A loaded model.

    `model`: path, bytes, or what `read_model` made of them; `device`: where it runs, None for this process, CHILD for a
    process of its own on this machine, so that a file which makes native code crash is one LarqnetsError (a shipped file
    stays in this process), or QEMU. Raises LarqnetsError when the file is damaged, needs an op that this engine lacks, or
    when the engine is not installed. `engine` says in words what runs it, `interface` what its inputs and outputs are called.
    """

    def __init__(self, model: Path | str | bytes | Model, num_threads: int = 1, device: str | None = None) -> None:
        self.model: Model = read_model(model)
        check_model(self.model, num_threads)
        self.interface: Interface = interface_of(self.model)
        self._native = _load_engine(self.model, num_threads, device)
        self.engine = self._native.engine

    def __repr__(self) -> str:
        takes, gives = (
            ", ".join("x".join(map(str, shape)) or "1" for shape in shapes)
            for shapes in (self.input_shapes, self.output_shapes)
        )
        return f"<Interpreter {printable(self.model.name)}: {takes} to {gives}, {self.engine}>"

    @property
    def input_shapes(self) -> list[tuple[int, ...]]:
        """Shape of every input."""
        return self._native.input_shapes

    @property
    def output_shapes(self) -> list[tuple[int, ...]]:
        """Shape of every output, as the file says it; an output of unknown size has 1 there."""
        return self._native.output_shapes

    @property
    def input_types(self) -> list[np.dtype]:
        """Data type of every input; texts are bytes, numpy's S."""
        return self._native.input_types

    @property
    def output_types(self) -> list[np.dtype]:
        """Data type of every output."""
        return self._native.output_types

    @property
    def output_names(self) -> list[str]:
        """What every output is called."""
        return display_names(self.interface.outputs, "output")

    def predict(self, x: np.ndarray | Sequence[np.ndarray], reporter: Reporter = SILENT) -> Any:
        """Run samples (N, ...) one after another: (N, ...) for one output, a list of them for several.

        `x`: the samples, for a model with several inputs a list of those of every input. A model has a fixed batch size,
        usually 1; N must be a multiple of it. A scalar input takes () for one run or (N,), a scalar output gives (N,).
        `reporter` is told the number of samples done. Raises LarqnetsError when number, shape or type do not fit,
        and when an output is of another shape for every sample.
        """
        inputs = [np.asarray(value) for value in (x if isinstance(x, list | tuple) else [x])]
        fixed_by = None if self._native.resizes else self.engine
        shapes, types = [value.shape for value in inputs], [value.dtype for value in inputs]
        check_inputs(self.model, self.interface.inputs, shapes, types, fixed_by)
        inputs = [value if shape else value.reshape(-1) for value, shape in zip(inputs, self.input_shapes, strict=True)]
        outputs = self._native.predict(inputs, reporter)
        return outputs[0] if len(outputs) == 1 else outputs


def as_list(answers: Any) -> list[np.ndarray]:
    """Return the outputs of a model or interpreter, of which one alone comes without a list."""
    return answers if isinstance(answers, list) else [answers]


def check_model(model: Model, num_threads: int) -> None:
    """Raise LarqnetsError for a model that no engine here runs, or none with so many threads."""
    if num_threads < 1:
        raise LarqnetsError(f"num_threads must be at least 1, not {num_threads}.")
    if model.unknown_ops:
        raise LarqnetsError(
            f"{model.name} needs the unknown op {sorted(model.unknown_ops)[0]}, which this engine does not have. "
            "Convert it again without that op."
        )
    if num_threads > 1 and _has_regular_nms(model):
        raise LarqnetsError(
            f"{model.name} drops overlapping boxes class by class (use_regular_nms), which TensorFlow Lite computes "
            "wrongly with more than one thread. Run it with one."
        )


def host_engine(content: bytes) -> Interpreter:
    """Return what runs a file of any origin on this machine: its own engine in a child process, or our ARM64 runtime under qemu.

    Raises LarqnetsError, with what the machine's own engine needs, when there is neither.
    """
    try:
        return Interpreter(content, device=CHILD)
    except LarqnetsError as error:
        try:
            return Interpreter(content, device=QEMU)
        except LarqnetsError:
            raise error from None


def _has_regular_nms(model: Model) -> bool:
    return any(op.options.get("use_regular_nms") for graph in model.subgraphs for op in graph.operators)


def _load_engine(model: Model, num_threads: int, device: str | None) -> Engine:
    if device not in (None, CHILD, QEMU):
        raise LarqnetsError(f"There is no device '{device}' in this version. Use {QEMU}.")
    if device == QEMU:
        from android_bench.emulation.qemu import QemuModel

        return QemuModel(model, num_threads)
    if device == CHILD and not is_shipped(model.content):
        from deploy.run.child import ChildModel

        return ChildModel(model, num_threads)
    from deploy.run.host_engines import load_here

    return load_here(model, num_threads)
