"""From an image file to a model's input with numpy and Pillow alone, as it runs on a device without TensorFlow."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from larqnets.arrays import open_at_once
from larqnets.data.info import normalisation
from larqnets.errors import LarqnetsError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")


def read_image(path: Path | str, info: dict[str, Any]) -> np.ndarray:
    """Return the image of a file as (1, H, W, C) float32, prepared as `info` (see `preprocess_info`) says.

    EXIF orientation is applied and transparency dropped; then grey or RGB by C, the central part with the aspect ratio
    H:W (times crop_fraction), bilinear resizing with antialiasing to H x W, and normalisation. An image of H x W pixels
    is not resampled. Raises LarqnetsError for a file that is missing, none of FORMATS, damaged or absurdly large.
    """
    return prepare(_open(Path(path)), info, str(path))


def prepare(picture: Image.Image, info: dict[str, Any], name: str = "The image") -> np.ndarray:
    """Return an upright picture as `read_image` does that of a file; `name` is what errors call it."""
    height, width, channels = info["image_shape"]
    picture = _to_8_bits(picture, name)
    try:
        picture = picture.convert("L" if channels == 1 else "RGB")
    except ValueError as error:  # of LAB there is no way
        raise LarqnetsError(f"{name} has {picture.mode} pixels. Save it as grey or RGB.") from error
    top, left, box_height, box_width = central_box(
        picture.height, picture.width, height, width, info.get("crop_fraction", 1.0)
    )
    # Cropping first keeps pixels outside the box out of the antialiasing, as in training.
    picture = picture.crop((left, top, left + box_width, top + box_height))
    picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture, np.uint8).reshape(1, height, width, channels)
    scale, offset = normalisation(info["mean"], info["std"])
    return pixels.astype(np.float32) * scale + offset


def central_box(
    height: int, width: int, target_height: int, target_width: int, fraction: float
) -> tuple[int, int, int, int]:
    """Return (top, left, height, width) of the largest central box of the target's aspect ratio, times `fraction`."""
    box_height = max(1, math.floor(min(height, width * target_height / target_width) * fraction + 0.5))
    box_width = max(1, math.floor(min(width, height * target_width / target_height) * fraction + 0.5))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def _open(path: Path) -> Image.Image:
    """Return the decoded image, upright."""
    try:
        with warnings.catch_warnings():
            # Pillow only warns between its limit and twice its limit; both are too large to be meant.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Named, since Pillow hands other kinds to programs of the system, whatever the file is called.
            with open_at_once(path) as file, Image.open(file, formats=FORMATS) as picture:
                return ImageOps.exif_transpose(picture)
    except FileNotFoundError as error:
        raise LarqnetsError(f"There is no image at {path}. Check the path.") from error
    except UnidentifiedImageError as error:
        raise LarqnetsError(
            f"{path} is not an image of a kind that is read here ({', '.join(FORMATS)}). Give a PNG or JPEG file."
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


def _to_8_bits(picture: Image.Image, name: str) -> Image.Image:
    if picture.mode == "F":
        raise LarqnetsError(f"{name} has 32-bit float pixels. Save it with 8 bits per channel.")
    if picture.mode != "I" and not picture.mode.startswith("I;16"):
        return picture
    # 16-bit grey: Pillow's own conversion to L clips at 255 instead of scaling.
    return Image.fromarray((np.clip(np.asarray(picture, np.int64), 0, 65535) >> 8).astype(np.uint8))
