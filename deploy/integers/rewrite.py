"""A float-rest file with some of its ops in int8; everything else in it, bit-packed chains above all, stays byte for byte.

QUANTIZE and DEQUANTIZE stand where floats and integers meet, one for each tensor at most, and not at all where the other side
can do without: LceQuantize takes the signs of integers, and LceBconv2d gives integers where everything behind it takes them.
The ops of the float-rest file stand in the same order in the rewritten one; only those two kinds are new.
"""

from typing import Any, NamedTuple

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from deploy.export.edit import add_code, add_tensor_like, pack, unpack, without_unused
from deploy.integers.ops import data_inputs, version_of
from deploy.integers.plan import Plan, gives_signs_alone
from deploy.integers.scales import Scale, Scales
from deploy.targets import FLOATS, Ends
from larqnets.tflite.model import Model, Operator
from larqnets.tflite.weight_ops import WEIGHT_OPS, stored_bias, stored_kernel

INTEGERS = "/integers"  # behind the name of a tensor that has become int8
BOUNDARIES = ("QUANTIZE", "DEQUANTIZE")
_VERSIONS = {"QUANTIZE": 1, "DEQUANTIZE": 2}


class Rewritten(NamedTuple):
    """A rewritten file; `places`: number of an op of the float-rest file -> its number now."""

    content: bytes
    places: dict[int, int]


def rewrite(file: Model, plan: Plan, scales: Scales, ends: Ends = FLOATS) -> Rewritten:
    """Return the file with the ops of a plan in int8, and with inputs and outputs as `ends` says."""
    return _Writer(file, plan, scales, ends).write()


