"""Run a .tflite file: numpy in, numpy out.

On x86-64 this is the Larq Compute Engine's own interpreter (extra `train`): its results are right, its time means
nothing for ARM. Its library can abort the process on a damaged file, so every file passes our structural validator
first; still, do not load files from strangers in a process that you cannot lose.
"""

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deploy.tflite import Model, read_model
from larqnets.errors import LarqnetsError

TRAIN_INSTALL = 'pip install "larqnets[train]"'


class Interpreter:
    """A loaded model.

    `model`: path or bytes. Raises LarqnetsError when the file is damaged, needs an op that this engine lacks, or when
    no engine is installed. `engine` says in words what runs it.
    """

    def __init__(self, model: Path | str | bytes, num_threads: int = 1) -> None:
        if num_threads < 1:
            raise LarqnetsError(f"num_threads must be at least 1, not {num_threads}.")
        self.model: Model = read_model(model)
        if self.model.unknown_ops:
            raise LarqnetsError(
                f"{self.model.name} needs the unknown op {sorted(self.model.unknown_ops)[0]}, which this engine does not have. "
                "Convert it again without that op."
            )
        self._native, self.engine = _load_lce(self.model.content, num_threads)

    @property
    def input_shapes(self) -> list[tuple[int, ...]]:
        """Shape of every input."""
        return [tuple(shape) for shape in self._native.input_shapes]

    @property
    def output_shapes(self) -> list[tuple[int, ...]]:
        """Shape of every output."""
        return [tuple(shape) for shape in self._native.output_shapes]

    @property
    def input_types(self) -> list[np.dtype]:
        """Data type of every input."""
        return [np.dtype(t) for t in self._native.input_types]

    @property
    def output_types(self) -> list[np.dtype]:
        """Data type of every output."""
        return [np.dtype(t) for t in self._native.output_types]

    def predict(self, x: np.ndarray, on_sample: Callable[[int], Any] | None = None) -> Any:
        """Run samples (N, ...) one after another: (N, ...) for one output, a list of them for several.

        A model has a fixed batch size, usually 1; N must be a multiple of it. `on_sample` is called with the number of
        samples done. Raises LarqnetsError when shape or type do not fit.
        """
        (shape,), (dtype,) = self.input_shapes, self.input_types
        x = np.asarray(x)
        if x.ndim != len(shape) or x.shape[1:] != shape[1:] or len(x) % shape[0]:
            raise LarqnetsError(f"The model takes {shape}, repeated along the first axis, not {x.shape}.")
        if x.dtype != dtype:
            raise LarqnetsError(f"The model takes {dtype} values, not {x.dtype}.")
        batches = []
        for start in range(0, len(x), shape[0]):
            try:
                outputs = self._native.predict([np.ascontiguousarray(x[start : start + shape[0]])])
            except (RuntimeError, ValueError) as error:
                raise _refused(error) from error
            batches.append(outputs[0] if len(outputs) == 1 else outputs)
            if on_sample is not None:
                on_sample(start + shape[0])
        if not batches:
            raise LarqnetsError("There is no sample to run.")
        if isinstance(batches[0], list):
            return [np.concatenate(parts) for parts in zip(*batches, strict=True)]
        return np.concatenate(batches)


def _refused(error: Exception) -> LarqnetsError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return LarqnetsError(f"The engine refuses the model: {reason}. Convert it again, or use another engine.")


def _load_lce(content: bytes, num_threads: int) -> tuple[Any, str]:
    if platform.machine() not in ("x86_64", "AMD64") and platform.system() != "Darwin":
        raise LarqnetsError(
            f"There is no engine for {platform.machine()} in this version: the Larq Compute Engine publishes none. "
            "`larqnets inspect` works here; run the model on an x86-64 machine."
        )
    try:
        from larqnets.terminal import quiet_import

        engine = quiet_import("larq_compute_engine.tflite.python.interpreter")
    except ModuleNotFoundError as error:
        raise LarqnetsError(f"Running a model needs the Larq Compute Engine. Install it: {TRAIN_INSTALL}") from error
    try:
        # the engine's own wrapper would split a batch into single samples and copy each
        # On x86-64 the indirect kernels give the same bits as the default ones, about five times as fast.
        native = engine.Interpreter(content, num_threads=num_threads, use_indirect_bgemm=True).interpreter
    except (RuntimeError, ValueError) as error:
        raise _refused(error) from error
    return native, "Larq Compute Engine on x86-64 (functional only, no ARM timing)"
