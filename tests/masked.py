"""Folders of images with masks, in which the mask can be read off the image: its red is 20 times the class."""

from pathlib import Path

import numpy as np
from PIL import Image

STEP = 20
NAMES = ("ground", "house", "tree")


def blocks(rng, size, classes=3, block=4):
    """A mask of square blocks, uint8 (H, W), with every class in it."""
    rows, columns = -(-size[0] // block), -(-size[1] // block)
    small = rng.permutation(np.arange(rows * columns) % classes).reshape(rows, columns)
    return small.repeat(block, 0).repeat(block, 1)[: size[0], : size[1]].astype(np.uint8)


def image_of(mask):
    """The image that shows a mask, uint8 (H, W, 3); OUTSIDE is white."""
    red = np.where(mask == 255, 255, STEP * np.minimum(mask, 12)).astype(np.uint8)
    return np.stack([red, np.full_like(red, 60), 255 - red], axis=-1)


def save(path: Path, pixels, palette=None, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(pixels)
    if palette is not None:
        picture.putpalette(palette)
    picture.save(path, **options)
    return path


def write_pair(folder: Path, name: str, mask, image=None) -> None:
    save(folder / "images" / f"{name}.png", image_of(mask) if image is None else image)
    save(folder / "masks" / f"{name}.png", mask)


def write_folder(root: Path, splits=(("train", 6), ("test", 3)), size=(16, 24), names=NAMES, ignore=True) -> Path:
    """Write images/ and masks/ of every split, that of "" in `root` itself; the last row has no class."""
    rng = np.random.default_rng(0)
    for split, count in splits:
        for number in range(count):
            mask = blocks(rng, size, len(names))
            if ignore:
                mask[-1] = 255
            write_pair(root / split, f"{split or 'all'}{number}", mask)
    (root / "classes.txt").write_text("\n".join(names) + "\n")
    return root


SPLITS = {"train": 7, "validation": 3, "test": 4}


def prepare(name: str, folder: Path) -> None:
    """Have TFDS write a small set called `name` with the features that the real one has."""
    import tensorflow_datasets as tfds

    image, any_size = tfds.features.Image(shape=(None, None, 3), encoding_format="png"), (None, None, 1)
    known = {
        "camvid": {
            "segmentation_mask": tfds.features.LabeledImage(labels=list(NAMES), shape=any_size, encoding_format="png")
        },
        "oxford_iiit_pet": {
            "segmentation_mask": tfds.features.Image(shape=any_size, encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=37),
            "species": tfds.features.ClassLabel(names=["Cat", "Dog"]),
        },
    }[name]
    first = 1 if name == "oxford_iiit_pet" else 0

    def examples(count, seed):
        rng = np.random.default_rng(seed)
        for number in range(count):
            mask = blocks(rng, (16, 24))
            others = {key: 1 for key in known if key != "segmentation_mask"}
            yield number, {"image": image_of(mask), "segmentation_mask": mask[..., np.newaxis] + first, **others}

    features = tfds.features.FeaturesDict({"image": image, **known})
    splits = {split: examples(count, seed) for seed, (split, count) in enumerate(SPLITS.items())}
    builder = type(
        "Builder",
        (tfds.core.GeneratorBasedBuilder,),
        {
            "name": name,
            "VERSION": tfds.core.Version("1.0.0"),
            "_info": lambda self: tfds.core.DatasetInfo(builder=self, features=features),
            "_split_generators": lambda self, dl_manager: splits,
            "_generate_examples": lambda self: None,
        },
        skip_registration=True,
    )(data_dir=folder)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False, num_shards=2))
