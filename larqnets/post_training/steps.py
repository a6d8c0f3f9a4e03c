"""A step for every layer, from how much each one disturbs the logits: for a size to reach, or for accuracy to keep.

With the step f in standard deviations, the error of a layer's weights has the variance (f std)^2 / 12, so alone it moves
the logits by s_l f_l^2 (squared, mean over images), and all layers together by about the sum. A weight costs
c - log2 f_l bits. The least disturbance for a given sum of bits has all s_l f_l^2 / N_l equal (N_l weights):

    f_l = lambda sqrt(N_l / s_l)

s_l is measured: one layer at a time is decomposed with the step PROBE, and squared logit changes are averaged over
calibration images. lambda is then sought, with sizes or accuracies measured anew each time. Layers that are kept at
int8 have no step. (Ours, not the paper's, which has one setting for all layers.)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from larqnets.data import load_dataset
from larqnets.decompose import Settings, settings_for_bits
from larqnets.decompose.search import LARGEST, SMALLEST
from larqnets.errors import LarqnetsError
from larqnets.post_training import network as net
from larqnets.training.evaluation import check_images

PROBE = 0.5
BASE_BITS = 5.0  # the search for an accuracy starts from the steps of this size,
FACTORS = (1 / 8, 8.0)  # made finer and coarser by up to these factors,
STEPS = (SMALLEST, LARGEST)  # but none beyond these
BATCH = 128


@dataclass(frozen=True)
class Search:
    """What to look for: a size in bits per weight, or the most points of accuracy on calibration images to give up."""

    target_bits: float | None = None
    max_drop: float | None = None
    images: int = 512  # training images to calibrate with

    def __post_init__(self) -> None:
        """Raise LarqnetsError unless exactly one of the two is asked for, within its range."""
        if (self.target_bits is None) == (self.max_drop is None):
            raise LarqnetsError("Search for a size or for an accuracy: give --target-bits or --max-drop, not both.")
        if self.target_bits is not None and not 1 <= self.target_bits <= 8:
            raise LarqnetsError(f"--target-bits is {self.target_bits}; it must lie between 1 and 8 bits per weight.")
        if self.max_drop is not None and not 0 <= self.max_drop <= 100:
            raise LarqnetsError(f"--max-drop is {self.max_drop}; it must lie between 0 and 100 points.")


def find_settings(
    origin: net.Origin,
    kernels: Sequence[net.Kernel],
    settings: Settings,
    search: Search,
    on_stage: Callable[[str], Any] = lambda _: None,
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
    if origin.data is None:
        raise LarqnetsError("The search needs images to calibrate with. Name them with --dataset.")
    dataset = load_dataset(origin.data)
    check_images(origin.model, dataset)
    images, labels = dataset.samples(search.images, "train")
    predict = Predictor(origin.model)
    values = net.float_values(kernels)
    logits = predict(images)
    float_accuracy = float(np.mean(logits.argmax(-1) == labels))

    on_stage("sensitivity")
    probed = net.decompose(kernels, replace(settings, step=PROBE), values=values)
    free = [kernel for kernel in kernels if "step" in probed[kernel.name].knobs]
    if not free:
        raise LarqnetsError("Every layer is kept at int8, so there is no step to find. Try --no-protect-small.")
    disturbance: dict[str, float] = {}
    for kernel in free:
        net.assign([kernel], {kernel.name: probed[kernel.name].values})
        disturbance[kernel.name] = float(np.mean(np.sum((predict(images) - logits) ** 2, axis=-1)))
        net.assign([kernel], values)
    probe = {kernel.name: float(probed[kernel.name].knobs["step"]) for kernel in free}  # coarser where int8 asks for it
    sensitivity = _positive({name: 12 * moved / probe[name] ** 2 for name, moved in disturbance.items()})
    kept = [result for name, result in probed.items() if name not in disturbance]  # at int8
    free_values = {kernel.name: values[kernel.name] for kernel in free}

    on_stage("bisection")
    trials: list[dict[str, float]] = []
    if search.target_bits is not None:
        # what is left for the layers with steps when those at int8 have taken theirs
        total = search.target_bits * sum(result.weights for result in probed.values())
        at_int8 = 8 * sum(result.file_bytes for result in kept)
        left = total - at_int8
        if left <= 0:
            least = at_int8 / sum(result.weights for result in probed.values())
            raise LarqnetsError(
                f"The layers at int8 alone take {least:.2f} bits per weight. Ask for more, or use --no-protect-small."
            )
        wanted = left / sum(kernel.size for kernel in free_values.values())
        chosen, _ = settings_for_bits(free_values, wanted, settings, sensitivity)
    else:
        base, _ = settings_for_bits(free_values, BASE_BITS, settings, sensitivity, tolerance=0.1)

        def lost(factor: float) -> tuple[dict[str, Settings], float]:
            """Return settings with all steps times `factor`, and the points of accuracy that they lose."""
            tried = {name: replace(own, step=float(np.clip(own.step * factor, *STEPS))) for name, own in base.items()}
            results = net.decompose(kernels, dict.fromkeys(values, settings) | tried, values=values)
            net.assign(kernels, net.reconstructions(results))
            drop = 100 * (float_accuracy - float(np.mean(predict(images).argmax(-1) == labels)))
            net.assign(kernels, values)
            bits = 8 * sum(r.file_bytes for r in results.values()) / sum(r.weights for r in results.values())
            trials.append({"factor": factor, "record_bits_per_weight": bits, "drop": drop})
            return tried, drop

        chosen = _coarsest(lost, search.max_drop)
    found = {
        "target_bits": search.target_bits,
        "max_drop": search.max_drop,
        "images": len(images),
        "calibration_accuracy": float_accuracy,
        "disturbance": disturbance,
        "steps": {name: own.step for name, own in chosen.items()},
        "trials": trials,
    }
    return dict.fromkeys(values, settings) | chosen, found


def _positive(sensitivity: dict[str, float]) -> dict[str, float]:
    """Return the sensitivities; a layer that disturbs nothing counts as the least that does."""
    least = min((value for value in sensitivity.values() if value > 0), default=1.0)
    return {name: max(value, least) for name, value in sensitivity.items()}


def _coarsest(lost: Callable[[float], tuple[dict[str, Settings], float]], max_drop: float) -> dict[str, Settings]:
    """Return the settings of the largest factor that loses at most `max_drop` points, to 5 percent of the factor."""
    low, high = FACTORS
    best, drop = lost(low)
    if drop > max_drop:
        raise LarqnetsError(
            f"Even steps {1 / low:.0f} times finer than those of {BASE_BITS:g} bits lose {drop:.2f} points."
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
    """Logits of a model whose weights change between calls; its graph is traced once."""

    def __init__(self, model: tf.keras.Model) -> None:
        signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
        self._run = tf.function(lambda x: model(x, training=False), input_signature=signature)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the logits (N, classes) of images (N, H, W, C)."""
        return np.concatenate([self._run(images[i : i + BATCH]).numpy() for i in range(0, len(images), BATCH)])
