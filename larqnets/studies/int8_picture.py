"""The picture of `make bench-int8`: which kind of op takes the instructions of every variant of a network, on every core."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

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


def draw(rows: Sequence[Mapping[str, Any]]) -> "Figure":
    """Draw rows of `larqnets.studies.bench_int8`: a line of panels for every network, a panel for every core."""
    from matplotlib.figure import Figure

    networks = list(dict.fromkeys((row["network"], row["image_size"]) for row in rows))
    cpus = list(dict.fromkeys(row["cpu"] for row in rows))
    figure = Figure(figsize=(4.2 * len(cpus), 0.9 + 3.1 * len(networks)), layout="constrained")
    panels = figure.subplots(len(networks), len(cpus), squeeze=False, sharey="row")  # each core has an axis of its own
    for (network, size), line in zip(networks, panels, strict=True):
        for cpu, axes in zip(cpus, line, strict=True):
            shown = [
                row
                for row in rows
                if (row["network"], row["image_size"], row["cpu"]) == (network, size, cpu)
                and row["variant"] != "float_twin"  # several times longer than the others
            ]
            places = range(len(shown), 0, -1)
            start = [0.0] * len(shown)
            for number, kind in enumerate(KINDS):
                widths = [row["by_kind"][kind] / 1e6 for row in shown]
                axes.barh(places, widths, left=start, color=f"C{number}", label=kind, height=0.7)
                start = [a + b for a, b in zip(start, widths, strict=True)]
            axes.set_yticks(places, [_name(row) for row in shown], fontsize=8)
            axes.set_title(pictures.label(f"{network}, {size}x{size}, {cpu}"), fontsize=9)
            axes.grid(axis="x", alpha=0.3)
    for axes in panels[-1]:
        axes.set_xlabel("million instructions of an inference", fontsize=8)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=9, frameon=False)
    return figure


def _name(row: Mapping[str, Any]) -> str:
    stem = {"as_trained": ", stem as trained", "rewritten": "", "own_op": ""}[row["stem"]]
    return pictures.label(row["variant"].replace("_", " ") + stem)
