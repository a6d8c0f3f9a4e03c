"""Which files have the same content, to the byte."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

from larqnets.errors import LarqnetsError
from larqnets.manifest import sha256

_SAMPLE = 4096  # bytes at the begin and at the end, which nearly always differ where files of the same size do


def same_files(paths: Sequence[Path]) -> list[list[int]]:
    """Return groups of indices of equal files, each of two or more, in the order of their first ones.

    Only files of the same size are opened, and read whole only when their begin and end are the same. Raises LarqnetsError
    for a file that cannot be read.
    """
    try:
        groups: Iterable[list[int]] = [list(range(len(paths)))]
        for key in (_size, _ends, sha256):
            groups = [same for group in groups for same in _grouped(group, paths, key)]
    except OSError as error:
        raise LarqnetsError(f"Cannot read {error.filename}: {error.strerror}. Restore the data.") from error
    return sorted(groups)


def _grouped(group: Iterable[int], paths: Sequence[Path], key: Callable[[Path], Hashable]) -> list[list[int]]:
    by_key: dict[Hashable, list[int]] = defaultdict(list)
    for index in group:
        by_key[key(paths[index])].append(index)
    return [same for same in by_key.values() if len(same) > 1]


def _size(path: Path) -> int:
    return path.stat().st_size


def _ends(path: Path) -> bytes:
    with path.open("rb") as file:
        begin = file.read(_SAMPLE)
        file.seek(max(0, path.stat().st_size - _SAMPLE))
        return hashlib.sha256(begin + file.read(_SAMPLE)).digest()
