"""Folders of images with boxes: every layout gives the boxes that the images show, upright, as lists and shares say."""

import json

import numpy as np
import pytest
from boxed import FORMS, NAMES, coco, picture_of, read_off, save, voc, write, write_folder, yolo
from PIL import Image

from larqnets.config import DataConfig
from larqnets.data import load_dataset
from larqnets.data.folder import annotation_of, scan_folder
from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, CROWD, DIFFICULT
from larqnets.data.yolo_text import read_names
from larqnets.errors import LarqnetsError

SIZE = (24, 36)


def load(root, **options):
    return load_dataset(DataConfig(f"folder:{root}", **{"image_size": SIZE[0], "image_width": SIZE[1], **options}))


def seen(batch, dataset):
    """What every image shows, and what its boxes say, both as sorted things."""
    pixels = batch["image"] * np.array(dataset.info.std) + np.array(dataset.info.mean)
    shown = [read_off(np.round(255 * image)) for image in pixels]
    said = []
    for boxes, labels in zip(batch[BOXES], batch[BOX_LABELS], strict=True):
        there = labels >= 0
        ends = boxes[there] * np.tile(dataset.info.image_shape[:2], 2)
        said.append(sorted((int(label), *map(float, row)) for label, row in zip(labels[there], ends, strict=True)))
    return shown, said


@pytest.mark.parametrize("form", FORMS)
def test_boxes_are_those_that_the_images_show(tmp_path, form):
    written = write_folder(tmp_path, form)
    config = DataConfig(f"folder:{tmp_path}")
    assert annotation_of(config) == BOXES
    dataset = load(tmp_path)
    assert dataset.info.labels == NAMES
    assert (dataset.info.num_train, dataset.info.num_test) == (6, 3)
    for split in ("train", "test"):
        (batch,) = dataset.eval_batches(split, 10).as_numpy_iterator()
        names = dataset.names(split, range(len(batch["image"])))
        shown, said = seen(batch, dataset)
        for name, on_picture, in_boxes in zip(names, shown, said, strict=True):
            stem = name.rpartition("/")[2].removesuffix(".png")
            assert on_picture == written[stem]
            np.testing.assert_allclose(in_boxes, written[stem], atol=0.01)
        assert not batch[BOX_KIND].any()


@pytest.mark.parametrize("form", ["voc beside", "voc folders", "ultralytics", "yolo beside", "coco beside"])
def test_without_splits_the_test_is_taken_by_seed(tmp_path, form):
    write_folder(tmp_path, form, (("", 10),))
    folder = scan_folder(tmp_path, DataConfig(f"folder:{tmp_path}", test=0.3))
    train, test = (set(folder.splits[split].names()) for split in ("train", "test"))
    assert (len(train), len(test), train & test) == (7, 3, set())
    assert folder.left_out == ()


def test_three_splits_and_own_validation(tmp_path):
    write_folder(tmp_path, "roboflow", (("train", 4), ("valid", 2), ("test", 3)))
    assert load(tmp_path).info.num_validation == 0
    info = load(tmp_path, own_validation=True).info
    assert (info.num_train, info.num_validation, info.num_test) == (4, 2, 3)


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("form", ["voc", "yolo", "coco"])
def test_boxes_are_those_of_the_picture_as_it_is_shown(tmp_path, orientation, form):
    size, thing = (36, 24), (1, 4, 1, 20, 7)
    shown = Image.fromarray(picture_of([thing], size))
    turn = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    for split in ("train", "test"):
        save(tmp_path / split / "a.png", np.asarray(shown.transpose(turn)), exif=exif)
        if form == "voc":
            write(tmp_path / split / "a.xml", voc([thing], size))
        elif form == "yolo":
            write(tmp_path / split / "a.txt", yolo([thing], size))
            write(tmp_path / "classes.txt", "\n".join(NAMES))
        else:
            write(tmp_path / split / "a.json", coco({"a.png": [thing]}, size))
    dataset = load(tmp_path, image_size=36, image_width=24)
    (batch,) = dataset.eval_batches("test").as_numpy_iterator()
    ((on_picture,), (in_boxes,)) = seen(batch, dataset)
    label = 0 if form == "voc" else 1  # XML files name the classes that occur
    assert [one[1:] for one in on_picture] == [thing[1:]]
    np.testing.assert_allclose(in_boxes, [(label, *thing[1:])], atol=0.01)


