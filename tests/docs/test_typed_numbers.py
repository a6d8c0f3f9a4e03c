"""No measured number is typed by hand: whatever looks measured in a page is made by `make results-docs`."""

import re

import pytest

from docs.numbers import markers, pages

# Pages that are not scanned yet, as the beginnings of their paths.
NOT_YET: tuple[str, ...] = ()
ELSEWHERE = ("docs/guides/statistics.md",)  # test_statistics.py computes its figures again
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
    "has 16 KB pages": "how a library of others is aligned",
    "has 4 KB pages": "how a library of others is aligned",
    "2.7 to 4 bytes for each byte": "reckoned from the lists' form",
    "23 KB for each thread": "reckoned from the lists' form",
    "29 KB of planes at 14x14x256, 16 KB at 28x28x128, 15 to 27 KB of a tile": "reckoned from the plan",
    "197, 58 and 18 KB": "reckoned from the plan",
    "32 KB of first-level cache, a Cortex-A76 64 KB": "of the processors",
    "288 KB of planes at 7x7x512": "reckoned from the plan",
    "32 bytes at a time": "what a load takes",
    "4.1 MB in all": "reckoned from the plan",
    "about 13 bytes for every cycle": "reckoned from the plan",
    "60 seconds": "a heading",
    "| 5 minutes |": "time to read",
    "| 3 minutes |": "time to read",
    "| 15 minutes |": "time to read",
    "words of 4 bytes": "a format",
    "agree within 0.5 points": "a limit of the proof",
    "10,000 or 2 GB": "a limit of the proof",
    "10 runs and 1 s": "a setting",
    "50 runs and 1 s": "a setting",
    "1,030 runs and 60 s": "a setting",
    "invocations and 60 s": "a setting",
    "waits up to 10 minutes": "a setting",
    "more than 5 % below": "a limit of the benchmark",
    "max(2 %, 3 x noise": "a limit of the benchmark",
    "| int8 | 0.1 |": "a tolerance",
    "16 MiB where": "a limit of the benchmark",
    "about 14 MiB for Android, 9 MiB for Linux": "the runtime's size",
    "30 minutes and 30 s more": "a limit of the emulation",
    "replaces the 30 minutes": "a limit of the emulation",
    "for 15 minutes": "a setting",
    "within 0.5 % on a real network": "the bound that tests/training/test_distribution.py holds",
    "93 % 1-bit": "counted MACs, as `larqnets summary` does",
    "one image is 0.22 points": "1 / 450",
    "119.5 million": "weights of the paper's network",
    "8 times the stride": "a default",
    "at least 50 times": "a setting",
    "a confidence of 95 %": "the level of an interval",
    "from 90 % to 89 %": "what a point is",
    "within 15 minutes": "a setting",
    "one of 450 is 0.22 points": "1 / 450",
    "forgives 0.5 points": "a limit of the proof",
    "about 14 MiB, checked": "the runtime's size",
    "a cache folder of about 9 MiB": "the runtime's size",
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


SCANNED = [page for page in pages.pages() if not pages.shown(page).startswith((*NOT_YET, *ELSEWHERE))]


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
