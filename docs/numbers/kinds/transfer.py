"""What a body from other images was worth: results/transfer.csv."""

from statistics import fmean

from docs.numbers.formats import markdown, percent
from docs.numbers.kinds import Makers
from docs.numbers.sources import Row, select, table

TRANSFER = "results/transfer.csv"
BODY = "cifar10-birealnet"
SCORES = ("validation_accuracy", "test_accuracy", "label_accuracy")


def _runs(body: str | None) -> list[Row]:
    return select(table(TRANSFER), init_from=body)


def _mean(body: str | None, score: str) -> float:
    return fmean(row[score] for row in _runs(body))


def transfer() -> str:
    """Means over seeds, in brackets from the least to the most."""
    rows = []
    for body in (None, BODY):
        runs = _runs(body)
        cells = []
        for score in SCORES:
            found = [row[score] for row in runs]
            spread = f"{percent(min(found), 1)} to {percent(max(found), 1)}"
            cells.append(f"{percent(fmean(found), 1)} % ({spread})")
        start = f"init-from {body}" if body else "from scratch"
        rows.append([f"{start}, augment {runs[0]['augment']}", ", ".join(str(row["seed"]) for row in runs), *cells])
    return markdown(["", "seeds", "validation accuracy", "test accuracy", "mean over labels"], rows)


TABLES: Makers = {"transfer": transfer}
VALUES: Makers = {
    "transfer_image_worth": lambda: percent(1 / table(TRANSFER)[0]["test_images"]),
    "transfer_validation_gain": lambda: percent(
        _mean(BODY, "validation_accuracy") - _mean(None, "validation_accuracy"), 0
    ),
    "transfer_test_loss": lambda: percent(_mean(None, "test_accuracy") - _mean(BODY, "test_accuracy"), 1),
}
