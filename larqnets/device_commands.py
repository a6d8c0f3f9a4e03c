"""Commands about devices: build what runs there, measure, count. `larqnets.cli` takes them in."""

import json
from pathlib import Path
from typing import Annotated

import typer

from larqnets.command import Json, needs_training_extra, show

app = typer.Typer()
runtime = typer.Typer(no_args_is_help=True, help="The ARM64 runtime: build it.")
app.add_typer(runtime, name="runtime")


@app.command()
def benchmark(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help=".tflite files, or names of shipped models.")],
    device: Annotated[str, typer.Option(metavar="NAME", help="Where they run: qemu.")],
    cpu: Annotated[str, typer.Option(help="CPU that qemu emulates: cortex-a72, cortex-a76.")] = "cortex-a72",
    as_json: Json = False,
) -> None:
    """Count the instructions that models execute on an emulated ARM64; no latency, that needs a device."""
    from android_bench.benchmark import benchmark_files
    from deploy.shipped import find_model
    from larqnets import tables

    result = benchmark_files([find_model(file) for file in files], device, cpu)
    show(result, lambda: tables.benchmark(result), as_json)


@runtime.command()
def build(
    output: Annotated[Path, typer.Option(help="Folder to build into.")] = Path("build"),
    as_json: Json = False,
) -> None:
    """Build the ARM64 runtime: runner, library, TensorFlow Lite, licences, checksums; for Android too."""
    from android_bench import bundle
    from larqnets import tables

    with tables.Stages() as stages:
        result = bundle.build(output, stages.stage)
    show(result, lambda: tables.runtime(result), as_json)


@app.command(name="bench-kernels", hidden=True)
def bench_kernels(
    models: Annotated[Path, typer.Option(help="Folder for the models that are counted.")] = Path("build/bench"),
    out: Annotated[Path, typer.Option(help="Where the results are written.")] = Path("results/kernels.json"),
    as_json: Json = False,
) -> None:
    """Count what convolutions and networks, binary, float and int8, execute on ARM64 under qemu."""
    writer = needs_training_extra("deploy.bench_models")
    from android_bench import kernels
    from larqnets import tables
    from larqnets.run_folder import write_atomically

    with tables.Stages() as stages:
        writer.write_models(models, lambda name: stages.stage(f"writing {name}"))
        rows = kernels.count_models(models, lambda name: stages.stage(f"counting {name}"))
    write_atomically(out, json.dumps(rows, indent=1) + "\n")
    show(rows, lambda: kernels.tables(rows), as_json)
