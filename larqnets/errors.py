"""The one exception that means "the user can act on this"."""

import difflib
from collections.abc import Iterable


class LarqnetsError(Exception):
    """What went wrong and what to do about it, each in one sentence; the CLI prints it and exits with 1."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest known name, or an empty string when none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""
