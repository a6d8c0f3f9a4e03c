"""How many images a step takes where a config does not say, and what is said of it before a training.

Nothing here reads an image: it follows from the number of training images alone, and stands in the config of the run.
"""

from collections.abc import Sequence
from dataclasses import replace

from larqnets.config import Experiment, TrainConfig

LARGEST, SMALLEST = 128, 16  # LARGEST is what every config without the key had before the number of images counted
FEW_STEPS = 20  # in an epoch: with fewer, an epoch changes the weights so rarely that it teaches little
ENOUGH_STEPS = 3000  # of a whole training on a folder of photos, as `larqnets init photos` plans it


def fitting(images: int) -> int:
    """Return the largest of 128, 64, 32, 16 with which an epoch has FEW_STEPS steps or more, else 16; at most all images."""
    size = LARGEST
    while size > SMALLEST and images // size < FEW_STEPS:
        size //= 2
    return max(1, min(size, images))


def with_batch_size(experiment: Experiment, size: int) -> Experiment:
    """Return the experiment with batches of `size` images wherever it leaves them open."""
    train = experiment.train if experiment.train.batch_size else replace(experiment.train, batch_size=size)
    stages = (stage if stage.batch_size else replace(stage, batch_size=size) for stage in experiment.stages)
    return replace(experiment, train=train, stages=tuple(stages))


def batch_lines(images: int, stages: Sequence[TrainConfig]) -> list[str]:
    """Return "204 images, batch 16: 12 steps per epoch." for every size of batch, with a caution where these are few."""
    said = []
    for size in dict.fromkeys(stage.batch_size for stage in stages):
        steps = images // size
        said.append(f"{images:,} images, batch {size:,}: {_counted(steps, 'step')} per epoch.")
        if steps < FEW_STEPS:
            epochs = sum(stage.epochs for stage in stages if stage.batch_size == size)
            smaller = " or a smaller train.batch_size" if size > SMALLEST else ""
            enough = epochs * steps >= ENOUGH_STEPS
            said.append(
                f"careful: an epoch of fewer than {FEW_STEPS} steps changes the weights little, "
                f"{'but' if enough else 'and'} {_counted(epochs, 'epoch')} {'has' if epochs == 1 else 'have'} "
                f"{_counted(epochs * steps, 'step')} in all."
                + ("" if enough else f" More train.epochs{smaller} give more.")
            )
    return said


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
