"""Files that answer for pixels in another form than their network: made of a file whose logits are proven, and checked.

    logits   float32 (1, H, W, C), as the network answers
    mask     uint8 (1, H, W): the number of the class with the largest logit, the lowest of equal ones
    small    float32 (1, h, w, C): logits before the last resize

What a file computes up to its end stays as proven; the end is another, and on images both give the same bits.
"""

from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from deploy.export import edit
from deploy.proof.converted import Converted, scores_of
from deploy.proof.samples import Samples
from deploy.proof.scoring import batches_of
from deploy.run.interpreter import QEMU, Interpreter, as_list
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter
from larqnets.scores import KEY, Form
from larqnets.tflite.answers import last_op
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.inspect import inspect_model
from larqnets.tflite.model import Model, Operator
from larqnets.tflite.reading import read_model

layers = tf.keras.layers
_RESIZES = ("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
_ENLARGING = (layers.Resizing, layers.UpSampling2D)


def check_end(model: tf.keras.Model, form: Form, whose: str) -> None:
    """Raise LarqnetsError where files of a network cannot have a form."""
    if form == "small" and _last_resize(model) is None:
        raise LarqnetsError(
            f"{whose} does not end with a resize, so its logits are as small as they get. Leave --output small out."
        )


def in_form(
    proven: Converted, form: Form, samples: Samples, arm64_samples: int, reporter: Reporter = SILENT
) -> Converted:
    """Return a proven file of logits in another form, of which the same is known; on ARM64 it is held against that, too.

    Raises LarqnetsError where one of the samples gets another answer.
    """
    reporter.stage("form")
    last = last_op(proven.file, ("DEQUANTIZE",))
    if form == "small" and (last is None or last.name not in _RESIZES):
        raise LarqnetsError(
            f"{proven.variant}.tflite ends with {'nothing' if last is None else last.name} and not with a resize, so it has no "
            "small logits. Leave --output small out."
        )
    edited = (edit.with_mask if form == "mask" else edit.without_resize)(proven.content)
    names = _moved(proven.layers, edited.removed)
    entry = {**(own_metadata(proven.file) or {}), KEY: form, "layers": names}
    file = read_model(edit.add_metadata(edited.content, entry))
    _check_same(file, proven.file, form, samples.images)
    if arm64_samples:
        _check_same(file, proven.file, form, samples.images[:arm64_samples], QEMU)
    measured = proven.scores if form == "mask" or proven.scores is None else scores_of(file, samples, None)
    check = proven.bytes_check
    if check is not None:  # its weights are the same, the shapes beside them are not
        constants = inspect_model(file).totals["constant_bytes"]
        stored = sum(check.found.values()) - check.shared
        check = replace(check, other_constants=constants - stored, overhead=file.size_bytes - constants)
    return replace(proven, file=file, scores=measured, layers=names, bytes_check=check)


def _check_same(file: Model, proven: Model, form: Form, images: np.ndarray, device: str | None = None) -> None:
    if told := differing(file, proven, form, images, device):
        raise LarqnetsError(
            f"The file with --output {form} is not published: {told}. This is a defect of the conversion: report it with the "
            "model."
        )


def differing(file: Model, proven: Model, form: Form, images: np.ndarray, device: str | None = None) -> str:
    """Return how a file differs for images (N, H, W, C) from what its form makes of the proven logits; "" where no bit does.

    `device`: see Interpreter.
    """
    made_of = _made_of(proven, form)
    reference = Interpreter(edit.answering_with(proven.content, made_of), device=device)
    last, compared = last_op(file, ()), file
    in_integers = proven.subgraphs[0].tensors[made_of].dtype != "float32"
    if form == "small" and in_integers and last is not None and last.name == "DEQUANTIZE":
        # By its integers: an engine may round what it makes of equal ones otherwise at the end of a row than in its middle.
        compared = read_model(edit.answering_with(file.content, last.inputs[0]))
    mine = Interpreter(compared, device=device)
    wrong, values = 0, 0
    for part in batches_of(images, reference.output_shapes):
        due, found = (as_list(engine.predict(images[part]))[0] for engine in (reference, mine))
        due = due.argmax(-1) if form == "mask" else due
        wrong, values = wrong + int(np.sum(due != found)), values + found.size
    if not wrong:
        return ""
    return f"of {values:,} values {wrong:,} are not those that its logits give ({mine.engine})"


def _made_of(proven: Model, form: Form) -> int:
    """Return the tensor of a file of logits that a form is made of."""
    resize = last_op(proven, ("DEQUANTIZE",)) if form == "small" else None
    return proven.subgraphs[0].outputs[0] if resize is None else resize.inputs[0]


@dataclass(frozen=True)
class Claim:
    """What a file of any form is to be proven by: a file, and the Keras model that answers as it does."""

    form: Form
    file: Model
    model: tf.keras.Model


def claim_of(file: Model, model: tf.keras.Model) -> Claim:
    """Return what a file in its form claims: of masks the logits that they are made of, of small logits a model that ends earlier.

    Raises LarqnetsError when the file or the model does not end as its metadata say.
    """
    form = form_of(file)
    if form == "mask":
        return Claim(form, logits_of(file), model)
    if form == "small":
        resize = _last_resize(model)
        if resize is None:
            raise LarqnetsError(
                f"{file.name} says that it answers with logits before a resize, and its network ends with none. Name the run "
                "that it comes from."
            )
        return Claim(form, file, tf.keras.Model(model.input, resize.input))
    return Claim(form, file, model)


def logits_of(file: Model) -> Model:
    """Return of a file of masks one of the logits that they are made of; raises LarqnetsError when it ends otherwise."""
    largest = last_op(file, ("CAST",))
    if largest is None or largest.name != "ARG_MAX":
        raise _other_end(file, "mask", largest)
    return read_model(edit.answering_with(file.content, largest.inputs[0]))


def form_of(file: Model) -> Form:
    """Return the form in which a file says that it answers; "logits" of any that says nothing of it."""
    said = (own_metadata(file) or {}).get(KEY)
    return said if said in ("mask", "small") else "logits"


def _last_resize(model: tf.keras.Model) -> layers.Layer | None:
    """Return the layer that enlarges the only output of a model, None where another stands there."""
    layer = model.outputs[0]._keras_history.layer if len(model.outputs) == 1 else None
    return layer if isinstance(layer, _ENLARGING) else None


def _moved(names: dict[str, str], removed: int | None) -> dict[str, str]:
    """Return which op is which layer, without one op."""
    if removed is None:
        return names
    moved = {int(i): name for i, name in names.items() if int(i) != removed}
    return {str(i - (i > removed)): name for i, name in moved.items()}


def _other_end(file: Model, form: Form, found: Operator | None) -> LarqnetsError:
    ends = "nothing" if found is None else found.name
    return LarqnetsError(f"{file.name} says that it answers with a {form}, and it ends with {ends}. Convert it again.")
