"""What extras bring, and what is said and still works where they are not installed."""

import importlib.metadata
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from PIL import Image
from sessions import session

from android_bench.record import to_json
from deploy.run.shipped import example_of
from larqnets import extras, legend
from larqnets.config import load_config
from larqnets.data.box_picture import drawn
from larqnets.errors import LarqnetsError
from larqnets.legend import Legend
from larqnets.runs.run import Run

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PLOT = 'pip install "larqnets[plot]"'


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements} - {"larqnets"}


def within(requirements: list[str]) -> set[str]:
    """The extras of ours among them."""
    return {extra for text in requirements for r in [Requirement(text)] if r.name == "larqnets" for extra in r.extras}


@pytest.fixture
def without_plot(monkeypatch):
    """matplotlib and jinja2 count as not installed, and cannot be imported."""
    there = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda package: _but_plot(package, there))
    for module in ("matplotlib", "matplotlib.figure", "matplotlib.ft2font", "jinja2"):
        monkeypatch.setitem(sys.modules, module, None)
    cached = (legend.font, legend.font_file, legend._drawn_alone)
    for one in cached:
        one.cache_clear()
    yield
    for one in cached:
        one.cache_clear()


def _but_plot(package, there):
    if package in extras.EXTRAS["plot"].own:
        raise importlib.metadata.PackageNotFoundError(package)
    return there(package)


def test_the_core_is_what_the_project_says():
    assert names(PROJECT["dependencies"]) == set(extras.CORE)


def test_the_extras_are_those_of_the_project():
    """But that of developers, who have a checkout and `make`."""
    asked = {name: texts for name, texts in PROJECT["optional-dependencies"].items() if name != "dev"}
    assert list(extras.EXTRAS) == list(asked)
    for name, extra in extras.EXTRAS.items():
        assert {canonicalize_name(own) for own in extra.own} == names(asked[name]) - set(extras.CORE)
        assert set(extra.within) == within(asked[name])


@pytest.mark.parametrize("extra", ["bench", "train"])
def test_pictures_come_with(extra):
    assert {"matplotlib", "jinja2"} <= set(extras.EXTRAS[extra].packages)


