"""Which experiments a sweep is made of; needs no TensorFlow, so that a typo is told at once."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from larqnets.config import Experiment, load_config
from larqnets.errors import LarqnetsError
from larqnets.files import check_folder
from larqnets.method_options import no_option, read_options
from larqnets.runs.names import check_experiment
from larqnets.runs.run import Run, default_name
from larqnets.runs.settled import settled_as
from larqnets.tasks import get_task


@dataclass(frozen=True)
class Planned:
    """One experiment of a sweep, and how `launch` is asked for it."""

    config: str
    seed: int
    run: Path
    experiment: Experiment


def config_and_seeds(entry: str) -> tuple[str, str | None]:
    """Return config and seeds of NAME@0,1,2; None where it says no seeds."""
    found = re.fullmatch(r"(.+)@([\d,]+)", entry)
    return (entry, None) if found is None else (found[1], found[2])


def plan(configs: Sequence[str], seeds: str | None, overrides: Sequence[str], runs: Path) -> list[Planned]:
    """Return the experiments in the order of the configs, each with all its seeds; raises LarqnetsError as `sweep` does."""
    check_folder(runs)
    planned: dict[Path, Planned] = {}
    for entry in configs:
        config, own = config_and_seeds(entry)
        chosen = own or seeds
        experiment = load_config(config, overrides)
        for seed in [experiment.seed] if chosen is None else _parse_seeds(chosen):
            run = runs / default_name(Path(config).stem, seed)
            if run in planned:
                raise LarqnetsError(
                    f"Two experiments of the sweep would be the run {run}: {planned[run].config} and {config}, seed "
                    f"{seed}. Leave one out, or give its config file another name."
                )
            planned[run] = Planned(config, seed, run, replace(experiment, seed=seed))
    for p in planned.values():
        if not p.run.exists():
            check_experiment(p.experiment)
        elif (done := Run.open(p.run).experiment).placed() != settled_as(p.experiment, done).placed():
            raise LarqnetsError(
                f"The run {p.run} exists already and was started with another config than this sweep gives it. Choose "
                "another folder with --runs, or delete that run."
            )
    return list(planned.values())


def common_score(planned: Sequence[Planned]) -> str:
    """Return the score that ranks the networks of all experiments; raises LarqnetsError where they have several."""
    scores = {get_task(p.experiment.task).headline: p.config for p in planned}
    if len(scores) > 1:
        (one, config), (other, another), *_ = scores.items()
        raise LarqnetsError(
            f"{config} is ranked by {one} and {another} by {other}, which one table does not compare. Sweep them apart."
        )
    return next(iter(scores))


def option_values(experiment: Experiment, names: Sequence[str]) -> dict[str, Any]:
    """Return the values of options of the experiment's method; raises LarqnetsError for one that it does not have."""
    method = experiment.model.method
    values = asdict(read_options(method, experiment.model.options))
    for name in names:
        if name not in values:
            raise no_option(method, name, values, " to make a column of")
    return {name: values[name] for name in names}


def _parse_seeds(text: str) -> list[int]:
    try:
        seeds = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise LarqnetsError(f"The seeds '{text}' are no list of numbers. Write e.g. --seeds 0,1,2.") from error
    if min(seeds) < 0 or max(seeds) >= 2**31:
        raise LarqnetsError(f"The seeds '{text}' have one outside 0 to 2147483647. Write e.g. --seeds 0,1,2.")
    return list(dict.fromkeys(seeds))
