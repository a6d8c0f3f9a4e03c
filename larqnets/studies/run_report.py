"""`larqnets report RUN`: what is known of one run, section by section, and what was not done yet with the command for it.

The sections are words and numbers, so that the page and the screen show the same. Nothing here needs TensorFlow; what the
network answers on its test images is handed in.
"""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from android_bench.record import Session, read_session
from android_bench.reporting.counted import RATIOS, kinds_of, side_by_side
from android_bench.reporting.summary import summarise
from android_bench.reporting.words import device_name, kib, ms
from larqnets.config import dump_config
from larqnets.documents import read_json
from larqnets.errors import LarqnetsError
from larqnets.legend import Legend
from larqnets.manifest import MANIFEST
from larqnets.runs.card import score_of
from larqnets.runs.history import history_of, history_words
from larqnets.runs.run import Run
from larqnets.scores import is_of_a_class
from larqnets.studies.curves import curves_picture

if TYPE_CHECKING:
    from deploy.proof.evaluation import Evaluation
    from larqnets.data.survey import Survey

TARGET = "arm64"
RESULTS = Path("results")  # where `benchmark` keeps its sessions unless it is told otherwise
MAX_CLASSES = 100  # that are shown
_ELSEWHERE = f", or its session is not in {RESULTS}/: name it behind the run."


@dataclass(frozen=True)
class Grid:
    """A table: its columns, the first of words and the others of numbers, and its rows."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Picture:
    """A PNG, and what is said below it."""

    caption: str
    content: bytes


@dataclass(frozen=True)
class Todo:
    """What was not done yet, and what does it: a command, empty where there is none."""

    why: str
    command: str = ""


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    lines: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    pictures: tuple[Picture, ...] = ()
    todo: tuple[Todo, ...] = ()
    text: str = ""  # shown as it is, folded


@dataclass(frozen=True)
class Looked:
    """The test images through the network: what was found, or why nothing was."""

    evaluation: "Evaluation | None" = None
    survey: "Survey | None" = None
    why_not: str = ""


def sections_of(run: Run, looked: Looked, sessions: Sequence[Session]) -> list[Section]:
    """Return the sections about a run; raises LarqnetsError when one of its files is damaged."""
    manifest = _manifest(run)
    return [
        _network(run),
        _data(run, looked.survey),
        _curves(run),
        *_answers(looked, run),
        *_understood(run, lambda: _conversion(run, manifest)),
        *_understood(run, lambda: _proof(run, manifest)),
        _devices(run, manifest, _of_run(manifest, sessions)),
        Section("Config", lines=("As it was trained, every default written out.",), text=dump_config(run.config)),
    ]


def check_conversion(run: Run) -> None:
    """Raise LarqnetsError when what the run says of its conversion is damaged, before anything takes time."""
    manifest = _manifest(run)
    for make in (_conversion, _proof):
        _understood(run, lambda make=make: make(run, manifest))


def to_json(run: Run, looked: Looked, sessions: Sequence[Session], sections: Sequence[Section]) -> dict[str, Any]:
    """Return what is known as a JSON object: card, evaluation, manifest, instructions, and what was not done yet."""
    manifest = _manifest(run)
    measured = _of_run(manifest, sessions)
    return {
        "run": str(run.path),
        "card": run.card.document,
        "evaluation": None if looked.evaluation is None else looked.evaluation.to_json(),
        "not_evaluated": looked.why_not or None,
        "conversion": manifest,
        "sessions": [session.session for session in measured],
        "instructions": [row.to_json() for session in measured for row in side_by_side(session)],
        "not_done": [{"why": todo.why, "command": todo.command} for one in sections for todo in one.todo],
    }


def sessions_here(named: Sequence[Path]) -> list[Session]:
    """Return the sessions that were named, else those in RESULTS; what is no session is none of ours there.

    Raises LarqnetsError for a named file that is none.
    """
    if named:
        return [read_session(path) for path in named]
    found = []
    for path in sorted(RESULTS.glob("*.json")):
        try:
            found.append(read_session(path))
        except LarqnetsError:
            continue  # kernels.json and others lie there too
    return found


def _manifest(run: Run) -> dict[str, Any] | None:
    path = run.path / TARGET / MANIFEST
    if not path.exists():
        return None
    try:
        manifest = read_json(path)
    except (OSError, ValueError) as error:
        raise _damaged(run, str(error)) from error
    if not isinstance(manifest, dict):
        raise _damaged(run, "it holds no JSON object")
    return manifest


def _understood(run: Run, make: Callable[[], Section]) -> list[Section]:
    """Return a section about the manifest, which may be anybody's; raises LarqnetsError when it is nonsense."""
    try:
        return [make()]
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise _damaged(run, f"{type(error).__name__} at {error}") from error


