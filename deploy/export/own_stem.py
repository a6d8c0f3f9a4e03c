"""The first convolution of an int8 file as an op of our runtime, and back as the CONV_2D that it computes, bit for bit.

CONV_2D pads the channels of every tap to 4 or 8; LarqnetsConv2dInt8 takes a window densely and pads it once, which is what a
stem of 3 channels gains by (native/conv8_plan.h). Its results are those of TensorFlow Lite's own int8 kernels, so that
other machines compute such a file with CONV_2D in its place. Needs TensorFlow's schema classes (extra `train`).
"""

from typing import Any

import numpy as np
from flatbuffers import flexbuffers
from tensorflow.lite.python import schema_py_generated as schema

from deploy.export.edit import add_code, pack, unpack
from larqnets.errors import LarqnetsError
from larqnets.tflite.lce_ops import CONV_INT8, OPTIONS
from larqnets.tflite.model import Model, Operator
from larqnets.tflite.reading import read_model
from larqnets.tflite.weight_ops import WEIGHT_OPS

MAX_CHANNELS = 4  # with more XNNPACK's kernels waste less than a quarter
_PER_FILTER = 3  # version of CONV_2D that has a scale per filter
_FIELDS = dict(zip(OPTIONS[CONV_INT8], ("fusedActivationFunction", "padding", "strideH", "strideW"), strict=True))


def with_own_stem(content: bytes) -> bytes:
    """Return an int8 file whose first convolution, of at most 4 channels, is LarqnetsConv2dInt8; all else stays.

    Raises LarqnetsError where the first op with weights is another: in floats, of more channels, dilated, or behind the
    SPACE_TO_DEPTH of a rewritten stem.
    """
    file = read_model(content)
    graph = file.subgraphs[0]
    stem = next((op for op in graph.operators if op.name in WEIGHT_OPS), None)
    if (reason := _unfit(file, stem)) is not None or stem is None:
        raise LarqnetsError(
            f"{file.name} has no int8 stem that our runtime has an op for: {reason}. Convert it without --runtime-ops."
        )
    model = unpack(content)
    op = model.subgraphs[0].operators[stem.index]
    op.opcodeIndex = add_code(model, schema.BuiltinOperator.CUSTOM, 1, CONV_INT8)
    op.builtinOptions, op.builtinOptionsType = None, schema.BuiltinOptions.NONE
    op.customOptions = np.frombuffer(flexbuffers.Dumps({name: stem.options[name] for name in _FIELDS}), np.uint8)
    return pack(model)


def own_stem_told(variant: str) -> str:
    """Return what is to be said of a file with such a stem."""
    return f"{variant}: its stem is {CONV_INT8}, which no program but the runtime of larqnets runs."


def with_stock_stem(content: bytes) -> bytes:
    """Return a file with CONV_2D in the place of every LarqnetsConv2dInt8: other programs compute the same integers with it."""
    file, model = read_model(content), unpack(content)
    code = add_code(model, schema.BuiltinOperator.CONV_2D, _PER_FILTER)
    for found, graph in zip(file.subgraphs, model.subgraphs, strict=True):
        for operator, op in zip(found.operators, graph.operators, strict=True):
            if operator.name == CONV_INT8:
                op.opcodeIndex, op.customOptions = code, None
                op.builtinOptionsType, op.builtinOptions = schema.BuiltinOptions.Conv2DOptions, _options(operator)
    kept = {op.opcodeIndex for graph in model.subgraphs for op in graph.operators}
    for i, entry in enumerate(model.operatorCodes):  # an op that nobody has may not even be named
        if i not in kept:
            entry.builtinCode = entry.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
            entry.customCode, entry.version = None, _PER_FILTER
    return pack(model)


def _unfit(file: Model, stem: Operator | None) -> str | None:
    """Return why the first op with weights cannot be ours, None when it can."""
    if stem is None or stem.name != "CONV_2D":
        return f"its first op with weights is {stem.name if stem else 'none'}, not CONV_2D"
    tensors = file.subgraphs[0].tensors
    if len(stem.inputs) != 3 or min(stem.inputs) < 0:
        return "it has no biases"
    source, kernel, bias = (tensors[i] for i in stem.inputs)
    dtypes = (source.dtype, kernel.dtype, bias.dtype, tensors[stem.outputs[0]].dtype)
    if dtypes != ("int8", "int8", "int32", "int8"):
        return f"it computes with {' and '.join(sorted(set(dtypes)))}, not in int8 alone"
    maker = next((op for op in file.subgraphs[0].operators if source.index in op.outputs), None)
    if maker is not None and maker.name == "SPACE_TO_DEPTH":
        return "it was rewritten with SPACE_TO_DEPTH, which --stem as-trained leaves out"
    if source.shape[3] > MAX_CHANNELS or kernel.shape[3] != source.shape[3]:
        return f"it reads {source.shape[3]} channels in groups of {kernel.shape[3]}, where at most {MAX_CHANNELS} pay"
    if (stem.options["dilation_height_factor"], stem.options["dilation_width_factor"]) != (1, 1):
        return "it is dilated"
    if stem.options["fused_activation_function"] > 3:
        return "its activation is no ReLU"
    weights = kernel.data(file)
    if weights is None or bias.data(file) is None:
        return "its weights are not in the file"
    return "a weight is -128, outside of TensorFlow Lite's range for weights" if weights.min() == -128 else None


def _options(operator: Operator) -> Any:
    options = schema.Conv2DOptionsT()
    for name, field in _FIELDS.items():
        setattr(options, field, operator.options[name])
    options.dilationHFactor = options.dilationWFactor = 1
    return options
