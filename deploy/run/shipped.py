"""The small trained models that come with the package, so that a device has a first file to run."""

import functools
import hashlib
from pathlib import Path

from larqnets.errors import LarqnetsError, nearest
from larqnets.shipped import FOLDER, example_file, list_models, model_file


def find_model(name_or_path: str) -> Path:
    """Return the path of a .tflite file given by path, by a converted run's folder or by the name of a shipped model.

    Of a run it is decomposed.tflite, else binary.tflite, else float.tflite. Raises LarqnetsError when there is none.
    """
    path = Path(name_or_path)
    if path.is_file():
        return path
    if path.is_dir():
        for variant in ("decomposed", "binary", "float"):
            for file in (path / f"{variant}.tflite", path / "arm64" / f"{variant}.tflite"):
                if file.is_file():
                    return file
        raise LarqnetsError(f"{path} holds no converted model. Convert the run first with `larqnets convert {path}`.")
    if name_or_path in list_models():
        return model_file(name_or_path)
    raise LarqnetsError(
        f"There is no file '{name_or_path}'.{nearest(name_or_path, list_models())} "
        f"Give a .tflite file or the name of a shipped model: {', '.join(list_models())}."
    )


def example_of(name: str) -> Path:
    """Return the example picture of a shipped model; raises LarqnetsError for a model that has none."""
    example = example_file(name) if name in list_models() else None
    if example is None:
        raise LarqnetsError(f"{name} comes with no example. Give an image or a .npy array: larqnets run {name} INPUT.")
    return example


def is_shipped(content: bytes) -> bool:
    """Return whether a file is one of the shipped models, known by its SHA-256: what a file says of itself proves nothing."""
    return hashlib.sha256(content).digest() in _digests()


@functools.cache
def _digests() -> frozenset[bytes]:
    return frozenset(hashlib.sha256(path.read_bytes()).digest() for path in FOLDER.glob("*.tflite"))
