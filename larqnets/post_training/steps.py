"""A step for every layer, from how much each one moves the logits: for a size to reach, or for accuracy to keep.

With the step f_l a layer moves the logits by s_l f_l^2 / 12, see `larqnets.post_training.sensitivity`, and a weight costs
c - log2 f_l bits. The least movement for a given sum of bits has all s_l f_l^2 / N_l equal (N_l weights):

    f_l = lambda sqrt(N_l / s_l)

lambda is then sought, with sizes or accuracies measured anew each time. Small layers need no rule that protects them:
they move the logits much for their few bits, so their steps are fine. Where `protect_small` asks for it all the same, they
are at int8 and have no step. (Ours, not the paper's, which has one setting for all layers.)

A network is surer of images that it was trained with than of others, and loses less on them. So accuracy is kept on
training images mixed in pairs, as much as makes the network no more accurate on them than on its test images; of these
nothing but that accuracy, which the run's card has, is used.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import tensorflow as tf

from larqnets.data.info import IMAGE, LABEL
from larqnets.decompose import Settings, settings_for_bits
from larqnets.decompose.result import LayerResult
from larqnets.decompose.search import LARGEST, SMALLEST
from larqnets.decompose.settings import Search
from larqnets.errors import LarqnetsError
from larqnets.post_training import network as net
from larqnets.post_training.sensitivity import sensitivities
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.subject import Subject
from larqnets.training.evaluation import answering

GRADIENT_IMAGES = 512  # of the calibration images, for the sensitivities
BASE_BITS = 5.0  # the search for an accuracy starts from the steps of this size,
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
    steps, and for a size or an accuracy that no step reaches.
    """
    if not settings.is_sound:
        raise LarqnetsError(
            "Only the sound mode of cbd has steps to search for. Leave --target-bits and --max-drop out, or use "
            "--method cbd --mode sound."
        )
    if (dataset := subject.images) is None:
        raise LarqnetsError("The search needs images to calibrate with. Name them with --dataset.")
    examples = dataset.samples(search.images, "train")
    if LABEL not in examples:
        raise LarqnetsError(
            f"The search looks at how classes are told apart, and {dataset.info.name} has none. Give a step for all layers."
        )
    images, labels = examples[IMAGE], examples[LABEL]
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
        reporter.stage("mixing")
        predict = Predictor(subject.model)
        images, found["mixed"] = as_hard_as_unseen(predict, images, labels, subject.accuracy)
        found["calibration_accuracy"] = float_accuracy = predict.accuracy(images, labels)
        found["trials"] = trials = []
        reporter.stage("bisection")
        base, _ = settings_for_bits(free_values, BASE_BITS, settings, sensitivity, depthwise, tolerance=0.1)

        def lost(factor: float) -> tuple[dict[str, Settings], float]:
            """Return settings with all steps times `factor`, and the points of accuracy that they lose."""
            tried = {name: replace(own, step=float(np.clip(own.step * factor, *STEPS))) for name, own in base.items()}
            results = net.decompose(kernels, dict.fromkeys(values, settings) | tried, values=values)
            net.assign(kernels, net.reconstructions(results))
            drop = 100 * (float_accuracy - predict.accuracy(images, labels))
            net.assign(kernels, values)
            bits = 8 * sum(r.file_bytes for r in results.values()) / sum(r.weights for r in results.values())
            trials.append({"factor": factor, "record_bits_per_weight": bits, "drop": drop})
            return tried, drop

        assert search.max_drop is not None  # one of the two is given
        chosen = _coarsest(lost, search.max_drop)
    found["steps"] = {name: own.step for name, own in chosen.items()}
    return dict.fromkeys(values, settings) | chosen, found


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


def as_hard_as_unseen(
    predict: "Predictor", images: np.ndarray, labels: np.ndarray, accuracy: float | None
) -> tuple[np.ndarray, float]:
    """Return images (N, H, W, C) on which the network is about as accurate as `accuracy`, and the share a of the mixture.

    (1 - a) x_i + a x_j with an image j of another class, a below 1/2, the label i. a is 0 where the accuracy is None or
    the network is no more accurate anyway.
    """
    if accuracy is None or predict.accuracy(images, labels) <= accuracy:
        return images, 0.0
    partners = np.arange(len(labels))
    generator = np.random.default_rng(0)
    for label in np.unique(labels):
        others = np.flatnonzero(labels != label)
        if len(others):
            own = labels == label
            partners[own] = generator.choice(others, np.count_nonzero(own))

    def mixed(share: float) -> np.ndarray:
        return (1 - np.float32(share)) * images + np.float32(share) * images[partners]

    low, high = 0.0, 0.5
    while high - low > 0.01:
        middle = (low + high) / 2
        easier = predict.accuracy(mixed(middle), labels) > accuracy
        low, high = (middle, high) if easier else (low, middle)
    return mixed(high), high


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


class Predictor:
    """A classifier whose weights change between calls."""

    def __init__(self, model: tf.keras.Model) -> None:
        self._answer = answering(model)

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Return the share of the images (N, H, W, C) whose class (N,) has the largest logit."""
        (logits,) = self._answer(images)
        return float(np.mean(logits.argmax(-1) == labels))
