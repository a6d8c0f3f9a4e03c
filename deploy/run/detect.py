"""`larqnets run` with a detector: what is where in photos, in pixels of theirs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from deploy.run.detector import Detector, Things
from deploy.run.photos import Entry, PhotoRun
from deploy.run.picture_model import Shown
from larqnets.legend import Legend
from larqnets.reporter import SILENT, Reporter


class BoxRun(PhotoRun[Things]):
    """Finds things in photos, in a child process unless the model is a shipped file; `score` and `iou`: see `larqnets.Detector`.

    An entry has the photo's `size` [H, W] and as predictions the things (see `larqnets.Detector`), the surest first; `boxes` is
    drawn, the photo with the things. What the font of pictures lacks is told in `legend` as "#1" -> the text.
    """

    endings: ClassVar = {"boxes": ""}

    def __init__(self, model: Path, **options: Any) -> None:
        super().__init__(model, **options)
        self._legend = Legend()

    def load(self, model: Path, **options: Any) -> Detector:
        """See PhotoRun."""
        return Detector(model, **options)

    def find(self, network: Detector, shown: Shown) -> Things:
        """See PhotoRun."""
        return network.detect(shown)

    def facts(self, found: Things) -> Entry:
        """See PhotoRun."""
        return {"size": [found.picture.height, found.picture.width], "predictions": [found.things]}

    def pictures(self, found: Things) -> dict[str, Image.Image]:
        """See PhotoRun."""
        return {"boxes": found.drawn(self._legend)}

    def one(self, photo: Path, output: Path | None = None, csv: Path | None = None) -> Entry:
        """See PhotoRun."""
        return self._told(_flat(super().one(photo, output, csv)))

    def several(
        self, inputs: Sequence[Path], output: Path | None = None, csv: Path | None = None, reporter: Reporter = SILENT
    ) -> Entry:
        """See PhotoRun."""
        result = super().several(inputs, output, csv, reporter)
        return self._told({**result, "images": [_flat(entry) for entry in result["images"]]})

    def _told(self, result: Entry) -> Entry:
        return result | ({"legend": self._legend.entries} if self._legend.entries else {})


def _flat(entry: Entry) -> Entry:
    """Return the entry of a photo with its things as predictions: a photo is one sample."""
    (things,) = entry["predictions"]
    return {**entry, "predictions": things}
