"""The table on transfer in docs/results/transfer.md: measures finished runs on their test images.

    python tests/transfer_table.py TABLE.csv RUN...

writes a row for every run and prints, for every way in which they were trained, the mean and the range over its seeds.
"""

import statistics
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import larqnets  # noqa: F401, it says which Keras TensorFlow is to have
from deploy.proof.check import evaluate_subject
from larqnets.csv_table import CsvTable, Format
from larqnets.runs.run import Run

Score = Annotated[float, Format(".6f")]


@dataclass(frozen=True)
class Row:
    """A run; scores are fractions. `label_accuracy` is the mean over the labels, each of which counts alike."""

    init_from: str  # the name of the other run, "" from scratch
    augment: str
    options: str  # of the transfer, as they stand in the config
    epochs: int
    seed: int
    test_images: int
    validation_accuracy: Score
    test_accuracy: Score
    label_accuracy: Score

    @property
    def way(self) -> str:
        """How it was trained, in the words of the config."""
        start = f"init-from {self.init_from}" if self.init_from else "from scratch"
        return ", ".join([start, f"augment {self.augment}", *([self.options] if self.options else [])])


TABLE = CsvTable.of(Row)


def measured(path: Path) -> Row:
    """Evaluate a run; raises LarqnetsError as `evaluate_subject` does."""
    run = Run.open(path)
    found = evaluate_subject(path)
    train, card = run.experiment.train, run.card
    assert card.validation_score is not None, path
    assert found["accuracy"] == card.test_accuracy, path
    return Row(
        init_from=Path(card.init_from).name if card.init_from else "",
        augment=run.experiment.data.augment,
        options="freeze" if train.freeze else f"body_rate {train.body_rate:g}" if train.body_rate != 1 else "",
        epochs=card.epochs_done,
        seed=card.seed,
        test_images=found["images"],
        validation_accuracy=card.validation_score,
        test_accuracy=found["accuracy"],
        label_accuracy=statistics.mean(entry["accuracy"] for entry in found["classes"]),
    )


def lines(rows: list[Row]) -> list[str]:
    """Return the table in Markdown: for every way of training the mean over its seeds, and from the least to the most."""
    ways = defaultdict[str, list[Row]](list)
    for row in rows:
        ways[row.way].append(row)
    said = ["| | seeds | validation accuracy | test accuracy | mean over labels |", "|---|---|---|---|---|"]
    for way, group in ways.items():
        cells = [
            f"{statistics.mean(scores):.1%} ({min(scores):.1%} to {max(scores):.1%})"
            for scores in (
                [row.validation_accuracy for row in group],
                [row.test_accuracy for row in group],
                [row.label_accuracy for row in group],
            )
        ]
        said.append(f"| {way} | {', '.join(str(row.seed) for row in group)} | {' | '.join(cells)} |")
    return said


if __name__ == "__main__":
    found = [measured(Path(name)) for name in sys.argv[2:]]
    TABLE.write(Path(sys.argv[1]), [asdict(row) for row in found])
    print("\n".join(lines(found)))
    print(f"One of {found[0].test_images} test images is {1 / found[0].test_images:.2%}.")
