"""`convert --postprocess`: files that leave out overlapping boxes themselves, made of proven files and held against them.

What a file computes up to its boxes and scores stays as proven. What the op behind them is given is looked at on images: the
scores bit for bit, and the boxes that its encodings stand for within TOLERANCE of an image's side.
"""

from typing import Any

import numpy as np

from deploy.export import edit
from deploy.export.suppression import answers_within, with_suppression
from deploy.proof.converted import Converted
from deploy.proof.samples import Samples
from deploy.proof.scoring import batches_of
from deploy.run.interpreter import QEMU, Interpreter
from deploy.run.lce_kernels import has_larq_ops
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter
from larqnets.tasks.box_answers import nms_of
from larqnets.tflite.detection_op import Suppression
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.model import Model
from larqnets.tflite.model_metadata import NAME, detector_metadata, with_labels
from larqnets.tflite.reading import read_model

KEY = "postprocess"  # in the metadata of such a file: its Suppression
TOLERANCE = 1e-5
SAMPLES = (
    64  # images that it is held against the proven file on: up to the op both have the same ops, of the same constants
)
THREADS = (
    "TensorFlow Lite's suppression class by class (--regular-nms) looks at all classes with one thread only: with T threads it "
    "leaves out the class of number T. larqnets refuses to run such a file with more than one; tell whoever runs it elsewhere."
)


def suppressed(
    proven: Converted, suppression: Suppression, samples: Samples, arm64_samples: int, reporter: Reporter = SILENT
) -> Converted:
    """Return a proven file of boxes and scores with suppression behind it, NAME_nms.

    Raises LarqnetsError where the op is given something else than was proven.
    """
    reporter.stage("suppression")
    said = own_metadata(proven.file) or {}
    content = with_suppression(proven.file, nms_of(said), regular=suppression == "regular")
    standard = _standard(content, said)
    content = edit.add_metadata(content if standard is None else standard, {**said, KEY: suppression})
    if standard is not None:
        content = with_labels(content, [str(label) for label in said.get("classes", ())])
    file = read_model(content)
    for device, images in ((None, samples.images[:SAMPLES]), (QEMU, samples.images[:arm64_samples])):
        if len(images) and (told := differing(file, proven.file, images, device)):
            raise LarqnetsError(
                f"The file with --postprocess is not published: {told}. This is a defect of the conversion: report it with the "
                "model."
            )
    note = f"{proven.variant}.tflite, and of overlapping boxes the best"
    return Converted(f"{proven.variant}_nms", file, None, None, layers=proven.layers, note=note, stem=proven.stem)


def differing(file: Model, proven: Model, images: np.ndarray, device: str | None = None) -> str:
    """Return how what the op of a file is given differs from the proven boxes and scores for images (N, H, W, C); "" if it does not."""
    encodings, scores = file.subgraphs[0].operators[-1].inputs[:2]
    mine = Interpreter(edit.answering_with(file.content, encodings, scores), device=device)
    reference = Interpreter(proven, device=device)
    farthest, wrong = 0.0, 0
    for part in batches_of(images, reference.output_shapes):
        boxes, due = reference.predict(images[part])
        encoded, found = mine.predict(images[part])
        farthest = max(farthest, _apart(boxes, encoded))
        wrong += int(np.sum(due != found))
    if wrong:
        return f"{wrong:,} of the scores that it suppresses by are not those of its network ({mine.engine})"
    if not farthest <= TOLERANCE:
        return f"boxes are {farthest:.1e} of the image's side away from those of its network ({mine.engine})"
    return ""


def within(file: Model) -> Model | None:
    """Return of a file with suppression the one that answers with boxes and scores, as its network does; None of any other.

    Raises LarqnetsError where the metadata say that it has it, and it does not end so.
    """
    if KEY not in (own_metadata(file) or {}):
        return None
    return read_model(edit.answering_with(file.content, *answers_within(file)))


def _apart(boxes: np.ndarray, encodings: np.ndarray) -> float:
    """Return how far boxes (N, A, 4) are from what encodings stand for, of the image's side or their own coordinate if larger."""
    centres, sizes = encodings[..., :2].astype(np.float64), np.exp(encodings[..., 2:].astype(np.float64))
    made = np.concatenate([centres - sizes / 2, centres + sizes / 2], -1)
    return float(np.max(np.abs(made - boxes) / np.maximum(1, np.abs(boxes)), initial=0.0))


def _standard(content: bytes, said: dict[str, Any]) -> bytes | None:
    """Return the file with standard Model Metadata; None where nobody who reads them could run it, or its images are not told."""
    file, images = read_model(content), said.get("preprocess")
    if has_larq_ops(file) or not isinstance(images, dict):
        return None
    channels = file.subgraphs[0].tensors[file.subgraphs[0].inputs[0]].shape[-1]
    mean, std = ([255 * value for value in np.ravel(images[name])] for name in ("mean", "std"))
    return edit.add_metadata_bytes(content, NAME, detector_metadata(channels, mean, std, "detector"))
