"""`load_dataset` and the `Dataset` that it returns: batches for training, evaluation and verification."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np
import tensorflow as tf

from larqnets.config import DataConfig
from larqnets.data.augment import WHOLE, Purpose, Share, draw, random_box
from larqnets.data.file_list import VALIDATION
from larqnets.data.geometry import ORIENTATION, Example, cut_and_scale, decode_as_stored, fit, move
from larqnets.data.info import (
    IMAGE,
    LETTERBOX,
    MASK,
    WARP,
    BoxInfo,
    DatasetInfo,
    MaskInfo,
    crop_fraction,
    normalisation,
    resize_of,
)
from larqnets.data.pixels import central_part, whole_picture
from larqnets.data.presets import mix, preset_of, recolour
from larqnets.data.scaling import draw_part, filling, scaled_part
from larqnets.data.sources import Source, open_source
from larqnets.data.streams import Stream, gathered, permutation, reading_errors, shuffled_indices, where
from larqnets.errors import LarqnetsError, printable

SplitName = Literal["train", "test", "validation"]

# Nothing here is control flow for AutoGraph to convert, and converting takes most of the time to set up a pipeline.
_without_autograph = tf.autograph.experimental.do_not_convert

FINGERPRINT_LIMIT = 1_000_000_000  # bytes of files whose contents are read to recognise a data set: a second or less
SAMPLES_BYTES = 1 << 24  # of float32 pixels that are prepared together
KEPT_BYTES = 1 << 26  # of uint8 pixels of a split of which samples are asked: it is decoded once and kept
MEMORY_LIMIT = 1_000_000_000  # the same, of a split that a training goes through


def load_dataset(config: DataConfig) -> "Dataset":
    """Open the data set of a config and check that it is complete; images are read when they are first asked for.

    Raises LarqnetsError for an unknown name, data that is not prepared or not whole, and settings that do not fit.
    """
    check_augmentation(config)
    source = open_source(config)
    streams, channels = source.streams, source.channels
    if config.image_width and not config.image_size:
        raise LarqnetsError("data.image_width is the width of images of the height data.image_size. Set that too.")
    height, width = config.size or source.stored_size
    if height is None or width is None:
        raise LarqnetsError(
            f"The images of {config.dataset} differ in size. Set data.image_size to the size that the model takes."
        )
    if config.crop_padding >= min(height, width):
        raise LarqnetsError(
            f"data.crop_padding is {config.crop_padding}, but the images have {height}x{width} pixels. "
            "Set it to less than the image size."
        )
    mean, std = config.mean or source.mean, config.std or source.std
    if not len(mean) == len(std) == channels or 0 in std:
        raise LarqnetsError(
            f"data.mean and data.std have {len(mean)} and {len(std)} numbers; images of {config.dataset} need {channels} "
            "each, and no deviation of 0. Leave them out to take the data set's own."
        )
    facts: dict[str, Any] = {
        "name": source.name,
        "labels": source.labels,
        "image_shape": (height, width, channels),
        "mean": mean,
        "std": std,
        "num_train": streams["train"].num_images,
        "num_test": streams["test"].num_images,
        "citation": source.citation,
        "num_validation": streams[VALIDATION].num_images if VALIDATION in streams else 0,
    }
    masks, info = source.masks, DatasetInfo(**facts)
    if masks is not None:
        info = MaskInfo(**facts, colors=masks.colors, count=lambda: masks.pixels("train"))
    elif source.boxes is not None:
        info = BoxInfo(**facts, max_boxes=config.max_boxes)
    as_stored = source.png and source.stored_size == (height, width) and not config.random_resized_crop
    return Dataset(info, config, source, as_stored=as_stored)


def check_augmentation(config: DataConfig) -> None:
    """Raise LarqnetsError for ways of varying images that exclude each other, and for a scale that has no meaning."""
    ways = [key for key in ("random_resized_crop", "crop_padding", "random_scale") if getattr(config, key)]
    if len(ways) > 1:
        raise LarqnetsError(f"data.{ways[0]} and data.{ways[1]} exclude each other. Leave one of them out.")
    if config.random_scale is not None and config.random_scale[0] > config.random_scale[1]:
        low, high = config.random_scale
        raise LarqnetsError(f"data.random_scale goes from {low:g} to {high:g}. Give the smaller factor first.")


class Dataset:
    """Splits of examples: train, test, and validation where the config keeps some images to choose by.

    Splits of up to MEMORY_LIMIT bytes are decoded once, larger ones streamed. An example is a tree: the `image`, and by
    its name what is known about it: a `label` () int32, a `mask` (H, W, 1) uint8, or `boxes` (M, 4) float32 with `box_labels`
    and `box_kind` (M,) int32. Images come out as (pixel / 255 - mean) / std, float32. Use
    `reading_errors` around loops over the batches: it turns what tf.data raises for damaged files into LarqnetsError.
    """

    def __init__(
        self,
        info: DatasetInfo,
        config: DataConfig,
        source: Source,
        *,
        as_stored: bool,
    ) -> None:
        self.info, self.survey = info, source.survey
        self._config, self._source, masks = config, source, source.masks
        self._resize = resize_of(config, info.annotation)
        self._preset = preset = preset_of(config)
        own_area = config.min_crop_area if config.random_resized_crop else None
        self._min_crop_area = own_area if preset is None else preset.min_area  # None: no random part is taken
        self._streams = source.streams
        self._as_stored = as_stored
        self._masks = masks
        self._codes = None if masks is None or not masks.codes.changes else masks.codes.table
        self._arrays: dict[str, Example] = {}
        self._scale, self._offset = normalisation(info.mean, info.std)

    def prepared(self, mean: tuple[float, ...], std: tuple[float, ...]) -> "Dataset":
        """Return the same images as (pixel / 255 - mean) / std."""
        masks, config = self._masks, replace(self._config, mean=mean, std=std)
        counts = {} if masks is None else {"count": lambda: masks.pixels("train")}
        info = replace(self.info, mean=mean, std=std, **counts)
        return Dataset(info, config, self._source, as_stored=self._as_stored)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{stream.num_images:,} {split}" for split, stream in self._streams.items())
        shape = "x".join(map(str, self.info.image_shape))
        return f"<Dataset {printable(self.info.name)}: {self.info.num_classes} labels, {sizes} images {shape}>"

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
        """Return endless batches of examples, such as {"image": (B, H, W, C) float32, "label": (B,) int32}, from a step on.

        The batch of step s follows from (seed, s) and the config alone. Each epoch is a new permutation of the training
        set; the images at its end that do not fill a batch are left out. With a `share` only that part of every batch
        comes out, decoded and augmented as in the whole one; its count must divide the batch size.
        """
        self.steps_per_epoch(batch_size)
        self._check_annotations("train")
        size = batch_size // share.count

        def is_mine(position: tf.Tensor, stored: Example) -> tf.Tensor:
            return tf.math.floormod(position, batch_size) // size == share.index

        def stream() -> tf.data.Dataset:
            """Return my images, each with its position in the order of all."""
            images = self._streams["train"].shuffled(seed, Purpose.ORDER, batch_size, start_step)
            images = images.enumerate(start_step * batch_size)
            return images if share.count == 1 else images.filter(is_mine)  # pyright: ignore[reportArgumentType]  # positions are tensors

        if augment and self._takes_parts:
            batches = self._random_parts(stream(), seed).batch(size, drop_remainder=True)
        elif self._pixels("train") <= MEMORY_LIMIT:
            everything = self._load("train")
            order = shuffled_indices(self.info.num_train, seed, Purpose.ORDER, batch_size, start_step)
            mine = slice(share.index * size, (share.index + 1) * size)
            batches = order.map(
                lambda i: {name: tf.gather(values, i[mine]) for name, values in everything.items()},
                tf.data.AUTOTUNE,
                deterministic=True,
            )
        else:
            images = stream().map(lambda _, stored: self._decode(stored), tf.data.AUTOTUNE, deterministic=True)
            batches = images.batch(size, drop_remainder=True)

        def finish(step: tf.Tensor, batch: Example) -> Example:
            return self._vary(batch, seed, step, share) if augment else self._normalise(batch)

        return _prefetched(batches.enumerate(start_step).map(finish, tf.data.AUTOTUNE, deterministic=True))

    @_without_autograph
    def eval_batches(
        self, split: SplitName = "test", batch_size: int = 128, limit: int | None = None
    ) -> tf.data.Dataset:
        """Return the first `limit` (None: all) examples of a split in stored order; the last batch may be smaller."""
        self._check_annotations(split)
        if self._pixels(split) <= MEMORY_LIMIT:
            images = tf.data.Dataset.from_tensor_slices(cast(Any, self._load(split)))
        else:
            images = self._stream(split).in_order().map(self._decode, tf.data.AUTOTUNE, deterministic=True)
        if limit is not None:
            images = images.take(limit)
        batches = images.batch(batch_size)
        return _prefetched(batches.map(self._normalise, tf.data.AUTOTUNE, deterministic=True))

    @_without_autograph
    def samples(self, count: int, split: SplitName = "train", seed: int = 0) -> dict[str, np.ndarray]:
        """Return `count` different examples in arrays, images (n, H, W, C) float32, chosen by seed, not augmented.

        All of them in stored order when the split has no more than `count`.
        """
        num, pixels = self._stream(split).num_images, self._pixels(split)
        numbers = permutation(num, seed, Purpose.SAMPLES, 0)[:count] if count < num else tf.range(num)
        places = np.arange(len(numbers))
        if whole := count >= num or pixels <= MEMORY_LIMIT:
            self._check_annotations(split)
        with reading_errors(self):
            if split in self._arrays or pixels <= KEPT_BYTES:
                everything = self._load(split)
                parts = (numbers[start : start + self._at_once] for start in range(0, len(places), self._at_once))
                batches = (self._normalise({n: tf.gather(v, part) for n, v in everything.items()}) for part in parts)
            else:
                if whole:
                    places = np.argsort(numbers)
                    stored = where(self._streams[split].in_order(), np.isin(np.arange(num), numbers), 0)
                else:
                    stored = self._streams[split].shuffled(seed, Purpose.SAMPLES, count).take(count)
                decoded = stored.map(self._decode, tf.data.AUTOTUNE, deterministic=True)
                batches = decoded.batch(self._at_once).map(self._normalise)
            with tf.device("CPU:0"):
                return gathered(batches, places)

    def variants(self, count: int, versions: int, seed: int = 0) -> list[dict[str, Any]]:
        """Return some training images as they are, then `versions` times as a training varies them; batches in arrays.

        Images (n, H, W, C) float32, n = `count` or all where there are fewer; the same in the same order every time.
        """
        count = min(count, self.info.num_train)
        chosen = self._streams["train"].shuffled(seed, Purpose.SAMPLES, count).take(count)
        with reading_errors(self):
            plain = chosen.map(self._decode).batch(count)
            batches = [tf.nest.map_structure(lambda v: v.numpy(), self._normalise(next(iter(plain))))]
            for version in range(versions):
                crops = plain
                if self._takes_parts:
                    crops = self._random_parts(chosen.enumerate(version * count), seed).batch(count)
                varied = self._vary(next(iter(crops)), seed, tf.constant(version, tf.int64), WHOLE)
                batches.append(tf.nest.map_structure(lambda v: v.numpy(), varied))
        return batches

    def stored(self, split: SplitName) -> tf.data.Dataset:
        """Return the examples of a split in stored order, their images encoded as they are."""
        return self._stream(split).in_order()

    def classes_of(self, stored: np.ndarray) -> np.ndarray:
        """Return the classes for which the values of a stored mask stand."""
        return stored if self._codes is None else self._codes[stored]

    def names(self, split: SplitName, indices: Sequence[int]) -> list[str]:
        """Return where images of a split are, numbers in stored order: "photos/cat/1.jpg", or "test record 17"."""
        return self._stream(split).names(indices)

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

    def _check_annotations(self, split: SplitName) -> None:
        """Raise LarqnetsError for a mask of a split with values that stand for nothing, and bad boxes; they are looked at once."""
        if self._source.contents is not None and split in self._streams:
            self._source.contents(split)

    def _stream(self, split: SplitName) -> Stream:
        if split not in self._streams:
            raise LarqnetsError(
                f"{self.info.name} has no validation images. data.validation = 0.2 takes a part of the training images."
            )
        return self._streams[split]

    @property
    def _takes_parts(self) -> bool:
        """Whether a training decodes another part of an image every time."""
        return self._min_crop_area is not None or self._config.random_scale is not None

    @property
    def _at_once(self) -> int:
        """How many examples are prepared together."""
        return max(1, min(128, SAMPLES_BYTES // (4 * int(np.prod(self.info.image_shape)))))

    def _pixels(self, split: SplitName) -> int:
        return self._stream(split).num_images * int(np.prod(self.info.image_shape))

    @_without_autograph
    def _load(self, split: SplitName) -> Example:
        """Return all examples of a split, images uint8 (N, H, W, C), read at the first call."""
        if split not in self._arrays:
            stream = self._streams[split]
            decoded = stream.in_order().map(self._decode, tf.data.AUTOTUNE, deterministic=True)
            with reading_errors(self):
                arrays = gathered(decoded.batch(self._at_once), np.arange(stream.num_images))
            # On the host: tf.data runs there, whatever device computes.
            with tf.device("CPU:0"):
                self._arrays[split] = {name: tf.constant(values) for name, values in arrays.items()}
        return self._arrays[split]

    def _decode(self, stored: Example) -> Example:
        """Return the example as evaluation sees it, its image uint8 (H, W, C)."""
        height, width, channels = self.info.image_shape
        if self._as_stored:
            # PNG of one size; asking each file for its format would double the time to load.
            return self._in_classes(decode_as_stored(stored, self.info.image_shape))
        if self._resize == LETTERBOX:
            return self._in_classes(fit(stored, (height, width), channels))
        if self._resize == WARP:
            return self._in_classes(cut_and_scale(stored, whole_picture, (height, width), channels))
        swapped = stored[ORIENTATION] >= 5
        target = tf.cast(tf.where(swapped, [width, height], [height, width]), tf.float64)
        part = central_part(crop_fraction(self._config), target[0], target[1])
        return self._in_classes(cut_and_scale(stored, part, (height, width), channels))

    def _in_classes(self, example: Example) -> Example:
        """Return an example whose mask has the numbers of classes, of the values that are stored."""
        if self._codes is None:
            return example
        return example | {MASK: tf.gather(tf.constant(self._codes), tf.cast(example[MASK], tf.int32))}

    def _random_parts(self, stream: tf.data.Dataset, seed: int) -> tf.data.Dataset:
        """Return decoded examples of (position, stored example): of each a random part."""
        scale = self._config.random_scale
        if scale is None:
            return self._random_resized_crops(stream, seed)
        fill = filling(self.info.mean, self._resize)

        def part(position: tf.Tensor, stored: Example) -> Example:
            factor, place = draw_part(scale, seed, position)
            return self._in_classes(scaled_part(stored, factor, place, self.info.image_shape, fill, self._resize))

        return stream.map(part, tf.data.AUTOTUNE, deterministic=True)

    def _random_resized_crops(self, stream: tf.data.Dataset, seed: int) -> tf.data.Dataset:
        height, width, channels = self.info.image_shape
        min_area = self._min_crop_area
        assert min_area is not None

        def crop(position: tf.Tensor, stored: Example) -> Example:
            def box(rows: tf.Tensor, columns: tf.Tensor, aspect: float) -> tf.Tensor:
                return random_box(rows, columns, min_area, seed, position, aspect)

            def box_of(rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
                if width == height:
                    return box(rows, columns, 1.0)
                return tf.cond(
                    stored[ORIENTATION] >= 5,
                    lambda: box(rows, columns, height / width),
                    lambda: box(rows, columns, width / height),
                )

            example = self._in_classes(cut_and_scale(stored, box_of, (height, width), channels))
            return example if self._preset is None else recolour(example, self._preset, seed, position)

        return stream.map(crop, tf.data.AUTOTUNE, deterministic=True)

    def _vary(self, batch: Example, seed: int, step: tf.Tensor, share: Share) -> Example:
        """Return what the network is given of the batch of a step: moved, normalised, mixed."""
        padding, preset = self._config.crop_padding, self._preset
        if padding or self._config.flip or preset is not None:
            flip = self._config.flip or preset is not None
            batch = move(batch, draw(tf.shape(batch[IMAGE])[0], padding, flip, seed, step, share))
        batch = self._normalise(batch)
        return batch if preset is None or not preset.mixed else mix(batch, preset, seed, step, share)

    def _normalise(self, batch: Example) -> Example:
        return batch | {IMAGE: tf.cast(batch[IMAGE], tf.float32) * self._scale + self._offset}


def _prefetched(batches: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)
