"""ARM64 without ARM64 hardware: the bundle's runner under qemu's user mode, for results and for instruction counts.

Time under qemu means nothing and is never reported. What a program computes is what it computes on a device, and the
number of instructions it executes is exact and repeats: the same file, the same CPU model, the same count.
"""

import signal
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from android_bench.emulation.emulator import (
    CPUS,
    InstructionCounts,
    build_counter,
    qemu_command,
    read_counts,
    run_emulated,
)
from android_bench.runtime.bundle import RUNNER, open_bundle
from android_bench.runtime.runner import Kernels, Report, Step, Way, parse_report
from larqnets import processes
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter
from larqnets.tflite.interface import numpy_type
from larqnets.tflite.model import Model
from larqnets.tflite.reading import read_model

ENGINE = "ARM64 under qemu (functional only)"
# 1-bit convolutions; the rest of the network; packing, unpacking, binary pooling and the interpreter itself.
Group = Literal["binary", "real", "glue"]
GROUPS: dict[str, Group] = {
    "LceBconv2d": "binary",
    "LceQuantize": "glue",
    "LceDequantize": "glue",
    "LceBMaxPool2d": "glue",
}
INTERPRETER = "interpreter"
INVOKE, LOAD = 1, 4095  # regions, as native/larqnets.h numbers them


class QemuModel:
    """A model whose runs are runs of the ARM64 runner under qemu, one process for all samples of a call.

    Raises LarqnetsError when qemu, the ARM64 libraries or the bundle are missing.
    """

    engine = ENGINE
    resizes = False

    def __init__(self, model: Model, num_threads: int = 1, *, cpu: str = CPUS[0], bundle: Path | None = None) -> None:
        self._bundle = _ready(bundle)
        self._model, self._num_threads, self._cpu = model, num_threads, cpu
        graph = model.subgraphs[0]
        inputs, outputs = ([graph.tensors[i] for i in indices] for indices in (graph.inputs, graph.outputs))
        self.input_shapes, self.output_shapes = ([t.shape for t in tensors] for tensors in (inputs, outputs))
        self.input_types, self.output_types = ([numpy_type(t.dtype) for t in tensors] for tensors in (inputs, outputs))

    def predict(self, inputs: list[np.ndarray], reporter: Reporter = SILENT) -> list[np.ndarray]:
        """Run samples (N, ...) of every input: every output for all of them. `reporter` is told once, at the end."""
        with processes.temporary_folder() as folder:
            (folder / "model.tflite").write_bytes(self._model.content)
            arguments = ["--model", "model.tflite", "--output", "y", "--threads", str(self._num_threads)]
            for i, values in enumerate(inputs):
                np.save(folder / f"x{i}.npy", np.ascontiguousarray(values))
                arguments += ["--input", f"x{i}.npy"]
            samples = max((len(values) for values in inputs if values.ndim), default=1)
            run_runner(self._bundle, arguments, self._model.name, cpu=self._cpu, folder=folder, samples=samples)
            results = [np.load(folder / f"y.{i}.npy") for i in range(len(self.output_shapes))]
        reporter.count(len(inputs[0]), what="samples")
        return results


@dataclass(frozen=True)
class OpCount:
    """Executed instructions of one step of an inference."""

    name: str  # the op, all ops of the file that XNNPACK runs at one go joined by " + ", or "interpreter" for what
    # TFLite itself does between the ops
    ops: tuple[int, ...]  # their numbers in the file; empty when they are not known
    group: str  # a Group; records of this version take any text
    instructions: int  # executed
    simd: int  # of these on vectors
    loads_stores: int  # of these from or to memory
    way: Way | None  # that a 1-bit convolution counted


@dataclass(frozen=True)
class Count:
    """Executed instructions of one inference in steady state, on one thread.

    `instructions` is of an inference that nothing watches; the `ops` are of another one with a profiler, which costs
    some instructions itself, so their sum is a little larger.
    """

    cpu: str  # that was emulated, e.g. cortex-a76
    instructions: int  # executed
    simd: int  # of these on vectors
    loads_stores: int  # of these from or to memory
    ops: tuple[OpCount, ...]  # in order of execution; empty when they were not asked for
    load_instructions: int | None  # executed while the file is loaded; None, as the next: of a record from before there
    # were several ways to count
    prepared_bytes: int | None  # kept by 1-bit convolutions beside their filters: lists, planes, room to work

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)

    def of(self, group: str) -> int:
        """Return the instructions of one group of ops."""
        return sum(op.instructions for op in self.ops if op.group == group)


def count(
    source: Path | str | bytes,
    cpu: str = CPUS[0],
    *,
    per_op: bool = True,
    xnnpack: bool = True,
    kernels: Kernels = "chosen",
    low_memory: bool = False,
    bundle: Path | None = None,
) -> Count:
    """Count the instructions that one inference of a .tflite file executes on `cpu`, in total and `per_op`.

    `kernels`: how its 1-bit convolutions count, `low_memory`: none that keeps more than four bytes per byte of its filters.
    Raises LarqnetsError when the file is damaged, or qemu, the ARM64 libraries, a C compiler or the bundle are missing.
    """
    folder, model = _ready(bundle), read_model(source)
    if model.unknown_ops:
        raise LarqnetsError(
            f"{model.name} needs the unknown op {model.unknown_ops[0]}. Convert it again without that op."
        )
    with processes.temporary_folder() as here:
        plugin = build_counter(here)
        (here / "model.tflite").write_bytes(model.content)
        arguments = ["--model", "model.tflite", "--count", *(["--count-ops"] if per_op else [])]
        arguments += [*([] if xnnpack else ["--no-xnnpack"]), *kernel_arguments(kernels, low_memory)]
        report = run_runner(folder, arguments, model.name, cpu=cpu, folder=here, plugin=f"{plugin},out=count.txt")
        regions = read_counts(here / "count.txt")
    ops = _ops(model, report.counted_ops or (), regions) if per_op else ()
    load = regions[LOAD].instructions
    return Count(cpu, **asdict(regions[INVOKE]), ops=ops, load_instructions=load, prepared_bytes=report.prepared_bytes)


