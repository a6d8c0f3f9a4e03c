"""A conversion of a run or a file: everything is loaded, described and parsed once and handed on."""

from pathlib import Path

import pytest
from calls import counted

from deploy.convert.sources import convert_source
from deploy.export.binary_layers import describe_binary_layers
from deploy.export.model import export_model
from deploy.export.precision import in_float32
from deploy.targets import Int8Request
from larqnets.data import load_dataset
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT
from larqnets.runs.keras_file import keras_file_content, load_keras_file
from larqnets.runs.names import Order
from larqnets.runs.weights import load_trained_model
from larqnets.tflite.verifier import verify as read_and_check
from larqnets.training.launch import launch

SMALL = ("model.width=0.25", "train.epochs=1", "train.batch_size=449")  # three steps
COUNTED = (describe_binary_layers, export_model, in_float32, load_dataset, load_keras_file, load_trained_model)


@pytest.fixture(scope="module")
def run(tmp_path_factory, tfds_dir):
    """A run of the digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tfds_dir))
        yield launch(Order("digits", runs=tmp_path_factory.mktemp("runs"), overrides=SMALL), SILENT)


def test_a_conversion_with_twins_makes_everything_once(run, tmp_path, monkeypatch):
    counts = counted(monkeypatch, *COUNTED, read_and_check)
    manifest = convert_source(run.path, "arm64", twins=True, out=tmp_path / "files", arm64_proof=False)
    assert set(manifest["files"]) == {"binary", "float", "int8"}
    # A network and its untrained twin. Three files, each as the converter writes it and with metadata; the binary one
    # also with more outputs.
    assert counts == {
        "describe_binary_layers": 2,
        "export_model": 2,
        "in_float32": 2,
        "load_dataset": 1,
        "load_trained_model": 1,
        "verify": 7,
    }


def test_a_conversion_of_a_file_makes_everything_once(run, tmp_path, monkeypatch):
    path = tmp_path / "net.h5"
    path.write_bytes(keras_file_content(load_trained_model(run)))
    counts = counted(monkeypatch, *COUNTED, read_and_check)
    manifest = convert_source(path, "arm64", arm64_proof=False)
    assert Path(manifest["folder"]) == tmp_path / "net-arm64"
    assert counts == {
        "describe_binary_layers": 1,
        "export_model": 1,
        "in_float32": 1,
        "load_keras_file": 1,
        "verify": 3,
    }


def test_what_is_wrong_is_said_before_images_are_loaded(run, tmp_path, monkeypatch):
    path = tmp_path / "net.h5"
    path.write_bytes(keras_file_content(load_trained_model(run)))
    counts = counted(monkeypatch, load_dataset)
    with pytest.raises(
        LarqnetsError, match=r"--int8 sees on training images how large values are\. Name some with --dataset"
    ):
        convert_source(path, "arm64", int8=[Int8Request("mixed")])
    with pytest.raises(LarqnetsError, match="Twins need a run, whose backbone they share"):
        convert_source(path, "arm64", twins=True, dataset="digits")
    with pytest.raises(LarqnetsError, match=r"was trained with method 'birealnet'\. A twin is a run of method 'real'"):
        convert_source(run.path, "arm64", twin_run=run.path)
    with pytest.raises(LarqnetsError, match="There is no run at"):
        convert_source(run.path, "arm64", twin_run=tmp_path / "absent")
    (tmp_path / "net.tflite").write_bytes(b"")
    with pytest.raises(LarqnetsError, match=r"net\.tflite is converted already\. Give it to larqnets inspect"):
        convert_source(tmp_path / "net.tflite", "arm64")
    assert not counts
