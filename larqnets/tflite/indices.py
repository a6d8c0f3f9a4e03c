"""Which inputs of a model are indices, and into how many entries: a number drawn at random would lie outside."""

from collections.abc import Iterator

from larqnets.tflite.model import Model, Operator, Subgraph

# Op -> positions of the indices and of what they point into.
_LOOKUPS = {"GATHER": (1, 0), "GATHER_ND": (1, 0), "EMBEDDING_LOOKUP": (0, 1)}
# Ops behind which an index is still that index; Keras casts the floats that an embedding is given.
_SAME = ("CAST", "RESHAPE", "SQUEEZE", "EXPAND_DIMS")


def index_limits(model: Model) -> dict[int, int]:
    """Return input tensor -> how many entries it may point at; only of inputs that are looked up with directly.

    The least dimension of what is pointed into counts, whichever of them is meant.
    """
    graph = model.subgraphs[0]
    limits: dict[int, int] = {}
    for tensor in graph.inputs:
        for op, position in _uses(graph, tensor):
            indices, entries = _LOOKUPS[op.name]
            if position == indices and len(op.inputs) > entries and op.inputs[entries] >= 0:
                least = min(graph.tensors[op.inputs[entries]].shape, default=1)
                limits[tensor] = max(1, min(least, limits.get(tensor, least)))
    return limits


def _uses(graph: Subgraph, tensor: int) -> Iterator[tuple[Operator, int]]:
    """Yield the lookups that read a tensor, as it is or through ops that keep its values, and at which position."""
    reached = {tensor}
    for op in graph.operators:  # in the order of execution
        positions = [i for i, source in enumerate(op.inputs) if source in reached]
        if op.name in _LOOKUPS:
            yield from ((op, position) for position in positions)
        elif op.name in _SAME and 0 in positions:
            reached.update(op.outputs)
