"""What a command tells on stderr while it works: on a terminal a line that changes, in a log only what is worth keeping."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from larqnets.cli.command import QUIET
from larqnets.console import PlainConsole
from larqnets.errors import printable
from larqnets.reporter import Reporter

STAGES = {
    "import": "reading the network and its weights",
    "load": "loading the trained model and its images",
    "rebuild": "rebuilding it with plain signs and kernels of -1 and +1",
    "convert": "converting to a TFLite file",
    "verify": "verifying layer by layer and on real samples",
    "calibrate": "seeing how large values are on training images",
    "keep float": "looking for the layers that have to stay float",
    "op by op": "verifying every op in integers by itself",
    "arm64": "proving it on an emulated ARM64",
    "form": "writing what the files are to answer with",
    "twins": "writing the float and int8 versions",
    "evaluate": "evaluating",
    "run": "running the images",
    "decompose": "decomposing",
    "sensitivity": "measuring how much each layer moves the answers",
    "search": "reading calibration images",
    "judging": "choosing images to judge by, as hard as unseen ones",
    "bisection": "looking for the steps",
    "patch": "writing the integers into the int8 weights",
    "count": "counting its instructions on an emulated ARM64",
    "library": "fetching TensorFlow Lite for ARM64",
    "compile": "compiling (the first time about a minute)",
    "android": "adding what Android needs",
    "app": "compiling for Android apps (the first time some minutes)",
    "archive": "making the Android archive",
}


class TerminalReporter(Reporter):
    """Lines on stderr. soft_wrap: a log file keeps one line of a sentence, however narrow the terminal is thought to be."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or PlainConsole(stderr=True, quiet=QUIET.get())

    def line(self, text: str) -> None:
        """See Reporter."""
        self._console.print(text, soft_wrap=True)

    def part(self, number: int, total: int, name: str) -> None:
        """See Reporter."""
        self.line(f"[{number}/{total}] {name}")


class StatusReporter(TerminalReporter):
    """The stage that goes on, and how much of it is done; without a terminal a line for every stage."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._status = self._console.status("")
        self._text = ""
        self._shown = 0.0

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._status.stop()

    def stage(self, name: str) -> None:
        """See Reporter."""
        self._text = STAGES.get(name, name)
        self._update(f"{self._text} ...")
        if not self._console.is_terminal:
            self.line(f"{self._text} ...")

    def count(self, done: int, total: int | None = None, what: str = "") -> None:
        """Show it; what has no end comes often and is shown at most ten times a second."""
        if total is not None:
            self._update(f"{self._text} ... {done} of {total}: {what}")
        elif time.monotonic() - self._shown > 0.1:
            self._shown = time.monotonic()
            self._update(f"{self._text} ... {done:,} {what}")

    def _update(self, text: str) -> None:
        self._status.update(Text(printable(text)))


class StepsReporter(TerminalReporter):
    """The steps of a training as a bar with the time left, on a terminal; elsewhere its lines alone.

    >>> with StepsReporter() as reporter:
    ...     train(experiment, run, dataset, model, reporter=reporter)
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._total: int | None = None
        self._bar = Progress(
            TextColumn("{task.description}{task.fields[position]}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[state]}", markup=False),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("left"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
            speed_estimate_period=120,
        )
        self._task = self._bar.add_task("", total=None, visible=False, position="", state="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def part(self, number: int, total: int, name: str) -> None:
        """Say it; the bar names it from here on."""
        super().part(number, total, name)
        self._total = None
        self._bar.reset(
            self._task, total=None, description=printable(f"{number}/{total} {name}  "), position="", state="starting"
        )

    def stage(self, name: str) -> None:
        """Show what is done beside training, which has no steps to count."""
        self._total = None
        self._bar.reset(self._task, total=None, visible=True, position="", state=STAGES.get(name, name))

    def count(self, done: int, total: int | None = None, what: str = "") -> None:
        """Show the steps that are done; what has no end is not shown."""
        if total is None:
            return
        shown = {"visible": True, "position": f"step {done:,}/{total:,}", "state": what}
        if total != self._total:  # the speed is that of the steps from here on
            self._total = total
            self._bar.reset(self._task, total=total, completed=done, **shown)
        else:
            self._bar.update(self._task, completed=done, **shown)
