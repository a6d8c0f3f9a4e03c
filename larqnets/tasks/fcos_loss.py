"""What FCOS (arXiv 1904.01355) should answer at every location, and its loss (sections 3.1 and 3.2; order of details after
the detection code of Group-Net's authors)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, CROWD

Tensor = Any  # of TensorFlow, which is imported where it computes
Tree = dict[str, Any]

RADIUS = 1.5  # of the square around a box' centre, in strides, half a side
ALPHA, GAMMA = 0.25, 2.0  # of the focal loss (arXiv 1708.02002)
_SMALLEST_AREA = 1e-7  # of what encloses two boxes
_SMALLEST_CENTERNESS = 1e-6  # of all positives together


class Due(NamedTuple):
    """What is due at A locations of B images: `classes` (B, A) int32, -1 for nothing; `distances` (B, A, 4) to top, left,
    bottom and right in strides and `centerness` (B, A), of locations with a class; `boxes` (B, A) int32, which one."""

    classes: Tensor
    distances: Tensor
    centerness: Tensor
    boxes: Tensor


def limits(strides: Sequence[int], ranges: Sequence[float]) -> np.ndarray:
    """Return for every level the least and largest distance in pixels from a location to the side of its box, (levels, 2).

    `ranges`: the largest of all levels but the last, which has no limit; (): 8 times the stride, the paper's 64, 128, 256, 512.
    """
    highest = list(ranges) or [8.0 * stride for stride in strides[:-1]]
    return np.array([[0.0, *highest], [*highest, np.inf]], np.float32).T


def due(targets: Tree, places: np.ndarray, reach: np.ndarray, image_size: Sequence[int]) -> Due:
    """Return what is due at `places` (A, 3), centre y and x and stride in pixels, whose `reach` (A, 2) is that of `limits`.

    A location belongs to a box when it lies strictly inside of it and of the square of 1.5 strides around its centre, and the
    largest of its four distances is within its reach; to the smallest of several boxes, to the first of equal ones. Boxes
    around crowds are nobody's. centerness = sqrt(min(l, r) / max(l, r) · min(t, b) / max(t, b)).
    """
    import tensorflow as tf

    height, width = image_size
    boxes = targets[BOXES] * tf.constant([height, width, height, width], tf.float32)
    taught = (targets[BOX_LABELS] >= 0) & (targets[BOX_KIND] != CROWD)
    y, x, stride = (tf.constant(places[:, i : i + 1], tf.float32) for i in range(3))  # (A, 1)
    y0, x0, y1, x1 = (boxes[:, tf.newaxis, :, i] for i in range(4))  # (B, 1, M)
    sides = tf.stack([y - y0, x - x0, y1 - y, x1 - x], -1)  # (B, A, M, 4)
    middle_y, middle_x = (y0 + y1) / 2, (x0 + x1) / 2
    near = (tf.abs(y - middle_y) < RADIUS * stride) & (tf.abs(x - middle_x) < RADIUS * stride)
    longest = tf.reduce_max(sides, -1)
    of_level = (longest >= reach[:, :1]) & (longest <= reach[:, 1:])
    fits = (tf.reduce_min(sides, -1) > 0) & near & of_level & taught[:, tf.newaxis]
    area = tf.where(fits, (y1 - y0) * (x1 - x0), np.inf)
    chosen = tf.argmin(area, -1, tf.int32)  # the first of equal ones
    some = tf.reduce_any(fits, -1)
    classes = tf.where(some, tf.gather(targets[BOX_LABELS], chosen, batch_dims=1), -1)
    distances = tf.gather(sides, chosen, batch_dims=2)  # (B, A, 4)
    distances = tf.where(some[..., tf.newaxis], distances, 1.0)
    top, left, bottom, right = tf.unstack(distances, axis=-1)
    ratio = tf.minimum(left, right) / tf.maximum(left, right) * tf.minimum(top, bottom) / tf.maximum(top, bottom)
    return Due(classes, distances / stride, tf.sqrt(ratio), chosen)


def unseen(targets: Tree, found: Due) -> tuple[Tensor, Tensor]:
    """Return how many boxes of B images are to be learned, and how many of these no location belongs to, () int32 each."""
    import tensorflow as tf

    taught = (targets[BOX_LABELS] >= 0) & (targets[BOX_KIND] != CROWD)
    places = tf.where(found.classes >= 0, found.boxes, -1)
    reached = tf.reduce_any(tf.one_hot(places, tf.shape(taught)[1], True, False, dtype=tf.bool), 1)
    return tf.math.count_nonzero(taught, dtype=tf.int32), tf.math.count_nonzero(taught & ~reached, dtype=tf.int32)


def focal_loss(logits: Tensor, hits: Tensor, alpha: float = ALPHA, gamma: float = GAMMA) -> Tensor:
    """Return -a (1 - p)^gamma log p, p the probability of what is the case: sigmoid(z) with a = alpha where it hits, else
    1 - sigmoid(z) with 1 - alpha."""
    import tensorflow as tf

    crossed = tf.nn.sigmoid_cross_entropy_with_logits(labels=hits, logits=logits)  # -log p
    missing = -tf.math.expm1(-crossed)  # 1 - p
    return (alpha * hits + (1 - alpha) * (1 - hits)) * missing**gamma * crossed


def giou(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the generalised IoU (arXiv 1902.09630) of boxes around one location, both distances (..., 4) >= 0, of 1 when equal.

        (I + 1) / (U + 1) - (E - U) / E     I, U, E the areas of intersection, union and what encloses both

    The ones are those of the authors' code, in strides; E has at least 1e-7, so that two boxes of no size have a gradient.
    """
    import tensorflow as tf

    def area(sides: Tensor) -> Tensor:
        return (sides[..., 0] + sides[..., 2]) * (sides[..., 1] + sides[..., 3])

    both, around = area(tf.minimum(ours, theirs)), area(tf.maximum(ours, theirs)) + _SMALLEST_AREA
    union = area(ours) + area(theirs) - both
    return (both + 1) / (union + 1) - (around - union) / around


def fcos_loss(outputs: Tree, wanted: Due) -> Tensor:
    """Return the loss of every image, (B,), whose mean is that of the batch: of its n positives, with centerness c each,

        1/n Σ focal(classes) + 1/Σc Σ c (1 - GIoU) + 1/n Σ crossentropy(centerness)

    over all replicas' images, n at least 1 and Σc at least 1e-6. `outputs`: the raw ones of `larqnets.heads.fcos`.
    """
    import tensorflow as tf

    logits = outputs["raw_classes"]
    positive = tf.cast(wanted.classes >= 0, tf.float32)
    share = positive * wanted.centerness
    hits = tf.one_hot(wanted.classes, logits.shape[-1])
    classes = tf.reduce_sum(focal_loss(logits, hits), [1, 2])
    sides = tf.reduce_sum(share * (1 - giou(outputs["raw_distances"], wanted.distances)), 1)
    crossed = tf.nn.sigmoid_cross_entropy_with_logits(
        labels=wanted.centerness, logits=outputs["raw_centerness"][..., 0]
    )
    central = tf.reduce_sum(positive * crossed, 1)
    sums = [tf.cast(tf.shape(logits)[0], tf.float32), tf.reduce_sum(positive), tf.reduce_sum(share)]
    images, count, weight = tf.distribute.get_replica_context().all_reduce("SUM", sums)
    each = (classes + central) / tf.maximum(count, 1) + sides / tf.maximum(weight, _SMALLEST_CENTERNESS)
    return images * each
