"""What a conversion is proven with: test images of the network, or random ones."""

from dataclasses import dataclass

import numpy as np

from larqnets.runs.subject import Subject

MIN_SAMPLES = 1000
MAX_SAMPLES = 10_000
MAX_SAMPLE_BYTES = 2_000_000_000  # about 3,300 images of 224x224


@dataclass(frozen=True)
class Samples:
    """Images to verify with. The first `num_test` are test images, whose accuracy is reported; the rest only fills up."""

    images: np.ndarray  # float32 (N, H, W, C), preprocessed
    labels: np.ndarray | None = None  # (N,)
    num_test: int = 0
    real: bool = True  # False: random values, for want of images


def verification_samples(subject: Subject, seed: int = 0) -> Samples:
    """Return test images, at most 10,000 or 2 GB, filled up to 1,000 with training images; random ones without data."""
    dataset = subject.images
    if dataset is None:
        rng = np.random.default_rng(seed)
        shape = (MIN_SAMPLES, *subject.takes)
        return Samples(rng.normal(size=shape).astype(np.float32), None, 0, real=False)
    bytes_per_image = 4 * int(np.prod(dataset.info.image_shape))
    count = max(MIN_SAMPLES, min(MAX_SAMPLES, MAX_SAMPLE_BYTES // bytes_per_image))
    images, labels = dataset.samples(count, "test", seed=seed)
    missing = max(0, MIN_SAMPLES - len(images))
    if missing:
        more_images, more_labels = dataset.samples(missing, "train", seed=seed)
        return Samples(np.concatenate([images, more_images]), np.concatenate([labels, more_labels]), len(images))
    return Samples(images, labels, len(images))
