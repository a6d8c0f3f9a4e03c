"""What a network answers on real images, in one pass over them: its scores, and what its task finds in single answers."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import tensorflow as tf
from PIL import Image

from deploy.proof.confusion import confusion_picture
from deploy.proof.scoring import MAX_BYTES, Scorer
from deploy.run.interpreter import CHILD, Interpreter, as_list
from deploy.run.real_values import RealInterpreter
from larqnets.csv_table import CsvTable
from larqnets.data import Dataset, reading_errors
from larqnets.data.contact_sheet import Tile, contact_sheet
from larqnets.data.dataset import SplitName
from larqnets.data.info import IMAGE, DatasetInfo
from larqnets.data.known import SPLITS
from larqnets.endings import kind_of_model
from larqnets.errors import LarqnetsError, printable
from larqnets.legend import Legend
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.subject import Subject
from larqnets.scores import KEY
from larqnets.tasks import Details, Mistake, Study, Task, Tree
from larqnets.tflite.answers import kind_of_file
from larqnets.tflite.file_metadata import own_metadata
from larqnets.training import evaluate
from larqnets.training.evaluation import BATCH, Watch, images_at_once

SHEET_IMAGES, SHEET_COLUMNS, SHEET_HEADINGS = 64, 8, 12  # of the contact sheet, at most
SHEET_ROWS, WIDE_TILE = 12, 200  # of one that shows more than a picture of every image; pixels of a tile there


@dataclass(frozen=True)
class Evaluation:
    """What was found. `pictures`: image number -> what the network was shown, uint8 (H, W, C), of the worst mistakes."""

    subject: str
    dataset: str
    split: str
    images: int
    scores: dict[str, float]
    loss: float | None  # None of a file, which has none
    engine: str
    details: Details | None  # None for a task that looks at no single answers
    remarks: tuple[str, ...]  # on how its images are prepared, and on the scores
    places: tuple[str, ...]  # where the images of the mistakes are
    pictures: dict[int, np.ndarray]
    beside: dict[int, dict[str, np.ndarray]] = field(default_factory=dict)  # number -> what is shown beside the picture

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object; what a task does not look at is left out."""
        result: dict[str, Any] = {
            "subject": self.subject,
            "dataset": self.dataset,
            "split": self.split,
            "images": self.images,
            **self.scores,
            **({} if self.loss is None else {"loss": self.loss}),
            "engine": self.engine,
            "scores": self.scores,
        }
        found = self.details
        if found is None:
            return {**result, **({"remarks": list(self.remarks)} if self.remarks else {})}
        result |= {**found.scores, "classes": list(found.classes)}
        if found.calibration is not None:
            result["calibration"] = asdict(found.calibration)
        if found.confusion is not None:
            result["confusion"] = {
                "labels": list(found.confusion.labels),
                "counts": found.confusion.counts.tolist(),
                "of": found.unit,
            }
        result["wrong"] = self.wrong()
        result["remarks"] = [*self.remarks, *found.remarks]
        return result

    def wrong(self) -> list[dict[str, Any]]:
        """Return where the images of the mistakes are and what was answered, the worst first."""
        mistakes = () if self.details is None else self.details.mistakes
        return [{"image": place, **mistake.answer} for place, mistake in zip(self.places, mistakes, strict=True)]

    def write_wrong(self, path: Path) -> None:
        """Write `wrong` as CSV; raises LarqnetsError when it cannot be written."""
        columns = ("image", *(() if self.details is None else self.details.columns))
        rows = ({**row, "image": printable(row["image"])} for row in self.wrong())
        CsvTable(dict.fromkeys(columns, Any)).write(path, rows)

    def confusion_picture(self, kind: str, legend: Legend | None = None) -> bytes:
        """Return the confusion between classes as a picture; raises LarqnetsError where there is none."""
        if self.details is None or self.details.confusion is None:
            raise LarqnetsError(f"{self.subject} answers with no classes to be confused. Leave --confusion out.")
        return confusion_picture(self.details.confusion, f"{self.subject}: {self.wrong_words()}", kind, legend)

    def sheet(self, legend: Legend | None = None) -> bytes:
        """Return the worst mistakes as a PNG, one row or more under each heading."""
        mistakes = () if self.details is None else self.details.mistakes
        places = {mistake.index: place for place, mistake in zip(self.places, mistakes, strict=True)}
        shown = [mistake for mistake in mistakes if mistake.index in self.pictures]
        if self.beside:
            return self._sheet_of_rows(shown, places, legend)
        files = [places[mistake.index].rpartition("/")[2] for mistake in shown]  # by which the images are found again
        shown = [replace(mistake, caption=(*mistake.caption, file)) for mistake, file in zip(shown, files, strict=True)]
        under: dict[str, list[Mistake]] = {}
        for mistake in shown:
            under.setdefault(mistake.heading, []).append(mistake)
        if len(under) > SHEET_HEADINGS:  # most of them would have a single picture
            under = {"": [replace(mistake, caption=(mistake.heading, *mistake.caption)) for mistake in shown]}
        rows = [
            (heading, [self._tile(mistake) for mistake in some[start : start + SHEET_COLUMNS]])
            for heading, some in sorted(under.items())
            for start in range(0, len(some), SHEET_COLUMNS)
        ]
        left_out = len(mistakes) - len(shown)
        note = f"{left_out:,} more are not shown, of which it was less sure." if left_out else ""
        return contact_sheet(f"{self.wrong_words()}: {self.subject}", rows, note, legend)

    def _sheet_of_rows(self, shown: Sequence[Mistake], places: Mapping[int, str], legend: Legend | None) -> bytes:
        """Return the worst mistakes, a row each: the picture, and what is shown beside it."""
        rows, size = [], WIDE_TILE
        for mistake in shown[:SHEET_ROWS]:
            drawn = max(max(one.shape[:2]) for one in self.beside[mistake.index].values())
            if drawn > max(self.pictures[mistake.index].shape[:2]):
                size = max(size, drawn)  # it was enlarged so that it can be read
            tiles = {"image": self.pictures[mistake.index], **self.beside[mistake.index]}
            heading = f"{places[mistake.index]}: {', '.join(mistake.caption)}"
            rows.append((heading, [Tile(Image.fromarray(t), (name,), whole=True) for name, t in tiles.items()]))
        title = f"The worst of {self.images:,} {self.split} images: {self.subject}"
        return contact_sheet(title, rows, legend=legend, size=size)

    def _tile(self, mistake: Mistake) -> Tile:
        return Tile(Image.fromarray(self.pictures[mistake.index]), mistake.caption)

    def wrong_words(self) -> str:
        """Return "12 of 450 test images wrong"."""
        count = 0 if self.details is None else len(self.details.mistakes)
        how = "wrong" if self.details is None or self.details.unit == "images" else f"with wrong {self.details.unit}"
        return f"{count:,} of {self.images:,} {self.split} images {how}"


