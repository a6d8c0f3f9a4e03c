"""Where TFDS keeps a prepared data set: DATA_DIR/NAME/VERSION with two descriptions. Looked at without TFDS."""

import re
from pathlib import Path

from larqnets.config import DataConfig
from larqnets.data.info import BOXES, LABEL, MASK
from larqnets.data.known import KNOWN_DATASETS, NOT_KNOWN, KnownDataset, Licence, find_known
from larqnets.documents import read_json
from larqnets.environment import TFDS_DATA_DIR
from larqnets.errors import LarqnetsError

_KNOWN_BY = (("segmentation_mask", MASK), ("objects", BOXES), ("label", LABEL))  # features of TFDS
_NAME = re.compile(r"[A-Za-z]\w*(/[\w.-]*\w)?")  # of a set, and its variant


def resolve_data_dir(data_dir: str | None) -> Path:
    """Return where prepared data is: `data_dir`, else TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    return Path(data_dir or TFDS_DATA_DIR.read() or TFDS_DATA_DIR.default).expanduser()


def dataset_of_config(config: DataConfig) -> KnownDataset:
    """Return the data set that a config names: one that is known, or any other that TFDS has prepared.

    Raises LarqnetsError for a name that is neither, and a set of which nothing is known that can be learnt.
    """
    return find_dataset(config.dataset, config.data_dir, config.annotation)


def find_dataset(name: str, data_dir: str | None, annotation: str | None = None) -> KnownDataset:
    """Return what `dataset_of_config` does."""
    if name not in KNOWN_DATASETS and is_prepared(name, data_dir):
        return _described(name, resolve_data_dir(data_dir), annotation)
    known = find_known(name)
    if annotation not in (None, known.annotation):
        raise LarqnetsError(f'Of {name}, the {known.annotation} is taken. Leave data.annotation = "{annotation}" out.')
    return known


def is_prepared(name: str, data_dir: str | None) -> bool:
    """Return whether TFDS has prepared a data set of this name."""
    return _NAME.fullmatch(name) is not None and _newest_version(resolve_data_dir(data_dir) / name) is not None


def _described(name: str, data_dir: Path, wanted: str | None) -> KnownDataset:
    """Return what TFDS says of a set that it has prepared; raises LarqnetsError where that is no set of images."""
    known = KnownDataset(name, (), (), Licence(NOT_KNOWN))
    path = find_prepared(known, data_dir)
    try:
        features = read_json(path / "features.json")["featuresDict"]["features"]
        splits = {split["name"]: split for split in read_json(path / "dataset_info.json")["splits"]}
        channels = int(features["image"]["image"]["shape"]["dimensions"][-1])
        annotation = next(kind for feature, kind in _KNOWN_BY if feature in features and wanted in (None, kind))
    except (OSError, ValueError, KeyError, TypeError, IndexError, StopIteration) as error:
        raise incomplete(
            known, data_dir, path, "its features are not an image and objects, a segmentation_mask or a label"
        ) from error
    others = [split for split in ("test", "validation") if split in splits]
    return KnownDataset(
        name,
        (0.5,) * channels,
        (0.5,) * channels,
        Licence(NOT_KNOWN),
        test_split=others[0] if others else "test",
        validation_split=others[1] if len(others) > 1 else None,
        annotation=annotation,
    )


def find_prepared(known: KnownDataset, data_dir: Path) -> Path:
    """Return the folder of the newest prepared version under `data_dir`.

    Raises LarqnetsError when there is none, or its descriptions are missing. What they say is looked at when it is opened.
    """
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
    return path


def incomplete(known: KnownDataset, data_dir: Path, path: Path, problem: str) -> LarqnetsError:
    """Return the error for data that is there but not whole."""
    again = "run the command again" if known.ships_with_package else f"build it again: {_how_to_build(known, data_dir)}"
    return LarqnetsError(
        f"The data set {known.tfds_name} in {path} is not complete: {problem}. Delete that folder and {again}."
    )


def _how_to_build(known: KnownDataset, data_dir: Path) -> str:
    if known.by_hand:
        return known.by_hand.format(data_dir=data_dir)
    # Not `tfds build`: in TFDS 4.9.10 that command does not start without Apache Beam.
    builder = f"tfds.builder('{known.tfds_name}', data_dir={str(data_dir)!r})"
    command = f'`python -c "import tensorflow_datasets as tfds; {builder}.download_and_prepare()"`'
    if known.manual_download:
        return f"For it, {known.manual_download.format(data_dir=data_dir)} and run {command}"
    return f"Get it with {command}"


def _newest_version(folder: Path) -> Path | None:
    versions = [p for p in folder.glob("*") if re.fullmatch(r"\d+\.\d+\.\d+", p.name) and p.is_dir()]
    return max(versions, key=lambda p: tuple(map(int, p.name.split("."))), default=None)
