"""The record of a session while it grows: events, models and their rounds, written whole after every step, or continued."""

import contextlib
import dataclasses
import datetime
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from android_bench.clock import Clock
from android_bench.measuring.lineup import Entrant
from android_bench.record import (
    SCHEMA_VERSION,
    Cores,
    DeviceRecord,
    Event,
    EventKind,
    ModelRecord,
    Protocol,
    RuntimeRecord,
    Session,
    State,
    read_session,
    write_session,
)
from larqnets import __version__
from larqnets.errors import LarqnetsError
from larqnets.files import BusyError, cannot_write, locked
from larqnets.reporter import Reporter


class Recorder:
    """What a session knows so far. `facts` and `cores` are set before `begin`, the rest as it is found out."""

    facts: DeviceRecord
    cores: Cores

    def __init__(
        self,
        entrants: Sequence[Entrant],
        protocol: Protocol,
        folder: Path,
        clock: Clock,
        reporter: Reporter,
        earlier: Session | None,
    ) -> None:
        self.protocol = protocol
        self.runtime: RuntimeRecord | None = None
        self.models: dict[str, ModelRecord] = {e.name: e.record() for e in entrants}
        self.trace: list[State] = []
        self.complete = False
        self._events: list[Event] = []
        self._folder, self._clock, self._reporter, self._earlier = folder, clock, reporter, earlier
        self._entrants = entrants
        self._start = clock.now()
        self._name, self._created = "", ""
        self._held = contextlib.ExitStack()  # the file, against other processes

    @property
    def begun(self) -> bool:
        """Whether there is a record; before, nothing was worth one."""
        return bool(self._name)

    @property
    def path(self) -> Path:
        """The record's file."""
        return self._folder / f"{self._name}.json"

    def at(self) -> float:
        """Return the seconds since the session began."""
        return self._clock.now() - self._start

    def event(self, kind: EventKind, text: str, model: str | None = None) -> None:
        """Keep what happened; what the user should know is told at once."""
        self._events.append(Event(self.at(), kind, model, text))
        if kind in ("warning", "fault", "skipped"):
            self._reporter.line(f"{model}: {text}" if model else text)

    def update(self, name: str, **changes: Any) -> None:
        """Change fields of a model's record."""
        self.models[name] = dataclasses.replace(self.models[name], **changes)

    def fail(self, name: str, sentence: str) -> None:
        """Leave a model out from now on, and keep why."""
        self.update(name, fault=sentence)
        self.event("fault", sentence, name)

    def need_one(self) -> None:
        """Raise LarqnetsError when no model is left that can be measured."""
        faults = [model.fault for model in self.models.values()]
        if None not in faults:
            raise LarqnetsError(faults[0] if len(faults) == 1 else f"No model can be measured there. {faults[0]}")

    def has(self, number: int) -> bool:
        """Return whether every model that can be measured has this round."""
        return all(any(r.number == number for r in model.kept) for model in self.models.values() if model.fault is None)

    def has_all(self) -> bool:
        """Return whether every model has every round."""
        return all(model.fault is None and len(model.kept) == self.protocol.rounds for model in self.models.values())

    def discard(self, number: int, reason: str) -> None:
        """Mark what there is of a round as not counting, for every model: its parts belong together."""
        for name, model in self.models.items():
            rounds = tuple(
                dataclasses.replace(r, discarded=reason) if r.number == number and r.discarded is None else r
                for r in model.rounds
            )
            self.update(name, rounds=rounds)

    def usual_mhz(self) -> dict[str, float]:
        """Return the clocks after the first round that counts; empty before there is one."""
        kept = sorted((r for model in self.models.values() for r in model.kept), key=lambda r: r.started_s)
        return kept[0].after.clocks_mhz if kept else {}

    def check(self) -> None:
        """Raise LarqnetsError when the session is to be continued and cannot be: another device, or other files."""
        if self._earlier is not None:
            check_same(self._earlier, self.facts, self._entrants)

    def check_runtime(self, sources: str) -> None:
        """Raise LarqnetsError when rounds of the session were measured with a runtime of other sources than these."""
        earlier = self._earlier
        if earlier is not None and earlier.runtime is not None and earlier.runtime.sources != sources:
            raise LarqnetsError(
                f"The session {earlier.session} was measured with another build of the runtime, of larqnets "
                f"{earlier.runtime.larqnets}, and rounds of two builds make no record. Begin a new session without --resume."
            )

    def begin(self, device: str) -> None:
        """Take a new record's name, or the earlier one's with all that is in it; `device` is what a new one is called."""
        now = datetime.datetime.now(datetime.UTC)
        if self._earlier is None:
            self._created = now.isoformat(timespec="seconds")
            self._name = self._reserve(f"{now:%Y%m%dT%H%M%S}-{_slug(device)}")
            return
        earlier = self._earlier
        path = self._folder / f"{earlier.session}.json"
        self._held.enter_context(locked(path))
        if read_session(path) != earlier:
            raise LarqnetsError(f"{path} was continued by another process meanwhile. Run the command again.")
        self._name, self._created, self.cores = earlier.session, earlier.created, earlier.cores
        self._start -= (now - datetime.datetime.fromisoformat(earlier.created)).total_seconds()
        self.trace, self._events = list(earlier.trace), list(earlier.events)
        self.event("note", "Continued.")
        self.models = {model.name: dataclasses.replace(model, fault=None) for model in earlier.models}
        for number in range(self.protocol.rounds):
            if not self.has(number):
                self.discard(number, "the session was stopped in this round")

    def _reserve(self, name: str) -> str:
        """Return a name whose record is not there and that no other process has, which is kept from others from now on."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(self._folder, error) from error
        for free in (name, *(f"{name}-{i}" for i in range(2, 1000))):
            path = self._folder / f"{free}.json"
            if path.exists():
                continue
            with contextlib.suppress(BusyError), contextlib.ExitStack() as held:
                held.enter_context(locked(path))
                if not path.exists():  # still: who had the name may have written it and gone meanwhile
                    self._held.push(held.pop_all())
                    return free
        raise LarqnetsError(f"{self._folder} has a thousand records called {name}. Name another folder with --output.")

    def session(self) -> Session:
        """Return the record as it stands."""
        return Session(
            schema_version=SCHEMA_VERSION,
            session=self._name,
            created=self._created,
            larqnets=__version__,
            complete=self.complete,
            protocol=self.protocol,
            device=self.facts,
            cores=self.cores,
            runtime=self.runtime,
            models=tuple(self.models.values()),
            trace=tuple(self.trace),
            events=tuple(self._events),
        )

    def save(self) -> None:
        """Write the record."""
        write_session(self.session(), self.path)

    def close(self) -> None:
        """Let other processes have the record."""
        self._held.close()


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
