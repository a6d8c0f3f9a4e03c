"""Images that are files, of which more is known than a label: masks that are files too, or boxes."""

import os

import numpy as np
import tensorflow as tf

from larqnets.data.file_list import FileList
from larqnets.data.geometry import Example
from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, MASK
from larqnets.data.masks import as_grey_png, read_mask
from larqnets.data.streams import FileStream
from larqnets.errors import LarqnetsError


class MaskFileStream(FileStream):
    """Images and their masks, both files. What TensorFlow would not read as numbers is read by Pillow, and handed on so."""

    def __init__(self, files: FileList, channels: int) -> None:
        super().__init__(files, channels)
        with tf.device("CPU:0"):
            self._masks = tf.constant([os.fsencode(mask.path) for mask in files.masks], tf.string)
            self._plain = tf.constant([mask.plain for mask in files.masks])

    def known(self, index: tf.Tensor) -> Example:
        path = tf.gather(self._masks, index)
        return {
            MASK: tf.cond(tf.gather(self._plain, index), lambda: tf.io.read_file(path), lambda: self._in_grey(index))
        }

    def explain(self, error: tf.errors.OpError) -> LarqnetsError | None:
        if not isinstance(error, tf.errors.InvalidArgumentError | tf.errors.NotFoundError | tf.errors.UnknownError):
            return None
        for mask in self._files.masks:
            try:
                read_mask(mask)
            except LarqnetsError as problem:
                return problem
        return super().explain(error)

    def _in_grey(self, index: tf.Tensor) -> tf.Tensor:
        def read(number: np.ndarray) -> bytes:
            return as_grey_png(self._files.masks[int(number)])

        return tf.ensure_shape(tf.numpy_function(read, [index], tf.string), [])


class BoxFileStream(FileStream):
    """Images that are files, and the boxes of the things in each, for which there is so much room."""

    def __init__(self, files: FileList, channels: int, room: int) -> None:
        super().__init__(files, channels)
        self._room = room
        counts = [len(found.labels) for found in files.boxes]
        nothing = (np.zeros((0, 4), np.float32), np.zeros(0, np.int32), np.zeros(0, np.int32))
        of_all = ([found.boxes, found.labels, found.kinds] for found in files.boxes)
        with tf.device("CPU:0"):
            self._ends = tf.constant(np.cumsum([0, *counts]), tf.int64)
            self._objects = [tf.constant(np.concatenate(column)) for column in zip(nothing, *of_all, strict=True)]

    def known(self, index: tf.Tensor) -> Example:
        first, end = tf.gather(self._ends, index), tf.gather(self._ends, index + 1)
        boxes, labels, kinds = (values[first:end] for values in self._objects)
        behind = [0, self._room - tf.cast(end - first, tf.int32)]
        return {
            BOXES: tf.ensure_shape(tf.pad(boxes, [behind, [0, 0]]), (self._room, 4)),
            BOX_LABELS: tf.ensure_shape(tf.pad(labels, [behind], constant_values=-1), (self._room,)),
            BOX_KIND: tf.ensure_shape(tf.pad(kinds, [behind]), (self._room,)),
        }
