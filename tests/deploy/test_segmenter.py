"""`larqnets.Segmenter`: every pixel of a picture has the class that the network gives it, where it lies in the picture."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from colours import LABELS, PREPROCESS, PURE, colour_file, picture, pixel_file
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from deploy.export import edit
from larqnets import LarqnetsError, Segmenter
from larqnets.data.image import central_box
from larqnets.data.overlay import overlay, with_palette
from larqnets.tasks import pixel_study

COLORS = tuple(PURE[name] for name in LABELS)
_LOADED: dict[tuple, Segmenter] = {}


def segmenter(*form, **metadata) -> Segmenter:
    key = (*form, json.dumps(metadata))
    return _LOADED.setdefault(key, Segmenter(pixel_file(*form, **metadata)))


def noise(seed: int, *shape: int) -> np.ndarray:
    """Pixels in blocks, so that a class is more than a pixel."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 5, *shape[2:]), np.uint8)
    return np.asarray(Image.fromarray(small).resize((shape[1], shape[0]), Image.Resampling.BICUBIC))


def expected(shown: Image.Image, height: int, width: int, smooth: bool = True) -> np.ndarray:
    """What Pillow, TensorFlow and argmax make of an upright picture, 255 around the part that the network sees."""
    top, left, rows, columns = central_box(shown.height, shown.width, height, width, 1.0)
    part = shown.convert("RGB").crop((left, top, left + columns, top + rows))
    seen = np.asarray(part.resize((width, height), Image.Resampling.BILINEAR), np.float32)
    if smooth:
        classes = tf.image.resize(seen, (rows, columns)).numpy().argmax(-1)
    else:
        nearest = [
            [int((i + Fraction(1, 2)) * have / n) for i in range(n)] for n, have in ((rows, height), (columns, width))
        ]
        classes = seen.argmax(-1)[np.ix_(*nearest)]
    mask = np.full((shown.height, shown.width), 255)
    mask[top : top + rows, left : left + columns] = classes
    return mask


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.integers(1, 90), st.integers(1, 90), st.sampled_from([(6, 8), (20, 20), (33, 9)]))
def test_every_pixel_has_its_class_where_it_lies(seed, height, width, network):
    shown = Image.fromarray(noise(seed, height, width, 3))
    found = segmenter(*network)(shown)
    due = expected(shown, *network)
    of_mask = segmenter(*network, "mask")(shown)  # a file that gives the mask itself
    np.testing.assert_array_equal(of_mask.mask, expected(shown, *network, smooth=False))
    assert (found.mask.dtype, found.mask.shape) == (np.uint8, (height, width))
    assert ((found.mask == 255) == (due == 255)).all()
    assert np.mean(found.mask != due) < 0.02  # of two channels that are all but equal
    counted = {each["class"]: each["share"] for each in found.shares}
    assert counted == {i: np.sum(found.mask == i) / np.sum(found.mask != 255) for i in np.unique(found.mask) if i < 255}
    assert sorted(counted.values(), reverse=True) == list(counted.values())


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_turned_upright_however_they_come(tmp_path, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(noise(1, 40, 64, 3)).save(tmp_path / "x.png", exif=exif)
    with Image.open(tmp_path / "x.png") as stored:
        upright = ImageOps.exif_transpose(stored)
        forms = [tmp_path / "x.png", str(tmp_path / "x.png"), stored, upright, np.asarray(upright)]
        masks = [segmenter(12, 16)(form).mask for form in forms]
    assert masks[0].shape == ((64, 40) if turn >= 5 else (40, 64))
    for mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0])
    assert np.mean(masks[0] != expected(upright, 12, 16)) < 0.02


def test_what_it_gives(tmp_path):
    found = segmenter()(noise(2, 30, 30, 3))
    assert (found.labels, found.colors, found.seen) == (tuple(LABELS), COLORS, (3, 0, 23, 30))
    drawn = found.palette_picture()
    drawn.save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as stored:
        assert (stored.mode, stored.size) == ("P", (30, 30))
        np.testing.assert_array_equal(np.asarray(stored), found.mask)
        shown = np.asarray(stored.convert("RGB"))
    for number, color in enumerate(COLORS):
        assert (shown[found.mask == number] == color).all()
    over = np.asarray(found.overlay())
    unseen = found.mask == 255
    np.testing.assert_array_equal(over[unseen], noise(2, 30, 30, 3)[unseen])
    middle = (noise(2, 30, 30, 3).astype(int) + shown) // 2
    assert np.abs(over[~unseen].astype(int) - middle[~unseen]).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "I;16", "CMYK"])
