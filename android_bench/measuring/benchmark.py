"""`larqnets benchmark`: sessions on devices, side by side, or one on an emulated ARM64, which counts instructions."""

import dataclasses
import re
import shlex
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, get_args

from android_bench import record
from android_bench.clock import StoppedError
from android_bench.devices import FORMS, link_to
from android_bench.devices.device import Board, Device
from android_bench.measuring.equality import Engine, expect
from android_bench.measuring.lineup import Entrant, line_up, without_twin
from android_bench.measuring.protocol import DEFAULT, STRICT
from android_bench.measuring.session import Measurement
from android_bench.record import Equality, ModelRecord, Protocol, Session, read_session
from android_bench.runtime.runner import Kernels
from larqnets.errors import LarqnetsError
from larqnets.manifest import sha256
from larqnets.reporter import SILENT, Reporter

MAX_THREADS = 64
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")  # as `session` makes its names


def _difference(name: str, equality: Equality) -> str:
    return (
        f"{name}: its outputs on the device differ from those of {equality.engine} by {equality.max_difference:.2g} where "
        f"{equality.tolerance:.2g} is allowed. Do not use it there before that is explained."
    )


@dataclasses.dataclass(frozen=True)
class Request:
    """What is to be measured, where and how. `threads`: None takes as many as there are big cores."""

    files: tuple[Path, ...]
    devices: tuple[str, ...]
    protocol: Protocol = DEFAULT
    threads: int | None = 1
    cores: str | None = None
    out: Path = Path("results")
    kernels: tuple[Kernels, ...] = ("chosen",)
    earlier: Session | None = None


def request(
    files: Sequence[Path],
    devices: Sequence[str],
    *,
    threads: str = "1",
    cores: str | None = None,
    rounds: int | None = None,
    strict: bool = False,
    max_temp: float | None = None,
    out: Path = Path("results"),
    kernels: Sequence[str] = ("chosen",),
    low_memory: bool = False,
) -> Request:
    """Return the request of these options; raises LarqnetsError for what cannot be."""
    if not devices:
        raise LarqnetsError(f"Say where to measure: --device {FORMS}.")
    links = [link_to(name) for name in devices]
    for name in devices:
        if devices.count(name) > 1:
            raise LarqnetsError(f"--device {name} is given twice. Two sessions on one device would disturb each other.")
    if len(links) > 1 and any(link.kind == "qemu" for link in links):
        raise LarqnetsError("qemu counts instructions and has no latency. Give it a command of its own.")
    if threads != "big" and not (threads.isdecimal() and 1 <= int(threads) <= MAX_THREADS):
        raise LarqnetsError(f"--threads is a number from 1, or big for the number of big cores, not '{threads}'.")
    ways: dict[Kernels, None] = {_way(name): None for name in kernels}
    changes: dict[str, Any] = {"low_memory": low_memory} | ({} if rounds is None else {"rounds": rounds})
    if max_temp is not None:
        changes["start_temperature_c"] = max_temp
    protocol = dataclasses.replace(STRICT if strict else DEFAULT, **changes)
    number = None if threads == "big" else int(threads)
    return Request(tuple(files), tuple(devices), protocol, number, cores, out, tuple(ways))


def _way(name: str) -> Kernels:
    found = next((known for known in get_args(Kernels) if known == name), None)
    if found is None:
        raise LarqnetsError(f"--kernels is one of {', '.join(get_args(Kernels))}, not '{name}'.")
    return found


def continuation(path: Path) -> Request:
    """Return the request that continues a session; raises LarqnetsError when it is complete or cannot be read.

    A record may come from anywhere. It is continued only under its own name, with the very files that it measured, and what
    it says of the device is held against what --device takes.
    """
    session = read_session(path)
    if not _SESSION.fullmatch(session.session) or path.name != f"{session.session}.json":
        raise LarqnetsError(
            f"{path} says that it is the record of the session '{session.session}', whose file has another name. Give a "
            "record under the name that `larqnets benchmark` gave it."
        )
    if session.complete:
        raise LarqnetsError(f"{path} is complete. Begin a new session without --resume.")
    device = session.device.kind + (f":{session.device.address}" if session.device.address else "")
    link_to(device)
    if not 1 <= session.cores.threads <= MAX_THREADS:
        raise LarqnetsError(f"{path} asks for {session.cores.threads} threads. Begin a new session without --resume.")
    for model in session.models:
        _check_measured(model, path)
    files = tuple(Path(model.file) for model in session.models)
    ways: dict[Kernels, None] = {model.kernels: None for model in session.models if model.kernels is not None}
    asked = (session.protocol, session.cores.threads, session.cores.mask, path.parent, tuple(ways) or ("chosen",))
    return Request(files, (device,), *asked, earlier=session)


