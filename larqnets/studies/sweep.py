"""`larqnets sweep`: experiments one after another, each trained, converted and measured on the test set, into one table.

Nothing is remembered beside the runs themselves: what is finished is read from their cards and manifests, so a sweep
that was killed goes on where it was when the same command is given again.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from android_bench.emulation.emulator import CPUS, qemu_command
from android_bench.emulation.qemu import count
from android_bench.runtime.bundle import find_bundle
from deploy.convert.sources import convert_source
from deploy.proof.check import evaluate_subject
from deploy.targets import TARGETS
from larqnets.csv_table import CsvTable
from larqnets.documents import read_json
from larqnets.errors import LarqnetsError
from larqnets.manifest import sha256
from larqnets.reporter import Reporter
from larqnets.runs.card import Card
from larqnets.runs.names import Order
from larqnets.runs.run import Run
from larqnets.studies.sweep_plan import Planned, common_score, option_values, plan
from larqnets.studies.sweep_table import SweepRow, cells, earlier_tables, sweep_table, validation_column
from larqnets.tflite.inspect import inspect_model
from larqnets.training import TrainingInterruptedError
from larqnets.training.launch import launch

TARGET = TARGETS[0]


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
    reporter: Reporter,
) -> dict[str, Any]:
    """Run every config with every seed ("0,1,2"; None: the config's own) and write `table` after each of them.

    A config written NAME@0,1,2 has seeds of its own. `options` are options of the methods that the table shows as
    further columns; `arm64_proof` as in `convert_source`. Returns {"csv": path, "score": name, "options": [...], "rows": [...],
    "failed": [{"run", "reason"}, ...]}, and where validation images are kept "chosen", the best run by them; one that fails
    does not stop the others. Raises LarqnetsError before anything is
    trained when a config, an option, the seeds, a run's name or the table is wrong, or another process writes the table,
    and TrainingInterruptedError after SIGINT or SIGTERM.
    """
    planned = plan(configs, seeds, overrides, runs)
    score = common_score(planned)
    chosen = {p.run: option_values(p.experiment, options) for p in planned}
    table = table or runs / "sweep.csv"
    columns = sweep_table(score, validated=_keep_validation(planned)).with_texts(options)
    with columns.filling(table, "the table of a sweep", earlier_tables(score)):
        return _fill(table, columns, planned, score, chosen, overrides, options, convert, arm64_proof, reporter)


def _fill(
    table: Path,
    columns: CsvTable,
    planned: Sequence[Planned],
    score: str,
    chosen: Mapping[Path, dict[str, Any]],
    overrides: Sequence[str],
    options: Sequence[str],
    convert: bool,
    arm64_proof: bool,
    reporter: Reporter,
) -> dict[str, Any]:
    """Do what `sweep` does, which has planned it and keeps other processes from the table."""
    validated = _keep_validation(planned)
    counting = convert and _can_count(reporter)
    rows = {p.run: row for p in planned if (row := _finished(p, convert, counting)) is not None}
    failed: list[dict[str, str]] = []

    def lines() -> list[dict[str, Any]]:
        return [cells(rows[p.run], score, validated=validated) | chosen[p.run] for p in planned if p.run in rows]

    columns.write(table, lines())
    for number, p in enumerate(planned, 1):
        reporter.part(number, len(planned), p.run.name)
        if p.run in rows:
            reporter.line(f"{p.run} is finished: {_words(rows[p.run], score)}.")
            continue
        try:
            rows[p.run] = _run(p, overrides, convert, arm64_proof, counting, reporter)
        except TrainingInterruptedError as error:
            raise TrainingInterruptedError(
                f"Stopped in {p.run.name}, experiment {number} of {len(planned)}, with a checkpoint. "
                "Give the same command again to go on.",
                error.number,
            ) from error
        except LarqnetsError as error:
            failed.append({"run": str(p.run), "reason": str(error)})
        except Exception as error:
            # A defect in one of many experiments must not cost the night that the others need.
            reason = (str(error).strip().splitlines() or ["no message"])[0]
            failed.append({"run": str(p.run), "reason": f"{type(error).__name__}: {reason} (not foreseen)"})
        else:
            reporter.line(f"{p.run}: {_words(rows[p.run], score)}.")
            columns.write(table, lines())
            continue
        reporter.line(f"{p.run} failed: {failed[-1]['reason']}")
    result = {"csv": str(table), "score": score, "options": list(options), "rows": lines(), "failed": failed}
    return result | ({"chosen": _chosen(planned, rows, score)} if validated else {})


def _keep_validation(planned: Sequence[Planned]) -> bool:
    return any(p.experiment.data.keeps_validation for p in planned)


def _chosen(planned: Sequence[Planned], rows: Mapping[Path, SweepRow], score: str) -> dict[str, Any]:
    """Return the run with the best score on the validation images and what it scores, or why none can be named."""
    found = [(p, rows[p.run]) for p in planned if p.run in rows and rows[p.run].validation_score is not None]
    data = (p.experiment.data for p, _ in found)
    kept = {(d.dataset, d.validation, d.own_validation, d.split_seed) for d in data}
    if len(kept) != 1 or len(found) < len(rows):
        return {"run": None, "reason": "not all of them have the same validation images"}
    best, row = max(found, key=lambda entry: entry[1].validation_score or 0.0)
    return {"run": str(best.run), validation_column(score): row.validation_score, f"test_{score}": row.score}


def _can_count(reporter: Reporter) -> bool:
    """Return whether instructions on ARM64 can be counted here, and tell why not."""
    try:
        qemu_command()
        if find_bundle() is None:
            raise LarqnetsError("The ARM64 runtime is not built yet. Build it with `larqnets runtime build`.")
    except LarqnetsError as error:
        reporter.line(f"arm64_instructions stays empty: {error}")
        return False
    return True


def _run(
    p: Planned, overrides: Sequence[str], convert: bool, arm64_proof: bool, counting: bool, reporter: Reporter
) -> SweepRow:
    tf.keras.backend.clear_session()  # the graphs of the experiment before, which would pile up
    launch(Order(p.config, p.run.name, p.run.parent, overrides, resume=p.run.exists(), seed=p.seed), reporter)
    if convert and _converted_file(Run.open(p.run)) is None:
        manifest = convert_source(p.run, TARGET, arm64_proof=arm64_proof, reporter=reporter)
        reporter.line(manifest["proof"]["line"])
        run = Run.open(p.run)
        if not _measured_whole(run.card):
            # The conversion looks at a sample of a large test set.
            reporter.stage("evaluate")
            result = evaluate_subject(p.run / TARGET / manifest["file"])
            scores = {name: result[name] for name in run.card.scores}
            accuracy = {"converted_test_accuracy": scores["accuracy"]} if "accuracy" in scores else {}
            run.update_card(**accuracy, converted_scores=scores, converted_test_images=result["images"])
    if counting and (file := _converted_file(run := Run.open(p.run))) is not None and _counted(run, file) is None:
        reporter.stage("count")
        instructions = count(file, CPUS[0], per_op=False).instructions
        run.update_card(arm64={"instructions": instructions, "cpu": CPUS[0], "file_sha256": sha256(file)})
    row = _finished(p, convert, counting)
    assert row is not None, p.run
    return row


def _finished(p: Planned, convert: bool, counting: bool) -> SweepRow | None:
    """Return the row of an experiment that needs nothing more, else None."""
    if not p.run.exists():
        return None
    run = Run.open(p.run)
    card = run.card
    if card.status != "trained" or card.score is None:
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
            card.converted_score,
            totals["file_bytes"],
            totals["binary"]["macs"],
            totals["float"]["macs"],
        )
    scores = card.validation_score, card.score
    return SweepRow(card.method, card.backbone, card.seed, *scores, *measured, card.seconds, instructions)


def _counted(run: Run, file: Path) -> int | None:
    """Return the instructions that were counted for the file, None where none were."""
    counted = run.card.arm64
    return counted.instructions if counted is not None and counted.file_sha256 == sha256(file) else None


def _measured_whole(card: Card) -> bool:
    """Return whether the converted file was measured on the whole test set of the run's images."""
    return card.images is not None and card.converted_test_images == card.images.num_test


def _converted_file(run: Run) -> Path | None:
    """Return the file converted from the run's final weights and measured on its whole test set, None without one."""
    folder = run.path / TARGET
    try:
        manifest = read_json(folder / "manifest.json")
        file = folder / manifest["file"]
        entry = manifest["files"][file.stem]
        source = manifest["source"]
        current = (
            sha256(file) == entry["sha256"]
            and source["run"]["epochs_done"] == run.card.epochs_done
            and run.card.images is not None
            and source["preprocess"]["dataset"] == run.card.images.name
            and _measured_whole(run.card)
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none, or half a one: it is converted again
    return file if current else None


def _words(row: SweepRow, score: str) -> str:
    trained = f"test {score} {row.score:.2%}"
    if row.converted_score is None:
        return trained
    return f"{trained}, converted {row.converted_score:.2%}, {row.file_bytes:,} bytes"
