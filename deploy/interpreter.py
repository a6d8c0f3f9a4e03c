"""Run a .tflite file: numpy in, numpy out.

On x86-64 this is the Larq Compute Engine's own interpreter (extra `train`), on ARM64 Linux our runtime, and with
`device="qemu"` our ARM64 runtime under an emulator; what an emulator or x86-64 takes in time means nothing for ARM. The
first two run in this process, which a damaged file can abort, so every file passes our structural validator first;
still, do not load files from strangers in a process that you cannot lose.
"""

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from deploy.tflite import Model, read_model
from larqnets.errors import LarqnetsError

TRAIN_INSTALL = 'pip install "larqnets[train]"'
DEVICES = ("qemu",)


class Engine(Protocol):
    """What runs a model. `predict` takes checked samples (N, ...) and returns every output for all of them, (N, ...)."""

    engine: str
    input_shapes: list[tuple[int, ...]]
    output_shapes: list[tuple[int, ...]]
    input_types: list[np.dtype]
    output_types: list[np.dtype]

    def predict(self, x: np.ndarray, on_sample: Callable[[int], Any] | None = None) -> list[np.ndarray]: ...


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

    def predict(self, x: np.ndarray, on_sample: Callable[[int], Any] | None = None) -> Any:
        """Run samples (N, ...) one after another: (N, ...) for one output, a list of them for several.

        A model has a fixed batch size, usually 1; N must be a multiple of it. `on_sample` is called with the number of
        samples done. Raises LarqnetsError when shape or type do not fit.
        """
        if len(self.input_shapes) != 1 or not self.input_shapes[0]:
            raise LarqnetsError(f"Only models with one input are run here, this one has {len(self.input_shapes)}.")
        (shape,), (dtype,) = self.input_shapes, self.input_types
        x = np.asarray(x)
        if x.ndim != len(shape) or x.shape[1:] != shape[1:] or shape[0] == 0 or len(x) % shape[0]:
            raise LarqnetsError(f"The model takes {shape}, repeated along the first axis, not {x.shape}.")
        if x.dtype != dtype:
            raise LarqnetsError(f"The model takes {dtype} values, not {x.dtype}.")
        if not len(x):
            raise LarqnetsError("There is no sample to run.")
        outputs = self._native.predict(x, on_sample)
        return outputs[0] if len(outputs) == 1 else outputs


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

    def predict(self, x: np.ndarray, on_sample: Callable[[int], Any] | None = None) -> list[np.ndarray]:
        batch = self.input_shapes[0][0]
        results = []
        for start in range(0, len(x), batch):
            try:
                results.append(self._native.predict([np.ascontiguousarray(x[start : start + batch])]))
            except (RuntimeError, ValueError) as error:
                raise _refused(error) from error
            if on_sample is not None:
                on_sample(start + batch)
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
    if platform.system() == "Linux" and platform.machine() == "aarch64":
        from android_bench.runtime import NativeModel

        return NativeModel(model, num_threads)
    if platform.machine() not in ("x86_64", "AMD64") and platform.system() != "Darwin":
        raise LarqnetsError(
            f"There is no engine for {platform.machine()}: the Larq Compute Engine runs on x86-64, our runtime on ARM64 Linux. "
            "`larqnets inspect` works here."
        )
    return _LceModel(model.content, num_threads)
