"""What users import: every public name loads, lazily, and nothing else is there."""

import subprocess
import sys

import pytest
from box_files import box_file

import larqnets


@pytest.mark.parametrize("name", larqnets.__all__)
def test_every_public_name_loads(name):
    assert getattr(larqnets, name) is not None
    assert name in dir(larqnets)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'creat_model'"):
        _ = larqnets.creat_model


def test_importing_larqnets_imports_no_tensorflow():
    code = "import larqnets, sys; print(sorted({'tensorflow', 'larq', 'numpy', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def made(tmp_path):
    """An object of everything public that has objects, and of what public functions return."""
    import numpy as np

    from deploy.proof.converted import Converted
    from deploy.proof.verify import Verification
    from deploy.run.shipped import find_model
    from larqnets.tflite.reading import read_model

    file = find_model("digits")
    experiment = larqnets.load_config("digits", ["description='a\\nb'", "model.width=0.0625"])
    proof = Verification(False, ["one\nreason"], [], [], 0.0, 1000, True, 0.1, 0.9, 0.5, 0.5, "lce")
    return [
        experiment,
        larqnets.Run.create(tmp_path, "a \x1b run", experiment),
        larqnets.load_dataset(experiment.data),
        larqnets.count(larqnets.create_model("real", "resnet8", (8, 8, 1), 10, width=0.0625)),
        larqnets.Samples(np.zeros((20, 8, 8, 1), np.float32), num_test=10),
        larqnets.inspect_model(file),
        larqnets.Interpreter(file),
        larqnets.Classifier(file),
        larqnets.Segmenter(find_model("nuclei")),
        larqnets.Detector(box_file()),
        proof,
        Converted("binary", read_model(file), proof, None),
        larqnets.Int8Request("mixed"),
        larqnets.LarqnetsError("What. Do."),
    ]


def test_every_public_object_is_told_in_a_line(tmp_path, tfds_dir, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))
    objects = made(tmp_path)
    classes = {name for name in larqnets.__all__ if isinstance(getattr(larqnets, name), type)}
    assert classes <= {type(thing).__name__ for thing in objects}
    for thing in objects:
        line = repr(thing)
        assert line.isprintable(), line
        assert len(line) < 200, line
        assert type(thing).__name__ in line
        assert " at 0x" not in line
    assert repr(objects[0]) == "<Experiment birealnet on resnet8, digits: 40 epochs, seed 0>"
    assert repr(objects[2]) == "<Dataset digits: 10 labels, 1,347 train, 450 test images 8x8x1>"
    assert repr(objects[4]) == "<Samples: 20 images 8x8x1, 10 of them test images>"
