"""The things in a record that TFDS has written: `objects`, each with a box and a label, in an example of fixed shapes."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from larqnets.data.boxes import cleaned, padded
from larqnets.data.geometry import Example
from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, CROWD, DIFFICULT, IMAGE, PLAIN
from larqnets.data.prepared import OBJECTS


def objects_of(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return of a record the encoded image, boxes (n, 4) float32, labels and kinds (n,) int32, as TFDS wrote them."""
    numbers = {
        name: tf.io.FixedLenSequenceFeature((), tf.int64, allow_missing=True)
        for name in (f"{OBJECTS}/label", f"{OBJECTS}/is_difficult", f"{OBJECTS}/is_crowd")
    }
    found = tf.io.parse_single_example(
        record,
        {
            IMAGE: tf.io.FixedLenFeature((), tf.string),
            f"{OBJECTS}/bbox": tf.io.FixedLenSequenceFeature((4,), tf.float32, allow_missing=True),
            **numbers,
        },
    )
    labels, difficult, crowd = (found[name] for name in numbers)
    kinds = tf.fill(tf.shape(labels), PLAIN)
    for said, kind in ((difficult, DIFFICULT), (crowd, CROWD)):  # none of them where the set does not say it
        there = tf.pad(said, [[0, tf.size(labels) - tf.size(said)]])
        kinds = tf.where(there > 0, kind, kinds)
    return found[IMAGE], found[f"{OBJECTS}/bbox"], tf.cast(labels, tf.int32), kinds


def in_fixed_shapes(objects: Sequence[tf.Tensor], room: int) -> Example:
    """Return the objects of a record, cleaned, in the parts of an example."""

    def values(boxes: np.ndarray, labels: np.ndarray, kinds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return padded(cleaned(boxes, labels, kinds), room)

    boxes, labels, kinds = tf.numpy_function(values, objects, (tf.float32, tf.int32, tf.int32))
    return {
        BOXES: tf.ensure_shape(boxes, (room, 4)),
        BOX_LABELS: tf.ensure_shape(labels, (room,)),
        BOX_KIND: tf.ensure_shape(kinds, (room,)),
    }
