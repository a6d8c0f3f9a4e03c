"""`larqnets convert --output mask` and `small`: from a trained run to files that every other command understands."""

import json

import numpy as np
import pytest
from masked import NAMES, write_folder

from larqnets.cli.preflight import form_and_folder
from larqnets.errors import LarqnetsError
from larqnets.tflite.reading import read_model


@pytest.fixture(scope="module")
def runs(tmp_path_factory, forked):
    """A folder with a run of a binary segmenter, `cells`, one of a SegNet, `segnet`, and its own call of larqnets."""
    folder = tmp_path_factory.mktemp("forms")
    write_folder(folder / "cells-images", size=(32, 48))
    for name, model in (("cells", '"birealnet"\nbackbone = "resnet18"'), ("segnet", '"segnet"\nbackbone = "vgg7"')):
        stem = "imagenet" if name == "cells" else "small"
        head = "fcn" if name == "cells" else "plain"
        (folder / f"{name}.toml").write_text(
            f'[model]\nmethod = {model}\nstem = "{stem}"\nwidth = 0.125\n[data]\ndataset = "folder:cells-images"\n'
            f'image_size = 32\nimage_width = 48\n[task]\nkind = "segmentation"\nhead = "{head}"\n[train]\nepochs = 1\n'
            "batch_size = 4\n"
        )
        trained = forked("train", f"{name}.toml", "--name", name, cwd=folder)
        assert trained.code == 0, trained.err

    def call(*arguments):
        return forked(*arguments, cwd=folder)

    return folder, call


def test_a_run_gives_masks_that_all_commands_know(runs):
    folder, call = runs
    done = call("convert", "runs/cells", "--output", "masks", "--output", "mask", "--json")
    assert done.code == 0, done.err
    manifest = json.loads(done.out)
    assert (manifest["folder"], manifest["form"]) == ("masks", {"form": "mask", "samples": 3, "arm64_samples": 0})
    assert call("convert", "runs/cells", "--output", "logits").code == 0
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=(2, 32, 48, 3)).astype(np.float32))
    answers, scores = [], []
    for file in ("masks/binary.tflite", "runs/cells/arm64/binary.tflite"):
        ran = call("run", file, "x.npy", "--output", "y.npy", "--json")
        assert ran.code == 0, ran.err
        answers.append((np.load(folder / "y.npy"), json.loads(ran.out)))
        scores.append(json.loads(call("evaluate", file, "--dataset", "folder:cells-images", "--json").out)["scores"])
    (mask, said), (logits, before) = answers
    np.testing.assert_array_equal(mask, logits.argmax(-1))
    assert (mask.dtype, said["output_names"], said["output_kind"]) == (np.uint8, ["mask"], "mask")
    assert said["predictions"] == before["predictions"]
    assert scores[0] == scores[1] == manifest["files"]["binary"]["scores"]
    inspected = json.loads(call("inspect", "masks/binary.tflite", "--json").out)
    assert [op["op"] for op in inspected["ops"][-2:]] == ["ARG_MAX", "CAST"]
    facts = json.loads(read_model(folder / "masks/binary.tflite").metadata["larqnets"])
    assert (facts["task"], facts["output"], facts["classes"], facts["ignore_label"], facts["resize"]) == (
        *("segmentation", "mask", list(NAMES), 255),
        "bilinear_half_pixel",
    )
    assert len(facts["colors"]) == len(NAMES)
    verified = call("verify", "masks/binary.tflite", "--source", "runs/cells", "--json")
    assert verified.code == 0, verified.err
    assert json.loads(verified.out)["equal"]


def test_small_logits_are_scored_in_the_size_of_the_masks(runs):
    _, call = runs
    done = call("convert", "runs/cells", "-o", "small", "-o", "little")
    assert done.code == 0, done.err
    assert (
        "the files answer with logits before they are enlarged: bit for bit what the proven logits give, on 3 images here"
        in done.out
    )
    assert call("verify", "little/binary.tflite", "--source", "runs/cells").code == 0
    evaluated = call("evaluate", "little/binary.tflite", "--dataset", "folder:cells-images", "--json")
    of_run = json.loads(call("evaluate", "runs/cells", "--json").out)
    assert json.loads(evaluated.out)["scores"]["miou"] == pytest.approx(of_run["scores"]["miou"], abs=0.01)
    shapes = json.loads(call("inspect", "little/binary.tflite", "--json").out)["outputs"]
    assert shapes[0]["shape"] == [1, 4, 6, 3]


def test_what_has_no_such_form_says_so_before_anything_is_converted(runs, demo):
    _, call = runs
    for arguments, words in (
        (("runs/segnet", "--output", "small"), "does not end with a resize, so its logits are as small as they get"),
        ((demo.run, "--output", "mask"), "is a network for classification, and mask is an answer for every pixel"),
        (("zoo:quicknet", "--output", "small"), "zoo:quicknet is a network for classification"),
        (("runs/cells", "-o", "mask", "-o", "small"), "once each, not mask, small."),
        (("runs/cells", "-o", "a", "-o", "b"), "once each, not a, b."),
    ):
        done = call("convert", *arguments)
        assert done.code == 1
        assert words in done.err
        assert len(done.err.strip().splitlines()[-1].split(". ")) <= 3
    assert call("convert", "runs/segnet", "--output", "mask").code == 0


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ("logits", None)),
        (["mask"], ("mask", None)),
        (["out"], ("logits", "out")),
        (["./mask"], ("logits", "mask")),
        (["out", "small"], ("small", "out")),
    ],
)
def test_an_output_is_a_form_or_a_folder(given, expected):
    form, folder = form_and_folder(given)
    assert (form, folder and str(folder)) == expected
    with pytest.raises(LarqnetsError, match="--output is a folder, or one of logits, mask, small"):
        form_and_folder(["mask", "mask"])
