"""What the Java API does beside the network, against NumPy and Pillow: on a desktop JVM, one start for all cases of a test."""

import struct
from dataclasses import dataclass

import numpy as np
import pytest
from java_cases import argb, floats, packed, results_of, tensor, text, upright
from java_classes import classes

from deploy.app.properties import to_properties
from deploy.run.detector import located
from deploy.run.segmenter import Segmenter
from larqnets.data.image import prepare
from larqnets.data.info import CROP, LETTERBOX, WARP
from larqnets.tasks.box_answers import NMS, decode
from larqnets.tasks.classification import Classification
from larqnets.tflite.model import Quantization, Tensor
from larqnets.tflite.quantized import dequantized, quantized

__all__ = ["classes"]  # a fixture

LABELS = ("one", "zwölf", " x ", "#a", "")


@dataclass
class Info:
    """How pictures are prepared, as a file's metadata and as the properties have it."""

    shape: tuple[int, int, int] = (8, 8, 3)
    resize: str = CROP
    fraction: float = 1.0
    task: str = "classification"
    labels: tuple[str, ...] = ()
    kind: str = "logits"

    @property
    def mean(self) -> list[float]:
        return [0.1803, 0.5, 0.7324][: self.shape[2]]

    @property
    def std(self) -> list[float]:
        return [0.2744, 1 / 3, 0.0606][: self.shape[2]]

    @property
    def preprocess(self) -> dict:
        facts = {"image_shape": list(self.shape), "mean": self.mean, "std": self.std, "resize": self.resize}
        return facts | {"crop_fraction": self.fraction, "labels": list(self.labels)}

    def properties(self, **others: object) -> str:
        height, width, channels = self.shape
        image = {"height": height, "width": width, "channels": channels, "resize": self.resize}
        image |= {"mean": _list(self.mean), "std": _list(self.std), "crop_fraction": self.fraction}
        facts = {"format": 1, "source": "a = b\n", "task": self.task, **{f"image.{k}": v for k, v in image.items()}}
        facts |= {"output": self.kind, "colors": "0 0 0,255 0 7,9 200 30", "boxes": "ymin_xmin_ymax_xmax_relative"}
        facts |= {"nms.iou": 0.6, "nms.score": 0.3, "nms.max_per_class": 7, "nms.max": 12} | others
        return to_properties({key: str(value) for key, value in facts.items()}, "a test")

    def packed(self, **others: object) -> bytes:
        return text(self.properties(**others)) + text("".join(f"{label}\n" for label in self.labels))


def _list(values) -> str:
    return ",".join(map(repr, values))


def integers(shape, dtype: str, scale: float, zero: int) -> Tensor:
    steps = Quantization((float(np.float32(scale)),), (zero,), 0)
    return Tensor(0, "x", shape, dtype, 0, steps, sparse=False, is_variable=False, is_dynamic=False)


@pytest.fixture
def java(classes, tmp_path):
    """Give cases to Java and return its results."""
    return lambda cases: results_of(classes, "larqnets.Pixels", cases, tmp_path)


SIZES = [(1, 1), (1, 700), (700, 1), (8, 8), (7, 9), (8, 300), (33, 8), (64, 48), (100, 301), (480, 640), (3, 2)]
SHAPES = [(8, 8, 3), (8, 8, 1), (24, 32, 3), (96, 17, 3), (224, 224, 3), (1, 1, 3)]


def pictures(seed: int, count: int):
    """Pictures of noise, of smooth colours and of sharp edges, in sizes that come up in turns with ways to prepare them."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        height, width = SIZES[i % len(SIZES)]
        pixels = rng.integers(0, 256, (height, width, 4), np.uint8)
        if i % 3 == 1:
            pixels = np.where(pixels < 128, 0, 255).astype(np.uint8)
        if i % 3 == 2:
            pixels[..., :3] = (np.add.outer(np.arange(height), np.arange(width)) % 256)[..., np.newaxis]
        info = Info(SHAPES[i % len(SHAPES)], (CROP, WARP, LETTERBOX)[i // 2 % 3], (1.0, 0.875, 0.3)[i // 5 % 3])
        yield pixels, 1 + i % 8, info


def test_pictures_are_prepared_to_the_last_bit_as_pillow_and_numpy_do_it(java):
    cases, wanted = [], []
    for i, (pixels, orientation, info) in enumerate(pictures(0, 66)):
        dtype = ("float32", "int8", "uint8")[i % 3]
        scale, zero = ((0.0, 0), (0.0123, -7), (0.031, 128))[i % 3]
        shape = (1, *info.shape)
        cases.append(text("prepare") + info.packed() + tensor(dtype, shape, scale, zero) + argb(pixels, orientation))
        values = prepare(upright(pixels, orientation), info.preprocess)
        if dtype != "float32":
            values = quantized(integers(shape, dtype, scale, zero), values)
        wanted.append((values, info, pixels.shape, orientation))
    results = java(cases)
    for values, *case in wanted:
        found = np.frombuffer(results.bytes(), values.dtype).reshape(values.shape)
        assert np.array_equal(found, values), case
    assert not results.left


class FakeSegmenter(Segmenter):
    """Python's segmenter with answers of the test."""

    def __init__(self, info: Info, answer: np.ndarray) -> None:
        self._preprocess, self.labels, self._given = info.preprocess, info.labels, answer
        self.colors = ((0, 0, 0), (255, 0, 7), (9, 200, 30))

    def _answers(self, shown):
        return [self._given]