def evaluate_images(
    opened: Subject,
    split: str = "test",
    limit: int | None = None,
    reporter: Reporter = SILENT,
    *,
    look: bool = False,
) -> Evaluation:
    """Evaluate a subject on a split of its images, at most `limit` of them.

    Raises LarqnetsError when it cannot be, and with `look` also for a task that looks at no single answers.
    """
    if split not in SPLITS:
        raise LarqnetsError(f"There is no split '{split}'. Use test, train or validation.")
    part, interpreter = cast(SplitName, split), None
    if opened.file is not None:
        interpreter = RealInterpreter(opened.file, device=CHILD)
        _check_answers(opened.origin, interpreter, opened.task)
    data = _images_of(opened, "its network is" if interpreter is None else "it was made")
    study = opened.task.study(data.info, _facts(opened, data))
    if study is None and look:
        raise LarqnetsError(
            f"What was wrong is not told of a network for {opened.task.name}, its scores alone. Leave --confusion, --wrong "
            "and --sheet out."
        )
    watch = None if study is None else _Watching(study, opened.task, data.info)
    with reading_errors(data):
        batches = data.eval_batches(part, _batch_of(opened, interpreter), limit)
        if interpreter is None:
            scores, loss = _score_network(opened, batches, data, watch)
        else:
            scores, loss = _score_file(opened, interpreter, batches, data, watch, reporter), None
    details = None if study is None else study.result()
    mistakes = () if details is None else details.mistakes
    total = data.info.num_images(split)
    images = total if limit is None else min(limit, total)
    remarks = (*opened.remarks(data), opened.task.doubt(scores, images, data.info))
    return Evaluation(
        subject=str(opened.origin),
        dataset=data.info.name,
        split=split,
        images=images,
        scores=scores,
        loss=loss,
        engine="TensorFlow" if interpreter is None else interpreter.engine,
        details=details,
        remarks=tuple(text for text in remarks if text),
        places=tuple(data.names(part, [mistake.index for mistake in mistakes])),
        pictures={} if watch is None else watch.pictures(),
        beside={} if watch is None else watch.beside(),
    )