def _damaged(run: Run, why: str) -> LarqnetsError:
    again = f"larqnets convert {_quoted(run.path)} --target {TARGET}"
    return LarqnetsError(f"{run.path / TARGET / MANIFEST} is damaged: {why}. Convert again: {again}")


def _of_run(manifest: Mapping[str, Any] | None, sessions: Sequence[Session]) -> list[Session]:
    """Return the sessions in which files of the manifest were measured, the newest first."""
    files = (manifest or {}).get("files")
    entries = files.values() if isinstance(files, dict) else ()
    own = {entry.get("sha256") for entry in entries if isinstance(entry, dict)}
    mine = [session for session in sessions if any(model.sha256 in own for model in session.models)]
    return sorted(mine, key=lambda session: session.created, reverse=True)


def _network(run: Run) -> Section:
    card = run.card
    how = "trained here" if card.kind == "trained" else card.kind
    facts = [
        ("run", str(run.path)),
        ("network", f"{card.method} on {card.backbone}, {how}"),
        ("parameters", f"{card.parameters or 0:,}"),
        (f"test {card.headline}", _share(card.score)),
        ("data set", card.dataset),
        ("descends from", history_words(history_of(card))),
    ]
    todo = []
    if card.kind == "trained":
        asked = sum(stage.epochs for stage in run.experiment.training_stages)
        facts += [("epochs", f"{card.epochs_done:,} of {asked:,}"), ("time", f"{card.seconds:,.0f} s")]
        facts.append(("seed", str(card.seed)))
        if card.epochs_done < asked:
            todo.append(Todo("Its training is not finished.", f"larqnets train --resume {_quoted(run.path)}"))
    versions = card.document.get("versions")
    if isinstance(versions, dict):
        facts.append(("versions", ", ".join(f"{name} {version}" for name, version in versions.items())))
    if card.paper is not None:
        facts.append(("paper", f"{card.paper.title}: {card.paper.test_accuracy:.2%}"))
    return Section("Network", facts=tuple(facts), todo=tuple(todo))


def _data(run: Run, survey: "Survey | None") -> Section:
    images = run.card.images
    facts = [("images", run.card.dataset)]
    if images is not None:
        facts.append(("height x width x channels", " x ".join(map(str, images.image_shape))))
        facts.append(("labels", f"{len(images.labels):,}: {_some(images.labels)}"))
    if survey is None:
        return Section("Data", facts=tuple(facts))
    splits = list(survey.total)
    rows = [
        (label, *(f"{survey.images[split][i]:,}" for split in splits))
        for i, label in enumerate(survey.labels[:MAX_CLASSES])
        if survey.images
    ]
    total = ("all", *(f"{survey.total[split]:,}" for split in splits))
    grids = (Grid(("label", *splits), (*rows, total)),) if rows else ()
    left_out = len(survey.labels) - MAX_CLASSES if survey.images else 0
    more = [f"{left_out:,} more labels are not shown."] if left_out > 0 else []
    return Section(
        "Data",
        facts=(*facts, ("split", survey.split_by)),
        lines=(*survey.lines(), *more),
        grids=grids,
    )


def _curves(run: Run) -> Section:
    if run.card.kind != "trained":
        return Section("Curves", lines=(f"Nothing was trained here: the network was {run.card.kind}.",))
    try:
        picture = curves_picture([run.path])
    except LarqnetsError as error:
        return Section("Curves", todo=(Todo(str(error)),))
    return Section("Curves", pictures=(Picture("Every epoch, measured when it ended.", picture),))


