"""What the pages point to is there: links, anchors, files of the repository that they name; and words are spelt right."""

import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import markdown
import pytest
from pages import ROOT, docs, pages, prose

import larqnets

_CODE = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
_LINK = re.compile(r"\]\(\s*<?([^()<>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_REFERENCE = re.compile(r"^\s{0,3}\[[^\]^]+\]:\s*(\S+)")
_HTML = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=\"([^\"]+)\"")
_OUTSIDE = re.compile(r"[a-z][a-z0-9+.-]*:|//")
# A path in backticks is one of the repository if it begins with a folder of the repository and has no place for a name in it.
_TOP = ("larqnets", "deploy", "android_bench", "docs", "tests", "examples", "configs", "requirements", ".ci")
_PATH = re.compile(rf"(?:{'|'.join(map(re.escape, _TOP))})/[\w./-]*[\w/]")
# Names that stand for what a reader writes or once wrote: in capitals, and these.
_ANY_NAME = re.compile(r"(?:^|/)[A-Z]{2,}(?:\.\w+)?(?:/|$)")
_EXAMPLES = {"larqnets/methods/mymethod.py", "configs/digits.toml"}
# Where a page says where something stands without its first folder, as in tables of docs/develop.
_PREFIXES = ("", "larqnets/", "deploy/", "android_bench/", "tests/", "docs/")


def links(text: str) -> Iterator[tuple[int, str]]:
    """Yield what a page links to and shows, with the line."""
    for number, line in prose(text):
        plain = _CODE.sub("", line)
        for pattern in (_LINK, _REFERENCE, _HTML):
            for found in pattern.finditer(plain):
                yield number, found[1]


@functools.cache
def anchors(page: Path) -> tuple[set[str], tuple[str, ...]]:
    """Return the ids of a page's headings as mkdocs makes them, and the names of Python that mkdocstrings documents there."""
    text = page.read_text()
    reader = markdown.Markdown(extensions=["toc", "attr_list", "fenced_code", "tables", "admonition", "md_in_html"])
    html = reader.convert(text)
    return set(re.findall(r'\bid="([^"]+)"', html)), tuple(re.findall(r"^::: ([\w.]+)", text, flags=re.MULTILINE))


def broken(page: Path, target: str) -> str | None:
    """Return what is wrong with a link of a page, None when nothing is."""
    if _OUTSIDE.match(target):
        return None if target.startswith(("https://", "mailto:")) else "is not https"
    path, _, anchor = unquote(target).partition("#")
    if path.startswith("/"):
        return "is absolute: it holds on one host only"
    file = (page.parent / path).resolve() if path else page
    if not file.is_relative_to(ROOT):
        return "leaves the repository"
    if not file.exists():
        return "is not there"
    if page.is_relative_to(ROOT / "docs") and not file.is_relative_to(ROOT / "docs"):
        return "leaves docs/: the built site does not have it"
    if anchor:
        if file.suffix != ".md":
            return "is an anchor of a file that has none"
        ids, documented = anchors(file)
        if anchor not in ids and not any(anchor == name or anchor.startswith(f"{name}.") for name in documented):
            return f"has no such heading; there are {', '.join(sorted(ids))}"
    return None


@pytest.mark.parametrize("page", pages(), ids=[str(page.relative_to(ROOT)) for page in pages()])
def test_links_lead_somewhere(page):
    wrong = {
        f"{page.relative_to(ROOT)}:{number}: {target} {reason}"
        for number, target in links(page.read_text())
        if (reason := broken(page, target)) is not None
    }
    assert not wrong


def is_there(path: str) -> bool:
    """Whether the repository has this file or folder, also by the name without its first folder."""
    return any((ROOT / f"{prefix}{path}").exists() for prefix in _PREFIXES)


@pytest.mark.parametrize("page", pages(), ids=[str(page.relative_to(ROOT)) for page in pages()])
def test_files_that_are_named_are_there(page):
    if not page.exists() or page.name in ("CHANGELOG.md", "changelog.md"):  # which names what once was there
        return
    wrong = set()
    for number, line in prose(page.read_text()):
        for code in re.findall(r"`([^`]+)`", line):
            path = code.partition("::")[0]
            if not _PATH.fullmatch(path) or _ANY_NAME.search(path) or path in _EXAMPLES:
                continue
            if not is_there(path):
                wrong.add(f"{page.relative_to(ROOT)}:{number}: {path}")
    assert not wrong


def test_the_navigation_has_every_page():
    named = re.findall(r"([\w/-]+\.md)", (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2])
    assert len(named) == len(set(named)) > 40
    assert {str(page.relative_to(ROOT / "docs")) for page in docs()} == set(named)


def test_words_are_spelt_right():
    pytest.importorskip("codespell_lib", reason="codespell is not installed: pip install codespell")
    files = [str(page.relative_to(ROOT)) for page in pages() if page.exists()]
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib", "-I", "tests/docs/words.txt", *files],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A repository of two pages in the place of this one."""
    (tmp_path / "docs/sub").mkdir(parents=True)
    (tmp_path / "mkdocs.yml").write_text("nav: []")
    (tmp_path / "docs/a.md").write_text(
        "# A page\n\n## With `code` & more\n\n## Twice\n\n## Twice\n\n::: larqnets.Classifier\n"
    )
    (tmp_path / "docs/sub/b.md").write_text("# B\n")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("../a.md", None),
        ("../a.md#with-code-more", None),
        ("../a.md#twice_1", None),
        ("../a.md#larqnets.Classifier.classify", None),
        ("#b", None),
        ("https://docs.larq.dev", None),
        ("../a.md#with-code", "has no such heading; there are a-page, twice, twice_1, with-code-more"),
        ("../c.md", "is not there"),
        ("../../mkdocs.yml", "leaves docs/: the built site does not have it"),
        ("../../../etc", "leaves the repository"),
        ("/docs/a.md", "is absolute: it holds on one host only"),
        ("http://docs.larq.dev", "is not https"),
        ("#c", "has no such heading; there are b"),
    ],
)
def test_a_link_is_judged(site, target, reason):
    assert broken(site / "docs/sub/b.md", target) == reason


def test_links_in_code_are_none():
    text = '[a](x.md) `[b](y.md)` ![c](<z.svg> "title")\n```sh\n[d](w.md)\n```\n<a href="v.md">\n[e]: u.md\n'
    assert list(links(text)) == [(1, "x.md"), (1, "z.svg"), (5, "v.md"), (6, "u.md")]


def test_of_the_pages_something_is_seen():
    found = [target for page in pages() if page.exists() for _, target in links(page.read_text())]
    assert len(found) > 50
    assert Path(larqnets.__file__).is_relative_to(ROOT)  # paths are held against the tree that is tested
