"""What the runner says: its JSON as dataclasses, or one sentence about what is wrong with it."""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from larqnets.documents import parse_json
from larqnets.errors import LarqnetsError, excerpt
from larqnets.schema import Range, from_mapping

# How 1-bit convolutions count (native/kernels.h): bits in which a window and a filter differ; bits of windows that several filters
# share; bits of filters that several windows share. A shape that cannot be counted in a way is counted by popcount.
Way = Literal["popcount", "classes", "sorted"]
# What may be asked for: one of them, or each as takes the fewest instructions for its shape.
Kernels = Literal["chosen", Way]


@dataclass(frozen=True)
class CoreClock:
    """Of one core, as its files in cpufreq have it; empty where there is none."""

    khz: str
    max_khz: str
    governor: str


@dataclass(frozen=True)
class Conditions:
    """The device as the runner sees it right before or after its invocations, in the files' own words."""

    clocks: dict[str, CoreClock]  # core -> clock
    temperatures: dict[str, str] = field(default_factory=dict)  # these three a state of the session tells better
    throttled: str | None = None
    load: str = ""


@dataclass(frozen=True)
class MeasuredRound:
    """Invocations in a row."""

    ns: tuple[Annotated[int, Range(1, 10**18)], ...]  # of every invocation
    before: Conditions
    after: Conditions

    def __post_init__(self) -> None:
        """Raise ValueError for a round without invocations."""
        if not self.ns:
            raise ValueError("The round has no invocations.")


@dataclass(frozen=True)
class Step:
    """One step of an inference: an op of the file, or a kernel of XNNPACK."""

    name: str
    op: int  # number in the file; of a kernel it is the delegate's
    in_delegate: bool
    mean_ns: Annotated[int, Range(0, 10**18)] | None = None  # None: it was counted, not timed
    way: Way | None = None  # that a 1-bit convolution counted


@dataclass(frozen=True)
class Report:
    """What is read of a report; the runner says more than that."""

    larqnets: str
    tflite: str
    kernels: str
    system: str  # uname
    hwcap: str
    hwcap2: str
    emulator: str | None
    outputs: tuple[dict[str, Any], ...]
    init_ms: Annotated[float, Range(0, 10**12)]
    first_inference_ms: Annotated[float, Range(0, 10**12)]
    peak_memory_kb: Annotated[int, Range(0, 10**15)] | None
    prepared_bytes: Annotated[int, Range(0, 10**18)]
    rounds: tuple[MeasuredRound, ...]
    profile: tuple[Step, ...] | None
    counted_ops: tuple[Step, ...] | None


def parse_report(text: str) -> Report:
    """Turn what the runner printed into a Report; raises LarqnetsError when it is none."""
    try:
        values = parse_json(text, shown=True)
        if not isinstance(values, dict):
            raise ValueError("it is no JSON object")
    except ValueError as error:
        raise LarqnetsError(f"The runner's report cannot be read: {excerpt(str(error))}.") from error
    names = {field.name for field in dataclasses.fields(Report)}
    return from_mapping(
        Report, {key: value for key, value in values.items() if key in names}, "", "The runner's report"
    )