def _answers(looked: Looked, run: Run) -> list[Section]:
    """Return what the network answers on its test images: scores, classes, confusion, what was wrong."""
    found = looked.evaluation
    if found is None:
        command = f"larqnets evaluate {_quoted(run.path)}"
        return [Section("Test images", todo=(Todo(f"They were not looked at: {looked.why_not}", command),))]
    facts = [("images", f"{found.images:,} of {found.dataset}, {found.split}"), ("engine", found.engine)]
    in_rows = (details := found.details) is not None and bool(details.classes)
    named = [score for score in found.scores.items() if not (in_rows and is_of_a_class(score[0]))]
    facts += [(name.replace("_", " "), _share(value)) for name, value in named]
    if details is None:
        return [Section("Test images", facts=tuple(facts))]
    facts += [(name.replace("_", " "), _share(value)) for name, value in details.scores.items()]
    calibration = details.calibration
    lines = list(details.remarks)
    if calibration is not None:
        facts.append(("calibration error (ECE)", f"{calibration.ece:.2%}"))
        lines.append(
            "Calibration error: how far the confidence of answers is on average from how often they are right, in "
            f"{len(calibration.bins)} bins."
        )
    grids = []
    if details.classes:
        names = [name for name in details.classes[0] if name != "label"]
        rows = tuple(
            (str(row["label"]), *(_cell(row[name]) for name in names)) for row in details.classes[:MAX_CLASSES]
        )
        grids.append(Grid(("label", *(name.replace("_", " ") for name in names)), rows))
        if len(details.classes) > MAX_CLASSES:
            lines.append(f"{len(details.classes) - MAX_CLASSES:,} more labels are not shown.")
    made = [Section("Test images", facts=tuple(facts), lines=tuple(lines), grids=tuple(grids))]
    legend = Legend()
    if details.confusion is not None:
        caption = "Which label, a row, was taken for which, a column. The diagonal is right."
        picture = Picture(caption, found.confusion_picture("png", legend))
        made.append(Section("Confusion", lines=tuple(legend.lines()), pictures=(picture,)))
    order = "the surest answers" if details.unit == "images" else f"those with the most wrong {details.unit}"
    wrong = f"{found.wrong_words()}, as the network sees them, {order} first."
    pictures = (Picture(wrong, found.sheet(legend)),) if found.pictures else ()
    made.append(
        Section("Wrong images", lines=tuple(legend.lines()) if pictures else ("None was wrong.",), pictures=pictures)
    )
    return made


def _conversion(run: Run, manifest: dict[str, Any] | None) -> Section:
    command = f"larqnets convert {_quoted(run.path)} --target {TARGET} --twins"
    if manifest is None:
        return Section("Conversion and sizes", todo=(Todo("It is not converted yet.", command),))
    entries = manifest["files"]
    whole = entries["float"]["bytes"] if "float" in entries else None
    score = manifest.get("headline", "accuracy")  # earlier ones know no other
    rows = tuple(
        (
            str(entry["file"]),
            f"{entry['bytes']:,}",
            f"{entry['bytes'] / whole:.1%}" if whole else "–",
            f"{entry['binary_mac_share']:.1%}",
            _share(score_of(entry.get("scores") or {}, entry["test_accuracy"], score)),
            str(entry["note"]),
        )
        for entry in entries.values()
    )
    lines = [f"warning: {text}" for text in manifest["warnings"]]
    lines += [f"Layer '{one['layer']}' runs as float: {one['cause']}" for one in manifest["float_fallbacks"]]
    todo = [] if whole else [Todo("There is no float and int8 version beside it to compare with.", command)]
    trained = manifest["source"].get("run", {}).get("epochs_done")
    if run.card.kind == "trained" and trained not in (None, run.card.epochs_done):
        todo.append(Todo(f"It was converted after {trained} epochs, and trained on since.", command))
    head = ("file", "bytes", "of float", "1-bit MACs", f"test {score}", "")
    return Section("Conversion and sizes", lines=tuple(lines), grids=(Grid(head, rows),), todo=tuple(todo))


