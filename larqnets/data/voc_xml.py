"""The XML in which VOC, labelImg and others say what is in a picture: boxes in pixels, one file for each picture."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from larqnets.data.boxes import Annotation, Thing
from larqnets.data.info import DIFFICULT, PLAIN
from larqnets.documents import checked, finite_number, read_text
from larqnets.errors import LarqnetsError

_LIMIT = 16 * 2**20  # bytes
_CORNERS = ("ymin", "xmin", "ymax", "xmax")


def read_voc(file: Path, picture: Path) -> Annotation:
    """Return what a file says of a picture; raises LarqnetsError where it cannot be read as such XML."""
    try:
        text = read_text(file, _LIMIT)
        if "<!DOCTYPE" in text:
            raise ValueError("it declares a document type, which none of these files needs")
        root = ElementTree.fromstring(text)
        size = [_whole(root.findtext(f"size/{side}")) for side in ("height", "width")]
        rows = tuple(_row(thing, f"object {i}") for i, thing in enumerate(root.findall("object"), 1))
    except (OSError, ValueError, ElementTree.ParseError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise LarqnetsError(f"{file} cannot be read as VOC XML: {why}. Correct it, or write it again.") from error
    known = bool(size[0] and size[1])  # programs that do not know the size write 0
    return Annotation(str(picture), str(file), rows, size=(size[0], size[1]) if known else None)


def named_picture(file: Path) -> str:
    """Return the name of the picture that a file says it is about, "" where it does not or cannot be read."""
    try:
        return ElementTree.fromstring(read_text(file, _LIMIT)).findtext("filename", "").strip()
    except (OSError, ValueError, ElementTree.ParseError):
        return ""


def _row(thing: ElementTree.Element, place: str) -> Thing:
    name, box = (thing.findtext("name") or "").strip(), thing.find("bndbox")
    if not name or box is None:
        raise ValueError(f"{place} has no {'name' if not name else 'bndbox'}")
    texts = [box.findtext(side) for side in _CORNERS]
    if None in texts:
        raise ValueError(f"the bndbox of {place} has no {_CORNERS[texts.index(None)]}")
    top, left, bottom, right = (finite_number(text or "") for text in texts)
    difficult = (thing.findtext("difficult") or "0").strip()
    return Thing(place, checked(name), (top, left, bottom, right), PLAIN if difficult == "0" else DIFFICULT)


def _whole(text: str | None) -> int:
    return int(finite_number(text)) if text and text.strip() else 0
