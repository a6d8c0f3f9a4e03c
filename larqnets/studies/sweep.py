"""`larqnets sweep`: experiments one after another, each trained, converted and measured on the test set, into one table.

Nothing is remembered beside the runs themselves: what is finished is read from their cards and manifests, so a sweep
that was killed goes on where it was when the same command is given again.
"""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from android_bench.emulation.emulator import CPUS, qemu_command
from android_bench.emulation.qemu import count
from android_bench.runtime.bundle import find_bundle
from deploy.convert.sources import convert_source
from deploy.proof.check import evaluate_subject
from deploy.targets import TARGETS
from larqnets.config import TaskConfig
from larqnets.documents import read_json, read_text
from larqnets.errors import LarqnetsError
from larqnets.files import cannot_write, locked, write_atomically
from larqnets.runs.run import Run
from larqnets.studies.sweep_plan import Planned, option_values, plan
from larqnets.tflite.inspect import inspect_model
from larqnets.training import TrainingInterruptedError
from larqnets.training.launch import launch
from larqnets.training.progress import Progress

TARGET = TARGETS[0]


class SweepProgress(Progress, Protocol):
    """What a training run tells, and before it `experiment` with its 1-based number, and `stage` while converting."""

    def experiment(self, number: int, count: int, name: str) -> None: ...

    def stage(self, name: str) -> None: ...


@dataclass(frozen=True)
class Row:
    """A line of the table. Accuracies are fractions of the whole test set, `seconds` is training time over all resumes.

    Without a conversion, what is read from the converted file is None. `arm64_instructions` are those of one inference of
    the file on an emulated Cortex-A72, one thread; None where nothing can emulate it.
    """

    method: str
    backbone: str
    seed: int
    test_accuracy: float
    converted_test_accuracy: float | None
    file_bytes: int | None
    binary_macs: int | None
    float_macs: int | None
    seconds: float
    arm64_instructions: int | None


COLUMNS = tuple(field.name for field in fields(Row))


def sweep(
    configs: Sequence[str],
    *,
    seeds: str | None = None,
    overrides: Sequence[str] = (),
    runs: Path = Path("runs"),
    table: Path | None = None,
    options: Sequence[str] = (),
    convert: bool = True,
    arm64_proof: bool = True,
    progress: SweepProgress,
) -> dict[str, Any]:
    """Run every config with every seed ("0,1,2"; None: the config's own) and write `table` after each of them.

    A config written NAME@0,1,2 has seeds of its own. `options` are options of the methods that the table shows as
    further columns; `arm64_proof` as in `convert_source`. Returns {"csv": path, "options": [...], "rows": [...],
    "failed": [{"run", "reason"}, ...]}; one that fails does not stop the others. Raises LarqnetsError before anything is
    trained when a config, an option, the seeds, a run's name or the table is wrong, or another process writes the table,
    and TrainingInterruptedError after SIGINT or SIGTERM.
    """
    planned = plan(configs, seeds, overrides, runs)
    for p in planned:
        if p.experiment.task.kind != TaskConfig.kind:
            raise LarqnetsError(
                f"{p.config} is an experiment for {p.experiment.task.kind}, and the table of a sweep compares accuracies. "
                "Train it with `larqnets train`."
            )
    chosen = {p.run: option_values(p.experiment, options) for p in planned}
    table = table or runs / "sweep.csv"
    _check_table(table, options)
    with locked(table):
        return _fill(table, planned, chosen, overrides, options, convert, arm64_proof, progress)


def _fill(
    table: Path,
    planned: Sequence[Planned],
    chosen: Mapping[Path, dict[str, Any]],
    overrides: Sequence[str],
    options: Sequence[str],
    convert: bool,
    arm64_proof: bool,
    progress: SweepProgress,
) -> dict[str, Any]:
    """Do what `sweep` does, which has planned it and keeps other processes from the table."""
    counting = convert and _can_count(progress)
    rows = {p.run: row for p in planned if (row := _finished(p, convert, counting)) is not None}
    failed: list[dict[str, str]] = []

    def lines() -> list[dict[str, Any]]:
        return [asdict(rows[p.run]) | chosen[p.run] for p in planned if p.run in rows]

    _write(table, lines(), options)
    for number, p in enumerate(planned, 1):
        progress.experiment(number, len(planned), p.run.name)
        if p.run in rows:
            progress.note(f"{p.run} is finished: {_words(rows[p.run])}.")
            continue
        try:
            rows[p.run] = _run(p, overrides, convert, arm64_proof, counting, progress)
        except TrainingInterruptedError as error:
            raise TrainingInterruptedError(
                f"Stopped in {p.run.name}, experiment {number} of {len(planned)}, with a checkpoint. "
                "Give the same command again to go on."
            ) from error
        except LarqnetsError as error:
            failed.append({"run": str(p.run), "reason": str(error)})
        except Exception as error:
            # A defect in one of many experiments must not cost the night that the others need.
            reason = (str(error).strip().splitlines() or ["no message"])[0]
            failed.append({"run": str(p.run), "reason": f"{type(error).__name__}: {reason} (not foreseen)"})
        else:
            progress.note(f"{p.run}: {_words(rows[p.run])}.")
            _write(table, lines(), options)
            continue
        progress.note(f"{p.run} failed: {failed[-1]['reason']}")
    return {"csv": str(table), "options": list(options), "rows": lines(), "failed": failed}


