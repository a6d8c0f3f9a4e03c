"""Where TFDS keeps a prepared data set: DATA_DIR/NAME/VERSION with two descriptions. Looked at without TFDS."""

import os
import re
from pathlib import Path

from larqnets.data.known import KnownDataset
from larqnets.errors import LarqnetsError


def resolve_data_dir(data_dir: str | None) -> Path:
    """Return where prepared data is: `data_dir`, else TFDS_DATA_DIR, else ~/tensorflow_datasets."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


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