def answers(rng, i: int, info: Info) -> tuple[np.ndarray, bytes, np.ndarray]:
    """An answer as a file has it, how Java is told of it, and its real values."""
    height, width, _ = info.shape
    small = (1, max(1, height // (1, 8)[i % 2]), max(1, width // (1, 8)[i % 2]))
    if i % 3 == 0:
        mask = rng.integers(0, 3, small).astype(np.uint8)
        return mask, tensor("uint8", small), mask
    if i % 3 == 1:
        logits = rng.standard_normal((*small, 3)).astype(np.float32)
        return logits, tensor("float32", logits.shape), logits
    logits = rng.integers(-128, 128, (*small, 3)).astype(np.int8)
    if i % 2:
        return logits, tensor("int8", logits.shape), logits
    real = dequantized(integers(logits.shape, "int8", 0.17, 3), logits).astype(np.float32)
    return logits, tensor("int8", logits.shape, 0.17, 3), real


def test_masks_and_overlays_are_those_of_python(java):
    rng, cases, wanted = np.random.default_rng(1), [], []
    for i, (pixels, orientation, info) in enumerate(pictures(1, 40)):
        info.task, info.labels = "segmentation", LABELS[:3]
        stored, told, real = answers(rng, i, info)
        segmenter, picture = FakeSegmenter(info, real), upright(pixels, orientation)
        found = segmenter.segment(segmenter.show(picture))
        body = info.packed() + told + packed(stored.tobytes()) + argb(pixels, orientation)
        cases += [text("mask") + body, text("overlay") + body]
        wanted.append((found, pixels.shape, orientation))
    results = java(cases)
    for found, *case in wanted:
        mask = np.frombuffer(results.bytes(), np.uint8).reshape(found.mask.shape)
        assert np.array_equal(mask, found.mask), case
        height, width = found.mask.shape
        over = np.array(results.take(f"{height * width}I"), np.uint32).reshape(height, width)
        red_green_blue = np.stack([over >> shift & 255 for shift in (16, 8, 0)], -1)
        assert np.array_equal(red_green_blue, np.asarray(found.overlay())), case
        assert (over >> 24 == 255).all()
        assert results.take("i") == (len(found.shares),)
        for share in found.shares:
            assert (results.text(), *results.take("id")) == (share["label"], share["class"], share["share"])
    assert not results.left


def test_boxes_are_those_of_python(java):
    rng, cases, wanted = np.random.default_rng(2), [], []
    for i, (pixels, orientation, info) in enumerate(pictures(2, 40)):
        info.task, info.labels = "detection", LABELS[: 3 if i % 4 else 2]
        middle, reach = rng.uniform(-0.1, 1.1, (60, 2)), rng.uniform(0.0, 0.5, (60, 2))
        boxes = np.concatenate([middle - reach, middle + reach], 1).astype(np.float32)
        boxes[::7] = boxes[1::7][: len(boxes[::7])]
        scores = rng.integers(0, 12, (60, 3)).astype(np.float32) / 12  # many are equal
        cases.append(text("boxes") + info.packed() + floats(boxes) + floats(scores) + argb(pixels, orientation))
        facts = {NMS: {"iou": 0.6, "score": 0.3, "max_per_class": 7, "max": 12}, "labels": info.labels}
        (things,) = decode({"boxes": boxes[np.newaxis], "scores": scores[np.newaxis]}, facts)
        wanted.append(located(things, upright(pixels, orientation), info.preprocess))
    results = java(cases)
    assert sum(map(len, wanted)) > 100
    for things in wanted:
        (count,) = results.take("i")
        assert count == len(things)
        for thing in things:
            label, number, values = results.text(), *results.take("i"), results.take("5f")
            assert (label, number) == (thing["label"], thing["class"])
            assert np.array_equal(np.float32(values), np.array([thing["score"], *thing["box"]], np.float32))
    assert not results.left


def test_classes_are_those_of_python(java):
    rng, cases, wanted = np.random.default_rng(3), [], []
    for i in range(24):
        kind = ("logits", "softmax", "sigmoid")[i % 3]
        values = rng.integers(-4, 5, 5).astype(np.float32) * (100 if i % 4 == 3 else 1)
        info, top = Info(labels=LABELS if i % 2 else (), kind=kind), (1, 3, 5, 99)[i % 4]
        values = values if kind == "logits" else np.abs(values) / 400
        cases.append(text("classes") + info.packed() + floats(values) + struct.pack(">i", top))
        facts = {"labels": info.labels, "output": kind, "top": top}
        wanted += Classification().decode({"x": values[np.newaxis]}, facts)
    results = java(cases)
    for labels in wanted:
        assert results.take("i") == (len(labels),)
        for label in labels:
            found = (results.text(), *results.take("i"))
            assert found == (label["label"], label["class"])
            assert results.take("f")[0] == pytest.approx(label["probability"], abs=1e-6)
    assert not results.left


def test_any_text_is_read_back(java):
    labels = (*LABELS, "tab\there", "a=b:c", "\\u0041", "😀", " nbsp ", "\u2028")
    results = java([text("metadata") + Info(labels=labels).packed(source=" =:#!\\ \t\n\r\fä😀\0 ")])
    assert results.text() == " =:#!\\ \t\n\r\fä😀\0 "
    assert results.take("i") == (len(labels),)
    assert tuple(results.text() for _ in labels) == labels
    assert not results.left
