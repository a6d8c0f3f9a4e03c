"""TFLite_Detection_PostProcess behind a detector's file, for programs that expect its four outputs.

The op decodes boxes from anchors. Here each is its own: an anchor of the whole image, centre 0 and size 1, and scales of 1, so
that an encoding is the centre and the logarithm of the size of a box,

    ((ymin + ymax) / 2, (xmin + xmax) / 2, log max(ymax - ymin, e), log max(xmax - xmin, e)),     e = 1e-6

which holds for whatever a detector decodes its boxes from. What the op makes of it is the box again, within a few roundings.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from deploy.export import edit
from deploy.export.converters import run_stock_converter
from larqnets.errors import LarqnetsError
from larqnets.tasks.box_answers import Nms
from larqnets.tasks.detection import Detection
from larqnets.tflite import detection_op
from larqnets.tflite.interface import interface_of
from larqnets.tflite.model import Model

SMALLEST = 1e-6  # side of a box, relative to the image
_GIVEN = "boxes"  # the input of what encodes them


def with_suppression(file: Model, nms: Nms, *, regular: bool) -> bytes:
    """Return a detector's file that ends with the op: boxes, classes, scores and count of what is left of overlapping boxes.

    The op's fast form takes the best class of every box and drops boxes whatever their class; `regular` class by class.
    """
    graph = file.subgraphs[0]
    names = tuple(port.names[0] for port in interface_of(file).outputs)
    if names != Detection.outputs_of_files:
        raise LarqnetsError(
            f"{file.name} answers with {', '.join(names) or 'nothing'} and not with boxes and scores. Convert it again."
        )
    boxes, scores = graph.outputs
    count, classes = graph.tensors[scores].shape[1:]
    encoded = edit.joined(file.content, run_stock_converter(_encoding(count)).content, {_GIVEN: boxes})
    anchors = np.tile(np.array([0, 0, 1, 1], np.float32), (count, 1))
    return edit.with_detection_op(encoded, scores, anchors, _options(nms, classes, regular))


def answers_within(file: Model) -> tuple[int, int]:
    """Return the tensors of boxes and scores that a file made by `with_suppression` makes its answers of.

    Raises LarqnetsError for any other file.
    """
    graph = file.subgraphs[0]
    makers = {tensor: op for op in graph.operators for tensor in op.outputs}
    last = graph.operators[-1] if graph.operators else None
    if last is not None and last.name == detection_op.NAME:
        op = makers.get(last.inputs[0])
        while op is not None and op.name != "STRIDED_SLICE":
            op = makers.get(op.inputs[0])
        if op is not None:
            return op.inputs[0], last.inputs[1]
    raise LarqnetsError(
        f"{file.name} says that it leaves out overlapping boxes, and it does not end so. Convert it again."
    )


def _encoding(count: int) -> tf.keras.Model:
    boxes = tf.keras.Input((count, 4), batch_size=1, name=_GIVEN)
    low, high = boxes[..., :2], boxes[..., 2:]
    sizes = tf.math.log(tf.maximum(high - low, SMALLEST))
    return tf.keras.Model(boxes, tf.concat([(low + high) * 0.5, sizes], -1))


def _options(nms: Nms, classes: int, regular: bool) -> Mapping[str, Any]:
    return {
        "max_detections": nms.max,
        "max_classes_per_detection": 1,
        "detections_per_class": nms.max_per_class,
        "use_regular_nms": regular,
        "nms_score_threshold": float(nms.score),
        "nms_iou_threshold": float(nms.iou),
        "num_classes": classes,
        **dict.fromkeys(("y_scale", "x_scale", "h_scale", "w_scale"), 1.0),
    }
