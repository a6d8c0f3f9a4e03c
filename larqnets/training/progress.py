"""What a training run tells while it runs: the interface that the loop calls, and its terminal on stderr."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from larqnets.training.metrics import Row


class Progress(Protocol):
    """The loop calls `start` once, `step` now and then, `epoch` after every evaluation, `note` for a sentence."""

    def start(self, step: int, total_steps: int, epochs: int) -> None: ...

    def step(self, step: int, loss: float, accuracy: float, images_per_second: float) -> None: ...

    def epoch(self, row: Row) -> None: ...

    def note(self, text: str) -> None: ...


class Silent:
    """Progress that says nothing."""

    def start(self, step: int, total_steps: int, epochs: int) -> None:
        pass

    def step(self, step: int, loss: float, accuracy: float, images_per_second: float) -> None:
        pass

    def epoch(self, row: Row) -> None:
        pass

    def note(self, text: str) -> None:
        pass


class Terminal:
    """Progress on stderr: a live bar with the time left on a terminal, elsewhere only a line per epoch.

    >>> with Terminal() as progress:
    ...     train(experiment, run, dataset, model, progress=progress)
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._epochs = 0
        self._bar = Bar(
            TextColumn("step {task.completed:,}/{task.total:,}"),
            BarColumn(),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("left"),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
            speed_estimate_period=120,
        )
        self._task = self._bar.add_task("", total=None, visible=False, state="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def start(self, step: int, total_steps: int, epochs: int) -> None:
        self._epochs = epochs
        self._bar.reset(self._task, total=total_steps, completed=step, visible=True, state="starting")

    def step(self, step: int, loss: float, accuracy: float, images_per_second: float) -> None:
        state = f"loss {loss:.4f}  accuracy {accuracy:.1%}  {images_per_second:,.0f} images/s"
        self._bar.update(self._task, completed=step, state=state)

    def epoch(self, row: Row) -> None:
        width = len(str(self._epochs))
        self._say(
            f"epoch {row['epoch']:{width}}/{self._epochs}  loss {row['train_loss']:.4f}  "
            f"accuracy {row['train_accuracy']:6.1%}  test loss {row['test_loss']:.4f}  "
            f"test accuracy {row['test_accuracy']:6.1%}  {row['images_per_second']:,.0f} images/s"
        )

    def note(self, text: str) -> None:
        self._say(text)

    def _say(self, text: str) -> None:
        # soft_wrap: a log file keeps one line per epoch, however narrow the terminal is thought to be
        self._console.print(text, soft_wrap=True, markup=False)
