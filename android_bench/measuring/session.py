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
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from android_bench import UNTRIED
from android_bench.clock import Clock, StoppedError
from android_bench.devices.device import RUN_PATIENCE_S, Device, RunnerError
from android_bench.devices.link import DeviceLostError
from android_bench.devices.linux import mhz
from android_bench.devices.probe import to_device
from android_bench.emulation.qemu import count, kernel_arguments
from android_bench.measuring import profile, thermal
from android_bench.measuring.cores import choose_cores
from android_bench.measuring.equality import Expected, all_finite, compare_outputs, read_outputs
from android_bench.measuring.lineup import Entrant
from android_bench.measuring.protocol import functional
from android_bench.measuring.recorder import Recorder
from android_bench.record import Protocol, Round, RuntimeRecord, Session, State, thin
from android_bench.runtime.runner import Conditions, Report
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter
from larqnets.tflite.xnnpack import kept_out

MAX_ATTEMPTS = 3  # of one round
PAUSE_S = 30.0  # after a throttled round
RETURN_S = 120.0  # how long a lost device is waited for
RETURN_POLL_S = 3.0
MAX_LOSSES = 5


class Measurement:
    """A session that is being measured, into `record`. `reporter` is told what it is doing."""

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
        reporter: Reporter = SILENT,
        earlier: Session | None = None,
    ) -> None:
        self._device, self._entrants, self._expected = device, entrants, expected
        self._reporter = reporter
        self._threads, self._mask = threads, mask
        self._clock = clock or Clock()
        self.record = Recorder(entrants, protocol, folder, self._clock, reporter, earlier)
        self._usual_mhz: dict[str, float] = {}
        self._losses = 0

    def measure(self) -> Session:
        """Measure and return the record, which is then written.

        Raises LarqnetsError when something stopped it, or StoppedError; the record then holds what was measured before.
        """
        try:
            self._prepare()
            try:
                for entrant in self._entrants:
                    self._persist(self._look, entrant)
                self.record.need_one()
                self.record.save()
                for number in range(self.record.protocol.rounds):
                    self._round(number)
                for entrant in self._entrants:
                    self._persist(self._profile, entrant)
                self.record.complete = self.record.has_all()
                self._last_state()
            except StoppedError:
                self.record.event("fault", "Stopped by the user.")
                raise
            except LarqnetsError as error:
                self.record.event("fault", str(error))
                raise
            finally:
                self.record.save()
        finally:
            with contextlib.closing(self.record):
                self._device.close()
        return self.record.session()

    def abort(self) -> None:
        """Stop as soon as possible, from another thread."""
        self._clock.stop()
        self._device.abort()

    def _last_state(self) -> None:
        try:
            self.record.trace.append(self._sample())
        except DeviceLostError as error:
            self.record.event("warning", f"{error} Everything had been measured.")

    def _prepare(self) -> None:
        """Find out what the device is and bring the files there; nothing before the first state is worth a record."""
        self._reporter.stage("looking at the device")
        self._device.open()
        facts = self._device.probe()
        self.record.cores = choose_cores(facts.cores, self._threads, self._mask)
        notes = [f"It is {facts.emulator}."] if facts.emulator else []
        notes += [f"A fan is registered: {facts.fan}."] if facts.fan else []
        self.record.facts = to_device(
            facts,
            self._device.kind,
            self._device.address,
            functional_only=facts.emulator is not None,
            notes=tuple(notes),
        )
        if self.record.facts.functional_only:
            self.record.protocol = functional(self.record.protocol)
        state = self._sample()
        if (sentence := thermal.unfit(state)) is not None:
            raise LarqnetsError(f"{self._device.name} cannot be measured: {sentence}")
        self.record.check()
        self._install()
        self.record.begin(self._device.name)
        self._usual_mhz = self.record.usual_mhz()
        self.record.trace.append(state)
        self.record.event("note", UNTRIED)
        if self._device.kind == "qemu":
            return  # nothing is timed
        for text in thermal.concerns(state, self.record.facts.clusters, self.record.cores):
            self.record.event("warning", text)

    def _install(self) -> None:
        files = {f"{e.sha256}.tflite": e.model.content for e in self._entrants}
        for entrant in self._entrants:
            files |= self._input_files(entrant)
        self._installed = self._device.push(files)
        self.record.check_runtime(self._installed.sources)

    def _look(self, entrant: Entrant) -> None:
        """Run a model once for its outputs and once for its memory; learn what the device really is."""
        self._reporter.stage(f"first look at {entrant.name}")
        if ops := kept_out(entrant.model):
            numbers = ", ".join(str(op.index) for op in ops)
            self.record.event(
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
            self.record.update(entrant.name, equality=compare_outputs(expected, entrant.model, found))
            if not all_finite(found):
                self.record.fail(
                    entrant.name,
                    f"The outputs of {entrant.name} on {self._device.name} are NaN or infinite. Train or convert it again.",
                )
                return
        else:
            self.record.event("skipped", f"Not compared with the host: {expected.why}", entrant.name)
        report = self._run(entrant)
        if report is not None:
            self.record.update(entrant.name, peak_memory_kb=report.peak_memory_kb)
        if self._device.kind == "qemu":  # whose time means nothing
            self._reporter.stage(f"counting the instructions of {entrant.name}")
            how = {"kernels": entrant.kernels or "chosen", "low_memory": self.record.protocol.low_memory}
            self.record.update(entrant.name, instructions=count(entrant.model.content, self._device.address, **how))

    def _learn(self, report: Report) -> None:
        self.record.runtime = RuntimeRecord(
            sources=self._installed.sources,
            files=self._installed.files,
            **{key: getattr(report, key) for key in ("larqnets", "tflite", "kernels", "system", "hwcap", "hwcap2")},
        )
        if report.emulator is not None and not self.record.facts.functional_only:
            note = f"The runner says that {report.emulator} runs it."
            self.record.facts = dataclasses.replace(
                self.record.facts, functional_only=True, notes=(*self.record.facts.notes, note)
            )
            self.record.protocol = functional(self.record.protocol)

    def _round(self, number: int) -> None:
        """Measure every model once; a round that was throttled or cut off is measured anew, as a whole."""
        attempt = 0
        while not self.record.has(number):
            try:
                reason = self._attempt(number, attempt)
            except DeviceLostError as error:
                self.record.discard(number, "the connection broke in this round")
                self._come_back(error)
                continue
            if reason is None:
                break
            self.record.discard(number, reason)
            attempt += 1
            self.record.event("warning", f"Round {number + 1} does not count: {reason}.")
            self.record.save()
            if attempt == MAX_ATTEMPTS:
                remedy = (
                    "Use the supply that its maker names" if "voltage" in reason else "Cool it, or use fewer threads"
                )
                raise thermal.HotError(f"Round {number + 1} was throttled {attempt} times: {reason}. {remedy}.")
            self._clock.sleep(PAUSE_S)
        self.record.save()

    def _attempt(self, number: int, attempt: int) -> str | None:
        """Measure one round; returns why it does not count, as soon as that is known."""
        order = [entrant for entrant in self._entrants if self.record.models[entrant.name].fault is None]
        random.Random(f"{self.record.protocol.seed}/{number}/{attempt}").shuffle(order)
        for place, entrant in enumerate(order):
            self._reporter.stage(f"round {number + 1} of {self.record.protocol.rounds}: {entrant.name}")
            before = self._cool()
            started = self.record.at()
            protocol = self.record.protocol
            report = self._run(
                entrant,
                *("--rounds", "1", "--round-runs", str(protocol.round_runs), "--round-ms", str(protocol.round_ms)),
                *("--warmup-runs", str(protocol.warmup_runs), "--warmup-ms", str(protocol.warmup_ms)),
            )
            if report is None:
                continue
            ended = self.record.at()
            if len(report.rounds) != 1:
                self.record.fail(
                    entrant.name,
                    f"The runner on {self._device.name} reports {len(report.rounds)} rounds where one is due. Build the "
                    "runtime again: larqnets runtime build",
                )
                continue
            (measured,) = report.rounds
            before = _with_clocks(before, measured.before)
            after = _with_clocks(self._sample(), measured.after)
            reason = thermal.throttling(before, after, self.record.cores, self._usual_mhz)
            latencies = tuple(ns / 1e6 for ns in measured.ns)
            share = Round(
                number, place, started, ended, len(latencies), thin(latencies), before, after, discarded=reason
            )
            model = self.record.models[entrant.name]
            self.record.update(
                entrant.name,
                rounds=(*model.rounds, share),
                init_ms=(*model.init_ms, report.init_ms),
                first_inference_ms=(*model.first_inference_ms, report.first_inference_ms),
            )
            if reason is not None:
                return reason
            self._usual_mhz = self._usual_mhz or after.clocks_mhz
        self.record.need_one()
        return None

    def _profile(self, entrant: Entrant) -> None:
        runs = self.record.protocol.profile_runs
        if (
            runs == 0
            or self.record.models[entrant.name].fault is not None
            or self.record.models[entrant.name].profile is not None
        ):
            return
        self._reporter.stage(f"time of every op: {entrant.name}")
        self._cool()
        protocol = self.record.protocol
        report = self._run(
            entrant,
            *("--profile", str(runs), "--warmup-runs", str(protocol.warmup_runs)),
            *("--warmup-ms", str(protocol.warmup_ms)),
        )
        if report is not None:
            layers = profile.layers_of(entrant.path)
            self.record.update(entrant.name, profile=profile.merge(report.profile or (), entrant.model, layers, runs))

    def _run(self, entrant: Entrant, *arguments: str) -> Report | None:
        """Start the runner, pinned; a model on which it fails keeps the reason as its fault and is left out from then on."""
        common = ["--model", f"../{entrant.sha256}.tflite", "--threads", str(self.record.cores.threads)]
        common += ["--cpus", self.record.cores.mask, *([] if self.record.protocol.xnnpack else ["--no-xnnpack"])]
        common += kernel_arguments(entrant.kernels or "chosen", self.record.protocol.low_memory)
        try:
            return self._device.run([*common, *arguments], entrant.name, self._patience_s(entrant))
        except RunnerError as error:
            self.record.fail(entrant.name, str(error))
            return None

    def _patience_s(self, entrant: Entrant) -> float:
        """Return how long a process may take: several times what its first inference lets expect."""
        first = max(self.record.models[entrant.name].first_inference_ms, default=None)
        if first is None:
            return RUN_PATIENCE_S
        protocol = self.record.protocol
        runs = protocol.warmup_runs + protocol.round_runs + protocol.profile_runs
        return 60 + 5 * (runs * first + protocol.warmup_ms + protocol.round_ms) / 1000

    def _cool(self) -> State:
        protocol = self.record.protocol
        return thermal.cool_down(
            self._sample, self._clock, protocol.start_temperature_c, protocol.gate_timeout_s, self._waited
        )

    def _waited(self, state: State, reason: str) -> None:
        self.record.trace.append(state)
        self._reporter.stage(f"waiting: {reason}")

    def _persist(self, step: Callable[[Entrant], None], entrant: Entrant) -> None:
        """Do a step, and again when the connection broke and came back."""
        while self.record.models[entrant.name].fault is None:
            try:
                step(entrant)
                return
            except DeviceLostError as error:
                self._come_back(error)

    def _come_back(self, error: DeviceLostError) -> None:
        """Wait for a lost device and make it ready again; raises the error when it stays away."""
        self._losses += 1
        self.record.event("warning", str(error))
        self.record.save()
        if self._losses > MAX_LOSSES:
            raise LarqnetsError(f"{error} That was the {self._losses}th time.") from error
        lost = self._clock.now()
        self._reporter.stage(f"waiting {RETURN_S:.0f} s for it to come back")
        while True:
            try:
                self._device.open()
                self._install()
            except LarqnetsError as still:
                if self._clock.now() - lost > RETURN_S:
                    raise LarqnetsError(f"{error} It did not come back within {RETURN_S:.0f} s.") from still
                self._clock.sleep(RETURN_POLL_S)
                continue
            self.record.event("note", f"It was back after {self._clock.now() - lost:.0f} s.")
            return

    def _input_files(self, entrant: Entrant) -> dict[str, bytes]:
        inputs = self._expected[entrant.sha256].inputs
        return {f"{entrant.sha256}.{i}.npy": content for i, content in enumerate(inputs)}

    def _sample(self) -> State:
        return self._device.state(self.record.at())


def _with_clocks(state: State, conditions: Conditions) -> State:
    """Return the state with the clocks that the runner read on its own cores, right before or after its invocations."""
    clocks = mhz({core: clock.khz for core, clock in conditions.clocks.items()})
    return dataclasses.replace(state, clocks_mhz=state.clocks_mhz | clocks)
