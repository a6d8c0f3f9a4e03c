"""What a training made, as tables for people."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from larqnets.cli.tables.facts import facts
from larqnets.runs.card import Card, StageResult


def card(of: Card, path: Path) -> list[Any]:
    """The result of a training run."""
    shown = {
        "run": path,
        "network": f"{of.method} on {of.backbone}, {of.parameters or 0:,} parameters",
        "test_accuracy": of.test_accuracy,
        "epochs": of.epochs_done,
        **_stages(of.stages),
        "time": f"{of.seconds:.0f} s",
    }
    if of.paper is not None:
        shown["paper's accuracy"] = f"{of.paper.test_accuracy:.2%} ({of.paper.title})"
        if of.paper.gap is not None:
            shown["gap to the paper"] = f"{100 * of.paper.gap:+.2f} points"
    return [facts(shown), f"Next: larqnets convert {path} --target arm64"]


def _stages(stages: Sequence[StageResult]) -> dict[str, str]:
    """A line per stage of a run that has several."""
    if len(stages) < 2:
        return {}
    return {
        f"stage {i}": f"{stage.name}: {stage.epochs_done} epochs, {stage.seconds:.0f} s, test accuracy {stage.test_accuracy:.2%}"
        for i, stage in enumerate(stages, 1)
        if stage.seconds is not None and stage.test_accuracy is not None
    }
