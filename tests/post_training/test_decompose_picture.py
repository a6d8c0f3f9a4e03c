"""The picture of methods: nothing of it is cut off, however many networks it shows and however good their points are."""

import pytest

from larqnets.post_training.picture import LOWEST, DrawnNetwork, draw_methods
from larqnets.studies.decompose_compare import points


@pytest.mark.parametrize("networks", [1, 2, 3])
def test_the_legend_lies_within_the_picture(networks):
    lines = dict.fromkeys(point.line for point in points().values() if point.line)
    drawn = {f"network {i}": DrawnNetwork(0.8, {line: [(1000, 0.79)] for line in lines}) for i in range(networks)}
    figure = draw_methods(drawn, "miou")
    figure.canvas.draw()
    (legend,) = figure.legends
    assert len(legend.get_texts()) == len(lines) > 6
    words = legend.get_window_extent()
    assert figure.bbox.x0 <= words.x0 < words.x1 <= figure.bbox.x1
    assert figure.axes[0].get_ylabel().startswith("test miou;")


@pytest.mark.parametrize(("best", "top"), [(0.78, 0.806), (0.8, 0.806), (0.83, 0.831)])
def test_a_method_that_is_better_than_float_is_shown(best, top):
    figure = draw_methods({"one": DrawnNetwork(0.8, {"int8": [(2000, 0.7), (1000, best)]})}, "accuracy")
    low, high = figure.axes[0].get_ylim()
    assert (low, high) == (pytest.approx(0.8 - LOWEST), pytest.approx(top))
