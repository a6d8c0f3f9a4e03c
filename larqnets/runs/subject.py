"""What a command works on, opened in one place: a run, a Keras file, a network of keras.applications, a .tflite file."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import tensorflow as tf

from larqnets.config import DataConfig, apply_override, load_config
from larqnets.data import Dataset, load_dataset
from larqnets.data.info import input_shape, preprocessing
from larqnets.errors import LarqnetsError, nearest
from larqnets.models import create_model
from larqnets.runs.applications import applications, build_application, normalisation
from larqnets.runs.keras_file import load_keras_file
from larqnets.runs.names import KERAS_SUFFIXES, image_shape, is_run, looks_like_run, run_of
from larqnets.runs.run import Run
from larqnets.runs.weights import build_model, load_trained_model
from larqnets.runs.zoo import NORMALISATION, ZOO, build_zoo, is_zoo
from larqnets.tasks import Task, get_task, task_of
from larqnets.tflite.model import Model
from larqnets.tflite.reading import read_model


@dataclass(frozen=True, eq=False)
class Subject:
    """A network that somebody named. What costs time is loaded when it is first asked for, and once.

    `load` gives its Keras model, `read` its .tflite file, `own` says which images it is for, `normalised` how other ones
    are prepared for it. Each property raises LarqnetsError where its part cannot be had.
    """

    origin: Path | str  # as it was named
    name: str  # of the network: its backbone, or what the file or the function is called
    load: Callable[[], tf.keras.Model]
    run: Run | None = None  # None for what is no run
    own: Callable[[], DataConfig | None] = lambda: None
    dataset: str | None = None  # the images asked for, in the place of its own
    data_dir: str | None = None
    normalised: Callable[[], dict[str, Any]] = dict
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
            data = data or DataConfig(others, **self.normalised())
            data = data.of_dataset(others).of_size(self.takes[:2])
        return data if data is None or self.data_dir is None else dataclasses.replace(data, data_dir=self.data_dir)

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
        self.task.check_answers(self._answers, info, what)
        return dataset

    @property
    def accuracy(self) -> float | None:
        """The fraction of its test images that its card says; None where it says none, or other images are asked for."""
        if self.run is None or self._others(self.run.data) is not None:
            return None
        return self.run.card.test_accuracy

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
) -> Subject:
    """Open a run folder, a Keras model file, a .tflite file, `zoo:NAME`, or as text a network of keras.applications by name.

    A run may be given opened. `dataset` names images, or other ones than its own; `weights`, `image` (H, W, C) and
    `classes` (1000) are those of keras.applications: "imagenet" (Keras downloads them), "none" (random), or a file. Raises
    LarqnetsError for a damaged run and a name that nothing has; whether a file can be read is found when its part is asked
    for.
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
        subject = Subject(origin, run.card.backbone, partial(load_trained_model, run), run, lambda: run.data)
    elif origin in applications():
        load = partial(_application, str(origin), weights, image, classes)
        subject = Subject(origin, str(origin), load, normalised=partial(normalisation, str(origin)))
    elif is_zoo(origin):
        name = str(origin).removeprefix(ZOO)
        subject = Subject(origin, name, partial(build_zoo, str(origin)), normalised=lambda: NORMALISATION)
    elif path.suffix in KERAS_SUFFIXES:
        subject = Subject(origin, path.stem, partial(load_keras_file, path))
    elif origin == path.name and not path.exists():
        raise LarqnetsError(
            f"'{origin}' is no run folder, Keras model file or network of keras.applications."
            f"{nearest(str(origin), applications())} Give e.g. runs/<name>, model.keras, or MobileNet."
        )
    else:  # What such a file is instead of a Keras file, load_keras_file says.
        read = functools.cache(partial(read_model, path))
        own = partial(_images_of_file, path, read, dataset)
        subject = Subject(origin, path.stem, partial(load_keras_file, path), own=own, read=read)
    return dataclasses.replace(subject, dataset=dataset, data_dir=data_dir)


def _images_of_file(path: Path, read: Callable[[], Model], dataset: str | None) -> DataConfig | None:
    """Return how the images of a .tflite file are loaded: as its run did, or unless others are asked for as it says itself."""
    run = run_of(path)
    if run is not None and (known := Run.open(run).data) is not None:
        return known
    named = None if dataset is not None else (preprocessing(read()) or {}).get("dataset")
    return None if named is None else DataConfig(named).of_size(input_shape(read())[:2])


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
    return build_model(experiment, info.image_shape, info.num_classes, experiment.training_stages[-1])
