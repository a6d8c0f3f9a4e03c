"""What a training made, as tables for people."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from larqnets.cli.tables.facts import facts
from larqnets.runs.card import Card, StageResult, score_of


def card(of: Card, path: Path) -> list[Any]:
    """The result of a training run."""
    shown = {
        "run": path,
        "network": f"{of.method} on {of.backbone}, {of.parameters or 0:,} parameters",
        f"test_{of.headline}": None if of.score is None else f"{of.score:.2%}",
        "epochs": of.epochs_done,
        **_stages(of.stages, of.headline),
        **({} if of.transfer is None else {"began with": f"{of.transfer.words()} of {of.init_from}"}),
        "time": f"{of.seconds:.0f} s",
    }
    if of.paper is not None:
        shown["paper's accuracy"] = f"{of.paper.test_accuracy:.2%} ({of.paper.title})"
        if of.paper.gap is not None:
            shown["gap to the paper"] = f"{100 * of.paper.gap:+.2f} points"
    return [facts(shown), f"Next: larqnets convert {path} --target arm64"]


def _stages(stages: Sequence[StageResult], name: str) -> dict[str, str]:
    """A line per stage of a run that has several."""
    if len(stages) < 2:
        return {}
    scores = [score_of(stage.scores, stage.test_accuracy, name) for stage in stages]
    return {
        f"stage {i}": f"{stage.name}: {stage.epochs_done} epochs, {stage.seconds:.0f} s, test {name} {score:.2%}"
        for i, (stage, score) in enumerate(zip(stages, scores, strict=True), 1)
        if stage.seconds is not None and score is not None
    }
