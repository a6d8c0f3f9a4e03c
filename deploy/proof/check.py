"""`larqnets verify` and `larqnets evaluate`: measure again what a card or a manifest claims."""

from pathlib import Path
from typing import Any

import numpy as np

from deploy.proof.samples import verification_samples
from deploy.proof.verify import Verification, verify
from deploy.run.interpreter import CHILD, Interpreter
from larqnets.data import Dataset
from larqnets.data.known import SPLITS
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.names import origin_of
from larqnets.runs.subject import Subject, open_subject
from larqnets.tasks.classification import cross_entropy_of, make_loss
from larqnets.tflite.inspect import own_metadata
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
    opened = open_subject(source, dataset=dataset, data_dir=data_dir)
    samples = verification_samples(opened)
    return verify(
        interpreter.model,
        opened.model,
        samples.images,
        samples.labels,
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
    """Return the accuracy (fraction) of a run folder, Keras file or .tflite file on a split of its data set, or of another."""
    if split not in SPLITS:
        raise LarqnetsError(f"There is no split '{split}'. Use test or train.")
    opened = open_subject(subject, dataset=dataset, data_dir=data_dir)
    if opened.file is None:
        data = _images_of(opened, "its network is")
        run, model = opened.run, opened.model
        trained = run.experiment if run is not None and run.kind == "trained" else None
        loss = cross_entropy_of(model) if trained is None else make_loss(trained.training_stages[-1])
        scores = evaluate(model, data.eval_batches(split, 128, limit), loss)
        result = {"accuracy": scores.accuracy, "loss": scores.loss, "engine": "TensorFlow"}
    else:
        interpreter = Interpreter(opened.file, device=CHILD)
        _check_classifies(subject, interpreter)
        data = _images_of(opened, "it was made")
        hits, images = 0, 0
        for x, labels in data.eval_batches(split, 128, limit):
            hits += int(np.sum(interpreter.predict(x.numpy()).argmax(-1) == labels.numpy()))
            images += len(labels)
            reporter.count(images, what="samples")
        result = {"accuracy": hits / images, "engine": interpreter.engine}
    total = data.info.num_test if split == "test" else data.info.num_train
    return {
        "subject": str(subject),
        "dataset": data.info.name,
        "split": split,
        "images": total if limit is None else min(limit, total),
        **result,
    }


def _images_of(subject: Subject, what: str) -> Dataset:
    if (images := subject.images) is None:
        raise LarqnetsError(f"{subject.origin} does not say which images {what} for. Name them with --dataset.")
    return images


def _check_classifies(file: Path, interpreter: Interpreter) -> None:
    """Raise LarqnetsError unless the file takes images and answers with a score for every class."""
    inputs, outputs = interpreter.input_shapes, interpreter.output_shapes
    if not inputs or len(inputs[0]) != 4:
        raise LarqnetsError(f"{file} takes no images, (N, H, W, C). Run it on arrays: larqnets run.")
    if len(inputs) != 1 or len(outputs) != 1 or len(outputs[0]) != 2:
        raise LarqnetsError(
            f"{file} is no classifier of images: it has {len(inputs)} inputs and {len(outputs)} outputs, of shapes "
            f"{', '.join(map(str, [*inputs, *outputs]))}. Run it on arrays: larqnets run."
        )
