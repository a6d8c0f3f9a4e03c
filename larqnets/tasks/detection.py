"""Object detection: boxes around things and what they are, from `boxes` (N, A, 4) and `scores` (N, A, classes)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np

from larqnets.config import TrainConfig
from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES
from larqnets.errors import LarqnetsError
from larqnets.schema import Range
from larqnets.tasks import TASKS, Facts, Info, Loss, Task, Tree

if TYPE_CHECKING:
    from larqnets.backbones import Backbone
    from larqnets.methods import Method

SCORES = "scores"
FORMAT = "ymin_xmin_ymax_xmax_relative"
Share = Annotated[float, Range(0, 1, above=True)]


@TASKS.register("detection")
@dataclass(frozen=True)
class Detection(Task):
    """A detector of one stage: at every location of a few maps, what is there and how far its box reaches."""

    name = "detection"
    about = "boxes around things and what they are, scored by mAP"
    no_answer = "no detector of things in images"
    headline = "map50"
    learns_from = BOXES
    outputs_of_files: ClassVar[tuple[str, str]] = (BOXES, SCORES)

    detector: Literal["fcos", "ssd"] = "fcos"  # without anchors on a feature pyramid, or SSD with its default boxes
    fpn_width: Annotated[int, Range(8, 1024)] = 64  # detector fcos: channels of the pyramid and the towers
    tower_convs: Annotated[int, Range(1, 8)] = 2  # detector fcos: convolutions of a tower
    levels: Annotated[int, Range(1, 5)] = 3  # detector fcos: maps of the pyramid, of strides 8, 16, 32, 64 and 128
    binary: Literal["backbone", "fpn", "all"] = (
        "all"  # detector fcos: what has the method's layers, the rest real ones:
    )
    # the backbone alone, also the pyramid, also the towers
    ranges: tuple[Annotated[float, Range(1, 1e6)], ...] = ()  # detector fcos: the largest distance from a location to a
    # side of its box on every level but the last, in pixels; (): 8 times the stride
    nms_iou: Share | None = None  # boxes of a class that overlap a better one by more are left out; 0.6, of SSD 0.45
    score: Annotated[float, Range(0, 1)] = 0.05  # only what is surer is an answer
    max_detections: Annotated[int, Range(1, 1000)] = 100  # in an image, and of a class in it
