"""Where the images lie that a config names: a path in a file is meant from that file, one that is typed from where it is typed."""

import os
import warnings
from pathlib import Path
from typing import Any

from larqnets.errors import MovedWarning

FOLDER_PREFIX = "folder:"


def folder_path(dataset: str) -> Path:
    """Return the folder that `folder:PATH` names."""
    return Path(dataset.removeprefix(FOLDER_PREFIX)).expanduser()


def whole_path(path: str) -> str:
    """Return a path as it is named from every folder, links followed; one that no config file can hold stays as it is."""
    try:
        whole = os.path.realpath(os.path.expanduser(path))  # noqa: PTH111  # Path's raises for a user that is not known
        whole.encode()
    except ValueError:  # a NUL, or bytes that are not UTF-8
        return path
    return whole


def whole_dataset(dataset: str) -> str:
    """Return `folder:PATH` with the whole path, and the name of a data set as it is."""
    if not dataset.startswith(FOLDER_PREFIX):
        return dataset
    return FOLDER_PREFIX + whole_path(dataset.removeprefix(FOLDER_PREFIX))


def read_from(config: Path, tables: dict[str, Any]) -> None:
    """Let the paths in the `[data]` of a config file be those beside it, where they are.

    Where they are not, but in the working folder, as all were once meant, they stay, and a MovedWarning says it.
    """
    data = tables.get("data")
    if not isinstance(data, dict):
        return
    for key, prefix in (("dataset", FOLDER_PREFIX), ("data_dir", "")):
        value = data.get(key)
        if not isinstance(value, str) or not value.startswith(prefix):
            continue
        path = Path(os.path.expanduser(value.removeprefix(prefix)))  # noqa: PTH111  # as above
        beside = config.parent / path
        if os.path.abspath(beside) == os.path.abspath(path):  # noqa: PTH100  # Path's keeps the dots
            continue
        if beside.exists():
            data[key] = f"{prefix}{beside}"
        elif path.exists():
            warnings.warn(
                f"data.{key} of {config}: there is no {path} beside it, so that of the working folder is taken.",
                MovedWarning,
                stacklevel=1,
            )
