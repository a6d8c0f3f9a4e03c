"""What a .tflite file answers with: what its metadata say, else what its last op is."""

from deploy.inspect import own_metadata
from deploy.tflite import Model
from larqnets.scores import KEY, KINDS, Kind

# Ops behind which probabilities are still probabilities.
_SAME = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "QUANTIZE", "DEQUANTIZE", "CAST")
_LAST: dict[str, Kind] = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoid", "STABLEHLO_LOGISTIC": "sigmoid"}


def kind_of_file(model: Model) -> Kind:
    """Return what the first output of a file holds."""
    said = (own_metadata(model) or {}).get(KEY)
    return said if said in KINDS else _kind_by_ops(model)


def _kind_by_ops(model: Model) -> Kind:
    graph = model.subgraphs[0]
    makers = {tensor: op for op in graph.operators for tensor in op.outputs}
    tensor = graph.outputs[0] if graph.outputs else -1
    for _ in graph.operators:  # a damaged file may have a cycle
        op = makers.get(tensor)
        if op is None:
            break
        if op.name in _LAST:
            return _LAST[op.name]
        if op.name not in _SAME or not op.inputs:
            break
        tensor = op.inputs[0]
    return "logits"
