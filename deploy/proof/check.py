"""`larqnets verify` and `larqnets evaluate`: measure again what a card or a manifest claims."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from deploy.proof.scoring import Scorer, as_list
from deploy.proof.source import images_of, open_source, other_images, verification_samples
from deploy.proof.verify import Verification, verify
from deploy.run.classify import dataset_of, output_names, task_of
from deploy.run.interpreter import CHILD, Interpreter
from larqnets.config import DataConfig
from larqnets.data import DatasetInfo, load_dataset
from larqnets.data.info import IMAGE
from larqnets.data.known import SPLITS
from larqnets.errors import LarqnetsError
from larqnets.runs.names import origin_of, run_of
from larqnets.runs.run import Run
from larqnets.tasks import Task, Tree, get_task
from larqnets.tflite.inspect import own_metadata
from larqnets.training import evaluate, load_trained_model
from larqnets.training.evaluation import check_images


def verify_file(
    file: Path,
    source: Path | None,
    dataset: str | None = None,
    data_dir: str | None = None,
    device: str | None = None,
    on_sample: Callable[[int], Any] | None = None,
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
    opened = open_source(source, dataset, data_dir)
    samples = verification_samples(opened)
    return verify(
        interpreter.model.content,
        opened.model,
        samples.images,
        samples.labels,
        task=samples.task,
        info=samples.info,
        real_samples=samples.real,
        allowed_float=entry.get("float_fallbacks", ()),
        device=device,
        on_sample=on_sample,
    )


def evaluate_subject(
    subject: Path,
    split: str = "test",
    limit: int | None = None,
    dataset: str | None = None,
    data_dir: str | None = None,
    on_sample: Callable[[int], Any] | None = None,
) -> dict[str, Any]:
    """Return the scores (fractions) of a run folder or .tflite file on a split of its data set, or of another."""
    if split not in SPLITS:
        raise LarqnetsError(f"There is no split '{split}'. Use test or train.")
    if subject.is_dir():
        run = Run.open(subject)
        model = load_trained_model(run)
        task = get_task(run.config.task)
        data = load_dataset(images_of(run, dataset, data_dir, model.input_shape[1:3]))
        check_images(model, data, task)
        loss = task.loss(run.experiment.training_stages[-1]) if run.kind == "trained" else None
        scores = evaluate(model, data.eval_batches(split, 128, limit), task, data.info, loss)
        result = {**scores.scores, "loss": scores.loss, "engine": "TensorFlow"}
    else:
        interpreter = Interpreter(subject, device=CHILD)
        if not interpreter.input_shapes or len(interpreter.input_shapes[0]) != 4:
            raise LarqnetsError(f"{subject} takes no images, (N, H, W, C). Run it on arrays: larqnets run.")
        config = _config_of(subject, interpreter, dataset)
        data = load_dataset(other_images(config, dataset, data_dir, interpreter.input_shapes[0][1:3]))
        task = task_of(interpreter.model)
        _check_answers(subject, interpreter, data.info, task)
        scorer, images = Scorer(task, data.info, output_names(interpreter)), 0
        for given in data.eval_batches(split, 128, limit).as_numpy_iterator():
            batch = cast(Tree, given)
            outputs = as_list(interpreter.predict(batch[IMAGE]))
            scorer.add(batch, outputs)
            images += len(batch[IMAGE])
            if on_sample is not None:
                on_sample(images)
        result = {**(scorer.result() or {}), "engine": interpreter.engine}
    total = data.info.num_test if split == "test" else data.info.num_train
    return {
        "subject": str(subject),
        "dataset": data.info.name,
        "split": split,
        "images": total if limit is None else min(limit, total),
        **result,
    }


def _check_answers(file: Path, interpreter: Interpreter, info: DatasetInfo, task: Task) -> None:
    """Raise LarqnetsError unless the file answers what the task asks about the data set's images, and takes them."""
    inputs, outputs = interpreter.input_shapes, interpreter.output_shapes
    if len(inputs) != 1 or not task.scores(outputs):
        raise LarqnetsError(
            f"{file} is {task.no_answer}: it has {len(inputs)} inputs and {len(outputs)} outputs, of shapes "
            f"{', '.join(map(str, [*inputs, *outputs]))}. Run it on arrays: larqnets run."
        )
    if inputs[0][1:] != info.image_shape:
        raise LarqnetsError(
            f"Images of {info.name} are {info.image_shape} and {file} takes {inputs[0][1:]}. Name the data set that it was "
            "trained on."
        )
    task.check_answers(outputs, info, str(file))


def _config_of(file: Path, interpreter: Interpreter, dataset: str | None) -> DataConfig:
    """Return how the file's images are loaded: as its run did, or as its metadata or --dataset name them."""
    run = run_of(file)
    if run is not None and (known := Run.open(run).data) is not None:
        return known
    named = dataset_of(file, interpreter.model, dataset)
    return DataConfig(dataset=named).of_size(interpreter.input_shapes[0][1:3])
