"""Where encoded images come from: TFDS shards or image files, in stored order or shuffled by (seed, epoch).

An element of a stream is a stored example: the encoded `image`, its EXIF `orientation` () int32, and what is known about
the picture, a `label` () int32. The endless shuffled order drops the end of each epoch that does not fill a batch, so that
every batch is of one epoch.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from larqnets.data.augment import Purpose, stateless_seed
from larqnets.data.box_records import in_fixed_shapes, objects_of
from larqnets.data.boxes import Boxes, cleaned
from larqnets.data.file_list import FileList
from larqnets.data.geometry import ORIENTATION, Example
from larqnets.data.image import as_png, decode_upright
from larqnets.data.info import BOXES, IMAGE, LABEL, MASK
from larqnets.data.known import KnownDataset
from larqnets.data.layout import incomplete
from larqnets.data.masks import count_values
from larqnets.data.prepared import SEGMENTATION_MASK
from larqnets.errors import LarqnetsError

BLOCK_RECORDS = 4096  # records shuffled together: about 0.5 GB of ImageNet, of which three may be in memory
_WRONG_COUNT = "another number of records than dataset_info.json says"
_CARDINALITY = "Input dataset was expected to contain"  # words of TensorFlow


class Explaining(Protocol):
    """What knows why reading its files may fail."""

    def explain(self, error: tf.errors.OpError) -> LarqnetsError | None:
        """Return what to tell the user when reading failed, or None when the data is not the cause."""


@contextmanager
def reading_errors(data: Explaining) -> Iterator[None]:
    """Raise LarqnetsError that names the file or folder when tf.data meets damaged data of `data` in this block."""
    try:
        yield
    except tf.errors.OpError as error:
        explanation = data.explain(error)
        if explanation is None:
            raise
        raise explanation from error


class Stream(Explaining, Protocol):
    """The images of one split."""

    @property
    def num_images(self) -> int:
        """Their number."""
        ...

    def in_order(self) -> tf.data.Dataset:
        """Return all images in stored order."""
        ...

    def shuffled(self, seed: int, purpose: Purpose, batch_size: int, start_step: int = 0) -> tf.data.Dataset:
        """Return endless images, a new order every epoch, from the first one of batch `start_step` on."""
        ...

    def files(self) -> dict[str, Path]:
        """Return every file under the name that it has wherever the data set is copied to."""
        ...

    def names(self, indices: Sequence[int]) -> list[str]:
        """Return where these images are, numbers in stored order: their files, or the numbers of their records."""
        ...


def shuffled_indices(num: int, seed: int, purpose: Purpose, batch_size: int, start_step: int = 0) -> tf.data.Dataset:
    """Return endless batches (batch_size,) of int32 indices below `num`, from that of step `start_step` on."""
    steps = num // batch_size

    def epoch_order(epoch: tf.Tensor) -> tf.data.Dataset:
        order = permutation(num, seed, purpose, epoch)
        return tf.data.Dataset.from_tensor_slices(tf.reshape(order[: steps * batch_size], [steps, batch_size]))

    return tf.data.Dataset.counter(start_step // steps).flat_map(epoch_order).skip(start_step % steps)


def permutation(num: int, seed: int, purpose: Purpose, counter: tf.Tensor | int) -> tf.Tensor:
    """Return a permutation of range(num), int32, that follows from (seed, purpose, counter)."""
    # Device and generator are named because the automatic choices may differ between machines.
    with tf.device("CPU:0"):
        return tf.random.experimental.stateless_shuffle(  # pyright: ignore[reportAttributeAccessIssue]  # not in the stubs
            tf.range(num), stateless_seed(seed, purpose, counter), alg="philox"
        )


def gathered(batches: Iterable[Example], places: np.ndarray) -> dict[str, np.ndarray]:
    """Return examples in one array each, whose `places` (N,) are filled batch by batch: they may be most of the memory."""
    arrays, done = {}, 0
    for batch in batches:
        parts = {name: values.numpy() for name, values in batch.items()}
        arrays = arrays or {name: np.empty((len(places), *v.shape[1:]), v.dtype) for name, v in parts.items()}
        there = places[done : done + len(parts[IMAGE])]
        for name, values in parts.items():
            arrays[name][there] = values
        done += len(there)
    return arrays


def where(records: tf.data.Dataset, kept: np.ndarray, first: tf.Tensor | int) -> tf.data.Dataset:
    """Return the records at which `kept` is true, where the first of them is number `first`."""
    with tf.device("CPU:0"):
        mask = tf.constant(kept)

    def is_kept(number: tf.Tensor, record: tf.Tensor) -> tf.Tensor:
        return tf.gather(mask, number)

    numbered = records.enumerate(tf.cast(first, tf.int64)).filter(is_kept)  # pyright: ignore[reportArgumentType]  # pairs
    return numbered.map(lambda number, record: record)


class FileStream:
    """Images that are files; the order of an epoch is a permutation of all of them.

    TensorFlow decodes PNG and JPEG. What it does not know is decoded by Pillow, as on a device, and handed on as a PNG.
    """

    def __init__(self, files: FileList, channels: int) -> None:
        self.num_images = len(files.paths)
        self._files, self._channels = files, channels
        self._foreign = np.array([header.format not in ("PNG", "JPEG") for header in files.headers], bool)
        orientations = [header.orientation for header in files.headers]
        with tf.device("CPU:0"):
            paths = tf.constant([os.fsencode(path) for path in files.paths], tf.string)
            self._columns = (
                paths,
                tf.constant(np.where(self._foreign, 1, orientations), tf.int32),
                tf.constant(self._foreign),
            )
            self._labels = tf.constant(files.labels)

    def in_order(self) -> tf.data.Dataset:
        return tf.data.Dataset.range(self.num_images).map(self._read, tf.data.AUTOTUNE, deterministic=True)

    def shuffled(self, seed: int, purpose: Purpose, batch_size: int, start_step: int = 0) -> tf.data.Dataset:
        indices = shuffled_indices(self.num_images, seed, purpose, batch_size, start_step).unbatch()
        return indices.map(self._read, tf.data.AUTOTUNE, deterministic=True)

    def files(self) -> dict[str, Path]:
        return self._files.files()

    def names(self, indices: Sequence[int]) -> list[str]:
        return [self._files.paths[index] for index in indices]

    def explain(self, error: tf.errors.OpError) -> LarqnetsError | None:
        if not isinstance(error, tf.errors.InvalidArgumentError | tf.errors.NotFoundError | tf.errors.UnknownError):
            return None
        for path, foreign in zip(self._files.paths, self._foreign, strict=True):
            try:
                if foreign:
                    decode_upright(Path(path), self._channels)
                else:
                    tf.io.decode_image(tf.io.read_file(path), expand_animations=False)
            except (tf.errors.OpError, LarqnetsError):
                return LarqnetsError(f"{path} cannot be read as an image, it may be damaged. Replace or delete it.")
        return None

    def _read(self, index: tf.Tensor) -> Example:
        path, orientation, foreign = (tf.gather(column, index) for column in self._columns)
        if self._foreign.any():
            content = tf.cond(foreign, lambda: self._transcoded(path), lambda: tf.io.read_file(path))
        else:
            content = tf.io.read_file(path)
        return {IMAGE: content, ORIENTATION: orientation, **self.known(index)}

    def known(self, index: tf.Tensor) -> Example:
        """Return what is known about an image."""
        return {LABEL: tf.gather(self._labels, index)}

    def _transcoded(self, path: tf.Tensor) -> tf.Tensor:
        """Return a file that Pillow reads as a PNG; a LarqnetsError about it becomes an UnknownError here."""

        def read(name: bytes | np.ndarray) -> bytes:  # an array () when it is called eagerly
            return as_png(Path(os.fsdecode(np.asarray(name, object).item())), self._channels)

        return tf.ensure_shape(tf.numpy_function(read, [path], tf.string), [])


@dataclass(frozen=True)
class RecordStream:
    """Images in the TFRecord shards of a prepared TFDS data set.

    An epoch takes the shards in a random order, a few at a time, and shuffles the records of these few: a block. Blocks
    that a resumed run has behind it are not read.
    """

    builder: tfds.core.DatasetBuilder
    split: str
    known: KnownDataset
    kept: np.ndarray | None = None  # which records are meant, bool; None: all
    max_boxes: int = 0  # where things have boxes, the room for them

    @property
    def num_images(self) -> int:
        return int(self._shard_lengths().sum())

    def labels(self) -> np.ndarray:
        """Return the label of every record that is meant, int32, which reads all files.

        Of many records at once nothing else is taken: TFDS's own reader of a record takes twenty times as long. Raises
        LarqnetsError for damaged files.
        """
        wanted = {LABEL: tf.io.FixedLenFeature((), tf.int64)}  # as TFDS writes a ClassLabel
        batches = self._records().batch(4096).map(lambda records: tf.io.parse_example(records, wanted)[LABEL])
        with reading_errors(self):
            labels = np.concatenate([*batches.as_numpy_iterator()]).astype(np.int32)
        return labels if self.kept is None else labels[self.kept]

    def mask_values(self) -> np.ndarray:
        """Return how many pixels of every mask have each value, int64 (N, 256)."""
        masks = self.in_order().map(lambda example: tf.io.decode_png(example[MASK], 1), tf.data.AUTOTUNE)
        with reading_errors(self):
            return np.array([count_values(mask) for mask in masks.as_numpy_iterator()])

    def boxes(self) -> list[Boxes]:
        """Return the boxes of every record that is meant, which reads all files.

        Raises LarqnetsError for damaged files, and for boxes that cannot be.
        """
        records = self._records() if self.kept is None else where(self._records(), self.kept, 0)
        found = []
        with reading_errors(self):
            for objects in records.map(lambda record: objects_of(record)[1:], tf.data.AUTOTUNE).as_numpy_iterator():
                try:
                    found.append(cleaned(*objects))
                except ValueError as error:
                    raise LarqnetsError(
                        f"{self.names([len(found)])[0]} of {self.known.tfds_name} has boxes that cannot be: {error}. "
                        "Prepare the data set again without it."
                    ) from error
        return found

    def where(self, mask: np.ndarray) -> "RecordStream":
        """Return the records at which `mask` is true; it is about all."""
        return replace(self, kept=mask)

    def _shard_lengths(self) -> np.ndarray:
        """Return how many records of every shard are meant, int64."""
        lengths = np.array(self.builder.info.splits[self.split].shard_lengths, np.int64)
        if self.kept is None:
            return lengths
        return np.array([part.sum() for part in np.split(self.kept, np.cumsum(lengths)[:-1])], np.int64)

    @property
    def _shards(self) -> list[str]:
        return [os.fspath(path) for path in self.builder.info.splits[self.split].filepaths]

    def _records(self) -> tf.data.Dataset:
        """Return all records in stored order, whichever are meant."""
        everything = self.builder.info.splits[self.split].num_examples
        return tf.data.TFRecordDataset(self._shards).apply(tf.data.experimental.assert_cardinality(everything))

    def in_order(self) -> tf.data.Dataset:
        records = self._records()
        if self.kept is not None:
            records = where(records, self.kept, 0)
        return records.map(self._parse, tf.data.AUTOTUNE, deterministic=True)

    def shuffled(self, seed: int, purpose: Purpose, batch_size: int, start_step: int = 0) -> tf.data.Dataset:
        lengths = self._shard_lengths()
        steps = self.num_images // batch_size
        per_block = min(len(lengths), max(1, round(BLOCK_RECORDS / lengths.mean())))
        num_blocks = -(-len(lengths) // per_block)
        with tf.device("CPU:0"):
            shards, shard_lengths = tf.constant(self._shards), tf.constant(lengths)
            stored = np.array(self.builder.info.splits[self.split].shard_lengths, np.int64)
            firsts = tf.constant(np.cumsum(stored) - stored)

        def records_of(shard: tf.Tensor, first: tf.Tensor) -> tf.data.Dataset:
            records = tf.data.TFRecordDataset(shard)
            return records if self.kept is None else where(records, self.kept, first)

        def shard_order(epoch: tf.Tensor | int) -> tf.Tensor:
            return permutation(len(lengths), seed, Purpose.SHARDS, epoch)

        def read_block(counter: tf.Tensor) -> tf.data.Dataset:
            epoch, block = counter // num_blocks, tf.math.floormod(counter, num_blocks)
            order = shard_order(epoch)
            mine = order[block * per_block : (block + 1) * per_block]
            length = tf.reduce_sum(tf.gather(shard_lengths, mine))
            before = tf.reduce_sum(tf.gather(shard_lengths, order[: block * per_block]))
            keep = tf.clip_by_value(steps * batch_size - before, 0, length)

            def shuffle(records: tf.Tensor) -> tf.Tensor:
                with tf.control_dependencies(
                    [tf.debugging.assert_equal(tf.size(records, tf.int64), length, _WRONG_COUNT)]
                ):
                    block_seed = stateless_seed(seed, purpose, counter)
                    shuffled = tf.random.experimental.stateless_shuffle(  # pyright: ignore[reportAttributeAccessIssue]  # as above
                        records, block_seed, alg="philox"
                    )
                    return shuffled[:keep]

            files = tf.data.Dataset.from_tensor_slices((tf.gather(shards, mine), tf.gather(firsts, mine)))
            records = files.interleave(
                records_of,  # pyright: ignore[reportArgumentType]  # pairs
                cycle_length=per_block,
                num_parallel_calls=tf.data.AUTOTUNE,
                deterministic=True,
            )
            # One batch is the whole block, and has room for a surplus to show.
            return records.batch(int(lengths.sum()) + 1).map(shuffle)

        # Where the first batch starts, so that only its block is read.
        epoch, step = divmod(start_step, steps)
        ends = np.cumsum(lengths[shard_order(epoch).numpy()])
        block_ends = ends[np.minimum(np.arange(1, num_blocks + 1) * per_block, len(ends)) - 1]
        block = int(np.searchsorted(block_ends, step * batch_size, side="right"))
        skip = step * batch_size - (int(block_ends[block - 1]) if block else 0)
        blocks = tf.data.Dataset.counter(epoch * num_blocks + block).flat_map(read_block).prefetch(1)
        records = blocks.flat_map(tf.data.Dataset.from_tensor_slices).skip(skip)
        return records.map(self._parse, tf.data.AUTOTUNE, deterministic=True)

    def files(self) -> dict[str, Path]:
        return {Path(path).name: Path(path) for path in self._shards}

    def names(self, indices: Sequence[int]) -> list[str]:
        numbers = indices if self.kept is None else np.flatnonzero(self.kept)[list(indices)]
        return [f"{self.split} record {number}" for number in numbers]

    def explain(self, error: tf.errors.OpError) -> LarqnetsError | None:
        # The first is how assert_cardinality ends, the second how the assertion of a block does. A FailedPrecondition of
        # another kind is none of ours: a worker that was started again raises one in the others.
        if _CARDINALITY in str(error) or _WRONG_COUNT in str(error):
            problem = f"it has {_WRONG_COUNT}"
        elif isinstance(error, tf.errors.DataLossError):
            problem = "a record is damaged"
        elif isinstance(error, tf.errors.NotFoundError):
            problem = "a file is gone"
        elif isinstance(error, tf.errors.InvalidArgumentError) and "decode" in str(error).lower():
            problem = "an image cannot be decoded"
        else:
            return None
        path = Path(self.builder.data_path)
        return incomplete(self.known, path.parent.parent, path, problem)

    def _parse(self, record: tf.Tensor) -> Example:
        if self.known.annotation == BOXES:
            image, *objects = objects_of(record)
            return {IMAGE: image, ORIENTATION: tf.constant(1), **in_fixed_shapes(objects, self.max_boxes)}
        named = {MASK: SEGMENTATION_MASK} if self.known.annotation == MASK else {}
        still_encoded = {name: tfds.decode.SkipDecoding() for name in (IMAGE, *named.values())}
        features = self.builder.info.features
        assert isinstance(features, tfds.features.FeaturesDict)  # `open_prepared` has looked
        example: dict[str, tf.Tensor] = features.deserialize_example(record, decoders=still_encoded)  # pyright: ignore[reportAssignmentType]  # flat
        known = {name: example[stored] for name, stored in named.items()}
        known = known or {LABEL: tf.cast(example["label"], tf.int32)}
        return {IMAGE: example["image"], ORIENTATION: tf.constant(1), **known}
