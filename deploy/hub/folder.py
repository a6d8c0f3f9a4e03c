"""What `larqnets publish` writes: a converted run as a folder for a hub.

    README.md        the model card: what a hub reads, licences, scores, files, commands
    *.tflite         the files that the run's manifest lists, as they are
    config.toml, card.json, manifest.json    those of the run, of paths of this machine only the last part

Nothing else is in it: no image, no checkpoint.
"""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deploy.hub.front_matter import (
    NOT_STATED,
    RESEARCH_ONLY,
    TASKS,
    front_matter,
    licence_lines,
    shown_dataset,
    to_yaml,
)
from deploy.targets import TARGETS
from larqnets import __version__, manifest
from larqnets.documents import read_json
from larqnets.errors import LarqnetsError, printable
from larqnets.extras import require
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.card import CARD_FILE, Ancestor, Card
from larqnets.runs.history import history_of
from larqnets.runs.run import CONFIG_FILE, Run
from larqnets.templates import templates_of
from larqnets.tflite.inspect import own_metadata
from larqnets.tflite.reading import read_model

README = "README.md"
_UNTRIED = "Instructions are counted on emulated cores; nothing here says how long it takes on a real device."
_FACADES = {"classification": "Classifier", "segmentation": "Segmenter", "detection": "Detector"}
_WORDS = {
    "binary": "the 1-bit network",
    "float": "its float twin",
    "int8": "the twin in int8",
    "decomposed": "the decomposed network",
}
# Paths from the root, and behind `folder:`, as texts of their own and in sentences: what is in front of the last part says
# where somebody's things lie.
_WHOLE = re.compile(r"(?<=\")(folder:)?~?/[^\"\n]*/(?=[^\"/\n]+\")")
_WITHIN = re.compile(r"((?<=folder:)|(?<![\w.:/~-]))~?/(?:[^\s\"'/]+/)+(?=[^\s\"'/]+)")


@dataclass(frozen=True)
class Published:
    """A folder that was written: its files by name, and what is to be said of it."""

    folder: Path
    files: tuple[str, ...]
    licence: str
    remarks: tuple[str, ...]


def write_folder(
    run: Run, output: Path | None, licence: str | None, repository: str | None, reporter: Reporter = SILENT
) -> Published:
    """Write the folder of a converted run, by default RUN/hub; what was published there before is replaced.

    `licence`: that which its owner gives the weights, an identifier of the hub such as apache-2.0. Raises LarqnetsError for a
    run that is not converted, a file that is not the manifest's, a licence for weights that are for research only, and without jinja2.
    """
    require("Model cards", "jinja2")
    card, history = run.card, tuple(_without_path(ancestor) for ancestor in history_of(run.card))
    if licence is not None and any(ancestor.research_only for ancestor in history):
        raise LarqnetsError(f"{licence_lines(history)[0]} Leave --licence out: the card then says so.")
    converted = run.path / TARGETS[0]
    document, contents = _converted(converted, run.path)
    task = _task_of(document, contents)
    entries = front_matter(card, task, history, licence)
    texts = {
        CONFIG_FILE: _without_paths((run.path / CONFIG_FILE).read_text("utf-8")),
        CARD_FILE: _without_paths(json.dumps(card.document, indent=2, ensure_ascii=False) + "\n"),
        README: _readme(card, task, history, entries, document, contents, repository),
    }
    files = contents | {name: text.encode("utf-8") for name, text in texts.items()}
    listed = {name: hashlib.sha256(files[name]).hexdigest() for name in texts}
    shortened = json.loads(_without_paths(json.dumps(document)))
    folder = output or run.path / "hub"
    kept = manifest.publish(folder, files, shortened | {"files": document["files"] | listed}, reporter=reporter)
    return Published(
        folder,
        (*files, manifest.MANIFEST),
        entries.get("license_name", entries["license"]),
        (*licence_lines(history), *_told_by_files(contents), *kept),
    )


