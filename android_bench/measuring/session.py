"""One session on one device: what is run in which order, when it waits, what is redone; the record grows with every round.

    probe, choose cores, send files
    for every model    outputs against the host's, then memory          processes of their own
    for every round    every model once, in random order, each when the device is cool; throttled: all of it once more
    for every model    time of every op                                 processes of their own

Each share of a round is a process: init and first inference are seen every time, warm-up comes before what counts. The
record is written after every step that is complete, so what stops the session leaves what was measured.
"""

import contextlib
import dataclasses
import datetime
import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from android_bench import UNTRIED
from android_bench.clock import Clock, StoppedError
from android_bench.devices.device import RUN_PATIENCE_S, Device, RunnerError
from android_bench.devices.link import DeviceLostError
from android_bench.devices.linux import mhz
from android_bench.devices.probe import to_device
from android_bench.emulation.qemu import count
from android_bench.measuring import profile, thermal
from android_bench.measuring.cores import choose_cores
from android_bench.measuring.equality import Expected, all_finite, compare, read_outputs
from android_bench.measuring.lineup import Entrant
from android_bench.measuring.protocol import functional
from android_bench.record import (
    SCHEMA_VERSION,
    Cores,
    Event,
    EventKind,
    ModelRecord,
    Protocol,
    Round,
    Runtime,
    Session,
    State,
    read_session,
    thin,
    write_session,
)
from android_bench.record import Device as DeviceRecord
from android_bench.runtime.runner import Conditions, Report
from larqnets import __version__
from larqnets.errors import LarqnetsError
from larqnets.files import BusyError, cannot_write, locked
from larqnets.tflite.xnnpack import kept_out

MAX_ATTEMPTS = 3  # of one round
PAUSE_S = 30.0  # after a throttled round
RETURN_S = 120.0  # how long a lost device is waited for
RETURN_POLL_S = 3.0
MAX_LOSSES = 5


