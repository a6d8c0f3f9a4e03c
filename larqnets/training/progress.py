"""How a training goes, in words."""

from collections.abc import Mapping

from larqnets.training.metrics import MetricsRow, scores_of


def step_words(loss: float, scores: Mapping[str, float], images_per_second: float) -> str:
    """Return what the last steps gave: means of the epoch so far, of the scores the first."""
    told = "".join(f"{name} {value:.1%}  " for name, value in list(scores.items())[:1])
    return f"loss {loss:.4f}  {told}{images_per_second:,.0f} images/s"


def epoch_line(row: MetricsRow, epochs: int) -> str:
    """Return a finished epoch of a run of `epochs`; of the scores the first."""
    name, score = next(iter(scores_of(row).items()))
    trained = f"{name} {row[f'train_{name}']:6.1%}  " if f"train_{name}" in row else ""
    return (
        f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}  loss {row['train_loss']:.4f}  {trained}"
        f"test loss {row['test_loss']:.4f}  test {name} {score:6.1%}  {row['images_per_second']:,.0f} images/s"
    )
