"""Images with masks: every layout and every way to store numbers of classes gives the masks that the images show."""

import numpy as np
import pytest
import tensorflow as tf
from masked import NAMES, STEP, blocks, image_of, prepare, save, write_folder, write_pair
from PIL import Image

from larqnets.config import DataConfig
from larqnets.data import load_dataset
from larqnets.data.class_pixels import ClassPixels
from larqnets.data.info import IMAGE, MASK, OUTSIDE
from larqnets.data.mask_classes import CITYSCAPES, VOC
from larqnets.data.palette import palette

PLAIN = {"mean": (0.0,) * 3, "std": (1.0,) * 3, "image_size": 16, "image_width": 24}


def load(root, **options):
    return load_dataset(DataConfig(f"folder:{root}", **{**PLAIN, **options}))


def everything(dataset, split):
    """All images as uint8 and masks of a split, in stored order."""
    parts = list(dataset.eval_batches(split, 2).as_numpy_iterator())
    images = np.concatenate([part[IMAGE] for part in parts])
    return np.rint(255 * images).astype(np.uint8), np.concatenate([part[MASK] for part in parts])[..., 0]


def shown(images):
    """The classes that images show."""
    red = images[..., 0]
    return np.where(red == 255, OUTSIDE, red // STEP)


def assert_shown(dataset, split="train", count=None):
    images, masks = everything(dataset, split)
    assert count is None or len(images) == count
    np.testing.assert_array_equal(masks, shown(images))
    return masks


@pytest.mark.parametrize("streamed", [False, True])
def test_splits_of_images_and_masks(tmp_path, monkeypatch, streamed):
    if streamed:
        monkeypatch.setattr("larqnets.data.dataset.MEMORY_LIMIT", 0)
    dataset = load(write_folder(tmp_path, (("train", 5), ("val", 2), ("test", 3))), own_validation=True)
    assert (dataset.info.labels, dataset.info.annotation, dataset.info.colors) == (NAMES, MASK, palette(3))
    for split, count in (("train", 5), ("validation", 2), ("test", 3)):
        masks = assert_shown(dataset, split, count)
        assert (masks[:, -1] == OUTSIDE).all()
    lines = " ".join(dataset.survey.lines())
    assert "5 train, 2 validation, 3 test images of 3 labels, 5 of each in train" in lines
    assert "6.2 % of the pixels in train have no class" in lines
    assert len(dataset._streams["train"].files()) == 10  # masks are part of what a run recognises


def test_one_folder_is_split_by_seed_and_equal_images_stay_together(tmp_path):
    root = write_folder(tmp_path, (("", 10),))
    twin = (root / "images/all3.png").read_bytes()
    (root / "images/copy.png").write_bytes(twin)
    (root / "masks/copy.png").write_bytes((root / "masks/all3.png").read_bytes())
    dataset = load(root, test=0.3, validation=0.2)
    sizes = {split: dataset.info.num_images(split) for split in ("train", "validation", "test")}
    assert sum(sizes.values()) == 11
    assert min(sizes.values()) >= 1
    for split in sizes:
        assert_shown(dataset, split)
        names = "".join(dataset.names(split, range(sizes[split])))
        assert ("all3" in names) == ("copy" in names)
    assert dataset.survey.division == {
        "seed": 0,
        "stratified": False,
        "shares": {"test": 0.3, "validation": 0.2},
        "images": sizes,
    }
    assert load(root, test=0.3, validation=0.2).names("test", [0]) == dataset.names("test", [0])


def test_what_lies_beside_is_told(tmp_path):
    root = write_folder(tmp_path, (("train", 3), ("val", 2), ("test", 2)))
    (root / "train/overlays").mkdir()
    (root / "train/images/notes.txt").write_text("")
    (root / "readme.md").write_text("")
    said = " ".join(load(root).survey.lines())
    for words in (
        "1 folder val/: data.own_validation = true takes it",
        "1 folder overlays/: it is neither images/ nor masks/, nor a split",
        "1 .md beside images/ and masks/: not read",
        "1 .txt: no image format that is read here",
    ):
        assert words in said


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("palette", "png"), ("palette", "gif"), ("grey", "png"), ("grey", "bmp"), ("grey", "tiff"), ("one bit", "png")],
)
def test_the_numbers_are_read_and_not_the_colours(tmp_path, kind, suffix):
    root = write_folder(tmp_path, ignore=False, names=NAMES[:2])
    for file in (root / "train/masks").iterdir():
        mask = np.asarray(Image.open(file))
        file.unlink()
        colors = [200, 30, 30, 10, 250, 90] if kind == "palette" else None
        save(file.with_suffix(f".{suffix}"), mask > 0 if kind == "one bit" else mask, colors)
    assert set(np.unique(assert_shown(load(root)))) == {0, 1}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("made", ["as the image is stored", "upright", "with the same EXIF"])
