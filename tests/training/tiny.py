"""A data set in memory and a tiny experiment, so that every test trains for a few hundred milliseconds."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from larqnets.config import DataConfig, Experiment, ModelConfig, TrainConfig


@dataclass(frozen=True)
class Info:
    name: str = "memory"
    labels: tuple[str, ...] = ("a", "b", "c")
    image_shape: tuple[int, int, int] = (6, 6, 1)
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.25,)
    num_train: int = 70
    num_test: int = 19

    @property
    def num_classes(self) -> int:
        return len(self.labels)


class MemoryDataset:
    """Noisy patterns of three classes, with the interface of larqnets.data.Dataset; step `bad_step` holds an Inf."""

    info = Info()

    def __init__(self, bad_step: int = -1) -> None:
        random = np.random.default_rng(0)
        count = self.info.num_train + self.info.num_test
        self.labels = random.integers(0, 3, count).astype(np.int32)
        patterns = random.normal(size=(3, *self.info.image_shape))
        noise = random.normal(size=(count, *self.info.image_shape))
        self.images = (patterns[self.labels] + 0.5 * noise).astype(np.float32)
        self.bad_step = bad_step

    def steps_per_epoch(self, batch_size: int) -> int:
        return self.info.num_train // batch_size

    def fingerprint(self) -> str:
        return hashlib.sha256(self.images.tobytes() + self.labels.tobytes()).hexdigest()

    def train_batches(self, batch_size: int, seed: int, start_step: int = 0, *, share: Any = None) -> Any:
        steps = self.steps_per_epoch(batch_size)
        images, labels = tf.constant(self.images), tf.constant(self.labels)

        def batch(step: Any) -> Any:
            epoch_seed = tf.stack([tf.constant(seed, tf.int64), step // steps])
            order = tf.random.experimental.stateless_shuffle(tf.range(self.info.num_train), epoch_seed)
            chosen = order[step % steps * batch_size :][:batch_size]
            poison = tf.where(step == self.bad_step, np.inf, 0.0)
            return {"image": tf.gather(images, chosen) + poison, "label": tf.gather(labels, chosen)}

        return tf.data.Dataset.range(start_step, 2**62).map(batch).prefetch(1)

    def eval_batches(self, split: str, batch_size: int, limit: int | None = None) -> Any:
        part = slice(self.info.num_train, None) if split == "test" else slice(0, self.info.num_train)
        return tf.data.Dataset.from_tensor_slices({"image": self.images[part], "label": self.labels[part]}).batch(
            batch_size
        )


def tiny_experiment(**train: Any) -> Experiment:
    """Three epochs of seven steps of a Bi-Real ResNet-5, see conftest.py."""
    settings = {"epochs": 3, "batch_size": 10, "learning_rate": 0.01, "weight_decay": 1e-4, "warmup_epochs": 0.5}
    return Experiment(
        model=ModelConfig("birealnet", "resnet5", width=0.5),
        data=DataConfig("memory"),
        train=TrainConfig(**(settings | train)),
        seed=3,
    )
