"""The pictures in docs/results/, drawn from results/ by the functions that the commands draw with.

A picture keeps the SHA-256 of the file that it shows in its metadata: it is stale when that file is another. Pixels differ between versions
of matplotlib and say nothing; a picture is drawn anew when its file is, or when it is deleted.
"""

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from docs.numbers.sources import ROOT
from larqnets import pictures
from larqnets.documents import read_json
from larqnets.files import write_atomically
from larqnets.studies.decompose_rows import draw_rows, read_rows
from larqnets.studies.int8_picture import draw_all
from larqnets.studies.pareto import pareto

FOLDER = "docs/results"
KEY = "made from"  # of the metadata


@dataclass(frozen=True)
class Picture:
    """A picture of a file of results/; `draw` takes that file and writes the PNG."""

    name: str
    source: str
    draw: Callable[[Path, Path], object]

    @property
    def path(self) -> Path:
        """Where it lies."""
        return ROOT / FOLDER / self.name

    @property
    def digest(self) -> str:
        """What its metadata have to say."""
        return f"{self.source} {hashlib.sha256((ROOT / self.source).read_bytes()).hexdigest()}"


def _decompositions(source: Path, output: Path) -> None:
    pictures.save(draw_rows(read_rows(source, "accuracy"), "accuracy"), output)


def _int8_rests(end: str) -> Callable[[Path, Path], object]:
    def draw(source: Path, output: Path) -> None:
        pictures.save(draw_all(read_json(source))[end], output)

    return draw


PICTURES = (
    Picture("cifar10_small.png", "results/cifar10_small.csv", pareto),
    Picture("cbd_cifar10.png", "results/cbd_cifar10.csv", _decompositions),
    Picture("int8_rest.png", "results/int8_rest.json", _int8_rests("")),
    Picture("int8_rest_runs.png", "results/int8_rest.json", _int8_rests("_runs")),
)


def _is_stale(picture: Picture) -> bool:
    if not picture.path.exists():
        return True
    with Image.open(picture.path) as image:
        return image.info.get(KEY) != picture.digest


def stale() -> list[str]:
    """Return a line for every picture that is not there or shows another file."""
    return [
        f"{FOLDER}/{picture.name}: not drawn from {picture.source} as it is"
        for picture in PICTURES
        if _is_stale(picture)
    ]


def draw() -> Iterator[str]:
    """Draw what is stale; yields a line for every picture."""
    for picture in filter(_is_stale, PICTURES):
        with tempfile.TemporaryDirectory() as folder:
            drawn, stamped = Path(folder, "drawn.png"), Path(folder, "stamped.png")
            picture.draw(ROOT / picture.source, drawn)
            info = PngInfo()
            info.add_text(KEY, picture.digest)
            with Image.open(drawn) as image:
                image.save(stamped, pnginfo=info, optimize=True)
            write_atomically(picture.path, stamped.read_bytes())
        yield f"{FOLDER}/{picture.name}: drawn from {picture.source}"
