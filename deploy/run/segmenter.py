"""`larqnets.Segmenter`: a class for every pixel of images by a .tflite file, in a program of yours, also on a board."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deploy.run.decoder import check_finite
from deploy.run.picture_model import Picture, PictureModel, Shown
from larqnets.data.image import filled, in_8_bits, looked_at
from larqnets.data.info import OUTSIDE
from larqnets.data.label_names import names_of
from larqnets.data.overlay import overlay, with_palette
from larqnets.data.palette import Colors
from larqnets.tasks.pixel_study import given
from larqnets.tasks.segmentation import Segmentation, colors_of_file, shares
from larqnets.tflite.file_metadata import own_metadata

Share = dict[str, Any]  # "label": its name, "class": its number, "share": of the pixels that have a class


@dataclass(frozen=True, eq=False)
class Segments:
    """The classes of the pixels of a picture.

    `mask`: uint8 (H, W), of the size of the upright picture; 255 where the network does not look, outside of `seen`, the
    (top, left, height, width) of the part that has the shape of its images. `labels` and `colors` of the classes, `picture`
    as it was given, upright.
    """

    mask: np.ndarray
    seen: tuple[int, int, int, int]
    labels: tuple[str, ...]
    colors: Colors
    picture: Image.Image

    @cached_property
    def shares(self) -> list[Share]:
        """Every class that occurs, the largest first, with its share of the pixels that have a class."""
        return shares(self.mask, self.labels)

    def palette_picture(self) -> Image.Image:
        """Return the mask as a picture of mode P: its pixels are the numbers of the classes, its palette has their colours."""
        return with_palette(self.mask, self.colors)

    def overlay(self) -> Image.Image:
        """Return the picture under its mask."""
        return overlay(in_8_bits(self.picture, 3, "The picture"), self.mask, self.colors)


class Segmenter(PictureModel):
    """A converted segmenter that takes pictures; see PictureModel for its arguments.

    >>> segmenter = Segmenter("runs/nuclei/arm64/binary.tflite")
    >>> found = segmenter("photo.jpg")
    >>> found.shares
    [{'label': 'background', 'class': 0, 'share': 0.86}, {'label': 'nucleus', 'class': 1, 'share': 0.14}]
    >>> found.overlay().save("overlay.png")
    """

    _task = Segmentation

    def __init__(self, file: Path | str | bytes, *, num_threads: int = 1, device: str | None = None) -> None:
        super().__init__(file, num_threads=num_threads, device=device)
        shape, labels = self._interpreter.output_shapes[0], self._preprocess["labels"]
        classes = shape[3] if len(shape) == 4 else len(labels) or OUTSIDE  # of a mask nobody says how many there are
        self.labels = names_of(labels, classes)
        self.colors = colors_of_file(own_metadata(self._interpreter.model) or {}, classes, self._name)

    def __call__(self, picture: Picture) -> Segments:
        """Return the class of every pixel of a picture, in its own size.

        `picture`: see `show`. Raises LarqnetsError for what is no picture, and when the network answers with NaN or infinite
        values.
        """
        return self.segment(self.show(picture))

    def segment(self, shown: Shown) -> Segments:
        """Return what a call does, for a picture that was made ready with `show`."""
        answers = self._answers(shown)
        check_finite(answers, shown.name)
        top, left, height, width = seen = looked_at(shown.picture, self._preprocess)
        mask = np.full((shown.picture.height, shown.picture.width), OUTSIDE, np.uint8)
        # What fills the rest of the input would lie beside the picture.
        sides = zip(seen[2:], self._preprocess["image_shape"], filled(shown.picture, self._preprocess), strict=False)
        beyond = [round(side * whole / part) for side, whole, part in sides]
        answer = given(answers[0][0], (max(height, beyond[0]), max(width, beyond[1])))
        mask[top : top + height, left : left + width] = answer[:height, :width]
        return Segments(mask, seen, self.labels, self.colors, shown.picture)

    def _reads(self) -> bool:
        dtype = self._interpreter.output_types[0]
        mask = len(self._interpreter.output_shapes[0]) == 3
        return dtype == np.uint8 if mask else dtype in (np.float32, np.int8)
