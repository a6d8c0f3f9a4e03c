"""The command line: a verb parses its arguments, makes one library call, prints.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 could not, 2 wrong usage, 143 and 129
ended by SIGTERM and SIGHUP. With `--json` stdout carries one JSON value and nothing else. TensorFlow is imported inside
the verbs that need it.
"""

import io
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from larqnets import LarqnetsError, __version__, device_commands, network_commands
from larqnets.command import DataDir, Json, needs_training_extra, show
from larqnets.errors import printable

app = typer.Typer(
    name="larqnets",
    help="Train binary neural networks, convert them to 1-bit TFLite files, prove them equal, run them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(network_commands.app)  # without a name: its commands are ours
app.add_typer(device_commands.app)

_CTRL_C = 130  # what Typer makes of KeyboardInterrupt
_ENDS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_received: list[int] = []  # signals that asked this process to stop

DataName = Annotated[str | None, typer.Option("--dataset", help="Images to use: a data set's name or folder:PATH.")]
Device = Annotated[
    str | None, typer.Option(metavar="NAME", help="Where it runs: qemu, an emulated ARM64. Default: here.")
]
Arm64Proof = Annotated[
    bool,
    typer.Option("--arm64-proof/--no-arm64-proof", help="Prove the files on the ARM64 runtime too, if it is built."),
]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the config.")]


@app.callback(invoke_without_command=True)
def _global(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the Python traceback of an error.")] = False,
) -> None:
    if version:
        print(f"larqnets {__version__}")
        raise typer.Exit


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="A config's name or path; with --resume also a run folder.")],
    name: Annotated[str | None, typer.Option(help="Name of the run. Default: CONFIG-seedN.")] = None,
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    overrides: Set = None,
    seed: Annotated[int | None, typer.Option(help="Seed of weights, data order and augmentation.")] = None,
    init_from: Annotated[Path | None, typer.Option(help="Start from the weights of this run.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run where its last checkpoint stands.")
    ] = False,
    strategy: Annotated[
        str | None, typer.Option(help="mirrored: all GPUs of this machine; multiworker: the machines in TF_CONFIG.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train the experiment of CONFIG into runs/NAME."""
    from larqnets import preflight

    preflight.check_train(config, name, runs, overrides or (), init_from, resume, seed, strategy)
    launch = needs_training_extra("larqnets.training.launch").launch
    from larqnets.training.distribution import WorkerLostError
    from larqnets.training.progress import Terminal

    try:
        with Terminal() as progress:
            run = launch(
                config,
                name=name,
                runs=runs,
                overrides=overrides or (),
                init_from=init_from,
                resume=resume,
                seed=seed,
                strategy=strategy,
                progress=progress,
            )
    except WorkerLostError as error:
        # TensorFlow cannot mend a cluster within a process, so this one starts anew and waits for the others.
        print(f"larqnets: {printable(str(error))} This one starts again by itself.", file=sys.stderr, flush=True)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:], *([] if resume else ["--resume"])])
    from larqnets import tables

    show({**run.card, "run": str(run.path)}, lambda: tables.card(run.card, run.path), as_json)


