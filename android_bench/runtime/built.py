"""What the folders that `larqnets runtime build` makes have in common: a manifest, its check, our licence."""

import importlib.metadata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from android_bench.runtime.compile import NATIVE
from larqnets.documents import read_json
from larqnets.errors import LarqnetsError
from larqnets.manifest import MANIFEST, sha256


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a folder's manifest, empty when there is none that can be read."""
    try:
        manifest = read_json(folder / MANIFEST)
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def intact(folder: Path, manifest: dict[str, Any]) -> bool:
    """Return whether every file of the manifest is there as it was written."""
    try:
        return all(sha256(folder / name) == value for name, value in manifest["files"].items())
    except (OSError, KeyError, AttributeError):
        return False


def content_of(sources: Iterable[Path], terms: str) -> bytes:
    """Return names and contents of what makes a folder: all native headers, `sources`, and the terms of what is linked in."""
    paths = (*sorted(NATIVE.glob("*.h")), *sources, NATIVE / terms)
    return b"".join(path.name.encode() + b"\0" + path.read_bytes() for path in paths)


def own_terms(name: str) -> bytes:
    """Return our LICENSE or NOTICE, from the source tree or from the installed package."""
    path = Path(__file__).parents[2] / name
    if path.is_file():
        return path.read_bytes()
    for file in importlib.metadata.files("larqnets") or ():
        if file.name == name and "licenses" in file.parts:
            return Path(file.locate()).read_bytes()
    raise LarqnetsError(f"The file {name} of larqnets is missing. Install larqnets again.")
