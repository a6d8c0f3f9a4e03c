"""The integers of a decomposition, exactly, in the int8 weights of a .tflite file that the stock converter wrote.

The converter folds BatchNorm into the kernels, output channel o times g_o, and then rounds each channel anew to steps of
max|w_o| / 127, so that the few values of a decomposed kernel spread over 255. Here its integers go back in:

    stored integer    q_o = sign(g_o) v_o                      v = s n, the integers of the decomposition
    stored scale      |g_o| Delta_w                            so that q_o scale_o = g_o w^_o, the folded kernel
    int32 bias        round(b_o / (s_in scale_o))              of files whose activations are integers too

g_o is read off the same network converted as float. The file keeps its size: bytes change in place, nothing moves.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from larqnets.decompose.settings import INT8_MAX
from larqnets.errors import LarqnetsError
from larqnets.tflite.flatbuffer import Reader
from larqnets.tflite.model import Model, Operator, Tensor
from larqnets.tflite.reading import read_model
from larqnets.tflite.weight_ops import WEIGHT_OPS, stored_bias, stored_kernel

FOLDING_EPS = 1e-5  # relative to a channel's largest weight: the converter folds in float32


@dataclass(frozen=True)
class Integers:
    """A decomposed kernel (O, weights per channel) as integers, and its scale, () or (O,)."""

    codes: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class Patched:
    """The file, the layers whose integers it holds, those that stay float (the converter lets small ones), the others."""

    content: bytes
    layers: list[str]
    floats: list[str]
    unpatched: dict[str, str]


@dataclass(frozen=True)
class _Place:
    """Where the kernel of a layer lies in a file: the op that reads it, and the factors g (O,) of the folding."""

    op: Operator
    factors: np.ndarray
    bias: np.ndarray | None  # float32 (O,)


def rows(kernel: np.ndarray, depthwise: bool = False) -> np.ndarray:
    """Return a kernel in Keras layout as (O, weights per channel) in the order in which TFLite stores it."""
    if kernel.ndim == 2:
        return kernel.T
    if depthwise:  # (kh, kw, C, M) -> (C M, kh kw)
        return kernel.reshape(-1, kernel.shape[2] * kernel.shape[3]).T
    return kernel.transpose(3, 0, 1, 2).reshape(kernel.shape[3], -1)


class Patcher:
    """Puts decompositions of one network into one quantised file of it; both files are read once."""

    def __init__(self, as_float: bytes | Model, quantised: bytes | Model, kernels: Mapping[str, np.ndarray]) -> None:
        """`kernels`: by layer (O, weights per channel), those that both files were converted with.

        Raises LarqnetsError when the two files are not of one network.
        """
        self._model = read_model(quantised)
        self._scales = _scale_positions(self._model.content)
        theirs, ours = read_model(as_float), _weight_ops(self._model)
        floats = _weight_ops(theirs)
        same = len(floats) == len(ours) and all(
            a.name == b.name and _kernel(theirs, a).shape == _kernel(self._model, b).shape
            for a, b in zip(floats, ours, strict=True)
        )
        if not same:
            raise LarqnetsError(
                "The float file and the quantised file do not have the same layers. Convert both again."
            )
        self._places: dict[str, _Place] = {}
        free = dict(kernels)
        for old, op in zip(floats, ours, strict=True):
            stored = _kernel(theirs, old).data(theirs)
            if stored is None:
                continue  # sparse: no layer is as it was there
            values = _as_rows(old, stored)
            found = next(((name, g) for name, k in free.items() if (g := _factors(values, k)) is not None), None)
            if found is not None:
                self._places[found[0]] = _Place(op, found[1], _bias(theirs, old))
                del free[found[0]]
        self._unplaced = dict.fromkeys(free, "its kernel is not in the file as it was")

    def patch(self, decomposition: Mapping[str, Integers | None]) -> Patched:
        """Return the file with the integers of the layers; None is a layer that has no integers."""
        content = bytearray(self._model.content)
        done: list[str] = []
        floats: list[str] = []
        reasons = {name: why for name, why in self._unplaced.items() if name in decomposition}
        for name, place in self._places.items():
            if name in decomposition:
                if _kernel(self._model, place.op).dtype == "float32":
                    floats.append(name)
                elif why := self._patch_layer(content, place, decomposition[name]):
                    reasons[name] = why
                else:
                    done.append(name)
        return Patched(bytes(content), done, floats, reasons)

    def _patch_layer(self, content: bytearray, place: _Place, integers: Integers | None) -> str:
        """Write a layer into `content`; returns why not, or "" when it is done."""
        tensor = _kernel(self._model, place.op)
        if integers is None:
            return "its method has no integers"
        if tensor.dtype != "int8" or tensor.quantization is None:
            return f"the converter keeps it as {tensor.dtype}"
        if np.abs(integers.codes).max() > INT8_MAX:
            return f"its integers reach {np.abs(integers.codes).max()}, and int8 ends at {INT8_MAX}"
        old = np.asarray(tensor.quantization.scales, np.float32)
        scales = (np.abs(place.factors) * np.asarray(integers.scale, np.float64)).astype(np.float32)
        if len(old) == 1 and len(scales) > 1:
            if not np.allclose(scales, scales[0], rtol=1e-6, atol=0):
                return "the file has one scale for all its channels"
            scales = scales[:1]
        scales = np.where(scales > 0, scales, old)  # a channel of zeros
        stored = (integers.codes * np.where(place.factors < 0, -1, 1)[:, np.newaxis]).astype(np.int8)
        stored[place.factors == 0] = 0
        stored = _from_rows(place.op, stored, tensor.shape)
        _write(content, self._model.buffers[tensor.buffer].start, stored)
        _write(content, self._scales[tensor.index], scales.astype("<f4"))
        self._patch_bias(content, place, scales)
        return ""

    def _patch_bias(self, content: bytearray, place: _Place, scales: np.ndarray) -> None:
        """Rescale an int32 bias, whose scale is that of the input times that of the weights."""
        bias = stored_bias(self._model, place.op)
        if bias is None or place.bias is None or bias.dtype != "int32":
            return
        source = self._model.subgraphs[0].tensors[place.op.inputs[WEIGHT_OPS[place.op.name].activation]]
        if source.quantization is None:
            raise LarqnetsError(f"Tensor {source.index} of the quantised file has no scale. Convert the network again.")
        steps = np.float64(source.quantization.scales[0]) * scales.astype(np.float64)
        limit = np.iinfo(np.int32)
        values = np.clip(np.rint(place.bias / steps), limit.min, limit.max).astype("<i4")
        _write(content, self._model.buffers[bias.buffer].start, values)
        _write(content, self._scales[bias.index], steps.astype("<f4"))


def _weight_ops(model: Model) -> list[Operator]:
    """Return the ops of the main graph that read a constant kernel of filters, none of which may be shared."""
    ops = [
        op
        for op in model.subgraphs[0].operators
        if stored_kernel(model, op) is not None and WEIGHT_OPS[op.name].filters is not None
    ]
    buffers = [_kernel(model, op).buffer for op in ops]
    if len(set(buffers)) != len(buffers):
        raise LarqnetsError("Two layers of the file share their weights, so they cannot be replaced one by one.")
    return ops


def _kernel(model: Model, op: Operator) -> Tensor:
    kernel = stored_kernel(model, op)
    assert kernel is not None  # of an op of `_weight_ops`
    return kernel


def _bias(model: Model, op: Operator) -> np.ndarray | None:
    bias = stored_bias(model, op)
    return None if bias is None else bias.data(model)


def _filters_axis(op: Operator) -> int:
    axis = WEIGHT_OPS[op.name].filters
    assert axis is not None  # of an op of `_weight_ops`
    return axis


def _as_rows(op: Operator, kernel: np.ndarray) -> np.ndarray:
    """Return a stored kernel as (O, weights per channel)."""
    axis = _filters_axis(op)
    return np.moveaxis(kernel, axis, 0).reshape(kernel.shape[axis], -1)


def _from_rows(op: Operator, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    axis = _filters_axis(op)
    return np.moveaxis(values.reshape(shape[axis], *shape[:axis], *shape[axis + 1 :]), 0, axis)


def _factors(folded: np.ndarray, kernel: np.ndarray) -> np.ndarray | None:
    """Return g (O,) with folded = g kernel, None where there is no such."""
    if folded.shape != kernel.shape:
        return None
    kernel, folded = kernel.astype(np.float64), folded.astype(np.float64)
    power = (kernel**2).sum(axis=1)
    factors = (kernel * folded).sum(axis=1) / np.where(power == 0, 1, power)
    error = np.abs(folded - factors[:, np.newaxis] * kernel).max(axis=1)
    return factors if np.all(error <= FOLDING_EPS * np.abs(folded).max(axis=1)) else None


def _scale_positions(content: bytes) -> dict[int, int]:
    """Return where the scales of every quantised tensor of the main graph begin."""
    graph = next(Reader(content).root().tables(2))
    positions = {}
    for index, tensor in enumerate(graph.tables(0)):
        quantization = tensor.table(4)
        if quantization is not None and (span := quantization.span(2, 4))[1]:
            positions[index] = span[0]
    return positions


def _write(content: bytearray, start: int, values: np.ndarray) -> None:
    data = np.ascontiguousarray(values).tobytes()
    content[start : start + len(data)] = data
