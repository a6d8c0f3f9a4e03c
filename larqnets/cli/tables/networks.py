"""Imported and decomposed networks as tables for people; every number comes from what `--json` prints."""

from pathlib import Path
from typing import Any

from rich.table import Table

from larqnets.cli.tables.facts import facts
from larqnets.pareto_front import on_front


def imported(values: dict[str, Any], path: Path) -> list[Any]:
    """The result of an import."""
    source = values["source"]
    shown = {
        "run": path,
        "network": f"{values['backbone']}, {values['parameters']:,} parameters",
        "images": values["dataset"] or _images(values.get("images")),
        "test_accuracy": values.get("test_accuracy"),
    }
    if "claimed_accuracy" in source:
        shown["accuracy it is published with"] = f"{source['claimed_accuracy']:.2%} ({source['origin']})"
    return [facts(shown), *values.get("remarks", ()), f"Next: larqnets decompose {path}"]


def _images(known: dict[str, Any] | None) -> str:
    if known is None:
        return "not known; name them with --dataset"
    height, width, channels = known["image_shape"]
    labels = f", {len(known['labels'])} labels" if known["labels"] else ""
    return f"{height}x{width}x{channels}{labels}; none to measure with, name them with --dataset"


def decomposition(values: dict[str, Any], path: Path, again: str, score: str) -> list[Any]:
    """The layers of a decomposed run, then the sums; `again` is the command for the same network without settings.

    `score` is the name of the one that ranks networks of its task.
    """
    table = Table("layer", "shape", "bits", "planes", "ranks", "stored as", "SQNR dB", "", box=None, pad_edge=False)
    for column in (2, 3, 6):
        table.columns[column].justify = "right"
    numbers: dict[str, int] = {}  # of the notes, which many layers share
    for row in values["layers"]:
        note = f"({numbers.setdefault(row['note'], len(numbers) + 1)})" if row["note"] else ""
        ranks = ", ".join(map(str, row["ranks"]))
        quality = "exact" if row["sqnr_db"] is None else f"{row['sqnr_db']:.1f}"
        shape = "x".join(map(str, row["shape"]))
        cells = (f"{row['bits_per_weight']:.2f}", str(row["planes"]), ranks, row["codes"], quality, note)
        table.add_row(row["layer"], shape, *cells)
    at_int8 = values.get("kept_at_int8", [])
    decomposed = [row for row in values["layers"] if row["layer"] not in at_int8]
    settings = values["settings"]
    mode = f", {settings['mode']} mode" if values["method"] == "cbd" else ""
    share = values["file_bytes"] / values["float_bytes"]
    shown = {
        "run": path,
        "network": f"{values['backbone']}, {values['weights']:,} weights in {len(decomposed)} kernels",
        "method": f"{values['method']}{mode}",
        "bits per weight": f"{values['bits_per_weight']:.3f}, with everything in the file {values['file_bits_per_weight']:.3f}",
        "bytes": f"{values['file_bytes']:,}, {share:.1%} of {values['float_bytes']:,} as float",
        f"test_{score}": values.get(f"test_{score}"),
        f"float_{score}": values[f"float_{score}"],
        "time": f"{values['seconds']:.1f} s",
    }
    if "search" in values:
        shown["steps found"] = _search_words(values["search"], score)
    if at_int8:
        shown["kept at int8"] = ", ".join(at_int8)
    if "kept_as_float" in values:
        shown["kept as float"] = ", ".join(values["kept_as_float"])
    if values["left_out"]:
        shown["left as they are"] = ", ".join(values["left_out"])
    if "no_weights" in values:
        shown["no weights"] = ", ".join(values["no_weights"])
    notes = [f"({number}) {note}" for note, number in numbers.items()]
    parts: list[Any] = [table, *notes, "", facts(shown), f"report: {path}/layers.json, {path}/layers.png"]
    if values["dataset"] and "search" not in values:
        size = sum(row["file_bytes"] for row in decomposed)
        bits = min(max(8 * size / values["weights"], 1), 8)
        parts.append(f"Recommended at this size, a step for every layer: {again} --target-bits {bits:.1f} --name NAME")
    return [*parts, f"Next: larqnets convert {path} --target arm64"]


def _search_words(search: dict[str, Any], score: str) -> str:
    if search["target_bits"] is not None:
        return f"for {search['target_bits']:g} bits per weight"
    kept = max((t for t in search["trials"] if t["drop"] <= search["max_drop"]), key=lambda trial: trial["factor"])
    if "validation_images" in search:
        images = f"{search['validation_images']:,} validation images"
    else:
        images = f"{search['images']:,} training images"
        images += f" mixed by {search['mixed']:.0%}" if search.get("mixed") else ""
        images += "" if "mixed" in search else ", on which a network loses less than on others"
    return f"they lose {kept['drop']:.2f} of at most {search['max_drop']:g} points of {score} on {images}"


def methods_compared(result: dict[str, Any]) -> list[Any]:
    """A comparison of methods, a table a network; not beaten is what no other one is, by .cbd and score."""
    test, of_float = f"test_{result['score']}", f"float_{result['score']}"
    networks: dict[str, list[dict[str, Any]]] = {}
    for row in result["rows"]:
        networks.setdefault(row["network"], []).append(row)
    parts: list[Any] = []
    for name, rows in networks.items():
        heads = ("method", "setting", "bits", "in file", "DEFLATE", ".cbd", test.replace("_", " "), "not beaten")
        table = Table(*heads, box=None)
        for column in table.columns[2:-1]:
            column.justify = "right"
        packable = [row for row in rows if row["container_bytes"] is not None]
        marks = on_front([(row["container_bytes"], row[test]) for row in packable])
        front = [row for row, mark in zip(packable, marks, strict=True) if mark]
        for row in rows:
            sizes = ("-" if row[key] is None else f"{row[key]:,}" for key in ("deflate_bytes", "container_bytes"))
            bits = (f"{row[key]:.2f}" for key in ("bits_per_weight", "file_bits_per_weight"))
            cells = (*bits, *sizes, f"{row[test]:.2%}", "yes" if row in front else "")
            table.add_row(row["method"], row["setting"], *cells)
        parts += [f"{name}: float {rows[0][of_float]:.2%}", table, ""]
    return [*parts, f"table: {result['csv']}", f"picture: {result['picture']}"]


def packed(result: dict[str, Any]) -> list[Any]:
    """The sizes of a packed file."""
    table = Table("", "bytes", "of raw", box=None, pad_edge=False)
    for column in (1, 2):
        table.columns[column].justify = "right"
    for name in ("raw", "deflate", "container"):
        words = {"raw": ".tflite", "deflate": ".tflite after DEFLATE", "container": ".cbd"}[name]
        table.add_row(words, f"{result[name]:,}", f"{result[name] / result['raw']:.1%}")
    parts: list[Any] = [table, f"{result['int8_weights']:,} int8 weights packed: {result['output']}"]
    if result["deflate"] <= result["container"]:
        parts.append("DEFLATE makes it as small: a zip or an APK does without the container.")
    return parts
