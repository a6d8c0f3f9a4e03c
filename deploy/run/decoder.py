"""What the numbers mean that a .tflite file answers with."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from larqnets.data.info import BOXES, preprocessing
from larqnets.errors import LarqnetsError
from larqnets.scores import KEY
from larqnets.tasks import task_of
from larqnets.tasks.box_answers import NMS, SURE, Nms, nms_of
from larqnets.tflite.answers import kind_of_file
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.model import Model


class Decoder:
    """Decodes the outputs of a file as its task does it, by what its metadata say.

    `kind`: what its numbers are, see larqnets.scores; `nms`: how a detector's boxes are thinned out, None of other files. `score`, `iou`: thresholds of a detector in the place of the file's, see
    Nms; a file's own score is as low as the mAP of all answers wants it, so without another one it is at least SURE. Raises LarqnetsError when the metadata or the thresholds are nonsense.
    """

    def __init__(self, model: Model, *, score: float | None = None, iou: float | None = None) -> None:
        self.task, self.kind = task_of(model), kind_of_file(model)
        labels = (preprocessing(model) or {}).get("labels", ())
        self._facts = {**(own_metadata(model) or {}), "labels": labels, KEY: self.kind}
        given = {name: value for name, value in (("score", score), ("iou", iou)) if value is not None}
        self.nms: Nms | None = None
        if self.task.learns_from == BOXES:
            said = nms_of(self._facts)
            self.nms = replace(said, **{"score": max(said.score, SURE), **given})
            self._facts[NMS] = self.nms.to_json()

    def decode(self, names: Sequence[str], results: Sequence[np.ndarray], top: int, whose: str) -> list[Any]:
        """Return for every sample what JSON can hold of its answer; none for outputs that nobody can read.

        `results` are the outputs (N, ...), `names` what they are called; of classes the `top` most probable ones are told.
        Raises LarqnetsError when the answers for `whose` values are NaN or infinite.
        """
        with np.errstate(all="ignore"):  # what is not finite is refused below
            answers = self.task.decode(dict(zip(names, results, strict=True)), {**self._facts, "top": top})
        if answers:
            check_finite(results, whose)
        return answers


def check_finite(results: Sequence[np.ndarray], whose: str) -> None:
    """Raise LarqnetsError when outputs for `whose` values are NaN or infinite."""
    if not all(np.isfinite(values).all() for values in results):
        raise LarqnetsError(
            f"The model's outputs for {whose} are NaN or infinite. Give smaller values, or train the model again."
        )
