"""`larqnets decompose compare`: all methods at about 3, 4, 5 and 6 bits on given networks, into one table.

Every kernel is decomposed, first and last layer included, and no small layer is protected: so the methods are compared,
not their exceptions. Only where a method is not defined for a kernel (cbd in paper mode for depthwise and tiny ones) the
kernel is int8. Integers are kept within int8. "found" is a step for every layer, see `steps`. The codes of a record do
not depend on the method that made the integers, so methods are compared fairly by `container_bytes`. The table is
written after every row; given again, the command goes on. A picture is drawn beside it.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from larqnets import pictures
from larqnets.data import reading_errors
from larqnets.decompose import LayerResult, Settings, container_bytes, deflate_bytes
from larqnets.errors import LarqnetsError
from larqnets.post_training import network as net
from larqnets.post_training.decomposed_run import totals
from larqnets.post_training.steps import find_settings
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.subject import Subject, open_subject
from larqnets.studies.decompose_rows import ComparisonRow, Point, cells, comparison_table, draw_rows, points, read_rows
from larqnets.training.evaluation import Evaluator, images_at_once

BATCH = 500


def compare_methods(
    sources: Sequence[str],
    table: Path,
    only: str = "*",
    data_dir: str | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, Any]:
    """Fill `table` with a row for every network and point whose "METHOD SETTING" matches the shell glob `only`.

    Rows that are there already are kept. Returns {"csv", "picture", "score", "rows"}. Raises LarqnetsError for a table that
    is none of ours or that another process writes, a pattern that matches nothing, networks that are ranked by several
    scores, or one that cannot be measured.
    """
    pictures.check_can_draw()
    wanted = {key: point for key, point in points().items() if fnmatchcase(" ".join(key), only)}
    if not wanted:
        methods = sorted({method for method, _ in points()})
        raise LarqnetsError(
            f"Nothing that is compared is called '{only}'. Methods are {', '.join(methods)}; try 'cbd*'."
        )
    names = [Path(source).resolve().name for source in sources]
    if len(set(names)) < len(names):
        raise LarqnetsError(
            "Two of the networks have the same name, which is that of their rows. Give one run another name."
        )
    score = _common_score(sources)
    with comparison_table(score).filling(table, f"a table of this command with test_{score}"):
        rows = read_rows(table, score)
        return _fill(table, rows, dict(zip(sources, names, strict=True)), wanted, score, data_dir, reporter)


def _common_score(sources: Sequence[str]) -> str:
    """Return the score that ranks all networks; raises LarqnetsError where they have several."""
    scores = {open_subject(source).task.headline: source for source in sources}
    if len(scores) > 1:
        (one, source), (other, another), *_ = scores.items()
        raise LarqnetsError(
            f"{source} is ranked by {one} and {another} by {other}, which no table compares. Give them to two commands."
        )
    return next(iter(scores))


def _fill(
    table: Path,
    rows: dict[tuple[str, str, str], ComparisonRow],
    names: Mapping[str, str],
    wanted: Mapping[tuple[str, str], Point],
    score: str,
    data_dir: str | None,
    reporter: Reporter,
) -> dict[str, Any]:
    """Do what `compare` does, which has read the table and keeps other processes from it."""
    for source, name in names.items():
        subject = open_subject(source, data_dir=data_dir)
        missing = {key: value for key, value in wanted.items() if (name, *key) not in rows}
        reporter.line(f"{name}: {len(missing)} of {len(wanted)} rows to measure.")
        if missing:
            for row in _measure(subject, name, missing, reporter):
                rows[row.key] = row
                comparison_table(score).write(table, [cells(row, score) for row in rows.values()])
                reporter.line(
                    f"{row.network}, {row.method} {row.setting}: {row.bits_per_weight:.2f} bits, test {score} "
                    f"{row.test_score:.2%}."
                )
    picture = table.with_suffix(".png")
    pictures.save(draw_rows(rows, score), picture)
    shown = [cells(row, score) for row in rows.values()]
    return {"csv": str(table), "picture": str(picture), "score": score, "rows": shown}


def _measure(
    subject: Subject, name: str, wanted: Mapping[tuple[str, str], Point], reporter: Reporter
) -> Iterator[ComparisonRow]:
    """Yield a row for each setting; reconstructions that are equal are measured once, sizes that no step reaches noted."""
    if (dataset := subject.images) is None:
        raise LarqnetsError(
            f"{name} does not say which images it is for. Make a run of its file: larqnets import FILE --dataset NAME."
        )
    model, task = subject.model, subject.task
    kernels = net.find_kernels(model)
    values = net.float_values(kernels)
    evaluator = Evaluator(model, task, dataset.info, task.loss_of(model))
    batches = dataset.eval_batches("test", images_at_once(model, BATCH))

    def test_score() -> float:
        with reading_errors(dataset):
            scores = evaluator(batches)
        assert scores is not None  # nobody asked to stop
        return scores.scores[task.headline]

    known: dict[str, float] = {}
    float_score = test_score()
    for (method, setting), point in wanted.items():
        begun = time.monotonic()
        chosen: Settings | Mapping[str, Settings] = point.settings
        if point.search is not None:
            net.assign(kernels, values)
            try:
                chosen, _ = find_settings(subject, kernels, point.settings, point.search)
            except LarqnetsError as error:
                reporter.line(f"{name}, {method} {setting}: left out. {error}")
                continue
        results = net.decompose(kernels, chosen, values=values)
        seconds = time.monotonic() - begun
        digest = _digest(results)
        if digest not in known:
            net.assign(kernels, net.reconstructions(results))
            known[digest] = test_score()
        sums = totals(results, model.count_params())
        yield ComparisonRow(
            network=name,
            method=method,
            setting=setting,
            bits_per_weight=round(sums["bits_per_weight"], 4),
            file_bits_per_weight=round(sums["file_bits_per_weight"], 4),
            deflate_bytes=_total([deflate_bytes(result) for result in results.values()]),
            container_bytes=_total([container_bytes(result) for result in results.values()]),
            test_score=known[digest],
            float_score=float_score,
            seconds=round(seconds, 2),
        )


def _total(sizes: Sequence[int | None]) -> int | None:
    """Return the sum of the sizes of all layers, None where one has none."""
    there = [size for size in sizes if size is not None]
    return sum(there) if len(there) == len(sizes) else None


def _digest(results: Mapping[str, LayerResult]) -> str:
    digest = hashlib.sha256()
    for result in results.values():
        digest.update(result.values.tobytes())
    return digest.hexdigest()
