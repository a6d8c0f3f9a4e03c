"""The int8 file of a detector: integers up to its last kernels, and in floats what is made of their answers.

A box in int8 would be one of 256 places, boxes and scores together would share their scale, and not every function of a
decoding has an op in integers. So the network is cut behind its last kernels, each of whose answers keeps a scale of its own
up to its DEQUANTIZE; both parts are converted by themselves and written as one file.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from deploy.export.binary_layers import main_kernel
from deploy.export.converters import run_stock_converter
from deploy.export.edit import joined
from larqnets.tasks.detection import Detection
from larqnets.tflite.model import Model, Operator
from larqnets.tflite.reading import read_model


def run_int8_converter(model: tf.keras.Model, calibration: np.ndarray) -> Model:
    """Convert a model without binary layers to int8 weights and activations; see `run_stock_converter`.

    `calibration`: images (N, H, W, C). What decodes boxes stays float.
    """
    if tuple(model.output_names) != Detection.outputs_of_files:
        return run_stock_converter(model, calibration, quantise=True)
    features, decoding = behind_last_kernels(model)
    integers = run_stock_converter(features, calibration, quantise=True)
    given = dict(zip(decoding.input_names, integers.subgraphs[0].outputs, strict=True))
    return read_model(joined(integers.content, run_stock_converter(decoding).content, given))


def behind_last_kernels(model: tf.keras.Model) -> tuple[tf.keras.Model, tf.keras.Model]:
    """Cut a functional model in two: up to the last layers with kernels, and what follows; the second takes what the first gives."""
    nodes = [node for _, found in sorted(model._nodes_by_depth.items()) for node in found]  # those of the outputs first
    leading: set[str] = set()  # layers with a kernel, and those behind which one stands
    for node in nodes:
        if main_kernel(node.layer) is not None or any(n.layer.name in leading for n in node.layer.outbound_nodes):
            leading.add(node.layer.name)
    cut: dict[int, Any] = {}
    for node in nodes:
        if node.layer.name not in leading:
            cut |= {id(x): x for x in node.keras_inputs if x._keras_history.layer.name in leading}
    ends = list(cut.values())
    return tf.keras.Model(model.inputs, ends), tf.keras.Model(ends, model.outputs)


def integer_ends(file: Model) -> list[int]:
    """Return the tensors in which a file's integers end and from which it computes on in floats; none where nothing follows."""
    graph, becoming = file.subgraphs[0], _becoming_integers(file)
    ends = [op.outputs[0] for op in graph.operators if op.name == "DEQUANTIZE"]
    return [tensor for tensor in ends if tensor not in graph.outputs and tensor not in becoming]


def between_integers(file: Model) -> list[Operator]:
    """Return the ops of floats that are made of integers and of which integers are made again."""
    graph, becoming = file.subgraphs[0], _becoming_integers(file)
    made_of: set[int] = set()
    for op in graph.operators:
        if op.name == "DEQUANTIZE" or made_of.intersection(op.inputs):
            made_of.update(tensor for tensor in op.outputs if graph.tensors[tensor].dtype == "float32")
    ops = [op for op in graph.operators if op.name not in ("QUANTIZE", "DEQUANTIZE")]
    return [op for op in ops if made_of.intersection(op.inputs) and becoming.intersection(op.outputs)]


def _becoming_integers(file: Model) -> set[int]:
    """Return the tensors of floats of which integers are made sooner or later."""
    graph = file.subgraphs[0]
    found: set[int] = set()
    for op in reversed(graph.operators):
        if op.name == "QUANTIZE" or found.intersection(op.outputs):
            found.update(tensor for tensor in op.inputs if tensor >= 0 and graph.tensors[tensor].dtype == "float32")
    return found
