"""Commands about many runs: pictures of them, and benches of training. `larqnets.cli.main` takes them in."""

from pathlib import Path
from typing import Annotated

import typer

from larqnets.cli import completion
from larqnets.cli.command import RESEARCH, Json, Set, needs_training_extra, show, verb
from larqnets.files import check_folder, check_output

app = typer.Typer()


@verb(
    app,
    RESEARCH,
    "larqnets curves runs/digits-seed0 runs/digits_real-seed0 -o curves.png",
    "larqnets curves runs/gates --parameters",
)
def curves(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", autocompletion=completion.runs, help="Run folders, finished or not."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture: .png, .svg or .pdf.")] = Path(
        "curves.png"
    ),
    parameters: Annotated[
        bool, typer.Option("--parameters", help="Learned scalars instead: gates of groupnet, factors of elasticlink.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Draw the learning curves of runs into one picture, or how their gates and factors moved."""
    from larqnets.studies.curves import draw_curves, draw_parameters

    check_output(output)
    result = (draw_parameters if parameters else draw_curves)(runs, output)
    show(result, lambda: f"{len(runs)} runs drawn into {output}", as_json)


@verb(
    app,
    RESEARCH,
    "larqnets pareto results/digits.csv -o digits.png",
    "larqnets pareto results/digits.csv --cost binary_macs",
)
def pareto(
    table: Annotated[Path, typer.Argument(help="The CSV that `larqnets sweep` wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The picture: .png, .svg or .pdf.")] = Path(
        "pareto.png"
    ),
    cost: Annotated[str, typer.Option(help="The column against which accuracy is drawn.")] = "arm64_instructions",
    title: Annotated[str, typer.Option(help="Head of the picture.")] = "",
    as_json: Json = False,
) -> None:
    """Compare the methods of a sweep: accuracy over seeds against cost, and which of them no other one beats."""
    from larqnets.cli.tables import studies
    from larqnets.studies import pareto as comparison

    check_output(output)
    result = comparison.pareto(table, output, cost, title)
    show(result, lambda: studies.pareto(result), as_json)


@verb(app, RESEARCH, "larqnets bench-training --case digits --pairs 2", name="bench-training", hidden=True)
def bench_training(
    cases: Annotated[
        list[str] | None, typer.Option("--case", help="cifar10, cifar10_mixed, digits. Default: all.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of blocks that count.")] = 8,
    overrides: Set = None,
    out: Annotated[Path, typer.Option("--output", "-o", help="Where the results are written.")] = Path(
        "results/training.json"
    ),
    as_json: Json = False,
) -> None:
    """Measure images per second of our training loop against plain Larq layers in model.fit."""

    check_folder(out.parent)
    result = needs_training_extra("larqnets.studies.bench_training").bench(cases or (), pairs, overrides or (), out)
    from larqnets.cli.tables import studies

    show(result, lambda: studies.bench(result, out), as_json)


@verb(app, RESEARCH, "larqnets bench-groupnet-training --k 3 --turns 2", name="bench-groupnet-training", hidden=True)
def bench_groupnet_training(
    ks: Annotated[list[int] | None, typer.Option("--k", min=1, help="Numbers of branches. Default: 1, 3, 5.")] = None,
    turns: Annotated[int, typer.Option(min=1, help="Turns of every form that count.")] = 9,
    width: Annotated[float, typer.Option(min=1 / 64, help="Width factor of the ResNet-8.")] = 1.0,
    batch: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 128,
    size: Annotated[int, typer.Option(min=8, help="Height and width of the images.")] = 32,
    out: Annotated[Path, typer.Option("--output", "-o", help="Where the results are written.")] = Path(
        "results/groupnet_training.json"
    ),
    as_json: Json = False,
) -> None:
    """Measure speed, memory and tracing of Group-Net's training step with its branches in different forms."""

    check_folder(out.parent)
    bench = needs_training_extra("larqnets.studies.bench_groupnet")
    result = bench.bench(ks or (1, 3, 5), turns, bench.Setting(width=width, batch_size=batch, image_size=size), out)
    from larqnets.cli.tables import studies

    show(result, lambda: studies.bench_groupnet(result, out), as_json)
