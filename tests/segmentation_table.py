"""results/segmentation_camvid.csv: measures the files of finished segmentation runs on their whole test sets.

    python tests/segmentation_table.py TABLE.csv RUN...

of runs that `larqnets convert` has converted (`--twins` gives a `real` run its int8 file): a row for the binary file, or for
the float and int8 ones of a run that has none, written when it is measured; rows of other runs stay as they are. Instructions
are those of one inference on one thread, executed by an emulated core.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from run_tables import write_rows

import larqnets  # noqa: F401, it says which Keras TensorFlow is to have
from android_bench.emulation.qemu import count
from deploy.proof.check import evaluate_subject
from larqnets.csv_table import CsvTable, Format
from larqnets.runs.run import Run
from larqnets.tflite.inspect import inspect_model

Score = Annotated[float, Format(".6f")]


@dataclass(frozen=True)
class Row:
    """A file. Scores are fractions; `test_miou` is the trained network's, whose file it is; `seconds` its training took."""

    method: str
    variant: str  # float | int8 | plain | bpac | staged
    k: int | None  # branches of Group-Net
    seed: int
    image_height: int
    image_width: int
    test_miou: Score
    converted_test_miou: Score
    file_bytes: int
    binary_macs: int
    float_macs: int
    arm64_instructions_a72: int
    arm64_instructions_a76: int
    seconds: Annotated[float, Format(".0f")]


TABLE = CsvTable.of(Row)


def measured(path: Path, file: Path) -> Row:
    """Evaluate a converted file of a run and count its instructions; raises LarqnetsError as `evaluate_subject` does."""
    run = Run.open(path)
    experiment, card, totals = run.experiment, run.card, inspect_model(file).totals
    options = experiment.model.options
    plain = "staged" if experiment.stages else "bpac" if options.get("bpac") else "plain"
    a72, a76 = (count(file, cpu, per_op=False).instructions for cpu in ("cortex-a72", "cortex-a76"))
    assert card.score is not None, run.path
    assert card.images is not None, run.path
    height, width, _ = card.images.image_shape
    return Row(
        method=card.method,
        variant=plain if file.stem == "binary" else file.stem,
        k=options.get("k"),
        seed=card.seed,
        image_height=height,
        image_width=width,
        test_miou=card.score,
        converted_test_miou=evaluate_subject(file)["scores"]["miou"],
        file_bytes=totals["file_bytes"],
        binary_macs=totals["binary"]["macs"],
        float_macs=totals["float"]["macs"],
        arm64_instructions_a72=a72,
        arm64_instructions_a76=a76,
        seconds=card.seconds,
    )


if __name__ == "__main__":
    key = ("method", "variant", "k", "seed", "image_height", "image_width")
    write_rows(TABLE, sys.argv[1], sys.argv[2:], key, measured)
