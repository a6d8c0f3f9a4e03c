"""Sweeps, comparisons and benches as tables for people; every number comes from the JSON that `--json` prints."""

from pathlib import Path
from typing import Any

from rich.table import Table

from larqnets.cli.tables.facts import word


def sweep(result: dict[str, Any]) -> list[Any]:
    """The table of a sweep."""
    validated = "chosen" in result
    columns = (
        "method",
        "backbone",
        "seed",
        *(["validation"] if validated else []),
        "test",
        "converted",
        "bytes",
        "1-bit MACs",
        "real MACs",
        "seconds",
        "ARM64",
    )
    options = result["options"]
    table = Table(*columns[:2], *options, *columns[2:], box=None, title_justify="left", pad_edge=False)
    for column in table.columns[2 + len(options) :]:
        column.justify = "right"
    name = result["score"]
    for row in result["rows"]:
        measured = [row[f"validation_{name}"]] if validated else []
        measured += [row[f"test_{name}"], row[f"converted_test_{name}"]]
        scores = ["-" if score is None else f"{score:.2%}" for score in measured]
        sizes = [word(key, row[key]) for key in ("file_bytes", "binary_macs", "float_macs")]
        cells = ("-" if cell == "not known" else cell for cell in (*scores, *sizes))
        instructions = "-" if row["arm64_instructions"] is None else f"{row['arm64_instructions']:,}"
        network = [row["method"], row["backbone"], *(str(row[option]) for option in options)]
        table.add_row(*network, str(row["seed"]), *cells, f"{row['seconds']:.0f}", instructions)
    notes = ["ARM64: executed instructions of an inference, Cortex-A72 under qemu", f"table: {result['csv']}"]
    return [table, *notes, *_best_of_sweep(result)]


def _best_of_sweep(result: dict[str, Any]) -> list[str]:
    """Which run is the best by its validation images, or why none is named."""
    chosen, name = result.get("chosen"), result["score"]
    if chosen is None or len(result["rows"]) < 2:  # without validation images nothing is chosen, as every run has said
        return []
    if chosen["run"] is None:
        return [f"No run is named the best: {chosen['reason']}."]
    return [
        f"best by validation {name}: {chosen['run']}, {chosen[f'validation_{name}']:.2%}, test {chosen[f'test_{name}']:.2%}"
    ]


def pareto(result: dict[str, Any]) -> list[Any]:
    """The methods of a sweep, the most accurate first."""
    score, cost = result["score"], result["cost"].replace("_", " ")
    table = Table("method", "backbone", "seeds", f"test {score}", "lowest", "highest", cost, "front", box=None)
    for column in table.columns[2:7]:
        column.justify = "right"
    for p in result["points"]:
        method = " ".join((p["method"], *p["options"]))
        scores = [f"{p[name]:.2%}" for name in (score, "lowest", "highest")]
        front = "yes" if p["on_front"] else ""
        table.add_row(method, p["backbone"], str(p["seeds"]), *scores, f"{p['cost']:,.0f}", front)
    return [table, f"{score} of the converted files, mean over seeds; picture: {result['picture']}"]


def bench(result: dict[str, Any], path: Path) -> list[Any]:
    """Our training speed beside that of plain Larq."""
    columns = ("case", "network", "images/s", "plain Larq", "ratio", "peak MiB", "plain Larq", "input alone, images/s")
    table = Table(*columns, box=None, title_justify="left", pad_edge=False)
    for column in table.columns[2:]:
        column.justify = "right"
    for entry in result["results"]:
        speeds = [f"{rate:,.0f}" for rate in entry["images_per_second"].values()]
        peaks = [f"{peak / 2**20:,.0f}" for peak in entry["peak_bytes"].values()]
        alone = f"{entry['pipeline_alone_images_per_second']:,.0f}"
        table.add_row(entry["case"], entry["network"], *speeds, f"{entry['ratio']:.2f}", *peaks, alone)
    return [table, f"results: {path}"]


