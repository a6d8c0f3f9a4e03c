"""The record of one benchmark session: frozen dataclasses = the schema of results/*.json, strict reading, atomic writing.

Every key is there in every file; what could not be found out is null. A file with an unknown or missing key, or of
a later schema version, is refused in one sentence; one of an earlier version is read as one of today. Times inside a session are
seconds since its start. A field whose name ends with a unit (`UNITS`) is in that unit.
"""

import dataclasses
import datetime
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from android_bench.emulation.emulator import CPUS
from android_bench.emulation.qemu import Count, Group, Kernels, Way
from larqnets.documents import parse_json, read_text
from larqnets.errors import LarqnetsError, excerpt
from larqnets.files import write_atomically
from larqnets.schema import Range, from_mapping

# Version -> what a session of it says that earlier ones did not. All of them are read.
VERSIONS = {
    1: "rounds of every model, states of the device, equality, instructions",
    2: "`score` of a model: what its `accuracy` is; all networks of version 1 were classifiers",
    3: "`stem` of a model: how the file has its first convolution",
    4: "how 1-bit convolutions count: `kernels` of a model, `way` of an op, `low_memory`, `load_instructions` and `prepared_bytes`; "
    "before, there was one way",
}
SCHEMA_VERSION = max(VERSIONS)
# End of a field's name -> its unit.
UNITS = {
    "_ms": "ms",
    "_s": "s",
    "_mhz": "MHz",
    "_c": "°C",
    "_mb": "MiB",
    "_kb": "KiB",
    "_percent": "%",
    "bytes": "bytes",
}
MAX_SAMPLES = 5000  # of a round, in the file

Kind = Literal["adb", "ssh", "local", "qemu"]
EventKind = Literal["warning", "fault", "skipped", "note"]
Role = Literal["binary", "float", "int8"]
Stem = Literal["as trained", "rewritten"]


@dataclass(frozen=True)
class Protocol:
    """How it was measured, as asked for."""

    rounds: Annotated[int, Range(1, 1_000_000)]  # that must be kept, of every model
    round_runs: Annotated[int, Range(1, 1_000_000_000)]  # invocations of a round, at least
    round_ms: int  # a round is at least this long
    warmup_runs: int  # before the invocations that count, of every process
    warmup_ms: int  # the same, at least this long
    strict: bool  # asked for with --strict: at least 1,024 invocations and 60 s of every model
    seed: int  # of the order of the models in every round
    xnnpack: bool  # whether the ops that are not 1-bit ran in XNNPACK
    low_memory: bool  # no way to count that keeps more than four bytes per byte of filters
    profile_runs: int  # of the pass that times every op; 0: no such pass
    start_temperature_c: float | None  # the thermal gate: a round begins at or below it; None: no gate
    gate_timeout_s: float | None  # for how long the gate waits at most


@dataclass(frozen=True)
class Cluster:
    """Cores of one kind."""

    cores: tuple[int, ...]  # their numbers
    max_mhz: float | None  # the highest clock of the hardware
    governor: str | None  # of the clock, e.g. schedutil
    part: str | None  # e.g. Cortex-A76


@dataclass(frozen=True)
class DeviceRecord:
    """What was measured on."""

    kind: Kind  # how it was reached
    address: str  # adb: the serial; ssh: user@host; qemu: the CPU; else ""
    model: str | None  # e.g. Pixel 8
    soc: str | None  # system on a chip
    clusters: tuple[Cluster, ...]  # of its cores
    memory_mb: int | None  # in all
    os: str | None  # its name and version
    kernel: str | None  # its release
    machine: str | None  # uname -m
    bits: int | None  # of the userland: 32 or 64
    libc: str | None  # C library and its version
    functional_only: bool  # no ARM64 hardware ran the files: times mean nothing and are never shown
    notes: tuple[str, ...]  # what was guessed, and from what


