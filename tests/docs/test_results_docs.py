"""What was measured stands in the pages as results/ have it, and a marker that is wrong is one sentence."""

import subprocess
import sys

import pytest

from docs.numbers import drawn, markers, pages
from docs.numbers.kinds import makers
from docs.numbers.sources import ROOT, one, texts
from larqnets.errors import LarqnetsError

MEND = "Run `make results-docs` and commit what it writes."
MADE = {"results": {"kernels": "| a |\n| --- |\n| 1 |"}, "r": {"ratio": "3.4", "rate": "12"}}
PAGE = """# Page

<!-- results: kernels -->
<!-- /results -->

`it` <!--r:ratio--><!--/r--> times as fast, <!--r:rate-->11<!--/r--> a second.
"""


@pytest.mark.parametrize("page", pages.pages(), ids=pages.shown)
def test_pages_have_what_was_measured(page):
    assert not pages.stale(page), MEND


def test_pictures_show_what_was_measured():
    assert not drawn.stale(), MEND


def test_every_name_is_used():
    used = {(place.kind, place.name) for page in pages.pages() for place in markers.places(page.read_text(), str(page))}
    defined = {(kind, name) for kind, named in makers().items() for name in named}
    assert not defined - used, "Remove what no page asks for, or ask for it."


def test_notes_say_which_command_measured_them():
    notes = texts("results/notes.csv")
    assert all(note["command"] and note["source"] and note["unit"] for note in notes)
    assert len({note["name"] for note in notes}) == len(notes)


def test_a_page_is_filled_and_then_stays():
    text, stale = markers.filled(PAGE, "page.md", MADE)
    assert [(place.name, place.line) for place in stale] == [("kernels", 3), ("ratio", 6), ("rate", 6)]
    assert "<!-- results: kernels -->\n\n| a |\n| --- |\n| 1 |\n\n<!-- /results -->" in text
    assert "`it` <!--r:ratio-->3.4<!--/r--> times as fast, <!--r:rate-->12<!--/r--> a second." in text
    assert markers.filled(text, "page.md", MADE) == (text, [])


def test_markers_in_code_are_text():
    page = "A number is `<!--r:NAME-->`.\n\n```\n<!-- results: NAME -->\n```\n\n  ~~~\n<!--/r-->\n  ~~~\n"
    assert markers.filled(page, "page.md", MADE) == (page, [])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "a\n<!-- results: kernls -->\n<!-- /results -->\n",
            "p.md:2: there is no table 'kernls'. Did you mean 'kernels'?",
        ),
        ("a <!--r:ratios-->1<!--/r-->", "p.md:1: there is no number 'ratios'. Did you mean 'ratio'?"),
        ("a <!--r:kernels-->1<!--/r-->", "p.md:1: there is no number 'kernels'."),
        ("\n<!-- results: kernels -->\n", "p.md:2: 'kernels' has no end; put <!-- /results --> behind it."),
        ("a <!--r:ratio-->1", "p.md:1: 'ratio' has no end; put <!--/r--> behind it."),
        ("a <!--r:ratio-->1\n<!--/r-->", "p.md:1: 'ratio' does not end in its line; put <!--/r--> there."),
        ("<!-- results: kernels -->\na <!--r:ratio-->\n", "p.md:2: 'ratio' begins inside 'kernels'"),
        ("a <!--/r-->", "p.md:1: <!-- /r --> ends nothing"),
        ("a <!--r:ratio-->1<!-- /results -->", "p.md:1: <!-- /results --> ends nothing"),
        ("a <!-- results: kernels --><!-- /results -->", "p.md:1: 'kernels' is a table and needs its marker on a line"),
        ("a\n<!--r:ratio-->1<!--/r-->", "p.md:2: 'ratio' begins its line"),
        ("- <!--r:ratio-->1<!--/r-->", "p.md:1: 'ratio' begins its line"),
    ],
)
def test_a_wrong_marker_is_one_sentence(text, sentence):
    with pytest.raises(LarqnetsError) as error:
        markers.filled(text, "p.md", MADE)
    assert str(error.value).startswith(sentence)


def test_a_selection_that_fits_no_row_or_two_is_an_error():
    rows = [{"k": 1}, {"k": 1}]
    for k in (1, 2):
        with pytest.raises(LarqnetsError, match="where the pages need one"):
            one(rows, k=k)


def test_the_program_says_what_is_stale_and_writes_it(tmp_path, monkeypatch, capsys):
    from docs.numbers import __main__ as program

    page = tmp_path / "docs/page.md"
    page.parent.mkdir()
    (tmp_path / "README.md").write_text("# Nothing measured\n")
    page.write_text(PAGE)
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "made", lambda: MADE)
    monkeypatch.setattr(sys, "argv", ["docs.numbers", "--check"])
    assert program.main() == 1
    said = capsys.readouterr().out
    assert "docs/page.md:6: the number 'rate' is stale" in said
    assert "make results-docs" in said
    assert page.read_text() == PAGE
    monkeypatch.setattr(sys, "argv", ["docs.numbers"])
    assert program.main() == 0
    assert "3.4" in page.read_text()
    monkeypatch.setattr(sys, "argv", ["docs.numbers", "--check"])
    assert program.main() == 0
    page.write_text("a <!--r:rate-->1\n")
    assert program.main() == 1
    assert capsys.readouterr().err == "docs/page.md:1: 'rate' has no end; put <!--/r--> behind it.\n"


@pytest.mark.parametrize("picture", drawn.PICTURES, ids=lambda picture: picture.name)
def test_a_picture_of_another_file_is_stale(picture, tmp_path, monkeypatch):
    source, shown = tmp_path / picture.source, tmp_path / drawn.FOLDER / picture.name
    source.parent.mkdir()
    shown.parent.mkdir(parents=True)
    source.write_bytes((ROOT / picture.source).read_bytes())
    monkeypatch.setattr(drawn, "ROOT", tmp_path)
    monkeypatch.setattr(drawn, "PICTURES", [picture])
    assert drawn.stale() == [f"{drawn.FOLDER}/{picture.name}: not drawn from {picture.source} as it is"]
    assert list(drawn.draw()) == [f"{drawn.FOLDER}/{picture.name}: drawn from {picture.source}"]
    assert not drawn.stale()
    source.write_bytes(source.read_bytes() + b"\n")
    assert drawn.stale()


def test_it_imports_no_tensorflow():
    program = "import sys, docs.numbers.__main__; raise SystemExit(bool({'tensorflow', 'tf_keras', 'larq'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0
