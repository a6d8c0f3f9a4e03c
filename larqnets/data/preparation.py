"""How images are prepared for a network that somebody else trained, as far as it is known."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from larqnets.data.info import keeps_apart
from larqnets.documents import read_text
from larqnets.errors import LarqnetsError, printable

MAX_LABELS = 1_000_000


@dataclass(frozen=True)
class Preparation:
    """What is known: image = (pixel / 255 - mean) / std, one number for all channels or one each; () is not known.

    `size`: the (height, width) in which a network is to take its images, None as it is saved.
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    size: tuple[int, int] | None = None

    @property
    def changes(self) -> bool:
        """Whether it says anything of images."""
        return bool(self.mean or self.labels)

    @property
    def normalises(self) -> bool:
        """Whether it does more to pixels than to leave them 0 to 255 or to bring them to 0 to 1."""
        return any(self.mean) or not all(math.isclose(s, 1) or math.isclose(255 * s, 1) for s in self.std)

    def over(self, known: Self, shape: Sequence[int]) -> Self:
        """Return this, and where it says nothing what was known before, for images (H, W, C).

        Raises LarqnetsError when these are no images, or have another number of channels.
        """
        mean, std = (self.mean, self.std) if self.mean else (known.mean, known.std)
        joined = replace(self, mean=mean, std=std, labels=self.labels or known.labels)
        if not joined.changes:
            return joined
        if len(shape) != 3 or shape[2] not in (1, 3):
            raise LarqnetsError(
                f"The network takes values of shape {tuple(shape)} and no grey or RGB images. Leave --mean, --std, --scale "
                "and --labels out."
            )
        channels = shape[2]
        if len(mean) not in (0, 1, channels):
            raise LarqnetsError(
                f"Mean and std are {len(mean)} numbers each and the images have {channels} channels. Give one for each, or "
                "one for all."
            )
        if len(mean) == 1:
            joined = replace(joined, mean=mean * channels, std=std * channels)
        return joined

    def entry(self, shape: Sequence[int]) -> dict[str, Any] | None:
        """Return what the metadata of a file say of images (H, W, C) of no data set; None where that is not known."""
        if not self.mean:
            return None
        return {
            "labels": list(self.labels),
            "image_shape": list(shape),
            "mean": list(self.mean),
            "std": list(self.std),
            "crop_fraction": 1.0,
        }

    @classmethod
    def of(cls, entry: Mapping[str, Any] | None) -> Self:
        """Return what the metadata of a file say, see `preprocessing`."""
        known = entry or {}
        return cls(*(tuple(known.get(key, ())) for key in ("mean", "std", "labels")))


NOT_SAID = Preparation()


def read_preparation(
    mean: str | None = None,
    std: str | None = None,
    scale: str | None = None,
    labels: str | None = None,
    image_size: str | None = None,
) -> Preparation:
    """Return what the options say whose texts these are: image = (pixel * scale - mean) / std.

    A number may be a fraction, 1/255; of mean and std there may be one for every channel, with commas. Without `scale` it is
    1/255, without mean 0, without std 1; without any of them nothing is known of them. `labels`: see `read_labels`;
    `image_size`: see `read_size`. Raises LarqnetsError for what is none of that.
    """
    size = None if image_size is None else read_size(image_size)
    named = () if labels is None else read_labels(labels)
    if mean is None and std is None and scale is None:
        return Preparation(labels=named, size=size)
    (factor,) = _numbers("--scale", "1/255" if scale is None else scale, most=1)
    means, stds = _numbers("--mean", "0" if mean is None else mean), _numbers("--std", "1" if std is None else std)
    if factor <= 0 or min(stds) <= 0:
        raise LarqnetsError(
            "--scale and --std are above 0: one multiplies pixels, the other divides them. Give e.g. 1/255."
        )
    count = max(len(means), len(stds))
    means, stds = (values * (count if len(values) == 1 else 1) for values in (means, stds))
    if len(means) != len(stds):
        raise LarqnetsError(
            f"--mean has {len(means)} numbers and --std {len(stds)}. Give both one for each channel, or one for all."
        )
    white = 255 * factor
    means, stds = tuple(m / white for m in means), tuple(s / white for s in stds)
    if not keeps_apart(means, stds):
        raise LarqnetsError(
            "With these --mean, --std and --scale black and white are infinite or the same number. Give those of the training."
        )
    return Preparation(means, stds, named, size)


def read_labels(text: str, fewest: int = 2) -> tuple[str, ...]:
    """Return the names of the classes in their order: of a text file the lines, else the parts between commas.

    Raises LarqnetsError for a file that is not there or no text, fewer labels than that, and an empty one.
    """
    path = Path(text)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # too long for a path
        is_file = False
    if not is_file and "," not in text:
        raise LarqnetsError(
            f"There is no file {printable(text)}. Give --labels a text file with a label in every line, or cat,dog,bird."
        )
    try:
        found = read_text(path).removeprefix("\ufeff").split("\n") if is_file else text.split(",")
    except (OSError, ValueError) as error:
        raise LarqnetsError(
            f"{path} cannot be read as text: {getattr(error, 'strerror', None) or error}. Save the labels as UTF-8, one in every line."
        ) from error
    names = [label.strip() for label in found]
    while names and not names[-1]:
        names.pop()
    where = path if is_file else "--labels"
    if not fewest <= len(names) <= MAX_LABELS:
        raise LarqnetsError(f"{where} holds {len(names):,} labels. Give one for each class, one in every line.")
    if not all(label.isascii() or printable(label) == label for label in names):
        raise LarqnetsError(f"{where} holds a label with characters that are no text. Save the labels as UTF-8.")
    if "" in names:
        raise LarqnetsError(
            f"Label {names.index('') + 1} of {where} is empty. Name every class, in the network's order."
        )
    return tuple(names)


def read_size(text: str) -> tuple[int, int]:
    """Return (height, width) of "HxW", or of "N" for NxN."""
    found = re.fullmatch(r"([1-9]\d{0,3})(?:x([1-9]\d{0,3}))?", text.lower())
    if found is None:
        raise LarqnetsError(f"'{printable(text)}' is no image size. Write height x width, e.g. 224x224.")
    return int(found[1]), int(found[2] or found[1])


def _numbers(option: str, text: str, most: int = 3) -> tuple[float, ...]:
    parts = text.split(",")
    try:
        values = tuple(_number(part) for part in parts)
    except (ValueError, ZeroDivisionError):
        values = ()
    if not 1 <= len(values) <= most or not all(map(math.isfinite, values)):
        raise LarqnetsError(
            f"{option} is '{printable(text)}'. Give {'a number' if most == 1 else 'numbers with commas'}, e.g. "
            f"{'1/255' if most == 1 else '0.485,0.456,0.406'}."
        )
    return values


def _number(text: str) -> float:
    above, _, below = text.partition("/")
    return float(above) / float(below) if below else float(above)
