"""What an evaluation found, as tables for people; every number comes from what `--json` prints."""

from typing import Any

from rich.table import Table

from larqnets.cli.tables.facts import facts, legend_lines, word
from larqnets.scores import is_of_a_class

FEW = 12  # classes whose confusion is shown
WIDE = 100  # characters that it may take
MAX_CLASSES = 20  # that are shown, those with the lowest scores
_NESTED = ("scores", "classes", "calibration", "confusion", "wrong", "remarks", "legend")
_WAYS = {"wrong_table": "--wrong CSV lists them", "wrong_sheet": "--sheet PNG shows them"}  # to see what is wrong
_WRITTEN = {"confusion_picture": "confusion", "wrong_table": "wrong images", "wrong_sheet": "contact sheet"}


def evaluated(result: dict[str, Any]) -> list[Any]:
    """The scores, then every class and what it is taken for, then what was wrong and where that is written."""
    shown = {name: value for name, value in result.items() if name not in (*_NESTED, *_WRITTEN)}
    if result.get("classes"):  # whose rows have them
        shown = {name: value for name, value in shown.items() if not is_of_a_class(name)}
    if "calibration" in result:
        shown["calibration error (ECE)"] = f"{result['calibration']['ece']:.2%}"
    parts: list[Any] = [facts(shown)]
    if result.get("classes"):
        parts += ["", *_classes(result["classes"], result.get("confusion"))]
    if "wrong" in result:
        hints = [words for name, words in _WAYS.items() if name not in result] if result["wrong"] else []
        listed = f"; {', '.join(hints)}" if hints else ""
        unit = result.get("confusion", {}).get("of", "images")
        what = "wrong" if unit == "images" else f"with wrong {unit}"
        parts += ["", f"{what}: {len(result['wrong']):,} of {result['images']:,} images{listed}"]
    parts += [f"note: {text}" for text in result.get("remarks", ())]
    parts += [f"{words}: {result[name]}" for name, words in _WRITTEN.items() if name in result]
    return [*parts, *legend_lines(result.get("legend", {}))]


def _classes(classes: list[dict[str, Any]], confusion: dict[str, Any] | None) -> list[Any]:
    """Return every class as a row: with few classes what all its images were taken for, else what most of them were."""
    if confusion is not None and confusion.get("of", "images") == "images" and _fits(confusion["labels"]):
        # A line of its own: a table breaks its title where its columns end.
        return ["true labels in rows, given labels in columns", _matrix(classes, confusion)]
    score = "accuracy" if "accuracy" in classes[0] else "ap50"
    lowest = sorted(classes, key=lambda row: (row[score] is None, row[score]))[:MAX_CLASSES]
    rows = classes if len(classes) <= MAX_CLASSES else lowest
    names = [name for name in classes[0] if name != "label"]
    most = [] if confusion is None else ["most often taken for"]
    table = Table("label", *(name.replace("_", " ") for name in names), *most, box=None, pad_edge=False)
    for column in table.columns[1 : 1 + len(names)]:
        column.justify = "right"
    numbers = {id(row): number for number, row in enumerate(classes)}
    for row in rows:
        other = [] if confusion is None else [_most(confusion, numbers[id(row)])]
        table.add_row(row["label"], *(_cell(name, row[name]) for name in names), *other)
    left_out = len(classes) - len(rows)
    return [table, *([f"{left_out:,} more labels, of higher {score}; --json lists all"] if left_out else [])]


def _matrix(classes: list[dict[str, Any]], confusion: dict[str, Any]) -> Table:
    labels, counts = confusion["labels"], confusion["counts"]
    table = Table("true label", *labels, "images", "accuracy", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for number, row in enumerate(classes):
        cells = [f"{count:,}" if count else "." for count in counts[number]]
        table.add_row(row["label"], *cells, f"{row['images']:,}", _cell("accuracy", row["accuracy"]))
    return table


def _fits(labels: list[str]) -> bool:
    longest = max(map(len, labels), default=0)
    return len(labels) <= FEW and longest + sum(max(len(label), 3) + 2 for label in labels) + 20 <= WIDE


def _most(confusion: dict[str, Any], number: int) -> str:
    others = [(count, -i) for i, count in enumerate(confusion["counts"][number]) if i != number and count]
    if not others:
        return ""
    count, place = max(others)
    unit = "time" if confusion.get("of", "images") == "images" else confusion["of"].removesuffix("s")
    return f"{confusion['labels'][-place]}, {count:,} {unit}{'s' if count > 1 else ''}"


def _cell(name: str, value: Any) -> str:
    return ("–" if name in ("iou", "ap50") else "no image") if value is None else word(name, value)
