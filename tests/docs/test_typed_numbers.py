"""No measured number is typed by hand: whatever looks measured in a page is made by `make results-docs`."""

import re

import pytest

from docs.numbers import markers, pages

# Pages that are not scanned yet, as the beginnings of their paths.
NOT_YET = (
    *("README.md", "docs/index.md", "docs/troubleshooting.md", "docs/start/", "docs/tutorials/", "docs/reference/"),
    *("docs/develop/adding.md", "docs/develop/architecture.md", "docs/develop/changelog.md"),
    "docs/develop/contributing.md",
    *(f"docs/guides/{name}" for name in ("convert", "data", "decomposition", "measure", "models", "networks")),
    *(
        f"docs/guides/{name}"
        for name in ("run", "scripts", "several", "speed", "stages", "statistics", "sweeps", "training")
    ),
)
MEND = "Ask for the number by a marker (docs/numbers/__init__.py), say it in words, or allow the exact phrase here if nothing was measured."

UNITS = (
    "%|percent|points?|millions?|billions?|M|times|[kKMGT]i?B|bytes|instructions|images/s|images a second|frames a second|fps"
    "|milliseconds?|seconds?|minutes?|hours?|ms|s|min|cycles|mIoU|mAP|accuracy"
)
NUMBER = r"(?<![\w.,-])[+-]?\d[\d,]*(?:\.\d+)?"
MEASURED = re.compile(rf"{NUMBER}(?:(?: to | and |, | or ){NUMBER})* ?(?:{UNITS}|(?<! )x)(?![\w/])")
TABLED = re.compile(
    r"[+-]?(?:\d+\.\d+|\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)? ?(?:%|x|M|MB|kB|GB))(?: ?\(.*\))?"
)  # a whole cell

# What is set, defined or reckoned, in the very words of the pages; each is still needed.
ALLOWED = {
    "95 % interval": "the level of an interval",
    "99.9 %": "what `percentile` keeps, a definition",
    "30 % or more": "the least score of an answer that `report` shows",
    "score above 30 %": "the default of `run --score`",
    "allows 40 % of the largest output": "a tolerance",
    "SegNet-Basic (1.4 million)": "its parameters",
    "6.4 million pixels": "a limit in the code",
    "more than 64 MiB": "a limit in the code",
    "2.7 to 4 bytes for each byte": "reckoned from the lists' form",
    "23 KB for each thread": "reckoned from the lists' form",
    "29 KB of planes at 14x14x256, 16 KB at 28x28x128, 15 to 27 KB of a tile": "reckoned from the plan",
    "197, 58 and 18 KB": "reckoned from the plan",
    "32 KB of first-level cache, a Cortex-A76 64 KB": "of the processors",
    "288 KB of planes at 7x7x512": "reckoned from the plan",
    "32 bytes at a time": "what a load takes",
    "4.1 MB in all": "reckoned from the plan",
    "about 13 bytes for every cycle": "reckoned from the plan",
}


def typed(text):
    """Return (line, what looks measured) of a page, without code, links, comments and what is between markers."""
    kept = list(markers.without_code(text))
    for place in markers.places(text, "page"):
        for position in range(place.start, place.end):
            if kept[position] != "\n":
                kept[position] = "x"
    prose = re.sub(r"<!--.*?-->|\]\([^)]*\)|https?://\S+|arXiv[ :]\S+", " ", "".join(kept))
    for phrase in ALLOWED:
        prose = prose.replace(phrase, "…")
    for number, line in enumerate(prose.splitlines(), 1):
        yield from ((number, found[0]) for found in MEASURED.finditer(line))
        if line.lstrip().startswith("|"):
            yield from ((number, cell.strip()) for cell in line.split("|") if TABLED.fullmatch(cell.strip(" *")))


SCANNED = [page for page in pages.pages() if not pages.shown(page).startswith(NOT_YET)]


@pytest.mark.parametrize("page", SCANNED, ids=pages.shown)
def test_no_measured_number_is_typed(page):
    found = [f"{pages.shown(page)}:{line}: {what}" for line, what in typed(page.read_text())]
    assert not found, MEND


def test_pages_with_results_are_scanned():
    scanned = {pages.shown(page) for page in SCANNED}
    assert {
        "docs/results/index.md",
        "docs/results/kernels.md",
        "docs/guides/int8.md",
        "docs/develop/kernels.md",
    } <= scanned


def test_what_is_allowed_is_said():
    said = "\n".join(page.read_text() for page in SCANNED)
    assert not [phrase for phrase in ALLOWED if phrase not in said]


@pytest.mark.parametrize(
    "text",
    [
        "It has 98.89 % accuracy.",
        "It has 98.89% accuracy.",
        "It loses 0.3 points.",
        "It takes 12.6 million on a core.",
        "It takes 12.6 and 11.6 million on two.",
        "It takes 12.6 M there.",
        "That is 3.4 times fewer, or 3.4x.",
        "It needs 43 MB, or 1,362 MiB.",
        "It runs at 752 images/s.",
        "It takes 14 minutes.",
        "| a | 62.47 (-0.68, -1.30 to -0.06) |",
        "| a | 98,512 |",
        "| a | **25.8** |",
        "a <!--r:b-->1<!--/r--> and 12 % more",
    ],
)
def test_a_typed_number_is_found(text):
    assert list(typed(text))


@pytest.mark.parametrize(
    "text",
    [
        "A 3x3 convolution on 112x112x3, 40 epochs, 10,000 test images, 2 cores.",
        "`--max-drop 0.3` allows it; `12 %` too.",
        "```\ntest accuracy 98.89 %\n```\n",
        "a <!--r:b-->12<!--/r--> % more",
        "<!-- results: b -->\n\n| a | 98,512 |\n\n<!-- /results -->",
        "arXiv 1812.11800, 95 % interval, version 2.21.0",
        "| `resnet18` | 7x7/2, stride 2 |",
    ],
)
def test_what_is_not_measured_is_left_alone(text):
    assert not list(typed(text))
