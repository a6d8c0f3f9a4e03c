"""The trained networks that come with the package: a table of all, the card of one."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from larqnets.cli.tables.facts import facts
from larqnets.runs.model_cards import ModelCard
from larqnets.shipped import example_file

_NEXT = "larqnets models show NAME prints a card, larqnets run NAME runs it, larqnets train CONFIG --init-from model:NAME starts from it."


def models(cards: Mapping[str, ModelCard]) -> list[Any]:
    """All of them."""
    cores = list(dict.fromkeys(core for card in cards.values() for core in card.instructions))
    table = Table("name", "task", "data set", "its licence", "score", "trained", "file", box=None, pad_edge=False)
    for column in ("bytes", *cores):
        table.add_column(column, justify="right")
    for name, card in cards.items():
        counts = [card.instructions.get(core) for core in cores]
        score = card.score
        table.add_row(
            *(name, card.task, card.images.dataset, card.images.licence),
            *(score.name, f"{score.trained:.2%}", f"{score.converted:.2%}", f"{card.file_bytes:,}"),
            *(_millions(count) for count in counts),
        )
    count = f"{len(cards)} shipped model{'' if len(cards) == 1 else 's'}"
    note = "Under a core: instructions of an inference on one thread, counted on an emulated one. " if cores else ""
    return [count, table, note + _NEXT] if cards else ["no shipped models"]


def card(name: str, of: ModelCard, network: str) -> list[Any]:
    """The card of one."""
    score, images = of.score, of.images
    shown = {
        "does": of.about,
        "network": network,
        "learned from": f"{images.training_images:,} images of {images.dataset} ({images.licence}): {images.by}, {images.source}",
        **({"descends from": "; ".join(ancestor.words() for ancestor in of.history)} if of.history else {}),
        "licence of the file": of.licence,
        "config": " ".join((of.config, *of.overrides)),
        f"{score.name} as trained": f"{score.trained:.2%}, {score.measured_on} ({score.images:,})",
        f"{score.name} of the file": f"{score.converted:.2%} ({score.told})",
        "bytes": of.file_bytes,
        "SHA-256": of.sha256,
        **{f"instructions, {core}": count for core, count in of.instructions.items()},
    }
    return [
        facts(shown, name),
        "",
        "made by:",
        *(f"  {command}" for command in of.commands),
        "not tried:",
        *(f"  {what}" for what in of.not_tried),
        "",
        f"Next: larqnets run {name}{'' if example_file(name) else ' photo.jpg'}, larqnets train CONFIG --init-from model:{name}",
    ]


def published(document: Mapping[str, Any]) -> list[Any]:
    """What `larqnets publish` wrote, and where it is to be seen."""
    shown = {
        "folder": document["folder"],
        "files": ", ".join(document["files"]),
        "licence": document["licence"],
        **({"to be seen at": document["address"]} if document["address"] else {}),
    }
    again = "" if document["address"] else "Look at its README.md, then give the command again with --upload USER/NAME."
    return [facts(shown), *document["remarks"], *([again] if again else [])]


def _millions(count: int | None) -> str:
    return "not counted" if count is None else f"{count / 1e6:.2f} M"
