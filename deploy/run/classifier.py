"""`larqnets.Classifier`: labels of images by a .tflite file, in a program of yours, also on a board."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deploy.run.picture_model import Picture, PictureModel
from larqnets.data.label_names import names_of
from larqnets.errors import LarqnetsError
from larqnets.tasks.classification import Classification

Label = dict[str, Any]  # "label": its name, "class": its number, "probability"


class Classifier(PictureModel):
    """A converted classifier that takes pictures; see PictureModel for its arguments.

    >>> classifier = Classifier("runs/wide/arm64/binary.tflite")
    >>> classifier.classify("photo.jpg")[0]
    {'label': 'cat', 'class': 3, 'probability': 0.93}
    """

    _task = Classification

    def __init__(self, file: Path | str | bytes, *, num_threads: int = 1, device: str | None = None) -> None:
        super().__init__(file, num_threads=num_threads, device=device)
        self.labels = names_of(self._preprocess["labels"], self._interpreter.output_shapes[0][1])

    def classify(self, picture: Picture, top: int = 3) -> list[Label]:
        """Return the `top` most probable labels of one picture, the best first.

        `picture`: see `show`. Raises LarqnetsError for what is no picture, and when the network answers with NaN or infinite
        values.
        """
        (labels,) = self.classify_all([picture], top)
        return labels

    def classify_all(self, pictures: Iterable[Picture], top: int = 3) -> list[list[Label]]:
        """Return for every picture what `classify` returns for one; of pixels (N, H, W, C) for each of the N.

        One after another: of an iterator no more than one picture is held. Raises LarqnetsError for the first that is none.
        """
        if top < 1:
            raise LarqnetsError(f"top must be at least 1, not {top}.")
        one = isinstance(pictures, np.ndarray) and pictures.ndim != 4
        if one or isinstance(pictures, str | Path | Image.Image):
            raise LarqnetsError("classify_all takes several pictures: give a list, or pixels (N, H, W, C).")
        return [self._labels(picture, top) for picture in pictures]

    def _labels(self, picture: Picture, top: int) -> list[Label]:
        shown = self.show(picture)
        (labels,) = self._decoder.decode(self._interpreter.output_names, self._answers(shown), top, shown.name)
        return labels