def test_exif_turns_image_and_mask_alike(tmp_path, orientation, made):
    """A mask that was made upright has other sides than the stored image; where both are the same it turns with the image."""
    root = write_folder(tmp_path, size=(16, 24))
    stored = blocks(np.random.default_rng(7), (16, 24))
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(root / "train/images/turned.png", image_of(stored), exif=exif)
    picture = Image.fromarray(stored)
    if made == "upright" and orientation >= 5:
        turned = Image.open(root / "train/images/turned.png")
        assert turned.getexif()[0x0112] == orientation
        from PIL import ImageOps

        upright = np.asarray(ImageOps.exif_transpose(turned))[..., 0] // STEP
        picture = Image.fromarray(upright.astype(np.uint8))
    options = {"exif": exif} if made == "with the same EXIF" else {}
    picture.save(root / "train/masks/turned.png", **options)
    size = {"image_size": 24, "image_width": 16} if orientation >= 5 else {}
    dataset = load(root, **size)
    images, masks = everything(dataset, "train")
    place = dataset.names("train", range(7)).index(str(root / "train/images/turned.png"))
    np.testing.assert_array_equal(masks[place], shown(images)[place])
    assert len(np.unique(masks[place])) == 3


@pytest.mark.parametrize("named", [False, True])
def test_the_layout_of_cityscapes(tmp_path, named):
    rng, values = np.random.default_rng(1), (7, 11, 26)
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for number in range(count):
            mask = blocks(rng, (16, 24))
            name = f"bern/bern_{number:06}_000019"
            save(tmp_path / "leftImg8bit" / split / f"{name}_leftImg8bit.png", image_of(mask))
            stored = mask if named else np.array(values, np.uint8)[mask]
            if not named:
                stored = np.where(mask == 0, rng.choice([7, 4], mask.shape), stored).astype(
                    np.uint8
                )  # 4 is of no class
            save(tmp_path / "gtFine" / split / f"{name}_gtFine_labelIds.png", stored)
            save(tmp_path / "gtFine" / split / f"{name}_gtFine_color.png", image_of(mask))
    if named:
        (tmp_path / "classes.txt").write_text("\n".join(NAMES))
    dataset = load(tmp_path)
    assert (dataset.info.num_train, dataset.info.num_test) == (3, 2)
    images, masks = everything(dataset, "train")
    if named:
        np.testing.assert_array_equal(masks, shown(images))
        return
    assert (dataset.info.labels, dataset.info.colors) == (CITYSCAPES.labels, CITYSCAPES.colors)
    expected = np.array([0, 2, 13])[shown(images)]
    assert set(np.unique(masks)) == {0, 2, 13, OUTSIDE}
    np.testing.assert_array_equal(np.where(masks == OUTSIDE, 0, masks), expected)


@pytest.mark.parametrize("with_test", [False, True])
def test_the_layout_of_voc(tmp_path, with_test):
    rng = np.random.default_rng(2)
    lists = {"train": ["2007_1", "2007_2"], "val": ["2008_3"], **({"test": ["2009_4"]} if with_test else {})}
    for name in [name for names in lists.values() for name in names]:
        mask = blocks(rng, (16, 24), 21, 2)
        mask[0] = 255
        picture = np.stack([mask, mask, mask], -1)
        save(tmp_path / "JPEGImages" / f"{name}.jpg", picture, quality=100, subsampling=0)
        save(tmp_path / "SegmentationClass" / f"{name}.png", mask, np.array(palette(256), np.uint8).ravel().tolist())
    save(tmp_path / "JPEGImages" / "2010_without_mask.jpg", picture)
    for split, names in lists.items():
        file = tmp_path / "ImageSets/Segmentation" / f"{split}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(names) + "\n")
    dataset = load(tmp_path, own_validation=with_test)
    assert (dataset.info.labels, dataset.info.num_train, dataset.info.num_test) == (VOC.labels, 2, 1)
    images, masks = everything(dataset, "train")
    np.testing.assert_allclose(masks.astype(int), images[..., 0], atol=6)  # JPEG
    assert (masks[:, 0] == OUTSIDE).all()
    assert dataset.names("test", [0])[0].endswith("2009_4.jpg" if with_test else "2008_3.jpg")


def test_the_colours_are_those_of_the_voc_challenge():
    assert palette(4) == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    assert palette(21)[20] == (0, 64, 128)
    assert len(set(palette(256))) == 256


def test_pixels_of_another_value_have_no_class_either(tmp_path):
    root = write_folder(tmp_path)
    for file in root.glob("t*/masks/*.png"):
        mask = np.asarray(Image.open(file)).copy()
        mask[0] = 11
        save(file, mask)
    masks = everything(load(root, ignore_label=11), "train")[1]
    assert (masks[:, [0, -1]] == OUTSIDE).all()
    assert (masks[:, 1:-1] < 3).all()


def test_median_frequency_of_a_set_that_can_be_counted_by_hand():
    counts = np.array([[6, 2, 0, 0], [1, 0, 0, 3]])
    found = ClassPixels(counts, np.array([10, 4]))
    assert found.images == (2, 1, 0, 1)
    assert found.without_class == pytest.approx(2 / 14)
    # frequencies 7 / 14, 2 / 10, 3 / 4, their median 0.5; a class that never occurs has weight 0
    assert found.median_frequency() == pytest.approx((1, 2.5, 0, 2 / 3))
    assert ClassPixels(np.zeros((1, 2), int), np.array([4])).median_frequency() == (0, 0)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    for name in ("camvid", "oxford_iiit_pet"):
        prepare(name, folder)
    return str(folder)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(("name", "labels"), [("camvid", NAMES), ("oxford_iiit_pet", ("pet", "background", "border"))])
