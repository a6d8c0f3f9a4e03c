"""Which ops of a float-rest file become int8, and why the others do not.

mixed   ops with weights, and what hands their values on (MAX_POOL_2D, SPACE_TO_DEPTH, ...); the residual stream stays float
full    all that have an int8 form, but PRELU
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from deploy.integers.ops import BEFORE, BEHIND, data_inputs, why_not
from deploy.targets import Rest
from larqnets.tflite.model import Model, Operator
from larqnets.tflite.weight_ops import WEIGHT_OPS

RESIDUAL = "mixed leaves the residual stream float, where int8 costs more"
ISLAND = "all around it is float"
KEPT = "--keep-float"
ENDING = "it makes answers of what the last kernels give, which needs floats"


@dataclass(frozen=True)
class Plan:
    """`ops`: the numbers of those that become int8; `left`: those that compute in floats on, and why."""

    ops: frozenset[int]
    left: dict[int, str]


def plan(file: Model, rest: Rest, keep: Collection[int] = (), *, decodes: bool = False) -> Plan:
    """Decide for every op of subgraph 0.

    `keep`: numbers of ops that stay float whatever they are. `decodes`: what follows the last kernels stays float too, as in
    detectors, whose boxes and scores need scales of their own.
    """
    graph = file.subgraphs[0]
    makers = {tensor: op for op in graph.operators for tensor in op.outputs}
    readers: dict[int, list[Operator]] = defaultdict(list)
    for op in graph.operators:
        for tensor in op.inputs:
            readers[tensor].append(op)
    computing = [op for op in graph.operators if not op.name.startswith("Lce") and _floats(file, op)]
    left = {op.index: reason for op in computing if (reason := why_not(file, op)) is not None}
    left |= {op.index: KEPT for op in computing if op.index in keep}
    behind = _behind_last_kernels(file, readers) if decodes else frozenset()
    left |= {op.index: ENDING for op in computing if op.index in behind and op.index not in left}
    able = [op for op in computing if op.index not in left]
    if rest == "full":
        islands = _islands(able, makers, readers)
        return Plan(
            frozenset(op.index for op in able if op.index not in islands), left | dict.fromkeys(islands, ISLAND)
        )
    chosen = {op.index for op in able if op.name in WEIGHT_OPS}
    carriers = [op for op in able if op.name in (*BEHIND, *BEFORE)]
    for op in carriers:
        made_by = makers.get(op.inputs[0])
        if op.name in BEHIND and made_by is not None and made_by.index in chosen:
            chosen.add(op.index)
    for op in reversed(carriers):
        if op.name in BEFORE and readers[op.outputs[0]] and all(r.index in chosen for r in readers[op.outputs[0]]):
            chosen.add(op.index)
    left |= {op.index: RESIDUAL for op in able if op.index not in chosen}
    return Plan(frozenset(chosen), left)


def _floats(file: Model, op: Operator) -> bool:
    """Whether an op takes floats and gives floats."""
    tensors = file.subgraphs[0].tensors
    given = [tensors[i] for i in op.inputs if i >= 0]
    return any(t.dtype == "float32" for t in given) and all(tensors[i].dtype == "float32" for i in op.outputs)


def _islands(able: list[Operator], makers: dict[int, Operator], readers: dict[int, list[Operator]]) -> set[int]:
    """Return the ops without weights that would take and give nothing but floats made integers for them alone."""
    chosen = {op.index for op in able}
    while True:
        alone = set()
        for op in able:
            before = [makers[tensor] for tensor in op.inputs if tensor in makers]
            behind = [reader for tensor in op.outputs for reader in readers[tensor]]
            joined = any(other.index in chosen for other in (*before, *behind)) or any(
                b.name in WEIGHT_OPS for b in before
            )
            if op.index in chosen and op.name not in WEIGHT_OPS and not joined:
                alone.add(op.index)
        if not alone:
            return {op.index for op in able} - chosen
        chosen -= alone


def _behind_last_kernels(file: Model, readers: dict[int, list[Operator]]) -> frozenset[int]:
    """Return the ops behind which no op with weights stands, and that have none themselves."""
    leading: set[int] = set()
    for op in reversed(file.subgraphs[0].operators):
        followed = any(reader.index in leading for tensor in op.outputs for reader in readers[tensor])
        if op.name in WEIGHT_OPS or followed:
            leading.add(op.index)
    return frozenset(op.index for op in file.subgraphs[0].operators if op.index not in leading)


def gives_signs_alone(file: Model, op: Operator, integers: Collection[int] | None = None) -> bool:
    """Whether of what an op with weights gives nothing is taken but the signs, behind max-pools or not.

    As integers, where values in the lower half of the step to 0 are 0 and so positive, it is to give half a step less: then no
    sign is another, and nobody else sees the difference. A clipped output cannot. `integers`: the ops of a plan, None where
    the file has them in int8 already.
    """
    if op.options.get("fused_activation_function", 0) or len(op.outputs) != 1:
        return False
    graph = file.subgraphs[0]
    readers = [reader for reader in graph.operators if op.outputs[0] in reader.inputs]
    if not readers or op.outputs[0] in graph.outputs:
        return False
    pools = [
        reader for reader in readers if reader.name == "MAX_POOL_2D" and (integers is None or reader.index in integers)
    ]
    return all(
        reader.name == "LceQuantize" or (reader in pools and gives_signs_alone(file, reader, integers))
        for reader in readers
    )


def activations_of(file: Model, op: Operator) -> list[int]:
    """Return the tensors of an op of the plan that become int8 in front of it: those that are computed or given."""
    tensors = file.subgraphs[0].tensors
    inputs = [op.inputs[i] for i in data_inputs(op)]
    return [i for i in inputs if not file.buffers[tensors[i].buffer].size]
