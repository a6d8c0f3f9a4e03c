"""The script that makes the images of the table on transfer, on an archive of three small photographs."""

import io
import json
import tarfile

import numpy as np
from crops import LABELS, TRAINING, write_crops
from PIL import Image


def box(label, *edges):
    return {"bbox": [*map(float, edges)], "label": label}


def test_crops_keep_the_splits_and_no_clip_is_on_two_sides(tmp_path):
    many = [box("shark", 10, 10, 50, 40)] * (TRAINING + 5)
    photos = {
        "train": [("a", "clip1", [*many, box("fish", 0, 0, 60, 60)]), ("b", "clip2", [box("puffin", 0, 0, 40, 40)])],
        "validation": [("c", "clip1", many[:1]), ("d", "clip3", [box("penguin", 0, 0, 9, 9)])],
        "test": [("e", "clip2", [box("stingray", 0, 20, 40, 40)] * 3)],
    }
    splits = {
        split: [{"file": f"{name}.png", "group": group, "objects": boxes} for name, group, boxes in images]
        for split, images in photos.items()
    }
    rng = np.random.default_rng(0)
    pixels = {name: rng.integers(1, 256, (64, 80, 3), np.uint8) for name in "abcde"}
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        files = {"annotations.json": json.dumps(splits).encode()}
        for name, image in pixels.items():
            content = io.BytesIO()
            Image.fromarray(image).save(content, "png")
            files[f"images/{name}.png"] = content.getvalue()
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    counts = write_crops(tmp_path / "a.tar", tmp_path / "out")
    # clip2 is in the test, so its puffin is no training image; clip1 is in training, so its shark is no validation image
    assert counts == {"train": {"shark": TRAINING}, "validation": {}, "test": {"stingray": 3}}
    crop = np.asarray(Image.open(tmp_path / "out/train/shark/a-0000.png"))
    np.testing.assert_array_equal(crop, pixels["a"][1:49, 6:54])  # 40 pixels and a tenth on both sides, square
    outside = np.asarray(Image.open(tmp_path / "out/test/stingray/e-0000.png"))
    assert outside.shape == (48, 48, 3)
    assert not outside[:, :4].any()
    np.testing.assert_array_equal(outside[:, 4:], pixels["e"][6:54, :44])
    assert "fish" not in LABELS
