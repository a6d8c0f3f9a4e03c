"""The one exception that means "the user can act on this"."""

import difflib
import platform
from collections.abc import Iterable


class LarqnetsError(Exception):
    """What went wrong and what to do about it, each in one sentence; the CLI prints it and exits with 1."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest known name, or an empty string when none is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def get_training() -> str:
    """Return the sentence that says how to get what training and conversion need; on ARM64 Linux nothing can be installed."""
    if on_arm64_linux():
        return "The converter exists for x86-64 only: do this there and copy the .tflite file"
    return 'Install them: pip install "larqnets[train]"'


def on_arm64_linux() -> bool:
    """Return whether this is a machine that runs the ARM64 runtime itself."""
    return (platform.system(), platform.machine()) == ("Linux", "aarch64")


def printable(text: str) -> str:
    """Return the text with every character that is not printable (controls, direction marks, …) escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
