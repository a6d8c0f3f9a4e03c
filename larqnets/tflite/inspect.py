"""What is in a .tflite file: every op with its kind, multiply-accumulates and bytes. Needs no TensorFlow."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from larqnets.errors import LarqnetsError, printable
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.lce_ops import CONV_INT8
from larqnets.tflite.model import Buffer, Model, Operator, Subgraph, Tensor
from larqnets.tflite.reading import read_model
from larqnets.tflite.weight_ops import WEIGHT_OPS
from larqnets.tflite.xnnpack import is_kept_out

Kind = Literal["binary", "int8", "float", "glue"]
KINDS: tuple[Kind, ...] = ("binary", "int8", "float", "glue")


@dataclass(frozen=True)
class InspectedOp:
    """One op. `bytes`: constants that it is the first to read; `layer`: the model layer it came from, "" if unknown."""

    index: int
    op: str
    name: str
    layer: str
    kind: Kind
    macs: int
    bytes: int
    input_shapes: tuple[tuple[int, ...], ...]  # of computed and constant inputs; absent ones are left out
    output_shapes: tuple[tuple[int, ...], ...]
    kept_out: bool  # our runtime leaves it to TensorFlow Lite's own kernels, since XNNPACK computes it wrongly


@dataclass(frozen=True)
class Inspection:
    """The answer of `inspect_model`. Ops of further subgraphs follow those of the first, with the index continuing."""

    file: str
    description: str
    ops: tuple[InspectedOp, ...]
    totals: dict[str, Any]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    metadata: dict[str, Any]
    unknown_ops: tuple[str, ...]
    own_ops: tuple[str, ...]  # ops of ours, which no program runs but our runtime

    def __repr__(self) -> str:
        share = f"{self.totals['binary_mac_share']:.1%} of the MACs 1-bit"
        return f"<Inspection {printable(self.file)}: {len(self.ops)} ops, {self.totals['file_bytes']:,} bytes, {share}>"

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {
            "file": self.file,
            "description": self.description,
            "ops": [asdict(op) for op in self.ops],
            "totals": self.totals,
            "inputs": self.inputs,
            "outputs": self.outputs,
            "metadata": self.metadata,
            "unknown_ops": list(self.unknown_ops),
            "own_ops": list(self.own_ops),
        }


def inspect_model(source: Path | str | bytes | Model) -> Inspection:
    """Inspect a .tflite file; raises LarqnetsError when it cannot be read or is not valid.

    Kinds: `binary` is LceBconv2d. `int8` is any other op with MACs whose activations, or only its weights, are integers;
    `float` is the rest of those. `glue` is everything without MACs.

    MACs = output elements x kernel positions x input channels per group, of the shapes in the file (a dynamic dimension
    counts as 1). A transposed convolution of stride s really takes s² times fewer. Recurrent ops are not counted.

    Totals, per kind: ops, MACs, bytes of constants; and `file_bytes`, `constant_bytes` (each stored once), `overhead_bytes`
    (the difference), `binary_mac_share` (the fraction of the MACs that are 1-bit).
    """
    model = read_model(source)
    document = own_metadata(model)
    layers = document.get("layers") if document else None
    ops: list[InspectedOp] = []
    counted: set[Buffer] = set()
    for graph in model.subgraphs:
        for operator in graph.operators:
            ops.append(_inspect_op(model, graph, operator, len(ops), layers, counted))
    graph = model.subgraphs[0]
    return Inspection(
        file=model.name,
        description=model.description,
        ops=tuple(ops),
        totals=_totals(model, ops),
        inputs=[_describe(graph.tensors[i]) for i in graph.inputs],
        outputs=[_describe(graph.tensors[i]) for i in graph.outputs],
        metadata={n: len(content) for n, content in model.metadata.items()} if document is None else document,
        unknown_ops=model.unknown_ops,
        own_ops=tuple(sorted({CONV_INT8} & set(model.operator_codes))),
    )


def count_macs(model: Model, operator: Operator) -> int:
    """Return the multiply-accumulates of an op, 0 for glue; LarqnetsError when its tensors do not fit a MAC op."""
    if operator.name not in WEIGHT_OPS:
        return 0
    source, kernel = _operands(model, operator)
    result = model.subgraphs[operator.subgraph].tensors[operator.outputs[0]]
    outputs = math.prod(result.shape)
    match operator.name:
        case "LceBconv2d":
            groups = source.shape[3] // kernel.shape[3]
            channels = operator.options["channels_in"] // groups
            # A bit-packed result has the filters in its last dimension 32 to a word.
            return math.prod((*result.shape[:3], *kernel.shape[:3])) * channels
        case "DEPTHWISE_CONV_2D":
            return outputs * math.prod(kernel.shape[1:3])
        case "BATCH_MATMUL":
            return outputs * source.shape[-2 if operator.options["adj_x"] else -1]
        case "CONV_3D":
            return outputs * math.prod(kernel.shape[:4])
        case "CONV_3D_TRANSPOSE":
            return outputs * math.prod(kernel.shape[:3]) * kernel.shape[4]
        case _:
            return outputs * math.prod(kernel.shape[1:])


def _operands(model: Model, operator: Operator) -> tuple[Tensor, Tensor]:
    """Return activation and kernel of a MAC op."""
    tensors, inputs = model.subgraphs[operator.subgraph].tensors, operator.inputs
    op = WEIGHT_OPS[operator.name]
    positions, rank = (op.activation, op.kernel), op.rank
    if len(inputs) <= max(positions) or min(inputs[p] for p in positions) < 0 or not operator.outputs:
        found = f"{len(inputs)} inputs and {len(operator.outputs)} outputs"
    else:
        source, kernel = (tensors[inputs[p]] for p in positions)
        if len(kernel.shape) == rank or (rank == 0 and min(len(source.shape), len(kernel.shape)) >= 2):
            return source, kernel
        found = f"a kernel of shape {kernel.shape}"
    raise LarqnetsError(
        f"{model.name} cannot be counted: operator {operator.index} ({operator.name}) of subgraph {operator.subgraph} has "
        f"{found}. Convert it again."
    )


def _kind(model: Model, operator: Operator) -> Kind:
    if operator.name == "LceBconv2d":
        return "binary"
    if operator.name not in WEIGHT_OPS:
        return "glue"
    dtypes = [tensor.dtype for tensor in _operands(model, operator)]
    return "int8" if any(dtype.startswith(("int", "uint")) for dtype in dtypes) else "float"


def _inspect_op(
    model: Model, graph: Subgraph, operator: Operator, index: int, layers: Any, counted: set[Buffer]
) -> InspectedOp:
    inputs = [graph.tensors[i] for i in operator.inputs if i >= 0]
    constants = {model.buffers[tensor.buffer] for tensor in inputs} - counted
    counted |= constants
    name = graph.tensors[operator.outputs[0]].name if operator.outputs else ""
    layer = layers.get(str(index)) if isinstance(layers, dict) else None
    return InspectedOp(
        index=index,
        op=operator.name,
        name=name,
        layer=printable(layer) if isinstance(layer, str) else _layer_of(name),
        kind=_kind(model, operator),
        macs=count_macs(model, operator),
        bytes=sum(buffer.size for buffer in constants),
        input_shapes=tuple(tensor.shape for tensor in inputs),
        output_shapes=tuple(graph.tensors[i].shape for i in operator.outputs),
        kept_out=is_kept_out(model, operator),
    )


def _layer_of(name: str) -> str:
    """Guess a layer from a tensor's name: "net/block_1/norm/FusedBatchNorm;net/…" -> "block_1/norm"; "" without a guess.

    The converter names a fused op after its last part and may cut the name short, so this is for reading only.
    """
    parts = [part for part in name.split(";")[0].split("/") if not part.startswith(("StatefulPart", "PartitionedCall"))]
    return "/".join(parts[1:-1])


def _totals(model: Model, ops: list[InspectedOp]) -> dict[str, Any]:
    totals: dict[str, Any] = {}
    for kind in KINDS:
        mine = [op for op in ops if op.kind == kind]
        totals[kind] = {"ops": len(mine), "macs": sum(o.macs for o in mine), "bytes": sum(o.bytes for o in mine)}
    used = {model.buffers[tensor.buffer] for graph in model.subgraphs for tensor in graph.tensors}
    constants = sum(buffer.size for buffer in used)
    macs = sum(op.macs for op in ops)
    return totals | {
        "file_bytes": model.size_bytes,
        "constant_bytes": constants,
        "overhead_bytes": model.size_bytes - constants,
        "binary_mac_share": totals["binary"]["macs"] / macs if macs else 0.0,
    }


def _describe(tensor: Tensor) -> dict[str, Any]:
    quantization = asdict(tensor.quantization) if tensor.quantization else None
    return {"name": tensor.name, "shape": tensor.shape, "dtype": tensor.dtype, "quantization": quantization}
