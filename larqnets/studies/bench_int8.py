"""`make bench-int8`: a network with its real-valued rest in floats and in integers beside its real-valued twins.

Every file is made and proven as `larqnets convert` does it, and counted on every CPU: executed instructions of one inference on
one thread under qemu, never a latency. Networks of NETWORKS have random weights, since what an ARM64 core executes does not depend on
them, and no scores; of a trained run every file has those of the whole test set, of twins where one was trained.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from android_bench.emulation.emulator import CPUS
from android_bench.emulation.qemu import count
from deploy.convert.convert import convert, convert_twin
from deploy.convert.int8_rest import int8_rest
from deploy.convert.sources import CALIBRATION_SAMPLES, untrained_twin
from deploy.export.trained import Trained
from deploy.proof.converted import Converted, right_of
from deploy.proof.intervals import wilson
from deploy.proof.samples import Samples, verification_samples
from deploy.targets import FLOATS, RESTS, Ends, EndType, Int8Request, Rest, RuntimeOps, Stem
from larqnets import pictures
from larqnets.backbones import StemKind
from larqnets.data.info import IMAGE
from larqnets.errors import LarqnetsError
from larqnets.files import write_atomically
from larqnets.models import create_model
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.subject import Subject, open_subject
from larqnets.studies import bench_models
from larqnets.studies.bench_models import seen
from larqnets.studies.int8_picture import by_kind, draw_all
from larqnets.tasks import Tree

SAMPLES = 16  # random images, on which the ranges are seen too
STEMS: tuple[Stem, Stem] = ("as-trained", "cheaper")
# Method, backbone, image, classes, stem
NETWORKS: tuple[tuple[str, str, tuple[int, int, int], int, StemKind], ...] = (
    *(("birealnet", *network) for network in bench_models.NETWORKS),
    ("reactnet", "reactnet_a", (224, 224, 3), 1000, "imagenet"),
)
BYTES = Ends("uint8", "float")


class Measured(NamedTuple):
    """What files are made of. `training` gives so many training images with what is known about them, `preprocess` says how they
    are prepared; `twin_samples` are labelled where the twin is trained.
    """

    name: str
    model: Trained
    twin: Trained
    samples: Samples
    twin_samples: Samples
    training: Callable[[int], Tree]
    preprocess: dict[str, Any] | None = None


class Made(NamedTuple):
    """A file of a network. `variant` as in `RestRow`."""

    variant: str
    file: Converted
    takes: EndType = "float"


@dataclass(frozen=True)
class RestRow:
    """A file on a CPU. `by_kind`: the same by kind of op.

    Scores are fractions on the test images, of a file without any None. `test_accuracy` is that of a classifier, with Wilson's 95 % interval;
    `difference`, with the paired 95 % interval, what an int8 rest has more than the float rest on the same images.
    """

    network: str
    image_size: int  # the height
    image_width: int
    variant: str  # float_rest | mixed | full | mixed_own_stem | float_twin | int8_twin | int8_twin_own_stem
    stem: str  # as_trained | rewritten | own_op
    input: EndType
    cpu: str
    instructions: int
    file_bytes: int
    by_kind: dict[str, int]
    headline: str | None = None  # of the scores: accuracy, miou, map50
    test_score: float | None = None
    float_rest_score: float | None = None
    test_accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    float_rest_accuracy: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None


def measure(runs: Sequence[Path], reporter: Reporter = SILENT) -> Iterator[RestRow]:
    """Give the rows of NETWORKS, and then those of trained runs, as they are measured.

    Runs of method `real` are the twins of those with the same backbone and images, and no networks of their own. Raises LarqnetsError
    for what is no trained run, for a twin of none, and where qemu or the ARM64 runtime is missing.
    """
    opened = _of_runs([open_subject(path) for path in runs])  # before minutes of counting
    for method, backbone, image, classes, stem in NETWORKS:
        binary, twin = (seen(create_model(m, backbone, image, classes, stem=stem)) for m in (method, "real"))
        images = np.random.default_rng(0).normal(size=(SAMPLES, *image)).astype(np.float32)
        samples = Samples(images, real=False)
        both = Trained.of(binary), Trained.of(twin), samples, samples
        yield from _rows(Measured(f"{method} {backbone}", *both, lambda n, x=images: {IMAGE: x[:n]}), reporter)
    for network in opened:
        yield from _rows(network, reporter)


def _of_runs(sources: Sequence[Subject]) -> list[Measured]:
    """Return the networks of runs, each with its twin."""
    for source in sources:
        if source.run is None or source.run.kind != "trained":
            raise LarqnetsError(f"{source.origin} is no run that was trained here. Name some whose images are there.")
    twins = {_twin_key(source): source for source in sources if _is_real(source)}
    networks = [source for source in sources if not _is_real(source)]
    for key in twins.keys() - {_twin_key(source) for source in networks}:
        raise LarqnetsError(
            f"{twins[key].origin} is the twin of no run that is named. Name one of the same backbone, images and task too."
        )
    return [_of_run(source, twins.get(_twin_key(source))) for source in networks]


def _is_real(source: Subject) -> bool:
    assert source.run is not None  # looked at before
    return source.run.experiment.model.method == "real"


def _twin_key(source: Subject) -> tuple[Any, ...]:
    """Return what a network and its twin have in common."""
    assert source.run is not None  # looked at before
    config = source.run.experiment
    return (
        config.model.backbone,
        config.model.stem,
        config.model.width,
        config.data.dataset,
        config.data.size,
        config.task.kind,
    )


def _of_run(source: Subject, twin: Subject | None) -> Measured:
    images, samples = source.images, verification_samples(source)
    assert source.run is not None
    assert images is not None  # what was trained has some
    real = Trained.of(untrained_twin(source) if twin is None else twin.model)
    theirs = replace(samples, labels=None) if twin is None else samples
    models = Trained.of(source.model), real, samples, theirs
    return Measured(source.run.card.name, *models, lambda n: images.samples(n, "train", seed=0), source.preprocess)


def _rows(network: Measured, reporter: Reporter) -> Iterator[RestRow]:
    reference: dict[str, Any] = {}
    for variant, made, takes in _files(network, reporter):
        scores = _scores(made, network.twin_samples if "twin" in variant else network.samples)
        if variant == "float_rest":
            names = {"float_rest_score": "test_score", "float_rest_accuracy": "test_accuracy"}
            reference = {name: scores[of] for name, of in names.items() if of in scores}
        scores |= reference if scores else {}
        own = variant.endswith("own_stem")
        stem = "own_op" if own else (made.stem or "as trained").replace(" ", "_")
        for cpu in CPUS:
            reporter.stage(f"counting {network.name}, {variant}, on {cpu}")
            kinds = by_kind(count(made.content, cpu).ops)
            height, width = network.samples.images.shape[1:3]
            file = (variant, stem, takes, cpu, made.instructions[cpu], len(made.content), kinds)
            yield RestRow(network.name, height, width, *file, **scores)


def _scores(made: Converted, samples: Samples) -> dict[str, Any]:
    """Return the scores of a file of a labelled run, those with an int8 rest as their conversion measured them."""
    if made.scores is None:
        return {}
    headline = samples.task.headline
    found: dict[str, Any] = {"headline": headline, "test_score": made.scores[headline]}
    facts = {} if made.integers is None else made.integers.facts
    if (difference := facts.get("difference")) is not None:
        found |= {"difference": difference["value"]}
        found |= {f"difference_{end}": difference[end] for end in ("low", "high")}
    interval = facts.get("interval")
    if made.integers is None:
        _, right = right_of(made.file, samples)
        interval = None if right is None else asdict(wilson(right))
    if interval is not None:
        found |= {"test_accuracy": interval["value"]}
        found |= {f"accuracy_{end}": interval[end] for end in ("low", "high")}
    return found


def _files(network: Measured, reporter: Reporter) -> Iterator[Made]:
    """Give every file: the float rest first, in one or both forms of its stem."""
    samples, training, twin, theirs = network.samples, network.training, network.twin, network.twin_samples

    def rewritten(main: Converted, rest: Rest, ends: Ends = FLOATS, runtime_ops: RuntimeOps = "stock") -> Converted:
        given = (main, Int8Request(rest, ends=ends), samples, training, network.preprocess)
        return int8_rest(*given, counted=False, runtime_ops=runtime_ops, reporter=reporter)

    reporter.stage(f"converting {network.name}")
    as_trained, usual = (convert(network.model, samples, stem=stem) for stem in STEMS)
    is_rewritten = usual.stem == "rewritten"
    if is_rewritten:
        yield Made("float_rest", as_trained)
    yield Made("float_rest", usual)
    for rest in RESTS:
        yield Made(rest, rewritten(usual, rest))
    yield Made("mixed", rewritten(usual, "mixed", BYTES), BYTES.input)
    for ends in (FLOATS, BYTES):
        yield Made("mixed_own_stem", rewritten(as_trained, "mixed", ends, "larqnets"), ends.input)
    calibration = training(CALIBRATION_SAMPLES)[IMAGE]
    for stem in STEMS if is_rewritten else STEMS[1:]:
        yield Made("float_twin", convert_twin(twin, theirs, None, {}, "", stem))
        yield Made("int8_twin", convert_twin(twin, theirs, calibration, {}, "", stem))
    yield Made("int8_twin_own_stem", convert_twin(twin, theirs, calibration, {}, "", "as-trained", "larqnets"))


def write_rows(out: Path, runs: Sequence[Path], reporter: Reporter = SILENT) -> list[dict[str, Any]]:
    """Measure, and keep in `out` what there is so far, at last with pictures beside; returns the rows as the file has them.

    NAME.png shows the networks of random weights on every core, NAME_runs.png the trained ones on one, see `int8_picture.draw_all`.
    """
    pictures.check_can_draw()
    rows = []
    for row in measure(runs, reporter):
        rows.append(asdict(row))
        write_atomically(out, json.dumps(rows, indent=1) + "\n")
    for end, figure in draw_all(rows).items():
        pictures.save(figure, out.with_name(f"{out.stem}{end}.png"))
    return rows
