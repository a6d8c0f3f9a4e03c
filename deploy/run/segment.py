"""`larqnets run` with a network that gives every pixel a class: photos to masks in their own size."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from deploy.run.classify import write_csv
from deploy.run.image_files import find_images
from deploy.run.interpreter import CHILD
from deploy.run.mask_files import MaskFiles, mask_files
from deploy.run.segmenter import Segmenter, Segments
from larqnets.errors import LarqnetsError
from larqnets.files import cannot_write, write_atomically
from larqnets.reporter import SILENT, Reporter


def segment_photo(
    model: Path,
    photo: Path,
    *,
    output: Path | None = None,
    csv: Path | None = None,
    num_threads: int = 1,
    device: str | None = None,
) -> dict[str, Any]:
    """Give every pixel of a photo a class by `model`, in a child process unless it is a shipped file.

    Returns model, engine and input, the photo's `size` [H, W], `seen`, the [top, left, height, width] of it that the network
    looks at, as predictions the share of every class (see `larqnets.Segmenter`), and the paths of mask and overlay where an
    `output` is given, see `mask_files`. Writes the shares to `csv`, see `write_csv`. Raises LarqnetsError.
    """
    (files,) = mask_files(output, [photo]) if output is not None else [None]
    segmenter = Segmenter(model, num_threads=num_threads, device=device or CHILD)
    entry = _segmented(segmenter, photo, files)
    result = {"model": str(model), "engine": segmenter.engine, **entry}
    return result | _table(csv, [entry])


def segment_photos(
    model: Path,
    inputs: Sequence[Path],
    *,
    output: Path | None = None,
    csv: Path | None = None,
    num_threads: int = 1,
    device: str | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Do the same for photos and those of folders, see `find_images`, with one engine, one photo after another.

    What lies in the folder `output` is not taken for a photo. Returns for every photo that can be read an entry of "images",
    the others in "failed" with the reason, which `reporter` is told at once, and how many files of folders are no images by
    their suffixes. Raises LarqnetsError when the file cannot be run on images, and when a mask cannot be written.
    """
    found = find_images(inputs, without=output)
    files = mask_files(output, found.paths) if output is not None else [None] * len(found.paths)
    reporter.stage("run")
    failed = [{"input": str(path), "error": error} for path, error in found.wrong.items()]
    for entry in failed:
        reporter.line(entry["error"])
    segmenter = Segmenter(model, num_threads=num_threads, device=device or CHILD)
    images = []
    for number, (photo, of_photo) in enumerate(zip(found.paths, files, strict=True), 1):
        reporter.count(number, len(files), photo.name)
        try:
            images.append(_segmented(segmenter, photo, of_photo))
        except UnreadableError as error:
            reporter.line(str(error))
            failed.append({"input": str(photo), "error": str(error)})
    result: dict[str, Any] = {"model": str(model), "engine": segmenter.engine, "images": images, "failed": failed}
    result["left_out"] = dict(sorted(found.left_out.items()))
    return result | _table(csv, [*images, *failed])


class UnreadableError(LarqnetsError):
    """A photo cannot be read; others may be."""


def _segmented(segmenter: Segmenter, photo: Path, files: MaskFiles | None) -> dict[str, Any]:
    """Return the entry of a photo, after its files are written."""
    try:
        shown = segmenter.show(photo)
    except LarqnetsError as error:
        raise UnreadableError(str(error)) from error
    found = segmenter.segment(shown)
    entry = {
        "input": str(photo),
        "size": list(found.mask.shape),
        "seen": list(found.seen),
        "predictions": [found.shares],
    }
    return entry | ({} if files is None else _written(found, files))


def _written(found: Segments, files: MaskFiles) -> dict[str, str]:
    try:
        files.mask.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(files.mask, error) from error
    write_atomically(files.mask, _png(found.palette_picture()))
    write_atomically(files.overlay, _png(found.overlay()))
    return {"mask": str(files.mask), "overlay": str(files.overlay)}


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=1)  # a board takes seconds for more
    return content.getvalue()


def _table(csv: Path | None, entries: Sequence[dict[str, Any]]) -> dict[str, str]:
    if csv is None:
        return {}
    write_csv(csv, entries)
    return {"csv": str(csv)}
