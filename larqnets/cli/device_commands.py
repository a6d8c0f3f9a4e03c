"""Commands about devices: build what runs there, measure, count. `larqnets.cli.main` takes them in."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from larqnets import LarqnetsError
from larqnets.cli.command import DEVICE, RESEARCH, Json, check_temporary_folder, needs_training_extra, show, verb
from larqnets.files import check_folder, check_output

if TYPE_CHECKING:
    from android_bench.record import Session
    from android_bench.reporting.summary import Summary
    from larqnets.reporter import Reporter
    from larqnets.runs.run import Run
    from larqnets.studies.run_report import Looked

app = typer.Typer()
runtime = typer.Typer(no_args_is_help=True, help="The ARM64 runtime: build it.")
app.add_typer(runtime, name="runtime", rich_help_panel=DEVICE)


@verb(
    app,
    DEVICE,
    "larqnets benchmark runs/digits-seed0/arm64/binary.tflite --device adb",
    "larqnets benchmark digits --device qemu",
    "larqnets benchmark --resume results/session.json",
)
def benchmark(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE...", help=".tflite files, or names of shipped models.")
    ] = None,
    device: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="adb, adb:SERIAL, ssh:USER@HOST, local, or qemu; several are measured side by side."
        ),
    ] = None,
    threads: Annotated[str, typer.Option(help="Threads, each on a core of its own; big: as many as big cores.")] = "1",
    cores: Annotated[
        str | None, typer.Option(metavar="MASK", help="Run on these cores, hexadecimal. Default: the fastest.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Rounds that must count. Default: 10.")] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="At least 1,024 invocations and 60 s of every model.")
    ] = False,
    max_temp: Annotated[
        float | None, typer.Option(min=1, max=150, help="Begin no round above this temperature, in °C. Default: 60.")
    ] = None,
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder for the record.")] = Path("results"),
    resume: Annotated[Path | None, typer.Option(metavar="RECORD", help="Continue a session that was stopped.")] = None,
    cpu: Annotated[
        str | None,
        typer.Option(
            help="CPU that qemu emulates: cortex-a72, cortex-a76, i8mm (stands in for a phone with these instructions). Default: the first."
        ),
    ] = None,
    kernels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WAY",
            help="How 1-bit convolutions count: popcount, classes, sorted, where shapes can have it, or chosen, as takes the fewest instructions; several are measured side by side. Default: chosen.",
        ),
    ] = None,
    low_memory: Annotated[
        bool, typer.Option("--low-memory", help="No way to count that keeps more than four bytes per byte of filters.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure the latency of models on phones and boards; with --device qemu count their instructions on an emulated ARM64.

    Beside a binary file its float and int8 twins are measured too, where `convert --twins` wrote them.
    """
    from android_bench.measuring import benchmark as bench
    from deploy.run.interpreter import host_engine
    from deploy.run.shipped import find_model
    from larqnets.cli.reporters import StatusReporter
    from larqnets.cli.tables import devices as device_tables

    if resume is not None and (files or device or kernels or low_memory):
        raise typer.BadParameter("--resume takes files, device and protocol from the record. Leave the others out.")
    if resume is None and not (files and device):
        raise typer.BadParameter("Name files to measure and a device: larqnets benchmark FILE... --device adb")
    check_temporary_folder()
    paths = [find_model(file) for file in files or ()]
    if cpu is not None:
        if device != ["qemu"]:
            raise typer.BadParameter("--cpu says what qemu emulates. Give it with --device qemu.")
        device = [f"qemu:{cpu}"]
    options = {"threads": threads, "cores": cores, "rounds": rounds, "strict": strict, "max_temp": max_temp, "out": out}
    options |= {"kernels": kernels or ("chosen",), "low_memory": low_memory}
    wanted = bench.continuation(resume) if resume else bench.request(paths, device or (), **options)
    check_folder(wanted.out)
    bench.look_at_devices(wanted.devices)
    if not as_json:
        _summaries(())  # what statistics need is said before anything is measured
    _say_renamed(device or ())
    with StatusReporter() as reporter:
        outcome = bench.measure(wanted, host_engine, reporter)
    if outcome.sessions:
        show(
            bench.to_json(outcome, wanted),
            lambda: device_tables.measured(outcome, _summaries(outcome.sessions)),
            as_json,
        )
    if outcome.problems:
        raise LarqnetsError(" ".join(outcome.problems))


def _say_renamed(names: "Sequence[str]") -> None:
    from android_bench.devices import renamed
    from larqnets.cli.reporters import TerminalReporter

    if (line := renamed(names)) is not None:
        TerminalReporter().line(line)


