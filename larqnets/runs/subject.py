"""What a command works on, opened in one place: a run, a Keras file, a network of keras.applications, a .tflite file."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from larqnets.beginnings import Beginning, beginning_of
from larqnets.config import DataConfig, apply_override, load_config
from larqnets.data import Dataset, load_dataset
from larqnets.data.info import SPLIT, image_options, input_shape, preprocess_info, preprocessing
from larqnets.data.preparation import NOT_SAID, Preparation
from larqnets.errors import LarqnetsError, nearest
from larqnets.models import create_model
from larqnets.published import ZOO, is_zoo
from larqnets.published.applications import applications, normalisation
from larqnets.published.zoo import NORMALISATION, build_zoo
from larqnets.runs.applications import build_application
from larqnets.runs.card import Card
from larqnets.runs.keras_file import load_keras_file
from larqnets.runs.names import KERAS_SUFFIXES, image_shape, is_run, looks_like_run, run_of
from larqnets.runs.run import Run
from larqnets.runs.weights import build_model, load_trained_model, stored_body
from larqnets.tasks import Task, get_task, task_of
from larqnets.tflite.model import Model
from larqnets.tflite.reading import read_model


@dataclass(frozen=True, eq=False)
class Subject:
    """A network that somebody named. What costs time is loaded when it is first asked for, and once.

    `load` gives its Keras model, `read` its .tflite file, `own` says which images it is for, `known` how other ones are
    prepared for it, `given` what somebody says of that instead. Each property raises LarqnetsError where its part cannot be
    had.
    """

    origin: Path | str  # as it was named
    name: str  # of the network: its backbone, or what the file or the function is called
    load: Callable[[], tf.keras.Model]
    run: Run | None = None  # None for what is no run
    own: Callable[[], DataConfig | None] = lambda: None
    dataset: str | None = None  # the images asked for, in the place of its own
    data_dir: str | None = None
    known: Callable[["Subject"], Preparation] = lambda _: NOT_SAID
    given: Preparation = NOT_SAID
    read: Callable[[], Model] | None = None

    @cached_property
    def model(self) -> tf.keras.Model:
        """The network with its weights."""
        return self.load()

    @cached_property
    def file(self) -> Model | None:
        """The .tflite file; None for a network that Keras computes."""
        return None if self.read is None else self.read()

    @property
    def takes(self) -> tuple[int, ...]:
        """The shape of its images, (H, W, C)."""
        if self.file is None:
            return tuple(self.model.input_shape[1:])
        return input_shape(self.file)

    @cached_property
    def task(self) -> Task:
        """What it was made for; a network that does not say it is a classifier."""
        if self.file is not None:
            return task_of(self.file)
        return get_task(None if self.run is None else self.run.config.task)

    @cached_property
    def data(self) -> DataConfig | None:
        """The images that it is for: its own, or those asked for, in the size that it takes. None where nobody says."""
        data = self.own()
        if (others := self._others(data)) is not None:
            said = {} if self.file is None else image_options(preprocessing(self.file))
            data = data or DataConfig(others, mean=self.preparation.mean, std=self.preparation.std, **said)
            data = data.of_dataset(others).of_size(self.takes[:2])
        return data if data is None or self.data_dir is None else dataclasses.replace(data, data_dir=self.data_dir)

    @cached_property
    def beginning(self) -> Beginning | None:
        """What in a Keras file itself prepares images; None of anything else, whose images are known otherwise."""
        takes_images = len(self.takes) == 3 and self.takes[2] in (1, 3)
        return beginning_of(self.model) if self.run is None and self.file is None and takes_images else None

    @cached_property
    def preparation(self) -> Preparation:
        """How images are prepared for it that are not its own, as far as somebody says it."""
        return self.given.over(self.known(self), self.takes)

    def check_given(self) -> None:
        """Raise LarqnetsError where what is given prepares images twice, says too little, or has not a label for each class."""
        beginning, labels = self.beginning, self.given.labels
        if beginning is not None and beginning.brightest is not None and self.given.normalises:
            raise LarqnetsError(f"{beginning.said} Leave --mean and --std out, or it is done twice.")
        if not labels:
            return
        shapes = self._answers
        classes = shapes[0][-1] if len(shapes) == 1 and shapes[0] else None
        if len(labels) != classes:
            raise LarqnetsError(
                f"There are {len(labels)} labels, and the network tells {classes or 'no'} classes apart. Give one for each, in "
                "its order."
            )
        if self.data is None and not self.preparation.mean:
            raise LarqnetsError(
                "Labels are of no use while it is not known how images are prepared. Give --mean and --std, or --scale, e.g. "
                "1/255 for pixels of 0 to 1."
            )

    @property
    def preprocess(self) -> dict[str, Any] | None:
        """What a file that is made of it says of its images, see `preprocess_info`; None where nobody says how they are."""
        if self.images is None or self.data is None:
            return self.preparation.entry(self.takes)
        entry = preprocess_info(self.images.info, self.data, self.images.survey and self.images.survey.division)
        return entry | ({"labels": list(self.labels)} if self.labels else {})

    @property
    def labels(self) -> tuple[str, ...]:
        """What its classes are called, where somebody says it beside the data set."""
        own = self.run is not None and (self.run.kind == "trained" or self._others(self.run.data) is not None)
        return () if own else self.preparation.labels

    def remarks(self, images: Dataset | None) -> list[str]:
        """Return what is to be said of how its images are prepared, and of the labels of those that it is measured on."""
        told = self.given.mean and self.beginning is not None and self.beginning.brightest is None
        remarks = [] if self.beginning is None or told else [self.beginning.said]
        theirs = () if images is None else images.info.labels
        differ = [i for i, (a, b) in enumerate(zip(self.labels, theirs, strict=False)) if a != b]
        if differ and images is not None:
            i = differ[0]
            remarks.append(
                f"The labels are not those of {images.info.name}, class {i} is '{self.labels[i]}' here and '{theirs[i]}' there: "
                "accuracy is that of the numbers of classes, and wrong if the order is another."
            )
        if images is not None and self._may_have_seen(images):
            remarks.append(
                f"{self.origin} does not say which images of {images.info.name} were kept from its training, as files do that "
                "are converted now: some of these may be images that it was trained on. Evaluate its run, or convert it again."
            )
        return remarks

    def _may_have_seen(self, images: Dataset) -> bool:
        """Whether test images were just taken by seed from the folder that a file was made for, whose own split nobody knows."""
        division = None if images.survey is None else images.survey.division
        if self.file is None or division is None or "test" not in division["shares"] or run_of(Path(self.origin)):
            return False
        entry = preprocessing(self.file) or {}
        return entry.get("dataset") == images.info.name and SPLIT not in entry

    @cached_property
    def images(self) -> Dataset | None:
        """These images; they have the shape that it takes, and it answers what its task asks about them."""
        if self.data is None:
            return None
        dataset = load_dataset(self.data)
        what = "the model" if self.file is None else str(self.origin)
        info = dataset.info
        if info.image_shape != self.takes:
            raise LarqnetsError(
                f"Images of {info.name} are {info.image_shape} and {what} takes {self.takes}. "
                "Name the data set that it was trained on."
            )
        self.task.check_annotation(info.annotation, info.name)
        self.task.check_answers(self._answers, info, what)
        return dataset

    @property
    def score(self) -> float | None:
        """What its card says that it scores on its test images; None where it says nothing, or other images are asked for."""
        if self.run is None or self._others(self.run.data) is not None:
            return None
        return self.run.card.score

    @property
    def _answers(self) -> list[tuple[int | None, ...]]:
        """The shapes of its outputs, (N, ...) each."""
        if self.file is None:
            return [tuple(tensor.shape) for tensor in self.model.outputs]
        graph = self.file.subgraphs[0]
        return [graph.tensors[output].shape for output in graph.outputs]

    def _others(self, own: DataConfig | None) -> str | None:
        """Return the data set that is asked for, where it is another than its own."""
        return None if own is not None and own.dataset == self.dataset else self.dataset


def open_subject(
    named: Path | str | Run,
    *,
    dataset: str | None = None,
    data_dir: str | None = None,
    weights: str | None = None,
    image: tuple[int, int, int] | None = None,
    classes: int | None = None,
    given: Preparation = NOT_SAID,
) -> Subject:
    """Open a run folder, a Keras model file, a .tflite file, `zoo:NAME`, or as text a network of keras.applications by name.

    A run may be given opened. `dataset` names images, or other ones than its own; `weights`, `image` (H, W, C) and
    `classes` (1000) are those of keras.applications: "imagenet" (Keras downloads them), "none" (random), or a file. `given`
    says how the images of others' networks are prepared. Raises LarqnetsError for a damaged run, a name that nothing has, and
    a run whose images are known otherwise; whether a file can be read is found when its part is asked for.
    """
    origin = named.path if isinstance(named, Run) else named
    path = Path(origin)
    run = named if isinstance(named, Run) else Run.open(path) if path.is_dir() else None
    if (weights, image, classes) != (None, None, None) and (path.exists() or origin not in applications()):
        raise LarqnetsError(
            f"{origin} is no network of keras.applications, whose --weights, --image and --classes can be chosen. Leave "
            "them out."
        )
    if run is not None:
        _refuse_other_than_its_own(run, given)
        load, known = partial(load_trained_model, run), partial(_as_imported, run.card)
        subject = Subject(origin, run.card.backbone, load, run, lambda: run.data, known=known)
    elif origin in applications():
        load = partial(_application, str(origin), weights, image, classes)
        subject = Subject(origin, str(origin), load, known=partial(_as_of_application, str(origin)))
    elif is_zoo(origin):
        name = str(origin).removeprefix(ZOO)
        subject = Subject(origin, name, partial(build_zoo, str(origin)), known=_as_of_zoo)
    elif path.suffix in KERAS_SUFFIXES:
        subject = Subject(origin, path.stem, partial(load_keras_file, path, given.size), known=_as_it_begins)
    elif origin == path.name and not path.exists():
        raise LarqnetsError(
            f"'{origin}' is no run folder, Keras model file or network of keras.applications."
            f"{nearest(str(origin), applications())} Give e.g. runs/<name>, model.keras, or MobileNet."
        )
    else:  # What such a file is instead of a Keras file, load_keras_file says.
        read = functools.cache(partial(read_model, path))
        own = partial(_images_of_file, path, read, dataset)
        load, known = partial(load_keras_file, path), partial(_as_it_says, read)
        subject = Subject(origin, path.stem, load, own=own, known=known, read=read)
    return dataclasses.replace(subject, dataset=dataset, data_dir=data_dir, given=given)


def _refuse_other_than_its_own(run: Run, given: Preparation) -> None:
    known = run.data is not None or run.kind == "trained"
    if (known and given.changes) or given.size is not None:  # its network stands in it as it is
        raise LarqnetsError(
            f"{run.path} is a run, which knows how its images are prepared and of which size they are. Leave --mean, --std, "
            "--scale, --labels and --image-size out."
        )


def _as_imported(card: Card, subject: Subject) -> Preparation:
    """Return what was said when the network of a run was brought in."""
    seen = card.images
    return NOT_SAID if seen is None else Preparation(seen.mean, seen.std, seen.labels)


def _as_it_begins(subject: Subject) -> Preparation:
    """Return how images come to a network that prepares them itself."""
    beginning = subject.beginning
    if beginning is None or beginning.brightest is None:
        return NOT_SAID
    return Preparation((0.0,), (1 / beginning.brightest,))


def _as_of_application(name: str, subject: Subject) -> Preparation:
    """Return how Keras' own preprocessing does it; raises LarqnetsError, see `normalisation`."""
    numbers = normalisation(name)
    return Preparation(numbers["mean"], numbers["std"])


