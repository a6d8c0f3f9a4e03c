"""Python on the board: TensorFlow Lite with the Larq ops in this process, through ctypes on liblarqnets.so.

The library and Google's lie beside each other: in the folder that LARQNETS_RUNTIME names (a bundle's arm64/), in
android_bench/lib/ of a wheel for aarch64, or where `larqnets runtime build` put them. A damaged file can abort the process; every file passes our validator first.
"""

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from android_bench.runtime.bundle import find_bundle
from larqnets.environment import RUNTIME
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter
from larqnets.tflite.interface import batch_of
from larqnets.tflite.model import Model

LIBRARY = "liblarqnets.so"
_TYPES = {
    **{1: "<f4", 2: "<i4", 3: "u1", 4: "<i8", 6: "?", 7: "<i2", 8: "<c8", 9: "i1", 10: "<f2", 11: "<f8", 13: "<u8"},
    **{16: "<u4", 17: "<u2"},
}
_ERROR_BYTES = 4096


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("dims", ctypes.c_int32 * 8),
        ("scale", ctypes.c_float),
        ("zero_point", ctypes.c_int32),
        ("bytes", ctypes.c_uint64),
    )

    def shape(self) -> tuple[int, ...]:
        return tuple(self.dims[: self.rank])

    def dtype(self) -> np.dtype:
        if self.type not in _TYPES:
            raise LarqnetsError(f"The tensor {self.name!r} has a type that numpy does not have (number {self.type}).")
        return np.dtype(_TYPES[self.type])


class _Options(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_int32) for name in ("threads", "xnnpack", "profile", "kernels", "low_memory"))


def library_folder() -> Path:
    """Return the folder of liblarqnets.so; raises LarqnetsError when there is none."""
    named = RUNTIME.read()
    folder = Path(named) if named else Path(__file__).parents[1] / "lib"
    if not named and not (folder / LIBRARY).is_file():
        folder = find_bundle() or folder
    if not (folder / LIBRARY).is_file():
        raise LarqnetsError(
            f"{LIBRARY} is not in {folder}. Install the aarch64 wheel of larqnets, or name the folder of a runtime that "
            "`larqnets runtime build` made in LARQNETS_RUNTIME."
        )
    return folder


class NativeModel:
    """A model loaded into this process. Raises LarqnetsError when the library is missing or refuses the model."""

    resizes = False

    def __init__(self, model: Model, num_threads: int = 1) -> None:
        self._handle: int | None = None
        self._library = _load(library_folder() / LIBRARY)
        self._name, self._content = model.name, model.content  # the library uses the bytes where they are
        error = ctypes.create_string_buffer(_ERROR_BYTES)
        options = _Options(num_threads, 1, 0, 0, 0)
        self._handle = self._library.larqnets_create(
            self._content, len(self._content), ctypes.byref(options), error, _ERROR_BYTES
        )
        if not self._handle:
            raise LarqnetsError(f"{model.name} cannot be loaded: {error.value.decode(errors='backslashreplace')}")
        self._inputs = self._describe(self._library.larqnets_num_inputs, self._library.larqnets_input)
        self._outputs = self._describe(self._library.larqnets_num_outputs, self._library.larqnets_output)
        self.input_shapes, self.input_types = [t.shape() for t in self._inputs], [t.dtype() for t in self._inputs]
        self.output_shapes, self.output_types = [t.shape() for t in self._outputs], [t.dtype() for t in self._outputs]
        version, kernels = (
            f().decode() for f in (self._library.larqnets_tflite_version, self._library.larqnets_kernels)
        )
        self.engine = f"larqnets on ARM64 ({kernels} kernels, TensorFlow Lite {version})"

    def __del__(self) -> None:
        if self._handle:
            self._library.larqnets_destroy(self._handle)

    def predict(self, inputs: list[np.ndarray], reporter: Reporter = SILENT) -> list[np.ndarray]:
        """Run samples (N, ...) of every input one after another: every output for all of them, (N, ...)."""
        results = []
        for done, values in enumerate(one_run_each(inputs, self.input_shapes), 1):
            for i, value in enumerate(values):
                self._check(self._library.larqnets_set_input(self._handle, i, value.ctypes.data, value.nbytes))
            self._check(self._library.larqnets_invoke(self._handle))
            results.append([])
            # An output may get its shape only when the model runs.
            for i, tensor in enumerate(
                self._describe(self._library.larqnets_num_outputs, self._library.larqnets_output)
            ):
                y = np.empty(tensor.shape(), tensor.dtype())
                self._check(self._library.larqnets_get_output(self._handle, i, y.ctypes.data, y.nbytes))
                results[-1].append(y)
            reporter.count(done * batch_of(self.input_shapes[0]), what="samples")
        return joined(results)

    def _describe(self, number: Any, describe: Any) -> list[_Tensor]:
        tensors = [_Tensor() for _ in range(number(self._handle))]
        for i, tensor in enumerate(tensors):
            self._check(describe(self._handle, i, ctypes.byref(tensor)))
        return tensors

    def _check(self, status: int) -> None:
        if status:
            reason = self._library.larqnets_error(self._handle).decode(errors="backslashreplace")
            raise LarqnetsError(f"{self._name} cannot be run: {reason}")


def one_run_each(inputs: list[np.ndarray], shapes: list[tuple[int, ...]]) -> Iterator[list[np.ndarray]]:
    """Yield contiguous values of every input for one run after another; of a scalar input (N,) one value each."""
    for run in range(len(inputs[0]) // batch_of(shapes[0])):
        yield [
            np.ascontiguousarray(value[run * shape[0] : (run + 1) * shape[0]]) if shape else np.asarray(value[run])
            for value, shape in zip(inputs, shapes, strict=True)
        ]


def joined(runs: list[list[np.ndarray]]) -> list[np.ndarray]:
    """Return every output over all runs: joined along the first axis, scalars as (N,).

    `runs` is emptied on the way, or all outputs would be there twice. Raises LarqnetsError when an output is not of one shape,
    since nobody could say which part is of which run.
    """
    outputs = []
    for i in range(len(runs[0]) if runs else 0):
        parts = [run.pop(0) for run in runs]
        shapes = {part.shape for part in parts}
        if len(shapes) > 1:
            raise LarqnetsError(
                f"Output {i} has another shape for every sample, such as {' and '.join(map(str, sorted(shapes)[:2]))}. "
                "Run one sample at a time."
            )
        outputs.append(np.concatenate(parts) if parts[0].ndim else np.stack(parts))
    return outputs


def _load(path: Path) -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise LarqnetsError(
            f"{path} cannot be loaded: {error}. It is for ARM64 Linux with glibc 2.30 or newer."
        ) from error
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32
    signatures = {
        "larqnets_create": (pointer, [text, ctypes.c_size_t, pointer, text, ctypes.c_size_t]),
        "larqnets_destroy": (None, [pointer]),
        "larqnets_error": (text, [pointer]),
        "larqnets_num_inputs": (number, [pointer]),
        "larqnets_num_outputs": (number, [pointer]),
        "larqnets_input": (number, [pointer, number, pointer]),
        "larqnets_output": (number, [pointer, number, pointer]),
        "larqnets_set_input": (number, [pointer, number, pointer, ctypes.c_size_t]),
        "larqnets_invoke": (number, [pointer]),
        "larqnets_get_output": (number, [pointer, number, pointer, ctypes.c_size_t]),
        "larqnets_tflite_version": (text, []),
        "larqnets_kernels": (text, []),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