class _Writer:
    def __init__(self, file: Model, plan: Plan, scales: Scales, ends: Ends) -> None:
        self._file, self._plan, self._scales, self._ends = file, plan, scales, ends
        self._source = file.subgraphs[0]
        self._model: Any = unpack(file.content)
        self._graph: Any = self._model.subgraphs[0]
        self._ops: list[Any] = []
        self._integers: dict[int, int] = {}  # float tensor -> the same in int8
        self._floats = {i for i, t in enumerate(self._source.tensors) if file.buffers[t.buffer].size} | {
            *self._source.inputs
        }
        self._kernels: dict[
            tuple[int, bytes], int
        ] = {}  # (kernel, its scales) -> the same in int8, of an op in several places
        self._codes: dict[tuple[str, int], int] = {}

    def write(self) -> Rewritten:
        places = {}
        self._open()
        wants_integers = self._bconvs_of_integers()
        for op, stored in zip(self._source.operators, list(self._graph.operators), strict=True):
            if op.index in self._plan.ops:
                self._make_int8(op, stored)
            else:
                self._keep(op, stored, op.index in wants_integers)
            places[op.index] = len(self._ops)
            self._ops.append(stored)
        self._close()
        self._graph.operators = self._ops
        _drop_unused_codes(self._model)
        return Rewritten(pack(without_unused(self._model)), places)

    def _open(self) -> None:
        """Let the file take what it is to take."""
        if self._ends.input == "float":
            return
        for place, tensor in enumerate(self._source.inputs):
            self._floats.discard(tensor)
            given = self._new_integers(tensor)
            if self._ends.input == "uint8":
                given = self._unsigned(tensor)
                self._boundary("QUANTIZE", given, self._integers[tensor])
            self._graph.inputs = _with(self._graph.inputs, place, given)
            self._rename("inputs", tensor, given)

    def _close(self) -> None:
        """Let the file give what it is to give."""
        for place, tensor in enumerate(self._source.outputs):
            if self._ends.output == "float":
                self._as_floats(tensor)
                continue
            made = self._as_integers(tensor)
            if self._ends.output == "uint8":
                made = self._unsigned(tensor)
                self._boundary("QUANTIZE", self._integers[tensor], made)
            self._graph.outputs = _with(self._graph.outputs, place, made)
            self._rename("outputs", tensor, made)

    def _rename(self, ports: str, tensor: int, now: int) -> None:
        """Let an input or output, and its names, be another tensor."""
        self._graph.tensors[now].name = self._graph.tensors[tensor].name
        for signature in self._model.signatureDefs or []:
            for port in getattr(signature, ports):
                port.tensorIndex = now if port.tensorIndex == tensor else port.tensorIndex

    def _unsigned(self, tensor: int) -> int:
        scale = self._scales.of(tensor)
        return self._tensor(
            tensor, schema.TensorType.UINT8, None, _quantization([scale.scale], [scale.zero_point + 128])
        )

    def _bconvs_of_integers(self) -> set[int]:
        """Return the LceBconv2d whose floats nobody reads but to make integers or signs of them."""
        found = set()
        for op in self._source.operators:
            if op.name != "LceBconv2d" or self._source.tensors[op.outputs[0]].dtype != "float32":
                continue
            output = op.outputs[0]
            readers = [reader for reader in self._source.operators if output in reader.inputs]
            takes = [r.index in self._plan.ops for r in readers]
            others = [r.name for r, does in zip(readers, takes, strict=True) if not does]
            floats_out = output in self._source.outputs and self._ends.output == "float"
            if any(takes) and not floats_out and all(name == "LceQuantize" for name in others):
                found.add(op.index)
        return found

    def _keep(self, op: Operator, stored: Any, gives_integers: bool) -> None:
        inputs = list(op.inputs)
        for position, tensor in enumerate(op.inputs):
            if op.name == "LceQuantize" and tensor in self._integers and tensor not in self._floats:
                inputs[position] = self._integers[tensor]
            elif tensor >= 0:
                self._as_floats(tensor)
        stored.inputs = np.array(inputs, np.int32)
        if gives_integers:
            stored.outputs = np.array([self._new_integers(op.outputs[0])], np.int32)
        else:
            self._floats.update(op.outputs)

    def _make_int8(self, op: Operator, stored: Any) -> None:
        inputs = list(op.inputs)
        if op.name in WEIGHT_OPS:
            known = WEIGHT_OPS[op.name]
            inputs[known.activation] = self._as_integers(op.inputs[known.activation])
            kernel = self._scales.of_kernel(op)
            inputs[known.kernel] = self._kernel(op, kernel)
            if stored_bias(self._file, op) is not None:
                assert known.bias is not None
                inputs[known.bias] = self._bias(op, kernel)
        else:
            for position in data_inputs(op):
                tensor = op.inputs[position]
                constant = self._source.tensors[tensor].data(self._file)
                inputs[position] = (
                    self._as_integers(tensor) if constant is None else self._constant(op, tensor, constant)
                )
        stored.inputs = np.array(inputs, np.int32)
        stored.outputs = np.array([self._new_integers(tensor) for tensor in op.outputs], np.int32)
        entry = self._model.operatorCodes[stored.opcodeIndex]
        stored.opcodeIndex = self._code(op.name, max(entry.version, version_of(op)))

    def _as_floats(self, tensor: int) -> None:
        """Let there be the floats of a tensor."""
        if tensor not in self._floats and tensor in self._integers:
            self._boundary("DEQUANTIZE", self._integers[tensor], tensor)
            self._floats.add(tensor)

    def _as_integers(self, tensor: int) -> int:
        if tensor not in self._integers:
            self._boundary("QUANTIZE", tensor, self._new_integers(tensor))
        return self._integers[tensor]

    def _boundary(self, name: str, given: int, made: int) -> None:
        op: Any = schema.OperatorT()
        op.opcodeIndex = self._code(name, _VERSIONS[name])
        op.inputs, op.outputs = np.array([given], np.int32), np.array([made], np.int32)
        self._ops.append(op)

    def _new_integers(self, tensor: int) -> int:
        scale = self._scales.of(tensor)
        quantization = _quantization([scale.scale], [scale.zero_point])
        self._integers[tensor] = self._tensor(tensor, schema.TensorType.INT8, None, quantization)
        return self._integers[tensor]

    def _kernel(self, op: Operator, scales: np.ndarray) -> int:
        known, tensor = WEIGHT_OPS[op.name], stored_kernel(self._file, op)
        assert tensor is not None
        key = (tensor.index, scales.tobytes())
        if key not in self._kernels:
            values = tensor.data(self._file)
            axis = known.filters or 0
            shape = [-1 if a == axis else 1 for a in range(len(tensor.shape))]
            assert values is not None  # it is stored
            steps = values.astype(np.float64) / scales.astype(np.float64).reshape(shape if scales.size > 1 else -1)
            integers = np.clip(np.round(steps), -127, 127).astype(np.int8)
            quantization = _quantization(scales, np.zeros(scales.size, np.int64), axis if scales.size > 1 else 0)
            self._kernels[key] = self._tensor(tensor.index, schema.TensorType.INT8, integers, quantization)
        return self._kernels[key]

    def _bias(self, op: Operator, kernel: np.ndarray) -> int:
        tensor = stored_bias(self._file, op)
        assert tensor is not None
        given = self._scales.of(op.inputs[WEIGHT_OPS[op.name].activation]).scale
        scales = (np.float32(given) * kernel).astype(np.float32)
        values = tensor.data(self._file)
        assert values is not None  # it is stored
        less = self._scales.of(op.outputs[0]).scale / 2 if gives_signs_alone(self._file, op, self._plan.ops) else 0.0
        steps = np.round((values.astype(np.float64) - less) / scales.astype(np.float64))
        quantization = _quantization(scales, np.zeros(scales.size, np.int64))
        return self._tensor(tensor.index, schema.TensorType.INT32, steps.astype(np.int32), quantization)

    def _constant(self, op: Operator, tensor: int, values: np.ndarray) -> int:
        scale: Scale = self._scales.of_input(op, tensor)
        quantization = _quantization([scale.scale], [scale.zero_point])
        return self._tensor(tensor, schema.TensorType.INT8, scale.store(values), quantization)

    def _tensor(self, like: int, kind: int, constant: np.ndarray | None, quantization: Any) -> int:
        """Add the integers of a tensor, whose name is then another; returns their number."""
        tensor = self._graph.tensors[like]
        new = add_tensor_like(self._model, tensor, tensor.name + INTEGERS.encode(), kind, constant)
        self._graph.tensors[new].quantization = quantization
        return new

    def _code(self, name: str, version: int) -> int:
        if (name, version) not in self._codes:
            self._codes[name, version] = add_code(self._model, getattr(schema.BuiltinOperator, name), version)
        return self._codes[name, version]


def _with(tensors: Any, place: int, tensor: int) -> np.ndarray:
    changed = np.array(tensors, np.int32)
    changed[place] = tensor
    return changed


def _quantization(scales: Any, zero_points: Any, axis: int = 0) -> Any:
    quantization: Any = schema.QuantizationParametersT()
    quantization.scale = np.array(scales, np.float32)
    quantization.zeroPoint = np.array(zero_points, np.int64)
    quantization.quantizedDimension = axis
    return quantization


def _drop_unused_codes(model: Any) -> None:
    used = sorted({op.opcodeIndex for graph in model.subgraphs for op in graph.operators})
    place = {old: new for new, old in enumerate(used)}
    model.operatorCodes = [model.operatorCodes[i] for i in used]
    for graph in model.subgraphs:
        for op in graph.operators:
            op.opcodeIndex = place[op.opcodeIndex]
