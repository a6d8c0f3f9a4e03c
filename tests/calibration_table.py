"""The table on ranges in docs/guides/int8.md: which way to choose them loses least on training images that they were not seen on.

    python tests/calibration_table.py TABLE.csv RUN...

writes a row for every run of a classifier, rest and `--calibration`, and prints by how much each way is above the default one over all
runs and images together: the test set is not looked at.
"""

import sys
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np

import larqnets  # noqa: F401, it says which Keras TensorFlow is to have
from deploy.convert.convert import convert
from deploy.convert.int8_rest import int8_rest
from deploy.proof.converted import right_of
from deploy.proof.intervals import paired_difference
from deploy.proof.samples import Samples
from deploy.targets import CALIBRATIONS, RESTS, Int8Request
from larqnets.csv_table import CsvTable, Format
from larqnets.data.info import IMAGE
from larqnets.runs.subject import open_subject

HELD_OUT = 5000
PROOF = 100  # images that the float rest is proven on
SEED = 1

Share = Annotated[float, Format(".6f")]


@dataclass(frozen=True)
class Row:
    """A file on held-out training images; shares of them. `difference`, with the paired 95 % interval, is to the float rest."""

    run: str
    rest: str
    calibration: str
    images: int  # that ranges are seen on
    held_out: int
    accuracy: Share
    float_rest_accuracy: Share
    difference: Share
    difference_low: Share
    difference_high: Share


TABLE = CsvTable.of(Row)
Right = dict[tuple[str, str], np.ndarray]  # rest, calibration -> which of the held-out images are right, bool (N,)


def measured(path: Path) -> tuple[list[Row], Right]:
    """Convert a run in all ways and score every file."""
    source, usual = open_subject(path), Int8Request("mixed")
    assert source.images is not None
    images = source.images.samples(usual.images + HELD_OUT, "train", seed=SEED)
    seen, held_out = (
        {name: values[part] for name, values in images.items()}
        for part in (slice(usual.images), slice(usual.images, None))
    )
    labels = {name: values for name, values in held_out.items() if name != IMAGE}
    count = len(held_out[IMAGE])
    samples = Samples(held_out[IMAGE], labels, count, task=source.task, info=source.images.info)
    few = replace(
        samples,
        images=samples.images[:PROOF],
        labels={name: values[:PROOF] for name, values in labels.items()},
        num_test=0,
    )
    main = convert(source.model, few)
    _, reference = right_of(main.file, samples)
    assert reference is not None
    rows, right = [], {}
    for rest in RESTS:
        for calibration in CALIBRATIONS:
            request = Int8Request(rest, calibration=calibration)
            made = int8_rest(main, request, few, lambda _: seen, counted=False)
            _, found = right_of(made.file, samples)
            assert found is not None
            right[rest, calibration] = found
            apart = paired_difference(found, reference)
            shares = (float(found.mean()), float(reference.mean()), apart.value, apart.low, apart.high)
            rows.append(Row(path.name, rest, calibration, usual.images, count, *shares))
    return rows, right


def main(table: str, *runs: str) -> None:
    """Measure the runs, keep what there is so far, and say which way is better."""
    rows: list[Row] = []
    everything: dict[tuple[str, str], list[np.ndarray]] = defaultdict(list)
    for run in runs:
        more, right = measured(Path(run))
        rows += more
        TABLE.write(Path(table), [asdict(row) for row in rows])
        for way, found in right.items():
            everything[way].append(found)
        print(
            f"{run}: {', '.join(f'{row.rest} {row.calibration} {100 * row.difference:+.2f}' for row in more)}",
            flush=True,
        )
    default = Int8Request("mixed").calibration
    for rest in RESTS:
        reference = np.concatenate(everything[rest, default])
        for calibration in CALIBRATIONS:
            if calibration == default:
                continue
            apart = paired_difference(np.concatenate(everything[rest, calibration]), reference)
            tie = "a tie" if apart.low <= 0 <= apart.high else "not a tie"
            interval = f"({100 * apart.low:+.3f} to {100 * apart.high:+.3f})"
            print(
                f"{rest}: {calibration} is {100 * apart.value:+.3f} points {interval} above {default} on {len(reference):,} images: {tie}"
            )


if __name__ == "__main__":
    main(*sys.argv[1:])
