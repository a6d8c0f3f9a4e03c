"""Cases that tests give to Java (java/larqnets/Cases.java) and the results that it writes."""

import struct
from pathlib import Path

import numpy as np
from java_classes import run_java
from PIL import Image, ImageOps


def text(value: str) -> bytes:
    return packed(value.encode())


def packed(content: bytes) -> bytes:
    return struct.pack(">i", len(content)) + content


def floats(values: np.ndarray) -> bytes:
    return struct.pack(">i", values.size) + values.astype(">f4").tobytes()


def tensor(dtype: str, shape, scale=0.0, zero=0) -> bytes:
    return text(dtype.upper()) + struct.pack(f">fii{len(shape)}i", scale, zero, len(shape), *shape)


def argb(pixels: np.ndarray, orientation: int) -> bytes:
    """A picture (H, W, 4) RGBA as Java has it."""
    values = pixels.astype(np.uint32)
    ints = values[..., 3] << 24 | values[..., 0] << 16 | values[..., 1] << 8 | values[..., 2]
    return struct.pack(">iii", pixels.shape[1], pixels.shape[0], orientation) + ints.astype(">u4").tobytes()


def upright(pixels: np.ndarray, orientation: int) -> Image.Image:
    picture = Image.fromarray(pixels)
    picture.getexif()[0x0112] = orientation
    return ImageOps.exif_transpose(picture)


class Results:
    """What Java wrote, read piece by piece."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def take(self, form: str) -> tuple:
        size = struct.calcsize(f">{form}")
        values, self._content = struct.unpack(f">{form}", self._content[:size]), self._content[size:]
        return values

    def bytes(self) -> bytes:
        (size,) = self.take("i")
        found, self._content = self._content[:size], self._content[size:]
        return found

    def text(self) -> str:
        return self.bytes().decode()

    @property
    def left(self) -> int:
        return len(self._content)


def results_of(
    classes: list[Path], program: str, cases: list[bytes], folder: Path, *arguments: object, **keywords
) -> Results:
    """Return what a program of the tests makes of cases, through files in `folder`."""
    (folder / "cases").write_bytes(struct.pack(">i", len(cases)) + b"".join(cases))
    said = run_java(classes, program, folder / "cases", folder / "results", *arguments, **keywords)
    assert not said  # the JVM's own warnings come there
    return Results((folder / "results").read_bytes())
