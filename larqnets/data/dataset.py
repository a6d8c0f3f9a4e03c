"""`load_dataset` and the `Dataset` that it returns: batches for training, evaluation and verification."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

from larqnets.config import DataConfig
from larqnets.data.augment import WHOLE, Purpose, Share, crop_and_flip_at_random, random_box
from larqnets.data.folder import scan_folder
from larqnets.data.info import DatasetInfo, crop_fraction, normalisation
from larqnets.data.known import FOLDER_PREFIX, find_known
from larqnets.data.layout import resolve_data_dir
from larqnets.data.pixels import central_square, decode, make_upright, resize
from larqnets.data.prepared import features_of, open_prepared
from larqnets.data.streams import FileStream, RecordStream, Stream, permutation, shuffled_indices
from larqnets.errors import LarqnetsError

SplitName = Literal["train", "test"]

# Nothing here is control flow for AutoGraph to convert, and converting takes most of the time to set up a pipeline.
_without_autograph = tf.autograph.experimental.do_not_convert

FINGERPRINT_LIMIT = 1_000_000_000  # bytes of files whose contents are read to recognise a data set: a second or less
MEMORY_LIMIT = 1_000_000_000  # bytes of uint8 pixels of a split that are decoded once and kept


def load_dataset(config: DataConfig) -> "Dataset":
    """Open the data set of a config and check that it is complete; images are read when they are first asked for.

    Raises LarqnetsError for an unknown name, data that is not prepared or not whole, and settings that do not fit.
    """
    if config.random_resized_crop and config.crop_padding:
        raise LarqnetsError("data.random_resized_crop and data.crop_padding exclude each other. Leave one of them out.")
    streams: dict[str, Stream]
    stored_size: tuple[int | None, int | None]
    if config.dataset.startswith(FOLDER_PREFIX):
        path = Path(config.dataset.removeprefix(FOLDER_PREFIX)).expanduser()
        folder = scan_folder(path)
        streams = {"train": FileStream(folder.train), "test": FileStream(folder.test)}
        name, labels, citation = f"{FOLDER_PREFIX}{path.resolve().name}", folder.labels, ""
        stored_size, channels = (None, None), folder.channels
        mean = std = (0.5,) * channels
    else:
        known = find_known(config.dataset)
        builder = open_prepared(known, resolve_data_dir(config.data_dir))
        image, label = features_of(builder)
        streams = {
            "train": RecordStream(builder, "train", known),
            "test": RecordStream(builder, known.test_split, known),
        }
        name, labels, citation = config.dataset, tuple(label.names or ()), builder.info.citation
        labels = known.labels or labels
        *stored, channels = image.shape  # pyright: ignore[reportGeneralTypeIssues]  # TFDS hides its type
        stored_size = (stored[0], stored[1])
        mean, std = known.mean, known.std
    height, width = (config.image_size, config.image_size) if config.image_size else stored_size
    if height is None or width is None:
        raise LarqnetsError(
            f"The images of {config.dataset} differ in size. Set data.image_size to the size that the model takes."
        )
    if config.crop_padding >= min(height, width):
        raise LarqnetsError(
            f"data.crop_padding is {config.crop_padding}, but the images have {height}x{width} pixels. "
            "Set it to less than the image size."
        )
    mean, std = config.mean or mean, config.std or std
    if not len(mean) == len(std) == channels or 0 in std:
        raise LarqnetsError(
            f"data.mean and data.std have {len(mean)} and {len(std)} numbers; images of {config.dataset} need {channels} "
            "each, and no deviation of 0. Leave them out to take the data set's own."
        )
    info = DatasetInfo(
        name=name,
        labels=labels,
        image_shape=(height, width, channels),
        mean=mean,
        std=std,
        num_train=streams["train"].num_images,
        num_test=streams["test"].num_images,
        citation=citation,
    )
    as_stored = stored_size == (height, width) and not config.random_resized_crop
    return Dataset(info, config, streams, as_stored=as_stored)


class Dataset:
    """Two splits of labelled images. Splits of up to MEMORY_LIMIT bytes are decoded once, larger ones streamed.

    Images come out as (pixel / 255 - mean) / std, float32. Use `reading_errors` around loops over the batches: it turns
    what tf.data raises for damaged files into LarqnetsError.
    """

    def __init__(self, info: DatasetInfo, config: DataConfig, streams: dict[str, Stream], *, as_stored: bool) -> None:
        self.info = info
        self._config = config
        self._streams = streams
        self._as_stored = as_stored
        self._arrays: dict[str, tuple[tf.Tensor, tf.Tensor]] = {}
        self._scale, self._offset = normalisation(info.mean, info.std)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the number of full batches in the training set; raises LarqnetsError when there is none."""
        if not 1 <= batch_size <= self.info.num_train:
            raise LarqnetsError(
                f"A batch of {batch_size:,} images cannot be taken from the {self.info.num_train:,} training images of "
                f"{self.info.name}. Set train.batch_size to 1..{self.info.num_train}."
            )
        return self.info.num_train // batch_size

    @_without_autograph
    def train_batches(
        self, batch_size: int, seed: int, start_step: int = 0, augment: bool = True, share: Share = WHOLE
    ) -> tf.data.Dataset:
        """Return endless (images float32 (B, H, W, C), labels int32 (B,)) from step `start_step` on.

        The batch of step s follows from (seed, s) and the config alone. Each epoch is a new permutation of the training
        set; the images at its end that do not fill a batch are left out. With a `share` only that part of every batch
        comes out, decoded and augmented as in the whole one; its count must divide the batch size.
        """
        self.steps_per_epoch(batch_size)
        config, size = self._config, batch_size // share.count

        def is_mine(position: tf.Tensor, item: tuple[tf.Tensor, ...]) -> tf.Tensor:
            return tf.math.floormod(position, batch_size) // size == share.index

        def stream() -> tf.data.Dataset:
            """Return my images, each with its position in the order of all."""
            images = self._streams["train"].shuffled(seed, Purpose.ORDER, batch_size, start_step)
            images = images.enumerate(start_step * batch_size)
            return images if share.count == 1 else images.filter(is_mine)  # pyright: ignore[reportArgumentType]  # positions are tensors

        if augment and config.random_resized_crop:
            batches = self._random_resized_crops(stream(), seed).batch(size, drop_remainder=True)
        elif self._in_memory("train"):
            all_images, all_labels = self._load("train")
            order = shuffled_indices(self.info.num_train, seed, Purpose.ORDER, batch_size, start_step)
            mine = slice(share.index * size, (share.index + 1) * size)
            batches = order.map(
                lambda i: (tf.gather(all_images, i[mine]), tf.gather(all_labels, i[mine])),
                tf.data.AUTOTUNE,
                deterministic=True,
            )
        else:
            images = stream().map(lambda _, item: self._decode(*item), tf.data.AUTOTUNE, deterministic=True)
            batches = images.batch(size, drop_remainder=True)

        def finish(step: tf.Tensor, item: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            images, labels = item
            if augment:
                images = crop_and_flip_at_random(images, config.crop_padding, config.flip, seed, step, share)
            return self._normalise(images), labels

        return _prefetched(batches.enumerate(start_step).map(finish, tf.data.AUTOTUNE, deterministic=True))

    @_without_autograph
    def eval_batches(
        self, split: SplitName = "test", batch_size: int = 128, limit: int | None = None
    ) -> tf.data.Dataset:
        """Return the first `limit` (None: all) images of a split in stored order; the last batch may be smaller."""
        if self._in_memory(split):
            images = tf.data.Dataset.from_tensor_slices(self._load(split))
        else:
            images = self._streams[split].in_order().map(self._decode, tf.data.AUTOTUNE, deterministic=True)
        if limit is not None:
            images = images.take(limit)
        batches = images.batch(batch_size)
        return _prefetched(batches.map(lambda x, y: (self._normalise(x), y), tf.data.AUTOTUNE, deterministic=True))

    @_without_autograph
    def samples(self, count: int, split: SplitName = "train", seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Return `count` different images (n, H, W, C) float32 and labels (n,) int32, chosen by seed, not augmented.

        All of them in stored order when the split has no more than `count`.
        """
        num = self._streams[split].num_images
        with reading_errors(self):
            if count >= num:
                batches = self.eval_batches(split)
            elif self._in_memory(split):
                images, labels = self._load(split)
                with tf.device("CPU:0"):
                    chosen = permutation(num, seed, Purpose.SAMPLES, 0)[:count]
                    return self._normalise(tf.gather(images, chosen)).numpy(), tf.gather(labels, chosen).numpy()
            else:
                chosen = self._streams[split].shuffled(seed, Purpose.SAMPLES, count).take(count)
                decoded = chosen.map(self._decode, tf.data.AUTOTUNE, deterministic=True).batch(min(count, 128))
                batches = decoded.map(lambda x, y: (self._normalise(x), y))
            parts = list(batches.as_numpy_iterator())
        return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])

    def fingerprint(self) -> str:
        """Return SHA-256 over names, sizes and contents of all files; above FINGERPRINT_LIMIT bytes without contents."""
        files = {
            f"{split}:{name}": path for split, stream in self._streams.items() for name, path in stream.files().items()
        }
        digest = hashlib.sha256()
        try:
            sizes = {name: files[name].stat().st_size for name in sorted(files)}
            digest.update(json.dumps(sizes).encode())
            if sum(sizes.values()) <= FINGERPRINT_LIMIT:
                for name in sizes:
                    with files[name].open("rb") as file:
                        digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise LarqnetsError(f"Cannot read {error.filename}: {error.strerror}. Restore the data.") from error
        return digest.hexdigest()

    def explain(self, error: tf.errors.OpError) -> LarqnetsError | None:
        """Return what to tell the user about an error of tf.data, or None when the data is not its cause."""
        return next(filter(None, (stream.explain(error) for stream in self._streams.values())), None)

    def _in_memory(self, split: SplitName) -> bool:
        return self._streams[split].num_images * int(np.prod(self.info.image_shape)) <= MEMORY_LIMIT

    @_without_autograph
    def _load(self, split: SplitName) -> tuple[tf.Tensor, tf.Tensor]:
        """Return all images uint8 (N, H, W, C) and labels int32 (N,) of a split, read at the first call."""
        if split not in self._arrays:
            stream = self._streams[split]
            images = np.empty((stream.num_images, *self.info.image_shape), np.uint8)
            labels = np.empty(stream.num_images, np.int32)
            done = 0
            with reading_errors(self):
                batches = stream.in_order().map(self._decode, tf.data.AUTOTUNE, deterministic=True).batch(256)
                for some_images, some_labels in batches.as_numpy_iterator():
                    images[done : done + len(some_images)] = some_images
                    labels[done : done + len(some_labels)] = some_labels
                    done += len(some_images)
            # On the host: tf.data runs there, whatever device computes.
            with tf.device("CPU:0"):
                self._arrays[split] = (tf.constant(images), tf.constant(labels))
        return self._arrays[split]

    def _decode(self, encoded: tf.Tensor, label: tf.Tensor, orientation: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the image as evaluation sees it, uint8 (H, W, C)."""
        height, width, channels = self.info.image_shape
        if self._as_stored:
            # TFDS stores images of one size as PNG; asking each file for its format would double the time to load.
            return tf.ensure_shape(tf.io.decode_png(encoded, channels), self.info.image_shape), label
        image = make_upright(decode(encoded, channels, central_square(crop_fraction(self._config))), orientation)
        return resize(image, height, width), label

    def _random_resized_crops(self, stream: tf.data.Dataset, seed: int) -> tf.data.Dataset:
        height, width, channels = self.info.image_shape

        def crop(position: tf.Tensor, item: tuple[tf.Tensor, tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            encoded, label, orientation = item

            def box_of(stored_height: tf.Tensor, stored_width: tf.Tensor) -> tf.Tensor:
                return random_box(stored_height, stored_width, self._config.min_crop_area, seed, position)

            return resize(make_upright(decode(encoded, channels, box_of), orientation), height, width), label

        return stream.map(crop, tf.data.AUTOTUNE, deterministic=True)

    def _normalise(self, images: tf.Tensor) -> tf.Tensor:
        return tf.cast(images, tf.float32) * self._scale + self._offset


@contextmanager
def reading_errors(dataset: Dataset) -> Iterator[None]:
    """Raise LarqnetsError that names the file or folder when tf.data meets damaged data of `dataset` in this block."""
    try:
        yield
    except tf.errors.OpError as error:
        explanation = dataset.explain(error)
        if explanation is None:
            raise
        raise explanation from error


def _prefetched(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
