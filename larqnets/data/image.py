"""From an image file to a model's input with numpy and Pillow alone, as it runs on a device without TensorFlow."""

import contextlib
import functools
import io
import math
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from larqnets.arrays import open_at_once
from larqnets.data.info import CROP, LETTERBOX, RESIZE, normalisation
from larqnets.errors import LarqnetsError
from larqnets.extras import pip_line

# Format -> the suffixes of its files. What a file is stands in its content; the suffix says that it is meant as an image.
SUFFIXES = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}
FORMATS = tuple(SUFFIXES)
HEIF, HEIF_SUFFIXES = "HEIF", (".heic", ".heif", ".hif")
GREY = 114  # of the rest of the input, of a picture that is fitted into it
GET_HEIF = pip_line("heic")

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_EXIF_ORIENTATION = 0x0112
_warning_filters = threading.Lock()  # Python has one list of them for all threads


@dataclass(frozen=True)
class Header:
    """What an image file says before its pixels. `size`: (height, width) as stored; `orientation`: EXIF's, 1 (upright) to 8."""

    format: str
    mode: str
    size: tuple[int, int]
    orientation: int
    frames: bool  # several pictures, the first of which is taken
    transparent: bool  # some of it may be

    @property
    def grey(self) -> bool:
        """Whether it has no colours."""
        return self.mode in ("1", "L", "LA", "I") or self.mode.startswith("I;16")

    @property
    def upright_size(self) -> tuple[int, int]:
        """(height, width) of the picture as it is shown."""
        height, width = self.size
        return (width, height) if self.orientation >= 5 else (height, width)


def read_image(path: Path | str, info: dict[str, Any]) -> np.ndarray:
    """Return the image of a file as (1, H, W, C) float32, prepared as `info` (see `preprocess_info`) says.

    EXIF orientation is applied and transparency dropped; then grey or RGB by C, the central part with the aspect ratio
    H:W (times crop_fraction) or the whole image as its `resize` says, bilinear resizing with antialiasing to H x W, and
    normalisation. An image of H x W pixels is not resampled. Raises LarqnetsError for a file that is missing, none of `formats`, damaged or absurdly large.
    """
    return _prepared(decode_upright(Path(path), info["image_shape"][-1]), info)


def prepare(picture: Image.Image, info: dict[str, Any], name: str = "The image") -> np.ndarray:
    """Return an upright picture as `read_image` does that of a file; `name` is what errors call it."""
    return _prepared(in_8_bits(picture, info["image_shape"][-1], name), info)


