"""Boxes on pictures: where lines are, which one is on top, that captions stay inside, what a font lacks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from larqnets.data.box_picture import box_colors, drawn
from larqnets.legend import Legend

RED, GREEN = (255, 0, 0), (0, 255, 0)


def black(height=100, width=120):
    return Image.fromarray(np.zeros((height, width, 3), np.uint8))


def painted(picture, color):
    """The rows and columns of the pixels of a colour."""
    return np.argwhere((np.asarray(picture) == color).all(-1))


def test_the_outline_is_the_first_and_last_pixels_of_the_box():
    picture = np.asarray(drawn(black(), [[10, 20, 50, 60]], [""], colors=[RED]))
    expected = np.zeros((100, 120), bool)
    expected[20:60, 10:50] = True
    expected[21:59, 11:49] = False
    np.testing.assert_array_equal((picture == RED).all(-1), expected)


def test_a_grey_picture_becomes_one_with_colours_and_is_not_changed_itself():
    grey = Image.fromarray(np.zeros((50, 50), np.uint8))
    assert len(painted(drawn(grey, [[5, 5, 20, 20]], [""], colors=[GREEN]), GREEN))
    assert not np.asarray(grey).any()
    assert drawn(grey, np.zeros((0, 4)), []).mode == "RGB"


def test_the_first_box_is_on_top():
    box = [10, 20, 50, 60]
    assert not len(painted(drawn(black(), [box, box], ["", ""], colors=[RED, GREEN]), GREEN))


@given(
    st.lists(st.floats(-500, 500), min_size=4, max_size=4),
    st.text(max_size=30),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
def test_any_box_can_be_drawn_on_any_picture(edges, label, size):
    x0, y0, dx, dy = edges
    picture = drawn(black(*size), [[x0, y0, x0 + abs(dx), y0 + abs(dy)]], [label], [0.5], [RED])
    assert picture.size == size[::-1]
    assert len(painted(picture, RED))


def test_a_box_beyond_the_edge_is_cut_off():
    rows, columns = painted(drawn(black(), [[-10, -10, 500, 500]], [""], colors=[RED]), RED).T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 99, 0, 119)


@pytest.mark.parametrize("corner", [(0, 0), (110, 0), (0, 90), (110, 90)])
def test_a_caption_stays_in_the_picture(corner):
    x, y = corner
    picture = drawn(black(), [[x, y, x + 10, y + 10]], ["name"], [0.93], [RED])
    bare = drawn(black(), [[x, y, x + 10, y + 10]], [""], colors=[RED])
    plate = len(painted(picture, RED)) - len(painted(bare, RED))
    middle = drawn(black(200, 200), [[90, 90, 100, 100]], ["name"], [0.93], [RED])
    whole = len(painted(middle, RED)) - len(
        painted(drawn(black(200, 200), [[90, 90, 100, 100]], [""], colors=[RED]), RED)
    )
    assert whole - 40 <= plate <= whole  # some of it may lie on the outline


def test_what_the_font_lacks_stands_in_the_legend():
    legend = Legend()
    drawn(black(), [[10, 20, 50, 60]], ["細胞"], [0.5], [RED], legend)
    assert legend.lines() == ["#1 is 細胞"]


@pytest.mark.parametrize("classes", [1, 3, 20, 80])
def test_colours_of_classes_differ_and_none_is_black(classes):
    colors = box_colors(classes)
    assert len(set(colors)) == classes
    assert all(max(color) == 255 for color in colors)


def test_every_box_has_a_label_and_a_colour():
    with pytest.raises(ValueError, match="zip"):
        drawn(black(), [[10, 20, 50, 60]], ["a", "b"], colors=[RED])
