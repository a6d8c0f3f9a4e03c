"""TFLite_Detection_PostProcess: what its kernel takes for granted.

It decodes boxes against anchors and drops those that overlap better ones. Both engines have it. Its kernel reads one anchor
for every box without looking whether it is there, and takes its options as they come.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from larqnets.tflite.flatbuffer import FlatbufferError

if TYPE_CHECKING:
    from larqnets.tflite.model import Operator, Tensor

NAME = "TFLite_Detection_PostProcess"
Suppression = Literal["fast", "regular"]  # of boxes whatever their class, each with its best one; class by class
_MAX_DETECTIONS = 1 << 20
# Option -> its default (None: must be there), smallest and largest value.
_INTEGERS: dict[str, tuple[int | None, int, int]] = {
    "max_detections": (None, 0, _MAX_DETECTIONS),
    "max_classes_per_detection": (None, 1, _MAX_DETECTIONS),
    "detections_per_class": (100, 1, _MAX_DETECTIONS),
    "num_classes": (None, 1, _MAX_DETECTIONS),
    "use_regular_nms": (0, 0, 1),
}
_SCALES = ("y_scale", "x_scale", "h_scale", "w_scale")
_INPUTS = ("boxes", "scores", "anchors")


def read_options(where: str, given: Mapping[str, int | float]) -> dict[str, int]:
    """Return the integers among the options; raises FlatbufferError when one is missing or makes no sense."""
    integers = {}
    for name, (default, low, high) in _INTEGERS.items():
        value = given.get(name, default)
        if value is None:
            raise FlatbufferError(f"{where} lacks the option {name}")
        if not math.isfinite(value) or value != int(value) or not low <= value <= high:
            raise FlatbufferError(f"{where} has {name} = {value}")
        integers[name] = int(value)
    if integers["max_detections"] * integers["max_classes_per_detection"] > _MAX_DETECTIONS:
        raise FlatbufferError(f"{where} has room for more than {_MAX_DETECTIONS} detections")
    for name in ("nms_score_threshold", "nms_iou_threshold", *_SCALES):
        value = given.get(name)
        if value is None:
            raise FlatbufferError(f"{where} lacks the option {name}")
        fits = value > 0 if name in _SCALES else 0 < value <= 1 if name == "nms_iou_threshold" else True
        if not math.isfinite(value) or not fits:
            raise FlatbufferError(f"{where} has {name} = {value}")
    return integers


def check(where: str, op: "Operator", tensors: tuple["Tensor", ...]) -> None:
    """Raise FlatbufferError unless inputs, outputs and options fit each other, by the shapes in the file."""
    if len(op.inputs) != 3 or min(op.inputs) < 0 or len(op.outputs) != 4:
        raise FlatbufferError(f"{where} has {len(op.inputs)} inputs and {len(op.outputs)} outputs, not 3 and 4")
    for name, index in zip(_INPUTS, op.inputs, strict=True):
        if tensors[index].dtype not in ("float32", "uint8"):
            raise FlatbufferError(f"{where} has {name} of {tensors[index].dtype}, not float32 or uint8")
    if any(tensors[index].dtype != "float32" for index in op.outputs):
        raise FlatbufferError(f"{where} writes values that are not float32")
    problem = misfit(op.options["num_classes"], *(tensors[index].shape for index in op.inputs))
    if problem:
        raise FlatbufferError(f"{where} has {problem}")


def misfit(num_classes: int, boxes: tuple[int, ...], scores: tuple[int, ...], anchors: tuple[int, ...]) -> str:
    """Return what does not fit about these shapes as something that the op has; empty when all fit."""
    if len(boxes) != 3 or boxes[0] != 1 or boxes[2] < 4:
        return f"boxes of shape {boxes}, not (1, N, 4)"
    if len(scores) != 3 or scores[:2] != boxes[:2]:
        return f"scores of shape {scores} for {boxes[1]} boxes"
    if scores[2] not in (num_classes, num_classes + 1):
        return f"{scores[2]} scores a box for num_classes = {num_classes} and perhaps the background"
    if len(anchors) != 2 or anchors[1] != 4:
        return f"anchors of shape {anchors}, not (N, 4)"
    return f"{anchors[0]} anchors for {boxes[1]} boxes" if anchors[0] < boxes[1] else ""
