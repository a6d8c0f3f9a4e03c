"""Every sentence that docs/troubleshooting.md quotes is one that the program can say, so that a search for it finds the remedy.

A quote is code in bold at the start of a line or of a list item. `…` stands for what differs each time. Behind a quote of another
program stands in brackets who says it.
"""

import ast
import functools
import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/troubleshooting.md"
PACKAGES = ("larqnets", "deploy", "android_bench")
_QUOTE = re.compile(r"^(?:- )?\*\*`(?P<said>[^`]+)`\*\*(?P<rest>.*)$", re.MULTILINE)
_OTHERS = re.compile(r" \([A-Za-z', ]+\)")
_GAP = "\0"  # in a text of the sources: what is filled in
_LEAST = 10  # letters of a quote that the sources must have: fewer would be found anywhere


def quotes(page: str) -> tuple[list[str], list[str]]:
    """Return what the page quotes of larqnets, and of others."""
    ours, others = [], []
    for found in _QUOTE.finditer(page):
        (others if _OTHERS.fullmatch(found["rest"]) else ours).append(found["said"].strip())
    return ours, others


def template(node: ast.expr) -> str:
    """Return a text of the sources, with gaps for what is filled in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else _GAP
    if isinstance(node, ast.JoinedStr):
        return "".join(map(template, node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return template(node.left) + template(node.right)
    return _GAP


@functools.cache
def texts() -> tuple[str, ...]:
    """Return all texts of the packages, docstrings aside: what is written about an error is not said."""
    found = set()
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        tree = ast.parse(path.read_text())
        silent = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        said = (node for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp))
        found |= {template(node) for node in said if node not in silent}
    return tuple(sorted(text for text in found if text.strip(_GAP)))


def parts(quote: str) -> list[str]:
    """Return the fixed parts of a quote."""
    return [part.strip() for part in quote.split("…") if part.strip()]


def is_said(quote: str) -> bool:
    """Return whether one text of the sources has all parts of a quote in order, with something else only where it has `…`."""
    fixed = parts(quote)
    begins = "" if quote.startswith("…") else "(?:^|[\0 ])"
    whole = re.compile(begins + "(?:.*?)".join(map(re.escape, fixed)), re.DOTALL)
    return any(all(part in text for part in fixed) and whole.search(text) for text in texts())


OURS, OTHERS = quotes(PAGE.read_text())


def test_it_quotes_much_of_both():
    assert len(OURS) > 150
    assert len(OTHERS) > 15


def test_what_is_quoted_is_said():
    """Where one is not, quote the sentence as the sources have it now."""
    assert not [quote for quote in OURS if not is_said(quote)]


def test_what_the_java_api_is_quoted_with_is_said():
    """Its sentences stand in Java and C++, in texts that are joined over lines."""
    sources = [*(ROOT / "android_bench").rglob("*.java"), *(ROOT / "android_bench/native").glob("*.cc")]
    joined = "\n".join(re.sub(r'"\s*\+?\s*"', "", path.read_text()) for path in sources)
    quoted = re.findall(r"^\*\*`([^`]+)`\*\* \(the Java API\)$", PAGE.read_text(), re.MULTILINE)
    assert len(quoted) == 2
    assert not [part for quote in quoted for part in parts(quote) if part not in joined]


def test_quotes_are_long_enough_to_be_wrong():
    assert not [quote for quote in OURS if len(re.sub(r"[^A-Za-z]", "", quote)) < _LEAST]


def test_nothing_is_quoted_in_a_way_that_is_not_read():
    begun = re.findall(r"^(?:[-*] )?\*\*`", PAGE.read_text(), re.MULTILINE)
    assert len(begun) == len(OURS) + len(OTHERS)


def test_no_sentence_stands_there_twice():
    assert not [quote for quote, count in Counter([*OURS, *OTHERS]).items() if count > 1]


def test_a_quote_with_another_word_is_not_found():
    """The longest word of each replaced: were one found all the same, the test above would prove nothing."""
    longest = {quote: max(re.findall(r"[A-Za-z]+", quote), key=len) for quote in OURS}
    assert not [quote for quote, word in longest.items() if is_said(quote.replace(word, "zebra", 1))]


def test_quotes_are_read_as_they_are_written():
    page = "**`One … two`**\n\n- **`three`**: why\n\n**`four`** (the system)\n\nNot **`five`**, nor `six`.\n"
    assert quotes(page) == (["One … two", "three"], ["four"])
