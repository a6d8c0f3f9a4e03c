"""Markdown of what the code says: tables, and docstrings as paragraphs."""

import html
import inspect
import re
from collections.abc import Iterable, Sequence

GENERATED = "<!-- Made by `make reference` from the code. Change it there. -->"
_CODE = re.compile(r"(`[^`]*`)")
# What Markdown could take for more than a character.
_COMMANDS = re.compile(r"\*(?=\S)|(?<=\S)\*|(?<!\w)_(?=\S)|<(?=[A-Za-z/!])")


def page(title: str, *parts: str) -> str:
    """Return a page of parts with empty lines between them; an empty part is left out."""
    return "\n\n".join(part for part in (f"# {title}", GENERATED, *parts) if part) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its cells are Markdown, in which a | is a character like others."""
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("|" + "".join(f" {_cell(text)} |" if text else " |" for text in line) for line in lines)


def _cell(text: str) -> str:
    """Return Markdown for a cell. How a | is escaped in code differs between GitHub and mkdocs; as HTML it is the same for both."""
    parts = _CODE.split(text.replace("\n", " "))
    return "".join(_html_code(p) if p.startswith("`") and "|" in p else p for p in parts).replace("|", "&#124;")


def _html_code(text: str) -> str:
    return f"<code>{html.escape(text.strip('`'), quote=False)}</code>"


def plain(text: str) -> str:
    """Return words as Markdown that shows them as they are; what stands between backticks is code."""
    parts = _CODE.split(text)
    return "".join(p if p.startswith("`") and len(p) > 1 else _COMMANDS.sub(r"\\\g<0>", p) for p in parts)


def prose(text: str | None) -> str:
    """Return a docstring as Markdown: lines that are indented are shown as they stand, the others are paragraphs."""
    lines = inspect.cleandoc(text or "").splitlines()
    return "\n".join(line if line.startswith("    ") else plain(line) for line in lines)


def sentence(text: str) -> str:
    """Return words with a capital at the beginning and a full stop at the end."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", ":", "?")) else ".")
