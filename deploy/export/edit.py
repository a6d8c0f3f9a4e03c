"""Change a .tflite file: metadata, outputs, in which form it answers for pixels, what follows it. Needs TensorFlow's schema classes
(extra `train`)."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

import flatbuffers
import numpy as np
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

from larqnets.tflite import detection_op
from larqnets.tflite.file_metadata import METADATA_NAME


class _AlignedBuilder(flatbuffers.Builder):
    """A builder that puts constant buffers on 16-byte boundaries, as the TFLite schema asks (force_align)."""

    def CreateNumpyVector(self, x: np.ndarray) -> int:  # noqa: N802 - the library's name
        if x.dtype != np.uint8 or x.ndim != 1:
            return super().CreateNumpyVector(x)
        self.StartVector(1, x.size, 16)
        self.head -= x.size
        self.Bytes[self.head : self.head + x.size] = x.tobytes()
        return self.EndVector()


def add_metadata(content: bytes, entry: dict[str, Any]) -> bytes:
    """Return the file with the JSON object `entry` in its metadata under the name "larqnets"; weights stay as they are."""
    return add_metadata_bytes(content, METADATA_NAME, json.dumps(entry, sort_keys=True).encode())


def add_metadata_bytes(content: bytes, name: str, entry: bytes) -> bytes:
    """Return the file with `entry` in its metadata under a name, in the place of what was there."""
    model = unpack(content)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(entry, np.uint8)  # pyright: ignore[reportAttributeAccessIssue]  # as the generated reader makes it
    model.buffers.append(buffer)
    metadata = schema.MetadataT()
    metadata.name, metadata.buffer = name, len(model.buffers) - 1
    model.metadata = [m for m in model.metadata or [] if m.name not in (name, name.encode())]
    model.metadata.append(metadata)
    return pack(model)


def order_outputs(content: bytes, names: Sequence[str]) -> bytes:
    """Return the file with its outputs in the order of `names`, which its signature gives them.

    The converters order them otherwise than the model does.
    """
    model = unpack(content)
    (signature,) = model.signatureDefs
    by_name = {output.name.decode(): output for output in signature.outputs}
    signature.outputs = [by_name[name] for name in names]
    model.subgraphs[0].outputs = np.array([output.tensorIndex for output in signature.outputs], np.int32)
    return pack(model)


def tap(content: bytes, tensors: Sequence[int]) -> bytes:
    """Return a copy of the file whose only outputs are the given tensors of subgraph 0 and then its own outputs.

    Signatures are dropped, since they name the old outputs. Extra Keras outputs would change how the converter fuses;
    this changes nothing but what can be read.
    """
    model = unpack(content)
    graph = model.subgraphs[0]
    graph.outputs = np.array([*tensors, *graph.outputs], np.int32)
    model.signatureDefs = None
    return pack(model)


class Reformed(NamedTuple):
    """A file whose end is another; `removed` is the index that an op had which it lacks, None where it has all."""

    content: bytes
    removed: int | None


def with_mask(content: bytes) -> Reformed:
    """Return the file with ARG_MAX and CAST behind its only output (1, H, W, C): `mask`, uint8 (1, H, W).

    Of logits in integers the largest is sought among the integers, so their DEQUANTIZE goes. The rest stays as it is.
    """
    model = unpack(content)
    graph = model.subgraphs[0]
    last, removed = _maker(graph, graph.outputs[0]), None
    given = graph.outputs[0]
    if _name(model, last) == schema.BuiltinOperator.DEQUANTIZE:
        given, removed = last.inputs[0], graph.operators.index(last)
        graph.operators.remove(last)
    logits = graph.tensors[given]
    axis = _tensor(model, "mask/axis", [], None, schema.TensorType.INT32, np.array([-1], np.int32))
    shape, signature = list(logits.shape[:-1]), logits.shapeSignature
    signature = None if signature is None else signature[:-1]
    largest = _tensor(model, "mask/largest", shape, signature, schema.TensorType.INT32)
    mask = _tensor(model, "mask", shape, signature, schema.TensorType.UINT8)
    options = schema.ArgMaxOptionsT()
    options.outputType = schema.TensorType.INT32
    version = 2 if logits.type == schema.TensorType.INT8 else 1
    _append(model, schema.BuiltinOperator.ARG_MAX, version, [given, axis], largest, options)
    _append(model, schema.BuiltinOperator.CAST, 1, [largest], mask)
    _answer(model, mask, b"mask")
    return Reformed(pack(model), removed)


def without_resize(content: bytes) -> Reformed:
    """Return the file without the resize that its only output ends with, DEQUANTIZE apart; the rest stays as it is."""
    model = unpack(content)
    graph = model.subgraphs[0]
    last = _maker(graph, graph.outputs[0])
    floats = last if _name(model, last) == schema.BuiltinOperator.DEQUANTIZE else None
    resize = last if floats is None else _maker(graph, last.inputs[0])
    removed = graph.operators.index(resize)
    graph.operators.remove(resize)
    if floats is None:
        _answer(model, resize.inputs[0])
    else:
        small, output = graph.tensors[resize.inputs[0]], graph.tensors[graph.outputs[0]]
        floats.inputs = np.array([resize.inputs[0]], np.int32)
        output.shape, output.shapeSignature = small.shape, small.shapeSignature
    return Reformed(pack(without_unused(model)), removed)


def answering_with(content: bytes, *tensors: int) -> bytes:
    """Return a copy of the file whose only outputs are the given tensors of subgraph 0, without the ops that they do not take.

    XNNPACK on ARM64 ends the process at some whose result nobody reads.
    """
    model = unpack(content)
    graph, needed, kept = model.subgraphs[0], {*tensors}, []
    for op in reversed(graph.operators):
        if needed.intersection(op.outputs):
            needed.update(op.inputs)
            kept.append(op)
    graph.operators, graph.outputs = kept[::-1], np.array(tensors, np.int32)
    model.signatureDefs = None
    return pack(model)


def joined(content: bytes, behind: bytes, given: Mapping[str, int]) -> bytes:
    """Return one file of two: `behind` works on tensors of the first, `given` to its inputs by their names.

    It answers as `behind` does, and says of itself what the first does, whose outputs are called as they were.
    """
    model, other = unpack(content), unpack(behind)
    graph, rest = model.subgraphs[0], other.subgraphs[0]
    (signature,), (said,) = model.signatureDefs, other.signatureDefs
    for port in signature.outputs:
        _rename(model, port.tensorIndex, port.name.decode())
    place = {port.tensorIndex: given[port.name.decode()] for port in said.inputs}
    for i, tensor in enumerate(rest.tensors):
        if i not in place:
            tensor.buffer += len(model.buffers)
            graph.tensors.append(tensor)
            place[i] = len(graph.tensors) - 1
    for op in rest.operators:
        op.opcodeIndex += len(model.operatorCodes)
        op.inputs, op.outputs = (np.array([place.get(i, i) for i in own], np.int32) for own in (op.inputs, op.outputs))
        graph.operators.append(op)
    model.buffers += other.buffers
    model.operatorCodes += other.operatorCodes
    graph.outputs = np.array([place[i] for i in rest.outputs], np.int32)
    for port in said.outputs:
        port.tensorIndex = place[port.tensorIndex]
    signature.outputs = said.outputs
    return pack(model)


def with_detection_op(content: bytes, scores: int, anchors: np.ndarray, options: Mapping[str, Any]) -> bytes:
    """Return the file with TFLite_Detection_PostProcess behind its only output, encodings (1, A, 4), and its tensor `scores`.

    `anchors`: float32 (A, 4); `options` as the op has them. Outputs in the order that other programs expect: boxes, classes,
    scores, count.
    """
    model = unpack(content)
    graph = model.subgraphs[0]
    most, name = options["max_detections"], detection_op.NAME
    places = _tensor(
        model, f"{name}/anchors", list(anchors.shape), None, schema.TensorType.FLOAT32, anchors.reshape(-1)
    )
    shapes = {"boxes": [1, most, 4], "classes": [1, most], "scores": [1, most], "count": [1]}
    outputs = [
        _tensor(model, f"{name}:{i}" if i else name, shape, None, schema.TensorType.FLOAT32)
        for i, shape in enumerate(shapes.values())
    ]
    op = cast(Any, schema.OperatorT())
    op.opcodeIndex = add_code(model, schema.BuiltinOperator.CUSTOM, 1, name)
    op.inputs, op.outputs = np.array([graph.outputs[0], scores, places], np.int32), np.array(outputs, np.int32)
    op.customOptions = np.frombuffer(flexbuffers.Dumps(dict(options)), np.uint8)
    graph.operators.append(op)
    graph.outputs = op.outputs
    for signature in model.signatureDefs:
        signature.outputs = []
        for port_name, index in zip(shapes, outputs, strict=True):
            port = schema.TensorMapT()
            port.name, port.tensorIndex = port_name, index
            signature.outputs.append(port)
    return pack(model)


def _rename(model: Any, tensor: int, name: str) -> None:
    """Give a tensor a name, and the integers that it is made of where it is made of some."""
    graph = model.subgraphs[0]
    graph.tensors[tensor].name = name
    maker = next((op for op in graph.operators if tensor in op.outputs), None)
    if maker is not None and _name(model, maker) == schema.BuiltinOperator.DEQUANTIZE:
        graph.tensors[maker.inputs[0]].name = f"{name}/integers"


def _maker(graph: Any, tensor: int) -> Any:
    return next(op for op in graph.operators if tensor in op.outputs)


def _name(model: Any, op: Any) -> int:
    return model.operatorCodes[op.opcodeIndex].builtinCode


def _tensor(
    model: Any, name: str | bytes, shape: Any, signature: Any, kind: int, constant: np.ndarray | None = None
) -> int:
    """Add a tensor to subgraph 0, computed or `constant`; returns its index."""
    tensor, buffer = cast(Any, schema.TensorT()), schema.BufferT()
    if constant is not None:
        buffer.data = np.frombuffer(constant.tobytes(), np.uint8)  # pyright: ignore[reportAttributeAccessIssue]  # as the generated reader makes it
    model.buffers.append(buffer)
    tensor.name, tensor.type, tensor.buffer = name, kind, len(model.buffers) - 1
    tensor.shape, tensor.shapeSignature, tensor.hasRank = shape, signature, True
    model.subgraphs[0].tensors.append(tensor)
    return len(model.subgraphs[0].tensors) - 1


def add_tensor_like(model: Any, like: Any, name: str | bytes, kind: int, constant: np.ndarray | None = None) -> int:
    """Add a tensor of the shape of another to subgraph 0, computed or `constant`; returns its index."""
    tensors = model.subgraphs[0].tensors
    index = _tensor(model, name, like.shape, like.shapeSignature, kind, constant)
    tensors[index].hasRank = like.hasRank
    return index


def add_code(model: Any, number: int, version: int, custom: str | None = None) -> int:
    """Add an op that a file uses, a builtin one or CUSTOM with its name; returns its number among them."""
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)  # the older field is a byte
    code.customCode, code.version = custom, version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def _append(model: Any, code: int, version: int, inputs: Sequence[int], output: int, options: Any = None) -> None:
    op = cast(Any, schema.OperatorT())
    op.opcodeIndex = add_code(model, code, version)
    op.inputs, op.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    if options is not None:
        op.builtinOptions, op.builtinOptionsType = options, schema.BuiltinOptions.ArgMaxOptions
    model.subgraphs[0].operators.append(op)


def _answer(model: Any, tensor: int, name: bytes | None = None) -> None:
    """Make a tensor the only output of subgraph 0, in its signatures too; `name`: what they call it, None as before."""
    model.subgraphs[0].outputs = np.array([tensor], np.int32)
    for signature in model.signatureDefs or []:
        for output in signature.outputs if signature.subgraphIndex == 0 else []:
            output.tensorIndex, output.name = tensor, name or output.name


def without_unused(model: Any) -> Any:
    """Take away the tensors of subgraph 0 that nothing reads or writes, with the bytes of the constants among them."""
    graph = model.subgraphs[0]
    uses = [*graph.inputs, *graph.outputs, *(i for op in graph.operators for i in (*op.inputs, *op.outputs))]
    kept = sorted({int(i) for i in uses if i >= 0})
    place = {-1: -1, **{old: new for new, old in enumerate(kept)}}
    lost = {tensor.buffer for tensor in graph.tensors} - {graph.tensors[i].buffer for i in kept}
    graph.tensors = [graph.tensors[i] for i in kept]
    for holder, names in ((graph, ("inputs", "outputs")), *((op, ("inputs", "outputs")) for op in graph.operators)):
        for name in names:
            setattr(holder, name, np.array([place[int(i)] for i in getattr(holder, name)], np.int32))
    for signature in model.signatureDefs or []:
        for port in (*signature.inputs, *signature.outputs) if signature.subgraphIndex == 0 else ():
            port.tensorIndex = place[port.tensorIndex]
    for buffer in lost:
        model.buffers[buffer].data = None
    return model


def unpack(content: bytes) -> Any:
    """Return a file as the schema's objects, which can be changed."""
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


def pack(model: Any) -> bytes:
    """Return the file of the schema's objects."""
    builder = _AlignedBuilder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