def kernel_arguments(kernels: Kernels, low_memory: bool) -> list[str]:
    """Return the runner's options for how 1-bit convolutions count."""
    return ["--kernels", kernels, *(["--low-memory"] if low_memory else [])]


def _ops(model: Model, events: Sequence[Step], regions: dict[int, InstructionCounts]) -> tuple[OpCount, ...]:
    """Join the counted regions with the ops of the file: region 3 + 2 i is the i-th own op, 2 + 2 i what comes before it."""
    operators = model.subgraphs[0].operators
    result, between = [], InstructionCounts(0, 0, 0)
    for i, (kernels, part, own) in enumerate(steps(model, events)):
        counts = regions.get(2 + 2 * i, InstructionCounts(0, 0, 0))
        if kernels:
            name = " + ".join([operators[k].name for k in part] or [kernel.name for kernel in kernels])
            result.append(OpCount(name, tuple(part), "real", **asdict(counts), way=None))
        else:
            between += counts
        if own is not None:
            name = operators[own.op].name
            counts = asdict(regions[3 + 2 * i])
            result.append(OpCount(name, (own.op,), GROUPS.get(name, "real"), **counts, way=own.way))
    return (*result, OpCount(INTERPRETER, (), "glue", **asdict(between), way=None))


def steps(model: Model, events: Sequence[Step]) -> list[tuple[list[Step], list[int], Step | None]]:
    """Cut the runner's events at the ops that TFLite itself calls; raises LarqnetsError for one that the file does not have.

    Returns for each: XNNPACK's kernels before it, which may be none, the ops of the file that those kernels run (empty when
    not known), and its own event; at last the kernels behind them all, with None.
    """
    known = range(len(model.subgraphs[0].operators))
    if any(event.op not in known for event in events if not event.in_delegate):
        raise LarqnetsError(f"The runner names an op that {model.name} does not have. Build the runtime again.")
    result: list[tuple[list[Step], list[int], Step | None]] = []
    kernels: list[Step] = []
    for event in [*events, None]:
        if event is not None and event.in_delegate:
            kernels.append(event)
        else:
            result.append((kernels, [], event))
            kernels = []
    parts = delegated_parts(model, {own.op for _, _, own in result if own is not None})
    if len(parts) == sum(bool(kernels) for kernels, _, _ in result):
        result = [(kernels, parts.pop(0) if kernels else [], own) for kernels, _, own in result]
    return result


def delegated_parts(model: Model, own: set[int]) -> list[list[int]]:
    """Return the ops that a delegate runs, part by part, when `own` are the ones that it leaves.

    As TFLite does it: a part takes, in the order of the file and as long as there is one, every op of its kind
    (delegated or not) whose inputs are computed; then the next part begins.
    """
    graph = model.subgraphs[0]
    computed = set(range(-1, len(graph.tensors))) - {t for op in graph.operators for t in op.outputs}
    waiting = list(graph.operators)
    parts: list[list[int]] = []
    while waiting:
        part: list[int] = []
        kind: bool | None = None
        progress = True
        while progress:
            progress = False
            for op in list(waiting):
                if not computed.issuperset(op.inputs) or kind not in (None, op.index in own):
                    continue
                kind, progress = op.index in own, True
                computed.update(op.outputs)
                waiting.remove(op)
                part.append(op.index)
        if not part:
            return []  # a cycle, which TFLite itself would refuse
        if kind is False:
            parts.append(part)
    return parts


def run_runner(
    bundle: Path,
    arguments: Sequence[str],
    name: str,
    *,
    cpu: str = CPUS[0],
    folder: Path | None = None,
    plugin: str | None = None,
    samples: int = 1,
) -> Report:
    """Start the runner under qemu in `folder` and return its report; `name` is the model in messages.

    The environment is empty and addresses are not random, so that counts repeat. Raises LarqnetsError with the runner's
    own sentence when it fails, when it dies, and when it takes too long for `samples`.
    """
    command = [*qemu_command(cpu, plugin), str(bundle / RUNNER), *arguments]
    done = run_emulated(command, name, samples=samples, folder=folder)
    if done.returncode < 0:
        raise LarqnetsError(
            f"The ARM64 runner died on {name} ({signal.Signals(-done.returncode).name}). Convert the model again, or give "
            "it less work at once."
        )
    if done.returncode != 0:
        lines = done.stderr.decode(errors="backslashreplace").strip().splitlines() or ["it did not say why."]
        said = [line for line in lines if line.startswith(f"{RUNNER}: ")] or lines[-1:]
        raise LarqnetsError(f"{name} cannot be run on ARM64: {said[0].removeprefix(f'{RUNNER}: ')}")
    return parse_report(done.stdout.decode(errors="backslashreplace"))


def _ready(bundle: Path | None) -> Path:
    qemu_command()  # what is missing is said before a bundle is asked for
    return open_bundle(bundle)
