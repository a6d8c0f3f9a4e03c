"""What `larqnets.Classifier`, `larqnets.Segmenter` and `larqnets.Detector` have in common: a .tflite file that is given pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageOps

from deploy.run.classify import image_preprocessing
from deploy.run.decoder import Decoder
from deploy.run.interpreter import as_list
from deploy.run.real_values import RealInterpreter, real_ports
from deploy.run.shipped import find_model
from larqnets.data.image import prepare, read_upright
from larqnets.errors import LarqnetsError, printable
from larqnets.tasks import Task
from larqnets.tflite.interface import check_inputs
from larqnets.tflite.reading import read_model

Picture = Path | str | np.ndarray | Image.Image


@dataclass(frozen=True, eq=False)
class Shown:
    """A picture, upright, with what the network is given of it, (1, H, W, C), and how errors name it."""

    picture: Image.Image
    values: np.ndarray
    name: str


class PictureModel:
    """A loaded file whose metadata say how pictures are prepared and what its classes are called.

    `file`: a .tflite file, a converted run's folder, the name of a shipped model, or the bytes of a file; its metadata say
    how images are prepared and what the labels are. `device`: see Interpreter; a file from a stranger belongs in "child". `score`, `iou`: see Decoder.
    Raises LarqnetsError when the file is damaged, does not say how its images are prepared, or answers otherwise than the
    task does.
    """

    _task: ClassVar[type[Task]]
    _instead: ClassVar[str] = "Use larqnets.Interpreter."  # of other files

    labels: tuple[str, ...]

    def __init__(
        self,
        file: Path | str | bytes,
        *,
        score: float | None = None,
        iou: float | None = None,
        num_threads: int = 1,
        device: str | None = None,
    ) -> None:
        model = read_model(file if isinstance(file, bytes) else find_model(str(file)))
        self._name = model.name
        self._decoder = Decoder(model, score=score, iou=iou)
        self._preprocess: dict[str, Any] = image_preprocessing(model, model.name)
        self._interpreter = RealInterpreter(model, num_threads, device)
        outputs, task = self._interpreter.output_shapes, self._decoder.task
        answers = task.scores(outputs) and outputs[0][0] == 1
        if not isinstance(task, self._task) or not answers or not self._reads():
            raise LarqnetsError(
                f"{model.name} is {self._task.no_answer}: its task is {task.name}, and its outputs are of shapes "
                f"{', '.join(map(str, outputs))}. {self._instead}"
            )
        check_inputs(model, real_ports(model), [(1, *self.image_shape)], [np.dtype(np.float32)])

    def __repr__(self) -> str:
        height, width, channels = self.image_shape
        return (
            f"<{type(self).__name__} {printable(self._name)}: {len(self.labels)} labels, images {height}x{width}x{channels}, "
            f"{self._interpreter.engine}>"
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels to which every picture is brought."""
        height, width, channels = self._preprocess["image_shape"]
        return height, width, channels

    @property
    def engine(self) -> str:
        """What runs the file, in words."""
        return self._interpreter.engine

    def show(self, picture: Picture) -> Shown:
        """Return a picture as the network is shown it.

        `picture`: an image file, uint8 pixels (H, W) grey, (H, W, 3) RGB or (H, W, 4) RGBA, or a picture of Pillow, of any
        size: it is turned upright and brought to `image_shape` as `read_image` does it. Raises LarqnetsError for what is no
        picture.
        """
        path = str(picture) if isinstance(picture, str | Path) else None
        upright = _upright(picture)
        values = prepare(upright, self._preprocess, path or "The picture")
        return Shown(upright, values, "the picture" if path is None else printable(path))

    def _reads(self) -> bool:
        """Whether the file's answers are of values that are understood."""
        return self._interpreter.output_types[0] == np.float32

    def _answers(self, shown: Shown) -> list[np.ndarray]:
        return as_list(self._interpreter.predict(shown.values))


def _upright(picture: Picture) -> Image.Image:
    if isinstance(picture, str | Path):
        return read_upright(Path(picture))
    if isinstance(picture, np.ndarray):
        return _of_pixels(picture)
    if not isinstance(picture, Image.Image):
        raise LarqnetsError(
            f"A {type(picture).__name__} is no picture. Give a path, uint8 pixels (H, W, 3) or a picture of Pillow."
        )
    try:
        return ImageOps.exif_transpose(picture)
    except Exception as error:  # it is decoded only now, by whatever reads its format
        raise LarqnetsError(f"The picture cannot be decoded: {error}. Load it again.") from error


def _of_pixels(pixels: np.ndarray) -> Image.Image:
    grey = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 1)
    if pixels.dtype != np.uint8 or not pixels.size or not (grey or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))):
        raise LarqnetsError(
            f"An array {pixels.shape} of {pixels.dtype} is no picture. Give uint8 pixels (H, W, 3) in the order red, green, "
            "blue; ready values go to larqnets.Interpreter."
        )
    return Image.fromarray(pixels.reshape(pixels.shape[:2]) if grey else pixels)
