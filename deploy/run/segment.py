"""`larqnets run` with a network that gives every pixel a class: photos to masks in their own size."""

from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from deploy.run.photos import Entry, PhotoRun
from deploy.run.picture_model import Shown
from deploy.run.segmenter import Segmenter, Segments


class MaskRun(PhotoRun[Segments]):
    """Gives every pixel of photos a class, in a child process unless the model is a shipped file.

    An entry has the photo's `size` [H, W], `seen`, the [top, left, height, width] of it that the network looks at, and as
    predictions the share of every class (see `larqnets.Segmenter`); `mask` and `overlay` are drawn.
    """

    endings: ClassVar = {"mask": "", "overlay": "-overlay"}

    def load(self, model: Path, **options: Any) -> Segmenter:
        """See PhotoRun."""
        return Segmenter(model, **options)

    def find(self, network: Segmenter, shown: Shown) -> Segments:
        """See PhotoRun."""
        return network.segment(shown)

    def facts(self, found: Segments) -> Entry:
        """See PhotoRun."""
        return {"size": list(found.mask.shape), "seen": list(found.seen), "predictions": [found.shares]}

    def pictures(self, found: Segments) -> dict[str, Image.Image]:
        """See PhotoRun."""
        return {"mask": found.palette_picture(), "overlay": found.overlay()}
