"""`larqnets.Classifier`: labels of images by a .tflite file, in a program of yours, also on a board."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from deploy.run.classify import image_preprocessing
from deploy.run.decoder import Decoder
from deploy.run.interpreter import Interpreter, as_list
from deploy.run.shipped import find_model
from larqnets.data.image import prepare, read_image
from larqnets.errors import LarqnetsError, printable
from larqnets.tasks.classification import Classification
from larqnets.tflite.interface import check_inputs
from larqnets.tflite.reading import read_model

Picture = Path | str | np.ndarray | Image.Image
Label = dict[str, Any]  # "label": its name, "class": its number, "probability"


class Classifier:
    """A converted classifier that takes pictures.

    >>> classifier = Classifier("runs/wide/arm64/binary.tflite")
    >>> classifier.classify("photo.jpg")[0]
    {'label': 'cat', 'class': 3, 'probability': 0.93}

    `file`: a .tflite file, a converted run's folder, the name of a shipped model, or the bytes of a file; its metadata say
    how images are prepared and what the labels are. `device`: see Interpreter; a file from a stranger belongs in "child".
    Raises LarqnetsError when the file is damaged, does not say how its images are prepared, or is no classifier of them.
    """

    def __init__(self, file: Path | str | bytes, *, num_threads: int = 1, device: str | None = None) -> None:
        model = read_model(file if isinstance(file, bytes) else find_model(str(file)))
        self._name = model.name
        self._decoder = Decoder(model)
        self._preprocess = image_preprocessing(model, model.name)
        self._interpreter = Interpreter(model, num_threads, device)
        outputs, task = self._interpreter.output_shapes, self._decoder.task
        answers = task.scores(outputs) and outputs[0][0] == 1 and self._interpreter.output_types[0] == np.float32
        if not isinstance(task, Classification) or not answers:
            raise LarqnetsError(
                f"{model.name} is {Classification.no_answer}: its task is {task.name}, and its outputs are of shapes "
                f"{', '.join(map(str, outputs))}. Use larqnets.Interpreter."
            )
        check_inputs(model, self._interpreter.interface.inputs, [(1, *self.image_shape)], [np.dtype(np.float32)])
        named = tuple(self._preprocess["labels"])
        classes = outputs[0][1]
        self.labels: tuple[str, ...] = named if len(named) == classes else tuple(map(str, range(classes)))

    def __repr__(self) -> str:
        height, width, channels = self.image_shape
        return (
            f"<Classifier {printable(self._name)}: {len(self.labels)} labels, images {height}x{width}x{channels}, "
            f"{self._interpreter.engine}>"
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels to which every picture is brought."""
        height, width, channels = self._preprocess["image_shape"]
        return height, width, channels

    def classify(self, picture: Picture, top: int = 3) -> list[Label]:
        """Return the `top` most probable labels of one picture, the best first.

        `picture`: an image file, uint8 pixels (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, or a picture of Pillow, of any
        size: it is turned upright and brought to `image_shape` as `read_image` does it. Raises LarqnetsError for what is no
        picture, and when the network answers with NaN or infinite values.
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
        name = printable(str(picture)) if isinstance(picture, str | Path) else "the picture"
        results = as_list(self._interpreter.predict(self._values(picture)))
        (labels,) = self._decoder.decode(self._interpreter.output_names, results, top, name)
        return labels

    def _values(self, picture: Picture) -> np.ndarray:
        """Return what the network is given for a picture, (1, H, W, C)."""
        if isinstance(picture, str | Path):
            return read_image(picture, self._preprocess)
        if isinstance(picture, np.ndarray):
            return prepare(_of_pixels(picture), self._preprocess)
        if not isinstance(picture, Image.Image):
            raise LarqnetsError(
                f"A {type(picture).__name__} is no picture. Give a path, uint8 pixels (H, W, 3) or a picture of Pillow."
            )
        try:
            upright = ImageOps.exif_transpose(picture)
        except Exception as error:  # it is decoded only now, by whatever reads its format
            raise LarqnetsError(f"The picture cannot be decoded: {error}. Load it again.") from error
        return prepare(upright, self._preprocess)


def _of_pixels(pixels: np.ndarray) -> Image.Image:
    grey = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 1)
    if pixels.dtype != np.uint8 or not pixels.size or not (grey or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise LarqnetsError(
            f"An array {pixels.shape} of {pixels.dtype} is no picture. Give uint8 pixels (H, W, 3) in the order red, green, "
            "blue; ready values go to larqnets.Interpreter."
        )
    return Image.fromarray(pixels.reshape(pixels.shape[:2]) if grey else pixels)
