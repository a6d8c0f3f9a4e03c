"""What fixtures/make.py keeps of a run, a network and a machine, and test_kept_files.py compares with it."""

import csv
import json
import zlib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from larqnets import Run, Samples, convert, create_model, load_trained_model
from larqnets.backbones import BACKBONES, Backbone, Block, Unit, stem

HALVES = ("plain", "staged", "late", "taught")
NARROW = ("--set", "model.width=0.125", "--set", "train.batch_size=128", "--set", "train.epochs=1")
TRAINED = {
    "fresh": ("train", "digits", "--name", "fresh", *NARROW),
    **{name: ("train", "--resume", f"runs/{name}") for name in HALVES},
}
# On these trainings run: kernels that every CPU with AVX2 has, since wider ones sum in another order (oneDNN reads it when
# TensorFlow first computes), and so many cores, which share the terms of a sum.
KERNELS, FLAGS, CORES = {"ONEDNN_MAX_CPU_ISA": "AVX2"}, ("avx2", "fma"), 2
PACKAGES = ("tensorflow", "tf_keras", "larq", "numpy")
OPTIONS = {"groupnet": {"k": 2}}
TIMED = ("seconds", "images_per_second")  # of a card or a table


def conditions(cores: int) -> dict:
    """Return what the last bits of a training depend on."""
    cpuinfo = Path("/proc/cpuinfo")
    words = cpuinfo.read_text().split() if cpuinfo.is_file() else []
    return {
        "cores": cores,
        "flags": [flag for flag in FLAGS if flag in words],
        "versions": {package: metadata.version(package) for package in PACKAGES},
    }


def final_weights(run: Path) -> dict[str, np.ndarray]:
    """Return the weights of a run by name."""
    model = load_trained_model(Run.open(run))
    found = {weight.name: weight.numpy() for weight in model.weights}
    assert len(found) == len(model.weights)
    return found


def card_of(run: Path) -> dict:
    """Return what a card says but for where and how fast it was."""
    card = json.loads((run / "card.json").read_text())
    for part in (card, *card["stages"]):
        part.pop("seconds")
    for part in ("versions", "hardware"):
        card.pop(part)
    return card


def rows_of(run: Path) -> dict[str, list[dict[str, str]]]:
    """Return the tables of a run by name, as the text that stands in them, but for the columns that time it."""
    found = {}
    for path in sorted(run.glob("*.csv")):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert path.name != "metrics.csv" or rows[0].keys() >= set(TIMED)
        found[path.name] = [{key: value for key, value in row.items() if key not in TIMED} for row in rows]
    return found


def draw(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return values of a weight, odd multiples of 1/32: their sums are exact, on whatever CPU and in whatever order."""
    values = 2 * np.random.RandomState(zlib.crc32(name.encode())).randint(-16, 16, shape) + 1
    positive = name.endswith(("gamma:0", "moving_variance:0"))
    return (np.abs(values) if positive else values).astype(np.float32) / 32


def drawn(method: str):
    """Return a network of two blocks, of which the second halves the image, with the same weights always."""

    def two_blocks(kind: str) -> Backbone:
        return Backbone("two_blocks", stem(kind, 8), ((Block((Unit(8),)),), (Block((Unit(16, strides=2),)),)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BACKBONES._entries, "two_blocks", two_blocks)
        tf.keras.backend.clear_session()  # Keras numbers the signs of a process, and the numbers stand in the file
        model = create_model(method, "two_blocks", (8, 8, 1), 10, **OPTIONS.get(method, {}))
    for layer in model.layers:
        for weight in layer.trainable_weights + [w for w in layer.non_trainable_weights if "moving_" in w.name]:
            # not the whole name: Keras numbers quantizers from model to model
            weight.assign(draw(f"{layer.name}/{weight.name.rsplit('/', 1)[-1]}", weight.shape))
    return model


def convert_method(method: str) -> bytes:
    """Return the file that the smallest network of a method becomes."""
    images = np.random.RandomState(0).uniform(-1, 1, (4, 8, 8, 1)).astype(np.float32)
    return convert(drawn(method), Samples(images, real=False), provenance={"method": method}).content