@pytest.mark.parametrize(
    ("packages", "said"),
    [
        (("matplotlib",), f"Pictures need matplotlib, which is not installed: {PLOT}"),
        (("jinja2", "matplotlib"), f"Pictures need jinja2 and matplotlib, which are not installed: {PLOT}"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(without_plot, packages, said):
    with pytest.raises(LarqnetsError) as raised:
        extras.require("Pictures", *packages)
    assert str(raised.value) == said
    extras.require("Reading", "numpy")


def test_doctor_lists_every_extra(cli, without_plot):
    report = {extra["name"]: extra for extra in json.loads(cli("doctor", "--json").out)["extras"]}
    assert list(report) == list(extras.EXTRAS)
    plot = {"name": "plot", "purpose": extras.EXTRAS["plot"].purpose, "packages": ["matplotlib", "jinja2"]}
    assert report["plot"] == plot | {"missing": ["matplotlib", "jinja2"], "installed": False, "install": PLOT}
    assert report["train"]["missing"] == ["matplotlib", "jinja2"]
    assert report["detection"]["installed"] is True
    shown = cli("doctor").out
    assert PLOT in shown
    assert 'pip install "larqnets[detection]"' not in shown
    assert "not installed" in shown
    assert "partly" in shown


@pytest.mark.parametrize(
    ("arguments", "what", "missing"),
    [
        (["curves", "runs/RUN"], "Pictures", "matplotlib, which is"),
        (["curves", "runs/RUN", "--parameters"], "Pictures", "matplotlib, which is"),
        (["pareto", "table.csv"], "Pictures", "matplotlib, which is"),
        (["report", "s.json", "--html", "s.html"], "Pages of reports", "matplotlib and jinja2, which are"),
        (["report", "s.json", "--markdown", "s.md"], "Pages of reports", "matplotlib and jinja2, which are"),
        (["report", "runs/RUN"], "Reports of runs", "matplotlib, which is"),
        (["report", "runs/RUN", "--html", "r.html"], "Reports of runs", "matplotlib and jinja2, which are"),
        (["evaluate", "runs/RUN", "--confusion", "c.png"], "Pictures", "matplotlib, which is"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_commands_that_draw_say_so_before_they_work(cli, without_plot, tmp_path, arguments, what, missing):
    Run.create(tmp_path / "runs", "RUN", load_config("digits"))
    (tmp_path / "s.json").write_text(json.dumps(to_json(session())))
    (tmp_path / "table.csv").write_text("")
    before = sorted(tmp_path.rglob("*"))
    done = cli(*arguments)
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1] == f"larqnets: {what} need {missing} not installed: {PLOT}"
    assert sorted(tmp_path.rglob("*")) == before


def test_decompose_says_so_before_it_works(cli, without_plot, demo):
    done = cli("decompose", demo.run, "--method", "int8")
    assert done.code == 1
    assert done.err.splitlines()[-1] == f"larqnets: Pictures need matplotlib, which is not installed: {PLOT}"


def test_a_session_is_shown_without_pages(cli, without_plot, tmp_path):
    (tmp_path / "s.json").write_text(json.dumps(to_json(session())))
    done = cli("report", "s.json")
    assert (done.code, done.err) == (0, "")


def test_boxes_and_sheets_have_letters_without_matplotlib(cli, without_plot, tmp_path):
    assert legend.font_file() is None
    taken = Legend()
    assert taken.drawn("cat, 5 % of a Käse 猫…") == "cat, 5 % of a K#1se #2…"
    assert taken.entries == {"#1": "ä", "#2": "猫"}
    plain = Image.new("RGB", (200, 160), (90, 90, 90))
    boxed = drawn(plain, [[20, 60, 150, 140]], ["cat"], [0.5], [(250, 220, 10)])
    plate = boxed.crop((20, 40, 150, 60)).getcolors()
    assert plate is not None
    colors = {color for _, color in plate}
    assert {(250, 220, 10), (90, 90, 90)} < colors
    assert min(map(sum, colors)) < 60, "letters are black"
    for label in ("猫", "cat"):
        (tmp_path / "set" / label).mkdir(parents=True)
        for number in range(3):
            plain.resize((20 + number, 20)).save(tmp_path / "set" / label / f"{number}.png")
    done = cli("data", "check", "set", "--sheet", "sheet.png")
    assert done.code == 0, done.err
    assert done.out.splitlines()[-3:] == [
        *("letters that the font of pictures lacks are drawn as numbers:", "  #1 is 猫"),
        f"matplotlib brings a font with letters of more scripts: {PLOT}",
    ]
    assert Image.open(tmp_path / "sheet.png").width > 200


def _fresh(code: str, refused: tuple[str, ...]) -> subprocess.CompletedProcess:
    """Run code in a process of its own in which some packages cannot be imported."""
    hook = f"""
import sys
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {refused}:
            raise ImportError(f"{{name}} is imported")
sys.meta_path.insert(0, Refused())
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-c", hook + code], capture_output=True, text=True, env=environment)


def test_an_interpreter_imports_numpy_and_the_reader_alone(bundle):
    """Neither what commands need, nor what draws; pictures are read by the classifier alone."""
    code = """
import numpy as np
from larqnets import Interpreter
from deploy.run.shipped import find_model
model = Interpreter(find_model("digits"), device="qemu")
print(model.predict(np.zeros((1, 8, 8, 1), np.float32)).shape)
"""
    refused = ("typer", "click", "rich", "PIL", "matplotlib", "jinja2", "tomlkit", "scipy", "tensorflow", "larq")
    done = _fresh(code, refused)
    assert (done.stdout, done.stderr) == ("(1, 10)\n", "")
    assert "PIL is imported" in _fresh("from larqnets import Classifier", refused).stderr


def test_the_core_shows_a_photo_with_boxes_without_matplotlib(bundle, tmp_path):
    code = f"""
sys.argv = ["larqnets", "run", "bccd", {str(example_of("bccd"))!r}, "--output", "boxes.png", "--device", "qemu"]
import importlib.metadata
there = importlib.metadata.version
def version(package):
    if package in ("matplotlib", "jinja2"):
        raise importlib.metadata.PackageNotFoundError(package)
    return there(package)
importlib.metadata.version = version
import os; os.chdir({str(tmp_path)!r})
from larqnets.cli.main import main
main()
"""
    done = _fresh(code, ("matplotlib", "jinja2", "scipy", "tensorflow", "larq"))
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    picture, photo = (Image.open(file).convert("RGB") for file in (tmp_path / "boxes.png", example_of("bccd")))
    assert picture.size == photo.size
    assert picture.tobytes() != photo.tobytes()