class Measurement:
    """A session that is being measured. `on_progress` is called with what it is doing."""

    def __init__(
        self,
        device: Device,
        entrants: Sequence[Entrant],
        expected: Mapping[str, Expected],
        protocol: Protocol,
        folder: Path,
        *,
        threads: int | None = 1,
        mask: str | None = None,
        clock: Clock | None = None,
        on_progress: Callable[[str], Any] = lambda _: None,
        earlier: Session | None = None,
    ) -> None:
        self._device, self._entrants, self._expected = device, entrants, expected
        self._protocol, self._folder, self._on_progress = protocol, folder, on_progress
        self._threads, self._mask, self._earlier = threads, mask, earlier
        self._clock = clock or Clock()
        self._models: dict[str, ModelRecord] = {e.name: e.record() for e in entrants}
        self._trace: list[State] = []
        self._events: list[Event] = []
        self._runtime: Runtime | None = None
        self._usual_mhz: dict[str, float] = {}
        self._losses = 0
        self._complete = False
        self._start = self._clock.now()
        self._name, self._created = "", ""
        self._held = contextlib.ExitStack()  # the record, against other processes
        self._facts: DeviceRecord
        self._cores: Cores

    @property
    def has_record(self) -> bool:
        """Whether the record was begun; before, nothing was worth one."""
        return bool(self._name)

    @property
    def path(self) -> Path:
        """The record's file."""
        return self._folder / f"{self._name}.json"

    def measure(self) -> Session:
        """Measure and return the record, which is then written.

        Raises LarqnetsError when something stopped it, or StoppedError; the record then holds what was measured before.
        """
        try:
            self._prepare()
            try:
                for entrant in self._entrants:
                    self._persist(self._look, entrant)
                self._need_one()
                self._save()
                for number in range(self._protocol.rounds):
                    self._round(number)
                for entrant in self._entrants:
                    self._persist(self._profile, entrant)
                self._complete = all(
                    model.fault is None and len(model.kept) == self._protocol.rounds for model in self._models.values()
                )
                self._last_state()
            except StoppedError:
                self._event("fault", "Stopped by the user.")
                raise
            except LarqnetsError as error:
                self._event("fault", str(error))
                raise
            finally:
                self._save()
        finally:
            with self._held:
                self._device.close()
        return self.session()

    def abort(self) -> None:
        """Stop as soon as possible, from another thread."""
        self._clock.stop()
        self._device.abort()

    def session(self) -> Session:
        """Return the record as it stands."""
        return Session(
            schema_version=SCHEMA_VERSION,
            session=self._name,
            created=self._created,
            larqnets=__version__,
            complete=self._complete,
            protocol=self._protocol,
            device=self._facts,
            cores=self._cores,
            runtime=self._runtime,
            models=tuple(self._models.values()),
            trace=tuple(self._trace),
            events=tuple(self._events),
        )

    def _last_state(self) -> None:
        try:
            self._trace.append(self._sample())
        except DeviceLostError as error:
            self._event("warning", f"{error} Everything had been measured.")

    def _prepare(self) -> None:
        """Find out what the device is and bring the files there; nothing before the first state is worth a record."""
        self._say("looking at the device")
        self._device.open()
        facts = self._device.probe()
        self._cores = choose_cores(facts.cores, self._threads, self._mask)
        notes = [f"It is {facts.emulator}."] if facts.emulator else []
        notes += [f"A fan is registered: {facts.fan}."] if facts.fan else []
        self._facts = to_device(
            facts,
            self._device.kind,
            self._device.address,
            functional_only=facts.emulator is not None,
            notes=tuple(notes),
        )
        if self._facts.functional_only:
            self._protocol = functional(self._protocol)
        state = self._sample()
        if (sentence := thermal.unfit(state)) is not None:
            raise LarqnetsError(f"{self._device.name} cannot be measured: {sentence}")
        if self._earlier is not None:
            check_same(self._earlier, self._facts, self._entrants)
        self._install()
        self._begin_record()
        self._trace.append(state)
        self._event("note", UNTRIED)
        for text in thermal.concerns(state, self._facts.clusters, self._cores):
            self._event("warning", text)

    def _install(self) -> None:
        files = {f"{e.sha256}.tflite": e.model.content for e in self._entrants}
        for entrant in self._entrants:
            files |= self._input_files(entrant)
        self._installed = self._device.push(files)

    def _begin_record(self) -> None:
        now = datetime.datetime.now(datetime.UTC)
        if self._earlier is None:
            self._created = now.isoformat(timespec="seconds")
            self._name = self._reserve(f"{now:%Y%m%dT%H%M%S}-{_slug(self._device.name)}")
            return
        earlier = self._earlier
        path = self._folder / f"{earlier.session}.json"
        self._held.enter_context(locked(path))
        if read_session(path) != earlier:
            raise LarqnetsError(f"{path} was continued by another process meanwhile. Run the command again.")
        self._name, self._created, self._cores = earlier.session, earlier.created, earlier.cores
        self._start -= (now - datetime.datetime.fromisoformat(earlier.created)).total_seconds()
        self._trace, self._events = list(earlier.trace), list(earlier.events)
        self._event("note", "Continued.")
        self._models = {model.name: dataclasses.replace(model, fault=None) for model in earlier.models}
        for number in range(self._protocol.rounds):
            if not self._has(number):
                self._discard(number, "the session was stopped in this round")
        kept = sorted((r for model in self._models.values() for r in model.kept), key=lambda r: r.started_s)
        self._usual_mhz = kept[0].after.clocks_mhz if kept else {}

    def _reserve(self, name: str) -> str:
        """Return a name whose record is not there and that no other process has, which is kept from others from now on."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self._folder, error) from error
        for free in (name, *(f"{name}-{i}" for i in range(2, 1000))):
            path = self._folder / f"{free}.json"
            with contextlib.suppress(BusyError):
                if not path.exists():
                    self._held.enter_context(locked(path))
                    return free
        raise LarqnetsError(f"{self._folder} has a thousand records called {name}. Name another folder with --out.")

    def _look(self, entrant: Entrant) -> None:
        """Run a model once for its outputs and once for its memory; learn what the device really is."""
        self._say(f"first look at {entrant.name}")
        if ops := kept_out(entrant.model):
            numbers = ", ".join(str(op.index) for op in ops)
            self._event(
                "warning", f"XNNPACK computes op {numbers} wrongly: kept out of it, at some cost.", entrant.name
            )
        expected = self._expected[entrant.sha256]
        names = [f"../{name}" for name in self._input_files(entrant)]
        arguments = [word for name in names for word in ("--input", name)]
        report = self._run(entrant, *arguments, "--output", "../y")
        if report is None:
            return
        self._learn(report)
        if expected.why is None:
            outputs = [self._device.pull(f"y.{i}.npy", y.nbytes) for i, y in enumerate(expected.outputs)]
            found = read_outputs(expected, outputs)
            self._update(entrant.name, equality=compare(expected, entrant.model, found))
            if not all_finite(found):
                self._fail(
                    entrant,
                    f"The outputs of {entrant.name} on {self._device.name} are NaN or infinite. Train or convert it again.",
                )
                return
        else:
            self._event("skipped", f"Not compared with the host: {expected.why}", entrant.name)
        report = self._run(entrant)
        if report is not None:
            self._update(entrant.name, peak_memory_kb=report.peak_memory_kb)
        if self._device.kind == "local" and self._facts.functional_only:
            self._update(
                entrant.name, instructions=count(entrant.model.content, per_op=False)
            )  # all that qemu can tell

    def _learn(self, report: Report) -> None:
        self._runtime = Runtime(
            sources=self._installed.sources,
            files=self._installed.files,
            **{key: getattr(report, key) for key in ("larqnets", "tflite", "kernels", "system", "hwcap", "hwcap2")},
        )
        if report.emulator is not None and not self._facts.functional_only:
            note = f"The runner says that {report.emulator} runs it."
            self._facts = dataclasses.replace(self._facts, functional_only=True, notes=(*self._facts.notes, note))
            self._protocol = functional(self._protocol)

    def _round(self, number: int) -> None:
        """Measure every model once; a round that was throttled or cut off is measured anew, as a whole."""
        attempt = 0
        while not self._has(number):
            try:
                reason = self._attempt(number, attempt)
            except DeviceLostError as error:
                self._discard(number, "the connection broke in this round")
                self._come_back(error)
                continue
            if reason is None:
                break
            self._discard(number, reason)
            attempt += 1
            self._event("warning", f"Round {number + 1} does not count: {reason}.")
            self._save()
            if attempt == MAX_ATTEMPTS:
                remedy = (
                    "Use the supply that its maker names" if "voltage" in reason else "Cool it, or use fewer threads"
                )
                raise thermal.HotError(f"Round {number + 1} was throttled {attempt} times: {reason}. {remedy}.")
            self._clock.sleep(PAUSE_S)
        self._save()

    def _attempt(self, number: int, attempt: int) -> str | None:
        """Measure one round; returns why it does not count, as soon as that is known."""
        order = [entrant for entrant in self._entrants if self._models[entrant.name].fault is None]
        random.Random(f"{self._protocol.seed}/{number}/{attempt}").shuffle(order)
        for place, entrant in enumerate(order):
            self._say(f"round {number + 1} of {self._protocol.rounds}: {entrant.name}")
            before = self._cool()
            started = self._at()
            protocol = self._protocol
            report = self._run(
                entrant,
                *("--rounds", "1", "--round-runs", str(protocol.round_runs), "--round-ms", str(protocol.round_ms)),
                *("--warmup-runs", str(protocol.warmup_runs), "--warmup-ms", str(protocol.warmup_ms)),
            )
            if report is None:
                continue
            ended = self._at()
            if len(report.rounds) != 1:
                self._fail(
                    entrant,
                    f"The runner on {self._device.name} reports {len(report.rounds)} rounds where one is due. Build the "
                    "runtime again: larqnets runtime build",
                )
                continue
            (measured,) = report.rounds
            before = _with_clocks(before, measured.before)
            after = _with_clocks(self._sample(), measured.after)
            reason = thermal.throttling(before, after, self._cores, self._usual_mhz)
            latencies = tuple(ns / 1e6 for ns in measured.ns)
            share = Round(
                number, place, started, ended, len(latencies), thin(latencies), before, after, discarded=reason
            )
            model = self._models[entrant.name]
            self._update(
                entrant.name,
                rounds=(*model.rounds, share),
                init_ms=(*model.init_ms, report.init_ms),
                first_inference_ms=(*model.first_inference_ms, report.first_inference_ms),
            )
            if reason is not None:
                return reason
            self._usual_mhz = self._usual_mhz or after.clocks_mhz
        self._need_one()
        return None

    def _need_one(self) -> None:
        """Raise LarqnetsError when no model is left that can be measured."""
        faults = [model.fault for model in self._models.values()]
        if None not in faults:
            raise LarqnetsError(faults[0] if len(faults) == 1 else f"No model can be measured there. {faults[0]}")

    def _profile(self, entrant: Entrant) -> None:
        runs = self._protocol.profile_runs
        if runs == 0 or self._models[entrant.name].fault is not None or self._models[entrant.name].profile is not None:
            return
        self._say(f"time of every op: {entrant.name}")
        self._cool()
        protocol = self._protocol
        report = self._run(
            entrant,
            *("--profile", str(runs), "--warmup-runs", str(protocol.warmup_runs)),
            *("--warmup-ms", str(protocol.warmup_ms)),
        )
        if report is not None:
            layers = profile.layers_of(entrant.path)
            self._update(entrant.name, profile=profile.merge(report.profile or (), entrant.model, layers, runs))

    def _run(self, entrant: Entrant, *arguments: str) -> Report | None:
        """Start the runner, pinned; a model on which it fails keeps the reason as its fault and is left out from then on."""
        common = ["--model", f"../{entrant.sha256}.tflite", "--threads", str(self._cores.threads)]
        common += ["--cpus", self._cores.mask, *([] if self._protocol.xnnpack else ["--no-xnnpack"])]
        try:
            return self._device.run([*common, *arguments], entrant.name, self._patience_s(entrant))
        except RunnerError as error:
            self._fail(entrant, str(error))
            return None

    def _fail(self, entrant: Entrant, sentence: str) -> None:
        """Leave a model out from now on, and keep why."""
        self._update(entrant.name, fault=sentence)
        self._event("fault", sentence, entrant.name)

    def _patience_s(self, entrant: Entrant) -> float:
        """Return how long a process may take: several times what its first inference lets expect."""
        first = max(self._models[entrant.name].first_inference_ms, default=None)
        if first is None:
            return RUN_PATIENCE_S
        protocol = self._protocol
        runs = protocol.warmup_runs + protocol.round_runs + protocol.profile_runs
        return 60 + 5 * (runs * first + protocol.warmup_ms + protocol.round_ms) / 1000

    def _cool(self) -> State:
        protocol = self._protocol
        return thermal.cool_down(
            self._sample, self._clock, protocol.start_temperature_c, protocol.gate_timeout_s, self._waited
        )

    def _waited(self, state: State, reason: str) -> None:
        self._trace.append(state)
        self._say(f"waiting: {reason}")

    def _persist(self, step: Callable[[Entrant], None], entrant: Entrant) -> None:
        """Do a step, and again when the connection broke and came back."""
        while self._models[entrant.name].fault is None:
            try:
                step(entrant)
                return
            except DeviceLostError as error:
                self._come_back(error)

    def _come_back(self, error: DeviceLostError) -> None:
        """Wait for a lost device and make it ready again; raises the error when it stays away."""
        self._losses += 1
        self._event("warning", str(error))
        self._save()
        if self._losses > MAX_LOSSES:
            raise LarqnetsError(f"{error} That was the {self._losses}th time.") from error
        lost = self._clock.now()
        self._say(f"waiting {RETURN_S:.0f} s for it to come back")
        while True:
            try:
                self._device.open()
                self._install()
            except LarqnetsError as still:
                if self._clock.now() - lost > RETURN_S:
                    raise LarqnetsError(f"{error} It did not come back within {RETURN_S:.0f} s.") from still
                self._clock.sleep(RETURN_POLL_S)
                continue
            self._event("note", f"It was back after {self._clock.now() - lost:.0f} s.")
            return

    def _has(self, number: int) -> bool:
        """Return whether every model that can be measured has this round."""
        return all(
            any(r.number == number for r in model.kept) for model in self._models.values() if model.fault is None
        )

    def _discard(self, number: int, reason: str) -> None:
        """Mark what there is of a round as not counting, for every model: its parts belong together."""
        for name, model in self._models.items():
            rounds = tuple(
                dataclasses.replace(r, discarded=reason) if r.number == number and r.discarded is None else r
                for r in model.rounds
            )
            self._update(name, rounds=rounds)

    def _input_files(self, entrant: Entrant) -> dict[str, bytes]:
        inputs = self._expected[entrant.sha256].inputs
        return {f"{entrant.sha256}.{i}.npy": content for i, content in enumerate(inputs)}

    def _update(self, name: str, **changes: Any) -> None:
        self._models[name] = dataclasses.replace(self._models[name], **changes)

    def _event(self, kind: EventKind, text: str, model: str | None = None) -> None:
        self._events.append(Event(self._at(), kind, model, text))
        if kind in ("warning", "fault", "skipped"):
            self._on_progress(f"{model}: {text}" if model else text)

    def _sample(self) -> State:
        return self._device.state(self._at())

    def _at(self) -> float:
        return self._clock.now() - self._start

    def _say(self, text: str) -> None:
        self._on_progress(text)

    def _save(self) -> None:
        write_session(self.session(), self.path)


def _with_clocks(state: State, conditions: Conditions) -> State:
    """Return the state with the clocks that the runner read on its own cores, right before or after its invocations."""
    clocks = mhz({core: clock.khz for core, clock in conditions.clocks.items()})
    return dataclasses.replace(state, clocks_mhz=state.clocks_mhz | clocks)


def check_same(earlier: Session, device: DeviceRecord, entrants: Sequence[Entrant]) -> None:
    """Raise LarqnetsError when a session cannot be continued: another device, or other files."""
    if (earlier.device.kind, earlier.device.address, earlier.device.model) != (
        device.kind,
        device.address,
        device.model,
    ):
        raise LarqnetsError(
            f"The session {earlier.session} was measured on {earlier.device.model or earlier.device.address}, this is "
            f"{device.model or device.address}. Name that device, or begin a new session."
        )
    if [(m.name, m.sha256) for m in earlier.models] != [(e.name, e.sha256) for e in entrants]:
        raise LarqnetsError(
            f"The files of the session {earlier.session} were changed since. Begin a new session without --resume."
        )


def _slug(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-")
