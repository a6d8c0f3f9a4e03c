"""results/detection.csv: measures the files of finished detection runs on validation and test images together.

    python tests/detection_table.py TABLE.csv RUN...

of runs that `larqnets convert` has converted (`--twins` gives a `real` run its int8 file): a row for the binary file, or for
the float and int8 ones of a run that has none, written when it is measured. The runs keep their last weights, so nothing is
chosen on the validation images; the test alone would be few of them. Instructions are those of one inference on one thread,
executed by an emulated core.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, cast

from run_tables import write_rows

import larqnets  # noqa: F401, it says which Keras TensorFlow is to have
from android_bench.emulation.qemu import count
from deploy.proof.scoring import Scorer
from deploy.run.interpreter import CHILD, Interpreter, as_list
from larqnets.csv_table import CsvTable, Format
from larqnets.data import Dataset
from larqnets.data.dataset import SplitName
from larqnets.data.info import IMAGE
from larqnets.runs.subject import open_subject
from larqnets.tasks import answers_of
from larqnets.tasks.detection import Detection
from larqnets.tflite.inspect import inspect_model
from larqnets.training.evaluation import answering

Score = Annotated[float, Format(".6f")]
EVALUATED_ON: tuple[SplitName, ...] = ("validation", "test")


@dataclass(frozen=True)
class Row:
    """A file. Scores are fractions, without `converted` those of the trained network; `seconds` its training took."""

    dataset: str
    detector: str
    method: str
    variant: str  # float | int8 | binary
    binary: str  # none | backbone | fpn | all
    k: int | None  # branches of Group-Net
    seed: int
    image_height: int
    image_width: int
    evaluated_on: str
    images: int
    map50: Score
    map: Score
    converted_map50: Score
    file_bytes: int
    binary_macs: int
    float_macs: int
    arm64_instructions_a72: int
    arm64_instructions_a76: int
    seconds: Annotated[float, Format(".0f")]


TABLE = CsvTable.of(Row)


def scores_of(
    answers: Callable[[Any], Sequence[Any]], names: Sequence[str], data: Dataset, task: Any
) -> dict[str, float]:
    """Return the scores of what answers images (N, H, W, C), on all splits of EVALUATED_ON together."""
    scorer = Scorer(task, data.info, names)
    for split in EVALUATED_ON:
        for batch in data.eval_batches(split, 32).as_numpy_iterator():
            example = cast(dict[str, Any], batch)
            scorer.add(example, list(answers(example[IMAGE])))
    scores = scorer.result()
    assert scores is not None
    return scores


def measured(path: Path, file: Path) -> Row:
    """Evaluate a run and one of its converted files, and count the file's instructions."""
    subject = open_subject(path)
    run, task, data = subject.run, subject.task, subject.images
    assert run is not None
    assert isinstance(task, Detection)
    assert data is not None
    experiment, card, totals = run.experiment, run.card, inspect_model(file).totals
    model, interpreter = answers_of(subject.model), Interpreter(file, device=CHILD)
    trained = scores_of(answering(model), model.output_names, data, task)
    converted = scores_of(lambda x: as_list(interpreter.predict(x)), interpreter.output_names, data, task)
    a72, a76 = (count(file, cpu, per_op=False).instructions for cpu in ("cortex-a72", "cortex-a76"))
    height, width, _ = data.info.image_shape
    is_binary = file.stem == "binary"
    return Row(
        dataset=data.info.name,
        detector=task.detector,
        method=card.method,
        variant=file.stem,
        binary=task.binary if is_binary else "none",
        k=experiment.model.options.get("k"),
        seed=card.seed,
        image_height=height,
        image_width=width,
        evaluated_on="+".join(EVALUATED_ON),
        images=sum(data.info.num_images(split) for split in EVALUATED_ON),
        map50=trained["map50"],
        map=trained["map"],
        converted_map50=converted["map50"],
        file_bytes=totals["file_bytes"],
        binary_macs=totals["binary"]["macs"],
        float_macs=totals["float"]["macs"],
        arm64_instructions_a72=a72,
        arm64_instructions_a76=a76,
        seconds=card.seconds,
    )


if __name__ == "__main__":
    key = ("dataset", "detector", "method", "variant", "binary", "k", "seed", "image_height", "image_width")
    write_rows(TABLE, sys.argv[1], sys.argv[2:], key, measured)
