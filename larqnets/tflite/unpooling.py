"""Where a .tflite file unpools: puts values at the places of the maxima of another map, with ops that every engine has."""

import numpy as np

from larqnets.tflite.model import Model


def maps_before_pooling(file: Model) -> list[int]:
    """Return the maps by which a file unpools: each is divided into the four places of all windows.

    So does `larqnets.layers.max_unpool`, with a STRIDED_SLICE for every place; a file may leave out the last, which takes what
    the others leave.
    """
    graph = file.subgraphs[0]
    places: dict[int, set[tuple[int, ...]]] = {}
    for op in graph.operators:
        if op.name != "STRIDED_SLICE" or len(op.inputs) != 4:  # no engine runs one of other inputs
            continue
        begins, _, strides = (graph.tensors[i].data(file) for i in op.inputs[1:])
        if begins is not None and strides is not None and np.ravel(strides)[:3].tolist() == [1, 2, 2]:
            places.setdefault(op.inputs[0], set()).add(tuple(np.ravel(begins)[1:3].tolist()))
    return [tensor for tensor, found in places.items() if len(found) >= 3]
