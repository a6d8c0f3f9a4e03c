"""Commands that train: one experiment, or many. `larqnets.cli.main` takes them in."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from larqnets import LarqnetsError
from larqnets.cli import completion, short_forms
from larqnets.cli.command import RESEARCH, TRAIN, Arm64Proof, Json, Overwrite, Set, needs_training_extra, show, verb
from larqnets.errors import printable
from larqnets.files import check_folder

app = typer.Typer()


@verb(
    app,
    TRAIN,
    "larqnets train digits",
    "larqnets train my.toml --name wide --set model.width=2",
    "larqnets train --resume runs/wide",
    "larqnets train my.toml --init-from runs/wide",
    "larqnets train digits --init-from model:digits --epochs 5",
    "larqnets train photos.toml --init-from zoo:quicknet --set model.method=published --set model.backbone=zoo:quicknet",
)
def train(
    config: Annotated[
        str,
        typer.Argument(
            autocompletion=completion.configs_and_runs, help="A config's name or path; with --resume also a run folder."
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="Name of the run. Default: CONFIG-seedN, then CONFIG-seedN-2.")
    ] = None,
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    overrides: Set = None,
    epochs: short_forms.Epochs = None,
    batch_size: short_forms.BatchSize = None,
    lr: short_forms.Rate = None,
    data: short_forms.Data = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, data order and augmentation.")] = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            metavar="RUN|FILE|model:NAME|zoo:NAME|keras:NAME",
            autocompletion=completion.runs,
            help="Start from the weights of this run, Keras file, .npz, .safetensors or .pt, of this shipped model, or of this published network; what does not fit begins anew.",
        ),
    ] = None,
    init_weights: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Weights of --init-from keras:NAME that Keras wrote. Default: it downloads ImageNet's."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run where its last checkpoint stands.")
    ] = False,
    overwrite: Overwrite = False,
    strategy: Annotated[
        str | None, typer.Option(help="mirrored: all GPUs of this machine; multiworker: the machines in TF_CONFIG.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train the experiment of CONFIG into runs/NAME."""
    from larqnets.cli import preflight
    from larqnets.runs.names import Order

    set_to = short_forms.settings([config], overrides, epochs, batch_size, lr, data, resume=resume)
    order = Order(config, name, runs, set_to, init_from, init_weights, resume, seed, strategy, overwrite)
    preflight.check_train(order)
    launch = needs_training_extra("larqnets.training.launch").launch
    from larqnets.cli.reporters import StepsReporter
    from larqnets.training.distribution import WorkerLostError

    try:
        with StepsReporter() as reporter:
            run = launch(order, reporter)
    except WorkerLostError as error:
        # TensorFlow cannot mend a cluster within a process, so this one starts anew and waits for the others.
        print(f"larqnets: {printable(str(error))} This one starts again by itself.", file=sys.stderr, flush=True)
        again = [argument for argument in sys.orig_argv[1:] if argument != "--overwrite"]  # it has been done
        os.execv(sys.executable, [sys.executable, *again, *([] if resume else ["--resume"])])
    from larqnets.cli.tables import training

    show({**run.card.document, "run": str(run.path)}, lambda: training.card(run.card, run.path), as_json)


@verb(
    app,
    RESEARCH,
    "larqnets sweep digits digits_real --seeds 0,1,2 --csv results/digits.csv",
    "larqnets sweep digits_irnet digits_sdbnn --columns t_min --csv t.csv",
)
def sweep(
    configs: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG...",
            autocompletion=completion.configs,
            help="Names or paths of configs; NAME@0,1,2 with its own seeds.",
        ),
    ],
    seeds: Annotated[str | None, typer.Option(help="Seeds for each of them: 0,1,2. Default: the config's.")] = None,
    overrides: Set = None,
    epochs: short_forms.Epochs = None,
    batch_size: short_forms.BatchSize = None,
    lr: short_forms.Rate = None,
    data: short_forms.Data = None,
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    table: Annotated[Path | None, typer.Option("--csv", help="The table. Default: RUNS/sweep.csv.")] = None,
    columns: Annotated[
        str, typer.Option(help="Options of the method as further columns of the table, e.g. variant,k.")
    ] = "",
    convert: Annotated[bool, typer.Option("--convert/--no-convert", help="Convert and evaluate every run.")] = True,
    arm64_proof: Arm64Proof = True,
    as_json: Json = False,
) -> None:
    """Train, convert and evaluate experiments one after another into a CSV; given again, it goes on where it was."""
    from larqnets.studies.sweep_plan import config_and_seeds, option_values, plan

    options = columns.split(",") if columns else ()
    set_to = short_forms.settings(
        [config_and_seeds(entry)[0] for entry in configs], overrides, epochs, batch_size, lr, data
    )
    for planned in plan(configs, seeds, set_to, runs):
        option_values(planned.experiment, options)
    check_folder((table or runs / "sweep.csv").parent)
    run_sweep = needs_training_extra("larqnets.studies.sweep").sweep
    from larqnets.cli.reporters import StepsReporter
    from larqnets.cli.tables import studies

    with StepsReporter() as reporter:
        result = run_sweep(
            configs,
            seeds=seeds,
            overrides=set_to,
            runs=runs,
            table=table,
            options=options,
            convert=convert,
            arm64_proof=arm64_proof,
            reporter=reporter,
        )
    show(result, lambda: studies.sweep(result), as_json)
    if failed := result["failed"]:
        count = len(failed) + len(result["rows"])
        reasons = " ".join(f"{entry['run']}: {entry['reason']}" for entry in failed)
        raise LarqnetsError(f"{len(failed)} of {count} experiments failed. {reasons}")
