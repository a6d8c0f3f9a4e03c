"""`larqnets verify` and `larqnets evaluate`: measure again what a card or a manifest claims."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from deploy.proof.samples import verification_samples
from deploy.proof.scoring import Scorer
from deploy.proof.verify import Verification, verify
from deploy.run.interpreter import CHILD, Interpreter, as_list
from larqnets.data import Dataset
from larqnets.data.info import IMAGE, input_shape, preprocessing
from larqnets.data.known import SPLITS
from larqnets.data.preparation import NOT_SAID, Preparation
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.names import origin_of
from larqnets.runs.subject import Subject, open_subject
from larqnets.tasks import Task, Tree
from larqnets.tflite.inspect import own_metadata
from larqnets.tflite.model import Model
from larqnets.training import evaluate


def verify_file(
    file: Path,
    source: Path | None,
    dataset: str | None = None,
    data_dir: str | None = None,
    device: str | None = None,
    reporter: Reporter = SILENT,
) -> Verification:
    """Verify a .tflite file against the run or Keras file it came from, by default the run that holds it.

    `device`: see Interpreter; the file may be anybody's, so here it is a child process.
    """
    device = device or CHILD
    interpreter = Interpreter(file, device=device)
    source = origin_of(file, source)
    entry = own_metadata(interpreter.model) or {}
    if "variant" in entry:
        raise LarqnetsError(
            f"{file} is the {entry['variant']} twin, which nobody claims to be equal to the run. Measure its accuracy: "
            f"larqnets evaluate {file}."
        )
    opened = open_subject(source, dataset=dataset, data_dir=data_dir, given=_said_by(interpreter.model, source))
    samples = verification_samples(opened)
    return verify(
        interpreter.model,
        opened.model,
        samples.images,
        samples.labels,
        task=samples.task,
        info=samples.info,
        real_samples=samples.real,
        allowed_float=entry.get("float_fallbacks", ()),
        device=device,
        reporter=reporter,
    )


def evaluate_subject(
    subject: Path,
    split: str = "test",
    limit: int | None = None,
    dataset: str | None = None,
    data_dir: str | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Return the scores (fractions) of a run folder, Keras file or .tflite file on a split of its data set, or of another."""
    if split not in SPLITS:
        raise LarqnetsError(f"There is no split '{split}'. Use test, train or validation.")
    opened = open_subject(subject, dataset=dataset, data_dir=data_dir)
    task = opened.task
    if opened.file is None:
        data = _images_of(opened, "its network is")
        run = opened.run
        trained = run.experiment if run is not None and run.kind == "trained" else None
        loss = None if trained is None else task.loss(trained.training_stages[-1])
        scores = evaluate(opened.model, data.eval_batches(split, 128, limit), task, data.info, loss)
        result = {**scores.scores, "loss": scores.loss, "engine": "TensorFlow"}
    else:
        interpreter = Interpreter(opened.file, device=CHILD)
        _check_answers(subject, interpreter, task)
        data = _images_of(opened, "it was made")
        scorer, done = Scorer(task, data.info, interpreter.output_names), 0
        for given in data.eval_batches(split, 128, limit).as_numpy_iterator():
            batch = cast(Tree, given)
            scorer.add(batch, as_list(interpreter.predict(batch[IMAGE])))
            done += len(batch[IMAGE])
            reporter.count(done, what="samples")
        result = {**(scorer.result() or {}), "engine": interpreter.engine}
    total = data.info.num_images(split)
    images = total if limit is None else min(limit, total)
    remarks = [text for text in (*opened.remarks(data), task.doubt(result, images, data.info)) if text]
    return {
        "subject": str(subject),
        "dataset": data.info.name,
        "split": split,
        "images": images,
        **result,
        **({"remarks": remarks} if remarks else {}),
    }


def _said_by(file: Model, source: Path) -> Preparation:
    """Return how the images of a file's source are prepared: a run knows it itself, of a Keras file the file says it."""
    if source.is_dir():
        return NOT_SAID
    shape = input_shape(file)
    size = (shape[0], shape[1]) if len(shape) == 3 else None
    return replace(Preparation.of(preprocessing(file)), labels=(), size=size)


def _images_of(subject: Subject, what: str) -> Dataset:
    if (images := subject.images) is None:
        raise LarqnetsError(f"{subject.origin} does not say which images {what} for. Name them with --dataset.")
    return images


def _check_answers(file: Path, interpreter: Interpreter, task: Task) -> None:
    """Raise LarqnetsError unless the file takes images and answers what the task asks about them."""
    inputs, outputs = interpreter.input_shapes, interpreter.output_shapes
    if not inputs or len(inputs[0]) != 4:
        raise LarqnetsError(f"{file} takes no images, (N, H, W, C). Run it on arrays: larqnets run.")
    if len(inputs) != 1 or not task.scores(outputs):
        raise LarqnetsError(
            f"{file} is {task.no_answer}: it has {len(inputs)} inputs and {len(outputs)} outputs, of shapes "
            f"{', '.join(map(str, [*inputs, *outputs]))}. Run it on arrays: larqnets run."
        )
