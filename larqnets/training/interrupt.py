"""Ctrl-C, SIGTERM and SIGHUP as a question that the loop asks between steps."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from larqnets.errors import StoppedBySignalError

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HANG_UP = getattr(signal, "SIGHUP", None)  # not on Windows


class TrainingInterruptedError(StoppedBySignalError):
    """Training was asked to stop and did, after writing a checkpoint."""


class Signalled:
    """Tells whether a signal has arrived; `number` is the first one's, None before."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self) -> bool:
        return self.number is not None


@contextmanager
def stop_on_signals() -> Iterator[Signalled]:
    """Yield what tells whether SIGINT, SIGTERM or SIGHUP has arrived; a second signal acts as it always does.

    Outside the main thread Python delivers no signals, and the answer stays False. SIGHUP that is ignored, as under nohup, stays ignored.
    """
    signalled = Signalled()
    if threading.current_thread() is not threading.main_thread():
        yield signalled
        return

    def remember(number: int, frame: FrameType | None) -> None:
        signalled.number = number
        restore()

    numbers = list(_SIGNALS)
    if _HANG_UP is not None and signal.getsignal(_HANG_UP) is not signal.SIG_IGN:
        numbers.append(_HANG_UP)
    before = {number: signal.signal(number, remember) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        yield signalled
    finally:
        restore()
