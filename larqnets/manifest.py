"""A folder whose files a manifest lists with their SHA-256: they are written together, and nobody else's file goes.

    <folder>/manifest.json    {"larqnets": version, "files": {...}, ...}
                              files: name -> SHA-256, or anything -> {"file": name, "sha256": SHA-256, ...}

A manifest may come from anywhere, so it can only name regular files inside its folder, and what it names goes only if its
content is the listed one. Where a folder holds the files of several things, the manifest of each is called otherwise
(`named`), and none touches what another one lists.
"""

import contextlib
import hashlib
import json
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from larqnets.documents import read_json
from larqnets.errors import LarqnetsError
from larqnets.files import building_folder, cannot_write, leftovers, locked, sync_folder, take_place, write_atomically
from larqnets.reporter import SILENT, Reporter

MANIFEST = "manifest.json"

Listed = dict[str, set[str]]  # name -> what may be its SHA-256


def publish(
    folder: Path,
    files: Mapping[str, bytes],
    document: Mapping[str, Any],
    *,
    executable: Collection[str] = (),
    named: str = MANIFEST,
    reporter: Reporter = SILENT,
) -> list[str]:
    """Write `files` (name, also FOLDER/NAME, -> content) and the manifest `document` that lists them into `folder`.

    All is written beside first and then renamed, the manifest last; a process that is killed in between is continued by the
    next one. Files that the manifest before listed and this one does not are removed if they are as listed. `named` is what
    the manifest is called. A file of a listed name that is not as listed was changed by somebody: it is renamed, and a sentence of the result says so. Of two
    processes one waits, which `reporter` is told. Raises LarqnetsError when a name is taken by what no
    manifest lists, and when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / named, reporter):
            listed = _listed(folder, named)
            check_free(folder, files, listed, named=named)
            with building_folder(folder) as beside:
                for name, content in files.items():
                    (beside / name).parent.mkdir(exist_ok=True)
                    write_atomically(beside / name, content)
                    if name in executable:
                        (beside / name).chmod(0o755)
                write_atomically(beside / named, json.dumps(document, indent=2) + "\n")
                said: list[str] = []
                try:
                    _move(beside, folder, files, named, listed, said)
                except KeyboardInterrupt:
                    _move(
                        beside, folder, files, named, listed, said
                    )  # the moment that it takes is better than half of it
                    raise
            return said
    except OSError as error:
        raise cannot_write(folder, error) from error


def check_free(folder: Path, names: Iterable[str], listed: Listed | None = None, *, named: str = MANIFEST) -> None:
    """Raise LarqnetsError when the manifest or one of the `names` cannot be written into `folder`: somebody else's is there."""
    if listed is None:
        listed = _listed(folder, named) if folder.is_dir() else {}
    taken = [
        name
        for name in (named, *names)
        if (name not in listed and _exists(folder / name)) or _is_in_a_link(folder, name)
    ]
    if taken:
        raise LarqnetsError(
            f"{folder / taken[0]} is there and was not written by this command: no manifest in {folder} lists it. Move it "
            "away, or choose another folder."
        )


def _move(beside: Path, folder: Path, files: Iterable[str], named: str, listed: Listed, said: list[str]) -> None:
    """Rename everything into its place, the manifest last; may be called again where it was interrupted."""
    for name in files:
        if _exists(beside / name):
            (folder / name).parent.mkdir(exist_ok=True)
            _make_room(folder, name, listed, said)
            take_place(beside / name, folder / name)
    for name in listed.keys() - {*files, named}:
        if _is_listed(folder, name, listed):
            (folder / name).unlink()
            if (folder / name).parent != folder:
                with contextlib.suppress(OSError):  # other files are in it
                    (folder / name).parent.rmdir()
    if _exists(beside / named):
        take_place(beside / named, folder / named)
    sync_folder(folder)


def _make_room(folder: Path, name: str, listed: Listed, said: list[str]) -> None:
    """Rename what stands at a place and is not the listed file."""
    place = folder / name
    if not _exists(place) or _is_listed(folder, name, listed):
        return
    free = (place.with_name(f"{place.name}.{word}") for word in _kept_words())
    kept = next(path for path in free if not _exists(path))
    place.rename(kept)
    said.append(f"{place} was not the file that the manifest listed, somebody changed it; it is kept as {kept.name}.")


def _kept_words() -> Iterator[str]:
    yield "kept"
    number = 2
    while True:
        yield f"kept-{number}"
        number += 1


def _listed(folder: Path, named: str) -> Listed:
    """Return what the manifests of the folder list: its own, and those of processes that were killed while they renamed."""
    found = _listed_by(folder / named)
    for left in leftovers(folder):
        for name, sums in _listed_by(left / named).items():
            if name != named:
                found.setdefault(name, set()).update(sums)
    return found


def _listed_by(manifest: Path) -> Listed:
    """Return what a manifest lists, itself among it; nothing for what is none of ours."""
    try:
        if not stat.S_ISREG(manifest.lstat().st_mode):
            return {}
        document = read_json(manifest)
    except (OSError, ValueError):
        return {}
    if not isinstance(document, dict) or not isinstance(document.get("files"), dict) or "larqnets" not in document:
        return {}
    found: Listed = {manifest.name: set()}
    for name, entry in document["files"].items():
        if isinstance(entry, dict):
            name, entry = entry.get("file"), entry.get("sha256")
        if isinstance(name, str) and isinstance(entry, str) and _is_inside(name, manifest.name):
            found.setdefault(name, set()).add(entry)
    return found


def _is_inside(name: str, manifest: str) -> bool:
    """Return whether a name is that of a file in the folder or in a folder of it."""
    parts = PurePosixPath(name).parts
    plain = 1 <= len(parts) <= 2 and "/".join(parts) == name and name != manifest
    return plain and not any(part in ("..", "/") or set(part) & {"\\", ":", "\0"} for part in parts)


def _is_listed(folder: Path, name: str, listed: Listed) -> bool:
    """Return whether a file is a regular one, in no folder that is a link, with a listed content."""
    place = folder / name
    try:
        regular = stat.S_ISREG(place.lstat().st_mode) and not _is_in_a_link(folder, name)
        return regular and sha256(place) in listed[name]
    except (OSError, ValueError):
        return False


def _is_in_a_link(folder: Path, name: str) -> bool:
    """Return whether the folder that the name begins with is a link, which leads elsewhere."""
    parent = (folder / name).parent
    return parent != folder and parent.is_symlink()


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    return True


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
