"""The schema of what larqnets writes into a file is what is in files."""

import dataclasses

import pytest

from deploy.run.shipped import find_model, list_models
from larqnets.errors import LarqnetsError
from larqnets.schema import from_mapping
from larqnets.tflite.file_metadata import FileMetadata, checked, own_metadata
from larqnets.tflite.reading import read_model

KEYS = {field.name for field in dataclasses.fields(FileMetadata)}


@pytest.mark.parametrize("name", list_models())
def test_shipped_files_say_nothing_else(name):
    said = own_metadata(read_model(find_model(name)))
    assert said is not None
    headline = said["run"].pop("headline", "accuracy")
    assert 0 < said["run"].pop(f"test_{headline}") <= 1
    known = from_mapping(FileMetadata, said, "", name)
    assert known.task == said.get("task")
    assert known.preprocess is not None
    assert list(known.preprocess.labels) == said["preprocess"]["labels"]


def test_converted_files_say_nothing_else(demo):
    for path in demo.binary.parent.glob("*.tflite"):
        said = own_metadata(read_model(path))
        assert said is not None
        assert said.keys() <= KEYS
        from_mapping(FileMetadata, said, "", path.name)


@pytest.mark.parametrize(
    "wrong",
    [{"layers": ["a"]}, {"nms": {"iou": "0.5"}}, {"output": "logit"}, {"preprocess": {"labels": []}}, {"format": "1"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_is_written_is_held_against_it(wrong):
    with pytest.raises(LarqnetsError, match=r"^Metadata of the file: "):
        checked(wrong)


def test_keys_of_others_are_passed_over():
    assert checked({"mine": [1], "format": 1}) == {"mine": [1], "format": 1}
