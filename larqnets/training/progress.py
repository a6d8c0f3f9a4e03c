"""How a training goes, in words."""

from collections.abc import Mapping

from larqnets.runs.epoch_tables import TEST, VALIDATION
from larqnets.training.metrics import MetricsRow, scores_of


def step_words(loss: float, scores: Mapping[str, float], images_per_second: float) -> str:
    """Return what the last steps gave: means of the epoch so far, of the scores the first."""
    told = "".join(f"{name} {value:.1%}  " for name, value in list(scores.items())[:1])
    return f"loss {loss:.4f}  {told}{images_per_second:,.0f} images/s"


def epoch_line(row: MetricsRow, epochs: int) -> str:
    """Return a finished epoch of a run of `epochs`; of the scores the first, on the images measured after every epoch."""
    split = VALIDATION if f"{VALIDATION}loss" in row else TEST
    name, score = next(iter(scores_of(row, split).items()))
    trained = f"{name} {row[f'train_{name}']:6.1%}  " if f"train_{name}" in row else ""
    where = split.removesuffix("_")
    return (
        f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}  loss {row['train_loss']:.4f}  {trained}"
        f"{where} loss {row[f'{split}loss']:.4f}  {where} {name} {score:6.1%}  {row['images_per_second']:,.0f} images/s"
    )


def early_line(who: str, epoch: int, patience: int, headline: str) -> str:
    """Return that a stage, or the whole training, has stopped early."""
    return f"{who} stops early, after epoch {epoch}: no better validation {headline} since epoch {epoch - patience}."


def test_line(row: MetricsRow, keep: str, *, again: bool) -> str:
    """Return what the test set said, with the weights of which epoch; `again`: it said something of others before."""
    name, score = next(iter(scores_of(row).items()))
    why = "the last" if keep == "last" else f"the best validation {name}, {row[f'{VALIDATION}{name}']:.1%}"
    return (
        f"Test set, measured once{' more' if again else ''}, with the weights of epoch {row['epoch']} ({why}): loss {row['test_loss']:.4f}, {name} "
        f"{score:.1%}."
    )