def _batch_of(opened: Subject, interpreter: Interpreter | None) -> int:
    """Return how many images are answered at once: fewer where maps or answers of a batch would be large."""
    if interpreter is None:
        return images_at_once(opened.model, BATCH)
    shapes = interpreter.output_shapes
    bytes_per_image = 4 * sum(int(np.prod([size or 1 for size in shape[1:]])) for shape in shapes)
    return max(1, min(BATCH, MAX_BYTES // max(1, bytes_per_image)))


class _Watching:
    """Gives every batch to a study, and keeps the images that the network is most wrong about, as it sees them."""

    def __init__(self, study: Study, task: Task, info: DatasetInfo) -> None:
        self.study, self._task, self._info = study, task, info
        self._seen = 0
        # A heap, in which no two have the same number: how wrong, minus the number, the picture, what is beside it.
        self._worst: list[tuple[float, int, np.ndarray, dict[str, np.ndarray]]] = []

    def __call__(self, images: np.ndarray, outputs: Tree, targets: Tree) -> None:
        """See Watch."""
        for i, wrong in enumerate(self.study.add(outputs, targets).tolist()):
            full = len(self._worst) == SHEET_IMAGES
            if wrong > 0 and not (full and (wrong, -self._seen) < self._worst[0][:2]):
                picture = self._picture(images[i])
                mine, known = ({name: values[i] for name, values in tree.items()} for tree in (outputs, targets))
                one = (wrong, -self._seen, picture, self._task.pictures(picture, mine, known, self._info))
                (heapq.heappushpop if full else heapq.heappush)(self._worst, one)
            self._seen += 1

    def pictures(self) -> dict[int, np.ndarray]:
        """Return number -> pixels (H, W, C) uint8 of what the network was shown."""
        return {-number: picture for _, number, picture, _ in self._worst}

    def beside(self) -> dict[int, dict[str, np.ndarray]]:
        """Return number -> what the task shows beside a picture, of tasks that do."""
        return {-number: beside for _, number, _, beside in self._worst if beside}

    def _picture(self, image: np.ndarray) -> np.ndarray:
        """Return an image with its normalisation undone, uint8."""
        mean, std = np.asarray(self._info.mean), np.asarray(self._info.std)
        return np.squeeze(np.clip(np.rint(255 * (image * std + mean)), 0, 255).astype(np.uint8))


def _facts(opened: Subject, data: Dataset) -> dict[str, Any]:
    """Return what is said of the answers: by the metadata of a file, by the network itself."""
    if opened.file is not None:
        return {**(own_metadata(opened.file) or {}), KEY: kind_of_file(opened.file)}
    return {**opened.task.metadata(data.info), KEY: kind_of_model(opened.model)}


def _score_network(
    opened: Subject, batches: tf.data.Dataset, data: Dataset, watch: Watch | None
) -> tuple[dict[str, float], float]:
    run, task = opened.run, opened.task
    trained = run.experiment if run is not None and run.kind == "trained" else None
    loss = None if trained is None else task.loss(trained.training_stages[-1], data.info)
    found = evaluate(opened.model, batches, task, data.info, loss, watch)
    return found.scores, found.loss


def _score_file(
    opened: Subject,
    interpreter: Interpreter,
    batches: tf.data.Dataset,
    data: Dataset,
    watch: Watch | None,
    reporter: Reporter,
) -> dict[str, float]:
    scorer, images = Scorer(opened.task, data.info, interpreter.output_names, watch), 0
    for given in batches.as_numpy_iterator():
        batch = cast(Tree, given)
        scorer.add(batch, as_list(interpreter.predict(batch[IMAGE])))
        images += len(batch[IMAGE])
        reporter.count(images, what="samples")
    return scorer.result() or {}


def _images_of(subject: Subject, what: str) -> Dataset:
    if (images := subject.images) is None:
        raise LarqnetsError(f"{subject.origin} does not say which images {what} for. Name them with --dataset.")
    return images


def _check_answers(file: Path | str, interpreter: Interpreter, task: Task) -> None:
    """Raise LarqnetsError unless the file takes images and answers what the task asks about them."""
    inputs, outputs = interpreter.input_shapes, interpreter.output_shapes
    if not inputs or len(inputs[0]) != 4:
        raise LarqnetsError(f"{file} takes no images, (N, H, W, C). Run it on arrays: larqnets run.")
    if len(inputs) != 1 or not task.scores(outputs):
        raise LarqnetsError(
            f"{file} is {task.no_answer}: it has {len(inputs)} inputs and {len(outputs)} outputs, of shapes "
            f"{', '.join(map(str, [*inputs, *outputs]))}. Run it on arrays: larqnets run."
        )
