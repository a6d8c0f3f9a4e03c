"""What SSD learns: which default box stands for which true one, and the loss of what it says of both.

Source: SSD, arXiv 1512.02325, section 2.2, and its released code. Departures: of an image without boxes one negative is learned
from, and what lies mostly inside a crowd is no negative.
"""

from typing import Any

from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, CROWD
from larqnets.tasks import Tree

MATCHED = (
    0.5  # default boxes that overlap a true one by more stand for it; those that overlap all by less are negatives
)
NEGATIVES = 3  # at most, for each positive
BACKGROUND = 0  # the class that the network's logits have first
_IGNORED = -1  # neither positive nor negative

Tensor = Any


def ssd_targets(example: Tree, priors: Tensor) -> Tree:
    """Return for every default box of `priors` (A, 4), [centre y, centre x, height, width], what it should answer.

        classes    (B, A) int32    1 more than the class of the box that it stands for; BACKGROUND; -1 for nothing to learn
        encodings  (B, A, 4)       of that box, see `larqnets.layers.default_boxes.encoded`; zeros for no box

    `example` has boxes (B, M, 4), [ymin, xmin, ymax, xmax], their classes (B, M), -1 for no box, and kinds (B, M).

    First every box gets a default box of its own: of all pairs of those that are left the one with the largest IoU, again and
    again. Then every other default box with an IoU above 0.5 stands for the box that it overlaps most.
    """
    import tensorflow as tf

    from larqnets.layers.default_boxes import encoded

    priors = tf.convert_to_tensor(priors)
    halves = priors[:, 2:] / 2
    corners = tf.concat([priors[:, :2] - halves, priors[:, :2] + halves], -1)
    boxes, labels = example[BOXES], example[BOX_LABELS]
    crowd = example[BOX_KIND] == CROWD
    there = (labels >= 0) & ~crowd
    shared, union = _overlaps(boxes, corners)
    iou = tf.where(there[..., None], tf.math.divide_no_nan(shared, union), 0)  # (B, M, A)
    of_prior = tf.math.divide_no_nan(shared, priors[:, 2] * priors[:, 3])
    hidden = tf.reduce_any(crowd[..., None] & (of_prior > MATCHED), axis=1)  # (B, A)

    best, box = tf.reduce_max(iou, axis=1), tf.argmax(iou, axis=1, output_type=tf.int32)
    own = own_priors(iou)  # (B, M)
    numbers = tf.broadcast_to(tf.range(tf.shape(own)[1]), tf.shape(own))
    place = tf.stack([tf.broadcast_to(tf.range(tf.shape(own)[0])[:, None], tf.shape(own)), own], -1)[own >= 0]
    taken = tf.scatter_nd(place, numbers[own >= 0] + 1, tf.shape(box)) - 1
    box = tf.where(taken >= 0, taken, box)
    positive = (taken >= 0) | (best > MATCHED)

    classes = tf.gather(labels, box, batch_dims=1) + 1
    free = tf.where((best < MATCHED) & ~hidden, BACKGROUND, _IGNORED)
    encodings = encoded(tf.gather(boxes, box, batch_dims=1), priors)
    return {
        "classes": tf.where(positive, classes, free),
        "encodings": tf.where(positive[..., None], encodings, 0),
    }