def bench_groupnet(result: dict[str, Any], path: Path) -> list[Any]:
    """Group-Net's training step in its forms."""
    columns = ("K", "form", "images/s", "speed", "of CPU time", "peak MB", "first step, s")
    table = Table(*columns, box=None, title_justify="left", pad_edge=False)
    table.title = f"{result['network']}, batch {result['batch_size']}; speed as a multiple of separate's"
    for column in (table.columns[0], *table.columns[2:]):
        column.justify = "right"
    for row in result["rows"]:
        ratios = [f"{row[key]:.2f}" for key in ("speed_to_separate", "cpu_speed_to_separate")]
        peak, trace = f"{row['peak_memory_mb']:,.0f}", f"{row['trace_seconds']:.1f}"
        table.add_row(str(row["k"]), row["form"], f"{row['images_per_second']:,.0f}", *ratios, peak, trace)
    return [table, f"results: {path}"]


def instructions_of_kernels(rows: list[dict[str, Any]]) -> list[Table]:
    """What was counted of kernels: per CPU a table of the binary convolutions, one of int8 stems, and one of the networks."""
    from android_bench.emulation.emulator import described

    result = []
    for cpu in dict.fromkeys(row["cpu"] for row in rows):
        found = {(row["shape"], row["kind"]): row for row in rows if row["cpu"] == cpu}
        unit = f"{described(cpu)}: million instructions of one"
        result += [
            _convolutions(f"{unit} convolution", found),
            _int8_stems(f"{unit} int8 stem", found),
            _networks(f"{unit} inference", found),
        ]
    return result


def _convolutions(title: str, found: dict[tuple[str, str], dict[str, Any]]) -> Table:
    table = Table(title=title, box=None, title_justify="left")
    words = ("shape", "way")
    ratios = ("fp32", "fp32/binary", "int8", "int8/binary", "LceQuantize per float")
    for column in (*words, "binary", "vector", "popcount", "per MAC", *ratios):
        table.add_column(column, justify="left" if column in words else "right")
    for (shape, kind), row in found.items():
        if kind != "larqnets_bconv":
            continue
        mine, cells = row["instructions"], []
        before = found.get((shape, "larqnets_bconv_popcount"), row)["instructions"]
        for other in ("xnnpack_fp32", "xnnpack_int8"):
            theirs = found.get((shape, other), {}).get("instructions")
            cells += [f"{theirs / 1e6:.2f}", f"{theirs / mine:.1f}"] if theirs else ["", ""]
        packing = found[shape, "lce_quantize"]
        per_float = f"{packing['instructions'] / packing['macs']:.3f}"
        counts = (f"{count / 1e6:.3f}" for count in (mine, row["simd"], before))
        table.add_row(shape, row["family"], *counts, f"{mine / row['macs']:.4f}", *cells, per_float)
    return table


def _int8_stems(title: str, found: dict[tuple[str, str], dict[str, Any]]) -> Table:
    table = Table(title=title, box=None, title_justify="left")
    for column in ("shape", "our op", "per MAC", "XNNPACK", "XNNPACK/our op"):
        table.add_column(column, justify="left" if column == "shape" else "right")
    for (shape, kind), row in found.items():
        if kind == "larqnets_conv_int8":
            mine, theirs = row["instructions"], found[shape, "xnnpack_int8"]["instructions"]
            costs = (f"{mine / 1e6:.3f}", f"{mine / row['macs']:.4f}", f"{theirs / 1e6:.2f}")
            table.add_row(shape, *costs, f"{theirs / mine:.1f}")
    return table


def _networks(title: str, found: dict[tuple[str, str], dict[str, Any]]) -> Table:
    table = Table(title=title, box=None, title_justify="left")
    words = ("network", "kind")
    for column in (*words, "instructions", "to binary", "to load", "kept bytes"):
        table.add_column(column, justify="left" if column in words else "right")
    for (shape, kind), row in found.items():
        if kind.startswith("network_"):
            counted, load = (f"{row[key] / 1e6:.1f}" for key in ("instructions", "load_instructions"))
            ratio = f"{row['instructions'] / found[shape, 'network_binary']['instructions']:.1f}"
            table.add_row(shape, kind.removeprefix("network_"), counted, ratio, load, f"{row['prepared_bytes']:,}")
    return table


