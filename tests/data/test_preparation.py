"""What options say of the images of somebody else's network."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larqnets import LarqnetsError
from larqnets.data.info import normalisation
from larqnets.data.preparation import NOT_SAID, Preparation, read_labels, read_preparation, read_size

numbers = st.floats(-300, 300, allow_subnormal=False)
positive = st.floats(0.01, 300)


@given(st.lists(st.tuples(numbers, positive), min_size=1, max_size=3), st.floats(1e-4, 10), st.integers(0, 255))
def test_pixels_times_scale_minus_mean_over_std(pairs, scale, pixel):
    means, stds = zip(*pairs, strict=True)
    said = read_preparation(",".join(map(repr, means)), ",".join(map(repr, stds)), repr(scale))
    factor, offset = normalisation(said.mean, said.std)
    due = (pixel * scale - np.array(means)) / np.array(stds)
    np.testing.assert_allclose(pixel * factor.astype(float) + offset, due, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("texts", "due"),
    [
        ((None, None, "1"), ((0.0,), (1 / 255,))),
        ((None, None, "1/255"), ((0.0,), (1.0,))),
        (("0.5", "0.5", None), ((0.5,), (0.5,))),
        (("127.5", "127.5", "1"), ((0.5,), (0.5,))),
        (("1", None, "1/127.5"), ((0.5,), (0.5,))),
        (("0.485,0.456,0.406", "0.229", None), ((0.485, 0.456, 0.406), (0.229,) * 3)),
    ],
)
def test_what_people_write(texts, due):
    said = read_preparation(*texts)
    assert (said.mean, said.std) == (pytest.approx(due[0]), pytest.approx(due[1]))


def test_nothing_said():
    assert read_preparation() == NOT_SAID
    assert not NOT_SAID.changes


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": "a"},
        {"mean": ""},
        {"mean": "1,,2"},
        {"mean": "1,2,3,4"},
        {"mean": "nan"},
        {"std": "inf"},
        {"std": "1/0"},
        {"std": "0"},
        {"std": "1,1,-1"},
        {"scale": "0"},
        {"scale": "-1/255"},
        {"scale": "1,2"},
        {"scale": "1e-300"},
        {"std": "1e300"},
        {"std": "1e-300"},
        {"mean": "1e30"},
        {"mean": "1,2,3", "std": "1,2"},
        {"image_size": "0"},
        {"image_size": "224x224x3"},
        {"image_size": "-3"},
        {"image_size": "99999"},
        {"labels": "cat"},
        {"labels": "cat,,dog"},
        {"labels": "x" * 5000},
        {"labels": "a,\udcff"},
        {"labels": "\0"},
    ],
    ids=str,
)
def test_what_nobody_means(wrong):
    with pytest.raises(LarqnetsError) as error:
        read_preparation(**wrong)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(("text", "due"), [("224", (224, 224)), ("12x9", (12, 9)), ("12X9", (12, 9))])
def test_sizes(text, due):
    assert read_size(text) == due


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n\n", ""])
def test_labels_of_a_file(tmp_path, ending):
    line = "\r\n" if ending == "\r\n" else "\n"
    (tmp_path / "l.txt").write_bytes(("\ufeffcrane" + line + "black swan, male" + line + "crane" + ending).encode())
    assert read_labels(str(tmp_path / "l.txt")) == ("crane", "black swan, male", "crane")
    assert read_labels("crane, swan ,crane") == ("crane", "swan", "crane")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "holds 0 labels"),
        (b"one\n", "holds 1 labels"),
        (b"a\n\nb\n", "Label 2 of .* is empty"),
        (b"\xff\xfe", "it is not UTF-8 text"),
        (b"a\nb\x1b[31m", None),
    ],
)
def test_files_that_are_no_labels(tmp_path, content, sentence):
    (tmp_path / "l.txt").write_bytes(content)
    if sentence is None:  # a terminal's own characters are escaped where they are shown
        assert read_labels(str(tmp_path / "l.txt")) == ("a", "b\x1b[31m")
        return
    with pytest.raises(LarqnetsError, match=sentence):
        read_labels(str(tmp_path / "l.txt"))


def test_what_was_known_stays_where_nothing_is_said():
    known = Preparation((0.1,), (0.2,), ("a", "b"))
    assert NOT_SAID.over(known, (8, 8, 3)) == Preparation((0.1,) * 3, (0.2,) * 3, ("a", "b"))
    assert Preparation((0.3,), (0.4,)).over(known, (8, 8, 1)) == Preparation((0.3,), (0.4,), ("a", "b"))
    assert Preparation(labels=("c", "d")).over(known, (8, 8, 1)) == Preparation((0.1,), (0.2,), ("c", "d"))
    assert NOT_SAID.over(NOT_SAID, (5,)) == NOT_SAID


@pytest.mark.parametrize("shape", [(5,), (8, 8), (8, 8, 2), (8, 8, 4), (4, 8, 8, 3)])
def test_what_are_no_images(shape):
    with pytest.raises(LarqnetsError, match="no grey or RGB images"):
        Preparation(labels=("a", "b")).over(NOT_SAID, shape)


@pytest.mark.parametrize(("numbers", "channels"), [(3, 1), (2, 3), (2, 1)])
def test_a_number_for_every_channel(numbers, channels):
    with pytest.raises(LarqnetsError, match=f"are {numbers} numbers each and the images have {channels} channels"):
        Preparation((0.5,) * numbers, (1.0,) * numbers).over(NOT_SAID, (8, 8, channels))
