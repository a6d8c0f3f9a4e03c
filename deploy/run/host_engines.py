"""What runs a model in this process on x86-64: the Larq Compute Engine, or TensorFlow Lite for files without Larq ops.

Neither has the op of our runtime, LarqnetsConv2dInt8; both compute it as CONV_2D, which gives the same integers.
"""

import dataclasses
import importlib.machinery
import importlib.util
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from android_bench.runtime.in_process import NativeModel, joined, one_run_each
from deploy.run.lce_kernels import Kernel, has_larq_ops, kernel_for
from larqnets.errors import LarqnetsError, on_arm64_linux
from larqnets.extras import pip_line
from larqnets.reporter import SILENT, Reporter
from larqnets.tflite import detection_op
from larqnets.tflite.interface import batch_of, dtype_of, interface_of
from larqnets.tflite.lce_ops import CONV_INT8
from larqnets.tflite.model import Model
from larqnets.tflite.reading import read_model

TRAIN_INSTALL = pip_line("train")
_LCE = "larq_compute_engine.tflite.python.interpreter_wrapper_lite"
_TFLITE = "tensorflow.lite.python._pywrap_tensorflow_interpreter_wrapper"
_OWN_KERNELS = 3  # TFLite's OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES


def load_here(model: Model, num_threads: int) -> Any:
    """Return the engine of this machine for a file; raises LarqnetsError when there is none or it refuses the file.

    Where no kernel of LCE computes the file right, our ARM64 runtime under qemu does, if it is there.
    """
    if on_arm64_linux():
        return NativeModel(model, num_threads)
    if platform.machine() not in ("x86_64", "AMD64") and platform.system() != "Darwin":
        raise LarqnetsError(
            f"There is no engine for {platform.machine()}: the Larq Compute Engine runs on x86-64, our runtime on ARM64 Linux. "
            "`larqnets inspect` works here."
        )
    if CONV_INT8 in model.operator_codes:
        return _with_stock_stem(model, num_threads)
    if not has_larq_ops(model):
        return TfliteModel(model, num_threads)
    kernel = kernel_for(model)
    if kernel is not Kernel.NONE:
        return LceModel(model, num_threads, kernel)
    from android_bench.emulation.qemu import QemuModel

    try:
        return QemuModel(model, num_threads)
    except LarqnetsError as error:
        raise LarqnetsError(
            f"{model.name} has a zero-padded binary convolution that the Larq Compute Engine computes wrongly on x86-64, and "
            f"the ARM64 runtime, which is right, cannot run here. {error}"
        ) from error


def _with_stock_stem(model: Model, num_threads: int) -> Any:
    """Return the engine of a file that holds the op of our runtime, with CONV_2D in its place."""
    _extension(_TFLITE)  # says what to install before the schema is looked for in TensorFlow
    from deploy.export.own_stem import with_stock_stem

    stock = dataclasses.replace(read_model(with_stock_stem(model.content)), name=model.name)
    engine = load_here(stock, num_threads)
    engine.engine = f"{engine.engine}, {CONV_INT8} as CONV_2D"
    return engine


class LceModel:
    """A model in the Larq Compute Engine's interpreter."""

    engine = "Larq Compute Engine on x86-64 (functional only, no ARM timing)"
    resizes = False

    def __init__(self, model: Model, num_threads: int, kernel: Kernel = Kernel.INDIRECT) -> None:
        engine = _extension(_LCE)
        reference = kernel is Kernel.REFERENCE
        if reference:
            self.engine = "Larq Compute Engine on x86-64, reference kernels (functional only, no ARM timing)"
        try:
            # Its own wrapper in Python would split a batch into single samples and copy each.
            self._native = engine.LiteInterpreter(model.content, num_threads, reference, not reference, False)
            self.input_shapes = [tuple(shape) for shape in self._native.input_shapes]
            self.output_shapes = [tuple(shape) for shape in self._native.output_shapes]
            self.input_types = [np.dtype(t) for t in self._native.input_types]
            self.output_types = [np.dtype(t) for t in self._native.output_types]
        except (RuntimeError, ValueError) as error:
            raise _refused(error) from error

    def predict(self, inputs: list[np.ndarray], reporter: Reporter = SILENT) -> list[np.ndarray]:
        results = []
        for done, values in enumerate(one_run_each(inputs, self.input_shapes), 1):
            try:
                results.append(self._native.predict(values))
            except (RuntimeError, ValueError) as error:
                raise _refused(error) from error
            reporter.count(done * batch_of(self.input_shapes[0]), what="samples")
        return joined(results)


