"""The ops of a file each by itself: with inputs of their own in the place of what other ops give, in integers and in floats.

End to end two right programs differ: a step of an integer turns a sign, and everything behind it moves. Each op by itself
differs by a rounding at most.
"""

from typing import Any, NamedTuple

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from deploy.export.edit import add_code, add_tensor_like, pack, unpack, without_unused
from larqnets.tflite.model import Model, Operator, Tensor
from larqnets.tflite.quantized import dequantized, is_quantized

_TYPES = schema.TensorType


class Apart(NamedTuple):
    """A file; `takes` and `gives`: which tensors of the one that it was made of its inputs and outputs stand for."""

    content: bytes
    takes: list[int]
    gives: list[int]


def apart(file: Model) -> Apart:
    """Return the file with every op by itself."""
    model = unpack(file.content)
    graph = model.subgraphs[0]
    given = _given(file, graph, file.subgraphs[0].operators)
    for op in graph.operators:
        op.inputs = np.array([given.get(int(i), i) for i in op.inputs], np.int32)
    gives = [int(i) for op in graph.operators for i in op.outputs]
    return _answering(model, given, gives, gives)


def in_floats(file: Model, ops: list[Operator]) -> Apart:
    """Return those ops of a file each by itself as ops of floats, between integers as inputs and floats as outputs.

    Their constants are what the integers stand for, so it is what the ops are to compute but for the rounding of the result.
    """
    model = unpack(file.content)
    graph = model.subgraphs[0]
    tensors = file.subgraphs[0].tensors
    given = _given(file, graph, ops)
    floats: dict[int, int] = {}
    made: list[Any] = []
    dequantize = add_code(model, schema.BuiltinOperator.DEQUANTIZE, 2)

    def real(tensor: int, values: np.ndarray | None = None) -> int:
        return add_tensor_like(model, graph.tensors[tensor], f"real_{len(graph.tensors)}", _TYPES.FLOAT32, values)

    def as_float(tensor: Tensor) -> int:
        if tensor.index not in floats:
            constant = tensor.data(file)
            values = None if constant is None else dequantized(tensor, constant).astype(np.float32)
            floats[tensor.index] = real(tensor.index, values)
            if values is None:
                op: Any = schema.OperatorT()
                op.opcodeIndex = dequantize
                op.inputs, op.outputs = (
                    np.array([given[tensor.index]], np.int32),
                    np.array([floats[tensor.index]], np.int32),
                )
                made.append(op)
        return floats[tensor.index]

    outputs, gives = [], []
    for op in ops:
        stored = graph.operators[op.index]
        inputs = [
            -1 if i < 0 else as_float(tensors[i]) if is_quantized(tensors[i]) else given.get(i, i) for i in op.inputs
        ]
        results = [real(i) for i in op.outputs]
        stored.inputs, stored.outputs = np.array(inputs, np.int32), np.array(results, np.int32)
        made.append(stored)
        outputs, gives = [*outputs, *results], [*gives, *op.outputs]
    graph.operators = made
    return _answering(model, given, outputs, gives)


def _given(file: Model, graph: Any, ops: Any) -> dict[int, int]:
    """Add an input of its own for every computed tensor that the ops take; returns tensor -> input."""
    tensors, model = file.subgraphs[0].tensors, graph
    given = {}
    for op in ops:
        for i in op.inputs:
            if i >= 0 and i not in given and not file.buffers[tensors[i].buffer].size:
                copy = schema.TensorT()
                copy.__dict__.update(graph.tensors[i].__dict__)
                copy.name = f"given_{len(given)}"
                model.tensors.append(copy)
                given[i] = len(model.tensors) - 1
    return given


def _answering(model: Any, given: dict[int, int], outputs: list[int], gives: list[int]) -> Apart:
    graph = model.subgraphs[0]
    graph.inputs, graph.outputs = (np.array(x, np.int32) for x in ([*given.values()], outputs))
    model.signatureDefs = None
    return Apart(pack(without_unused(model)), [*given], gives)
