"""`make bench-training`: images per second of our loop and of the same network as plain Larq layers in `model.fit`.

Both train on synthetic images, each in a process of its own so that its memory can be told, and take turns: a block of
steps here, a block of steps there, so that whatever else the machine does hits both. The ratio is the median over pairs
of blocks. Ours is `train` itself with its progress reports and checks; `fit` runs without a progress bar, with the
optimizer, schedule, loss and accuracy of our config, in float32, and the augmentation that a tf.data tutorial would write.
"""

import contextlib
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from larqnets import processes
from larqnets.config import Experiment, load_config
from larqnets.data import Dataset
from larqnets.data.info import DatasetInfo, normalisation
from larqnets.data.sources import Source
from larqnets.data.survey import Survey
from larqnets.errors import LarqnetsError, nearest
from larqnets.runs.run import Run
from larqnets.runs.weights import build_model
from larqnets.studies.turns import Child, peak_bytes, tell, write_results
from larqnets.training import environment
from larqnets.training.interrupt import TrainingInterruptedError
from larqnets.training.loop import REPORT_EVERY, train

SIDES = ("larqnets", "plain_larq")
NUM_IMAGES = 50_000  # as CIFAR-10, so that no block holds the end of an epoch


@dataclass(frozen=True)
class Case:
    """A network and the shape of its images; `block` is a multiple of REPORT_EVERY steps."""

    name: str
    config: str
    image_shape: tuple[int, int, int]
    block: int
    overrides: tuple[str, ...] = ()


CASES = {
    case.name: case
    for case in (
        Case("cifar10", "birealnet_resnet20_cifar10", (32, 32, 3), REPORT_EVERY, ("model.width=1.0",)),
        Case(
            "cifar10_mixed",
            "birealnet_resnet20_cifar10",
            (32, 32, 3),
            REPORT_EVERY,
            ("model.width=1.0", "train.mixed_precision=true"),
        ),
        Case("digits", "digits", (8, 8, 1), 5 * REPORT_EVERY),
    )
}

# Our quantizers -> Larq's own of the same function.
_PLAIN = {"ApproxSign": "approx_sign", "MagnitudeSign": "magnitude_aware_sign", "SteSign": "ste_sign"}


def experiment_of(case: Case, overrides: Sequence[str] = ()) -> Experiment:
    """Return the case's config, long enough never to end within the benchmark."""
    experiment = load_config(case.config, [*case.overrides, *overrides])
    return replace(experiment, train=replace(experiment.train, epochs=max(100, experiment.train.epochs)))


class Synthetic(Dataset):
    """Noise with random labels in memory, through the input pipeline of every data set."""

    def __init__(self, case: Case, experiment: Experiment) -> None:
        channels = case.image_shape[-1]
        labels = tuple("0123456789")
        mean, std = (0.5,) * channels, (0.25,) * channels
        info = DatasetInfo("synthetic", labels, case.image_shape, mean, std, NUM_IMAGES, 100, "")
        survey = Survey("synthetic", labels, {}, {}, "", None)
        source = Source("synthetic", labels, {}, case.image_shape[:2], channels, mean, std, survey)
        super().__init__(info, experiment.data, source, as_stored=True)
        random = np.random.default_rng(0)
        self.images = random.integers(0, 256, (NUM_IMAGES, *case.image_shape), np.uint8)
        self.labels = random.integers(0, len(labels), NUM_IMAGES).astype(np.int32)

    def fingerprint(self) -> str:
        """Noise from a fixed seed has no files."""
        return ""

    def _pixels(self, split: str) -> int:
        return self.images.size

    def _load(self, split: str) -> dict[str, tf.Tensor]:
        if split not in self._arrays:
            count = NUM_IMAGES if split == "train" else self.info.num_test
            with tf.device("CPU:0"):
                self._arrays[split] = {
                    "image": tf.constant(self.images[:count]),
                    "label": tf.constant(self.labels[:count]),
                }
        return self._arrays[split]


def plain_model(model: tf.keras.Model) -> tf.keras.Model:
    """Return the same network with Larq's own quantizers in place of ours."""

    def clone(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, lq.layers.QuantConv2D | lq.layers.QuantDense):
            for key in ("input_quantizer", "kernel_quantizer"):
                config[key] = _PLAIN[type(getattr(layer, key)).__name__]
        return type(layer).from_config(config)

    return tf.keras.models.clone_model(model, clone_function=clone)