def _summaries(sessions: "Sequence[Session]") -> "list[Summary]":
    from android_bench.reporting.summary import summarise

    return [summarise(session) for session in sessions]


@verb(app, DEVICE, "larqnets devices", "larqnets devices --device ssh:pi@raspberrypi --clean")
def devices(
    device: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="adb:SERIAL, ssh:USER@HOST, local or qemu. Default: all but ssh."),
    ] = None,
    clean: Annotated[bool, typer.Option("--clean", help="Remove our files from them.")] = False,
    as_json: Json = False,
) -> None:
    """List the devices that can be measured on: what they are, how warm, whether something slows them down."""
    from android_bench.measuring.survey import survey
    from larqnets.cli.tables import devices as device_tables

    _say_renamed(device or ())
    found = survey(device or (), clean=clean)
    show(found, lambda: device_tables.devices(found), as_json)
    if device and found["problems"]:
        raise LarqnetsError(" ".join(found["problems"]))


@verb(
    app,
    DEVICE,
    "larqnets report results/session.json --html session.html",
    "larqnets report runs/digits-seed0 --html run.html",
    "larqnets report --compare before.json after.json",
)
def report(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Sessions that `benchmark` wrote, or a run folder first.")
    ],
    html: Annotated[Path | None, typer.Option(help="Write one page that opens offline.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the same as Markdown.")] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Is the second of two sessions slower than the first? Then exit with 1.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show sessions: latency with intervals beside the twins, where the time goes, how far to trust it.

    Of a run folder: its data, curves, every class, confusions, wrong images, conversion, proof, sizes and instructions,
    for which its test images are evaluated. Sessions behind it are those that it was measured in, else those in results/.
    """
    from android_bench.record import read_session

    check_output(html)
    check_output(markdown)
    if files[0].is_dir():
        if compare or markdown is not None:
            raise typer.BadParameter(
                "The page of a run is HTML, and compares nothing: larqnets report RUN --html FILE."
            )
        _report_run(files[0], files[1:], html, as_json)
        return
    for file in files:
        read_session(file)
    from larqnets.cli.tables import devices as device_tables

    if not compare:
        from android_bench.reporting.report import write_report

        summaries = write_report(files, html, markdown)
        written = [f"written: {path}" for path in (html, markdown) if path is not None]
        show([s.to_json() for s in summaries], lambda: [*device_tables.sessions(summaries), *written], as_json)
        return
    if len(files) != 2 or html is not None or markdown is not None:
        raise typer.BadParameter("--compare takes two sessions, the baseline first, and writes no page.")
    from android_bench.reporting.comparison import compare_files

    result = compare_files(*files)
    show(result.to_json(), lambda: device_tables.comparison(result.to_json()), as_json)
    result.check()


def _report_run(folder: Path, sessions: list[Path], html: Path | None, as_json: bool) -> None:
    from larqnets.cli.reporters import StatusReporter
    from larqnets.cli.tables import run_report as tables
    from larqnets.extras import require
    from larqnets.files import write_atomically
    from larqnets.runs.run import Run
    from larqnets.studies import run_report

    require("Reports of runs", "matplotlib", *([] if html is None else ["jinja2"]))
    run, measured = Run.open(folder), run_report.sessions_here(sessions)
    run_report.check_conversion(run)
    with StatusReporter() as reporter:
        reporter.stage("evaluate")
        looked = _look(run, reporter)
    sections = run_report.sections_of(run, looked, measured)
    if html is not None:
        from larqnets.studies.run_page import to_html

        write_atomically(html, to_html(run.name, sections))
    result = {**run_report.to_json(run, looked, measured, sections), "page": None if html is None else str(html)}
    show(result, lambda: tables.run_report(sections, html), as_json)


def _look(run: "Run", reporter: "Reporter") -> "Looked":
    """Evaluate the run on its test images; what keeps it from that is a part of the report."""
    from larqnets.studies.run_report import Looked

    try:
        opened = needs_training_extra("larqnets.runs.subject").open_subject(run)
        evaluation = needs_training_extra("deploy.proof.evaluation").evaluate_images(opened, reporter=reporter)
        return Looked(evaluation, opened.images.survey)
    except LarqnetsError as error:
        return Looked(why_not=str(error))


@verb(
    runtime,
    DEVICE,
    "larqnets runtime build",
    "larqnets runtime build -o build",
    "larqnets runtime build --app -o build",
    "larqnets runtime build --aar -o build",
)
def build(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder to build into. Default: the user's cache.")
    ] = None,
    app: Annotated[
        bool,
        typer.Option("--app", help="Build the library for Android apps instead, arm64-v8a and x86_64, without an NDK."),
    ] = False,
    aar: Annotated[
        bool,
        typer.Option("--aar", help="Build the same, and of it an Android archive as a Maven folder; needs a JDK."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Build the ARM64 runtime: runner, library, TensorFlow Lite, licences, checksums; for Android's shell too, or for its apps."""
    from android_bench.runtime import archive, bundle
    from android_bench.runtime.app import build_app
    from larqnets.cli.reporters import StatusReporter
    from larqnets.cli.tables import devices as device_tables

    with StatusReporter() as reporter:
        make = archive.build if aar else build_app if app else bundle.build
        result = make(output or bundle.runtime_folder(), reporter)
    show(result, lambda: device_tables.runtime(result), as_json)


