"""How a command hangs together with what is around it: environment variables and exit codes."""

from larqnets.cli.exit_codes import CODES
from larqnets.cli.reference.markdown import page, plain, table
from larqnets.environment import VARIABLES, Who

_WHO: dict[Who, str] = {
    "everyone": "Data, training and folders",
    "arm64": "Files on ARM64: runtime, devices, emulation",
    "build": "Building larqnets",
    "tests": "Tests of larqnets",
}


def environment() -> str:
    """Return docs/reference/environment.md."""
    parts = [
        "Every environment variable that larqnets reads. One that is empty counts as not set, but for `TF_USE_LEGACY_KERAS`, "
        "which TensorFlow reads itself."
    ]
    for who, title in _WHO.items():
        rows = [(f"`{v.name}`", plain(v.meaning), plain(v.default)) for v in VARIABLES if v.who == who]
        parts += [f"## {title}", table(("variable", "meaning", "without it"), rows)]
    return page("Environment variables", *parts)


def exit_codes() -> str:
    """Return docs/reference/exit-codes.md."""
    return page(
        "Exit codes",
        "How every command of `larqnets` ends. What scripts make of it: [Scripts](../guides/scripts.md).",
        table(("code", "meaning"), [(f"{code.number}", plain(code.meaning)) for code in CODES]),
        "Of several workers of a training the one that got a signal has its code, and the others end with 1. Children end "
        "with larqnets, even when it is killed.",
    )
