"""`larqnets run` with a network whose answers are drawn: photos through it one after another, and pictures in their own size."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from PIL import Image

from deploy.run.classify import write_csv
from deploy.run.image_files import find_images
from deploy.run.interpreter import CHILD
from deploy.run.picture_files import Files, picture_files
from deploy.run.picture_model import PictureModel, Shown
from larqnets.errors import LarqnetsError
from larqnets.files import cannot_write, write_atomically
from larqnets.reporter import SILENT, Reporter

Entry = dict[str, Any]
Found = TypeVar("Found")


class UnreadableError(LarqnetsError):
    """A photo cannot be read; others may be."""


class PhotoRun(Generic[Found]):
    """A network that is given photos, and what is told and drawn of what it finds in them.

    Subclasses say how it is loaded (`load`), and what is found (`find`), told (`facts`) and drawn (`pictures`).
    """

    endings: ClassVar[Mapping[str, str]]  # picture -> what follows the photo's name in that of its file

    def __init__(self, model: Path, *, num_threads: int = 1, device: str | None = None, **options: Any) -> None:
        self._model = model
        self._options = {"num_threads": num_threads, "device": device or CHILD, **options}

    def load(self, model: Path, **options: Any) -> PictureModel:
        """Load the network."""
        raise NotImplementedError

    def find(self, network: Any, shown: Shown) -> Found:
        """Look at a photo."""
        raise NotImplementedError

    def facts(self, found: Found) -> Entry:
        """Return what is told of it; the answers are the one entry of "predictions"."""
        raise NotImplementedError

    def pictures(self, found: Found) -> dict[str, Image.Image]:
        """Return the pictures of `endings`."""
        raise NotImplementedError

    def one(self, photo: Path, output: Path | None = None, csv: Path | None = None) -> Entry:
        """Return model, engine, input, the facts, and the paths of the pictures where an `output` is given, see `picture_files`.

        Writes the answers to `csv`, see `write_csv`. The network is loaded once it is known that all can be written. Raises
        LarqnetsError.
        """
        (files,) = picture_files(output, [photo], self.endings) if output is not None else [None]
        network = self.load(self._model, **self._options)
        entry = self._looked_at(network, photo, files)
        return {"model": str(self._model), "engine": network.engine, **entry, **_table(csv, [entry])}

    def several(
        self, inputs: Sequence[Path], output: Path | None = None, csv: Path | None = None, reporter: Reporter = SILENT
    ) -> Entry:
        """Do the same for photos and those of folders, see `find_images`, with one engine.

        What lies in the folder `output` is not taken for a photo. Returns for every photo that can be read an entry of "images",
        the others in "failed" with the reason, which `reporter` is told at once, and how many files of folders are no images by
        their suffixes. Raises LarqnetsError when the file cannot be run on images, and when a picture cannot be written.
        """
        found = find_images(inputs, without=output)
        files = [None] * len(found.paths) if output is None else picture_files(output, found.paths, self.endings)
        reporter.stage("run")
        failed = [{"input": str(path), "error": error} for path, error in found.wrong.items()]
        for entry in failed:
            reporter.line(entry["error"])
        network = self.load(self._model, **self._options)
        images = []
        for number, (photo, of_photo) in enumerate(zip(found.paths, files, strict=True), 1):
            reporter.count(number, len(files), photo.name)
            try:
                images.append(self._looked_at(network, photo, of_photo))
            except UnreadableError as error:
                reporter.line(str(error))
                failed.append({"input": str(photo), "error": str(error)})
        result: Entry = {"model": str(self._model), "engine": network.engine, "images": images, "failed": failed}
        result["left_out"] = dict(sorted(found.left_out.items()))
        return result | _table(csv, [*images, *failed])

    def _looked_at(self, network: PictureModel, photo: Path, files: Files | None) -> Entry:
        """Return the entry of a photo, after its pictures are written."""
        try:
            shown = network.show(photo)
        except LarqnetsError as error:
            raise UnreadableError(str(error)) from error
        found = self.find(network, shown)
        entry = {"input": str(photo), **self.facts(found)}
        if files is not None:
            for name, picture in self.pictures(found).items():
                write_picture(files[name], picture)
                entry[name] = str(files[name])
        return entry


def write_picture(path: Path, picture: Image.Image) -> None:
    """Write a PNG, and the folder that it is in; raises LarqnetsError when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error
    content = io.BytesIO()
    picture.save(content, "PNG", compress_level=1)  # a board takes seconds for more
    write_atomically(path, content.getvalue())


def _table(csv: Path | None, entries: Sequence[Entry]) -> dict[str, str]:
    if csv is None:
        return {}
    write_csv(csv, entries)
    return {"csv": str(csv)}
