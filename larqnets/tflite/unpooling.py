"""Where a .tflite file unpools: puts values at the places of the maxima of another map, with ops that every engine has."""

from larqnets.tflite.model import Model


def maps_before_pooling(file: Model) -> list[int]:
    """Return the maps by which a file unpools: each is divided into the four places of all windows.

    So does `larqnets.layers.max_unpool`: SPACE_TO_DEPTH, and SPLIT behind it.
    """
    graph = file.subgraphs[0]
    split = {tensor for op in graph.operators if op.name == "SPLIT" for tensor in op.inputs}
    made = (op for op in graph.operators if op.name == "SPACE_TO_DEPTH" and split.intersection(op.outputs))
    return list(dict.fromkeys(op.inputs[0] for op in made if op.inputs))
