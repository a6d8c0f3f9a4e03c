"""Open a data set that TFDS has prepared, check that it is whole, and prepare what comes with the package; nothing is downloaded."""

import contextlib
import io
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from larqnets.data.digit_boxes.larqnets_digit_boxes import LarqnetsDigitBoxes
from larqnets.data.digits.larqnets_digits import LarqnetsDigits
from larqnets.data.info import BOXES, LABEL, MASK
from larqnets.data.known import KnownDataset
from larqnets.data.layout import find_prepared, incomplete
from larqnets.data.nuclei.larqnets_nuclei import LarqnetsNuclei
from larqnets.errors import LarqnetsError
from larqnets.files import building_folder

Builder = tfds.core.DatasetBuilder
SHIPPED: dict[str, type[tfds.core.GeneratorBasedBuilder]] = {
    kind.name: kind for kind in (LarqnetsDigitBoxes, LarqnetsDigits, LarqnetsNuclei)
}
SEGMENTATION_MASK, OBJECTS = (
    "segmentation_mask",
    "objects",
)  # the names that TFDS has for masks, and for things in boxes
_FORM = "REL_YXYX"  # of boxes: top, left, bottom, right as fractions


def open_prepared(known: KnownDataset, data_dir: Path) -> Builder:
    """Return the reader of the newest prepared version under `data_dir`, which is then known to be complete.

    What comes with the package is prepared first where it is missing. Raises LarqnetsError for data that is not there or not whole.
    """
    if known.ships_with_package:
        prepare_shipped(known.tfds_name, data_dir)
    path = find_prepared(known, data_dir)
    try:
        builder = tfds.builder_from_directory(path)
    except Exception as error:
        # JSON and proto parsers, and TFDS for features that it does not know, each raise their own errors.
        raise incomplete(known, data_dir, path, f"its description cannot be read ({type(error).__name__})") from error
    try:
        features_of(builder, known.annotation)
    except ValueError as error:
        raise incomplete(known, data_dir, path, str(error)) from error
    own = () if known.validation_split is None else (known.validation_split,)
    for split in ("train", known.test_split, *own):
        problem = _problem_of_split(builder, split)
        if problem:
            raise incomplete(known, data_dir, path, problem)
    return builder


def features_of(
    builder: Builder, annotation: str = LABEL
) -> tuple[tfds.features.Image, tfds.features.ClassLabel | tfds.features.Image]:
    """Return what a prepared data set says about its images and their labels, masks, or labels of things in boxes.

    Raises ValueError where it has others.
    """
    features, name = builder.info.features, {MASK: SEGMENTATION_MASK, BOXES: OBJECTS}.get(annotation, "label")
    if isinstance(features, tfds.features.FeaturesDict) and {"image", name} <= features.keys():
        image, known = features["image"], features[name]
        if annotation == BOXES:
            known = _label_in_boxes(known)
        kind = tfds.features.Image if annotation == MASK else tfds.features.ClassLabel
        if isinstance(image, tfds.features.Image) and isinstance(known, kind):
            return image, known
    raise ValueError(f"its features are not an image and a {name}")


def _label_in_boxes(objects: Any) -> Any:
    """Return what a prepared data set says of the labels of things in boxes; raises ValueError for boxes in another form."""
    parts = getattr(objects, "feature", None)
    if not isinstance(parts, tfds.features.FeaturesDict) or not {"bbox", "label"} <= parts.keys():
        raise ValueError(f"its {OBJECTS} are not a bbox and a label each")
    if not isinstance(parts["bbox"], tfds.features.BBoxFeature):
        raise ValueError(f"the bbox of its {OBJECTS} is none")
    form = getattr(parts["bbox"], "bbox_format", None)
    if form is not None and form.name != _FORM:
        raise ValueError(f"its boxes are {form.name}, and {_FORM} are read")
    return parts["label"]


def prepare_shipped(name: str, data_dir: Path) -> None:
    """Write a data set that comes with the package under `data_dir` unless it is there, the same bytes everywhere; silent.

    It takes a few seconds at most. It is written into a folder of its own that is renamed when it is complete, so neither an
    earlier interruption nor a second process can leave half a data set behind.
    """
    builder = SHIPPED[name]
    target = data_dir / name / str(builder.VERSION)
    if target.exists():
        return
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with building_folder(data_dir) as building:
            # TFDS prints to stdout and draws bars on stderr, whatever its log level.
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                builder(data_dir=building).download_and_prepare(download_config=config)
            prepared = building / target.relative_to(data_dir)
            for shard in sorted(prepared.glob("*.tfrecord*")):
                _order_fields(shard)
            prepared.rename(target)
    except (OSError, tf.errors.OpError) as error:
        if target.exists():
            return  # another process was faster
        reason = getattr(error, "strerror", None) or str(error)
        raise LarqnetsError(
            f"The data set {name} cannot be prepared in {data_dir}: {reason}. Set data.data_dir or TFDS_DATA_DIR to a folder that "
            "you can write to."
        ) from error


def _order_fields(shard: Path) -> None:
    """Write the fields of every example in the order of their names.

    TFDS leaves it to a hash table that differs from process to process, and a run would not know its data set again.
    """
    examples = [
        tf.train.Example.FromString(record) for record in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()
    ]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for example in examples:
            writer.write(example.SerializeToString(deterministic=True))


def _problem_of_split(builder: Builder, split: str) -> str | None:
    if split not in builder.info.splits or not builder.info.splits[split].num_examples:
        return f"it has no split '{split}'"
    info = builder.info.splits[split]
    size = 0
    for shard in map(Path, info.filepaths):
        if not shard.is_file():
            return f"{shard.name} is missing"
        if shard.stat().st_size == 0:
            return f"{shard.name} is empty"
        size += shard.stat().st_size
    # num_bytes counts the records alone; the file format adds to that.
    if size < int(info.num_bytes):
        return f"the files of split '{split}' have {size:,} bytes instead of at least {int(info.num_bytes):,}"
    return None
