"""The card of a shipped model, NAME.toml beside its file: what it does, what it was made of and how, what was measured.

What the file itself says (method, backbone, images, labels) is not said again; tests hold the numbers against the file, the
tables of results/ and new measurements.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from larqnets.documents import parse_toml, read_text
from larqnets.errors import LarqnetsError
from larqnets.runs.card import Ancestor
from larqnets.schema import Range, from_mapping
from larqnets.shipped import FOLDER, model_name


@dataclass(frozen=True)
class ModelScore:
    """What was measured: `trained` of the network, `converted` of the file, fractions, on so many `images`.

    `told` says where the numbers stand: a table of results/, or the command that measures them.
    """

    name: str
    trained: Annotated[float, Range(0, 1)]
    converted: Annotated[float, Range(0, 1)]
    images: Annotated[int, Range(1)]
    measured_on: str
    told: str


@dataclass(frozen=True)
class LearnedImages:
    """The images that it learned from: whose they are, where they are from, and how many."""

    dataset: str
    licence: str
    by: str
    source: str
    training_images: Annotated[int, Range(1)]


@dataclass(frozen=True)
class ModelCard:
    """A shipped model.

    `licence` is that of the file, `images` has that of the data; `history` what its weights descend from besides these
    images. `instructions`: of an inference on one thread, by the core that is emulated, see `larqnets benchmark --device
    qemu --cpu`. `commands` make the file again. `not_tried` is what nobody has looked at.
    """

    format: Literal[1]
    about: str
    task: str
    config: str
    commands: tuple[str, ...]
    licence: str
    images: LearnedImages
    score: ModelScore
    instructions: dict[str, int]
    file_bytes: Annotated[int, Range(1)]
    sha256: str
    not_tried: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    history: tuple[Ancestor, ...] = ()


def read_model_card(named: str, folder: Path = FOLDER) -> ModelCard:
    """Return the card of a shipped model; raises LarqnetsError where there is no such model, or its card is damaged."""
    path = folder / f"{model_name(named)}.toml"
    try:
        tables = parse_toml(read_text(path))
    except FileNotFoundError as error:
        raise LarqnetsError(f"{path} is missing, the card of {named}. Install larqnets again.") from error
    except OSError as error:
        raise LarqnetsError(f"{path} cannot be read: {error.strerror}. Check its permissions.") from error
    except tomllib.TOMLDecodeError as error:
        raise LarqnetsError(f"{path} is no TOML: {error}. Install larqnets again.") from error
    except ValueError as error:
        raise LarqnetsError(f"{path} is damaged: {error}. Install larqnets again.") from error
    return from_mapping(ModelCard, tables, "", str(path))
