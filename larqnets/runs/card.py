"""The card of a run, `card.json`: what it is, what was done and what was measured.

The file holds more than is read here, and a newer version of larqnets may write keys that this one does not know: they
are kept, in their order, and written back as they were.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, get_args

from larqnets.documents import read_json
from larqnets.errors import LarqnetsError, excerpt, some
from larqnets.files import write_atomically
from larqnets.schema import from_mapping

RUN_FORMAT = 1
_OF_CONVERTED = ("converted_test_accuracy", "converted_scores", "converted_test_images", "converted", "arm64")
CARD_FILE = "card.json"
Kind = Literal["trained", "imported", "decomposed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_OF_TRAINING = ("seed", "epochs_done", "step")  # what the card of a run that was trained here has in any case


def score_of(scores: Mapping[str, float], accuracy: float | None, name: str) -> float | None:
    """Return a score by its name; before there were tasks the accuracy stood alone."""
    return scores.get(name, accuracy if name == "accuracy" else None)


@dataclass(frozen=True)
class Images:
    """The images that the network was made for, see `data.info.DatasetInfo`; not all of them were counted."""

    labels: tuple[str, ...]
    image_shape: tuple[int, int, int]  # H, W, C
    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str = ""
    num_test: int | None = None


@dataclass(frozen=True)
class Chosen:
    """Which epoch's weights were kept, `keep` as in the config, and what they score on the validation images."""

    keep: str
    epoch: int
    validation_loss: float
    validation_scores: dict[str, float]


@dataclass(frozen=True)
class StageResult:
    """What one stage of a training was and did; without a finished epoch nothing was measured.

    `start_rate` is the learning rate that a stage began with which made a finished run longer; `int8_rest` whether it learned with
    its real-valued rest as int8 (`larqnets.int8_aware`).
    """

    name: str
    precision: str
    epochs_done: int
    teacher: str | None = None
    start_rate: float | None = None
    int8_rest: bool = False
    seconds: float | None = None
    train_loss: float | None = None
    test_loss: float | None = None
    test_accuracy: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    chosen: Chosen | None = None


