"""Find a data set that TFDS has prepared, check that it is whole, and prepare the digits; nothing is downloaded."""

import contextlib
import io
import os
import re
from pathlib import Path

import tensorflow as tf
import tensorflow_datasets as tfds

from larqnets.data.digits.larqnets_digits import LarqnetsDigits
from larqnets.data.known import KnownDataset
from larqnets.errors import LarqnetsError

Builder = tfds.core.DatasetBuilder


def resolve_data_dir(data_dir: str | None) -> Path:
    """Return where prepared data is: `data_dir`, else TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def open_prepared(known: KnownDataset, data_dir: Path) -> Builder:
    """Return the reader of the newest prepared version under `data_dir`, which is then known to be complete.

    The digits are prepared first where they are missing. Raises LarqnetsError for data that is not there or not whole.
    """
    if known.ships_with_package:
        prepare_digits(data_dir)
    folder = data_dir / known.tfds_name
    path = _newest_version(folder)
    if path is None:
        started = next(iter(sorted(folder.glob("incomplete.*"))), None)
        if started is not None:
            raise incomplete(known, data_dir, started, "its preparation was interrupted")
        raise LarqnetsError(
            f"The data set {known.tfds_name} is not prepared in {data_dir}. {_how_to_build(known, data_dir)}, "
            "or set data.data_dir or TFDS_DATA_DIR to a folder that has it."
        )
    for name in ("dataset_info.json", "features.json"):
        if not (path / name).is_file():
            raise incomplete(known, data_dir, path, f"{name} is missing")
    try:
        builder = tfds.builder_from_directory(path)
    except Exception as error:
        # JSON and proto parsers, and TFDS for features that it does not know, each raise their own errors.
        raise incomplete(known, data_dir, path, f"its description cannot be read ({type(error).__name__})") from error
    try:
        features_of(builder)
    except ValueError as error:
        raise incomplete(known, data_dir, path, str(error)) from error
    for split in ("train", known.test_split):
        problem = _problem_of_split(builder, split)
        if problem:
            raise incomplete(known, data_dir, path, problem)
    return builder


def features_of(builder: Builder) -> tuple[tfds.features.Image, tfds.features.ClassLabel]:
    """Return what a prepared data set says about its images and labels; raises ValueError where it has others."""
    features = builder.info.features
    if isinstance(features, tfds.features.FeaturesDict) and {"image", "label"} <= features.keys():
        image, label = features["image"], features["label"]
        if isinstance(image, tfds.features.Image) and isinstance(label, tfds.features.ClassLabel):
            return image, label
    raise ValueError("its features are not an image and a label")


def prepare_digits(data_dir: Path) -> None:
    """Write the shipped digits under `data_dir` unless they are there; silent, a second or less.

    TFDS writes a folder of its own and renames it when it is complete, so neither an earlier interruption nor a second
    process can leave half a data set behind.
    """
    target = data_dir / LarqnetsDigits.name / str(LarqnetsDigits.VERSION)
    if target.exists():
        return
    try:
        builder = LarqnetsDigits(data_dir=data_dir)
        config = tfds.download.DownloadConfig(try_download_gcs=False)
        # TFDS prints to stdout and draws bars on stderr, whatever its log level.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            builder.download_and_prepare(download_config=config)
    except (OSError, tf.errors.OpError) as error:
        if target.exists():
            return  # another process was faster
        reason = getattr(error, "strerror", None) or str(error)
        raise LarqnetsError(
            f"The digits cannot be prepared in {data_dir}: {reason}. Set data.data_dir or TFDS_DATA_DIR to a folder that "
            "you can write to."
        ) from error


def incomplete(known: KnownDataset, data_dir: Path, path: Path, problem: str) -> LarqnetsError:
    """Return the error for data that is there but not whole."""
    again = "run the command again" if known.ships_with_package else f"build it again: {_how_to_build(known, data_dir)}"
    return LarqnetsError(
        f"The data set {known.tfds_name} in {path} is not complete: {problem}. Delete that folder and {again}."
    )


def _how_to_build(known: KnownDataset, data_dir: Path) -> str:
    # Not `tfds build`: in TFDS 4.9.10 that command does not start without Apache Beam.
    builder = f"tfds.builder('{known.tfds_name}', data_dir={str(data_dir)!r})"
    command = f'`python -c "import tensorflow_datasets as tfds; {builder}.download_and_prepare()"`'
    if known.manual_download:
        return f"For it, {known.manual_download.format(data_dir=data_dir)} and run {command}"
    return f"Get it with {command}"


def _newest_version(folder: Path) -> Path | None:
    versions = [p for p in folder.glob("*") if re.fullmatch(r"\d+\.\d+\.\d+", p.name) and p.is_dir()]
    return max(versions, key=lambda p: tuple(map(int, p.name.split("."))), default=None)


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
