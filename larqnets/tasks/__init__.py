"""What a network is trained for: a task says what it answers with, how wrong an answer is, and how answers are scored.

    data       an example is a tree {"image": (B, H, W, C), ...}: the image and what is known about it
    targets    of an example, what the loss compares with
    outputs    the network's answer, built on the stages of a backbone with the layers of a method
    loss       (B,) of outputs and targets
    metric     scores of a whole data set, from a part of every batch
    study      what an evaluation teaches beside the scores: of which classes, of which images, how sure it was
    decode     of the numbers that a converted file answers with, what a person wants to know

A task is a frozen dataclass whose fields are the options of `[task]` in a config; one file here for each, registered by
being there. No module here imports TensorFlow before it computes with it, so that a board decodes too.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np

from larqnets.config import TaskConfig, TrainConfig
from larqnets.data.info import BOXES, LABEL, MASK
from larqnets.errors import LarqnetsError
from larqnets.registry import Registry, import_folder
from larqnets.schema import from_mapping
from larqnets.scores import Form
from larqnets.tflite.file_metadata import own_metadata
from larqnets.tflite.model import Model

if TYPE_CHECKING:
    from larqnets.backbones import Backbone
    from larqnets.methods import Method

Tree = dict[str, Any]  # of tensors or arrays by name
Facts = Mapping[str, Any]  # what the metadata of a converted file say
Loss = Callable[[Tree, Tree], Any]  # (outputs, targets) -> (B,)


class Info(Protocol):
    """What a task must know of a data set; `larqnets.data.DatasetInfo` is one."""

    @property
    def image_shape(self) -> tuple[int, int, int]: ...

    @property
    def num_classes(self) -> int: ...

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def name(self) -> str: ...


class Images(NamedTuple):
    """Images (H, W, C) of so many classes, where no data set is at hand."""

    image_shape: tuple[int, int, int]
    num_classes: int
    name: str = "the data set"

    @property
    def labels(self) -> tuple[str, ...]:
        """Nobody named the classes, so they have numbers."""
        return tuple(map(str, range(self.num_classes)))


class Metric(Protocol):
    """Scores of a data set, from partial results that are added up.

    `names` are the scores that tables show, the headline first, by which networks are ranked: the higher the better.
    `result` is given the total with the number of examples as total["images"], and may hold more than `names`, e.g. a score
    for every class. Scores are fractions.
    """

    names: tuple[str, ...]
    summed: bool  # partial results are sums of numbers, so training adds them up too; else they are appended

    def zero(self) -> Tree:
        """Return the total of no example, in arrays of the types of the parts."""
        ...

    def partial(self, outputs: Tree, targets: Tree) -> Tree:
        """Return what a batch adds, in the graph; appended parts have the examples on their first axis."""
        ...

    def result(self, total: Tree) -> dict[str, float]:
        """Return the scores of a total."""
        ...


def add(metric: Metric, total: Tree, partial: Tree) -> Tree:
    """Return the total with another part in it, both of arrays."""
    join = np.add if metric.summed else lambda a, b: np.concatenate([a, b])
    return {name: join(value, partial[name]) for name, value in total.items()}


@dataclass(frozen=True)
class Confusion:
    """How often something of one class, a row of `counts` (C, C) int64, was taken for another one, a column."""

    labels: tuple[str, ...]
    counts: np.ndarray
    of: str = "images"  # what is counted


@dataclass(frozen=True)
class Bin:
    """The answers whose confidence is in (low, high]: how many, what share is right, how sure they were on average."""

    low: float
    high: float
    images: int
    accuracy: float | None  # None where there is no answer
    confidence: float | None


@dataclass(frozen=True)
class Calibration:
    """Whether a network is as often right as it says: `ece` is the mean distance of the two, 0 the best."""

    ece: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Mistake:
    """An image that a network was wrong about, in words: what it shows is the heading above it, what was answered below."""

    index: int  # among the images in their order
    answer: dict[str, Any]  # the columns of a table
    heading: str
    caption: tuple[str, ...]


@dataclass(frozen=True)
class Details:
    """What an evaluation teaches beside the scores of the metric. The mistakes come the worst first."""

    scores: dict[str, float] = field(default_factory=dict)  # fractions
    classes: tuple[dict[str, Any], ...] = ()  # a row for each: label, images, and its scores
    calibration: Calibration | None = None
    confusion: Confusion | None = None
    mistakes: tuple[Mistake, ...] = ()
    columns: tuple[str, ...] = ()  # of the answers of all mistakes
    remarks: tuple[str, ...] = ()  # what could not be found out, and why

    @property
    def unit(self) -> str:
        """What may be wrong: "images", or what the confusion counts instead."""
        return "images" if self.confusion is None else self.confusion.of


class Study(Protocol):
    """Looks at every answer of a network, batch after batch; without TensorFlow."""

    def add(self, outputs: Tree, targets: Tree) -> np.ndarray:
        """Take in a batch, in arrays; returns how wrong every answer is, (B,): 0 where it is right, at most 1."""
        ...

    def result(self) -> Details:
        """Return what was found."""
        ...


@dataclass(frozen=True)
class Task:
    """What a network is trained for. Subclasses are frozen dataclasses: their fields are the options of `[task]`."""

    name: ClassVar[str]
    about: ClassVar[str]  # one line for lists
    no_answer: ClassVar[str]  # what a network is that does not answer so: "no classifier of images"
    mixes: ClassVar[bool] = False  # whether the loss of two images in one is the mean of their losses, by their shares
    headline: ClassVar[str]  # the score that ranks its networks, the first of its metric's
    on_any_body: ClassVar[bool] = (
        False  # whether its head takes the last feature map, of whatever size, and nothing else
    )
    learns_from: ClassVar[str] = LABEL  # what must be known of every image
    per_pixel: ClassVar[bool] = False  # whether it answers for every pixel, so that few images prove as much as many
    forms: ClassVar[tuple[Form, ...]] = ("logits",)  # in which its files may answer, the network's own first

    def topology(self, backbone: "Backbone", method: "Method", info: Info) -> "Backbone":
        """Return the backbone as the task needs it, such as with a finer last map."""
        return backbone

    def check_annotation(self, known: str, dataset: str) -> None:
        """Raise LarqnetsError when of the images of a data set something else is known than what the task learns from."""
        if known != self.learns_from:
            raise LarqnetsError(
                f"Of the images of {dataset} {_KNOWN[known]}, and a network for {self.name} learns from "
                f"{_LEARNT[self.learns_from]}. {_REMEDY[known]}"
            )

    def check_form(self, form: Form, whose: str) -> None:
        """Raise LarqnetsError when a file of this task cannot answer in a form."""
        if form not in self.forms:
            raise LarqnetsError(
                f"{whose} is a network for {self.name}, and {form} is an answer for every pixel, which networks for "
                f"segmentation give. Leave --output {form} out; a folder of that name is --output ./{form}."
            )

    def check(self, backbone: "Backbone", info: Info) -> None:
        """Raise LarqnetsError with one sentence when the task makes no sense on the backbone or for the images."""

    def outputs(self, stages: list[Any], method: "Method", backbone: "Backbone", info: Info) -> Tree:
        """Build the heads on the outputs of all stages, (N, H, W, C) each.

        Returns the network's answers by name, in the order in which it gives them. Names of several are those of the file's
        outputs, and no layer of a head may have one of them.
        """
        raise NotImplementedError

    def check_answers(self, shapes: Sequence[tuple[int | None, ...]], info: Info, whose: str) -> None:
        """Raise LarqnetsError when a network's outputs have no place for what is known about the images of a data set."""

    def scores(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Return whether outputs (N, ...) of these shapes are answers that the metric can score."""
        return True

    def targets(self, example: Tree, info: Info) -> Tree:
        """Return what the loss and the metric compare with, of a batch of examples, in the graph, after augmentation."""
        raise NotImplementedError

    def loss(self, config: TrainConfig, info: Info) -> Loss:
        """Return the loss that `[train]` names; raises LarqnetsError for options that contradict each other or the task."""
        raise NotImplementedError

    def loss_of(self, model: Any) -> Loss:
        """Return the loss by which a network is told that was not trained here."""
        raise NotImplementedError

    def metric(self, info: Info) -> Metric:
        """Return how answers are scored."""
        raise NotImplementedError

    def doubt(self, scores: Mapping[str, float], images: int, info: Info) -> str:
        """Return a sentence when scores of so many images are none of a network that can do what is asked, else ""."""
        return ""

    def remarks(self, examples: Callable[[], Iterable[Tree]], info: Info) -> list[str]:
        """Return what a person should know before a training on examples: their batches as evaluation sees them, if called."""
        return []

    def study(self, info: Info, facts: Facts) -> Study | None:
        """Return what looks at single answers, None where the scores are all; `facts` as in `decode`."""
        return None

    def pictures(self, image: np.ndarray, outputs: Tree, targets: Tree, info: Info) -> dict[str, np.ndarray]:
        """Return pictures (H, W, 3) uint8 that show an answer beside its image (H, W, C) uint8, by name, in arrays; {} without."""
        return {}

    def distil(self, teacher: Any, config: TrainConfig) -> Loss:
        """Return the loss of (outputs, the outputs of the Keras model `teacher`); LarqnetsError where a task has none."""
        raise LarqnetsError(
            f"A network for {self.name} cannot learn from the answers of another one. Leave train.teacher out."
        )

    def metadata(self, info: Info | None) -> dict[str, Any]:
        """Return what a converted file must say beside its images so that it can be decoded."""
        return {}

    def decode(self, outputs: dict[str, np.ndarray], facts: Facts) -> list[Any]:
        """Return for every sample what JSON can hold of its answer; without TensorFlow."""
        raise NotImplementedError

    def agreement(self, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float | None:
        """Return how far two networks answer the same, decoded; 1 is the same, None where there is nothing to decode."""
        raise NotImplementedError

    def agreed(self, shapes: Sequence[tuple[int | None, ...]]) -> str:
        """Return what `agreement` is the share of, to follow a percentage; `shapes` are those of the outputs."""
        return "of the answers are the same"


_KNOWN = {LABEL: "a label is known", MASK: "the class of every pixel is known", BOXES: "boxes around things are known"}
_LEARNT = {LABEL: "labels", MASK: "masks, images whose pixels are numbers of classes", BOXES: "boxes around things"}
_REMEDY = {
    BOXES: 'Set task.kind = "detection", or name another data set.',
    LABEL: "Leave task.kind out, or give folders images/ and masks/: folder:PATH.",
    MASK: 'Set task.kind = "segmentation", or name another data set; where there are boxes too, data.annotation = "boxes" takes them.',
}

TASKS: Registry[type[Task]] = Registry("task")


def list_tasks(pattern: str = "*") -> list[str]:
    """Return the names of the tasks that match a shell glob."""
    _load()
    return TASKS.names(pattern)


def get_task(config: TaskConfig | None = None) -> Task:
    """Return the task of a config, by default classification.

    Raises LarqnetsError for an unknown kind, and for an option that it does not have or that its type does not allow.
    """
    _load()
    config = config or TaskConfig()
    return from_mapping(TASKS.get(config.kind), config.options, "task.", f"Task '{config.kind}'")


def task_of(file: Model) -> Task:
    """Return the task that the metadata of a .tflite file name; a file that names none is a classifier.

    Raises LarqnetsError when what they say is nonsense or no task of this version.
    """
    metadata = own_metadata(file) or {}
    named, options = metadata.get("task", TaskConfig.kind), metadata.get("task_options", {})
    if not isinstance(named, str) or not isinstance(options, dict):
        raise LarqnetsError(f"What {file.name} says about its task is nonsense. Convert it again.")
    return get_task(TaskConfig(named[:80], options))


def tree_of(names: Sequence[str], answers: Any) -> Tree:
    """Return what a network or file answered with, a tensor or a list of them, by the names of its outputs."""
    listed = answers if isinstance(answers, list | tuple) else [answers]
    return dict(zip(names, listed, strict=True))


def check_told_apart(classes: int | None, info: Info, whose: str) -> None:
    """Raise LarqnetsError when a network that tells so many classes apart, None for any, has no place for all of a data set's."""
    if classes is not None and info.num_classes > classes:
        raise LarqnetsError(
            f"{info.name} has {info.num_classes} classes and {whose} tells {classes} apart. "
            "Name the data set that it was trained on."
        )


RAW = "raw_"  # begins the names of outputs that only the loss looks at


def answers_of(model: Any) -> Any:
    """Return the Keras model without the outputs that only the loss looks at; it shares all layers. A file has no others."""
    import tensorflow as tf

    kept = [output for name, output in zip(model.output_names, model.outputs, strict=True) if not name.startswith(RAW)]
    return model if len(kept) == len(model.outputs) else tf.keras.Model(model.inputs, kept, name=model.name)


def only(tree: Tree) -> Any:
    """Return the one value of a tree."""
    (value,) = tree.values()
    return value


def _load() -> None:
    import_folder(__name__, __path__)
