"""`larqnets convert --postprocess`: from a trained detector to files for other programs, which every other command understands."""

import json

import numpy as np
import pytest
from PIL import Image

from larqnets.cli.preflight import suppression_of
from larqnets.errors import LarqnetsError
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.reading import read_model

TOML = """
[model]
method = "birealnet"
backbone = "resnet18"
stem = "imagenet"
width = 0.125
[data]
dataset = "folder:squares"
image_size = 32
image_width = 64
[task]
kind = "detection"
fpn_width = 32
tower_convs = 1
levels = 2
[train]
epochs = 1
batch_size = 4
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory, forked):
    """A folder with a run of a binary detector, `squares`, and its own call of larqnets."""
    folder = tmp_path_factory.mktemp("boxes")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 3)):
        images, labels = folder / "squares" / split / "images", folder / "squares" / split / "labels"
        images.mkdir(parents=True)
        labels.mkdir()
        for i in range(count):
            picture = rng.integers(0, 60, (32, 64, 3), np.uint8)
            x = rng.integers(0, 48)
            picture[8:24, x : x + 16] = (200, 40, 40) if i % 2 else (40, 200, 40)
            Image.fromarray(picture).save(images / f"{i}.png")
            (labels / f"{i}.txt").write_text(f"{i % 2} {(x + 8) / 64} 0.5 0.25 0.5\n")
    (folder / "squares" / "classes.txt").write_text("green\nred\n")
    (folder / "squares.toml").write_text(TOML)
    trained = forked("train", "squares.toml", "--name", "squares", cwd=folder)
    assert trained.code == 0, trained.err
    return folder, lambda *arguments: forked(*arguments, cwd=folder)


@pytest.fixture(scope="module")
def converted(runs):
    _, call = runs
    done = call("convert", "runs/squares", "--twins", "--postprocess", "--json")
    assert done.code == 0, done.err
    return json.loads(done.out)


def test_every_file_of_a_detector_has_one_beside_it_that_suppresses(runs, converted):
    folder, _ = runs
    assert list(converted["files"]) == ["binary", "float", "int8", "binary_nms", "float_nms", "int8_nms"]
    assert converted["postprocess"] == {"suppression": "fast", "samples": 11, "arm64_samples": 0}
    assert converted["verification"]["equal"]
    assert converted["verification"]["counted"] == "of the boxes are found by both"
    for variant in ("binary", "float", "int8"):
        own, beside = (read_model(folder / f"runs/squares/arm64/{name}.tflite") for name in (variant, f"{variant}_nms"))
        assert [op.name for op in beside.subgraphs[0].operators][: len(own.subgraphs[0].operators)] == [
            op.name for op in own.subgraphs[0].operators
        ]
        assert beside.subgraphs[0].operators[-1].name == "TFLite_Detection_PostProcess"
        assert own_metadata(beside) == {**own_metadata(own), "postprocess": "fast"}
        assert ("TFLITE_METADATA" in beside.metadata) == (variant != "binary")
        assert converted["files"][f"{variant}_nms"]["scores"] is None


def test_a_file_that_suppresses_is_verified_from_its_own_bytes(runs, converted):
    _, call = runs
    done = call("verify", "runs/squares/arm64/binary_nms.tflite", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["equal"]


def test_what_wants_boxes_and_scores_says_which_file_has_them(runs, converted):
    folder, call = runs
    Image.fromarray(np.zeros((32, 64, 3), np.uint8)).save(folder / "a.png")
    for command in (
        ("run", "runs/squares/arm64/binary_nms.tflite", "a.png"),
        ("evaluate", "runs/squares/arm64/float_nms.tflite"),
    ):
        refused = call(*command)
        assert refused.code == 1
        assert "is no detector of things in images" in refused.err
    np.save(folder / "x.npy", np.zeros((1, 32, 64, 3), np.float32))
    ran = call("run", "runs/squares/arm64/binary_nms.tflite", "x.npy", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["output_names"] == ["boxes", "classes", "scores", "count"]


def test_class_by_class_says_what_it_means_for_threads(runs):
    folder, call = runs
    done = call("convert", "runs/squares", "--output", "regular", "--postprocess", "--regular-nms")
    assert done.code == 0, done.err
    assert "with T threads it leaves out the class of number T" in " ".join(done.out.split())
    assert "leave out overlapping boxes, class by class" in " ".join(done.out.split())
    (op,) = [
        op
        for op in read_model(folder / "regular/binary_nms.tflite").subgraphs[0].operators
        if op.is_custom and "Detection" in op.name
    ]
    assert op.options["use_regular_nms"] == 1


def test_a_classifier_has_no_boxes_to_leave_out(demo, process):
    done = process("convert", "runs/demo", "--postprocess", "--output", "elsewhere", cwd=demo.folder)
    assert (done.code, done.out) == (1, "")
    assert "is a network for classification, and --postprocess leaves out overlapping boxes" in " ".join(
        done.err.split()
    )
    assert not (demo.folder / "elsewhere").exists()


@pytest.mark.parametrize(("given", "due"), [((False, False), None), ((True, False), "fast"), ((True, True), "regular")])
def test_how_boxes_are_left_out(given, due):
    assert suppression_of(*given) == due


def test_regular_alone_says_nothing():
    with pytest.raises(LarqnetsError, match="Add --postprocess"):
        suppression_of(False, True)