def test_an_overlay_shows_pictures_of_every_kind(mode):
    pixels = np.full((9, 12), 40000, np.uint16) if mode == "I;16" else None
    given_picture = Image.fromarray(pixels) if pixels is not None else picture("green", (12, 9)).convert(mode)
    found = segmenter()(given_picture)
    assert found.overlay().size == (12, 9)
    if mode == "I;16":  # 40000 / 256, half of it red: all channels are equal, and the lowest class wins
        assert np.asarray(found.overlay())[0, 0].tolist() == [(156 + part) // 2 for part in COLORS[0]]


def test_a_mask_of_few_and_of_all_classes_keeps_its_numbers(tmp_path):
    for classes in (1, 2, 16, 255):
        mask = np.arange(300).reshape(15, 20) % classes
        with_palette(mask.astype(np.uint8), ((1, 2, 3),) * classes).save(tmp_path / "x.png")
        with Image.open(tmp_path / "x.png") as stored:
            np.testing.assert_array_equal(np.asarray(stored), mask)
            assert (np.asarray(stored.convert("RGB")) == (1, 2, 3)).all()


def test_an_overlay_is_the_mean_of_picture_and_colour():
    pixels = noise(5, 20, 30, 3)
    mask = np.where(np.arange(30) < 9, 255, np.arange(30) % 2).repeat(20).reshape(30, 20).T.astype(np.uint8)
    mixed = (pixels.astype(float) + np.array([COLORS[0], COLORS[1]])[np.minimum(mask, 1)]) / 2
    due = np.where((mask == 255)[..., None], pixels, mixed.astype(np.uint8))
    np.testing.assert_array_equal(np.asarray(overlay(Image.fromarray(pixels), mask, COLORS)), due)
    black = np.where((mask == 0)[..., None], pixels, due)
    np.testing.assert_array_equal(np.asarray(overlay(Image.fromarray(pixels), mask, ((0, 0, 0), COLORS[1]))), black)


@pytest.mark.parametrize("band", [1, 100, 5000])
def test_bands_of_rows_are_the_whole(monkeypatch, band):
    logits = np.random.default_rng(0).normal(size=(7, 9, 4)).astype(np.float32)
    whole = pixel_study.enlarged(logits, (50, 33)).argmax(-1)
    monkeypatch.setattr(pixel_study, "_BAND_VALUES", band)
    np.testing.assert_array_equal(pixel_study.given(logits, (50, 33)), whole)


def test_logits_that_are_integers_are_enlarged_as_real_numbers():
    logits = np.random.default_rng(0).integers(-128, 128, (4, 5, 3)).astype(np.int8)
    due = pixel_study.given(logits.astype(np.float32), (13, 17))
    np.testing.assert_array_equal(pixel_study.given(logits, (13, 17)), due)


def test_an_image_of_its_own_size_has_the_mask_of_the_file():
    pixels = noise(3, 6, 8, 3)
    np.testing.assert_array_equal(segmenter()(pixels).mask, pixels.argmax(-1))
    np.testing.assert_array_equal(segmenter(6, 8, "mask")(pixels).mask, pixels.argmax(-1))


def test_names_and_colours_that_nobody_gave():
    plain = segmenter(6, 8, "logits", colors=None, preprocess=PREPROCESS | {"labels": []})
    assert plain.labels == ("0", "1", "2")
    assert plain.colors == ((0, 0, 0), (128, 0, 0), (0, 128, 0))
    assert len(segmenter(6, 8, "mask", colors=None, preprocess=PREPROCESS | {"labels": []}).labels) == 255


NONSENSE = [
    "red",
    [],
    [[1, 2, 3]],
    [[0, 0, 0]] * 4,
    [[0, 0, 256]] * 3,
    [[0.0, 0, 0]] * 3,
    [[0, 0]] * 3,
    [[True, 0, 0]] * 3,
]


@pytest.mark.parametrize("colors", NONSENSE, ids=str)
def test_colours_that_are_nonsense(colors):
    with pytest.raises(LarqnetsError, match="says about the colours of its 3 classes is nonsense"):
        Segmenter(pixel_file(6, 8, "logits", colors=colors))


def network(make) -> bytes:
    image = tf.keras.layers.Input((6, 8, 3), batch_size=1)
    content = tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(image, make(image))).convert()
    return edit.add_metadata(content, {"preprocess": PREPROCESS, "task": "segmentation"})


