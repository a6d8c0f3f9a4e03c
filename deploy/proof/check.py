"""`larqnets verify` and `larqnets evaluate`: measure again what a card or a manifest claims."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from deploy.proof.evaluation import evaluate_images
from deploy.proof.output_form import claim_of, differing
from deploy.proof.samples import verification_samples
from deploy.proof.suppressed import differing as suppressing_others
from deploy.proof.suppressed import within
from deploy.proof.verify import Verification, verify
from deploy.run.interpreter import CHILD, Interpreter
from larqnets.data.info import input_shape, preprocessing
from larqnets.data.preparation import NOT_SAID, Preparation
from larqnets.errors import LarqnetsError
from larqnets.files import write_atomically
from larqnets.legend import Legend
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.names import origin_of
from larqnets.runs.subject import open_subject
from larqnets.tflite.inspect import own_metadata
from larqnets.tflite.model import Model


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
    of a file that leaves out overlapping boxes those boxes, and then what it leaves them out of.
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
    inner = within(interpreter.model)
    claim = claim_of(inner or interpreter.model, opened.model)
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
    told = ""
    if claim.form == "mask":
        told = differing(interpreter.model, claim.file, "mask", samples.images, device)
    elif inner is not None:
        told = suppressing_others(interpreter.model, inner, samples.images, device)
    return replace(result, equal=False, reasons=[*result.reasons, told]) if told else result


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
