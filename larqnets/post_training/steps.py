"""A step for every layer, from how much each one moves the answers: for a size to reach, or for a score to keep.

With the step f_l a layer moves the answers by s_l f_l^2 / 12, see `larqnets.post_training.sensitivity`, and a weight costs
c - log2 f_l bits. The least movement for a given sum of bits has all s_l f_l^2 / N_l equal (N_l weights):

    f_l = lambda sqrt(N_l / s_l)

lambda is then sought, with sizes or scores measured anew each time. Small layers need no rule that protects them:
they move the answers much for their few bits, so their steps are fine. Where `protect_small` asks for it all the same, they
are at int8 and have no step. (Ours, not the paper's, which has one setting for all layers.)

The score is the one that ranks the task, accuracy or mIoU, on the images that `larqnets.post_training.judge` chooses. Of the
test images nothing is used but, where training images are mixed, the score on them that the run's card has.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from larqnets.data import Dataset
from larqnets.data.info import IMAGE
from larqnets.decompose import Settings, settings_for_bits
from larqnets.decompose.result import LayerResult
from larqnets.decompose.search import LARGEST, SMALLEST
from larqnets.decompose.settings import Search
from larqnets.errors import LarqnetsError
from larqnets.post_training import network as net
from larqnets.post_training.judge import Judge, judged_images
from larqnets.post_training.sensitivity import sensitivities
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.subject import Subject
from larqnets.tasks import Task, Tree
from larqnets.training.evaluation import PIXELS

GRADIENT_IMAGES = 512  # of the calibration images, for the sensitivities
BASE_BITS = 5.0  # the search for a score starts from the steps of this size,
FACTORS = (1 / 8, 16.0)  # made finer and coarser by up to these factors,
STEPS = (SMALLEST, LARGEST)  # but none beyond these


def find_settings(
    subject: Subject,
    kernels: Sequence[net.Kernel],
    settings: Settings,
    search: Search,
    reporter: Reporter = SILENT,
) -> tuple[dict[str, Settings], dict[str, Any]]:
    """Return settings with a step for every layer, and what the search found, for the card.

    The model has its float weights again when this returns. Raises LarqnetsError without images, for a method without
    steps, and for a size or a score that no step reaches.
    """
    if not settings.is_sound:
        raise LarqnetsError(
            "Only the sound mode of cbd has steps to search for. Leave --target-bits and --max-drop out, or use "
            "--method cbd --mode sound."
        )
    if (dataset := subject.images) is None:
        raise LarqnetsError("The search needs images to calibrate with. Name them with --dataset.")
    examples = _calibration(subject.task, dataset, search.images)
    images = examples[IMAGE]
    values = net.float_values(kernels)

    reporter.stage("sensitivity")
    start = net.decompose(kernels, settings, values=values)
    free = [kernel for kernel in kernels if "step" in start[kernel.name].knobs]
    if not free:
        raise LarqnetsError("Every layer is kept at int8, so there is no step to find. Leave --protect-small out.")
    sensitivity = sensitivities(subject.model, free, images[:GRADIENT_IMAGES], settings.granularity == "channel")
    free_values = {kernel.name: values[kernel.name] for kernel in free}
    depthwise = [kernel.name for kernel in free if kernel.depthwise]
    found: dict[str, Any] = {**vars(search), "images": len(images), "sensitivity": sensitivity}

    if search.target_bits is not None:
        reporter.stage("bisection")
        wanted = _bits_left(search.target_bits, start, free_values)
        chosen, _ = settings_for_bits(free_values, wanted, settings, sensitivity, depthwise)
    else:
        reporter.stage("judging")
        judge = Judge(subject.model, subject.task, dataset.info)
        examples, chosen_images = judged_images(judge, subject, dataset, examples, search.images)
        found |= chosen_images
        found[f"calibration_{subject.task.headline}"] = float_score = judge.score(examples)
        found["trials"] = trials = []
        reporter.stage("bisection")
        base, _ = settings_for_bits(free_values, BASE_BITS, settings, sensitivity, depthwise, tolerance=0.1)

        def lost(factor: float) -> tuple[dict[str, Settings], float]:
            """Return settings with all steps times `factor`, and the points of the score that they lose."""
            tried = {name: replace(own, step=float(np.clip(own.step * factor, *STEPS))) for name, own in base.items()}
            results = net.decompose(kernels, dict.fromkeys(values, settings) | tried, values=values)
            net.assign(kernels, net.reconstructions(results))
            drop = 100 * (float_score - judge.score(examples))
            net.assign(kernels, values)
            bits = 8 * sum(r.file_bytes for r in results.values()) / sum(r.weights for r in results.values())
            trials.append({"factor": factor, "record_bits_per_weight": bits, "drop": drop})
            return tried, drop

        assert search.max_drop is not None  # one of the two is given
        chosen = _coarsest(lost, search.max_drop)
    found["steps"] = {name: own.step for name, own in chosen.items()}
    return dict.fromkeys(values, settings) | chosen, found


def _calibration(task: Task, dataset: Dataset, count: int) -> Tree:
    """Return `count` training examples, fewer where every pixel is an answer: then as many as have PIXELS pixels."""
    if task.per_pixel:
        height, width, _ = dataset.info.image_shape
        count = min(count, max(1, PIXELS // (height * width)))
    return dataset.samples(count, "train")


def _bits_left(target_bits: float, start: Mapping[str, LayerResult], free: Mapping[str, np.ndarray]) -> float:
    """Return the bits per weight left for the layers with steps when those at int8 have taken theirs."""
    weights = sum(result.weights for result in start.values())
    at_int8 = 8 * sum(result.file_bytes for name, result in start.items() if name not in free)
    left = target_bits * weights - at_int8
    if left <= 0:
        raise LarqnetsError(
            f"The layers at int8 alone take {at_int8 / weights:.2f} bits per weight. Ask for more, or leave "
            "--protect-small out."
        )
    return left / sum(kernel.size for kernel in free.values())


def _coarsest(lost: Callable[[float], tuple[dict[str, Settings], float]], max_drop: float) -> dict[str, Settings]:
    """Return the settings of the largest factor that loses at most `max_drop` points, to 5 percent of the factor."""
    low, high = FACTORS
    best, drop = lost(low)
    if drop > max_drop:
        raise LarqnetsError(
            f"Even steps {1 / low:.0f} times finer than those of {BASE_BITS:g} bits lose {drop:.2f} points. Allow a larger "
            "--max-drop."
        )
    while high / low > 1.05:
        middle = math.sqrt(low * high)
        tried, drop = lost(middle)
        if drop <= max_drop:
            best, low = tried, middle
        else:
            high = middle
    return best
