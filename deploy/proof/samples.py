"""What a conversion is proven with: test images of the network, or random ones."""

from dataclasses import dataclass, field

import numpy as np

from larqnets.data.info import IMAGE, LABEL, normalisation
from larqnets.runs.subject import Subject
from larqnets.tasks import Info, Task, Tree, get_task

MIN_SAMPLES = 1000
MAX_SAMPLES = 10_000
MAX_SAMPLE_BYTES = 2_000_000_000  # about 3,300 images of 224x224
MAX_PIXELS = 100 * 360 * 480  # where every pixel is an answer


@dataclass(frozen=True)
class Samples:
    """Images to verify with. The first `num_test` are test images, whose scores are reported; the rest only fills up.

    `labels` is what is known about the images: the labels (N,) of a classifier, or for any task a tree of arrays (N, ...).
    """

    images: np.ndarray  # float32 (N, H, W, C), preprocessed
    labels: np.ndarray | Tree | None = None
    num_test: int = 0
    real: bool = True  # False: random values, for want of images
    task: Task = field(default_factory=get_task)
    info: Info | None = None  # of the data set that they are from

    def __repr__(self) -> str:
        kind = f"{self.num_test:,} of them test images" if self.real else "random values"
        return f"<Samples: {len(self.images):,} images {'x'.join(map(str, self.images.shape[1:]))}, {kind}>"

    def examples(self, part: slice) -> Tree | None:
        """Return a part of the samples with what is known about them; None where nothing is known."""
        if self.labels is None:
            return None
        known = self.labels if isinstance(self.labels, dict) else {LABEL: np.asarray(self.labels)}
        return {name: values[part] for name, values in {IMAGE: self.images, **known}.items()}


def verification_samples(subject: Subject, seed: int = 0) -> Samples:
    """Return test images, at most 10,000 or 2 GB, filled up to 1,000 with training images; random ones without data.

    Where every pixel is an answer, a few images are many of them: at most 100 of 360 x 480 pixels, with none to fill up.
    Random ones are pixels, prepared as the network's images are, and normal numbers where nobody says how.
    """
    dataset = subject.images
    if dataset is None:
        rng = np.random.default_rng(seed)
        shape = (min(MIN_SAMPLES, _most(subject.task, subject.takes)), *subject.takes)
        if (known := subject.preprocess) is None:
            values = rng.normal(size=shape).astype(np.float32)
        else:
            scale, offset = normalisation(known["mean"], known["std"])
            values = rng.integers(0, 256, shape, np.uint8) * scale + offset
        return Samples(values, None, 0, real=False, task=subject.task)
    bytes_per_image = 4 * int(np.prod(dataset.info.image_shape))
    count = max(MIN_SAMPLES, min(MAX_SAMPLES, MAX_SAMPLE_BYTES // bytes_per_image))
    count = min(count, _most(subject.task, dataset.info.image_shape))
    examples = dataset.samples(count, "test", seed=seed)
    tests = len(examples[IMAGE])
    if tests < MIN_SAMPLES and not subject.task.per_pixel:
        more = dataset.samples(MIN_SAMPLES - tests, "train", seed=seed)
        examples = {name: np.concatenate([values, more[name]]) for name, values in examples.items()}
    return Samples(examples.pop(IMAGE), examples, tests, task=subject.task, info=dataset.info)


def _most(task: Task, image_shape: tuple[int, ...]) -> int:
    """Return how many images are worth having for a task."""
    return max(1, MAX_PIXELS // int(np.prod(image_shape[:-1]))) if task.per_pixel else MAX_SAMPLES
