"""`larqnets pareto`: means over seeds, the front, the picture, and tables that are none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from larqnets.studies.pareto import Point, with_front

HEADER = "method,backbone,seed,test_accuracy,converted_test_accuracy,file_bytes,binary_macs,float_macs,seconds,arm64_instructions\n"
ROWS = (
    "real,resnet8,0,0.9,0.8,4000,0,100,1.0,9000\n"
    "birealnet,resnet8,0,0.9,0.70,400,90,10,1.0,3000\n"
    "birealnet,resnet8,1,0.9,0.74,400,90,10,1.0,3000\n"
    "xnornet,resnet8,0,0.9,0.60,500,90,10,1.0,3500\n"
)


def test_means_front_and_picture(cli, tmp_path):
    (tmp_path / "table.csv").write_text(HEADER + ROWS)
    done = cli("pareto", "table.csv", "--output", "p.png", "--json")
    assert done.code == 0, done.err
    shown = json.loads(done.out)
    assert [(p["method"], p["seeds"], p["on_front"]) for p in shown["points"]] == [
        ("real", 1, True),
        ("birealnet", 2, True),
        ("xnornet", 1, False),
    ]
    bireal = shown["points"][1]
    assert (bireal["accuracy"], bireal["lowest"], bireal["highest"]) == pytest.approx((0.72, 0.70, 0.74))
    with Image.open(tmp_path / "p.png") as picture:
        colours = {colour: count for count, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert colours.get((31, 119, 180), 0) > 50  # the front's blue
    assert colours.get((127, 127, 127), 0) > 20  # the grey of what is beaten
    assert "xnornet" in cli("pareto", "table.csv", "--cost", "file_bytes").out


def test_a_table_of_another_task_is_told_by_its_own_score(cli, tmp_path):
    (tmp_path / "table.csv").write_text(HEADER.replace("accuracy", "miou") + ROWS)
    done = cli("pareto", "table.csv", "--output", "p.png", "--json")
    assert done.code == 0, done.err
    shown = json.loads(done.out)
    assert (shown["score"], shown["points"][1]["miou"]) == ("miou", pytest.approx(0.72))
    assert "test miou" in cli("pareto", "table.csv").out
    (tmp_path / "table.csv").write_text(HEADER.replace("seconds", "converted_test_miou") + ROWS)
    assert "is not the table of a sweep" in cli("pareto", "table.csv").err


@pytest.mark.parametrize("rows", [ROWS, ROWS.splitlines()[0] + "\n"], ids=["some cost 0", "all cost 0"])
@pytest.mark.filterwarnings("error")
def test_a_network_that_costs_nothing_of_a_kind_is_drawn(cli, tmp_path, rows):
    """A real network has no binary MACs; it beats the others at that, so that its blue is the only one."""
    (tmp_path / "table.csv").write_text(HEADER + rows)
    done = cli("pareto", "table.csv", "--cost", "binary_macs", "--output", "p.png", "--json")
    assert done.code == 0, done.err
    assert [p["method"] for p in json.loads(done.out)["points"] if p["on_front"]] == ["real"]
    with Image.open(tmp_path / "p.png") as picture:
        colours = {colour: count for count, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert colours.get((31, 119, 180), 0) > 20


def test_options_that_the_table_shows_tell_methods_apart(cli, tmp_path):
    line = "groupnet,resnet8,0,0.9,{},400,90,10,1.0,{},{}\n"
    rows = line.format(0.7, 3000, "lbd,5") + line.format(0.8, 3500, "groupnet,5") + line.format(0.6, 1000, "groupnet,1")
    (tmp_path / "table.csv").write_text(HEADER.strip() + ",variant,k\n" + rows)
    points = json.loads(cli("pareto", "table.csv", "--json").out)["points"]
    assert [p["options"] for p in points] == [["groupnet", "5"], ["lbd", "5"], ["groupnet", "1"]]
    assert "groupnet lbd 5" in cli("pareto", "table.csv").out


point = st.builds(
    Point, st.just("m"), st.just("b"), st.just(1), st.floats(0, 1), st.just(0.0), st.just(1.0), st.integers(1, 9)
)


@given(st.lists(point, min_size=1, max_size=12))
def test_nothing_on_the_front_is_dominated_and_everything_else_is(points):
    marked = with_front(points)
    front = [p for p in marked if p.on_front]
    assert front
    for p in marked:
        better = [q for q in front if q.score >= p.score and q.cost <= p.cost]
        assert better  # by itself or by one that beats it
        if p.on_front:
            assert all((q.score, q.cost) == (p.score, p.cost) for q in better)


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (None, (), "Cannot read table.csv"),
        ("", (), "has no rows yet"),
        (HEADER, (), "has no rows yet"),
        ("a,b\n1,2\n", (), "is not the table of a sweep with the column arm64_instructions"),
        (HEADER + "real,resnet8,0,x,x,1,1,1,1,1\n", (), "is not the table of a sweep"),
        (HEADER + "real,resnet8,0,0.5,0.5,1,1,1,1,-1\n", (), "is not the table of a sweep"),
        (HEADER + "real,resnet8,0,0.5,0.5,1,1,1,1,\n", (), "has no arm64_instructions for real, seed 0"),
        (HEADER + ROWS, ("--cost", "file_byte"), "There is no cost 'file_byte'. Did you mean 'file_bytes'"),
        (HEADER + ROWS, ("--output", "p.bmp"), "Let it end in .png, .svg or .pdf"),
    ],
)
def test_what_cannot_be_drawn_is_said(cli, tmp_path, content, arguments, words):
    if content is not None:
        (tmp_path / "table.csv").write_text(content)
    done = cli("pareto", "table.csv", *arguments)
    assert done.code == 1
    assert words in done.err
    assert not list(tmp_path.glob("*.png"))
