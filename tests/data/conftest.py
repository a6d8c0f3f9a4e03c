"""Data sets small enough to be made for each test session; the user's home and the network are left alone."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

import larqnets.data.dataset


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    """Where the digits and tiny sets named cifar10 and imagenet2012 are, written by TFDS's own builders."""
    folder = tmp_path_factory.mktemp("tfds")
    write_tiny_cifar10(folder)
    _write_tiny_imagenet(folder)
    return str(folder)


@pytest.fixture
def streaming(monkeypatch):
    """Make every split too large for memory."""
    monkeypatch.setattr(larqnets.data.dataset, "MEMORY_LIMIT", 0)


@pytest.fixture
def image_folder(tmp_path) -> Path:
    """Two classes of six 10x10 RGB images for training and three for the test."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 6), ("test", 3)):
        for label in ("cat", "dog"):
            for number in range(count):
                write_image(tmp_path / "images" / split / label / f"{number}.png", rng.integers(0, 256, (10, 10, 3)))
    return tmp_path / "images"


def pair(example: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return image and label of an example, which is nothing else."""
    assert sorted(example) == ["image", "label"]
    return example["image"], example["label"]


def write_image(path: Path, pixels: np.ndarray, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path, **options)
    return path


def write_tiny_cifar10(folder: Path) -> None:
    """Write 53 training images in 5 shards and 20 test images; the label of image i is i % 10, its mean about 4 * i."""
    rng = np.random.default_rng(1)

    def examples(split: str, count: int):
        for i in range(count):
            noise = rng.integers(0, 4, (32, 32, 3))
            yield f"{split}_{i}", {"id": f"{split}_{i}", "image": (4 * i + noise).astype(np.uint8), "label": i % 10}

    _write(
        tfds.builder("cifar10", data_dir=folder), lambda: {"train": examples("train", 53), "test": examples("test", 20)}
    )


def _write_tiny_imagenet(folder: Path) -> None:
    rng = np.random.default_rng(2)

    def examples(count: int):
        for i in range(count):
            pixels = rng.integers(0, 256, (6, 8, 3)).repeat(10, 0).repeat(10, 1).astype(np.uint8)
            encoded = tf.io.encode_jpeg(pixels[:, : 60 + i]).numpy()
            yield i, {"file_name": f"{i}.JPEG", "image": _Bytes(encoded), "label": i % 1000}

    splits = {"train": examples(18), "validation": examples(7)}
    _write(tfds.builder("imagenet2012", data_dir=folder), lambda: splits)


class _Bytes:
    """An encoded image as TFDS takes it: something to read."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def read(self) -> bytes:
        return self._content


def _write(builder: tfds.core.DatasetBuilder, splits: Callable[[], dict]) -> None:
    builder._split_generators = lambda dl_manager, **_: splits()
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False, num_shards=5))
