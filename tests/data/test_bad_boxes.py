"""Images with boxes that cannot be trained on: one sentence that names the picture and the key; what is mended is counted."""

import json
import re
import shutil

import pytest
from boxed import NAMES, picture_of, save, voc, write, write_folder, yolo

from larqnets.config import DataConfig
from larqnets.data import load_dataset
from larqnets.data.check import check_folder
from larqnets.errors import LarqnetsError

SIZE = (24, 36)


def load(root, **options):
    return load_dataset(DataConfig(f"folder:{root}", **{"image_size": 24, "image_width": 36, **options}))


def use(root, **options):
    """As far as a training gets before its first step."""
    dataset = load(root, **options)
    for split in ("train", "test"):
        next(iter(dataset.eval_batches(split, 2)))
    return dataset


def _xml(root):
    return root / "train/train0.xml"


def _txt(root):
    return root / "train/labels/train0.txt"


def _json(root):
    return root / "train/_annotations.coco.json"


def in_xml(old, new):
    def spoil(root):
        text = _xml(root).read_text()
        assert re.search(old, text)
        _xml(root).write_text(re.sub(old, new, text, count=1))

    return "voc beside", spoil


def as_xml(text):
    return "voc beside", lambda root: _xml(root).write_text(text)


def as_txt(text):
    return "roboflow", lambda root: _txt(root).write_text(text)


def in_json(change):
    def spoil(root):
        document = json.loads(_json(root).read_text())
        change(document)
        _json(root).write_text(json.dumps(document))

    return "coco beside", spoil


def first(document, **changes):
    document["annotations"][0].update(changes)


def _other_size(root):
    save(root / "train/train0.png", picture_of([], (20, 30)))


def _no_classes(root):
    (root / "data.yaml").unlink()


def _no_boxes_in_test(root):
    for file in (root / "val/labels").iterdir():
        file.write_text("")


