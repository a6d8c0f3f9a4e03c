"""`larqnets.Detector`: what is where in images by a .tflite file, in a program of yours, also on a board."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deploy.run.picture_model import Picture, PictureModel, Shown
from larqnets.data.box_picture import box_colors, drawn
from larqnets.data.image import in_8_bits, in_picture
from larqnets.data.info import BOXES
from larqnets.data.label_names import names_of
from larqnets.legend import Legend
from larqnets.tasks.box_answers import SCORES
from larqnets.tasks.detection import Detection

# "label": its name, "class": its number, "score", "box": [x0, y0, x1, y1] in pixels of the picture
Thing = dict[str, Any]
_DIGITS = 2  # of a pixel


@dataclass(frozen=True, eq=False)
class Things:
    """What was found in a picture, the surest first. `labels` of all classes, `picture` as it was given, upright."""

    things: list[Thing]
    labels: tuple[str, ...]
    picture: Image.Image

    def counts(self) -> dict[str, int]:
        """Return how many things of which label there are, the most frequent first."""
        return dict(Counter(thing["label"] for thing in self.things).most_common())

    def drawn(self, legend: Legend | None = None) -> Image.Image:
        """Return the picture with the boxes; letters that the font does not have go to the `legend`."""
        colors = box_colors(len(self.labels))
        return drawn(
            in_8_bits(self.picture, 3, "The picture"),
            [thing["box"] for thing in self.things],
            [thing["label"] for thing in self.things],
            [thing["score"] for thing in self.things],
            [colors[thing["class"]] for thing in self.things],
            legend,
        )


class Detector(PictureModel):
    """A converted detector that takes pictures; see PictureModel for its arguments.

    `score`: the lowest score of what is told, `iou`: from which overlap on boxes of one class are one thing; both between 0 and
    1, by default 0.3, or the file's where that is higher, and what the file says. Raises LarqnetsError for others.

    >>> detector = Detector("runs/bccd/arm64/binary.tflite", score=0.3)
    >>> found = detector("photo.jpg")
    >>> found.things[0]
    {'label': 'WBC', 'class': 1, 'score': 0.93, 'box': [210.4, 96.1, 322.0, 214.7]}
    >>> found.drawn().save("boxes.png")
    """

    _task = Detection
    _instead = "Use larqnets.Interpreter, and of NAME_nms.tflite the file NAME.tflite beside it."

    def __init__(
        self,
        file: Path | str | bytes,
        *,
        score: float | None = None,
        iou: float | None = None,
        num_threads: int = 1,
        device: str | None = None,
    ) -> None:
        super().__init__(file, num_threads=num_threads, device=device, score=score, iou=iou)
        self.labels = names_of(self._preprocess["labels"], self._interpreter.output_shapes[1][2])

    def __call__(self, picture: Picture) -> Things:
        """Return what is in a picture, in its own pixels.

        `picture`: see `show`. Raises LarqnetsError for what is no picture, and when the network answers with NaN or infinite
        values.
        """
        return self.detect(self.show(picture))

    def detect(self, shown: Shown) -> Things:
        """Return what a call does, for a picture that was made ready with `show`."""
        (things,) = self._decoder.decode(self._interpreter.output_names, self._answers(shown), 0, shown.name)
        return Things(located(things, shown.picture, self._preprocess), self.labels, shown.picture)

    def _reads(self) -> bool:
        types = self._interpreter.output_types
        return set(self._interpreter.output_names) == {BOXES, SCORES} and set(types) == {np.dtype(np.float32)}


def located(things: Sequence[Thing], picture: Image.Image, preprocess: Mapping[str, Any]) -> list[Thing]:
    """Return things whose boxes are relative to what the network sees with boxes in pixels of the picture, without those beside it."""
    relative = np.array([thing["box"] for thing in things], np.float64).reshape(-1, 4)
    boxes = in_picture(relative[:, [1, 0, 3, 2]], picture, dict(preprocess))[:, [1, 0, 3, 2]]
    boxes = np.clip(boxes, 0, 2 * picture.size).round(_DIGITS)
    return [
        {**thing, "box": box.tolist()}
        for thing, box in zip(things, boxes, strict=True)
        if box[2] > box[0] and box[3] > box[1]
    ]
