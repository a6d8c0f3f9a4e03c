"""`larqnets convert --int8 mixed|full`: the float-rest file rewritten, proven, measured and counted beside it.

<folder>/binary_int8_mixed.tflite   ops with weights are int8, the residual stream is float
<folder>/binary_int8_full.tflite    all ops are int8 that have such a form, but PRELU
"""

import dataclasses
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from android_bench.emulation.emulator import CPUS
from deploy.export.edit import add_metadata
from deploy.export.own_stem import own_stem_told, with_own_stem
from deploy.integers.calibrate import Histogram, Range, observe
from deploy.integers.plan import Plan, activations_of, plan
from deploy.integers.rewrite import Rewritten, rewrite
from deploy.integers.scales import Scale, Scales, tensors_of
from deploy.proof.arm64 import missing_engine
from deploy.proof.converted import Converted, IntegerRest, right_of, scores_of
from deploy.proof.integers import INT8_REST, prove_integers
from deploy.proof.intervals import paired_difference, wilson
from deploy.proof.samples import Samples
from deploy.targets import Ends, Int8Request, RuntimeOps
from larqnets.data.info import IMAGE
from larqnets.errors import LarqnetsError, nearest
from larqnets.reporter import SILENT, Reporter
from larqnets.tasks import Tree
from larqnets.tasks.detection import Detection
from larqnets.tflite.file_metadata import checked, own_metadata
from larqnets.tflite.model import Model, Operator
from larqnets.tflite.reading import read_model
from larqnets.tflite.weight_ops import WEIGHT_OPS

HELD_OUT = 2000  # other training images, by which --max-drop chooses
SEED = 0


@dataclass(frozen=True)
class _Source:
    """What files are rewritten from."""

    main: Converted
    request: Int8Request
    histograms: dict[int, Histogram]
    pixels: dict[int, Scale]
    decodes: bool
    runtime_ops: RuntimeOps

    def plan(self, keep: Collection[str]) -> Plan:
        return plan(self.main.file, self.request.rest, _ops_of(self.main, keep), decodes=self.decodes)

    def rewritten(self, chosen: Plan) -> Rewritten:
        file, ends = self.main.file, self.request.ends
        ranges = {t: self.histograms[t].range_by(self.request.calibration) for t in tensors_of(file, chosen, ends)}
        return rewrite(file, chosen, Scales(file, chosen, ranges, self.pixels, self.learned_by(chosen)), ends)

    def learned_by(self, chosen: Plan) -> dict[int, Range]:
        """Return tensor -> the range that the network was trained with, of what its layers in int8 take and put out."""
        found = {}
        for op, layer in _int8_ops(self.main, chosen):
            if (ranges := self.main.learned.get(layer)) is None:
                continue
            found[op.inputs[WEIGHT_OPS[op.name].activation]] = Range(*ranges.given)
            if ranges.made is not None and _is_added_or_answer(self.main.file, op.outputs[0]):
                found[op.outputs[0]] = Range(*ranges.made)
        return found


def int8_rest(
    main: Converted,
    request: Int8Request,
    samples: Samples,
    training: Callable[[int], Tree],
    preprocess: dict[str, Any] | None = None,
    *,
    counted: bool = True,
    runtime_ops: RuntimeOps = "stock",
    reporter: Reporter = SILENT,
) -> Converted:
    """Return the proven float-rest file `main` with its rest in int8.

    `samples`: test images, for the proof and the scores; `training`: gives so many training images, not augmented, with what
    is known about them, for the ranges and for `max_drop`; `preprocess`: how images are prepared, as a file's metadata say it;
    `counted`: whether instructions are counted, where qemu is; `runtime_ops` "larqnets": its stem is an op of our runtime, with
    the same results. Ranges that `main` was trained with are taken for those of images. Raises LarqnetsError where `keep_float`
    names no layer, a layer with weights has no int8 op, the proof fails, or the score falls farther than `max_drop`.
    """
    _check(main, request, samples)
    reporter.stage("calibrate")
    wanted = request.images + (HELD_OUT if request.max_drop is not None else 0)
    examples = _shuffled(training(wanted))
    calibration = examples[IMAGE][: request.images]
    decodes = isinstance(samples.task, Detection)
    everything = plan(main.file, request.rest, decodes=decodes)
    _check_able(main, everything, request.keep_float)
    histograms = observe(main.file, tensors_of(main.file, everything, request.ends), calibration, reporter)
    pixels = _pixels(main.file, request.ends, preprocess)
    source = _Source(main, request, histograms, pixels, decodes, runtime_ops)
    keep = request.keep_float
    if request.max_drop is not None:
        reporter.stage("keep float")
        held_out = {name: values[len(calibration) :] for name, values in examples.items()}
        keep = _kept_by_search(source, held_out, samples, reporter)
    chosen = source.plan(keep)
    return _proven(source, chosen, keep, len(calibration), samples, counted, reporter)


