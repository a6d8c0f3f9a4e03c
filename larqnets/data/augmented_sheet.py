"""Training images as a training varies them, `larqnets data check --augment`."""

from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from larqnets.config import DataConfig
from larqnets.data.box_picture import box_colors, boxes_on
from larqnets.data.boxes import unpadded
from larqnets.data.check import BOXED_TILE
from larqnets.data.contact_sheet import TILE, Tile, contact_sheet, sized
from larqnets.data.dataset import Dataset, load_dataset
from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, IMAGE, LABEL, MASK, BoxInfo, MaskInfo
from larqnets.data.known import FOLDER_PREFIX
from larqnets.data.overlay import overlay
from larqnets.data.presets import OTHER, OWN_SHARE
from larqnets.legend import Legend

IMAGES, VERSIONS = 8, 7  # on the sheet
BOXED_IMAGES, BOXED_VERSIONS = 4, 3  # the same of images with boxes, which are shown larger
SIZE = 112  # pixels of the images where neither the config nor the data set says it


def augmented_sheet(config: DataConfig, legend: Legend | None = None) -> bytes:
    """Return a PNG: a few training images, and beside each what a network is given in its place.

    Raises LarqnetsError as `load_dataset` does.
    """
    if config.size is None and config.dataset.startswith(FOLDER_PREFIX):
        config = replace(config, image_size=SIZE)
    dataset = load_dataset(config)
    boxed = isinstance(dataset.info, BoxInfo)
    height, width, _ = dataset.info.image_shape
    batches = dataset.variants(*((BOXED_IMAGES, BOXED_VERSIONS) if boxed else (IMAGES, VERSIONS)))
    first = batches[0]
    if LABEL in first:
        labels = [dataset.info.labels[number] for number in first[LABEL]]
    else:
        labels = [f"image {number + 1}" for number in range(len(first[IMAGE]))]
    rows = [
        (label, [_tile(dataset, batch, number, version) for version, batch in enumerate(batches)])
        for number, label in enumerate(labels)
    ]
    scale = "" if config.random_scale is None else f", random_scale = {list(config.random_scale)}"
    title = f'{config.dataset}: augment = "{config.augment}"{scale}, {height}x{width}'
    return contact_sheet(title, rows, legend=legend, size=BOXED_TILE if boxed else TILE)


def _tile(dataset: Dataset, batch: dict[str, Any], number: int, version: int) -> Tile:
    info = dataset.info
    pixels = (batch[IMAGE][number] * np.asarray(info.std) + np.asarray(info.mean)) * 255
    picture = Image.fromarray(np.clip(np.round(pixels), 0, 255).astype(np.uint8).squeeze())
    if isinstance(info, MaskInfo):
        picture = overlay(picture, batch[MASK][number][..., 0], info.colors)
    elif isinstance(info, BoxInfo):
        known = unpadded({name: batch[name][number] for name in (BOXES, BOX_LABELS, BOX_KIND)})
        picture = boxes_on(sized(picture, BOXED_TILE), known, box_colors(info.num_classes))
    caption = f"varied {version}" if version else "as it is"
    if OTHER in batch and (own := float(batch[OWN_SHARE][number])) < 1:
        other = info.labels[batch[OTHER][LABEL][number]] if LABEL in batch else "another image"
        caption = f"{own:.0%}, else {other}"
    return Tile(picture, (caption,), whole=isinstance(info, MaskInfo | BoxInfo))
