import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from larqnets import LarqnetsError
from larqnets.config import DataConfig
from larqnets.data import load_dataset, preprocess_info, read_image
from larqnets.data.image import formats

from .conftest import write_image

GREY = {"image_shape": [4, 4, 1], "mean": [0.0], "std": [1.0]}
COLOUR = {"image_shape": [4, 4, 3], "mean": [0.0, 0.5, 1.0], "std": [1.0, 0.5, 2.0]}


def levels(image):
    return np.rint(image * 255).astype(int)


def test_a_stored_image_is_the_models_input_bit_for_bit(data_dir, tmp_path):
    config = DataConfig(dataset="cifar10", data_dir=data_dir)
    dataset = load_dataset(config)
    images = dataset.samples(3, "test")["image"]
    for image in images:
        pixels = np.rint((image * dataset.info.std + dataset.info.mean) * 255)
        path = write_image(tmp_path / "image.png", pixels)
        assert (read_image(path, preprocess_info(dataset.info, config))[0] == image).all()


def test_needs_no_tensorflow():
    code = "import sys, larqnets.data as d; d.read_image, d.list_datasets(); sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_info_is_json():
    import json

    from larqnets.data import DatasetInfo

    info = DatasetInfo("x", ("a", "b"), (4, 4, 1), (0.0,), (1.0,), 2, 2, "")
    entry = preprocess_info(info, DataConfig(dataset="x", random_resized_crop=True))
    assert json.loads(json.dumps(entry)) == entry
    assert entry["crop_fraction"] == 0.875


def test_channels_are_normalised_each(tmp_path):
    path = write_image(tmp_path / "x.png", np.full((4, 4, 3), 255))
    image = read_image(path, COLOUR)
    assert image.shape == (1, 4, 4, 3)
    assert image.dtype == np.float32
    assert np.allclose(image[0, 0, 0], [1, 1, 0], atol=1e-6)


def test_other_aspect_ratios_are_cropped_in_the_middle(tmp_path):
    pixels = np.zeros((4, 12))
    pixels[:, 4:8] = 200
    assert (levels(read_image(write_image(tmp_path / "x.png", pixels), GREY)) == 200).all()


def test_large_images_are_averaged_not_subsampled(tmp_path):
    pixels = np.indices((64, 64)).sum(0) % 2 * 255  # a chess board
    image = levels(read_image(write_image(tmp_path / "x.png", pixels), GREY))
    assert np.abs(image - 127).max() < 10


def test_colour_becomes_grey_and_grey_colour(tmp_path):
    colour = write_image(tmp_path / "colour.png", np.full((4, 4, 3), (255, 0, 0)))
    assert levels(read_image(colour, GREY)).max() == 76  # ITU-R 601
    grey = write_image(tmp_path / "grey.png", np.full((4, 4), 51))
    assert np.allclose(read_image(grey, COLOUR)[0, 0, 0], [0.2, -0.6, -0.4], atol=1e-6)


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "1", "CMYK"])
def test_other_modes(tmp_path, mode):
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    Image.new("RGB", (4, 4), "white").convert("RGBA" if mode == "LA" else "RGB").convert(mode).save(path)
    assert (levels(read_image(path, GREY)) == 255).all()


def test_16_bit_grey_is_scaled(tmp_path):
    Image.fromarray(np.full((4, 4), 0x80FF, np.uint16)).save(tmp_path / "x.png")
    assert (levels(read_image(tmp_path / "x.png", GREY)) == 0x80).all()


def test_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    pixels = np.zeros((8, 8, 3))
    pixels[4:] = 255  # bottom becomes left
    image = read_image(write_image(tmp_path / "x.jpg", pixels, exif=exif, quality=95), GREY)[0, :, :, 0]
    assert image[:, 0].min() > 0.9
    assert image[:, 3].max() < 0.1


def test_missing_file(tmp_path):
    with pytest.raises(LarqnetsError, match="There is no image"):
        read_image(tmp_path / "x.png", GREY)


def test_folder(tmp_path):
    with pytest.raises(LarqnetsError, match="cannot be read"):
        read_image(tmp_path, GREY)


def test_no_image(tmp_path):
    (tmp_path / "x.png").write_text("hello")
    with pytest.raises(LarqnetsError, match="is not an image"):
        read_image(tmp_path / "x.png", GREY)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated(tmp_path, suffix):
    path = write_image(tmp_path / f"x.{suffix}", np.random.default_rng(0).integers(0, 256, (64, 64, 3)))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(LarqnetsError, match="truncated or damaged"):
        read_image(path, GREY)


@pytest.mark.parametrize("factor", [1.5, 3])
def test_absurdly_large(tmp_path, monkeypatch, factor):
    path = write_image(tmp_path / "x.png", np.zeros((60, 60)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(3600 / factor))
    with pytest.raises(LarqnetsError, match="too many to be decoded safely"):
        read_image(path, GREY)


def test_an_image_that_does_not_fit_into_memory(tmp_path, monkeypatch):
    """Where memory is smaller than what is safe to decode, Pillow finds out as it makes room for the pixels."""

    def no_room(picture, *arguments):
        raise MemoryError

    path = write_image(tmp_path / "x.png", np.zeros((4, 4, 3)))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load_prepare", no_room)
    with pytest.raises(LarqnetsError, match=r"x\.png does not fit into memory\. Scale it down"):
        read_image(path, COLOUR)


def test_float_pixels(tmp_path):
    Image.new("F", (4, 4)).save(tmp_path / "x.tif")
    with pytest.raises(LarqnetsError, match=r"x\.tif has 32-bit float"):
        read_image(tmp_path / "x.tif", GREY)


def test_pixels_that_cannot_become_grey(tmp_path):
    Image.new("LAB", (4, 4)).save(tmp_path / "x.tif")
    with pytest.raises(LarqnetsError, match=r"x\.tif has LAB pixels"):
        read_image(tmp_path / "x.tif", GREY)


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PCX", "PPM", "SGI", "TGA"])
def test_no_format_but_the_named_ones_is_opened_whatever_the_file_is_called(tmp_path, monkeypatch, kind):
    if kind == "EPS":
        (tmp_path / "x.png").write_bytes(EPS)
    else:
        Image.new("RGB", (16, 16)).save(tmp_path / "x.png", kind)
    monkeypatch.setattr("subprocess.check_call", lambda *_, **__: pytest.fail("Ghostscript was started"))
    with pytest.raises(LarqnetsError, match=rf"not an image of a kind .*\({', '.join(formats())}\)"):
        read_image(tmp_path / "x.png", GREY)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(LarqnetsError, match="not an image"):
        read_image(tmp_path / "x.png", GREY)