NO_SEGMENTERS = {
    "labels": tf.keras.layers.GlobalAveragePooling2D(),
    "one channel": lambda x: x[..., :1] * 2,
    "more classes than a mask has numbers": lambda x: tf.tile(x, (1, 1, 1, 86)),
    "two maps": lambda x: [2 * x, 3 * x],
    "a mask of real numbers": lambda x: x[..., 0] * 2,
}


@pytest.mark.parametrize("kind", NO_SEGMENTERS)
def test_files_that_are_no_segmenters(kind):
    with pytest.raises(LarqnetsError, match="is no segmenter of images: its task is segmentation, and its outputs"):
        Segmenter(network(NO_SEGMENTERS[kind]))


def test_a_classifier_is_no_segmenter():
    with pytest.raises(LarqnetsError, match="is no segmenter of images: its task is classification"):
        Segmenter(colour_file())


@pytest.mark.parametrize("wrong", [np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8), 7, None], ids=str)
def test_what_is_no_picture(wrong):
    with pytest.raises(LarqnetsError, match="is no picture"):
        segmenter()(wrong)


def test_pictures_that_cannot_be_read(tmp_path):
    with pytest.raises(LarqnetsError, match=r"no image at .*absent\.png"):
        segmenter()(tmp_path / "absent.png")
    Image.new("F", (4, 4)).save(tmp_path / "x.tif")
    with pytest.raises(LarqnetsError, match=r"x\.tif has 32-bit float pixels"):
        segmenter()(tmp_path / "x.tif")


def test_answers_that_are_no_numbers(monkeypatch):
    loaded = Segmenter(pixel_file())
    monkeypatch.setattr(loaded._interpreter, "predict", lambda x: np.full((1, 6, 8, 3), np.nan, np.float32))
    with pytest.raises(LarqnetsError, match="outputs for the picture are NaN or infinite"):
        loaded(picture("red"))


def test_its_repr_is_a_line(tmp_path):
    (tmp_path / "a\nb.tflite").write_bytes(pixel_file())
    shown = repr(Segmenter(Path(tmp_path / "a\nb.tflite")))
    assert shown.isprintable()
    assert shown.startswith("<Segmenter ")
    assert "3 labels, images 6x8x3, TensorFlow Lite on x86-64" in shown


def test_a_child_process_answers_the_same():
    child = Segmenter(pixel_file(), device="child")
    np.testing.assert_array_equal(child(noise(4, 20, 20, 3)).mask, segmenter()(noise(4, 20, 20, 3)).mask)


@pytest.mark.parametrize("size", [(40, 96), (96, 40), (48, 48)])
@pytest.mark.parametrize("way", ["warp", "letterbox"])
def test_all_of_a_picture_has_classes_where_all_of_it_is_seen(size, way):
    """Four quarters of pure colours lie where they are, whatever the shapes of picture and network."""
    height, width = size
    quarters = np.array([[0, 1], [2, 0]]).repeat(height // 2, 0).repeat(width // 2, 1)
    shown = Image.fromarray(np.array([PURE[name] for name in LABELS], np.uint8)[quarters])
    prepared = {"preprocess": PREPROCESS | {"image_shape": [24, 36, 3], "resize": way}}
    found = segmenter(24, 36, "logits", **prepared)(shown)
    assert (found.mask != 255).all()
    assert np.mean(found.mask != quarters) < 0.08  # along the borders