@dataclass(frozen=True)
class Transfer:
    """Which weights a run began with of another network, by name.

    `taken` have the values of the other one, `new` have initial values, each with the reason, `unused` are those of the other
    one that nothing here is called like. `of_other_shape` are those of `new` whose reason is theirs alone; `turned` are those
    of `taken` that see R, G, B where they saw B, G, R. `taken_back` says in sentences what of the weights a .tflite file had,
    where they come from one (`file_weights`).
    """

    taken: tuple[str, ...]
    new: dict[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()
    of_other_shape: tuple[str, ...] = ()
    turned: tuple[str, ...] = ()
    taken_back: tuple[str, ...] = ()

    def words(self) -> str:
        """Return how many are taken."""
        whole = len(self.taken) + len(self.new)
        return f"All {whole} weights" if not self.new else f"{len(self.taken)} of {whole} weights"

    def lines(self) -> list[str]:
        """Return in sentences what is taken and what is not, and of the latter the first names."""
        lines = [f"{self.words()} are taken from there.", *self.taken_back]
        shared = {name: why for name, why in self.new.items() if name not in self.of_other_shape}
        for why in dict.fromkeys(shared.values()):
            names = [name for name, reason in shared.items() if reason == why]
            lines.append(f"Not taken: {some(names)} ({why}).")
        if self.of_other_shape:
            lines.append(f"Not taken: {some([f'{name} is {self.new[name]}' for name in self.of_other_shape])}.")
        if self.turned:
            lines.append(f"Turned round for images in RGB, where it was trained on BGR: {some(self.turned)}.")
        if self.unused:
            lines.append(f"Nothing here is called like {some(self.unused)} of the other network.")
        return lines


@dataclass(frozen=True)
class Ancestor:
    """A data set or a network that the weights of a run descend from; `by`: the network through which, "" by none.

    `research_only`: what is learnt from it is for research only.
    """

    kind: Literal["data set", "network"]
    name: str
    licence: str
    research_only: bool = False
    by: str = ""

    def words(self) -> str:
        """Return its name and what is known of it."""
        return f"{self.name} ({self.licence}{f', by {self.by}' if self.by else ''})"


@dataclass(frozen=True)
class PaperResult:
    """The published accuracy that the config names, and how far ours is from it: ours minus theirs, as a fraction."""

    title: str
    test_accuracy: float
    gap: float | None = None


@dataclass(frozen=True)
class CountedFile:
    """Instructions of one inference of a converted file on an emulated ARM64 CPU."""

    instructions: int
    file_sha256: str
    cpu: str | None = None


@dataclass(frozen=True)
class Card:
    """What is read of a card. `scores` are fractions on the test set, `seconds` is over all resumes.

    `headline` names the score by which networks of its task are ranked; a card of before there were tasks has `test_accuracy`
    alone. A run that keeps validation images says which epoch was `chosen`, and has scores from its end on.
    `history` is what its weights descend from; a card of before has none, see `runs.history`.
    `seed`, `epochs_done` and `step` are those of a run that was trained here, 0 of any other. `document` is the whole card
    as it stands in the file.
    """

    name: str
    method: str
    backbone: str
    dataset: str
    status: str
    seconds: float
    kind: Kind = "trained"
    seed: int = 0
    epochs_done: int = 0
    step: int = 0
    parameters: int | None = None
    headline: str = "accuracy"
    test_accuracy: float | None = None
    scores: dict[str, float] = field(default_factory=dict)
    converted_test_accuracy: float | None = None
    converted_scores: dict[str, float] | None = None
    converted_test_images: int | None = None
    init_from: str | None = None
    transfer: Transfer | None = None
    history: tuple[Ancestor, ...] = ()
    images: Images | None = None
    stages: tuple[StageResult, ...] = ()
    chosen: Chosen | None = None
    paper: PaperResult | None = None
    arm64: CountedFile | None = None
    document: dict[str, Any] = field(init=False, repr=False, default_factory=dict)

    @property
    def score(self) -> float | None:
        """The headline on the test images, None where it was not measured."""
        return score_of(self.scores, self.test_accuracy, self.headline)

    @property
    def validation_score(self) -> float | None:
        """The headline on the validation images, None where there are none."""
        return None if self.chosen is None else self.chosen.validation_scores.get(self.headline)

    @property
    def converted_score(self) -> float | None:
        """The headline of the converted file on the test images that were looked at."""
        return score_of(self.converted_scores or {}, self.converted_test_accuracy, self.headline)

    def of_converted_file(self) -> list[str]:
        """Return the names of its facts about a file that was converted from the run."""
        return [name for name in _OF_CONVERTED if self.document.get(name) is not None]

    @classmethod
    def of(cls, facts: Mapping[str, Any], source: str) -> Self:
        """Return the card of a new run, or that `source` holds; raises LarqnetsError for what is missing or no fact."""
        card = from_mapping(cls, facts, "", source, newer=True)
        if card.kind == "trained" and (missing := [key for key in _OF_TRAINING if key not in facts]):
            raise LarqnetsError(f"{source}: '{missing[0]}' is missing.")
        card.document.update(facts)
        return card

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a card; raises LarqnetsError when it cannot be read, is damaged or of another format version."""
        try:
            facts = read_json(path)
        except OSError as error:
            raise LarqnetsError(f"Cannot read {path}: {error.strerror}. Check its permissions.") from error
        except ValueError as error:
            raise LarqnetsError(f"{path} is damaged: {error}. Restore it from a copy, or train again.") from error
        if not isinstance(facts, dict):
            raise LarqnetsError(f"{path} is damaged: it holds no JSON object. Restore it from a copy, or train again.")
        version = facts.get("format_version")
        if version != RUN_FORMAT:
            newer = isinstance(version, int) and version > RUN_FORMAT
            remedy = "Update larqnets" if newer else "Open it with the version of larqnets that wrote it"
            raise LarqnetsError(
                f"{path.parent} has run format {excerpt(repr(version), 80)}, but this larqnets reads format {RUN_FORMAT}. "
                f"{remedy}."
            )
        return cls.of(facts, f"{path} is damaged, restore it from a copy")

    def changed(self, **facts: Any) -> Self:
        """Return the card with these facts set, new ones behind the others."""
        return self.of(self.document | facts, "The card of the run")

    def write(self, path: Path) -> None:
        """Write the whole card, atomically."""
        # allow_nan=False: NaN is not JSON, and other readers of the card would stumble over it.
        write_atomically(path, json.dumps(self.document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
