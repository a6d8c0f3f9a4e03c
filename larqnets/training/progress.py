"""What a training run tells while it runs: the interface that the loop calls, and its terminal on stderr."""

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from larqnets.console import PlainConsole
from larqnets.errors import printable
from larqnets.training.metrics import Row, scores_of


class Progress(Protocol):
    """The loop calls `start` once, `step` now and then, `epoch` after every evaluation, `note` for a sentence."""

    def start(self, step: int, total_steps: int, epochs: int) -> None: ...

    def step(self, step: int, loss: float, scores: Mapping[str, float], images_per_second: float) -> None: ...

    def epoch(self, row: Row) -> None: ...

    def note(self, text: str) -> None: ...


class Silent:
    """Progress that says nothing."""

    def start(self, step: int, total_steps: int, epochs: int) -> None:
        pass

    def step(self, step: int, loss: float, scores: Mapping[str, float], images_per_second: float) -> None:
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

    def __init__(self, console: Console | None = None, stages: Mapping[str, str] | None = None) -> None:
        self._console = console or PlainConsole(stderr=True)
        self._stages = stages or {}
        self._epochs = self._total = 0
        self._bar = Bar(
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

    def start(self, step: int, total_steps: int, epochs: int) -> None:
        self._epochs = epochs
        self._total = total_steps
        self._bar.reset(
            self._task, total=total_steps, completed=step, visible=True, position=self._position(step), state="starting"
        )

    def step(self, step: int, loss: float, scores: Mapping[str, float], images_per_second: float) -> None:
        told = "".join(f"{name} {value:.1%}  " for name, value in list(scores.items())[:1])
        state = f"loss {loss:.4f}  {told}{images_per_second:,.0f} images/s"
        self._bar.update(self._task, completed=step, position=self._position(step), state=state)

    def epoch(self, row: Row) -> None:
        width, (name, score) = len(str(self._epochs)), next(iter(scores_of(row).items()))
        trained = f"{name} {row[f'train_{name}']:6.1%}  " if f"train_{name}" in row else ""
        self._say(
            f"epoch {row['epoch']:{width}}/{self._epochs}  loss {row['train_loss']:.4f}  {trained}"
            f"test loss {row['test_loss']:.4f}  test {name} {score:6.1%}  {row['images_per_second']:,.0f} images/s"
        )

    def note(self, text: str) -> None:
        self._say(text)

    def experiment(self, number: int, count: int, name: str) -> None:
        """Say which run of a sweep comes now; the bar names it from here on."""
        self._say(f"[{number}/{count}] {name}")
        self._bar.reset(
            self._task, total=None, description=printable(f"{number}/{count} {name}  "), position="", state="starting"
        )

    def stage(self, name: str) -> None:
        """Show what is done beside training, which has no steps to count; `stages` has the words for it."""
        self._bar.reset(self._task, total=None, visible=True, position="", state=self._stages.get(name, name))

    def _position(self, step: int) -> str:
        return f"step {step:,}/{self._total:,}"

    def _say(self, text: str) -> None:
        # soft_wrap: a log file keeps one line per epoch, however narrow the terminal is thought to be
        self._console.print(text, soft_wrap=True)
