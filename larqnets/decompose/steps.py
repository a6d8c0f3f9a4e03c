"""A step for every layer, from how much each one disturbs the logits: for a size to reach, or for accuracy to keep.

With the step f in standard deviations, the error of a layer's weights has the variance (f std)^2 / 12, so alone it moves
the logits by s_l f_l^2 (squared, mean over images), and all layers together by about the sum. A weight costs
c - log2 f_l bits. The least disturbance for a given sum of bits has all s_l f_l^2 / N_l equal (N_l weights):

    f_l = lambda sqrt(N_l / s_l)

s_l is measured: one layer at a time is decomposed with the step PROBE, and squared logit changes are averaged over
calibration images. lambda is then bisected, with sizes or accuracies measured anew each time. Layers that are kept at
int8 have no step. (Ours, not the paper's, which has one setting for all layers.)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from larqnets.data import load_dataset
from larqnets.decompose import Settings
from larqnets.decompose import network as net
from larqnets.errors import LarqnetsError
from larqnets.training.evaluation import check_images

PROBE = 0.5
STEPS = (0.02, 4.0)  # no layer gets a finer or a coarser step
SIZE_TOLERANCE = 0.01  # bits per weight
ROUNDS = 12
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
    relative = _relative_steps({k.name: values[k.name].size for k in free}, disturbance)

    on_stage("bisection")
    trials: list[dict[str, float]] = []

    def attempt(factor: float) -> tuple[dict[str, Settings], float, float | None]:
        """Return settings, bits per weight and, where it is asked for, points of accuracy lost, of one lambda."""
        chosen = dict.fromkeys((k.name for k in kernels), settings) | {
            name: replace(settings, step=float(np.clip(factor * step, *STEPS))) for name, step in relative.items()
        }
        results = net.decompose(kernels, chosen, values=values)
        bits = sum(r.bits for r in results.values()) / sum(r.weights for r in results.values())
        drop = None
        if search.max_drop is not None:
            net.assign(kernels, net.reconstructions(results))
            drop = 100 * (float_accuracy - float(np.mean(predict(images).argmax(-1) == labels)))
            net.assign(kernels, values)
        trials.append({"factor": factor, "bits_per_weight": bits, **({} if drop is None else {"drop": drop})})
        return chosen, bits, drop

    chosen = _bisect(attempt, search)
    found = {
        "target_bits": search.target_bits,
        "max_drop": search.max_drop,
        "images": len(images),
        "calibration_accuracy": float_accuracy,
        "disturbance": disturbance,
        "steps": {name: chosen[name].step for name in relative},
        "trials": trials,
    }
    return chosen, found


def _relative_steps(weights: dict[str, int], disturbance: dict[str, float]) -> dict[str, float]:
    """Return sqrt(N / s) by layer, with a geometric mean of 1; a layer that disturbs nothing counts as the least that does."""
    least = min((value for value in disturbance.values() if value > 0), default=1.0)
    steps = {name: math.sqrt(weights[name] / max(disturbance[name], least)) for name in weights}
    mean = math.exp(sum(map(math.log, steps.values())) / len(steps))
    return {name: step / mean for name, step in steps.items()}


def _bisect(
    attempt: Callable[[float], tuple[dict[str, Settings], float, float | None]], search: Search
) -> dict[str, Settings]:
    """Return the best settings that keep to what is asked for: the finest of the size, or the coarsest of the accuracy.

    Raises LarqnetsError when none of the possible steps do.
    """
    for_size = search.target_bits is not None

    def keeps(bits: float, drop: float | None) -> bool:
        return bits <= search.target_bits if drop is None else drop <= search.max_drop

    low, high = STEPS  # of lambda: as fine, and as coarse, as a layer may get
    best, bits, drop = attempt(high if for_size else low)
    if not keeps(bits, drop):
        reached = f"coarsest steps only reach {bits:.2f} bits per weight"
        reached = reached if drop is None else f"finest steps lose {drop:.2f} points"
        raise LarqnetsError(f"Even the {reached}. Ask for less.")
    for _ in range(ROUNDS):
        middle = math.sqrt(low * high)
        tried, bits, drop = attempt(middle)
        kept = keeps(bits, drop)
        if kept:
            best = tried
        if kept == for_size:
            high = middle
        else:
            low = middle
        if high / low < 1.01 or (for_size and kept and search.target_bits - bits <= SIZE_TOLERANCE):
            break
    return best


class Predictor:
    """Logits of a model whose weights change between calls; its graph is traced once."""

    def __init__(self, model: tf.keras.Model) -> None:
        signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
        self._run = tf.function(lambda x: model(x, training=False), input_signature=signature)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the logits (N, classes) of images (N, H, W, C)."""
        return np.concatenate([self._run(images[i : i + BATCH]).numpy() for i in range(0, len(images), BATCH)])
