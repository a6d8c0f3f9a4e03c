"""With which code a command ends; docs/reference/exit-codes.md is made of this."""

from dataclasses import dataclass

DONE, COULD_NOT, WRONG_USAGE = 0, 1, 2
_SIGNALS = {"SIGHUP": 1, "SIGINT": 2, "SIGTERM": 15}  # by number: not every system knows all of them


def of_signal(number: int) -> int:
    """Return the code of a command that a signal ended, as shells count."""
    return 128 + number


CTRL_C = of_signal(_SIGNALS["SIGINT"])


@dataclass(frozen=True)
class Code:
    """A code and when it comes."""

    number: int
    meaning: str


CODES = (
    Code(DONE, "Done. The result is on stdout."),
    Code(
        COULD_NOT,
        "Could not. One sentence on stderr says what went wrong and what to do about it. A result that stdout does not take, on a "
        "full disk or because it is closed, is this too; so is a check that failed, such as a file that is not equal to its network.",
    ),
    Code(WRONG_USAGE, "Wrong usage: an unknown command or option, a missing argument, a number outside of its range."),
    Code(of_signal(_SIGNALS["SIGHUP"]), "Ended by SIGHUP: the terminal was closed. Under `nohup` it is ignored."),
    Code(
        CTRL_C,
        "Ended by Ctrl-C (SIGINT). Nothing half-written is left; a training leaves its checkpoint and says how to go on.",
    ),
    Code(of_signal(_SIGNALS["SIGTERM"]), "Ended by SIGTERM, in the same way."),
)