def _as_of_zoo(subject: Subject) -> Preparation:
    """Return how Larq Zoo's own preprocessing does it."""
    return Preparation(NORMALISATION["mean"], NORMALISATION["std"])


def _as_it_says(read: Callable[[], Model], subject: Subject) -> Preparation:
    """Return what the metadata of a .tflite file say."""
    return Preparation.of(preprocessing(read()))


def _images_of_file(path: Path, read: Callable[[], Model], dataset: str | None) -> DataConfig | None:
    """Return how the images of a .tflite file are loaded: as its run did, or unless others are asked for as it says itself."""
    run = run_of(path)
    if run is not None and (known := Run.open(run).data) is not None:
        return known
    entry = None if dataset is not None else preprocessing(read())
    if entry is None or entry.get("dataset") is None:
        return None
    said = Preparation.of(entry)
    data = DataConfig(entry["dataset"], mean=said.mean, std=said.std, **image_options(entry))
    return data.of_size(input_shape(read())[:2])


def _application(
    name: str, weights: str | None, image: tuple[int, int, int] | None, classes: int | None
) -> tf.keras.Model:
    given = {"weights": weights, "input_shape": image, "classes": classes}
    options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}  # else Keras' own
    if weights == "none":
        options["weights"] = None
    return build_application(
        name,
        f"{name} of keras.applications cannot be made",
        "Choose another --weights, --image or --classes.",
        **options,
    )


