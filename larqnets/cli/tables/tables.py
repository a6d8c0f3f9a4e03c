"""Results as tables for people; every number comes from the JSON that `--json` prints."""

import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.table import Table
from rich.text import Text

from larqnets.console import PlainConsole
from larqnets.errors import printable
from larqnets.scores import headline

STAGES = {
    "import": "reading the network and its weights",
    "load": "loading the trained model and its images",
    "rebuild": "rebuilding it with plain signs and kernels of -1 and +1",
    "convert": "converting to a TFLite file",
    "verify": "verifying layer by layer and on real samples",
    "arm64": "proving it on an emulated ARM64",
    "twins": "writing the float and int8 versions",
    "evaluate": "evaluating",
    "decompose": "decomposing",
    "sensitivity": "measuring how much each layer moves the logits",
    "search": "reading calibration images",
    "mixing": "mixing calibration images until they are as hard as unseen ones",
    "bisection": "looking for the steps",
    "patch": "writing the integers into the int8 weights",
    "count": "counting its instructions on an emulated ARM64",
    "library": "fetching TensorFlow Lite for ARM64",
    "compile": "compiling (the first time about a minute)",
    "android": "adding what Android needs",
}


class Stages:
    """Progress of a conversion on stderr: what it is doing, and how many samples it has run."""

    def __init__(self) -> None:
        self._console = PlainConsole(stderr=True)
        self._status = self._console.status("")
        self._text = ""
        self._shown = 0.0

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._status.stop()

    def stage(self, name: str) -> None:
        """Name the stage that begins; without a terminal it becomes a line."""
        self._text = STAGES.get(name, name)
        self._update(self._text + " ...")
        if not self._console.is_terminal:
            self._console.print(f"{self._text} ...", soft_wrap=True)

    def say(self, text: str) -> None:
        """Show what is being done; a sentence stays to be read."""
        if not text.endswith("."):
            self.stage(text)
        else:
            self._console.print(text, soft_wrap=True)

    def layer(self, done: int, count: int, name: str) -> None:
        """Show the layer that is done."""
        self._update(f"{self._text} ... {done} of {count}: {name}")

    def sample(self, done: int) -> None:
        """Show the number of samples done, at most ten times a second."""
        if time.monotonic() - self._shown > 0.1:
            self._shown = time.monotonic()
            self._update(f"{self._text} ... {done:,} samples")

    def _update(self, text: str) -> None:
        self._status.update(Text(printable(text)))