@app.command()
def sweep(
    configs: Annotated[
        list[str], typer.Argument(metavar="CONFIG...", help="Names or paths of configs; NAME@0,1,2 with its own seeds.")
    ],
    seeds: Annotated[str | None, typer.Option(help="Seeds for each of them: 0,1,2. Default: the config's.")] = None,
    overrides: Set = None,
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
    from deploy.plan import option_values, plan
    from larqnets import preflight

    options = columns.split(",") if columns else ()
    for planned in plan(configs, seeds, overrides or (), runs):
        option_values(planned.experiment, options)
    preflight.check_folder((table or runs / "sweep.csv").parent)
    run_sweep = needs_training_extra("deploy.sweep").sweep
    from larqnets import tables
    from larqnets.training.progress import Terminal

    with Terminal(stages=tables.STAGES) as progress:
        result = run_sweep(
            configs,
            seeds=seeds,
            overrides=overrides or (),
            runs=runs,
            table=table,
            options=options,
            convert=convert,
            arm64_proof=arm64_proof,
            progress=progress,
        )
    show(result, lambda: tables.sweep(result), as_json)
    if failed := result["failed"]:
        count = len(failed) + len(result["rows"])
        reasons = " ".join(f"{entry['run']}: {entry['reason']}" for entry in failed)
        raise LarqnetsError(f"{len(failed)} of {count} experiments failed. {reasons}")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A run folder, or a Keras model file of yours.")],
    target: Annotated[str, typer.Option(help="Device family: arm64.")] = "arm64",
    twins: Annotated[
        bool, typer.Option("--twins", help="Also write the float and int8 version of the network.")
    ] = False,
    twin_run: Annotated[Path | None, typer.Option(help="A run of method `real` whose weights the twins take.")] = None,
    allow_float: Annotated[bool, typer.Option("--allow-float", help="Accept binary layers that become float.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the files. Default: inside the run.")] = None,
    dataset: DataName = None,
    data_dir: DataDir = None,
    arm64_proof: Arm64Proof = True,
    as_json: Json = False,
) -> None:
    """Convert to a 1-bit TFLite file, prove it equal to what was trained, write it with a manifest."""
    from larqnets import preflight

    preflight.check_convert(source, target, twin_run, out, dataset, data_dir)
    sources = needs_training_extra("deploy.sources")
    from larqnets import tables

    with tables.Stages() as stages:
        manifest = sources.convert_source(
            source,
            target,
            twins=twins,
            twin_run=twin_run,
            allow_float=allow_float,
            out=out,
            dataset=dataset,
            data_dir=data_dir,
            arm64_proof=arm64_proof,
            on_stage=stages.stage,
            on_sample=stages.sample,
        )
    show(manifest, lambda: tables.conversion(manifest), as_json)


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="A converted .tflite file.")],
    source: Annotated[
        Path | None, typer.Option(help="The run or Keras file it came from. Default: its own run.")
    ] = None,
    dataset: DataName = None,
    data_dir: DataDir = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Prove again that a file is equal to the model it came from, layer by layer and end to end."""
    from larqnets import preflight

    preflight.check_verify(file, source, dataset, data_dir, device)
    check = needs_training_extra("deploy.check")
    from larqnets import tables

    with tables.Stages() as stages:
        stages.stage("verify")
        result = check.verify_file(file, source, dataset, data_dir, device, on_sample=stages.sample)
    show(result.to_json(), lambda: tables.verification(result.to_json()), as_json)
    if not result.equal:
        raise LarqnetsError(f"{file} is not equal to its model: {'; '.join(result.reasons)}. Convert it again.")


@app.command()
def evaluate(
    subject: Annotated[Path, typer.Argument(help="A run folder or a .tflite file.")],
    split: Annotated[str, typer.Option(help="test or train.")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N images.")] = None,
    dataset: DataName = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Measure the accuracy of a run or of a .tflite file on real images."""
    from larqnets import preflight

    preflight.check_evaluate(subject, split, dataset, data_dir)
    check = needs_training_extra("deploy.check")
    from larqnets import tables

    with tables.Stages() as stages:
        stages.stage("evaluate")
        result = check.evaluate_subject(subject, split, limit, dataset, data_dir, on_sample=stages.sample)
    show(result, lambda: tables.facts(result), as_json)


@app.command()
def inspect(
    file: Annotated[str, typer.Argument(help="Any .tflite file, or the name of a shipped model.")],
    as_json: Json = False,
) -> None:
    """Show what is in a .tflite file: ops, shapes, 1-bit, int8 and float MACs and bytes, metadata."""
    from deploy.inspect import inspect_model, render
    from deploy.shipped import find_model

    inspection = inspect_model(find_model(file))
    show(inspection.to_json(), lambda: render(inspection), as_json)


