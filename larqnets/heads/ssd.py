"""The head of SSD (Liu et al. 2016, arXiv 1512.02325): default boxes on maps of several sizes, each moved and named."""

from collections.abc import Sequence
from itertools import count, pairwise
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from larqnets.backbones import Backbone, Unit
from larqnets.errors import LarqnetsError
from larqnets.layers.default_boxes import DefaultBoxes, Foreground
from larqnets.methods import Method
from larqnets.shapes import known

Tensor = Any  # a Keras symbolic tensor (N, H, W, C)
layers = tf.keras.layers

FINEST = 8  # pixels of the image to one of the first map
SMALLEST, LARGEST = 0.1, 0.9  # sizes of default boxes on the first and the last map, of the image's shorter side
HALVED = 5  # a map whose shorter side is longer becomes half of it, else smaller by two


class Images(Protocol):
    """What the head must know of a data set."""

    @property
    def image_shape(self) -> tuple[int, int, int]: ...

    @property
    def num_classes(self) -> int: ...


class Source(NamedTuple):
    """A map that default boxes stand on, and how far its pixels are apart in the image, (height, width)."""

    x: Tensor
    step: tuple[float, float]


def ssd(
    stages: list[Tensor],
    method: Method,
    backbone: Backbone,
    info: Images,
    *,
    levels: int = 3,
    sizes: Sequence[float] = (),
) -> dict[str, Tensor]:
    """Return what SSD answers with, of A default boxes on `levels` maps, and what its loss compares.

        boxes          (N, A, 4)      [ymin, xmin, ymax, xmax] relative to the image
        scores         (N, A, C)      probabilities of the classes
        raw_encodings  (N, A, 4)      what moves the default boxes, see `larqnets.layers.default_boxes.encoded`
        raw_logits     (N, A, C + 1)  the background first
        raw_priors     (N, A, 4)      the default boxes, [centre y, centre x, height, width], the same for every image

    The maps are those of the stages from a stride of 8 on, then smaller ones, each made of the one before by a 1x1 and a 3x3
    convolution: with a stride of 2 and a zero on all sides while the shorter side is above 5, and then without padding. On
    300 x 300 pixels and six maps that is SSD300. Of every map two 3x3 convolutions, real with every method, tell the
    encodings and the logits. `sizes` are one more than maps, see `sizes_of`. A cell has 4 default boxes on the first map and
    the last two, of ratios 1 and 2, on others 6, also of ratio 3.

    Raises LarqnetsError where so many maps cannot be made, and for sizes that do not fit.
    """
    sources = _sources(stages, method, backbone, info.image_shape, levels)
    ratios = [(2.0,) if k == 0 or k >= levels - 2 else (2.0, 3.0) for k in range(levels)]
    parts: dict[str, list[Tensor]] = {"raw_encodings": [], "raw_logits": []}
    for k, (source, of_map) in enumerate(zip(sources, ratios, strict=True), 1):
        boxes = 2 + 2 * len(of_map)
        for (name, found), numbers in zip(parts.items(), (4, info.num_classes + 1), strict=True):
            of_what = name.removeprefix("raw_")
            y = layers.Conv2D(boxes * numbers, 3, padding="same", name=f"mbox{k}_{of_what}")(source.x)
            found.append(layers.Reshape((-1, numbers), name=f"mbox{k}_{of_what}_listed")(y))
    raw = {
        name: layers.Concatenate(axis=1, name=f"mbox_{name}")(found) if levels > 1 else found[0]
        for name, found in parts.items()
    }
    boxes, priors = DefaultBoxes(
        info.image_shape[:2],
        [tuple(source.x.shape[1:3]) for source in sources],
        [source.step for source in sources],
        sizes_of(levels, sizes),
        ratios,
        name="mbox_boxes",
    )(raw["raw_encodings"])
    scores = Foreground(name="mbox_scores")(raw["raw_logits"])
    return {"boxes": boxes, "scores": scores, **raw, "raw_priors": priors}


def sizes_of(levels: int, sizes: Sequence[float] = ()) -> tuple[float, ...]:
    """Return the sizes of the default boxes of every map and one more, of the image's shorter side; raises LarqnetsError.

    Without any: s_k = 0.1 + 0.8 (k - 1) / (levels - 1), k = 1 … levels + 1, the rule of the paper.
    """
    if not sizes:
        apart = (LARGEST - SMALLEST) / max(1, levels - 1)
        return tuple(SMALLEST + apart * k for k in range(levels + 1))
    if len(sizes) != levels + 1:
        raise LarqnetsError(
            f"Default boxes on {levels} maps have {levels + 1} sizes, the last one for the boxes between the last two, and "
            f"task.sizes has {len(sizes)}. Give as many, or leave them out."
        )
    if any(small >= large for small, large in pairwise(sizes)):
        raise LarqnetsError(
            f"The sizes of default boxes grow from map to map, and task.sizes is {list(sizes)}. Give them in order, each larger "
            "than the one before."
        )
    return tuple(sizes)


def _sources(
    stages: list[Tensor], method: Method, backbone: Backbone, image_shape: tuple[int, int, int], levels: int
) -> list[Source]:
    """Return the maps: the last of the stages of every stride, then smaller ones."""
    by_stride = dict(zip(method.reductions(backbone), stages, strict=True))
    stride = max(by_stride)
    x = method.tail(by_stride[stride], "mbox_tail")
    found = [
        Source(x if s == stride else method.tail(by_stride[s], f"mbox_tail{s}"), (s, s))
        for s in sorted(by_stride)
        if s >= FINEST
    ]
    wide = x.shape[-1]
    for number in count(1):
        if len(found) >= levels:
            break
        size = known(x.shape[1:3])
        halved = min(size) > HALVED
        if min(size) < 3:
            raise LarqnetsError(
                f"Images of {image_shape[0]}x{image_shape[1]} are too small for {levels} maps of default boxes: one has only "
                f"{size[0]}x{size[1]} pixels, and others would follow. Use larger images or a smaller task.levels."
            )
        name, filters = f"extra{number}", max(2, wide // (4 if number == 1 else 8))
        x = method.hidden(x, Unit(filters, 1), f"{name}_conv1")
        x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x) if halved else x
        x = method.hidden(x, Unit(2 * filters, strides=1 + halved, padding="valid"), f"{name}_conv2")
        stride *= 2
        rows, columns = known(x.shape[1:3])
        if stride >= FINEST:
            found.append(Source(x, (stride, stride) if halved else (image_shape[0] / rows, image_shape[1] / columns)))
    return found[:levels]