def facts(values: dict[str, Any], title: str = "") -> Table:
    """Return two columns, name and value; fractions called accuracy or share as percent."""
    table = Table(box=None, show_header=False, title=title or None, title_justify="left", pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(name.replace("_", " "), _word(name, value))
    return table


def _word(name: str, value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if any(word in name for word in ("accuracy", "share", "agreement")):
            return f"{value:.2%}"
        return f"{value:,.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def card(values: dict[str, Any], path: Path) -> list[Any]:
    """The result of a training run."""
    paper = values.get("paper") or {}
    name, score = headline(values)
    shown = {
        "run": path,
        "network": f"{values['method']} on {values['backbone']}, {values.get('parameters', 0):,} parameters",
        f"test_{name}": None if score is None else f"{score:.2%}",
        "epochs": values["epochs_done"],
        **_stages(values.get("stages", []), name),
        "time": f"{values['seconds']:.0f} s",
    }
    if paper.get("test_accuracy") is not None:
        shown["paper's accuracy"] = f"{paper['test_accuracy']:.2%} ({paper['title']})"
        if paper.get("gap") is not None:
            shown["gap to the paper"] = f"{100 * paper['gap']:+.2f} points"
    return [facts(shown), f"Next: larqnets convert {path} --target arm64"]


def _stages(stages: list[dict[str, Any]], score: str) -> dict[str, str]:
    """A line per stage of a run that has several."""
    if len(stages) < 2:
        return {}
    return {
        f"stage {i}": f"{stage['name']}: {stage['epochs_done']} epochs, {stage['seconds']:.0f} s, test {score} "
        f"{stage[f'test_{score}']:.2%}"
        for i, stage in enumerate(stages, 1)
        if stage["epochs_done"]
    }


def sweep(result: dict[str, Any]) -> list[Any]:
    """The table of a sweep."""
    columns = (
        "method",
        "backbone",
        "seed",
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
    for row in result["rows"]:
        accuracies = [_word("accuracy", row[key]) for key in ("test_accuracy", "converted_test_accuracy")]
        sizes = [_word(key, row[key]) for key in ("file_bytes", "binary_macs", "float_macs")]
        cells = ("-" if cell == "not known" else cell for cell in (*accuracies, *sizes))
        instructions = "-" if row["arm64_instructions"] is None else f"{row['arm64_instructions']:,}"
        network = [row["method"], row["backbone"], *(str(row[option]) for option in options)]
        table.add_row(*network, str(row["seed"]), *cells, f"{row['seconds']:.0f}", instructions)
    return [table, "ARM64: executed instructions of an inference, Cortex-A72 under qemu", f"table: {result['csv']}"]


def pareto(result: dict[str, Any]) -> list[Any]:
    """The methods of a sweep, the most accurate first."""
    cost = result["cost"].replace("_", " ")
    table = Table("method", "backbone", "seeds", "test accuracy", "lowest", "highest", cost, "front", box=None)
    for column in table.columns[2:7]:
        column.justify = "right"
    for p in result["points"]:
        method = " ".join((p["method"], *p["options"]))
        accuracies = [f"{p[name]:.2%}" for name in ("accuracy", "lowest", "highest")]
        front = "yes" if p["on_front"] else ""
        table.add_row(method, p["backbone"], str(p["seeds"]), *accuracies, f"{p['cost']:,.0f}", front)
    return [table, f"accuracy of the converted files, mean over seeds; picture: {result['picture']}"]


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


def conversion(manifest: dict[str, Any]) -> list[Any]:
    """The result of a conversion: the files side by side, then the proof."""
    folder, verification = manifest["folder"], manifest["verification"]
    trained = manifest["source"].get("run", {}).get("test_accuracy")
    table = Table("file", "bytes", "of float", "1-bit MACs", "test accuracy", "", title_justify="left", box=None)
    table.title = "trained: " + ("test accuracy not known" if trained is None else f"test accuracy {trained:.2%}")
    for column in (1, 2, 3, 4):
        table.columns[column].justify = "right"
    entries = manifest["files"]
    whole = entries.get("float", {}).get("bytes")
    for variant, entry in entries.items():
        accuracy = entry["test_accuracy"]
        table.add_row(
            entry["file"],
            f"{entry['bytes']:,}",
            f"{entry['bytes'] / whole:.1%}" if whole else "-",
            f"{entry['binary_mac_share']:.1%}",
            "-" if accuracy is None else f"{accuracy:.2%}",
            entry["note"] or ("converted, verified" if variant == manifest["file"].removesuffix(".tflite") else ""),
        )
    parts: list[Any] = [table, ""]
    if verification is not None:
        parts += verification_lines(verification)
    check = entries[manifest["file"].removesuffix(".tflite")]["constants"]
    if check is not None and check["matches"] and (total := sum(check["found"].values())):
        once = f", stored in {total - check['shared']:,}, equal ones once" if check["shared"] else ""
        also = f" and the weights of {', '.join(check['unpredicted'])}" if check["unpredicted"] else ""
        parts.append(
            f"constants: {total:,} bytes, as predicted to the byte{once}; beside them {check['other_constants']:,} bytes "
            f"of shapes and unfolded BatchNorm{also}, {check['overhead']:,} bytes of file structure"
        )
    for fallback in manifest["float_fallbacks"]:
        parts.append(f"FLOAT: layer '{fallback['layer']}' runs as float: {fallback['cause']}")
    parts += [f"warning: {text}" for text in manifest["warnings"]]
    parts += [f"files: {folder}/", f"Next: larqnets inspect {folder}/{manifest['file']}"]
    return [*parts, manifest["proof"]["line"]]


def verification_lines(v: dict[str, Any]) -> list[str]:
    """The verdict in sentences, with the figures it rests on."""
    signs = sum(layer["signs"] for layer in v["layers"])
    near = sum(layer["near_threshold"] for layer in v["layers"])
    wrong = sum(layer["wrong"] for layer in v["layers"])
    kind = "real samples" if v["real_samples"] else "random inputs (name real ones with --dataset)"
    lines = [
        f"equal: {'yes' if v['equal'] else 'NO'}",
        f"  layer by layer: {len(v['layers'])} binary layers, {signs:,} signs, {wrong} wrong, {near} within rounding of "
        f"the threshold; logits within {v['logits_difference']:.1e}",
        f"  end to end: {_end_to_end(v)} of {v['samples']:,} {kind}",
    ]
    converted = v.get("scores_converted") or {}
    for name, trained in (v.get("scores_trained") or {}).items():
        lines.append(f"  {name} on them: {trained:.2%} trained, {converted[name]:.2%} converted")
    if v["unchecked_layers"]:
        lines.append(f"  not checked layer by layer, since they run as float: {', '.join(v['unchecked_layers'])}")
    lines += [f"  not equal: {reason}" for reason in v["reasons"]]
    lines += [f"  warning: {text}" for text in v["warnings"]]
    lines.append(f"  engine: {v['engine']}")
    return lines


def _end_to_end(v: dict[str, Any]) -> str:
    if v["argmax_agreement"] is not None:
        return f"same class for {v['argmax_agreement']:.2%}"
    if v["output_difference"] is None:
        return "values that are not finite among the outputs"
    return f"mean difference {v['output_difference']:.1e} of the largest value in the outputs"


def verification(v: dict[str, Any]) -> list[Any]:
    """Every layer of a verification, then the verdict."""
    table = Table("layer", "signs", "wrong", "near threshold", "worst", box=None, title_justify="left")
    for column in (1, 2, 3, 4):
        table.columns[column].justify = "right"
    for layer in v["layers"]:
        worst = f"{layer['worst']:.1e}" if layer["worst"] else "-"
        row = (f"{layer['signs']:,}", str(layer["wrong"]), str(layer["near_threshold"]), worst)
        table.add_row(layer["layer"], *row)
    return [table, "", *verification_lines(v)]


def counts(name: str, values: dict[str, Any]) -> list[Any]:
    """Layers with weights and MACs, then the sums."""
    table = Table(
        "layer",
        "type",
        "output",
        "1-bit weights",
        "real weights",
        "1-bit MACs",
        "real MACs",
        title_justify="left",
        box=None,
    )
    for column in (3, 4, 5, 6):
        table.columns[column].justify = "right"
    for layer in values["layers"]:
        numbers = (f"{layer[k]:,}" for k in ("binary_weights", "real_weights", "binary_macs", "real_macs"))
        table.add_row(layer["layer"], layer["type"], "x".join(map(str, layer["output_shape"])), *numbers)
    totals = values["totals"]
    depthwise = [layer["real_weights"] for layer in values["layers"] if layer["type"] == "DepthwiseConv2D"]
    shown = {
        "network": name,
        "parameters": totals["parameters"],
        "weights": f"{totals['bits'] / 8 / 1024:,.1f} KiB ({totals['binary_weights']:,} of them 1-bit)",
        "1-bit MACs": totals["binary_macs"],
        "real MACs": totals["real_macs"],
        "binary_mac_share": totals["binary_mac_share"],
        "OPs (1-bit/64 + real)": int(totals["operations"]),
    }
    if depthwise and totals["binary_macs"]:
        number, weights = len(depthwise), sum(depthwise)
        shown["stay real"] = f"{number} depthwise convolutions, {weights:,} weights: no 1-bit op exists for them"
    return [table, "", facts(shown)]


def labels(result: dict[str, Any]) -> list[Any]:
    """The most probable labels of every input."""
    parts: list[Any] = []
    for i, prediction in enumerate(result.get("predictions", [])):
        head = f"{result['input']}" if len(result["predictions"]) == 1 else f"{result['input']}[{i}]"
        parts += [head, _answer(prediction)]
    if "output" in result:
        shapes = ", ".join(str(tuple(shape)) for shape in result["output_shapes"])
        parts.append(f"raw outputs of shape {shapes}: {result['output']}")
    return [*parts, f"engine: {result['engine']}"]


def _answer(prediction: Any) -> Any:
    """What a network means: a row for each of the entries, a column for each of their values."""
    if isinstance(prediction, dict):
        return facts(prediction)
    heads = [head for head in prediction[0] if head != "class"]
    table = Table(*heads, box=None)
    for entry in prediction:
        table.add_row(*(f"{entry[h]:.2%}" if h == "probability" else str(entry[h]) for h in heads))
    return table


def doctor(report: dict[str, Any]) -> list[Any]:
    """Versions, abilities, and what helps."""
    versions = {name: report[name] for name in ("larqnets", "python", "machine", "cpus", "tfds_data_dir")}
    versions |= {name: version or "missing" for name, version in report["packages"].items()}
    versions |= {name: "found" if there else "missing" for name, there in report["tools"].items()}
    versions |= {"ARM64 runtime": report["arm64_runtime"] or "missing"}
    lines = [f"- {text}" for text in report["findings"]] or ["nothing is missing"]
    return [facts(versions), "", facts(report["can"], "can"), "", "findings", *lines]


def runtime(result: dict[str, Any]) -> list[Any]:
    """Where the built runtime lies and what is in it."""
    parts: list[Any] = [f"ARM64 Linux: {result['arm64']}"]
    parts += [f"  {name}  sha256 {sha256[:12]}..." for name, sha256 in result["files"].items()]
    android = f"Android: {result['android']}" if result["android"] else f"Android: left out. {result['left_out']}"
    return [*parts, android]