def _can_count(progress: SweepProgress) -> bool:
    """Return whether instructions on ARM64 can be counted here, and tell why not."""
    try:
        qemu_command()
        if find_bundle() is None:
            raise LarqnetsError("The ARM64 runtime is not built yet. Build it with `larqnets runtime build`.")
    except LarqnetsError as error:
        progress.note(f"arm64_instructions stays empty: {error}")
        return False
    return True


def _run(
    p: Planned, overrides: Sequence[str], convert: bool, arm64_proof: bool, counting: bool, progress: SweepProgress
) -> Row:
    tf.keras.backend.clear_session()  # the graphs of the experiment before, which would pile up
    launch(
        p.config,
        name=p.run.name,
        runs=p.run.parent,
        overrides=overrides,
        resume=p.run.exists(),
        seed=p.seed,
        progress=progress,
    )
    if convert and _converted_file(Run.open(p.run)) is None:
        manifest = convert_source(p.run, TARGET, arm64_proof=arm64_proof, on_stage=progress.stage)
        progress.note(manifest["proof"]["line"])
        run = Run.open(p.run)
        if run.card["converted_test_images"] < run.card["images"]["num_test"]:
            # The conversion looks at a sample of a large test set.
            progress.stage("evaluate")
            result = evaluate_subject(p.run / TARGET / manifest["file"])
            run.update_card(converted_test_accuracy=result["accuracy"], converted_test_images=result["images"])
    if counting and (file := _converted_file(run := Run.open(p.run))) is not None and _counted(run, file) is None:
        progress.stage("count")
        instructions = count(file, CPUS[0], per_op=False).instructions
        run.update_card(arm64={"instructions": instructions, "cpu": CPUS[0], "file_sha256": _sha256(file)})
    row = _finished(p, convert, counting)
    assert row is not None, p.run
    return row


def _finished(p: Planned, convert: bool, counting: bool) -> Row | None:
    """Return the row of an experiment that needs nothing more, else None."""
    if not p.run.exists():
        return None
    run = Run.open(p.run)
    if run.card["status"] != "trained":
        return None
    measured: tuple[Any, Any, Any, Any] = (None, None, None, None)
    instructions = None
    if convert:
        file = _converted_file(run)
        if file is None:
            return None
        instructions = _counted(run, file)
        if counting and instructions is None:
            return None
        totals = inspect_model(file).totals
        measured = (
            run.card["converted_test_accuracy"],
            totals["file_bytes"],
            totals["binary"]["macs"],
            totals["float"]["macs"],
        )
    card = run.card
    return Row(
        card["method"], card["backbone"], card["seed"], card["test_accuracy"], *measured, card["seconds"], instructions
    )


def _counted(run: Run, file: Path) -> int | None:
    """Return the instructions that were counted for the file, None where none were."""
    counted = run.card.get("arm64") or {}
    return counted["instructions"] if counted.get("file_sha256") == _sha256(file) else None


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _converted_file(run: Run) -> Path | None:
    """Return the file converted from the run's final weights and measured on its whole test set, None without one."""
    folder = run.path / TARGET
    try:
        manifest = read_json(folder / "manifest.json")
        file = folder / manifest["file"]
        entry = manifest["files"][file.stem]
        source = manifest["source"]
        current = (
            _sha256(file) == entry["sha256"]
            and source["run"]["epochs_done"] == run.card["epochs_done"]
            and source["preprocess"]["dataset"] == run.card["images"]["name"]
            and run.card["converted_test_images"] == run.card["images"]["num_test"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none, or half a one: it is converted again
    return file if current else None


def _check_table(path: Path, options: Sequence[str]) -> None:
    """Raise LarqnetsError when the table cannot be written, or would replace a file that is no such table."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        header = read_text(path).partition("\n")[0].strip() if path.is_file() else ""
        # A table that an earlier version wrote has fewer columns.
        if header and header not in (",".join([*COLUMNS, *options]), ",".join(COLUMNS), ",".join(COLUMNS[:-1])):
            raise LarqnetsError(f"{path} is there and is not the table of a sweep. Choose another file with --csv.")
    except ValueError as error:
        raise LarqnetsError(f"{path} is there and is not a CSV file. Choose another file with --csv.") from error
    except OSError as error:
        raise cannot_write(path, error) from error


def _write(path: Path, lines: list[dict[str, Any]], options: Sequence[str]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *options], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_atomically(path, text.getvalue())


def _words(row: Row) -> str:
    trained = f"test accuracy {row.test_accuracy:.2%}"
    if row.converted_test_accuracy is None:
        return trained
    return f"{trained}, converted {row.converted_test_accuracy:.2%}, {row.file_bytes:,} bytes"
