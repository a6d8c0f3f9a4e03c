"""Training, evaluation and a device see the same pixels of a file, of whatever format and mode it is."""

import io
import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import larqnets.data.dataset
import larqnets.data.image
from larqnets import LarqnetsError
from larqnets.config import DataConfig
from larqnets.data import load_dataset, preprocess_info, read_image
from larqnets.data.image import decode_upright, formats, read_header

HEIC = Path(__file__).parent / "quarters.heic"  # 64x48 as stored, turned by 90 degrees clockwise: 48 wide, 64 high
# Format -> the modes that Pillow writes of it, and how.
WRITTEN = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "GIF": ("L", "P", "RGB", "RGBA"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"),
}
CASES = [(name, mode) for name, modes in WRITTEN.items() for mode in modes]
SUFFIX = {name: some[0] for name, some in larqnets.data.image.SUFFIXES.items()}


def picture(mode, height=48, width=64):
    rng = np.random.default_rng(7)
    pixels = rng.integers(0, 256, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    drawn = Image.fromarray(pixels)
    if mode in ("RGBA", "LA"):
        drawn.putalpha(Image.fromarray(pixels[..., 0]))
    if mode == "P":
        return drawn.quantize(16)
    return drawn.convert(mode)


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory):
    """A folder whose only class that counts holds a file of every format and mode, and other frames and orientations."""
    root = tmp_path_factory.mktemp("kinds") / "images"
    for split, label in itertools.product(("train", "test"), "ab"):
        (root / split / label).mkdir(parents=True)
        picture("RGB").save(root / split / label / "0.png")
    folder = root / "test" / "a"
    for name, mode in CASES:
        picture(mode).save(folder / f"{name}-{mode.replace(';', '')}{SUFFIX[name]}", name)
    for orientation in (3, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for name in ("PNG", "JPEG", "WEBP", "TIFF"):
            picture("RGB").save(folder / f"turned-{orientation}{SUFFIX[name]}", name, exif=exif)
    others = [picture("RGB").rotate(180), picture("RGB").rotate(90, expand=True)]
    for name, frames in (("GIF", others[:1]), ("WEBP", others[:1]), ("TIFF", others), ("PNG", others[:1])):
        picture("RGB").save(folder / f"frames{SUFFIX[name]}", name, save_all=True, append_images=frames)
    picture("P").save(folder / "transparent.png", transparency=bytes(range(0, 160, 10)))
    picture("P").save(folder / "transparent.gif", transparency=3)
    deep = np.asarray(picture("RGBA")).astype(np.uint16) * 256 + 77
    for channels in (3, 4):  # 16 bits of every colour, which Pillow does not write
        (folder / f"deep{channels}.png").write_bytes(tf.io.encode_png(deep[..., :channels]).numpy())
    picture("RGB").save(folder / "progressive.jfif", "JPEG", progressive=True, quality=60)
    if "HEIF" in formats():
        (folder / "quarters.heic").write_bytes(HEIC.read_bytes())
    return root


def levels(dataset, images):
    return np.rint((images * dataset.info.std + dataset.info.mean) * 255).astype(int)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"image_size": 48, "image_width": 64}, 0),  # nothing is scaled, but for what is turned
        ({"image_size": 24}, 1),
        ({"image_size": 24, "random_resized_crop": True}, 1),
    ],
)
def test_every_kind_of_file_is_seen_as_on_a_device(every_kind, monkeypatch, options, tolerance, streamed):
    if streamed:
        monkeypatch.setattr(larqnets.data.dataset, "MEMORY_LIMIT", 0)
    config = DataConfig(dataset=f"folder:{every_kind}", **options)
    dataset = load_dataset(config)
    files = sorted((every_kind / "test" / "a").iterdir())
    assert len(files) > 35
    ours = levels(dataset, dataset.samples(1000, "test")["image"])[: len(files)]
    info = preprocess_info(dataset.info, config)
    for file, mine in zip(files, ours, strict=True):
        device = levels(dataset, read_image(file, info)[0])
        header = read_header(file)
        scaled = header.upright_size != dataset.info.image_shape[:2]
        # Of a JPEG TensorFlow decodes only the part that is looked at: colours, which are stored at half the size, are
        # interpolated at its edge without what lies beyond.
        inner = slice(2, -2) if header.format == "JPEG" else slice(None)
        assert np.abs(mine - device)[inner, inner].max() <= max(tolerance, scaled), file.name


