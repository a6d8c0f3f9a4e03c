"""`make bench-int8`: a network with its real-valued rest in floats and in integers beside its real-valued twins.

Every file is made and proven as `larqnets convert` does it, and counted on every CPU: executed instructions of one inference on
one thread under qemu, float input and output, never a latency. Networks of NETWORKS have random weights, since what an ARM64 core executes
does not depend on them, and no accuracy; of a trained run every file but the twins has that of the whole test set.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from android_bench.emulation.emulator import CPUS
from android_bench.emulation.qemu import count
from deploy.convert.convert import convert, convert_twin
from deploy.convert.int8_rest import int8_rest
from deploy.convert.sources import untrained_twin
from deploy.export.trained import Trained
from deploy.proof.converted import Converted, right_of
from deploy.proof.intervals import wilson
from deploy.proof.samples import Samples, verification_samples
from deploy.targets import RESTS, Int8Request, Rest, RuntimeOps, Stem
from larqnets import pictures
from larqnets.data.info import IMAGE
from larqnets.errors import LarqnetsError
from larqnets.files import write_atomically
from larqnets.models import create_model
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.subject import open_subject
from larqnets.studies.bench_models import NETWORKS, seen
from larqnets.studies.int8_picture import by_kind, draw
from larqnets.tasks import Tree

SAMPLES = 16  # random images, of which the ranges are seen on half
STEMS: tuple[Stem, Stem] = ("as-trained", "cheaper")


class Measured(NamedTuple):
    """What files are made of. `training` gives so many training images with what is known about them."""

    name: str
    model: Trained
    twin: tf.keras.Model
    samples: Samples
    training: Callable[[int], Tree]


@dataclass(frozen=True)
class RestRow:
    """A file on a CPU. `by_kind`: the same by kind of op. Accuracies are fractions of the test images, with Wilson's 95 % interval; None where there are none."""

    network: str
    image_size: int
    variant: str  # float_rest | mixed | full | mixed_own_stem | float_twin | int8_twin | int8_twin_own_stem
    stem: str  # as_trained | rewritten | own_op
    cpu: str
    instructions: int
    file_bytes: int
    by_kind: dict[str, int]
    test_accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    float_rest_accuracy: float | None = None


def measure(runs: Sequence[Path], reporter: Reporter = SILENT) -> Iterator[RestRow]:
    """Give the rows of NETWORKS, and then those of trained runs of binary classifiers, as they are measured.

    Raises LarqnetsError for a run that is none, and where qemu or the ARM64 runtime is missing.
    """
    opened = [_of_run(path) for path in runs]  # before minutes of counting
    for backbone, image, classes, stem in NETWORKS:
        binary, twin = (seen(create_model(m, backbone, image, classes, stem=stem)) for m in ("birealnet", "real"))
        images = np.random.default_rng(0).normal(size=(SAMPLES, *image)).astype(np.float32)
        samples = Samples(images, real=False)
        network = Measured(
            f"birealnet {backbone}", Trained.of(binary), twin, samples, lambda n, x=images: {IMAGE: x[:n]}
        )
        yield from _rows(network, reporter)
    for network in opened:
        yield from _rows(network, reporter)


def _of_run(path: Path) -> Measured:
    source = open_subject(path)
    images, trained = source.images, Trained.of(source.model)
    if source.run is None or images is None or not trained.binary_layers or source.task.name != "classification":
        raise LarqnetsError(
            f"{path} is no run of a binary classifier. Name trained ones of which the images are there."
        )
    twin, samples = untrained_twin(source), verification_samples(source)
    return Measured(source.run.card.name, trained, twin, samples, lambda n: images.samples(n, "train", seed=0))


def _rows(network: Measured, reporter: Reporter) -> Iterator[RestRow]:
    reference: float | None = None
    for variant, made in _files(network, reporter):
        accuracy: dict[str, float] = {}
        if not variant.endswith(("twin", "twin_own_stem")):
            _, right = right_of(made.file, network.samples)
            if right is not None:
                found = wilson(right)
                reference = found.value if variant == "float_rest" else reference
                accuracy = {"test_accuracy": found.value, "accuracy_low": found.low, "accuracy_high": found.high}
                accuracy |= {} if reference is None else {"float_rest_accuracy": reference}
        own = variant.endswith("own_stem")
        stem = "own_op" if own else (made.stem or "as trained").replace(" ", "_")
        for cpu in CPUS:
            reporter.stage(f"counting {network.name}, {variant}, on {cpu}")
            instructions = count(made.content, cpu, per_op=False).instructions
            kinds = by_kind(count(made.content, cpu).ops)
            size = network.samples.images.shape[1]
            yield RestRow(network.name, size, variant, stem, cpu, instructions, len(made.content), kinds, **accuracy)


def _files(network: Measured, reporter: Reporter) -> Iterator[tuple[str, Converted]]:
    """Give every file with the name of its variant: the float rest first, in one or both forms of its stem."""
    _, model, twin, samples, training = network

    def rewritten(main: Converted, rest: Rest, runtime_ops: RuntimeOps = "stock") -> Converted:
        request = Int8Request(rest)
        return int8_rest(main, request, samples, training, counted=False, runtime_ops=runtime_ops, reporter=reporter)

    reporter.stage(f"converting {network.name}")
    as_trained, usual = (convert(model, samples, stem=stem) for stem in STEMS)
    is_rewritten = usual.stem == "rewritten"
    if is_rewritten:
        yield "float_rest", as_trained
    yield "float_rest", usual
    for rest in RESTS:
        yield rest, rewritten(usual, rest)
    yield "mixed_own_stem", rewritten(as_trained, "mixed", "larqnets")
    calibration = training(SAMPLES)[IMAGE]
    for stem in STEMS if is_rewritten else STEMS[1:]:
        yield "float_twin", convert_twin(twin, samples, None, {}, "", stem)
        yield "int8_twin", convert_twin(twin, samples, calibration, {}, "", stem)
    yield "int8_twin_own_stem", convert_twin(twin, samples, calibration, {}, "", "as-trained", "larqnets")


def write_rows(out: Path, runs: Sequence[Path], reporter: Reporter = SILENT) -> list[dict[str, Any]]:
    """Measure, and keep in `out` what there is so far, at last with a picture beside; returns the rows as the file has them."""
    rows = []
    for row in measure(runs, reporter):
        rows.append(asdict(row))
        write_atomically(out, json.dumps(rows, indent=1) + "\n")
    pictures.save(draw(rows), out.with_suffix(".png"))
    return rows
