"""What a training made, as tables for people."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from larqnets.cli.tables.facts import facts
from larqnets.runs.card import Card, StageResult, score_of
from larqnets.runs.history import history_of, history_words, tells_more


def card(of: Card, path: Path) -> list[Any]:
    """The result of a training run."""
    history = history_of(of)
    shown = {
        "run": path,
        "network": f"{of.method} on {of.backbone}, {of.parameters or 0:,} parameters",
        f"test_{of.headline}": None if of.score is None else f"{of.score:.2%}",
        "epochs": of.epochs_done,
        **_kept(of),
        **_stages(of.stages, of.headline),
        **({} if of.transfer is None else {"began with": f"{of.transfer.words()} of {of.init_from}"}),
        **({"descends from": history_words(history)} if tells_more(history) else {}),
        "time": f"{of.seconds:.0f} s",
    }
    if of.paper is not None:
        shown["paper's accuracy"] = f"{of.paper.test_accuracy:.2%} ({of.paper.title})"
        if of.paper.gap is not None:
            shown["gap to the paper"] = f"{100 * of.paper.gap:+.2f} points"
    int8 = " --int8 mixed" if of.stages and of.stages[-1].int8_rest else ""
    return [facts(shown), f"Next: larqnets convert {path} --target arm64{int8}"]


def _kept(of: Card) -> dict[str, str]:
    """Which epoch's weights these are, of a run with validation images."""
    if of.chosen is None:
        return {}
    how = "the last" if of.chosen.keep == "last" else "the best by validation"
    return {
        "weights": f"of epoch {of.chosen.epoch}, {how}",
        f"validation_{of.headline}": f"{of.validation_score or 0:.2%}",
    }


def _stages(stages: Sequence[StageResult], name: str) -> dict[str, str]:
    """A line per stage of a run that has several."""
    if len(stages) < 2:
        return {}
    return {f"stage {i}": _stage(stage, name) for i, stage in enumerate(stages, 1) if stage.seconds is not None}


def _stage(stage: StageResult, name: str) -> str:
    words = f"{stage.name}: {stage.epochs_done} epochs, {stage.seconds or 0:.0f} s"
    if stage.start_rate is not None:
        words += f", learning rate from {stage.start_rate:g}"
    if stage.chosen is not None and name in stage.chosen.validation_scores:
        words += f", validation {name} {stage.chosen.validation_scores[name]:.2%}"
    score = score_of(stage.scores, stage.test_accuracy, name)
    return words if score is None else f"{words}, test {name} {score:.2%}"
