"""What is done to the pixels is done to mask and boxes: held against the bounding box of what they are of."""

import io

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from larqnets.config import DataConfig
from larqnets.data import load_dataset, preprocess_info, read_image
from larqnets.data.augment import draw
from larqnets.data.geometry import Geometry, cut_and_scale, move
from larqnets.data.image import central_box
from larqnets.data.info import OUTSIDE
from larqnets.data.pixels import central_part, make_upright, swap_upright

from .conftest import write_image


def bounds(mask: np.ndarray) -> list[int]:
    """Return top, left, bottom, right of the pixels that are 1."""
    rows, columns = np.nonzero(mask == 1)
    return [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]


def png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


@pytest.mark.parametrize("flip", [False, True])
def test_mask_and_boxes_move_with_the_image(flip):
    shape, count, padding = (20, 14), 40, 3
    rng = np.random.default_rng(0)
    masks = np.zeros((count, *shape, 1), np.uint8)
    boxes = np.zeros((count, 2, 4), np.float32)
    for i in range(count):
        top, left = rng.integers(3, 10), rng.integers(3, 6)
        bottom, right = rng.integers(top + 2, 17), rng.integers(left + 2, 11)  # nothing of it moves out
        masks[i, top:bottom, left:right] = 1
        boxes[i, 0] = [top / 20, left / 14, bottom / 20, right / 14]
    images = 100 * np.repeat(masks, 3, axis=-1)
    known = {"box_labels": np.tile(np.int32([5, -1]), (count, 1)), "box_kind": np.tile(np.int32([1, 0]), (count, 1))}
    batch = {"image": images, "mask": masks, "boxes": tf.constant(boxes), "label": np.arange(count), **known}
    geometry = draw(count, padding, flip, 7, tf.constant(0))
    moved = {name: np.asarray(values) for name, values in move(batch, geometry).items()}
    assert len({tuple(offset) for offset in geometry.offset.numpy()}) > 10
    assert bool(geometry.mirror.numpy().any()) == flip
    for i in range(count):
        mask = moved["mask"][i, :, :, 0]
        np.testing.assert_allclose(moved["boxes"][i, 0] * [20, 14, 20, 14], bounds(mask), atol=1e-4)
        assert (moved["image"][i, :, :, 0] == np.where(mask == OUTSIDE, 0, 100 * mask)).all()
        assert not moved["boxes"][i, 1].any()
        assert (moved["box_labels"][i].tolist(), moved["box_kind"][i].tolist()) == ([5, -1], [1, 0])
    assert (moved["mask"] == OUTSIDE).any()
    assert (moved["label"] == np.arange(count)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_mask_and_boxes_are_cut_scaled_and_turned_with_the_picture(orientation):
    mask = np.zeros((60, 90), np.uint8)
    mask[24:42, 18:45] = 1
    shown = Image.fromarray(mask)
    shown.getexif()[0x0112] = orientation
    shown = np.asarray(ImageOps.exif_transpose(shown))
    height, width = shown.shape
    boxes = np.array([bounds(shown), [0, 0, 0, 0]], np.float32) / [height, width, height, width]
    stored = {
        "image": tf.constant(png(np.repeat(100 * mask[..., np.newaxis], 3, axis=-1))),
        "mask": tf.constant(png(mask)),
        "boxes": tf.constant(boxes, tf.float32),
        "box_labels": tf.constant([5, -1]),
        "box_kind": tf.constant([1, 0]),
        "label": tf.constant(3),
        "orientation": tf.constant(orientation),
    }
    box = tf.constant([12, 9, 42, 54])
    example = cut_and_scale(stored, lambda *_: box, (84, 81), 3)
    assert sorted(example) == ["box_kind", "box_labels", "boxes", "image", "label", "mask"]
    assert int(example["label"]) == 3
    assert example["image"].shape == (84, 81, 3)
    found = example["mask"].numpy()[:, :, 0]
    np.testing.assert_allclose(example["boxes"][0] * [84, 81, 84, 81], bounds(found), atol=1)
    assert not np.any(example["boxes"][1])
    blurred = example["image"].numpy()[:, :, 0]
    assert np.mean((blurred > 50) == (found == 1)) > 0.98


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_of_the_stored_picture_is_that_of_the_upright_one(orientation):
    picture = np.arange(5 * 8).reshape(5, 8, 1)
    top, left, height, width = 1, 2, 3, 4
    box, size = swap_upright(tf.constant([top, left, height, width]), tf.constant([5, 8]), tf.constant(orientation))
    upright = make_upright(tf.constant(picture), tf.constant(orientation)).numpy()
    cut = make_upright(tf.constant(picture[top : top + height, left : left + width]), tf.constant(orientation)).numpy()
    top, left, height, width = box.numpy()
    assert upright.shape[:2] == tuple(size.numpy())
    assert (upright[top : top + height, left : left + width] == cut).all()


@settings(deadline=None)
@given(*[st.integers(1, 3000)] * 2, *[st.integers(4, 600)] * 2, st.sampled_from([1.0, 224 / 256]))
def test_training_and_device_look_at_the_same_part(height, width, rows, columns, fraction):
    ours = central_part(fraction, rows, columns)(tf.constant(height), tf.constant(width))
    assert tuple(ours.numpy()) == central_box(height, width, rows, columns, fraction)


@pytest.mark.parametrize("orientation", [1, 6, 8])
def test_images_wider_than_high_are_those_of_the_device(image_folder, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.add.outer(4 * np.arange(40), 2 * np.arange(50))[..., np.newaxis] % 256 * np.ones(3)
    path = write_image(image_folder / "test" / "cat" / "9.jpg", pixels, exif=exif, quality=100)
    config = DataConfig(dataset=f"folder:{image_folder}").of_size((12, 20))
    assert config.size == (12, 20)
    dataset = load_dataset(config)
    assert dataset.info.image_shape == (12, 20, 3)
    ours = dataset.samples(100, "test")["image"][3]
    device = read_image(path, preprocess_info(dataset.info, config))[0]
    assert np.abs(ours - device).max() < 2.5 / 127.5  # of 255 levels
    assert next(iter(dataset.train_batches(4, 0)))["image"].shape == (4, 12, 20, 3)


def test_without_a_geometry_nothing_moves():
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 7, 3)).astype(np.uint8)
    still = Geometry(0, tf.zeros((3, 2), tf.int32), tf.zeros((3,), tf.bool))
    assert (move({"image": images}, still)["image"].numpy() == images).all()
