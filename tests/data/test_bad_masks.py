"""Folders of masks that cannot be trained on: one sentence that names the file."""

import re
import shutil

import numpy as np
import pytest
from masked import NAMES, blocks, image_of, save, write_folder
from PIL import Image

from larqnets.config import DataConfig
from larqnets.data import load_dataset
from larqnets.errors import LarqnetsError


def load(root, **options):
    return load_dataset(DataConfig(f"folder:{root}", **{"image_size": 16, "image_width": 24, **options}))


def use(root, **options):
    """As far as a training gets before its first step."""
    dataset = load(root, **options)
    for split in ("train", "test"):
        next(iter(dataset.eval_batches(split, 2)))
    return dataset


def _mask_of(root, name="train0"):
    return root / f"train/masks/{name}.png"


def _remove_mask(root):
    _mask_of(root).unlink()


def _remove_image(root):
    (root / "train/images/train0.png").unlink()


def _other_size(root):
    save(_mask_of(root), blocks(np.random.default_rng(0), (16, 20)))


def _in_colours(root):
    save(_mask_of(root), image_of(blocks(np.random.default_rng(0), (16, 24))))


def _with_alpha(root):
    mask = blocks(np.random.default_rng(0), (16, 24))
    save(_mask_of(root), np.stack([mask, mask], -1))


def _of_16_bits(root):
    save(_mask_of(root), blocks(np.random.default_rng(0), (16, 24)).astype(np.uint16))


def _as_jpeg(root):
    mask = np.asarray(Image.open(_mask_of(root)))
    _mask_of(root).unlink()
    save(_mask_of(root).with_suffix(".jpg"), mask)


def _beyond_classes(root):
    mask = blocks(np.random.default_rng(0), (16, 24))
    mask[3, 4] = 7
    save(_mask_of(root), mask)


def _all_without_class(root):
    for file in (root / "test/masks").iterdir():
        save(file, np.full((16, 24), 255, np.uint8))


def _truncated(root):
    _mask_of(root).write_bytes(_mask_of(root).read_bytes()[:60])


def _same_stem(root):
    shutil.copy(root / "train/images/train0.png", root / "train/images/train0.bmp")


def _no_classes(root):
    (root / "classes.txt").unlink()


def _one_class(root):
    (root / "classes.txt").write_text("ground\n")


def _twice(root):
    (root / "classes.txt").write_text("ground\nhouse\nground\n")


def _no_test(root):
    shutil.rmtree(root / "test")


def _no_train(root):
    shutil.rmtree(root / "train")


def _empty(root):
    for name in ("images", "masks"):
        shutil.rmtree(root / "test" / name)
        (root / "test" / name).mkdir()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_remove_mask, r"The image \S+/train/images/train0.png has no mask \S+/train/masks/train0.png. Add it"),
        (_remove_image, r"The mask \S+/train/masks/train0.png has no image. Add"),
        (_other_size, r"The mask \S+train0.png has 16x20 pixels and its image \S+train0.png has 16x24. Save"),
        (
            _in_colours,
            r"The mask \S+train0.png is a picture in colours \(RGB\). Save masks as PNG of 8 bits, grey or with a",
        ),
        (_with_alpha, r"The mask \S+train0.png is a picture in colours \(LA\)"),
        (_of_16_bits, r"The mask \S+train0.png has pixels of 16 bits or more. Save"),
        (_as_jpeg, r"The mask \S+train0.jpg is a JPEG, which does not keep numbers as they are. Save"),
        (
            _beyond_classes,
            r"The mask \S+train0.png has pixels of the value 7, and there are 3 classes, numbered from 0. Name",
        ),
        (_all_without_class, r"No pixel of the test masks of folder:\S+ has a class: all"),
        (_truncated, r"\S+train0.png cannot be read, it may be truncated or damaged"),
        (_same_stem, r"\S+train0.bmp and train0.png have the same name. Keep one"),
        (_no_classes, r"There is no \S+/classes.txt, which names the classes. Write a name in every line"),
        (_one_class, r"\S+/classes.txt holds 1 labels"),
        (_twice, r"\S+/classes.txt names the class 'ground' twice"),
        (_no_test, r"\S+ has no test/ \(or validation/, val/, valid/\) images with masks. Expected are"),
        (_no_train, r"\S+ has no train images with masks. Expected are"),
        (_empty, r"\S+/test has no images with masks. Put"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, spoil, sentence):
    root = write_folder(tmp_path)
    spoil(root)
    with pytest.raises(LarqnetsError, match=sentence) as error:
        use(root)
    assert re.fullmatch(r"[^\n]+\.", str(error.value))


def test_of_several_the_first_is_named_and_the_others_are_counted(tmp_path):
    root = write_folder(tmp_path)
    for name in ("train1", "train4"):
        _mask_of(root, name).unlink()
    with pytest.raises(
        LarqnetsError, match=r"train1.png has no mask .* So it is with 1 more files; `larqnets data check"
    ):
        load(root)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"random_scale": (2.0, 0.5)}, r"data.random_scale goes from 2 to 0.5. Give the smaller"),
        (
            {"random_scale": (0.5, 2.0), "crop_padding": 2},
            r"data.crop_padding and data.random_scale exclude each other",
        ),
        ({"random_scale": (0.5, 2.0), "augment": "light"}, r"it excludes data.random_scale"),
        ({"image_size": None, "image_width": None}, r"differ in size. Set data.image_size"),
        ({"own_validation": True}, r"has no folder validation/"),
    ],
)
def test_settings_that_do_not_fit(tmp_path, options, sentence):
    with pytest.raises(LarqnetsError, match=sentence):
        load(write_folder(tmp_path), **options)


@pytest.mark.parametrize("scale", [(0.5, 2.0), (0.1, 0.1), (8.0, 10.0)])
@pytest.mark.parametrize("size", [(4, 4), (3, 200), (16, 24)])
def test_a_part_larger_than_the_scaled_image_is_filled(tmp_path, scale, size):
    root = write_folder(tmp_path, size=size, ignore=False, names=NAMES[:2])
    dataset = load(root, random_scale=scale, flip=True)
    batch = next(iter(dataset.train_batches(4, seed=0)))
    assert batch["image"].shape == (4, 16, 24, 3)
    assert batch["mask"].shape == (4, 16, 24, 1)
    assert bool((batch["mask"].numpy() == 255).any()) == (scale[0] < 1)


def test_a_class_that_never_occurs_is_told_and_has_no_weight(tmp_path):
    root = write_folder(tmp_path, names=NAMES)
    (root / "classes.txt").write_text("\n".join([*NAMES, "unicorn"]))
    dataset = use(root)
    assert "'unicorn' occurs in no training image" in " ".join(dataset.survey.lines())
    *others, unicorn = dataset.info.median_frequency()
    assert unicorn == 0
    assert min(others) > 0


@pytest.mark.parametrize(("missing", "sentence"), [("train", "has no train.txt"), ("val", "has no val.txt")])
def test_lists_of_voc_that_are_missing(tmp_path, missing, sentence):
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    for name in {"train", "val"} - {missing}:
        (tmp_path / f"ImageSets/Segmentation/{name}.txt").write_text("a\n")
    with pytest.raises(LarqnetsError, match=sentence):
        load(tmp_path)


def test_a_name_in_a_list_without_its_file(tmp_path):
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("train", "val"):
        (tmp_path / f"ImageSets/Segmentation/{name}.txt").write_text("a\n")
    with pytest.raises(LarqnetsError, match=r"train.txt lists a, but there is no \S+/JPEGImages/a.jpg. Add"):
        load(tmp_path)