def test_difficult_and_crowds_are_kinds(tmp_path):
    for split in ("train", "test"):
        save(tmp_path / "v" / split / "a.png", picture_of([(0, 2, 2, 9, 9)], SIZE))
        write(tmp_path / "v" / split / "a.xml", voc([(0, 2, 2, 9, 9)], SIZE, extra="<difficult>1</difficult>"))
    (batch,) = load(tmp_path / "v").eval_batches("test").as_numpy_iterator()
    assert batch[BOX_KIND][0].tolist() == [DIFFICULT] + [0] * 99
    write_folder(tmp_path / "c", "coco beside")
    for split in ("train", "val"):
        file = tmp_path / "c" / split / "_annotations.coco.json"
        document = json.loads(file.read_text())
        document["annotations"][0]["iscrowd"] = 1
        file.write_text(json.dumps(document))
    (batch,) = load(tmp_path / "c").eval_batches("test", 10).as_numpy_iterator()
    assert (batch[BOX_KIND] == CROWD).sum() == 1


def test_a_group_of_coco_is_no_class(tmp_path):
    """Roboflow writes the name of the project as category 0, above all others; nothing has it."""
    write_folder(tmp_path, "coco beside")
    for split in ("train", "val"):
        file = tmp_path / split / "_annotations.coco.json"
        document = json.loads(file.read_text())
        for category in document["categories"]:
            category["supercategory"] = "animals"
        document["categories"].insert(0, {"id": 0, "name": "animals", "supercategory": "none"})
        file.write_text(json.dumps(document))
    assert load(tmp_path).info.labels == NAMES


def test_an_outline_becomes_its_box_and_a_picture_without_a_file_is_empty(tmp_path):
    write_folder(tmp_path, "roboflow")
    write(tmp_path / "train/labels/train0.txt", "2 0.25 0.5 0.5 0.25 0.75 0.75\n")
    (tmp_path / "train/labels/train1.txt").unlink()
    files = scan_folder(tmp_path, DataConfig(f"folder:{tmp_path}")).splits["train"]
    np.testing.assert_allclose(files.boxes[0].boxes, [[0.25, 0.25, 0.75, 0.75]])
    assert files.boxes[0].labels.tolist() == [2]
    assert len(files.boxes[1].labels) == 0


@pytest.mark.parametrize(
    "text",
    [
        "names: [red cell, 'b, c', \"d\"]",
        "nc: 3\nnames:\n- red cell\n- b, c\n- 'd'\ntrain: x",
        "names: {0: red cell, 2: d, 1: 'b, c'}",
        '# names: [x]\nnames:  # of classes\n  0: red cell\n  1: b, c\n  2: "d"\n\nnc: 3',
        "names: [\n  red cell,\n  'b, c',  # the second\n  d,\n]\nnc: 3",
    ],
)
def test_names_in_yaml(tmp_path, text):
    assert read_names(write(tmp_path / "data.yaml", text)) == ("red cell", "b, c", "d")


def test_another_box_is_another_data_set(tmp_path):
    write_folder(tmp_path, "roboflow")
    before = load(tmp_path).fingerprint()
    file = tmp_path / "train/labels/train0.txt"
    file.write_text(file.read_text() + "0 0.5 0.5 0.1 0.1\n")
    assert load(tmp_path).fingerprint() != before


def test_of_a_folder_with_masks_and_boxes_the_config_says_which(tmp_path):
    """As VOC's own: JPEGImages, Annotations and SegmentationClass."""
    write_folder(tmp_path, "voc lists")
    for name, count in (("train", 3), ("val", 2)):
        names = [f"{name}{number}" for number in range(count)]
        write(tmp_path / "ImageSets/Segmentation" / f"{name}.txt", "\n".join(names))
        for each in names:
            save(tmp_path / "SegmentationClass" / f"{each}.png", np.ones(SIZE, np.uint8))
            with Image.open(tmp_path / "JPEGImages" / f"{each}.png") as picture:
                picture.save(tmp_path / "JPEGImages" / f"{each}.jpg")
            (tmp_path / "JPEGImages" / f"{each}.png").unlink()
    plain = DataConfig(f"folder:{tmp_path}")
    assert annotation_of(plain) == "mask"
    assert load(tmp_path).info.num_train == 3
    info = load(tmp_path, annotation="boxes").info
    assert (info.annotation, info.num_train, info.labels) == (BOXES, 6, NAMES)
    with pytest.raises(LarqnetsError, match=r'has no boxes. Leave data.annotation = "boxes" out'):
        load(tmp_path / "JPEGImages", annotation="boxes")