def _converted(folder: Path, run: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Return the manifest of a conversion and the files that it lists, which are as they were proven."""
    try:
        document = read_json(folder / manifest.MANIFEST)
        names = {entry["file"]: entry["sha256"] for entry in document["files"].values()}
    except FileNotFoundError as error:
        raise LarqnetsError(f"{run} is not converted. Convert it first: larqnets convert {run}.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LarqnetsError(f"The manifest in {folder} cannot be read. Convert the run again.") from error
    contents: dict[str, bytes] = {}
    for name, digest in names.items():
        place = folder / str(name)
        plain = place.suffix == ".tflite" and place.parent == folder and place.is_file() and not place.is_symlink()
        content = place.read_bytes() if plain else b""
        if hashlib.sha256(content).hexdigest() != digest:
            raise LarqnetsError(f"{place} is not the file that was proven. Convert the run again.")
        contents[str(name)] = content
    if not contents:
        raise LarqnetsError(f"The manifest in {folder} lists no file. Convert the run again.")
    return document, contents


def _main(document: dict[str, Any], contents: dict[str, bytes]) -> str:
    """Return the name of the file that a conversion is about."""
    named = document.get("file")
    return named if named in contents else next(iter(contents))


def _task_of(document: dict[str, Any], contents: dict[str, bytes]) -> str:
    """Return what the file says that it does; one that does not say is a classifier. LarqnetsError for a task that hubs have no word for."""
    said = (own_metadata(read_model(contents[_main(document, contents)])) or {}).get("task", "classification")
    if not isinstance(said, str) or said not in TASKS:
        raise LarqnetsError(f"The task {said!r} cannot be published, only {', '.join(TASKS)}. Write its card by hand.")
    return said


def _without_paths(text: str) -> str:
    """Return a text with the last part of every path of this machine."""
    return _WITHIN.sub("", _WHOLE.sub(lambda found: found[1] or "", text))


def _without_path(ancestor: Ancestor) -> Ancestor:
    name, by = (json.loads(_without_paths(json.dumps(text))) for text in (ancestor.name, ancestor.by))
    return replace(ancestor, name=name, by=by)


def _told_by_files(contents: dict[str, bytes]) -> list[str]:
    """Return a caution where a file itself tells where images lay: it is proven as it is, so it stays."""
    telling = [name for name, content in contents.items() if re.search(rb"folder:[~/]", content)]
    if not telling:
        return []
    return [
        f"careful: the metadata of {', '.join(telling)} say in which folder the images lay, and are left as they were proven. Where "
        "that is nobody's business train on a folder of another name."
    ]


def _readme(
    card: Card,
    task: str,
    history: tuple[Ancestor, ...],
    entries: dict[str, Any],
    document: dict[str, Any],
    contents: dict[str, bytes],
    repository: str | None,
) -> str:
    # It is Markdown; `_cell` sees to what names of others could do in it.
    environment = templates_of("deploy.hub", autoescape=False, keep_trailing_newline=True)
    named = {entry["file"]: (variant, entry) for variant, entry in document["files"].items()}
    counted = card.arm64
    name = _cell(card.name)
    return environment.get_template("README.md.jinja").render(
        front_matter=to_yaml(entries),
        name=name,
        network=_cell(f"{card.method} on {card.backbone}"),
        task=task,
        dataset=_cell(shown_dataset(card.dataset)),
        version=__version__,
        labels=_cell(", ".join(card.images.labels)) if card.images is not None else "",
        licence_lines=licence_lines(history),
        licence_words=_licence_words(entries),
        history=[
            {
                "kind": one.kind,
                "name": _cell(shown_dataset(one.name)),
                "licence": _cell(one.licence),
                "by": _cell(one.by),
            }
            for one in history
        ],
        headline=card.headline,
        trained=_percent(card.score),
        converted=_percent(card.converted_score),
        instructions=None if counted is None else f"{counted.instructions:,}",
        core=None if counted is None else counted.cpu,
        untried=_UNTRIED,
        files=[
            {
                "name": file,
                "what": _WORDS.get(named[file][0], named[file][0].replace("_", " ")),
                "bytes": f"{len(content):,}",
                "sha256": named[file][1]["sha256"],
            }
            for file, content in contents.items()
        ],
        main=_main(document, contents),
        repository=repository or "USER/NAME",
        folder=repository.rpartition("/")[2] if repository else "model",
        facade=_FACADES[task],
    )


def _licence_words(entries: dict[str, Any]) -> str:
    name = entries.get("license_name")
    if name == RESEARCH_ONLY:
        return "For research only, as what it descends from asks."
    if name == NOT_STATED:
        return "Whoever published these weights states no licence of their own; what they descend from has these:"
    return f"The weights are published under {entries['license']}; what they descend from has these licences:"


def _percent(score: float | None) -> str:
    return "not measured" if score is None else f"{score:.2%}"


def _cell(text: str) -> str:
    """Return what somebody else called something as text in a line of Markdown."""
    return re.sub(r"([\\|`*_<>\[\]{}#])", r"\\\1", printable(" ".join(_without_paths(text).split())))
