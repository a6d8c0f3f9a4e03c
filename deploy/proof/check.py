"""`larqnets verify` and `larqnets evaluate`: measure again what a card or a manifest claims."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deploy.proof.evaluation import evaluate_images
from deploy.proof.integers import INT8_REST, prove_integers
from deploy.proof.output_form import claim_of, differing, form_of, logits_of
from deploy.proof.samples import Samples, verification_samples
from deploy.proof.suppressed import differing as suppressing_others
from deploy.proof.suppressed import within
from deploy.proof.verify import Verification, verify
from deploy.run.interpreter import CHILD, Interpreter
from larqnets import pictures
from larqnets.data.info import input_shape, preprocessing
from larqnets.data.preparation import NOT_SAID, Preparation
from larqnets.errors import LarqnetsError
from larqnets.files import write_atomically
from larqnets.legend import Legend
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.names import origin_of
from larqnets.runs.subject import Subject, open_subject
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.model import Model
from larqnets.tflite.reading import read_model


def verify_file(
    file: Path,
    source: Path | None,
    dataset: str | None = None,
    data_dir: str | None = None,
    device: str | None = None,
    reporter: Reporter = SILENT,
) -> Verification:
    """Verify a .tflite file against the run or Keras file it came from, by default the run that holds it.

    Of masks the logits are proven that they are made of, and then the masks by these; small logits by the network up to there;
    of a file that leaves out overlapping boxes those boxes, and then what it leaves them out of. One with an int8 rest is held
    against its float rest, which lies beside it, and that one against the run.
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
    rest = entry.get(INT8_REST)
    if not isinstance(rest, dict):
        return _verified(interpreter.model, opened, samples, device, reporter)
    float_rest = _float_rest_of(file, rest)
    result = _verified(float_rest, opened, samples, device, reporter)
    return _with_integers(result, interpreter.model, float_rest, samples.images, device)


def _verified(model: Model, opened: Subject, samples: Samples, device: str, reporter: Reporter) -> Verification:
    entry = own_metadata(model) or {}
    inner = within(model)
    claim = claim_of(inner or model, opened.model)
    result = verify(
        claim.file,
        claim.model,
        samples.images,
        samples.labels,
        task=samples.task,
        info=samples.info,
        real_samples=samples.real,
        allowed_float=entry.get("float_fallbacks", ()),
        device=device,
        reporter=reporter,
    )
    told = _other_end(model, samples.images, device)
    return replace(result, equal=False, reasons=[*result.reasons, told]) if told else result


def _other_end(model: Model, images: np.ndarray, device: str) -> str:
    """Return how masks are not made of a file's logits, or boxes left out of other ones than its network's; "" if they are."""
    inner = within(model)
    if inner is not None:
        return suppressing_others(model, inner, images, device)
    if form_of(model) == "mask":
        return differing(model, logits_of(model), "mask", images, device)
    return ""


def _float_rest_of(file: Path, rest: dict[str, Any]) -> Model:
    """Return the file beside one with an int8 rest that it was made of; raises LarqnetsError where it is not there."""
    beside = file.parent / Path(str(rest.get("float_rest", ""))).name
    if not beside.is_file():
        raise LarqnetsError(
            f"{file} was made of {beside.name}, by which it is proven and which is not beside it. Convert the run again."
        )
    return read_model(beside)


def _with_integers(
    result: Verification, file: Model, float_rest: Model, images: np.ndarray, device: str
) -> Verification:
    """Return the verdict on a float-rest file with that on the one that was made of it."""
    ours, theirs = (within(model) or model for model in (file, float_rest))
    entry = own_metadata(file) or {}
    layers, kept = entry.get("layers"), entry[INT8_REST].get("keep_float")
    found = prove_integers(
        ours,
        theirs,
        images,
        layers if isinstance(layers, dict) else {},
        keep_float=kept if isinstance(kept, list) else (),
        device=device,
        host=CHILD,
    )
    told = _other_end(file, images, device)
    reasons = [*result.reasons, *found.reasons, *([told] if told else [])]
    return replace(result, equal=not reasons, reasons=reasons, integers=found)


def evaluate_subject(
    subject: Path,
    split: str = "test",
    limit: int | None = None,
    dataset: str | None = None,
    data_dir: str | None = None,
    reporter: Reporter = SILENT,
    *,
    confusion: Path | None = None,
    wrong: Path | None = None,
    sheet: Path | None = None,
) -> dict[str, Any]:
    """Evaluate a run folder, Keras file or .tflite file on a split of its data set, or of another.

    Returns the scores (fractions) and what the task finds in single answers: for a classifier `classes`, `confusion`,
    `calibration` and what was `wrong`. Writes what a path is given for: the confusion as a picture, what was wrong as CSV
    and as a contact sheet (PNG); `legend` says what stands there as a number. Raises LarqnetsError, also where the task has no such thing.
    """
    written = {"confusion_picture": confusion, "wrong_table": wrong, "wrong_sheet": sheet}
    written = {name: path for name, path in written.items() if path is not None}
    if confusion is not None:
        pictures.check_kind(confusion)
    opened = open_subject(subject, dataset=dataset, data_dir=data_dir)
    found = evaluate_images(opened, split, limit, reporter, look=bool(written))
    legend = Legend()
    if confusion is not None:
        write_atomically(confusion, found.confusion_picture(confusion.suffix[1:], legend))
    if wrong is not None:
        found.write_wrong(wrong)
    if sheet is not None:
        write_atomically(sheet, found.sheet(legend))
    drawn = {"legend": legend.entries} if legend.entries else {}
    return {**found.to_json(), **{name: str(path) for name, path in written.items()}, **drawn}


def _said_by(file: Model, source: Path) -> Preparation:
    """Return how the images of a file's source are prepared: a run knows it itself, of a Keras file the file says it."""
    if source.is_dir():
        return NOT_SAID
    shape = input_shape(file)
    size = (shape[0], shape[1]) if len(shape) == 3 else None
    return replace(Preparation.of(preprocessing(file)), labels=(), size=size)