def _proof(run: Run, manifest: dict[str, Any] | None) -> Section:
    if manifest is None:
        return Section("Proof", lines=("There is no file yet that could be equal to the network.",))
    proof, v = manifest["proof"], manifest["verification"]
    todo = []
    if why := proof.get("arm64_not_proven"):
        again = f"larqnets convert {_quoted(run.path)} --target {TARGET}{_twins(manifest)}"
        todo.append(Todo(f"It is not proven on ARM64: {why.rstrip('.')}.", again))
    if v is None:
        return Section("Proof", lines=(str(proof["line"]),), todo=tuple(todo))
    signs, wrong = (sum(layer[key] for layer in v["layers"]) for key in ("signs", "wrong"))
    facts = [
        ("equal", "yes" if v["equal"] else "NO"),
        ("layer by layer", f"{len(v['layers'])} binary layers, {signs:,} signs, {wrong:,} wrong"),
        ("samples", _samples(v, manifest["samples"]["test"])),
        ("same answer", _share(v["argmax_agreement"])),
        *((f"their {name}, trained", _share(value)) for name, value in _scores(v, "trained").items()),
        *((f"their {name}, converted", _share(value)) for name, value in _scores(v, "converted").items()),
        ("engine", str(v["engine"])),
    ]
    lines = [str(proof["line"]), *(f"not equal: {text}" for text in v["reasons"])]
    lines += [f"warning: {text}" for text in v["warnings"]]
    return Section("Proof", facts=tuple(facts), lines=tuple(lines), todo=tuple(todo))


def _samples(verification: dict[str, Any], test: int) -> str:
    """Return how many there are of what: on training images among them a network is better than on the test set."""
    real = f"real, {test:,} of them test images" if verification["real_samples"] else "random"
    return f"{verification['samples']:,} {real}"


def _devices(run: Run, manifest: dict[str, Any] | None, sessions: Sequence[Session]) -> Section:
    """Return the instructions that qemu counted, and the latencies that devices had."""
    title = "Instructions and latency"
    if manifest is None:
        return Section(title, lines=("They are measured of a converted file.",))
    file = _quoted(run.path / TARGET / str(manifest.get("file", "binary.tflite")))
    grids, lines, todo = [], [], []
    counted = next((session for session in sessions if side_by_side(session)), None)
    if counted is not None:
        networks = side_by_side(counted)
        kinds = kinds_of(networks)
        rows = tuple(
            (
                f"{row.name}, {row.cpu}",
                *(f"{row.counts[kind]:,}" if kind in row.counts else "–" for kind in kinds),
                *(f"{value:.2f}" if (value := row.ratio(*pair)) else "–" for pair in RATIOS),
            )
            for row in networks
        )
        grids.append(Grid(("instructions of an inference", *kinds, *(" / ".join(pair) for pair in RATIOS)), rows))
        lines.append(f"Instructions: counted under qemu, session {counted.session}.")
    else:
        command = f"larqnets benchmark {file} --device qemu"
        todo.append(Todo(f"Its instructions are not counted yet{_ELSEWHERE}", command))
    timed = [summary for summary in map(summarise, sessions) if summary.timed]
    for summary in timed:
        rows = tuple((m.record.name, ms(m.latency.median_ms), kib(m.record.bytes)) for m in summary.models if m.latency)
        grids.append(Grid((f"{device_name(summary.session)}, {summary.session.session}", "median, ms", "file"), rows))
    if not timed:
        command = f"larqnets benchmark {file} --device adb"
        why = f"It is not measured on a phone (--device adb) or a board (--device ssh:USER@HOST) yet{_ELSEWHERE}"
        todo.append(Todo(why, command))
    return Section(title, lines=tuple(lines), grids=tuple(grids), todo=tuple(todo))


def _scores(verification: Mapping[str, Any], which: str) -> dict[str, Any]:
    """Return the scores on the samples of a proof; before there were tasks the accuracy stood alone."""
    accuracy = {"accuracy": verification[f"accuracy_{which}"]}
    return verification.get(f"scores_{which}", accuracy) or {}


def _twins(manifest: Mapping[str, Any]) -> str:
    """Return the option that makes again what is there."""
    return " --twins" if "float" in manifest["files"] else ""


def _share(value: Any) -> str:
    return "not known" if value is None else f"{value:.2%}"


def _cell(value: Any) -> str:
    if value is None:
        return "no image"
    return f"{value:,}" if isinstance(value, int) else f"{value:.2%}"


def _some(words: Sequence[str], most: int = 12) -> str:
    return ", ".join(words[:most]) + (", …" if len(words) > most else "")


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
