"""What every picture goes through: its kind is checked before the work, and it is written whole or not at all."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from larqnets.errors import LarqnetsError, printable
from larqnets.extras import require
from larqnets.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def check_can_draw() -> None:
    """Raise LarqnetsError where matplotlib is not installed; called before the work that ends in a picture."""
    require("Pictures", "matplotlib")


def check_kind(output: Path) -> None:
    """Raise LarqnetsError unless the name ends in a kind of picture that is written here, and pictures can be drawn."""
    if output.suffix not in (".png", ".svg", ".pdf"):
        raise LarqnetsError(f"{output} names no kind of picture. Let it end in .png, .svg or .pdf.")
    check_can_draw()


def label(text: str) -> str:
    """Return a name as matplotlib shows it: no formula between dollar signs, nothing hidden for its first underscore."""
    shown = printable(text).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def content(figure: "Figure", kind: str = "png") -> bytes:
    """Return a picture as the bytes of its file."""
    picture = io.BytesIO()
    figure.savefig(picture, format=kind, dpi=110)
    return picture.getvalue()


def save(figure: "Figure", output: Path) -> None:
    """Write a picture; raises LarqnetsError when it cannot be written."""
    write_atomically(output, content(figure, output.suffix[1:]))