def model_of(
    subject: str,
    backbone: str | None,
    image: str,
    classes: int,
    stem: str,
    width: float,
    overrides: Sequence[str],
) -> tf.keras.Model:
    """Return the network of a method with its backbone, of a run, a config or a Keras file; its weights do not matter.

    `image`: "HxWxC". `overrides` are options of the method ("reduction=8"), or of a config. Raises LarqnetsError when the
    subject is none of them.
    """
    if backbone is not None:
        options: dict[str, Any] = {}
        for override in overrides:
            apply_override(options, override)
        shape = image_shape(image)
        return create_model(subject, backbone, shape, classes, stem=stem, width=width, **options)  # pyright: ignore[reportArgumentType]  # the command has looked at stem
    path = Path(subject)
    if path.suffix in KERAS_SUFFIXES:
        return open_subject(path).model
    run = Run.open(path) if is_run(subject) or looks_like_run(path) else None
    if run is not None and run.kind != "trained":
        return open_subject(run).model
    experiment = load_config(subject, overrides) if run is None else run.experiment
    info = load_dataset(experiment.data).info  # a run that has no checkpoint yet has a network, too
    body = None if run is None else stored_body(run)
    return build_model(experiment, info.image_shape, info.num_classes, experiment.training_stages[-1], body)
