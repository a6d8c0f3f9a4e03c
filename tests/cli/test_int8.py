"""`convert --int8` from the command line: what it refuses, writes and tells, and what the other commands say of its files."""

import json
import shutil

import numpy as np
import pytest

from deploy.run.shipped import example_of
from larqnets.cli.int8_options import int8_requests
from larqnets.errors import LarqnetsError


def requested(rests=("mixed",), **given):
    options = dict.fromkeys(("images", "calibration", "keep_float", "input_type", "output_type", "max_drop"))
    return int8_requests(list(rests), **(options | given))


@pytest.mark.parametrize(
    ("rests", "given", "told"),
    [
        ((), {"max_drop": 0.3}, r"--max-drop is about files with an int8 rest\. Add --int8 mixed or --int8 full"),
        (("mixt",), {}, r"There is no int8 rest 'mixt'\. Did you mean 'mixed'\? Use mixed or full"),
        (("full",), {"calibration": "kl"}, r"There is no calibration 'kl'"),
        (("full",), {"input_type": "uint16"}, r"There is no input type 'uint16'\. Did you mean 'uint8'"),
    ],
)
def test_options_that_make_no_sense_are_refused(rests, given, told):
    with pytest.raises(LarqnetsError, match=told):
        requested(rests, **given)


def test_options_become_a_request_for_each_rest():
    mixed, full = requested(("mixed", "full", "mixed"), keep_float="stem, head,stem", output_type="int8")
    assert (mixed.rest, full.rest) == ("mixed", "full")
    assert (mixed.images, mixed.calibration, mixed.max_drop) == (256, "percentile", None)
    assert mixed.keep_float == full.keep_float == ("stem", "head")
    assert mixed.ends == ("float", "int8")
    assert requested(()) == ()


def test_a_run_with_its_rest_in_int8_is_written_proven_run_and_told_of(demo, forked, tmp_path):
    """Bytes of a camera go into the file, and what the others say of it is what its manifest says."""
    out, run = tmp_path / "files", shutil.copytree(demo.run, tmp_path / "demo")  # its card is told of the files
    done = forked(
        "convert",
        run,
        "--output",
        out,
        "--int8",
        "mixed",
        "--input-type",
        "uint8",
        "--calibration-images",
        64,
        cwd=demo.folder,
    )
    assert done.code == 0, done.err
    assert "binary_int8_mixed.tflite: ranges of 64 training images (seed 0, percentile)" in done.out
    assert "takes uint8, a camera's bytes as they are, answers with float" in done.out
    assert "ADD: mixed leaves the residual stream float" in done.out
    assert "op by op on the same integers, 16 samples: yes" in done.out
    entry = json.loads((out / "manifest.json").read_text())["files"]["binary_int8_mixed"]
    rest = entry["int8_rest"]
    assert rest["calibration"] == {"images": 64, "method": "percentile", "seed": 0, "learned": []}
    assert rest["interval"]["low"] < rest["interval"]["value"] == entry["test_accuracy"] < rest["interval"]["high"]
    assert rest["difference"]["value"] == pytest.approx(rest["score"] - rest["float_rest_score"])
    assert {op["kind"] for op in rest["proof"]["ops"]} == {"larq", "int8", "float", "boundary"}

    file = out / "binary_int8_mixed.tflite"
    verified = forked("verify", file, "--source", run, "--json", cwd=demo.folder)
    assert verified.code == 0, verified.err
    assert json.loads(verified.out)["integers"]["equal"] is True
    assert "int8 rest: mixed; ranges of 64 training images" in forked("inspect", file, cwd=demo.folder).out
    np.save(tmp_path / "x.npy", np.zeros((1, 8, 8, 1), np.uint8))
    assert forked("run", file, tmp_path / "x.npy", cwd=demo.folder).code == 0
    said = forked("run", file, example_of("digits"), "--json", cwd=demo.folder)
    assert json.loads(said.out)["predictions"][0][0]["label"] in "0123456789"
    measured = json.loads(forked("evaluate", file, "--json", cwd=demo.folder).out)
    assert measured["scores"]["accuracy"] == pytest.approx(entry["test_accuracy"])
    (out / "binary.tflite").unlink()
    lost = forked("verify", file, "--source", run, cwd=demo.folder)
    assert lost.code == 1
    assert "was made of binary.tflite, by which it is proven and which is not beside it" in lost.err
