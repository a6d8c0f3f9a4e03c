"""Graphs that would make TFLite's kernels divide by zero, recurse without end or read past the end are refused in a sentence.

Each was found by damage that killed the Larq Compute Engine's interpreter; the undamaged files are accepted.
"""

from collections.abc import Callable

import numpy as np
import pytest
from foreign_files import FILES
from tensorflow.lite.python.schema_py_generated import BuiltinOperator, BuiltinOptions, IfOptionsT, ModelT, OperatorT

from deploy.export import edit
from larqnets.errors import LarqnetsError
from larqnets.tflite.reading import read_model


def op(model: ModelT, name: str) -> OperatorT:
    number = getattr(BuiltinOperator, name)
    return next(o for o in model.subgraphs[0].operators if model.operatorCodes[o.opcodeIndex].builtinCode == number)


def if_calls(model: ModelT, graph: int) -> None:
    op(model, "IF").builtinOptions.thenSubgraphIndex = graph


def no_if_options(model: ModelT) -> None:
    op(model, "IF").builtinOptions = None
    op(model, "IF").builtinOptionsType = 0


def if_options_elsewhere(model: ModelT) -> None:
    """A subgraph calls the first one: the circle is closed by two."""
    inner = model.subgraphs[op(model, "IF").builtinOptions.thenSubgraphIndex].operators[0]
    inner.opcodeIndex = op(model, "IF").opcodeIndex
    inner.builtinOptionsType, inner.builtinOptions = BuiltinOptions.IfOptions, IfOptionsT()


def input_channels(model: ModelT, channels: int) -> None:
    tensor = model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]]
    tensor.shape = [*tensor.shape[:3], channels]


def transposed_width(model: ModelT) -> None:
    shape = model.buffers[model.subgraphs[0].tensors[op(model, "TRANSPOSE_CONV").inputs[0]].buffer]
    shape.data = np.array([1, 8, 4096, 4], "<i4").view(np.uint8)


def scale(model: ModelT, values: list[float]) -> None:
    quantization = model.subgraphs[0].tensors[op(model, "CONV_2D").outputs[0]].quantization
    quantization.scale, quantization.zeroPoint = values, [0] * len(values)


def output(model: ModelT, name: str, tensor: int) -> None:
    op(model, name).outputs = [tensor]


def lacks(model: ModelT, name: str, position: int) -> None:
    inputs = list(op(model, name).inputs)
    inputs[position] = -1
    op(model, name).inputs = inputs


def sparsity(model: ModelT):
    return next(t for t in model.subgraphs[0].tensors if t.sparsity is not None).sparsity


def segments(model: ModelT, position: int, value: int) -> None:
    level = next(level for level in sparsity(model).dimMetadata if level.format == 1)
    level.arraySegments.values = values = list(level.arraySegments.values)
    values[position] = value


def indices(model: ModelT, value: int) -> None:
    level = next(level for level in sparsity(model).dimMetadata if level.format == 1)
    level.arrayIndices.values = [value, *list(level.arrayIndices.values)[1:]]


def large_options(model: ModelT) -> None:
    operator = model.subgraphs[0].operators[0]
    operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize = 1 << 40, 8


DEADLY: dict[str, tuple[str, Callable[[ModelT], object], str]] = {
    "a graph that calls itself": ("branches", lambda m: if_calls(m, 0), "subgraph 0 calls itself"),
    "graphs that call one another": ("branches", if_options_elsewhere, "calls itself"),
    "a call of no graph": ("branches", lambda m: if_calls(m, 99), "calls subgraph 99, but there are 5"),
    "a negative call": ("branches", lambda m: if_calls(m, -1), "calls subgraph -1"),
    "a call without options": ("branches", no_if_options, "(IF) does not say which subgraph it runs"),
    "groups without filters": ("images", lambda m: input_channels(m, 128), "weights (8, 3, 3, 4) to 128 channels"),
    "no channels": ("images", lambda m: input_channels(m, 0), "weights (8, 3, 3, 4) to 0 channels"),
    "broken groups": ("images", lambda m: input_channels(m, 6), "weights (8, 3, 3, 4) to 6 channels"),
    "a transposed width": ("float", transposed_width, "(TRANSPOSE_CONV) of subgraph 0 makes (1, 8, 4096, 4)"),
    "a scale of zero": ("int8", lambda m: scale(m, [0.0]), "with a scale that is not positive"),
    "no scale": ("int8", lambda m: scale(m, []), "writes int8 without a scale"),
    "two writers": ("shapes", lambda m: output(m, "ARG_MIN", op(m, "ARG_MAX").outputs[0]), "which is written already"),
    "a writer of an input": ("images", lambda m: output(m, "LOG_SOFTMAX", 0), "writes tensor 0, which is written"),
    "a reader before": ("shapes", lambda m: output(m, "RESHAPE", m.subgraphs[0].outputs[0]), "before anything writes"),
    "no axis": ("arithmetic", lambda m: lacks(m, "MEAN", 1), "(MEAN) of subgraph 0 lacks its input 1"),
    "no weights": ("images", lambda m: lacks(m, "CONV_2D", 1), "lacks its input or its weights"),
    "stride 0": ("volumes", lambda m: setattr(op(m, "CONV_3D").builtinOptions, "strideH", 0), "stride_height = 0"),
    "block 0": ("images", lambda m: setattr(op(m, "SPACE_TO_DEPTH").builtinOptions, "blockSize", 0), "block_size = 0"),
    "falling segments": ("sparse", lambda m: segments(m, 3, 255), "segments that do not divide"),
    "segments to nowhere": ("sparse", lambda m: segments(m, -1, 255), "segments that do not divide"),
    "an index outside": ("sparse", lambda m: indices(m, 200), "an index outside of its"),
    "levels that are missing": ("sparse", lambda m: setattr(sparsity(m), "dimMetadata", []), "along 0 levels"),
    "blocks of nothing": ("sparse", lambda m: setattr(sparsity(m), "blockMap", [7]), "do not fit its shape"),
    "a dense level": ("sparse", lambda m: setattr(sparsity(m).dimMetadata[0], "denseSize", 63), "dense level of 63"),
    "signature of no graph": ("signatures", lambda m: setattr(m.signatureDefs[0], "subgraphIndex", 9), "subgraph 9"),
    "signature of no tensor": (
        "signatures",
        lambda m: setattr(m.signatureDefs[0].inputs[0], "tensorIndex", 999),
        "name tensor 999",
    ),
    "options behind the end": ("arithmetic", large_options, "a custom options of 8 bytes"),
}


@pytest.mark.parametrize("case", DEADLY)
def test_what_kills_an_engine_is_refused(case):
    file, change, sentence = DEADLY[case]
    model = edit.unpack(FILES[file]())
    read_model(edit.pack(model))
    change(model)
    with pytest.raises(LarqnetsError) as caught:
        read_model(edit.pack(model))
    assert sentence in str(caught.value)
