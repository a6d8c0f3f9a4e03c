"""What a hub reads of a model card: YAML between two lines of `---`, in the words of Hugging Face."""

import json
from collections.abc import Iterator
from typing import Any

from larqnets.data.known import NOT_KNOWN
from larqnets.places import FOLDER_PREFIX
from larqnets.runs.card import Ancestor, Card

LIBRARY = "larqnets"
RESEARCH_ONLY, NOT_STATED = "research-only", "not-stated"
TASKS = {
    "classification": "image-classification",
    "segmentation": "image-segmentation",
    "detection": "object-detection",
}


def front_matter(card: Card, task: str, history: tuple[Ancestor, ...], licence: str | None) -> dict[str, Any]:
    """Return the entries: licence, library, task, tags, data sets, and the score of the file on the test images.

    Without a `licence` it is `other`, and its name says whether the weights are for research only or nothing was stated.
    """
    kind = TASKS.get(task)
    restricted = any(ancestor.research_only for ancestor in history)
    name = RESEARCH_ONLY if restricted else NOT_STATED
    images = dict.fromkeys(one.name for one in history if one.kind == "data set" and is_public(one.name))
    score = card.score if card.converted_score is None else card.converted_score
    entries: dict[str, Any] = {
        **({"license": licence} if licence else {"license": "other", "license_name": name}),
        "library_name": LIBRARY,
        **({"pipeline_tag": kind} if kind else {}),
        "tags": list(dict.fromkeys((LIBRARY, "binary-neural-network", "tflite", "arm64", card.method, card.backbone))),
        **({"datasets": list(images)} if images else {}),
        "metrics": [card.headline],
    }
    if score is not None and kind:
        dataset = shown_dataset(card.dataset)
        result = {
            "task": {"type": kind},
            "dataset": {"type": dataset, "name": dataset, "split": "test"},
            "metrics": [{"type": card.headline, "value": score, "name": f"test {card.headline} of the file"}],
        }
        entries["model-index"] = [{"name": card.name, "results": [result]}]
    return entries


def is_public(dataset: str) -> bool:
    """Return whether others know a data set by its name: a folder's name tells them nothing."""
    return not dataset.startswith(FOLDER_PREFIX)


def shown_dataset(dataset: str) -> str:
    """Return what a data set is called in public; of a folder not where it lies."""
    return dataset if is_public(dataset) else "own images"


def licence_lines(history: tuple[Ancestor, ...]) -> list[str]:
    """Return sentences about what the weights descend from that restricts or leaves open what may be done with them."""
    research = [one.name for one in history if one.research_only]
    unknown = [shown_dataset(one.name) for one in history if one.licence == NOT_KNOWN]
    lines = []
    if research:
        lines.append(f"The weights are for research only: they descend from {', '.join(dict.fromkeys(research))}.")
    if unknown:
        lines.append(f"Nobody states a licence of {', '.join(dict.fromkeys(unknown))}, which the weights descend from.")
    return lines


def to_yaml(entries: dict[str, Any]) -> str:
    """Return mappings, lists, texts and numbers as YAML, whose scalars are those of JSON."""
    return "".join(f"{line}\n" for line in _lines(entries))


def _lines(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, entry in value.items():
            if isinstance(entry, dict | list):
                yield f"{key}:"
                yield from (f"  {line}" for line in _lines(entry))
            else:
                yield f"{key}: {json.dumps(entry, ensure_ascii=False)}"
    elif isinstance(value, list):
        for entry in value:
            first, *rest = _lines(entry)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield json.dumps(value, ensure_ascii=False)