def instructions_of_groupnets(result: dict[str, Any]) -> list[Table]:
    """What was counted of Group-Nets: a table for every CPU, one line a number of branches."""
    from android_bench.emulation.emulator import described

    found = []
    for cpu in dict.fromkeys(row["cpu"] for row in result["rows"]):
        title = f"{described(cpu)}: million instructions behind the stem, {result['network']}"
        table = Table(title=title, box=None, title_justify="left")
        for column in ("K", "binary", "float", "glue", "total", "glue %", "to K = 1"):
            table.add_column(column, justify="right")
        rows = {row["k"]: row for row in result["rows"] if row["cpu"] == cpu}
        for k, row in rows.items():
            parts = [f"{row[part] / 1e6:.2f}" for part in ("binary", "float", "glue", "total")]
            share = f"{100 * row['glue'] / row['total']:.1f}"
            table.add_row(str(k), *parts, share, f"{row['total'] / rows[1]['total']:.2f}")
        found.append(table)
    return found


def instructions_of_stems(result: dict[str, Any]) -> list[Table]:
    """What was counted of first convolutions: a table for floats and one for int8, one line a shape, and the ratio of both forms."""
    from android_bench.emulation.emulator import described

    found = []
    for numbers in dict.fromkeys(row["numbers"] for row in result["rows"]):
        rows = [row for row in result["rows"] if row["numbers"] == numbers]
        title = f"{numbers}: million instructions of a first convolution as trained, rewritten as SPACE_TO_DEPTH and one of stride 1"
        table = Table(title=title, box=None, title_justify="left")
        for column in ("kernel", "channels", "filters", "padded", *map(described, rows[0]["as_trained"])):
            table.add_column(column, justify="right")
        for row in rows:
            shape = (f"{row['kernel']}x{row['kernel']}/{row['stride']}", str(row["channels"]), str(row["filters"]))
            pairs = [(count, row["rewritten"][cpu]) for cpu, count in row["as_trained"].items()]
            cells = [f"{a / 1e6:.2f}, {b / 1e6:.2f} ({b / a:.2f})" for a, b in pairs]
            table.add_row(*shape, "yes" if row["padded"] else "", *cells)
        found.append(table)
    return found


def int8_rests(rows: list[dict[str, Any]]) -> list[Table]:
    """What was measured of float and int8 rests: a table for every network, a line for every file."""
    from android_bench.emulation.emulator import described

    result = []
    for network, *size in dict.fromkeys((row["network"], row["image_size"], row["image_width"]) for row in rows):
        of_network = [
            row for row in rows if [row["network"], row["image_size"], row["image_width"]] == [network, *size]
        ]
        cpus = list(dict.fromkeys(row["cpu"] for row in of_network))
        title = f"{network}, {size[0]}x{size[1]}: million instructions of one inference"
        table = Table(title=title, box=None, title_justify="left")
        named = ("variant", "stem", "input")
        for column in (*named, *map(described, cpus), "bytes", "test score", "beside float rest"):
            table.add_column(column, justify="left" if column in named else "right")
        for file in dict.fromkeys(tuple(row[name] for name in named) for row in of_network):
            found = {row["cpu"]: row for row in of_network if tuple(row[name] for name in named) == file}
            first = found[cpus[0]]
            counts = [f"{found[cpu]['instructions'] / 1e6:.2f}" if cpu in found else "" for cpu in cpus]
            table.add_row(*file, *counts, f"{first['file_bytes']:,}", *_score_of_rest(first))
        result.append(table)
    return result


def _score_of_rest(row: dict[str, Any]) -> tuple[str, str]:
    """The score of a file with its 95 % interval, and by how many points it is above the float rest."""
    if row["test_score"] is None:
        return "-", "-"
    score, apart = f"{row['headline']} {row['test_score']:.2%}", row["test_score"] - row["float_rest_score"]
    beside = "-" if row["variant"] == "float_rest" else f"{100 * apart:+.2f}"
    if row["test_accuracy"] is not None:
        score += f" ({row['accuracy_low']:.2%} to {row['accuracy_high']:.2%})"
    if row["difference"] is not None:
        beside += f" ({100 * row['difference_low']:+.2f} to {100 * row['difference_high']:+.2f})"
    return score, beside