def _check_measured(model: ModelRecord, record: Path) -> None:
    """Raise LarqnetsError unless a model's file is there as it was measured: nothing else is read, or sent to a device."""
    file = Path(model.file)
    try:
        status = file.stat()
        same = stat.S_ISREG(status.st_mode) and status.st_size == model.bytes and sha256(file) == model.sha256
        reason = "is not the file that was measured"
    except OSError as error:
        same, reason = False, f"cannot be read: {error.strerror}"
    if not same:
        raise LarqnetsError(
            f"{file}, which {record} names, {reason}. Start the command in the folder where the session was begun, or begin "
            "a new one without --resume."
        )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The sessions that have a record, complete or not, their files, and what went wrong, a sentence or two each."""

    sessions: tuple[Session, ...]
    files: tuple[Path, ...]
    problems: tuple[str, ...]


def measure(
    wanted: Request,
    host: Callable[[bytes], Engine],
    reporter: Reporter = SILENT,
    connect: Callable[[str, Reporter], Device] = lambda spec, reporter: Board(link_to(spec), reporter),
) -> Outcome:
    """Measure on every device at the same time, a session each; their records lie in `wanted.out`.

    `host` loads a file's bytes into what computes the outputs to compare with. What goes wrong on one device does not
    stop the others; Ctrl-C stops all. Raises LarqnetsError when nothing could begin.
    """
    entrants = line_up(wanted.files, wanted.kernels)
    files: dict[str, Entrant] = {}  # each once, under its name in the first way to count
    for entrant in entrants:
        files.setdefault(entrant.sha256, entrant)
    for entrant in without_twin(list(files.values())):
        reporter.line(f"{entrant.name} has no twin to be compared with; `larqnets convert --twins` writes them.")
    expected = {}
    for entrant in files.values():
        reporter.stage(f"computing what {entrant.name} returns on this machine")
        expected[entrant.sha256] = expect(entrant.model, host, wanted.protocol.seed)
    measurements = []
    for spec in wanted.devices:
        own = reporter if len(wanted.devices) == 1 else _Voice(spec, reporter)
        measurements.append(
            Measurement(
                connect(spec, own),
                entrants,
                expected,
                wanted.protocol,
                wanted.out,
                threads=wanted.threads,
                mask=wanted.cores,
                reporter=own,
                earlier=wanted.earlier,
            )
        )
    with ThreadPoolExecutor(len(measurements)) as pool:
        running = {pool.submit(measurement.measure): measurement for measurement in measurements}
        stopped = _wait(running)
    problems = [problem for future, m in running.items() if (problem := _problem(future, m)) is not None]
    begun = [m for m in measurements if m.record.begun]
    return Outcome(
        tuple(m.record.session() for m in begun),
        tuple(m.record.path for m in begun),
        tuple(["Stopped.", *problems] if stopped else problems),
    )


def look_at_devices(specs: Sequence[str]) -> None:
    """Raise LarqnetsError when no device can be used, before the host computes what takes a while."""
    reasons = []
    for spec in specs:
        device = Board(link_to(spec))
        try:
            device.open()
            device.probe()
        except LarqnetsError as error:
            reasons.append(str(error))
        finally:
            device.close()
    if len(reasons) == len(specs):
        raise LarqnetsError(" ".join(reasons))


def to_json(outcome: Outcome, wanted: Request) -> Any:
    """Return the record of the session, or a list of them when several devices were asked for."""
    records = [record.to_json(session) for session in outcome.sessions]
    return records[0] if len(wanted.devices) == 1 else records


def _wait(running: dict[Future[Session], Measurement]) -> bool:
    """Wait for all sessions; returns whether Ctrl-C, SIGTERM or SIGHUP stopped them."""
    stopped = False
    while True:
        try:
            while not all(future.done() for future in running):
                wait(running, timeout=0.2)
            return stopped
        except KeyboardInterrupt:
            stopped = True
            for measurement in running.values():
                measurement.abort()


def _problem(future: Future[Session], measurement: Measurement) -> str | None:
    """Return what went wrong with a session, where its record is and how to go on; None when nothing did."""
    error = future.exception()
    if error is None:
        models = future.result().models
        faults = [model.fault for model in models if model.fault]
        said = [f"{faults[0]} Everything else was measured: {measurement.record.path}."] if faults else []
        said += [_difference(m.name, m.equality) for m in models if m.equality is not None and not m.equality.equal]
        return " ".join(said) or None
    if not isinstance(error, LarqnetsError | StoppedError):
        raise error
    said = "" if isinstance(error, StoppedError) else f"{error} "
    if not measurement.record.begun:
        return f"{said}Nothing was measured." if isinstance(error, StoppedError) else str(error)
    path = shlex.quote(str(measurement.record.path))
    return f"{said}What was measured is in {path}. Continue with: larqnets benchmark --resume {path}"


class _Voice(Reporter):
    """What one of several devices tells, with its name before it."""

    def __init__(self, spec: str, reporter: Reporter) -> None:
        self._spec, self._reporter = spec, reporter

    def stage(self, name: str) -> None:
        """See Reporter."""
        self._reporter.stage(f"{self._spec}: {name}")

    def line(self, text: str) -> None:
        """See Reporter."""
        self._reporter.line(f"{self._spec}: {text}")
