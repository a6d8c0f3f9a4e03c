"""A run that trains the body of a published network: how its images are prepared, and where its first weights are kept."""

from dataclasses import replace

from larqnets.config import Experiment
from larqnets.data import Dataset
from larqnets.errors import LarqnetsError
from larqnets.published import is_published
from larqnets.published.bodies import formula_of
from larqnets.runs.run import Run
from larqnets.runs.settled import prepared_as


def as_body_takes(experiment: Experiment, dataset: Dataset) -> tuple[Experiment, Dataset]:
    """Return both with images prepared as the published body was trained with, where the config does not say otherwise.

    Raises LarqnetsError where there is no such body, or the images are not in colour.
    """
    named = experiment.model.backbone
    if not is_published(named):
        return experiment, dataset
    formula = formula_of(named)
    if dataset.info.image_shape[2] != 3:
        raise LarqnetsError(
            f"{named} takes images in colour, and those of {dataset.info.name} are grey. Save them as RGB, or name a backbone of "
            "`larqnets list backbones`."
        )
    data = prepared_as(experiment.data, formula.mean, formula.std)
    return replace(experiment, data=data), dataset.prepared(data.mean, data.std)


def preparation_lines(run: Run) -> list[str]:
    """Return how the images of a run on a published body are prepared, and a caution where its weights expect another way."""
    model, data = run.experiment.model, run.experiment.data
    if not is_published(model.backbone):
        return []
    formula = formula_of(model.backbone)
    used = f"(pixel / 255 - mean) / std with mean {_listed(data.mean)} and std {_listed(data.std)}"
    if (data.mean, data.std) == (formula.mean, formula.std):
        return [f"Images are prepared as {model.backbone} was trained with: {used}."]
    said = [f"Images are prepared as the config says: {used}."]
    if is_published(run.card.init_from):
        said.append(
            f"careful: the weights of {model.backbone} were trained with mean {_listed(formula.mean)} and std "
            f"{_listed(formula.std)}. Leave data.mean and data.std out to have these."
        )
    return said


def _listed(values: tuple[float, ...]) -> str:
    return f"({', '.join(f'{value:.4g}' for value in values)})"
