"""Change a .tflite file: add metadata, add outputs. Needs TensorFlow's schema classes (extra `train`)."""

import json
from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from larqnets.tflite.inspect import METADATA_NAME


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
    model = _unpack(content)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(json.dumps(entry, sort_keys=True).encode(), np.uint8)  # pyright: ignore[reportAttributeAccessIssue]  # as the generated reader makes it
    model.buffers.append(buffer)
    metadata = schema.MetadataT()
    metadata.name, metadata.buffer = METADATA_NAME, len(model.buffers) - 1
    model.metadata = [m for m in model.metadata or [] if m.name not in (METADATA_NAME, METADATA_NAME.encode())]
    model.metadata.append(metadata)
    return _pack(model)


def order_outputs(content: bytes, names: Sequence[str]) -> bytes:
    """Return the file with its outputs in the order of `names`, which its signature gives them.

    The converters order them otherwise than the model does.
    """
    model = _unpack(content)
    (signature,) = model.signatureDefs
    by_name = {output.name.decode(): output for output in signature.outputs}
    signature.outputs = [by_name[name] for name in names]
    model.subgraphs[0].outputs = np.array([output.tensorIndex for output in signature.outputs], np.int32)
    return _pack(model)


def tap(content: bytes, tensors: Sequence[int]) -> bytes:
    """Return a copy of the file whose only outputs are the given tensors of subgraph 0 and then its own outputs.

    Signatures are dropped, since they name the old outputs. Extra Keras outputs would change how the converter fuses;
    this changes nothing but what can be read.
    """
    model = _unpack(content)
    graph = model.subgraphs[0]
    graph.outputs = np.array([*tensors, *graph.outputs], np.int32)
    model.signatureDefs = None
    return _pack(model)


def _unpack(content: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


def _pack(model: Any) -> bytes:
    builder = _AlignedBuilder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())