Models = Annotated[Path, typer.Option(help="Folder for the models that are counted.")]
BENCH = Path("build/bench")


@verb(app, RESEARCH, "larqnets bench-kernels -o kernels.json", name="bench-kernels", hidden=True)
def bench_kernels(
    models: Models = BENCH,
    out: Annotated[Path, typer.Option("--output", "-o", help="Where the results are written.")] = Path(
        "results/kernels.json"
    ),
    as_json: Json = False,
) -> None:
    """Count what convolutions and networks, binary, float and int8, execute on ARM64 under qemu."""
    from android_bench.emulation import kernels
    from larqnets.cli.tables import studies

    rows = _counted(models, out, "write_models", kernels.count_models)
    show(rows, lambda: studies.instructions_of_kernels(rows), as_json)


@verb(app, RESEARCH, "larqnets bench-groupnet -o groupnet.json", name="bench-groupnet", hidden=True)
def bench_groupnet(
    models: Models = BENCH,
    out: Annotated[Path, typer.Option("--output", "-o", help="Where the results are written.")] = Path(
        "results/groupnet_instructions.json"
    ),
    as_json: Json = False,
) -> None:
    """Count what Group-Net executes on ARM64 under qemu behind its stem, by the number of branches."""
    from android_bench.emulation import groupnet_cost
    from larqnets.cli.tables import studies

    result = _counted(models, out, "write_groupnets", groupnet_cost.count_groupnets)
    show(result, lambda: studies.instructions_of_groupnets(result), as_json)


@verb(app, RESEARCH, "larqnets bench-stems -o stems.json", name="bench-stems", hidden=True)
def bench_stems(
    models: Models = BENCH,
    out: Annotated[Path, typer.Option("--output", "-o", help="Where the table is written.")] = Path(
        "deploy/export/stems.json"
    ),
    as_json: Json = False,
) -> None:
    """Count what first convolutions execute on ARM64 under qemu, as trained and rewritten: the table by which `convert` decides."""
    from android_bench.emulation import stem_cost
    from larqnets.cli.tables import studies

    result = _counted(models, out, "write_stems", stem_cost.count_stems)
    show(result, lambda: studies.instructions_of_stems(result), as_json)


@verb(app, RESEARCH, "larqnets bench-int8 -o int8.json runs/small-seed0", name="bench-int8", hidden=True)
def bench_int8(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN]...",
            help="Trained runs, beside networks with random weights; those of method real are twins of the others.",
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option("--output", "-o", help="Where the rows are written, as they are measured, and a picture beside."),
    ] = Path("results/int8_rest.json"),
    as_json: Json = False,
) -> None:
    """Count what networks with a float, a mixed and an int8 rest and their twins execute on ARM64 under qemu."""
    check_folder(out.parent)
    study = needs_training_extra("larqnets.studies.bench_int8")
    from larqnets.cli.reporters import StatusReporter
    from larqnets.cli.tables import studies

    with StatusReporter() as reporter:
        rows = study.write_rows(out, runs or [], reporter)
    show(rows, lambda: studies.int8_rests(rows), as_json)


def _counted(models: Path, out: Path, writer: str, count: "Callable[[Path, Reporter], Any]") -> Any:
    """Write models into `models` with a function of `bench_models`, count what they execute, and keep that in `out`."""
    check_folder(out.parent)
    check_folder(models)
    bench_models = needs_training_extra("larqnets.studies.bench_models")
    from larqnets.cli.reporters import StatusReporter
    from larqnets.files import write_atomically

    with StatusReporter() as reporter:
        getattr(bench_models, writer)(models, reporter)
        result = count(models, reporter)
    write_atomically(out, json.dumps(result, indent=1) + "\n")
    return result