def plain_pipeline(dataset: Synthetic, experiment: Experiment) -> tf.data.Dataset:
    """Return shuffled, augmented, normalised batches, written as the tf.data guide does it."""
    config, shape = experiment.data, dataset.info.image_shape
    scale, offset = normalisation(dataset.info.mean, dataset.info.std)

    def prepare(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if config.crop_padding:
            pad = config.crop_padding
            image = tf.image.random_crop(tf.pad(image, [[pad, pad], [pad, pad], [0, 0]]), shape)
        if config.flip:
            image = tf.image.random_flip_left_right(image)
        return tf.cast(image, tf.float32) * scale + offset, label

    images = tf.data.Dataset.from_tensor_slices((dataset.images, dataset.labels)).shuffle(NUM_IMAGES).repeat()
    batches = images.map(prepare, tf.data.AUTOTUNE).batch(experiment.train.batch_size, drop_remainder=True)
    return batches.prefetch(tf.data.AUTOTUNE)


def run_ours(experiment: Experiment, dataset: Synthetic, every: int, turn: Callable[[], bool]) -> None:
    """Train with our loop; after every `every` steps ask `turn` whether to go on."""
    with processes.temporary_folder() as folder:
        run = Run.create(folder, "bench", experiment)
        model = build_model(experiment, dataset.info.image_shape, dataset.info.num_classes)

        def stop(step: int) -> bool:
            return step > 0 and step % every == 0 and not turn()

        try:
            train(experiment, run, dataset, model, stop=stop)
        except TrainingInterruptedError:
            return


def run_plain(experiment: Experiment, dataset: Synthetic, every: int, turn: Callable[[], bool]) -> None:
    """Train with `model.fit`; after every `every` steps ask `turn` whether to go on."""
    config = experiment.train
    model = plain_model(build_model(experiment, dataset.info.image_shape, dataset.info.num_classes))

    class Turns(tf.keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self._supports_tf_logs = True  # else Keras would fetch loss and accuracy after every step

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if (batch + 1) % every == 0 and not turn():
                self.model.stop_training = True

    steps = config.epochs * dataset.steps_per_epoch(config.batch_size)
    schedule = tf.keras.optimizers.schedules.CosineDecay(config.learning_rate, steps)
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.Adam(schedule), loss, metrics=["accuracy"])
    model.fit(plain_pipeline(dataset, experiment), steps_per_epoch=steps, verbose=0, callbacks=[Turns()])


def pipeline_rate(experiment: Experiment, dataset: Synthetic, steps: int) -> float:
    """Return images per second of our input pipeline when nothing else computes."""
    batches = iter(dataset.train_batches(experiment.train.batch_size, experiment.seed))
    next(batches)
    started = time.monotonic()
    for _ in itertools.islice(batches, steps):
        pass
    return steps * experiment.train.batch_size / (time.monotonic() - started)


def child(side: str, case_name: str, *overrides: str) -> None:
    """Tell the seconds of the first block, then of one more for every line on stdin; at its end, the peak memory."""
    case = CASES[case_name]
    experiment = experiment_of(case, overrides)
    dataset = Synthetic(case, experiment)
    started = 0.0

    def turn() -> bool:
        nonlocal started
        tell(seconds=time.monotonic() - started)
        go = sys.stdin.readline()
        started = time.monotonic()
        return bool(go)

    (run_ours if side == "larqnets" else run_plain)(experiment, dataset, case.block, turn)
    tell(peak_bytes=peak_bytes())
    if side == "larqnets":
        tell(pipeline=pipeline_rate(experiment, dataset, case.block))


def bench(names: Sequence[str], pairs: int, overrides: Sequence[str], out: Path) -> dict[str, Any]:
    """Measure the named cases (none: all) and write the results to `out`; returns them."""
    for name in names:
        if name not in CASES:
            raise LarqnetsError(f"There is no case '{name}'.{nearest(name, CASES)} Cases: {', '.join(CASES)}.")
    document = {
        "format_version": 1,
        "command": "make bench-training",
        "machine": environment.hardware(),
        "versions": environment.versions(),
        "results": [measure(CASES[name], pairs, overrides) for name in names or CASES],
    }
    write_results(out, document)
    return document


def measure(case: Case, pairs: int, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Let both sides take turns, `pairs` times after those that compile and warm up; returns an entry of the results."""
    with contextlib.ExitStack() as stack:
        children = {side: stack.enter_context(Child(side, __name__, [side, case.name, *overrides])) for side in SIDES}
        for side in SIDES:
            children[side].answer()  # start and compilation
        seconds: dict[str, list[float]] = {side: [] for side in SIDES}
        for pair in range(pairs + 1):
            for side in SIDES if pair % 2 else reversed(SIDES):
                seconds[side].append(children[side].turn()["seconds"])
        for side in SIDES:
            children[side].close()
        peaks = {side: children[side].answer()["peak_bytes"] for side in SIDES}
        pipeline = children["larqnets"].answer()["pipeline"]
    for blocks in seconds.values():
        del blocks[0]  # the first turn of each is with the other one's caches
    experiment = experiment_of(case, overrides)
    images = case.block * experiment.train.batch_size
    ratios = [plain / ours for ours, plain in zip(*(seconds[side] for side in SIDES), strict=True)]
    model = experiment.model
    return {
        "case": case.name,
        "network": f"{model.method} on {model.backbone}, width {model.width:g}",
        "image_shape": list(case.image_shape),
        "batch_size": experiment.train.batch_size,
        "overrides": list(overrides),
        "images_per_second": {side: round(images / statistics.median(seconds[side]), 1) for side in SIDES},
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "steps_per_block": case.block,
        "peak_bytes": peaks,
        "pipeline_alone_images_per_second": round(pipeline, 1),
    }