@pytest.mark.parametrize(("name", "mode"), CASES)
def test_the_first_picture_is_what_pillow_shows(tmp_path, name, mode):
    """Lossless formats give the pixels that were written: alpha dropped, 16 bits shifted, palettes looked up."""
    path = tmp_path / f"x{SUFFIX[name]}"
    exact = {"WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 95, "subsampling": 0}}
    written = picture(mode)
    written.save(path, name, **exact.get(name, {}))
    seen = np.asarray(decode_upright(path, 3)).astype(int)
    if mode == "I;16":
        expected = np.asarray(written)[..., np.newaxis].astype(int) >> 8
    elif mode in ("RGBA", "LA"):
        expected = np.asarray(written.convert("RGBA"))[..., :3].astype(int)
    else:
        expected = np.asarray(written.convert("RGB")).astype(int)
    if name == "GIF":  # 256 colours at most
        assert np.abs(seen - expected).mean() < 25
    else:
        assert np.abs(seen - expected).max() <= (40 if name == "JPEG" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_header_says_the_size_that_is_shown(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x{SUFFIX[name]}"
    picture("RGB").save(path, name, exif=exif)
    assert read_header(path).upright_size == decode_upright(path, 3).size[::-1]


def test_a_folder_of_foreign_grey_files_is_grey(tmp_path):
    for split, label in itertools.product(("train", "test"), "ab"):
        (tmp_path / split / label).mkdir(parents=True)
        Image.new("L", (9, 9), 70).save(tmp_path / split / label / "0.tif")
    dataset = load_dataset(DataConfig(dataset=f"folder:{tmp_path}", image_size=9))
    assert dataset.info.image_shape == (9, 9, 1)
    assert (levels(dataset, dataset.samples(5)["image"]) == 70).all()


def test_heic_is_shown_upright():
    pytest.importorskip("pi_heif", reason="pi-heif, of the extra heic, is not installed")
    assert read_header(HEIC).upright_size == (64, 48)
    shown = decode_upright(HEIC, 3)
    assert shown.size == (48, 64)
    corners = np.array([shown.getpixel(place) for place in ((4, 4), (43, 4), (4, 59), (43, 59))])
    written = [(40, 50, 220), (220, 30, 30), (240, 220, 60), (30, 200, 40)]  # turned: what was below left is above left
    assert np.abs(corners - written).max() <= 3


@pytest.fixture
def without_heif(monkeypatch):
    """As where the extra is not installed."""
    formats.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "pi_heif", None)
    yield
    formats.cache_clear()


@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])
def test_heic_without_its_decoder_says_what_to_install(tmp_path, without_heif, name):
    (tmp_path / name).write_bytes(HEIC.read_bytes())
    with pytest.raises(LarqnetsError, match=r'is a HEIC image\. Install the decoder: pip install "larqnets\[heic\]"'):
        read_header(tmp_path / name)


def test_heic_without_its_decoder_is_left_out_and_said(image_folder, without_heif):
    (image_folder / "train" / "cat" / "9.HEIC").write_bytes(HEIC.read_bytes())
    dataset = load_dataset(DataConfig(dataset=f"folder:{image_folder}", image_size=10))
    assert dataset.info.num_train == 12
    assert 'left out: 1 .heic: pip install "larqnets[heic]".' in dataset.survey.lines()


def test_pixels_that_are_no_colours_are_named(tmp_path):
    path = tmp_path / "x.tif"
    Image.new("F", (4, 4)).save(path)
    with pytest.raises(LarqnetsError, match=r"x\.tif has 32-bit float pixels"):
        decode_upright(path, 3)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", ["GIF", "WEBP", "TIFF", "BMP"])
def test_a_truncated_file_is_named_when_it_is_read(image_folder, monkeypatch, name, streamed):
    if streamed:
        monkeypatch.setattr(larqnets.data.dataset, "MEMORY_LIMIT", 0)
    content = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50, 3)).astype(np.uint8)).save(content, name)
    file = image_folder / "train" / "dog" / f"2{SUFFIX[name]}"
    file.write_bytes(content.getvalue()[: len(content.getvalue()) * 3 // 4])
    with pytest.raises(LarqnetsError, match=rf"train/dog/2\{SUFFIX[name]} cannot be read as an image"):
        load_dataset(DataConfig(dataset=f"folder:{image_folder}", image_size=10)).samples(100)
