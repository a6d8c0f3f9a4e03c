"""The time of a session, and a way to stop it: the one place that reads a clock or sleeps, so that tests bring their own."""

import threading
import time


class StoppedError(Exception):
    """The user asked to stop."""


class Clock:
    """Seconds that pass, and sleep that `stop` ends from another thread."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def now(self) -> float:
        """Return seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let time pass; raises StoppedError when `stop` was or is called."""
        if self._stopped.wait(seconds):
            raise StoppedError

    def stop(self) -> None:
        """Make every sleep raise StoppedError from now on."""
        self._stopped.set()