def own_priors(iou: Tensor) -> Tensor:
    """Return for every box the number of the default box that is its own, (B, M) int32, of IoUs (B, M, A); -1 where it has none.

    Greedy: of all pairs of a box and a default box that are both left the one with the largest IoU; of equal ones the first
    box, then the first default box. A box that overlaps none that is left gets none. The boxes can take at most M default
    boxes from each other, so no more of each have to be looked at.
    """
    import tensorflow as tf

    count = iou.shape[1]
    size = tf.shape(iou)[0]
    values, candidates = tf.math.top_k(iou, min(count, iou.shape[2]))  # (B, M, K)
    most = tf.reduce_max(tf.reduce_sum(tf.cast(tf.reduce_any(iou > 0, axis=2), tf.int32), axis=1))

    def take(step: Tensor, values: Tensor, own: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        flat = tf.reshape(values, [size, -1])
        first = tf.argmax(flat, axis=1, output_type=tf.int32)
        found = tf.gather(flat, first, batch_dims=1) > 0
        box = first // values.shape[2]
        prior = tf.gather(tf.reshape(candidates, [size, -1]), first, batch_dims=1)
        chosen = tf.one_hot(box, count, on_value=True, off_value=False) & found[:, None]
        gone = chosen[..., None] | ((candidates == prior[:, None, None]) & found[:, None, None])
        left, own = tf.where(gone, 0.0, values), tf.where(chosen, prior[:, None], own)
        return step + 1, tf.ensure_shape(left, values.shape), tf.ensure_shape(own, values.shape[:2])

    start = (0, values, tf.fill([size, count], -1))
    return tf.while_loop(lambda step, *_: step < most, take, start, maximum_iterations=count)[2]


def ssd_loss(outputs: Tree, targets: Tree) -> Tensor:
    """Return the loss of every image, (B,), of the outputs of `larqnets.heads.ssd` and targets as `ssd_targets` takes them.

    loss_i = B / n+ · (Σ_{positives and mined negatives} CE + Σ_{positives} Σ_4 smooth L1), n+ the positives of the whole batch
    of B images, at least 1, so that the mean is the sum over the batch by its positives. Of the negatives of an image those 3
    n+_i are mined that are furthest from being taken for background, 1 where it has no positive.
    """
    import tensorflow as tf

    wanted = ssd_targets(targets, outputs["raw_priors"][0])
    classes, logits = wanted["classes"], outputs["raw_logits"]
    positive = classes > BACKGROUND
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(classes, BACKGROUND), logits)
    learned = positive | mined(entropy, classes)
    distance = tf.abs(outputs["raw_encodings"] - wanted["encodings"])
    smooth = tf.reduce_sum(tf.where(distance < 1, distance**2 / 2, distance - 0.5), axis=-1)
    each = tf.reduce_sum(tf.where(learned, entropy, 0) + tf.where(positive, smooth, 0), axis=1)
    replica = tf.distribute.get_replica_context()
    positives, images = replica.all_reduce("SUM", [tf.reduce_sum(tf.cast(positive, each.dtype)), _count(each)])
    return each * images / tf.maximum(positives, 1)


def mined(entropy: Tensor, classes: Tensor) -> Tensor:
    """Return which negatives are learned from, (B, A) bool: NEGATIVES for each positive, of an image without any 1, or all.

    Those of the largest cross entropy with the background, (B, A); of equal ones the first.
    """
    import tensorflow as tf

    negative = classes == BACKGROUND
    wanted = tf.maximum(NEGATIVES * tf.reduce_sum(tf.cast(classes > BACKGROUND, tf.int32), axis=1), 1)
    order = tf.argsort(tf.where(negative, entropy, -1), axis=1, direction="DESCENDING", stable=True)
    rank = tf.argsort(order, axis=1)
    return negative & (rank < wanted[:, None])


def _overlaps(boxes: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Return intersections and unions (B, M, A) of boxes (B, M, 4) and others (A, 4), both [ymin, xmin, ymax, xmax]."""
    import tensorflow as tf

    boxes = boxes[:, :, None]
    low, high = tf.maximum(boxes[..., :2], others[:, :2]), tf.minimum(boxes[..., 2:], others[:, 2:])
    shared = tf.reduce_prod(tf.maximum(high - low, 0), axis=-1)
    areas = (tf.reduce_prod(b[..., 2:] - b[..., :2], axis=-1) for b in (boxes, others))
    return shared, sum(areas) - shared


def _count(each: Tensor) -> Tensor:
    import tensorflow as tf

    return tf.cast(tf.shape(each)[0], each.dtype)
