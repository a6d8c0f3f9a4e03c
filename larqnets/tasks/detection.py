"""Object detection: boxes around things and what they are, from `boxes` (N, A, 4) and `scores` (N, A, classes)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np

from larqnets.config import TrainConfig
from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES
from larqnets.errors import LarqnetsError
from larqnets.schema import Range
from larqnets.tasks import RAW, TASKS, Facts, Info, Loss, Task, Tree, check_told_apart
from larqnets.tasks.box_answers import NMS, SCORES, Nms, agreement, decode

if TYPE_CHECKING:
    from larqnets.backbones import Backbone
    from larqnets.methods import Method
    from larqnets.tasks.box_metric import BoxMetric
    from larqnets.tasks.box_study import BoxStudy
    from larqnets.tasks.fcos_loss import Due

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
    levels: Annotated[int, Range(1, 7)] = 3  # maps: of strides 8, 16, 32, 64 and 128 with fcos; of SSD300 there are 6
    sizes: tuple[Annotated[float, Range(0, 4, above=True)], ...] = ()  # detector ssd: sizes of the default boxes of
    # every map and one more, relative to the shorter side of the image; []: from 0.1 to 0.9, and one more
    binary: Literal["backbone", "fpn", "all"] = "all"  # detector fcos: what has the method's layers, the rest real
    # ones: the backbone alone, also the pyramid, also the towers
    ranges: tuple[Annotated[float, Range(1, 1e6)], ...] = ()  # detector fcos: the largest distance from a location to a
    # side of its box on every level but the last, in pixels; []: 8 times the stride
    nms_iou: Share | None = None  # boxes of a class that overlap a better one by more are left out; 0.6, of SSD 0.45
    score: Annotated[float, Range(0, 1)] = 0.05  # only what is surer is an answer
    max_detections: Annotated[int, Range(1, 1000)] = 100  # in an image, and of a class in it

    def check(self, backbone: "Backbone", info: Info) -> None:
        """FCOS needs images of two pixels of its last map, and as many ranges as levels but one."""
        _ = self.nms  # says what is wrong with its numbers
        if self.detector == "ssd":
            return
        from larqnets.necks.fpn import STRIDES

        if self.levels > len(STRIDES):
            raise LarqnetsError(f"A pyramid has at most {len(STRIDES)} levels, and task.levels is {self.levels}.")
        height, width, _ = info.image_shape
        if min(height, width) < 2 * STRIDES[self.levels - 1]:
            raise LarqnetsError(
                f"Images of {height}x{width} are too small for {self.levels} levels: one pixel of the last map stands for "
                f"{STRIDES[self.levels - 1]} of the image, and both sides must be at least {2 * STRIDES[self.levels - 1]}. Use "
                "larger images or a smaller task.levels."
            )
        if self.ranges and (len(self.ranges) != self.levels - 1 or list(self.ranges) != sorted(set(self.ranges))):
            raise LarqnetsError(
                f"task.ranges has {len(self.ranges)} numbers for {self.levels} levels. Give one for every level but the last, "
                "each larger than the one before."
            )

    def outputs(self, stages: list[Any], method: "Method", backbone: "Backbone", info: Info) -> Tree:
        """Boxes and scores, and what the loss compares with."""
        if self.detector == "ssd":
            from larqnets.heads.ssd import ssd

            return ssd(stages, method, backbone, info, levels=self.levels, sizes=self.sizes)
        from larqnets.heads.fcos import fcos
        from larqnets.methods import get_method
        from larqnets.necks.fpn import fpn, sources

        real = get_method("real")
        neck = real if self.binary == "backbone" else method
        towers = method if self.binary == "all" else real
        below = sources(stages, method.reductions(backbone), self.levels, info.image_shape, backbone.name)
        maps = fpn(below, neck, self.levels, self.fpn_width)
        return fcos(maps, towers, info.num_classes, info.image_shape, self.tower_convs)

    def check_answers(self, shapes: Sequence[tuple[int | None, ...]], info: Info, whose: str) -> None:
        """There must be boxes, and scores for every class."""
        told = [shape for shape in shapes if len(shape) == 3]
        classes = told[1][2] if len(told) >= 2 and told[0][2] == 4 else None
        if classes is None:
            raise LarqnetsError(
                f"A detector has two outputs, boxes (N, A, 4) and scores (N, A, classes), and {whose} has "
                f"{', '.join(map(str, shapes))}. Run it on arrays: larqnets run."
            )
        check_told_apart(classes, info, whose)

    def scores(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Boxes (N, A, 4) and scores (N, A, classes)."""
        return len(shapes) >= 2 and len(shapes[0]) == len(shapes[1]) == 3 and shapes[0][1:] == (shapes[1][1], 4)

    def targets(self, example: Tree, info: Info) -> Tree:
        """The boxes as they are; which location each belongs to is the loss's."""
        return {name: example[name] for name in (BOXES, BOX_LABELS, BOX_KIND)}

    def loss(self, config: TrainConfig, info: Info) -> Loss:
        """That of the detector's paper, see `larqnets.tasks.fcos_loss` and `ssd_targets`."""
        if config.loss != "cross_entropy" or config.label_smoothing:
            raise LarqnetsError(
                "A detector learns by the loss of its paper. Leave train.loss and train.label_smoothing out."
            )
        return self._loss(info.image_shape)

    def loss_of(self, model: Any) -> Loss:
        """The same, of a network that has the outputs which it looks at; else there is none, and it is 0."""
        if not any(name.startswith(RAW) for name in model.output_names):
            return lambda outputs, targets: 0 * _per_image(targets)
        return self._loss(model.input_shape[1:])

    def _loss(self, image_shape: tuple[int, int, int]) -> Loss:
        if self.detector == "ssd":
            from larqnets.tasks.ssd_targets import ssd_loss

            return ssd_loss
        from larqnets.tasks.fcos_loss import fcos_loss

        return lambda outputs, targets: fcos_loss(outputs, self._due(targets, image_shape))

    def _due(self, targets: Tree, image_shape: tuple[int, int, int]) -> "Due":
        """Return what is due at all locations of FCOS."""
        from larqnets.layers.fcos_answers import locations
        from larqnets.necks.fpn import STRIDES
        from larqnets.tasks.fcos_loss import due, limits

        strides = STRIDES[: self.levels]
        sizes = [[-(-size // stride) for size in image_shape[:2]] for stride in strides]
        places = locations(sizes, image_shape[:2])
        reach = limits(strides, self.ranges)[np.searchsorted(strides, places[:, 2])]
        return due(targets, places, reach, image_shape[:2])

    def remarks(self, examples: Callable[[], Iterable[Tree]], info: Info) -> list[str]:
        """How many boxes FCOS cannot learn, since no location belongs to them; a default box of SSD belongs to every one."""
        if self.detector == "ssd":
            return []
        from larqnets.tasks.fcos_loss import unseen

        total, without, images = 0, 0, 0
        for example in examples():
            targets = self.targets(example, info)
            boxes, lost = unseen(targets, self._due(targets, info.image_shape))
            total, without, images = total + int(boxes), without + int(lost), images + len(targets[BOX_LABELS])
        if not without:
            return []
        return [
            f"careful: {without:,} of {total:,} boxes in {images:,} training images belong to no location of the maps and are not "
            "learned: they are smaller than the finest map's pixels, or hidden by smaller ones. Larger images help."
        ]

    def metric(self, info: Info) -> "BoxMetric":
        """mAP at an IoU of 0.5 as VOC has it, and COCO's mean over IoUs."""
        from larqnets.tasks.box_metric import BoxMetric

        return BoxMetric(info.labels, self.nms)

    @property
    def nms(self) -> Nms:
        """How answers are chosen from boxes and scores."""
        iou = self.nms_iou or (0.6 if self.detector == "fcos" else 0.45)
        return Nms(iou, self.score, self.max_detections, self.max_detections)

    def doubt(self, scores: Mapping[str, float], images: int, info: Info) -> str:
        """A detector that finds next to nothing is not trained, or sees something else than in its training."""
        found = scores.get(self.headline)
        if found is None or not images or found > 0.01:
            return ""
        return (
            f"An mAP of {found:.2%} is that of a network that finds nothing: the images are prepared otherwise than in its "
            "training, the classes are in another order, or the network is not trained."
        )

    def study(self, info: Info, facts: Facts) -> "BoxStudy":
        """Every class, the kinds of errors, and the images with the most of them."""
        from larqnets.tasks.box_study import BoxStudy

        return BoxStudy(info.labels, self.nms)

    def pictures(self, image: np.ndarray, outputs: Tree, targets: Tree, info: Info) -> dict[str, np.ndarray]:
        """The boxes of the objects, those of the answer, and what is wrong with it."""
        from larqnets.tasks.box_study import box_pictures

        return box_pictures(image, outputs, targets, info.labels, self.nms)

    def metadata(self, info: Info | None) -> dict[str, Any]:
        """Names of the classes, what a box consists of, and how answers are chosen."""
        said = {"boxes": FORMAT, NMS: self.nms.to_json()}
        return said if info is None else {"classes": list(info.labels), **said}

    def decode(self, outputs: dict[str, np.ndarray], facts: Facts) -> list[Any]:
        """Return for every sample what is where, the surest first: label, class, score, box [x0, y0, x1, y1] relative."""
        return decode(outputs, facts)

    def agreement(self, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float | None:
        """How many of the boxes with a score of 0.3 or more have one of the same class in the same place from the other."""
        return agreement(ours, theirs, self.nms)

    def agreed(self, shapes: Sequence[tuple[int | None, ...]]) -> str:
        """Boxes that both found."""
        return "of the boxes are found by both"


def _per_image(targets: Tree) -> Any:
    """Return a float32 for every image, (B,)."""
    import tensorflow as tf

    return tf.cast(targets[BOX_LABELS][:, 0], tf.float32)
