"""Run a .tflite file: numpy in, numpy out.

On x86-64 this is the Larq Compute Engine's own interpreter (extra `train`), on ARM64 Linux our runtime, and with
`device="qemu"` our ARM64 runtime under an emulator; what an emulator or x86-64 takes in time means nothing for ARM. The
first two run in this process, which a damaged file can abort, so every file passes our structural validator first;
still, do not load files from strangers in a process that you cannot lose.
"""

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from android_bench.runtime import NativeModel, one_run_each
from deploy.tflite import Model, read_model
from larqnets.errors import LarqnetsError, on_arm64_linux

TRAIN_INSTALL = 'pip install "larqnets[train]"'
DEVICES = ("qemu",)


class Engine(Protocol):
    """What runs a model.

    `predict` takes checked samples (N, ...) of every input and returns every output for all of them, (N, ...).
    """

    engine: str
    input_shapes: list[tuple[int, ...]]
    output_shapes: list[tuple[int, ...]]
    input_types: list[np.dtype]
    output_types: list[np.dtype]

    def predict(self, inputs: list[np.ndarray], on_sample: Callable[[int], Any] | None = None) -> list[np.ndarray]: ...


class Interpreter:
    """A loaded model.

    `model`: path or bytes; `device`: where it runs, None for this machine or "qemu". Raises LarqnetsError when the file
    is damaged, needs an op that this engine lacks, or when the engine is not installed. `engine` says in words what runs
    it.
    """

    def __init__(self, model: Path | str | bytes, num_threads: int = 1, device: str | None = None) -> None:
        if num_threads < 1:
            raise LarqnetsError(f"num_threads must be at least 1, not {num_threads}.")
        self.model: Model = read_model(model)
        if self.model.unknown_ops:
            raise LarqnetsError(
                f"{self.model.name} needs the unknown op {sorted(self.model.unknown_ops)[0]}, which this engine does not have. "
                "Convert it again without that op."
            )
        self._native = _load_engine(self.model, num_threads, device)
        self.engine = self._native.engine

    @property
    def input_shapes(self) -> list[tuple[int, ...]]:
        """Shape of every input."""
        return self._native.input_shapes

    @property
    def output_shapes(self) -> list[tuple[int, ...]]:
        """Shape of every output."""
        return self._native.output_shapes

    @property
    def input_types(self) -> list[np.dtype]:
        """Data type of every input."""
        return self._native.input_types

    @property
    def output_types(self) -> list[np.dtype]:
        """Data type of every output."""
        return self._native.output_types

    def predict(self, x: np.ndarray | Sequence[np.ndarray], on_sample: Callable[[int], Any] | None = None) -> Any:
        """Run samples (N, ...) one after another: (N, ...) for one output, a list of them for several.

        `x`: the samples, for a model with several inputs a list of those of every input. A model has a fixed batch size,
        usually 1; N must be a multiple of it. `on_sample` is called with the number of samples done. Raises
        LarqnetsError when number, shape or type do not fit.
        """
        inputs = list(x) if isinstance(x, list | tuple) else [x]
        if len(inputs) != len(self.input_shapes):
            raise LarqnetsError(f"The model has {len(self.input_shapes)} inputs, not {len(inputs)}.")
        runs = []
        for i, (shape, dtype) in enumerate(zip(self.input_shapes, self.input_types, strict=True)):
            inputs[i] = value = np.asarray(inputs[i])
            if (
                not shape
                or value.ndim != len(shape)
                or value.shape[1:] != shape[1:]
                or not shape[0]
                or len(value) % shape[0]
            ):
                raise LarqnetsError(f"The model takes {shape}, repeated along the first axis, not {value.shape}.")
            if value.dtype != dtype:
                raise LarqnetsError(f"The model takes {dtype} values, not {value.dtype}.")
            runs.append(len(value) // shape[0])
        if len(set(runs)) > 1:
            raise LarqnetsError(
                f"The inputs hold samples for {', '.join(map(str, runs))} runs. Give each equally many."
            )
        if not runs[0]:
            raise LarqnetsError("There is no sample to run.")
        outputs = self._native.predict(inputs, on_sample)
        return outputs[0] if len(outputs) == 1 else outputs


def host_engine(content: bytes) -> Interpreter:
    """Return what runs a file on this machine: its own engine, or for want of it our ARM64 runtime under qemu.

    Raises LarqnetsError, with what the machine's own engine needs, when there is neither.
    """
    try:
        return Interpreter(content)
    except LarqnetsError as error:
        try:
            return Interpreter(content, device="qemu")
        except LarqnetsError:
            raise error from None


class _LceModel:
    """A model in the Larq Compute Engine's interpreter."""

    engine = "Larq Compute Engine on x86-64 (functional only, no ARM timing)"

    def __init__(self, content: bytes, num_threads: int) -> None:
        try:
            from larqnets.terminal import quiet_import

            engine = quiet_import("larq_compute_engine.tflite.python.interpreter")
        except ModuleNotFoundError as error:
            raise LarqnetsError(
                f"Running a model needs the Larq Compute Engine. Install it: {TRAIN_INSTALL}"
            ) from error
        try:
            # the engine's own wrapper would split a batch into single samples and copy each
            # On x86-64 the indirect kernels give the same bits as the default ones, about five times as fast.
            self._native = engine.Interpreter(content, num_threads=num_threads, use_indirect_bgemm=True).interpreter
        except (RuntimeError, ValueError) as error:
            raise _refused(error) from error
        self.input_shapes = [tuple(shape) for shape in self._native.input_shapes]
        self.output_shapes = [tuple(shape) for shape in self._native.output_shapes]
        self.input_types = [np.dtype(t) for t in self._native.input_types]
        self.output_types = [np.dtype(t) for t in self._native.output_types]

    def predict(self, inputs: list[np.ndarray], on_sample: Callable[[int], Any] | None = None) -> list[np.ndarray]:
        results = []
        for done, values in enumerate(one_run_each(inputs, self.input_shapes), 1):
            try:
                results.append(self._native.predict(values))
            except (RuntimeError, ValueError) as error:
                raise _refused(error) from error
            if on_sample is not None:
                on_sample(done * len(values[0]))
        return [np.concatenate(parts) for parts in zip(*results, strict=True)]


def _refused(error: Exception) -> LarqnetsError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return LarqnetsError(f"The engine refuses the model: {reason}. Convert it again, or use another engine.")


def _load_engine(model: Model, num_threads: int, device: str | None) -> Engine:
    if device == "qemu":
        from android_bench.qemu import QemuModel

        return QemuModel(model, num_threads)
    if device is not None:
        raise LarqnetsError(f"There is no device '{device}' in this version. Use {DEVICES[0]}.")
    if on_arm64_linux():
        return NativeModel(model, num_threads)
    if platform.machine() not in ("x86_64", "AMD64") and platform.system() != "Darwin":
        raise LarqnetsError(
            f"There is no engine for {platform.machine()}: the Larq Compute Engine runs on x86-64, our runtime on ARM64 Linux. "
            "`larqnets inspect` works here."
        )
    return _LceModel(model.content, num_threads)
