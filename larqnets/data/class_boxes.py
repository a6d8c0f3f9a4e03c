"""How many boxes of the pictures of a split every class has, and what was done to them. Without TensorFlow."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from larqnets.data.boxes import Boxes
from larqnets.data.info import CROWD, DIFFICULT
from larqnets.errors import LarqnetsError

_MENDED = {
    "clipped": "reached out of the picture and {were} clipped",
    "outside": "lay outside the picture and {were} left out",
    "empty": "had no area and {were} left out",
    "twice": "{were} there twice and {were} taken once",
    "outlines": "{were} drawn around an outline",
    "unsaid": "{images} without a text file {were} taken as showing nothing",
}
_ONE, _MANY = {"were": "was", "images": "image"}, {"were": "were", "images": "images"}


@dataclass(frozen=True)
class ClassBoxes:
    """`counts` (N, classes) int64: boxes of every class in every picture; `mended`: see `Boxes`, what was done to how many."""

    counts: np.ndarray
    difficult: int
    crowd: int
    mended: dict[str, int]

    title: ClassVar[str] = "boxes"
    key: ClassVar[str] = "boxes"  # in JSON
    never: ClassVar[str] = ""  # to be said beside a class that never occurs

    @classmethod
    def of(cls, found: Sequence[Boxes], classes: int) -> "ClassBoxes":
        """Return the counts of the boxes of pictures."""
        counts = [np.bincount(boxes.labels, minlength=classes) for boxes in found]
        kinds = np.concatenate([np.zeros(0, int), *(boxes.kinds for boxes in found)])
        return cls(
            np.array(counts, np.int64).reshape(len(found), classes),
            int((kinds == DIFFICULT).sum()),
            int((kinds == CROWD).sum()),
            {name: sum(getattr(boxes, name) for boxes in found) for name in _MENDED},
        )

    @property
    def images(self) -> tuple[int, ...]:
        """In how many images every class occurs."""
        return tuple((self.counts > 0).sum(axis=0).tolist())

    @property
    def boxes(self) -> tuple[int, ...]:
        """How many boxes every class has."""
        return tuple(self.counts.sum(axis=0).tolist())

    @property
    def most(self) -> int:
        """How many boxes are in one picture at most."""
        return int(self.counts.sum(axis=1).max(initial=0))

    @property
    def cells(self) -> tuple[str, ...]:
        """What a table says of every class."""
        return tuple(f"{many:,}" for many in self.boxes)

    @property
    def facts(self) -> dict[str, str]:
        """What is to be said beside the table, of train."""
        return {"boxes": f"{', '.join(self._amounts())} in train"}

    def _amounts(self) -> list[str]:
        total, without = int(self.counts.sum()), int((self.counts.sum(axis=1) == 0).sum())
        kinds = [
            f"{many:,} {word}" for many, word in ((self.difficult, "difficult"), (self.crowd, "of crowds")) if many
        ]
        empty = [f"{without:,} image{'' if without == 1 else 's'} without"] if without else []
        return [f"{total:,}", f"up to {self.most:,} in an image", *empty, *kinds]

    def done(self) -> list[str]:
        """Return what was done to boxes, each as a phrase with a number."""
        return [
            f"{many:,} {_MENDED[name].format(**(_ONE if many == 1 else _MANY))}"
            for name, many in self.mended.items()
            if many
        ]

    def words(self, labels: Sequence[str], split: str) -> str:
        """Return "1,204, up to 31 in an image, 12 images without in train; the rarest are ray 40, fish 1,164"."""
        rarest = sorted(zip(self.boxes, labels, strict=True))[:3]
        named = ", ".join(f"{label} {many:,}" for many, label in rarest)
        return "; ".join([f"{', '.join(self._amounts())} in {split}", f"the rarest are {named}", *self.done()])

    def to_json(self, labels: Sequence[str]) -> dict[str, Any]:
        """Return all of it as JSON types."""
        return {
            "classes": dict(zip(labels, self.boxes, strict=True)),
            "most_in_an_image": self.most,
            "images_without": int((self.counts.sum(axis=1) == 0).sum()),
            "difficult": self.difficult,
            "crowd": self.crowd,
            **self.mended,
        }


def check_some_box(found: ClassBoxes, split: str, where: str) -> None:
    """Raise LarqnetsError where no image of a split has a box."""
    if not found.counts.any():
        raise LarqnetsError(
            f"No {split} image of {where} has a box. Give annotations that name things, or other splits."
        )
