"""The one exception that means "the user can act on this"."""

import difflib
import platform
import unicodedata
from collections.abc import Iterable, Sequence


class LarqnetsError(Exception):
    """What went wrong and what to do about it, each in one sentence; the CLI prints it and exits with 1."""


class StoppedBySignalError(LarqnetsError):
    """A signal asked for the end, and what was done until then is kept; the CLI exits with 128 + its number.

    `number` is None where it reached another process, which told this one: then the exit code is 1.
    """

    def __init__(self, sentence: str, number: int | None) -> None:
        super().__init__(sentence)
        self.number = number


class MovedWarning(UserWarning):
    """What was named lies elsewhere now and was found there; the CLI prints it in a line."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest known name, or an empty string when none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def on_arm64_linux() -> bool:
    """Return whether this is a machine that runs the ARM64 runtime itself."""
    return (platform.system(), platform.machine()) == ("Linux", "aarch64")


# Format characters that letters need: joiners of Persian and Indic scripts and of emoji.
_JOINERS = "\u200c\u200d"


def printable(text: str, keep: str = "") -> str:
    """Return the text with every character escaped that a terminal obeys or hides: controls, direction marks, surrogates.

    Letters, signs, emoji and spaces of every script stay, and so do the characters of `keep`, e.g. a newline.
    """
    if text.isprintable():
        return text
    return "".join(c if c in keep or _is_shown(c) else c.encode("unicode_escape").decode("ascii") for c in text)


def _is_shown(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"


def some(names: Sequence[str]) -> str:
    """Return the first three of some names, and how many more there are."""
    shown = ", ".join(excerpt(name, 120) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, without its full stop, as a part of our sentence; its kind where it is silent."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def excerpt(text: str, limit: int = 200) -> str:
    """Return what somebody else says as a part of our sentence: one printable line of at most `limit` characters."""
    line = printable(" ".join(text[: 10 * limit].split()))
    return line if len(line) <= limit else f"{line[: limit - 4]} ..."


def keras_reason(error: BaseException) -> str:
    """Return what an error of Keras says in one printable line of at most 200 characters, without Keras' frame around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Exception encountered when calling layer"):
        lines = lines[1:]
    said = printable(lines[0] if lines else type(error).__name__).rstrip(".:")
    return said if len(said) <= 200 else f"{said[:199]}…"