def _check(main: Converted, request: Int8Request, samples: Samples) -> None:
    named = sorted(set(main.layers.values()))
    for layer in request.keep_float:
        if layer not in named:
            raise LarqnetsError(
                f"--keep-float: no op of {main.variant}.tflite is of a layer '{layer}'.{nearest(layer, named)} "
                f"larqnets inspect lists them."
            )
    if request.ends.output != "float" and isinstance(samples.task, Detection):
        raise LarqnetsError(
            "--output-type: a detector answers with boxes, and in 256 steps a box would be one of as many places. Leave it out."
        )


def _check_able(main: Converted, everything: Plan, keep: Collection[str]) -> None:
    """Raise LarqnetsError where a layer with weights would stay float that nobody named."""
    for op in main.file.subgraphs[0].operators:
        layer = main.layers.get(str(op.index), "")
        if op.name in WEIGHT_OPS and op.index in everything.left and layer not in keep:
            raise LarqnetsError(
                f"Layer '{layer}' ({op.name}) would stay float with --int8: {everything.left[op.index]}. Allow it with --keep-float "
                f"{layer}, or put another layer in its place."
            )


def _shuffled(examples: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return examples in an order by seed: all of a data set come as they are stored."""
    order = np.random.default_rng(SEED).permutation(len(examples[IMAGE]))
    return {name: values[order] for name, values in examples.items()}


def _is_added_or_answer(file: Model, tensor: int) -> bool:
    """Whether a tensor is only added to others that are computed, or an output: what a layer made is behind its BatchNorm then."""
    graph = file.subgraphs[0]
    readers = [op for op in graph.operators if tensor in op.inputs]
    return all(op.name == "ADD" and len(activations_of(file, op)) == len(op.inputs) for op in readers)


def _ops_of(main: Converted, layers: Collection[str]) -> list[int]:
    return [int(index) for index, layer in main.layers.items() if layer in layers]


def _pixels(file: Model, ends: Ends, preprocess: dict[str, Any] | None) -> dict[int, Scale]:
    """Return the scale by which a camera's bytes are what the file takes, where all channels are prepared alike.

    (p / 255 - mean) / std = (p - 255 mean) / (255 std): but for a mean between two bytes, which is half a step.
    """
    if ends.input != "uint8" or preprocess is None:
        return {}
    (mean, *means), (std, *stds) = preprocess["mean"], preprocess["std"]
    if any(value != mean for value in means) or any(value != std for value in stds) or not 0 <= mean <= 1:
        return {}
    return {file.subgraphs[0].inputs[0]: Scale(float(np.float32(1 / (255 * std))), round(255 * mean) - 128)}


def _kept_by_search(
    source: _Source, held_out: dict[str, np.ndarray], samples: Samples, reporter: Reporter
) -> tuple[str, ...]:
    """Return the layers to keep float so that the headline score falls no farther than it may on held-out training images.

    Those whose staying float gains most come first, as measured one by one.
    """
    request, main = source.request, source.main
    assert request.max_drop is not None
    images = held_out[IMAGE]
    if not len(images):
        raise LarqnetsError(
            "--max-drop needs more training images than --calibration-images takes. Take fewer of them."
        )
    labels = {name: values for name, values in held_out.items() if name != IMAGE}
    measured_on = dataclasses.replace(samples, images=images, labels=labels, num_test=len(images))

    def score(file: Model) -> float:
        found = scores_of(file, measured_on, None)
        if found is None:
            raise LarqnetsError(
                "--max-drop needs a score, and nothing is known about the training images. Leave it out."
            )
        return found[samples.task.headline]

    def drop(keep: Collection[str]) -> float:
        return 100 * (reference - score(read_model(source.rewritten(source.plan(keep)).content)))

    reference = score(main.file)
    keep = list(request.keep_float)
    if drop(keep) <= request.max_drop:
        return tuple(keep)
    candidates = _int8_layers(main, source.plan(keep))
    gains = {}
    for number, layer in enumerate(candidates, 1):
        reporter.count(number, len(candidates), layer)
        gains[layer] = drop([*keep, layer])
    for layer in sorted(candidates, key=lambda name: gains[name]):
        keep.append(layer)
        if drop(keep) <= request.max_drop:
            break
    return tuple(keep)


def _int8_ops(main: Converted, chosen: Plan) -> list[tuple[Operator, str]]:
    """Return the ops with weights that a plan has in int8, each with its layer, where that is known."""
    ops = [op for op in main.file.subgraphs[0].operators if op.index in chosen.ops and op.name in WEIGHT_OPS]
    return [(op, main.layers[str(op.index)]) for op in ops if str(op.index) in main.layers]


def _int8_layers(main: Converted, chosen: Plan) -> list[str]:
    """Return the layers with weights that a plan has in int8."""
    return list(dict.fromkeys(layer for _, layer in _int8_ops(main, chosen)))


def _proven(
    source: _Source,
    chosen: Plan,
    keep: tuple[str, ...],
    calibrated: int,
    samples: Samples,
    counted: bool,
    reporter: Reporter,
) -> Converted:
    main, request = source.main, source.request
    rewritten = source.rewritten(chosen)
    names = {str(rewritten.places[int(i)]): layer for i, layer in main.layers.items()}
    facts: dict[str, Any] = {
        "rest": request.rest,
        "calibration": {
            "images": calibrated,
            "seed": SEED,
            "method": request.calibration,
            "learned": [layer for layer in _int8_layers(main, chosen) if layer in main.learned],
        },
        "ends": request.ends._asdict() | {"pixels": bool(source.pixels)},
        "float_rest": f"{main.variant}.tflite",
    }
    entry = {**(own_metadata(main.file) or {}), "layers": names, INT8_REST: {**facts, "keep_float": list(keep)}}
    file = read_model(add_metadata(rewritten.content, checked(entry)))
    variant = f"{main.variant}_int8_{request.rest}"
    reporter.stage("op by op")
    proof = prove_integers(file, main.file, samples.images, names, keep_float=keep)
    if not proof.equal:
        raise LarqnetsError(
            f"The int8 rest is not what its float-rest file says and is not published: {'; '.join(proof.reasons[:3])}. "
            "This is a defect of the conversion: report it with the model."
        )
    reporter.stage("evaluate")
    scores, compared = _compared(file, main.file, samples)
    _check_drop(compared, request.max_drop, samples.task.headline)
    facts |= {"left": _left(main, chosen), **compared}
    warnings = []
    if source.runtime_ops == "larqnets":  # which computes what CONV_2D does, bit for bit
        file = read_model(add_metadata(with_own_stem(file.content), entry | {"runtime_ops": "larqnets"}))
        warnings = [own_stem_told(variant)]
    counts = counted and missing_engine() is None
    if counts:
        reporter.stage("count")
    integers = IntegerRest(main.file, keep, proof, facts)
    note = f"{request.rest}: int8 rest of {main.variant}.tflite, ranges of {calibrated} training images ({request.calibration})"
    told = {"layers": names, "warnings": warnings, "note": note, "stem": main.stem}
    made = Converted(variant, file, None, scores, **told, integers=integers)
    facts["instructions"] = _instructions(main, made) if counts else None
    return made


def _compared(file: Model, float_rest: Model, samples: Samples) -> tuple[dict[str, float] | None, dict[str, Any]]:
    """Return the scores on the test images, and how they are beside those of the float-rest file."""
    (scores, right), (reference, theirs) = right_of(file, samples), right_of(float_rest, samples)
    headline = samples.task.headline
    if scores is None or reference is None:
        return None, {
            "headline": headline,
            "score": None,
            "float_rest_score": None,
            "interval": None,
            "difference": None,
        }
    facts: dict[str, Any] = {"headline": headline, "score": scores[headline], "float_rest_score": reference[headline]}
    facts["interval"] = facts["difference"] = None
    if right is not None and theirs is not None:
        facts["interval"] = dataclasses.asdict(wilson(right))
        facts["difference"] = dataclasses.asdict(paired_difference(right, theirs))
    return scores, facts | {"test_images": samples.num_test}


def _check_drop(compared: dict[str, Any], max_drop: float | None, headline: str) -> None:
    """Raise LarqnetsError unless the test images bear out what the held-out training images promised."""
    if max_drop is None or compared["score"] is None:
        return
    difference = compared["difference"]
    least = compared["float_rest_score"] - compared["score"] if difference is None else -difference["high"]
    if 100 * least > max_drop:
        raise LarqnetsError(
            f"On the test images the {headline} falls by {100 * (compared['float_rest_score'] - compared['score']):.2f} points, "
            f"surely more than --max-drop {max_drop:g}, and nothing is published. Allow more, or keep layers with --keep-float."
        )


def _left(main: Converted, chosen: Plan) -> list[dict[str, Any]]:
    """Return which ops compute in floats on and why: the kinds of op by their reason, and the layers of those with weights."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for op in main.file.subgraphs[0].operators:
        if (reason := chosen.left.get(op.index)) is None:
            continue
        entry = found.setdefault((op.name, reason), {"op": op.name, "reason": reason, "count": 0, "layers": []})
        entry["count"] += 1
        if op.name in WEIGHT_OPS:
            entry["layers"].append(main.layers.get(str(op.index), ""))
    return list(found.values())


def _instructions(float_rest: Converted, made: Converted) -> dict[str, dict[str, int]]:
    """Return core -> executed instructions of one inference of both files."""
    both = {"float_rest": float_rest.instructions, "int8_rest": made.instructions}
    return {cpu: {name: of[cpu] for name, of in both.items()} for cpu in CPUS}
