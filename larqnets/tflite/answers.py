"""What a .tflite file answers with: what its metadata say, else what its last op is."""

from collections.abc import Collection

from larqnets.scores import KEY, KINDS, Kind
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.model import Model, Operator

# Ops behind which probabilities are still probabilities.
_SAME = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "QUANTIZE", "DEQUANTIZE", "CAST")
_LAST: dict[str, Kind] = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid", "STABLEHLO_LOGISTIC": "sigmoid"}


def kind_of_file(model: Model) -> Kind:
    """Return what the first output of a file holds."""
    said = (own_metadata(model) or {}).get(KEY)
    return said if said in KINDS else _LAST.get(getattr(last_op(model, _SAME), "name", ""), "logits")


def last_op(model: Model, through: Collection[str], output: int = 0) -> Operator | None:
    """Return the op that makes the values of an output: the last one that is not among `through`."""
    graph = model.subgraphs[0]
    makers = {tensor: op for op in graph.operators for tensor in op.outputs}
    op = makers.get(graph.outputs[output]) if graph.outputs else None
    while op is not None and op.name in through and op.inputs:  # a graph has no circle: the reader refuses one
        op = makers.get(op.inputs[0])
    return op
