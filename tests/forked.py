"""`larqnets` in processes of their own that need not import TensorFlow, which takes longer than what most tests let them do.

They are forked from one process that has imported everything and computed nothing: TensorFlow makes its threads and its
devices when it first computes, so each of them has its own. They are killed, stopped and limited like any other process.
They also know the backbone `resnet5` of small_backbones.py.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import small_backbones

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["larqnets.cli.main", "larqnets.training.launch", "tensorflow_datasets"])


class Outcome(NamedTuple):
    """What a command left behind; `code` is -SIGKILL after a kill."""

    code: int
    out: str
    err: str


class Forked:
    """A running `larqnets ARGUMENTS` in folder `cwd`; `prepare`, which can be pickled, is called in it before."""

    def __init__(
        self, *arguments: object, cwd: Path, environment: dict[str, str], prepare: Callable[[], object] | None = None
    ) -> None:
        self._streams = tempfile.TemporaryDirectory(prefix="larqnets-streams-")
        for name in ("out", "err"):
            Path(self._streams.name, name).touch()
        self._process = CONTEXT.Process(
            target=_run,
            args=([*map(str, arguments)], str(cwd), environment, self._streams.name, prepare),
            daemon=True,  # it does not outlive the tests
        )
        self._process.start()

    @property
    def err(self) -> str:
        """What it has written to stderr so far."""
        return Path(self._streams.name, "err").read_text()

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """Kill it and wait until it is gone."""
        self._process.kill()
        self._process.join()

    def wait(self, timeout: float) -> Outcome:
        """Wait for its end; AssertionError, after killing it, when that does not come in `timeout` seconds."""
        self._process.join(timeout)
        late = self._process.exitcode is None
        self.kill()
        out, err = (Path(self._streams.name, name).read_text() for name in ("out", "err"))
        assert not late, f"it has not ended after {timeout} s: {err}"
        return Outcome(self._process.exitcode, out, err)


def _run(
    arguments: list[str], cwd: str, environment: dict[str, str], streams: str, prepare: Callable[[], object] | None
) -> None:
    """In the process: what a shell and `python -m larqnets.cli.main` do."""
    for descriptor, name in ((1, "out"), (2, "err")):
        with Path(streams, name).open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    become(arguments, cwd, environment, prepare)


def become(
    arguments: list[str], cwd: str, environment: dict[str, str], prepare: Callable[[], object] | None = None
) -> None:
    """In the process, whose streams are the command's: be `larqnets ARGUMENTS` in folder `cwd`."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # it is asked for anew: TMPDIR may be another
    sys.argv = ["larqnets", *arguments]
    # By which a worker that lost the others starts itself again.
    sys.orig_argv = [sys.executable, str(Path(small_backbones.__file__)), *arguments]
    if prepare is not None:
        prepare()
    from larqnets.cli.main import main

    small_backbones.register()
    main()