class TfliteModel:
    """A model without Larq ops in TensorFlow's own interpreter, with TFLite's own kernels and no delegate."""

    engine = "TensorFlow Lite on x86-64 (functional only, no ARM timing)"
    resizes = True

    def __init__(self, model: Model, num_threads: int) -> None:
        engine = _extension(_TFLITE)
        try:
            self._native = engine.CreateWrapperFromBuffer(
                model.content, _OWN_KERNELS, [], [], False, False, num_threads, False
            )
            self._model = model
            self._allocate()
            self._inputs, self._outputs = list(self._native.InputIndices()), list(self._native.OutputIndices())
        except (RuntimeError, ValueError) as error:
            raise _refused(error) from error
        # What the file says: the engine gives a scalar and an unknown shape alike as ().
        ports = interface_of(model)
        self.input_shapes, self.output_shapes = ([p.shape for p in side] for side in (ports.inputs, ports.outputs))
        self.input_types, self.output_types = (
            [dtype_of(p.dtype) for p in side] for side in (ports.inputs, ports.outputs)
        )

    def predict(self, inputs: list[np.ndarray], reporter: Reporter = SILENT) -> list[np.ndarray]:
        results = []
        for done, values in enumerate(one_run_each(inputs, self.input_shapes), 1):
            try:
                results.append(self._run(values))
            except (RuntimeError, ValueError) as error:
                raise _refused(error) from error
            reporter.count(done * batch_of(self.input_shapes[0]), what="samples")
        return joined(results)

    def _run(self, values: list[np.ndarray]) -> list[np.ndarray]:
        if any(self._shape(index) != value.shape for index, value in zip(self._inputs, values, strict=True)):
            for index, value in zip(self._inputs, values, strict=True):
                self._native.ResizeInputTensor(index, np.array(value.shape, np.int32), False)
            self._allocate()
        self._native.ResetVariableTensors()  # a sample knows nothing of the one before it
        for index, value in zip(self._inputs, values, strict=True):
            self._native.SetTensor(index, value)
        self._native.Invoke()
        return [_plain(self._native.GetTensor(index, 0)) for index in self._outputs]

    def _shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(self._native.TensorSize(tensor, 0))

    def _allocate(self) -> None:
        """Compute all shapes. Those of the file may have said something else, which the detection op would believe."""
        self._native.AllocateTensors()
        for op in self._model.subgraphs[0].operators:
            if op.name == detection_op.NAME:
                shapes = [self._shape(i) for i in op.inputs]
                if problem := detection_op.misfit(op.options["num_classes"], *shapes):
                    raise LarqnetsError(f"{self._model.name} cannot be run: {op.name} has {problem}. Convert it again.")


def _plain(values: Any) -> np.ndarray:
    """Return an output as an array of numbers, or of bytes of one length for texts."""
    array = np.asarray(values)
    if array.dtype.kind not in "OSU":
        return array
    texts = [text.encode() if isinstance(text, str) else bytes(text) for text in array.reshape(-1).tolist()]
    if any(text.endswith(b"\0") for text in texts):
        raise LarqnetsError("The model's output holds a text that ends in a NUL, which an array of numpy cannot hold.")
    return np.array(texts, f"S{max(map(len, texts), default=1) or 1}").reshape(array.shape)


def _extension(name: str) -> Any:
    """Return a native module of a package, loaded without the package, which would import TensorFlow: seconds, for milliseconds.

    It stands in `sys.modules` under its own name, so that nobody loads it twice.
    """
    if name in sys.modules:
        return sys.modules[name]
    package, *folders, _ = name.split(".")
    found = importlib.util.find_spec(package)
    places = [] if found is None else list(found.submodule_search_locations or ())
    spec = importlib.machinery.PathFinder.find_spec(name, [str(Path(place, *folders)) for place in places])
    if spec is None or spec.loader is None:
        raise LarqnetsError(f"Running a model needs the Larq Compute Engine. Install it: {TRAIN_INSTALL}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module


def _refused(error: Exception) -> LarqnetsError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    return LarqnetsError(f"The engine refuses the model: {reason}. Convert it again, or use another engine.")