@dataclass(frozen=True)
class Cores:
    """Where the process was pinned to."""

    mask: str  # hexadecimal, bit i is core i
    cores: tuple[int, ...]  # the same as numbers
    threads: int  # of the interpreter
    choice: str  # why these, e.g. "the cores with the highest maximum clock"


@dataclass(frozen=True)
class RuntimeRecord:
    """What ran the models: from the bundle's manifest and from the runner itself."""

    sources: str  # SHA-256 over the native sources and flags
    files: dict[str, str]  # name -> SHA-256
    larqnets: str  # its version
    tflite: str  # its version
    kernels: str  # ours that this processor runs: neon or portable
    system: str  # uname, as the runner sees it
    hwcap: str  # what the processor can do, as the kernel says it: hexadecimal bits
    hwcap2: str  # more of these


@dataclass(frozen=True)
class State:
    """The device at one moment; what cannot be read is left out of the mappings, or null."""

    at_s: float  # when
    clocks_mhz: dict[str, float]  # core -> scaling_cur_freq
    clock_limits_mhz: dict[str, float]  # core -> scaling_max_freq; below the cluster's max_mhz the core is capped
    temperatures_c: dict[str, float]  # zone -> degrees Celsius
    thermal_status: int | None  # Android: 0 none, 1 light, 2 moderate, 3 severe, 4 critical, 5 emergency, 6 shutdown
    throttled: int | None  # Raspberry Pi, vcgencmd get_throttled: bits 0-3 now, bits 16-19 since boot
    load: float | None  # of the last minute
    battery_percent: int | None  # charge of the battery
    charging: bool | None  # whether it is being charged
    screen_on: bool | None  # whether the screen is on


@dataclass(frozen=True)
class Round:
    """One model's share of a round. All models are run in every round, so rounds of one number belong together."""

    number: int  # from 0; a round that is redone keeps its number
    order: int  # place of the model in the random order of this round, from 0
    started_s: float  # before the conditions are looked at and its process starts
    ended_s: float  # after its process
    runs: int  # invocations
    latencies_ms: tuple[float, ...]  # of every one, in order; of more than MAX_SAMPLES evenly chosen ones (`thin`)
    before: State  # right before its invocations
    after: State  # right after them
    discarded: str | None  # why it does not count; None: it counts

    def __post_init__(self) -> None:
        """Raise ValueError for latencies that cannot be."""
        if any(not ms > 0 for ms in self.latencies_ms):
            raise ValueError(f"A latency of round {self.number} is not above 0 ms.")
        if self.runs < len(self.latencies_ms) or self.runs < 0:
            raise ValueError(f"Round {self.number} has more latencies than runs.")
        if self.discarded is None and not self.latencies_ms:
            raise ValueError(f"Round {self.number} counts, but has no latencies.")


@dataclass(frozen=True)
class OpTime:
    """Mean time of one step of an inference in the profiling pass (`android_bench.measuring.profile`)."""

    name: str  # an op of the file, or XNNPACK's name of its kernel
    ops: tuple[int, ...]  # numbers in the file; empty when not known
    layers: tuple[str, ...]  # layers of the network that these ops came from; empty when not known
    group: Group  # binary: 1-bit convolutions; glue: packing, unpacking, binary pooling; real: the rest, float or int8
    mean_ms: float  # over the runs of the pass
    way: Way | None  # that a 1-bit convolution counted

    @property
    def label(self) -> str:
        """Its name, and the way."""
        return self.name if self.way is None else f"{self.name}, {self.way}"


@dataclass(frozen=True)
class Profile:
    """The profiling pass, in order of execution."""

    runs: int  # inferences
    ops: tuple[OpTime, ...]  # and kernels of XNNPACK


@dataclass(frozen=True)
class Equality:
    """The same input bytes on the device and on the host."""

    inputs_sha256: str  # of the input bytes
    samples: int  # compared
    max_difference: float  # of an output value
    argmax_agreement: float  # fraction of samples or pixels of one class; without classes: of samples with the largest value at one place
    tolerance: float  # that max_difference was held against
    equal: bool  # whether it was within the tolerance
    engine: str  # what computed the host's outputs


