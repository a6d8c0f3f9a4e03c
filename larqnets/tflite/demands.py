"""What TFLite's kernels take for granted about a graph: where it does not hold, they divide by zero or read what is not there.

Every demand is one that the engine cannot do without, so no file that runs is refused. Shapes that are only known while it
runs are not judged.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from larqnets.tflite.flatbuffer import FlatbufferError
from larqnets.tflite.weight_ops import WEIGHT_OPS

if TYPE_CHECKING:
    from larqnets.tflite.model import Model, Operator, Subgraph, Tensor

# Ops that may lack an input, a state or a bias; those that hand inputs on to another subgraph may as well.
_RECURRENT = {
    *("LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "SVDF", "RNN"),
    *("UNIDIRECTIONAL_SEQUENCE_RNN", "BIDIRECTIONAL_SEQUENCE_RNN"),
}
_WITH_BIAS = {name for name, op in WEIGHT_OPS.items() if op.bias is not None}
_WEIGHTED = {name for name in _WITH_BIAS if WEIGHT_OPS[name].rank in (2, 4)} - {"LceBconv2d"}
_WITH_OPTIONAL_INPUTS = {*_RECURRENT, *_WITH_BIAS}
# Integers that stand for reals by a scale, by which the kernels of these ops divide.
_INTEGERS = ("int8", "uint8", "int16")
_RESCALING = {*_WEIGHTED, "ADD", "SUB", "MUL"}


def check_graphs(model: "Model") -> None:
    """Raise FlatbufferError unless every graph comes to an end and can be run in its order."""
    _check_calls([[called for op in graph.operators for called in op.calls] for graph in model.subgraphs])
    for graph in model.subgraphs:
        _check_order(model, graph)
        for op in graph.operators:
            _check_operator(model, graph, op)


def _check_calls(calls: Sequence[Sequence[int]]) -> None:
    """Raise FlatbufferError when a graph calls itself, directly or through others; `calls`: those that each one calls."""
    finished: set[int] = set()
    for start in range(len(calls)):
        entered: set[int] = set()
        todo = [(start, False)]
        while todo:
            graph, left = todo.pop()
            if left:
                entered.remove(graph)
                finished.add(graph)
            elif graph in entered:
                raise FlatbufferError(f"its subgraph {graph} calls itself")
            elif graph not in finished:
                if not 0 <= graph < len(calls):
                    raise FlatbufferError(f"it calls subgraph {graph}, but there are {len(calls)} subgraphs")
                entered.add(graph)
                todo.append((graph, True))
                todo.extend((called, False) for called in calls[graph])


def _check_order(model: "Model", graph: "Subgraph") -> None:
    """Raise FlatbufferError unless every tensor is written once, before it is read."""
    there = {t.index for t in graph.tensors if _is_given(model, t)}
    written = set(graph.inputs)
    for op in graph.operators:
        for index in op.inputs:
            if index >= 0 and index not in there and index not in written and op.name not in _RECURRENT:
                raise FlatbufferError(f"{_place(op)} reads tensor {index} before anything writes it")
        for index in op.outputs:
            if index in written:
                raise FlatbufferError(f"{_place(op)} writes tensor {index}, which is written already")
            written.add(index)


def _is_given(model: "Model", tensor: "Tensor") -> bool:
    """Return whether a tensor has values from the start: a constant, also one of no elements, or a state."""
    return tensor.is_variable or tensor.sparse or model.buffers[tensor.buffer].size > 0 or 0 in tensor.shape


def _place(op: "Operator") -> str:
    return f"operator {op.index} ({op.name}) of subgraph {op.subgraph}"


def _check_operator(model: "Model", graph: "Subgraph", op: "Operator") -> None:
    may_lack = op.is_custom or op.calls or op.name in _WITH_OPTIONAL_INPUTS
    if -1 in op.inputs and not may_lack:
        raise FlatbufferError(f"{_place(op)} lacks its input {op.inputs.index(-1)}")
    if op.name in _WEIGHTED:
        _check_weighted(model, graph, op)
    if op.name in _RESCALING:
        for index in op.outputs:
            quantization = graph.tensors[index].quantization
            if graph.tensors[index].dtype in _INTEGERS and quantization and min(quantization.scales) <= 0:
                raise FlatbufferError(f"{_place(op)} writes tensor {index} with a scale that is not positive")


def _check_weighted(model: "Model", graph: "Subgraph", op: "Operator") -> None:
    """Check that weights fit the input and that its integers have a scale."""
    position = WEIGHT_OPS[op.name].activation
    if len(op.inputs) < position + 1 or len(op.inputs) < 2 or op.inputs[position] < 0 or op.inputs[1] < 0:
        raise FlatbufferError(f"{_place(op)} lacks its input or its weights")
    source, weights = graph.tensors[op.inputs[position]], graph.tensors[op.inputs[1]]
    for index in op.outputs:
        result = graph.tensors[index]
        if {source.dtype, result.dtype} <= {*_INTEGERS} and result.quantization is None:
            raise FlatbufferError(f"{_place(op)} writes {result.dtype} without a scale")
    if 0 in weights.shape[1:]:
        raise FlatbufferError(f"{_place(op)} has weights of shape {weights.shape}")
    if source.is_dynamic or weights.is_dynamic or len(source.shape) != 4 or len(weights.shape) != 4:
        return
    channels, filters = source.shape[3], weights.shape[0]
    if op.name == "CONV_2D":
        groups = channels // weights.shape[3]
        if channels % weights.shape[3] or not groups or filters % groups:
            raise FlatbufferError(f"{_place(op)} applies weights {weights.shape} to {channels} channels")
    elif op.name == "DEPTHWISE_CONV_2D":
        if not channels or weights.shape[3] % channels:
            raise FlatbufferError(f"{_place(op)} applies weights {weights.shape} to {channels} channels")
    elif op.name == "TRANSPOSE_CONV":
        _check_transposed(model, graph, op, source, weights)


def _check_transposed(model: "Model", graph: "Subgraph", op: "Operator", source: "Tensor", weights: "Tensor") -> None:
    """Check that the output, whose shape the first input says, is one that the input can be the convolution of."""
    if op.inputs[0] < 0 or graph.tensors[op.inputs[0]].dtype != "int32":
        raise FlatbufferError(f"{_place(op)} lacks the shape of its output")
    shape = graph.tensors[op.inputs[0]].data(model)
    if shape is None:
        return
    if shape.size != 4:
        raise FlatbufferError(f"{_place(op)} makes an output of {shape.size} dimensions")
    batch, *size, filters = (int(n) for n in np.ravel(shape))
    strides = (op.options["stride_height"], op.options["stride_width"])
    missing = (0, 0) if op.options["padding"] == 0 else (weights.shape[1] - 1, weights.shape[2] - 1)
    made = (batch, *(math.ceil((n - less) / stride) for n, less, stride in zip(size, missing, strides, strict=True)))
    if made != source.shape[:3] or (filters, source.shape[3]) != (weights.shape[0], weights.shape[3]):
        raise FlatbufferError(f"{_place(op)} makes {tuple(shape.tolist())} of {source.shape} by {weights.shape}")
