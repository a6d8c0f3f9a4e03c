import io
import shutil

import numpy as np
import pytest
from PIL import Image

from larqnets import LarqnetsError
from larqnets.config import DataConfig
from larqnets.data import load_dataset, preprocess_info, read_image

from .conftest import pair, write_image


def load(folder, **options):
    return load_dataset(DataConfig(dataset=f"folder:{folder}", **{"image_size": 10, **options}))


def pixels_of(dataset, images):
    return np.rint((images * dataset.info.std + dataset.info.mean) * 255).astype(np.uint8)


def test_images_come_in_the_order_of_labels_and_names(image_folder):
    dataset = load(image_folder)
    assert dataset.info.labels == ("cat", "dog")
    assert dataset.info.image_shape == (10, 10, 3)
    assert (dataset.info.num_train, dataset.info.num_test) == (12, 6)
    images, labels = pair(dataset.samples(100, "test"))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    stored = [np.asarray(Image.open(image_folder / "test" / n / f"{i}.png")) for n in ("cat", "dog") for i in range(3)]
    assert (pixels_of(dataset, images) == np.stack(stored)).all()


@pytest.mark.parametrize("name", ["validation", "val"])
def test_other_names_of_the_test_split(image_folder, name):
    (image_folder / "test").rename(image_folder / name)
    assert load(image_folder).info.num_test == 6


def test_hidden_files_and_other_suffixes_are_left_out(image_folder):
    (image_folder / "train" / ".thumbnails").mkdir()
    (image_folder / "train" / "cat" / ".hidden.png").write_bytes(b"")
    (image_folder / "train" / "cat" / "notes.txt").write_text("")
    assert load(image_folder).info.num_train == 12


def test_grey_images_keep_one_channel(tmp_path):
    for split in ("train", "test"):
        for value, label in enumerate("ab"):
            write_image(tmp_path / split / label / "0.png", np.full((12, 12), 100 * value))
    dataset = load(tmp_path, image_size=12)
    assert dataset.info.image_shape == (12, 12, 1)
    assert pixels_of(dataset, dataset.samples(2)["image"]).reshape(2, -1).mean(1).tolist() == [0, 100]


def test_one_colour_image_makes_the_set_colour(image_folder):
    write_image(image_folder / "train" / "cat" / "grey.jpg", np.full((20, 20), 77))
    dataset = load(image_folder)
    assert dataset.info.image_shape == (10, 10, 3)
    assert (pixels_of(dataset, dataset.samples(100)["image"][6]) == 77).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_as_on_the_device(image_folder, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.zeros((40, 40, 3))
    pixels[:16, :24], pixels[24:, :8] = (250, 20, 20), (20, 20, 250)
    path = write_image(image_folder / "test" / "cat" / "9.jpg", pixels, exif=exif, quality=95)
    dataset = load(image_folder, image_size=20)
    ours = dataset.samples(100, "test")["image"][3]
    device = read_image(path, preprocess_info(dataset.info, DataConfig(dataset="")))[0]
    assert np.abs(pixels_of(dataset, ours).astype(int) - pixels_of(dataset, device)).max() <= 1


@pytest.mark.parametrize("options", [{"image_size": 24}, {"image_size": 24, "random_resized_crop": True}])
def test_evaluation_sees_what_the_device_sees(image_folder, options):
    rng = np.random.default_rng(3)
    wide = rng.integers(0, 256, (9, 15, 3)).repeat(7, 0).repeat(7, 1)
    paths = [
        write_image(image_folder / "test" / "cat" / "8.png", wide),
        write_image(image_folder / "test" / "cat" / "9.jpg", wide.transpose(1, 0, 2), quality=95),
    ]
    config = DataConfig(dataset=f"folder:{image_folder}", **options)
    dataset = load_dataset(config)
    ours = dataset.samples(100, "test")["image"][3:5]
    device = np.concatenate([read_image(path, preprocess_info(dataset.info, config)) for path in paths])
    # Pillow resizes in fixed point, TensorFlow in float: they may round to neighbouring levels.
    assert np.abs(pixels_of(dataset, ours).astype(int) - pixels_of(dataset, device)).max() <= 1


def test_needs_an_image_size(image_folder):
    with pytest.raises(LarqnetsError, match=r"Set data\.image_size"):
        load(image_folder, image_size=None)


def test_missing_folder(tmp_path):
    with pytest.raises(LarqnetsError, match=r"There is no folder .*nowhere"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("split", ["train", "test"])
def test_missing_split(image_folder, split):
    shutil.rmtree(image_folder / split)
    with pytest.raises(LarqnetsError, match=f"has no folder {split}/"):
        load(image_folder)


def test_one_class_is_not_enough(image_folder):
    for split in ("train", "test"):
        shutil.rmtree(image_folder / split / "dog")
    with pytest.raises(LarqnetsError, match="1 class folders, but at least 2"):
        load(image_folder)


def test_class_without_images(image_folder):
    for file in (image_folder / "test" / "dog").iterdir():
        file.unlink()
    with pytest.raises(LarqnetsError, match=r"test/dog has no \.png"):
        load(image_folder)


@pytest.mark.parametrize(("split", "other"), [("train", "test"), ("test", "train")])
def test_labels_that_differ_between_the_splits(image_folder, split, other):
    (image_folder / split / "cow").mkdir()
    with pytest.raises(LarqnetsError, match=f"'cow' is in .*/{split} but not in .*/{other}"):
        load(image_folder)


def test_file_that_is_no_image(image_folder):
    (image_folder / "train" / "cat" / "3.png").write_text("hello")
    with pytest.raises(LarqnetsError, match=r"train/cat/3\.png cannot be read as an image"):
        load(image_folder)


def test_a_file_is_what_its_content_says_whatever_its_name(image_folder):
    content = io.BytesIO()
    Image.new("RGB", (10, 10), (10, 20, 30)).save(content, "BMP")
    (image_folder / "train" / "cat" / "3.png").write_bytes(content.getvalue())
    dataset = load(image_folder)
    assert (pixels_of(dataset, dataset.samples(100)["image"][3]) == (10, 20, 30)).all()


def test_file_of_a_format_that_is_not_read(image_folder):
    Image.new("RGB", (10, 10)).save(image_folder / "train" / "cat" / "3.png", "PPM")
    with pytest.raises(LarqnetsError, match=r"3\.png cannot be read as an image"):
        load(image_folder)


@pytest.mark.parametrize("streamed", [False, True])
def test_truncated_image_is_named_when_it_is_read(image_folder, streamed, request):
    if streamed:
        request.getfixturevalue("streaming")
    file = image_folder / "train" / "dog" / "2.png"
    file.write_bytes(file.read_bytes()[:150])
    dataset = load(image_folder)
    with pytest.raises(LarqnetsError, match=r"train/dog/2\.png cannot be read as an image"):
        dataset.samples(100)