@dataclass(frozen=True)
class ModelRecord:
    """One file and everything that was measured of it."""

    name: str  # in tables, unique in the session
    file: str  # its path when it was measured
    sha256: str  # of the file
    bytes: int  # size of the file
    role: Role | None  # from the manifest beside the file; None: there is none
    twin_of: str | None  # SHA-256 of the binary file that this is the float or int8 twin of
    kernels: Kernels | None  # how its 1-bit convolutions count; None: it has none, or version 3 or earlier did not say
    stem: Stem | None  # how the file has its first convolution, where it says so: there are two ways
    score: str  # what `accuracy` is: that by which networks of its task are ranked
    accuracy: float | None  # fraction
    accuracy_source: str | None  # where it was read
    init_ms: tuple[float, ...]  # loading and planning, of every process that was started for the rounds
    first_inference_ms: tuple[float, ...]  # of every such process
    rounds: tuple[Round, ...]  # in the order of time, discarded ones too
    peak_memory_kb: int | None  # VmHWM of a pass of its own
    profile: Profile | None  # None: no such pass
    equality: Equality | None  # None: not compared
    instructions: Count | None  # qemu alone
    fault: str | None  # why some of it is missing, in one sentence

    def __post_init__(self) -> None:
        """Raise ValueError for a hash that is none, or two rounds that count under one number."""
        if not re.fullmatch(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"The SHA-256 of {excerpt(repr(self.name), 80)} is none.")
        numbers = [r.number for r in self.kept]
        if len(numbers) != len(set(numbers)):
            raise ValueError(f"Two rounds of {excerpt(repr(self.name), 80)} that count have the same number.")

    @property
    def kept(self) -> tuple[Round, ...]:
        """The rounds that count, by number."""
        return tuple(sorted((r for r in self.rounds if r.discarded is None), key=lambda r: r.number))


@dataclass(frozen=True)
class Event:
    """What happened beside the plan."""

    at_s: float  # when
    kind: (
        EventKind  # fault and skipped: something is missing; warning: it may not be as it seems; note: nothing is wrong
    )
    model: str | None  # its name, when it concerns one alone
    text: str  # what happened, in sentences


@dataclass(frozen=True)
class Session:
    """One session on one device."""

    schema_version: int  # of the file
    session: str  # name of the file without .json
    created: str  # UTC, ISO 8601
    larqnets: str  # version that measured
    complete: bool  # nothing that was asked for is missing
    protocol: Protocol  # what was asked for
    device: DeviceRecord  # what was measured on
    cores: Cores  # where it ran
    runtime: RuntimeRecord | None  # None: it never came to run
    models: tuple[ModelRecord, ...]  # every file once
    trace: tuple[State, ...]  # outside of the rounds: at the start, while the thermal gate waited, at the end
    events: tuple[Event, ...]  # in the order of time

    def __post_init__(self) -> None:
        """Raise ValueError for a time that is none, or names and twins that do not fit together."""
        try:
            zone = datetime.datetime.fromisoformat(self.created).tzinfo
        except ValueError as error:
            raise ValueError(f"{excerpt(repr(self.created), 80)} is no time in ISO 8601.") from error
        if zone is None:
            raise ValueError(f"{excerpt(repr(self.created), 80)} does not say its time zone.")
        names = [model.name for model in self.models]
        if len(names) != len(set(names)):
            raise ValueError("Two models of the session have the same name.")