def test_masks_that_tfds_has_prepared(prepared, monkeypatch, name, labels, streamed):
    if streamed:
        monkeypatch.setattr("larqnets.data.dataset.MEMORY_LIMIT", 0)
    config = DataConfig(name, data_dir=prepared, **PLAIN)
    dataset = load_dataset(config)
    assert dataset.info.labels == labels
    assert_shown(dataset, "train", 7)
    assert_shown(dataset, "test", 4)
    assert len(dataset.survey.counted().images["train"]) == 3


def test_validation_images_that_tfds_has_prepared(prepared):
    dataset = load_dataset(DataConfig("camvid", data_dir=prepared, own_validation=True, **PLAIN))
    assert_shown(dataset, "validation", 3)
    part = load_dataset(DataConfig("camvid", data_dir=prepared, validation=0.3, **PLAIN))
    assert (part.info.num_train, part.info.num_validation) == (5, 2)
    assert_shown(part, "validation", 2)


MEAN = (0.25, 0.5, 0.75)
SCALED = {"image_size": 12, "image_width": 20, "random_scale": (0.5, 2.0), "flip": True, "mean": MEAN}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Images of 48x80, of coarse blocks, so that few pixels lie between two of them."""
    root, rng = tmp_path_factory.mktemp("large"), np.random.default_rng(3)
    for split, count in (("train", 6), ("test", 2)):
        for number in range(count):
            write_pair(root / split, str(number), blocks(rng, (48, 80), block=16))
    (root / "classes.txt").write_text("\n".join(NAMES))
    return root


def steps(batches, count):
    return [tf.nest.map_structure(lambda v: v.numpy(), batch) for batch, _ in zip(batches, range(count), strict=False)]


def test_image_and_mask_are_scaled_cut_and_mirrored_as_one(large):
    dataset = load(large, **SCALED)
    fill = np.rint(255 * np.array(MEAN))
    scales = []
    for batch in steps(dataset.train_batches(3, seed=5), 12):
        images, masks = np.rint(255 * (batch[IMAGE] + MEAN)).astype(int), batch[MASK][..., 0]
        filled = masks == OUTSIDE
        assert (images[filled] == fill).all()  # the mean, and it is not counted
        # off by a little at edges, where the image is smooth and the mask is not
        right = np.abs(images[..., 0] - STEP * np.minimum(masks, 12)) < STEP / 2
        assert (right | filled).mean() > 0.8
        assert set(np.unique(masks)) <= {0, 1, 2, OUTSIDE}
        scales += filled.mean(axis=(1, 2)).tolist()
    assert 0.2 < np.mean(np.array(scales) == 0) < 0.9  # of the larger ones nothing is missing
    assert max(scales) > 0.5  # 1 - 0.5²


def test_a_resumed_training_goes_on_with_the_same_parts_and_workers_share_them(large):
    from larqnets.data.augment import Share

    whole = steps(load(large, **SCALED).train_batches(4, seed=1), 4)
    again = steps(load(large, **SCALED).train_batches(4, seed=1, start_step=2), 2)
    for batch, expected in zip(again, whole[2:], strict=True):
        for name in (IMAGE, MASK):
            np.testing.assert_array_equal(batch[name], expected[name])
    shares = [steps(load(large, **SCALED).train_batches(4, seed=1, share=Share(i, 2)), 4) for i in range(2)]
    for mine, its, expected in zip(*shares, whole, strict=True):
        np.testing.assert_array_equal(np.concatenate([mine[MASK], its[MASK]]), expected[MASK])
    assert not np.array_equal(whole[0][MASK], steps(load(large, **SCALED).train_batches(4, seed=2), 1)[0][MASK])


def test_evaluation_is_at_the_size_that_is_asked_for_and_not_varied(large):
    dataset = load(large, **SCALED)
    masks = everything(dataset, "test")[1]
    assert masks.shape == (2, 12, 20)
    stored = np.stack([np.asarray(Image.open(large / f"test/masks/{i}.png")) for i in range(2)])
    np.testing.assert_array_equal(masks, stored[:, 2::4, 2::4])


@pytest.mark.parametrize("preset", ["light"])
def test_presets_and_crops_move_masks_too(large, preset):
    for options in ({"augment": preset}, {"crop_padding": 3, "flip": True}, {"random_resized_crop": True}):
        dataset = load(large, image_size=12, image_width=20, **options)
        for batch in steps(dataset.train_batches(3, seed=5), 4):
            red, masks = np.rint(255 * batch[IMAGE][..., 0]), batch[MASK][..., 0]
            if "augment" in options:  # colours change
                continue
            right = np.abs(red - STEP * np.minimum(masks, 12)) < STEP / 2
            assert (right | (masks == OUTSIDE)).mean() > 0.8