CASES = {
    "nan": (*in_xml(r"<xmin>\d+", "<xmin>nan"), r"\S+train0.xml cannot be read as VOC XML: 'nan' is no number"),
    "inf": (*as_txt("0 inf 0.5 0.1 0.1\n"), r"\S+train0.txt cannot be read as YOLO's .*: line 1: 'inf' is no number"),
    "x swapped": (
        *in_xml(r"<xmin>\d+</xmin>(.*?)<xmax>\d+", r"<xmin>9</xmin>\1<xmax>3"),
        r"\S+train0.png has a box \(object 1 of \S+train0.xml\) that begins at x = 9 and ends at x = 3",
    ),
    "no height": (
        *as_txt("0 0.5 0.5 0.1 0\n"),
        r"\S+train0.png has a box \(line 1 of \S+train0.txt\) that begins at y = 0.5 and ends at y = 0.5",
    ),
    "negative width": (
        *in_json(lambda d: first(d, bbox=[5, 5, -2, 4])),
        r"\S+train0.png has a box \(annotation 0 of \S+coco.json\) that begins at x = 5 and ends at x = 3",
    ),
    "fractions for pixels": (
        *as_xml(voc([(0, 0, 0, 1, 1)], SIZE)),
        r"All numbers of the boxes of \S+train0.png in \S+train0.xml are 1 or less: they are fractions",
    ),
    "pixels for fractions": (
        *as_txt("0 12 8 4 4\n"),
        r"\S+train0.txt has a box of \S+train0.png that reaches to 14: its numbers are pixels",
    ),
    "unknown number": (
        *as_txt("3 0.5 0.5 0.1 0.1\n"),
        r"\S+train0.png has a box \(line 1 of \S+train0.txt\) of the class '3', which is none of the classes: car, dog, zebra",
    ),
    "background": (
        *in_xml("<name>[a-z]+", "<name>Background"),
        r"\S+train0.png has a box \(object 1 of \S+train0.xml\) of the class 'Background', and background is what has no",
    ),
    "no name": (*in_xml("<name>[a-z]+", "<name>"), r"\S+train0.xml cannot be read as VOC XML: object 1 has no name"),
    "no side": (
        *in_xml("<xmin>[0-9]+</xmin>", ""),
        r"\S+ cannot be read as VOC XML: the bndbox of object 1 has no xmin",
    ),
    "broken xml": (*as_xml("<annotation><object>"), r"\S+train0.xml cannot be read as VOC XML: no element found"),
    "xml with a document type": (
        *as_xml('<!DOCTYPE a [<!ENTITY b "c">]><annotation/>'),
        r"\S+train0.xml cannot be read as VOC XML: it declares a document type",
    ),
    "xml of another size": (
        "voc beside",
        _other_size,
        r"\S+train0.xml says that \S+train0.png has 24x36 pixels, height x width, and it has 20x30. Annotate",
    ),
    "fields": (*as_txt("0 0.5 0.5 0.1\n"), r"\S+train0.txt cannot be read as YOLO's .*: line 1 has 4 fields"),
    "words": (*as_txt("car 0.5 0.5 0.1 0.1\n"), r"\S+train0.txt .*: line 1: 'car' is no whole number"),
    "no classes": ("roboflow", _no_classes, r"Nothing in \S+ names the classes of YOLO's numbers. Write a classes.txt"),
    "names of one class twice": (
        "roboflow",
        lambda root: (root / "data.yaml").write_text("names: [a, b, a]"),
        r"\S+data.yaml names the class 'a' twice",
    ),
    "names in another form": (
        "roboflow",
        lambda root: (root / "data.yaml").write_text("names: 3"),
        r"\S+data.yaml does not name the classes: its names are no list",
    ),
    "broken json": (
        "coco beside",
        lambda root: _json(root).write_text(_json(root).read_text()[:-3]),
        r"\S+coco.json cannot be read as COCO's JSON: Expecting",
    ),
    "json without a box": (
        *in_json(lambda d: d["annotations"][0].pop("bbox")),
        r"\S+coco.json cannot be read as COCO's JSON: no 'bbox'",
    ),
    "json of no image": (
        *in_json(lambda d: first(d, image_id=99)),
        r"\S+coco.json cannot be read as COCO's JSON: annotation 0 is of image 99, which is not there",
    ),
    "json of no category": (
        *in_json(lambda d: first(d, category_id=99)),
        r"\S+coco.json .*: annotation 0 has category 99, which is not there",
    ),
    "json outside": (
        *in_json(lambda d: d["images"][0].update(file_name="../../../etc/x.png")),
        r"\S+coco.json names ../../../etc/x.png, which is not there",
    ),
    "picture missing": (
        "coco beside",
        lambda root: (root / "train/train0.png").unlink(),
        r"\S+coco.json names train0.png, which is not there. Add the image.",
    ),
    "picture of xml missing": (
        "voc beside",
        lambda root: (root / "train/train0.png").unlink(),
        r"The annotation \S+train0.xml has no image in \S+train. Add the image, or delete it.",
    ),
    "xml of picture missing": (
        "voc beside",
        lambda root: _xml(root).unlink(),
        r"The image \S+train0.png has no annotation \S+train0.xml. Add it, without an object where there is none",
    ),
    "list names no picture": (
        "voc lists",
        lambda root: write(root / "ImageSets/Main/train.txt", "train0\nnobody\n"),
        r"\S+Main/train.txt lists nobody, but there is no such image. Add it.",
    ),
    "no box in a split": ("roboflow", _no_boxes_in_test, r"No test image of folder:\S+ has a box. Give annotations"),
    "no test": (
        "roboflow",
        lambda root: shutil.rmtree(root / "val"),
        r"\S+ has images with boxes for train, and none for a test",
    ),
    "no train": (
        "roboflow",
        lambda root: shutil.rmtree(root / "train"),
        r"\S+ has images with boxes for val, and none for train",
    ),
    "two forms": (
        "voc beside",
        lambda root: write(root / "train/classes.txt", "a\n") and write(root / "train/train0.txt", "0 .5 .5 .1 .1\n"),
        r"\S+ says boxes in YOLO's text files and in VOC's XML files. Keep one of them there",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, case):
    form, spoil, sentence = CASES[case]
    write_folder(tmp_path, form)
    use(tmp_path) if case == "nan" else None  # as it was written it is fine
    spoil(tmp_path)
    with pytest.raises(LarqnetsError, match=sentence) as error:
        use(tmp_path)
    assert re.fullmatch(r"[^\n]+\.", str(error.value))


def test_more_boxes_than_there_is_room_for(tmp_path):
    write_folder(tmp_path, "roboflow")
    lines = [f"0 {0.1 + 0.02 * i:.3f} 0.5 0.1 0.1" for i in range(21)]
    _txt(tmp_path).write_text("\n".join(lines))
    with pytest.raises(
        LarqnetsError, match=r"train0.png has 21 boxes, and there is room for 20. Set data.max_boxes = 21."
    ):
        use(tmp_path, max_boxes=20)
    assert use(tmp_path, max_boxes=21).info.max_boxes == 21


def test_what_is_clipped_or_left_out_is_counted(tmp_path):
    write_folder(tmp_path, "roboflow")
    lines = ["0 0.95 0.5 0.2 0.2", "0 1.2 0.5 0.2 0.2", "1 0.5 0.5 0.2 0.2", "1 0.5 0.5 0.2 0.2", "0 0.5 0.5 0.2 0.2"]
    _txt(tmp_path).write_text("\n".join(lines))
    dataset = use(tmp_path)
    (line,) = [line for line in dataset.survey.lines() if line.startswith("boxes:")]
    assert "1 reached out of the picture and was clipped" in line
    assert "1 lay outside the picture and was left out" in line
    assert "1 was there twice and was taken once" in line
    found = check_folder(DataConfig(f"folder:{tmp_path}"))
    assert found.problem() is None
    told = found.to_json()["boxes"]["train"]
    assert {name: told[name] for name in ("clipped", "outside", "empty", "twice")} == {
        "clipped": 1,
        "outside": 1,
        "empty": 0,
        "twice": 1,
    }


def test_a_class_that_nothing_has_is_warned_of(tmp_path):
    write_folder(tmp_path, "roboflow")
    (tmp_path / "data.yaml").write_text(f"names: {[*NAMES, 'yak']}")
    cautions = use(tmp_path).survey.counted().cautions([])
    assert "'yak' occurs in no training image" in cautions


def test_a_check_lists_all_that_is_wrong(tmp_path):
    write_folder(tmp_path, "roboflow")
    for number in (1, 2):
        (tmp_path / f"train/labels/train{number}.txt").write_text("nonsense\n")
    (tmp_path / "train/images/train3.png").write_bytes(b"no image")
    found = check_folder(DataConfig(f"folder:{tmp_path}"))
    assert [one.path.name for one in found.damaged] == ["train1.txt", "train2.txt", "train3.png"]
    assert "3 files of folder:" in str(found.problem())
    assert found.sheet().startswith(b"\x89PNG")


def test_a_picture_that_is_turned_is_annotated_as_it_is_shown(tmp_path):
    """The XML of a program that does not know EXIF has the size of the stored picture."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    for split in ("train", "test"):
        save(tmp_path / split / "a.png", picture_of([(0, 2, 2, 9, 9)], SIZE), exif=exif)
        write(tmp_path / split / "a.xml", voc([(0, 2, 2, 9, 9)], SIZE))
    with pytest.raises(
        LarqnetsError, match=r"a.png has 24x36 pixels, height x width, and it has 36x24; the picture is turned"
    ):
        use(tmp_path)


def test_yolo_lines_of_a_folder_are_those_that_were_written():
    assert yolo([(2, 0, 0, 12, 18)], SIZE) == "2 0.25000000 0.25000000 0.50000000 0.50000000\n"
