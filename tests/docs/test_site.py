"""The documentation as a site: built strictly, without network, and of nothing from elsewhere."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Attributes by which a browser loads something without being asked.
LOADS = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
}


class Loaded(HTMLParser):
    """Collects the addresses that a browser loads with a page, and the classes of its elements."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.classes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        names = LOADS.get(tag, ("href",) if tag == "link" and found.get("rel") != "canonical" else ())
        self.addresses += [address for name in names if (address := found.get(name))]
        self.classes |= set((found.get("class") or "").split())


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_of_the_docs_is_in_the_site(site):
    pages = [page.relative_to(ROOT / "docs").with_suffix("") for page in (ROOT / "docs").rglob("*.md")]
    assert len(pages) > 30
    for page in pages:
        folder = page.parent if page.name == "index" else page
        assert (site / folder / "index.html").is_file(), page


def test_nothing_is_loaded_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text())
        assert len(loaded.addresses) > 3, page
        assert [address for address in loaded.addresses if re.match(r"(https?:)?//", address)] == [], page
        # The theme's script loads a drawing program from elsewhere for elements of this class alone.
        assert "mermaid" not in loaded.classes, page
    for style in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//[^)]*", style.read_text()) == [], style