@app.command()
def run(
    file: Annotated[str, typer.Argument(help="A .tflite file, or the name of a shipped model.")],
    inputs: Annotated[
        Path | None,
        typer.Argument(
            metavar="[INPUT]",
            help="An image, a .npy of ready values, a .npz of one for every input. Default: a shipped model's example.",
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write the raw output to this .npy, or all to this .npz.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many labels to print.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the engine.")] = 1,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Run a model on an image or on an array: labels with their probabilities, or raw values."""
    from deploy.shipped import example_of, find_model
    from larqnets import preflight

    source, values = find_model(file), inputs or example_of(file)
    preflight.check_run(source, values, output, device)
    from deploy.classify import classify
    from larqnets import tables

    result = classify(source, values, output=output, top=top, num_threads=threads, device=device)
    show(result, lambda: tables.labels(result), as_json)


@app.command()
def summary(
    subject: Annotated[str, typer.Argument(help="A config, a run folder, a Keras file, or a method with --backbone.")],
    backbone: Annotated[str | None, typer.Option(help="Backbone, when SUBJECT is a method.")] = None,
    image: Annotated[str, typer.Option(metavar="HxWxC", help="Image shape, when SUBJECT is a method.")] = "224x224x3",
    classes: Annotated[int, typer.Option(min=2, help="Classes, when SUBJECT is a method.")] = 1000,
    stem: Annotated[str, typer.Option(help="imagenet or small, when SUBJECT is a method.")] = "imagenet",
    width: Annotated[float, typer.Option(min=1 / 64, max=64, help="Width factor, when SUBJECT is a method.")] = 1.0,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the method, or a key of the config."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Count parameters, bits and 1-bit and real MACs of a network before it is trained."""
    from larqnets import preflight

    preflight.check_summary(subject, backbone, image, stem, overrides or ())
    subjects = needs_training_extra("larqnets.subjects")
    from larqnets import tables

    model = subjects.model_of(subject, backbone, image, classes, stem, width, overrides or ())
    counts = needs_training_extra("larqnets.counts").count(model)
    show({"model": model.name, **counts.to_json()}, lambda: tables.counts(model.name, counts.to_json()), as_json)


@app.command()
def curves(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, finished or not.")],
    output: Annotated[Path, typer.Option(help="The picture: .png, .svg or .pdf.")] = Path("curves.png"),
    parameters: Annotated[
        bool, typer.Option("--parameters", help="Learned scalars instead: gates of groupnet, factors of elasticlink.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Draw the learning curves of runs into one picture, or how their gates and factors moved."""
    from larqnets import preflight
    from larqnets.curves import draw_curves, draw_parameters

    preflight.check_output(output)
    result = (draw_parameters if parameters else draw_curves)(runs, output)
    show(result, lambda: f"{len(runs)} runs drawn into {output}", as_json)


@app.command()
def pareto(
    table: Annotated[Path, typer.Argument(help="The CSV that `larqnets sweep` wrote.")],
    output: Annotated[Path, typer.Option(help="The picture: .png, .svg or .pdf.")] = Path("pareto.png"),
    cost: Annotated[str, typer.Option(help="The column against which accuracy is drawn.")] = "arm64_instructions",
    title: Annotated[str, typer.Option(help="Head of the picture.")] = "",
    as_json: Json = False,
) -> None:
    """Compare the methods of a sweep: accuracy over seeds against cost, and which of them no other one beats."""
    from larqnets import pareto as comparison
    from larqnets import preflight, tables

    preflight.check_output(output)
    result = comparison.pareto(table, output, cost, title)
    show(result, lambda: tables.pareto(result), as_json)


@app.command(name="bench-training", hidden=True)
def bench_training(
    cases: Annotated[
        list[str] | None, typer.Option("--case", help="cifar10, cifar10_mixed, digits. Default: all.")
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of blocks that count.")] = 8,
    overrides: Set = None,
    out: Annotated[Path, typer.Option(help="Where the results are written.")] = Path("results/training.json"),
    as_json: Json = False,
) -> None:
    """Measure images per second of our training loop against plain Larq layers in model.fit."""
    from larqnets import preflight

    preflight.check_folder(out.parent)
    result = needs_training_extra("larqnets.training.bench").bench(cases or (), pairs, overrides or (), out)
    from larqnets import tables

    show(result, lambda: tables.bench(result, out), as_json)


@app.command(name="bench-groupnet-training", hidden=True)
def bench_groupnet_training(
    ks: Annotated[list[int] | None, typer.Option("--k", min=1, help="Numbers of branches. Default: 1, 3, 5.")] = None,
    turns: Annotated[int, typer.Option(min=1, help="Turns of every form that count.")] = 9,
    width: Annotated[float, typer.Option(min=1 / 64, help="Width factor of the ResNet-8.")] = 1.0,
    batch: Annotated[int, typer.Option(min=1, help="Images in a batch.")] = 128,
    size: Annotated[int, typer.Option(min=8, help="Height and width of the images.")] = 32,
    out: Annotated[Path, typer.Option(help="Where the results are written.")] = Path("results/groupnet_training.json"),
    as_json: Json = False,
) -> None:
    """Measure speed, memory and tracing of Group-Net's training step with its branches in different forms."""
    from larqnets import preflight

    preflight.check_folder(out.parent)
    bench = needs_training_extra("larqnets.training.bench_groupnet")
    result = bench.bench(ks or (1, 3, 5), turns, bench.Setting(width=width, batch_size=batch, image_size=size), out)
    from larqnets import tables

    show(result, lambda: tables.bench_groupnet(result, out), as_json)


@app.command(name="list")
def list_(
    what: Annotated[str, typer.Argument(help="methods, backbones, datasets, configs, models or runs.")],
    pattern: Annotated[str, typer.Argument(help="A shell glob, e.g. 'resnet*'.")] = "*",
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = Path("runs"),
    as_json: Json = False,
) -> None:
    """List what there is. `methods` also shows on which backbones each one builds, and why not on the others."""
    from larqnets import listing

    names, render = listing.listing(what, pattern, runs, load=needs_training_extra)
    show(names, render, as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Print versions, what this installation can do, and how to get what is missing."""
    from larqnets import doctor as diagnosis
    from larqnets import tables

    report = diagnosis.examine()
    show(report, lambda: tables.doctor(report), as_json)


def _check_stdout() -> None:
    """See that results have somewhere to go, in whatever encoding; a character that it lacks is escaped."""
    if sys.stdout is None:
        raise LarqnetsError("stdout is closed, so no result could be shown. Leave it open, or send it to a file.")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _stopped() -> NoReturn:
    print("larqnets: stopped. Nothing half-written is left.", file=sys.stderr)
    sys.exit(1)


def main() -> None:
    """Entry point: turn errors that the user can act on into one sentence and exit code 1.

    SIGTERM and SIGHUP end a command as Ctrl-C does, so that nothing stays behind; the exit code is then 128 + the signal's
    number. One that is ignored when larqnets starts, as SIGHUP is under nohup, stays ignored.
    """
    _received.clear()
    for number in (signal.SIGINT, *_ENDS):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler, _interrupt):
            signal.signal(number, _interrupt)
    try:
        _run_app()
    except BaseException:
        if ends := [number for number in _received if number in _ENDS]:
            _let_go_of_terminal()
            raise SystemExit(128 + ends[0]) from None
        raise


def _interrupt(number: int, frame: FrameType | None) -> None:
    first = not _received
    _received.append(number)
    if first or number == signal.SIGINT:  # systemd and a closed terminal send several; the first is being obeyed
        raise KeyboardInterrupt


def _let_go_of_terminal() -> None:
    """Let nothing be written to a terminal that is gone: Python would end with an exit code of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:  # it was closed when larqnets began
                stream.flush()
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)


def _run_app() -> None:
    try:
        _check_stdout()
        app(prog_name="larqnets")
    except LarqnetsError as error:
        if "--debug" in sys.argv:
            raise
        print(f"larqnets: {printable(str(error))}", file=sys.stderr)
        sys.exit(1)
    except SystemExit as end:
        if end.code != _CTRL_C:
            raise
        _stopped()
    except SystemError:  # what TensorFlow's C code makes of a KeyboardInterrupt that reaches it at a bad moment
        if not _received:
            raise
        _stopped()
    except BrokenPipeError:
        # the reader of our output, e.g. `head`, has seen enough
        sys.stderr.close()
        sys.exit(1)


if __name__ == "__main__":
    main()