def thin(latencies: Sequence[float], limit: int = MAX_SAMPLES) -> tuple[float, ...]:
    """Return at most `limit` of the samples, evenly chosen over the time of the round and in its order."""
    if len(latencies) <= limit:
        return tuple(latencies)
    return tuple(latencies[i * len(latencies) // limit] for i in range(limit))


def to_json(session: Session) -> dict[str, Any]:
    """Return the session as a JSON object."""
    return dataclasses.asdict(session)


def write_session(session: Session, path: Path) -> None:
    """Write the session atomically; raises LarqnetsError when the folder cannot be written or the disk is full."""
    write_atomically(path, json.dumps(to_json(session), indent=1, allow_nan=False) + "\n")


def read_session(path: Path) -> Session:
    """Read a session; raises LarqnetsError when it is not there, damaged, no session, or of another schema version."""
    try:
        text = read_text(path)
    except OSError as error:
        raise LarqnetsError(
            f"Cannot read {path}: {error.strerror}. Give a file that `larqnets benchmark` wrote."
        ) from error
    except ValueError as error:
        raise LarqnetsError(f"{path} is no session: {error}. Give a file that `larqnets benchmark` wrote.") from error
    return parse_session(text, str(path))


def parse_session(text: str, source: str) -> Session:
    """Turn JSON text into a Session; `source` names the text in errors."""
    try:
        values = parse_json(text, shown=True)
    except ValueError as error:
        raise LarqnetsError(f"{source} is damaged or no session: {error}. Measure again, or restore a copy.") from error
    if not isinstance(values, dict) or "schema_version" not in values:
        raise LarqnetsError(f"{source} is no session. Give a file that `larqnets benchmark` wrote.")
    version = values["schema_version"]
    if version in range(1, SCHEMA_VERSION) and not isinstance(version, bool):
        values, version = _of_earlier(values), SCHEMA_VERSION
    values = _with_one_word(values)
    if version != SCHEMA_VERSION or isinstance(version, bool):
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        remedy = "Update larqnets" if newer else "Open it with the version of larqnets that wrote it"
        raise LarqnetsError(
            f"{source} has schema version {excerpt(repr(version), 80)}, this larqnets reads {SCHEMA_VERSION}. {remedy}."
        )
    return from_mapping(Session, values, "", source)


def _of_earlier(values: dict[str, Any]) -> dict[str, Any]:
    """Return what a session of an earlier version says as one of today.

    Of 1 all networks were classifiers, of 1 and 2 no file said its stem, of 1 to 3 there was one way to count.
    """
    models, protocol, version = values.get("models"), values.get("protocol"), values["schema_version"]
    added = {
        "kernels": None,
        **({"stem": None} if version < 3 else {}),
        **({"score": "accuracy"} if version < 2 else {}),
    }
    if isinstance(models, list):
        models = [_counted_in_one_way({**added, **model}) if isinstance(model, dict) else model for model in models]
    if isinstance(protocol, dict):
        protocol = {"low_memory": False, **protocol}
    return {**values, "schema_version": SCHEMA_VERSION, "protocol": protocol, "models": models}


def _counted_in_one_way(model: dict[str, Any]) -> dict[str, Any]:
    """Return a model of an earlier version with what today's says of how 1-bit convolutions count: nothing."""
    for part, added in (("instructions", {"load_instructions": None, "prepared_bytes": None}), ("profile", {})):
        found = model.get(part)
        if not isinstance(found, dict):
            continue
        ops = found.get("ops")
        if isinstance(ops, list):
            ops = [{"way": None, **op} if isinstance(op, dict) else op for op in ops]
        model = {**model, part: {**added, **found, "ops": ops}}
    return model


def _with_one_word(values: dict[str, Any]) -> dict[str, Any]:
    """Return a session with today's word for the emulator, which `local` named too on a machine that is not ARM64."""
    device = values.get("device")
    if not isinstance(device, dict) or not isinstance(device.get("notes"), list | tuple):
        return values
    emulated = device.get("functional_only") is True and device.get("machine") not in ("aarch64", "arm64")
    if device.get("kind") != "local" or not emulated:
        return values
    notes = [*device["notes"], "Its record calls the device local, which is qemu today."]
    return {**values, "device": {**device, "kind": "qemu", "address": CPUS[0], "notes": notes}}
