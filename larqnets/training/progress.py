"""How a training goes, in words."""

from larqnets.training.metrics import MetricsRow


def step_words(loss: float, accuracy: float, images_per_second: float) -> str:
    """Return what the last steps gave: means of the epoch so far."""
    return f"loss {loss:.4f}  accuracy {accuracy:.1%}  {images_per_second:,.0f} images/s"


def epoch_line(row: MetricsRow, epochs: int) -> str:
    """Return a finished epoch of a run of `epochs`."""
    return (
        f"epoch {row['epoch']:{len(str(epochs))}}/{epochs}  loss {row['train_loss']:.4f}  "
        f"accuracy {row['train_accuracy']:6.1%}  test loss {row['test_loss']:.4f}  "
        f"test accuracy {row['test_accuracy']:6.1%}  {row['images_per_second']:,.0f} images/s"
    )
