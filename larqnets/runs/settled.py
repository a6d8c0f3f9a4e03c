"""What a config leaves open and a run settles when it begins: it then stands in the run's own config."""

from dataclasses import replace

from larqnets.config import DataConfig, Experiment
from larqnets.published import is_published
from larqnets.runs.batch_size import with_batch_size


def settled_as(asked: Experiment, run: Experiment) -> Experiment:
    """Return an experiment with what it leaves open as a run has it: the size of a batch, and how its images are prepared."""
    asked = with_batch_size(asked, run.train.batch_size)
    if not is_published(asked.model.backbone):
        return asked
    return replace(asked, data=prepared_as(asked.data, run.data.mean, run.data.std))


def prepared_as(data: DataConfig, mean: tuple[float, ...], std: tuple[float, ...]) -> DataConfig:
    """Return the same images prepared so, as far as nothing else is asked for."""
    return replace(data, mean=data.mean or mean, std=data.std or std)