def looked_at(picture: Image.Image, info: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of the part of an upright picture that `prepare` brings to the network's size."""
    height, width, _ = info["image_shape"]
    if info.get(RESIZE, CROP) != CROP:
        return 0, 0, picture.height, picture.width
    return central_box(picture.height, picture.width, height, width, info.get("crop_fraction", 1.0))


def filled(picture: Image.Image, info: dict[str, Any]) -> tuple[int, int]:
    """Return (height, width) of what `prepare` makes of the part that is looked at: it begins at the top left of the input.

    All of the input but for LETTERBOX, where the rest of it is grey.
    """
    height, width, _ = info["image_shape"]
    return fitted(picture.height, picture.width, height, width) if info.get(RESIZE) == LETTERBOX else (height, width)


def in_picture(boxes: np.ndarray, picture: Image.Image, info: dict[str, Any]) -> np.ndarray:
    """Return boxes (n, 4) relative to the input, [ymin, xmin, ymax, xmax], in pixels of an upright picture; not clipped."""
    (top, left, height, width), (rows, columns) = looked_at(picture, info), filled(picture, info)
    scale = np.array([height / rows, width / columns] * 2) * (*info["image_shape"][:2], *info["image_shape"][:2])
    return boxes * scale + [top, left, top, left]


def _prepared(picture: Image.Image, info: dict[str, Any]) -> np.ndarray:
    height, width, channels = info["image_shape"]
    top, left, box_height, box_width = looked_at(picture, info)
    rows, columns = filled(picture, info)
    # Cropping first keeps pixels outside the box out of the antialiasing, as in training.
    picture = picture.crop((left, top, left + box_width, top + box_height))
    picture = picture.resize((columns, rows), Image.Resampling.BILINEAR)
    pixels = np.full((1, height, width, channels), GREY, np.uint8)
    pixels[0, :rows, :columns] = np.asarray(picture, np.uint8).reshape(rows, columns, channels)
    scale, offset = normalisation(info["mean"], info["std"])
    return pixels.astype(np.float32) * scale + offset


def fitted(height: int, width: int, target_height: int, target_width: int) -> tuple[int, int]:
    """Return (height, width) of a picture that is scaled to fit into the target and keeps its shape."""
    return (
        max(1, math.floor(min(target_height, height * target_width / width) + 0.5)),
        max(1, math.floor(min(target_width, width * target_height / height) + 0.5)),
    )


def central_box(
    height: int, width: int, target_height: int, target_width: int, fraction: float
) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of the largest central box of the target's aspect ratio, times `fraction`."""
    box_height = max(1, math.floor(min(height, width * target_height / target_width) * fraction + 0.5))
    box_width = max(1, math.floor(min(width, height * target_width / target_height) * fraction + 0.5))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def decode_upright(path: Path, channels: int) -> Image.Image:
    """Return the first picture of a file with 8 bits of grey (`channels` 1) or RGB (3), upright, without transparency.

    Raises LarqnetsError as `read_image` does.
    """
    with opened(path) as picture:
        return in_8_bits(ImageOps.exif_transpose(picture), channels, str(path))


def read_upright(path: Path) -> Image.Image:
    """Return the first picture of a file, upright, with the kind of pixels that it has; raises LarqnetsError as `read_image` does."""
    with opened(path) as picture:
        return ImageOps.exif_transpose(picture)  # a copy, decoded


def as_png(path: Path, channels: int) -> bytes:
    """Return what `decode_upright` does as a PNG, for a reader that knows no other format."""
    content = io.BytesIO()
    decode_upright(path, channels).save(content, "PNG", compress_level=1)
    return content.getvalue()


def read_header(path: Path) -> Header:
    """Return what an image file says of itself, pixels unread; raises LarqnetsError as `read_image` does."""
    with opened(path) as picture:
        # The second picture of an MPO, the JPEG of many phones, is no further frame but a preview or a depth map.
        frames = picture.format != "MPO" and getattr(picture, "is_animated", False)
        if frames:
            picture.seek(0)
        # Pillow decodes a whole PNG to look for EXIF behind the pixels, where hardly any has it.
        has_exif = picture.format != "PNG" or "exif" in picture.info
        orientation = picture.getexif().get(_EXIF_ORIENTATION, 1) if has_exif else 1
        orientation = orientation if orientation in range(1, 9) else 1
        # Of a TIFF alone Pillow gives the size as it is shown.
        swapped = picture.format == "TIFF" and orientation >= 5
        return Header(
            format="JPEG" if picture.format == "MPO" else str(picture.format),
            mode=picture.mode,
            size=(picture.width, picture.height) if swapped else (picture.height, picture.width),
            orientation=orientation,
            frames=frames,
            transparent=picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info,
        )


@functools.cache
def formats() -> tuple[str, ...]:
    """Return the formats that are read here: HEIF only where its decoder is installed."""
    try:
        import pi_heif
    except ImportError:
        return FORMATS
    pi_heif.register_heif_opener()
    return (*FORMATS, HEIF)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Give the opened picture to the block, and say in a sentence what keeps it from being read there."""
    try:
        with open_at_once(path) as file:
            with _warning_filters, warnings.catch_warnings():
                # Pillow only warns between its limit and twice its limit; both are too large to be meant.
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                # Named, since Pillow hands other kinds to programs of the system, whatever the file is called.
                unread = Image.open(file, formats=formats())
            with unread as picture:
                yield picture
    except LarqnetsError:
        raise
    except FileNotFoundError as error:
        raise LarqnetsError(f"There is no image at {path}. Check the path.") from error
    except UnidentifiedImageError as error:
        if HEIF not in formats() and _is_heif(path):
            raise LarqnetsError(f"{path} is a HEIC image. Install the decoder: {GET_HEIF}.") from error
        raise LarqnetsError(
            f"{path} is not an image of a kind that is read here ({', '.join(formats())}). Give a PNG or JPEG file."
        ) from error
    except MemoryError as error:
        raise LarqnetsError(f"{path} does not fit into memory. Scale it down and try again.") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise LarqnetsError(
            f"{path} has more than {Image.MAX_IMAGE_PIXELS:,} pixels, too many to be decoded safely. "
            "Scale it down and try again."
        ) from error
    except Exception as error:
        # Decoders raise whatever their parsers do: OSError, SyntaxError, struct.error, ValueError.
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise LarqnetsError(f"{path} cannot be read, it may be truncated or damaged: {reason}. Replace it.") from error


def _is_heif(path: Path) -> bool:
    with open_at_once(path) as file:
        start = file.read(12)
    return start[4:8] == b"ftyp" and start[8:] in _HEIF_BRANDS


def in_8_bits(picture: Image.Image, channels: int, name: str) -> Image.Image:
    """Return a picture with 8 bits of grey (`channels` 1) or RGB (3), without transparency; `name` is what errors call it."""
    if picture.mode == "F":
        raise LarqnetsError(f"{name} has 32-bit float pixels. Save it with 8 bits per channel.")
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        # 16-bit grey: Pillow's own conversion to L clips at 255 instead of scaling.
        picture = Image.fromarray((np.clip(np.asarray(picture, np.int64), 0, 65535) >> 8).astype(np.uint8))
    picture.info.pop("transparency", None)  # of a palette or a colour, about which Pillow would warn
    try:
        return picture.convert("L" if channels == 1 else "RGB")
    except ValueError as error:  # of LAB there is no way
        raise LarqnetsError(f"{name} has {picture.mode} pixels. Save it as grey or RGB.") from error
