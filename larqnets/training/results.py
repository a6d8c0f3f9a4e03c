"""What a card says that a training did and measured, from the rows of its finished epochs."""

from collections.abc import Sequence
from typing import Any

from larqnets.config import Experiment
from larqnets.tasks import Metric
from larqnets.training.choosing import Choice, chosen
from larqnets.training.metrics import MetricsRow, results_of, scores_of
from larqnets.training.stages import Stage


def run_results(
    experiment: Experiment, stages: Sequence[Stage], rows: Sequence[MetricsRow], metric: Metric
) -> dict[str, Any]:
    """Return the results of the weights that the run has now; the gap is ours minus the paper's, as a fraction."""
    results: dict[str, Any] = {"stages": _stage_results(experiment, stages, rows, metric)}
    if not rows:
        return results
    (current,) = (stage.index for stage in stages if stage.config.name == rows[-1]["stage"])
    results |= _measured(experiment, stages[: current + 1], rows, metric)
    scores = results.pop("scores")
    results |= {"headline": metric.names[0], "scores": scores}
    paper = experiment.paper
    if paper.test_accuracy is not None and results.get("test_accuracy") is not None:
        gap = round(results["test_accuracy"] - paper.test_accuracy, 6)
        results["paper"] = {"title": paper.title, "test_accuracy": paper.test_accuracy, "gap": gap}
    return results


def _stage_results(
    experiment: Experiment, stages: Sequence[Stage], rows: Sequence[MetricsRow], metric: Metric
) -> list[dict[str, Any]]:
    """Return what each stage was and did."""
    results, before = [], 0.0
    for stage in stages:
        mine = rows[stage.first_epoch : stage.last_epoch]
        entry = {"name": stage.config.name, "precision": stage.config.precision, "epochs_done": len(mine)}
        if stage.config.teacher:
            entry["teacher"] = stage.config.teacher
        if stage.config.int8_rest:
            entry["int8_rest"] = True
        if stage.config.extends:
            entry["start_rate"] = stage.config.learning_rate
        if mine:
            entry |= {"seconds": round(mine[-1]["seconds"] - before, 2)}
            entry |= _measured(experiment, stages[: stage.index + 1], rows, metric)
            before = mine[-1]["seconds"]
        results.append(entry)
    return results


def _measured(
    experiment: Experiment, stages: Sequence[Stage], rows: Sequence[MetricsRow], metric: Metric
) -> dict[str, Any]:
    """Return what was measured of the weights that the last of these stages keeps."""
    row = Choice(metric.names[0]).kept(stages, rows)
    assert row is not None  # an epoch of it is finished
    found = {name: row[name] for name in results_of(metric)} | {"scores": scores_of(row)}
    return found | ({"chosen": chosen(row, stages[-1].config.keep)} if experiment.data.keeps_validation else {})
