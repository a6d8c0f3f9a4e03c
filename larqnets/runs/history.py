"""What the weights of a network descend from: every data set and starting network, back to the first, with licences.

It is written into the card when a run is made: the runs that it began with may be gone later.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from larqnets.data.known import NOT_KNOWN, licence_of
from larqnets.errors import LarqnetsError
from larqnets.published import IMAGENET, is_published, licence_of_published
from larqnets.runs.card import Ancestor, Card
from larqnets.runs.model_cards import read_model_card
from larqnets.runs.run import Run
from larqnets.shipped import is_model

_OWN = "a run of larqnets"


def history_of_training(
    dataset: str, init_from: str | None = None, init_weights: str | None = None, teachers: Iterable[str] = ()
) -> tuple[Ancestor, ...]:
    """Return what a run descends from that learns from a data set, begins with a network, and from the answers of others."""
    return _history(dataset, init_from, init_weights, teachers, ())


def history_of_network(named: str) -> tuple[Ancestor, ...]:
    """Return what a run, a file, a shipped model or a published network descends from, itself first."""
    return _of_network(named, None, ())


def history_of(card: Card) -> tuple[Ancestor, ...]:
    """Return what a run descends from: what its card says, else, of a card of before, what follows from it."""
    return _of_card(card, ())


def history_words(history: Sequence[Ancestor]) -> str:
    """Return all of it in one line."""
    return "; ".join(ancestor.words() for ancestor in history)


def tells_more(history: Sequence[Ancestor]) -> bool:
    """Return whether it says more than the data set that is named anyway, or that data set restricts what may be done."""
    return len(history) > 1 or any(ancestor.research_only for ancestor in history)


def history_line(history: Sequence[Ancestor]) -> str:
    """Return the sentence about what is not seen at once, or restricts what may be done with the weights; "" where nothing does."""
    if not tells_more(history):
        return ""
    only = " They are for research only." if any(ancestor.research_only for ancestor in history) else ""
    return f"The weights descend from {history_words(history)}.{only}"


_Seen = tuple[Path, ...]  # runs on the way here: a card of before may name one of these again


def _history(
    dataset: str, init_from: str | None, init_weights: str | None, teachers: Iterable[str], seen: _Seen
) -> tuple[Ancestor, ...]:
    found = [_data_set(dataset)]
    if init_from is not None:
        found += _of_network(init_from, init_weights, seen)
    for teacher in teachers:
        found += _of_network(teacher, None, seen)
    return tuple(dict.fromkeys(found))


def _of_card(card: Card, seen: _Seen) -> tuple[Ancestor, ...]:
    if card.history:
        return card.history
    if card.kind == "trained":
        teachers = dict.fromkeys(stage.teacher for stage in card.stages if stage.teacher)
        return _history(card.dataset, card.init_from, card.document.get("init_weights"), teachers, seen)
    source = card.document.get("source")
    named = source if isinstance(source, str) else (source or {}).get("file", "a file")
    return _of_network(str(named), None, seen)


def _of_network(named: str, weights: str | None, seen: _Seen) -> tuple[Ancestor, ...]:
    if is_published(named):
        if weights not in (None, IMAGENET):
            return (Ancestor("network", f"{named} with the weights of {weights}", NOT_KNOWN),)
        return Ancestor("network", named, licence_of_published(named)), replace(_data_set("imagenet2012"), by=named)
    if is_model(named):
        return _of_model(named)
    path = Path(named)
    if not path.is_dir() or path.resolve() in seen:
        return (Ancestor("network", named, NOT_KNOWN),)
    try:
        card = Run.open(path).card
    except LarqnetsError:  # what cannot be read any more tells nothing
        return (Ancestor("network", named, NOT_KNOWN),)
    return _with_inherited(Ancestor("network", card.name, _OWN), _of_card(card, (*seen, path.resolve())))


def _of_model(named: str) -> tuple[Ancestor, ...]:
    card = read_model_card(named)
    return _with_inherited(Ancestor("network", named, card.licence), (_data_set(card.images.dataset), *card.history))


def _with_inherited(network: Ancestor, inherited: tuple[Ancestor, ...]) -> tuple[Ancestor, ...]:
    """Return a network and what it descends from: where nobody is named by whom that came in, by this network."""
    return network, *(ancestor if ancestor.by else replace(ancestor, by=network.name) for ancestor in inherited)


def _data_set(name: str) -> Ancestor:
    licence = licence_of(name)
    return Ancestor("data set", name, licence.words, licence.research_only)
