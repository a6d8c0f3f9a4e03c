"""The picture of `make bench-int8`: which kind of op takes the instructions of every variant of a network, on every core."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from android_bench.emulation.emulator import CPUS
from android_bench.emulation.qemu import OpCount
from larqnets import pictures
from larqnets.tflite.weight_ops import WEIGHT_OPS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What a step is, by the first of these that is in its name: XNNPACK runs several ops at one go, in a real network all of them.
REAL = "real convolutions, classifier"
WORDS = {
    "1-bit convolutions": ("LceBconv2d", "LceBMaxPool2d"),
    "signs": ("LceQuantize", "LceDequantize"),
    REAL: tuple(name for name in WEIGHT_OPS if not name.startswith("Lce")),
}
STEM = "stem"  # the first step that is real, where it is a step of its own
BETWEEN = "between them"  # sums, pools, QUANTIZE, what TFLite itself does
COLUMNS = 3
PICTURED = "cortex-a76"  # of trained networks
KINDS = ("1-bit convolutions", "signs", STEM, REAL, BETWEEN)


def by_kind(ops: Sequence[OpCount]) -> dict[str, int]:
    """Return the instructions of every kind of step, with the marks between them: some ten thousand, more than none on tiny networks."""
    found: dict[str, int] = dict.fromkeys(KINDS, 0)
    for op in ops:
        kind = next((kind for kind, words in WORDS.items() if any(word in op.name for word in words)), BETWEEN)
        weighty = sum(part.startswith(WORDS[REAL]) for part in op.name.split(" + "))
        is_stem = kind == REAL and weighty == 1 and not (found[STEM] or found[REAL])
        found[STEM if is_stem else kind] += op.instructions
    return found


def draw_all(rows: Sequence[Mapping[str, Any]]) -> dict[str, "Figure"]:
    """Return the pictures of a table by what ends their names: "" of networks with random weights on every core, "_runs" of trained ones on PICTURED."""
    names = {row["network"] for row in rows if row["test_score"] is not None}
    trained, random = ([row for row in rows if (row["network"] in names) is known] for known in (True, False))
    wanted = {"": (random, CPUS), "_runs": (trained, (PICTURED,))}
    return {end: draw(shown, cpus) for end, (shown, cpus) in wanted.items() if shown}


def draw(rows: Sequence[Mapping[str, Any]], cpus: Sequence[str]) -> "Figure":
    """Draw rows of `larqnets.studies.bench_int8` with float input: a panel for every network and core, every line of panels on one axis each.

    On several cores a network has a line of its own; on one core three networks share a line.
    """
    from matplotlib.figure import Figure

    networks = list(dict.fromkeys((row["network"], row["image_size"], row["image_width"]) for row in rows))
    shown = [(network, cpu) for network in networks for cpu in cpus]
    columns = len(cpus) if len(cpus) > 1 else min(COLUMNS, len(shown))
    lines = -(-len(shown) // columns)
    figure = Figure(figsize=(4.2 * columns, 0.9 + 3.1 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).ravel()  # each has an axis of its own
    for axes, ((network, height, width), cpu) in zip(panels, shown, strict=False):
        _draw_files(
            axes, [row for row in rows if (row["network"], row["image_size"], row["cpu"]) == (network, height, cpu)]
        )
        axes.set_title(pictures.label(network) + f"\n{height}x{width}, {cpu}", fontsize=8)
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    for axes in panels[len(shown) - columns : len(shown)]:
        axes.set_xlabel("million instructions of an inference", fontsize=8)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9, frameon=False)
    return figure


def _draw_files(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw a bar for every file of a network on a core, but for the float twin, several times longer than the others."""
    shown = [row for row in rows if row["variant"] != "float_twin" and row["input"] == "float"]
    places = range(len(shown), 0, -1)
    start = [0.0] * len(shown)
    for number, kind in enumerate(KINDS):
        widths = [row["by_kind"][kind] / 1e6 for row in shown]
        axes.barh(places, widths, left=start, color=f"C{number}", label=kind, height=0.7)
        start = [a + b for a, b in zip(start, widths, strict=True)]
    axes.set_yticks(places, [_name(row) for row in shown], fontsize=8)
    axes.grid(axis="x", alpha=0.3)


def _name(row: Mapping[str, Any]) -> str:
    stem = {"as_trained": ", stem as trained", "rewritten": "", "own_op": ""}[row["stem"]]
    return pictures.label(row["variant"].replace("_", " ") + stem)
