"""A data set that was looked at, as tables for people."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from larqnets.cli.tables.facts import facts
from larqnets.data.check import Check
from larqnets.data.file_list import TRAIN
from larqnets.data.survey import FEW_IMAGES, grouped

MAX_LABELS, MAX_LINES = 100, 10  # that are shown


def check(of: Check, drawn: Mapping[str, Path | None]) -> list[Any]:
    """Images by label and split, then what they are, then what to know about them."""
    survey = of.survey
    splits = list(survey.total)
    contents = survey.contents.get(TRAIN)
    shares = (f"{contents.key} in train",) if contents else ()
    table = Table("label", *splits, *shares, "", box=None, pad_edge=False)
    for column in range(1, 1 + len(splits) + len(shares)):
        table.columns[column].justify = "right"
    if contents:
        table.title, table.title_justify = "images that show it", "left"
    few = survey.few()
    for i, label in enumerate(survey.labels[:MAX_LABELS]):
        remark = f"fewer than {FEW_IMAGES} to train on" if label in few else ""
        share = (contents.cells[i],) if contents else ()
        table.add_row(label, *(f"{survey.images[split][i]:,}" for split in splits), *share, remark)
    if len(survey.labels) > MAX_LABELS:
        table.add_row(
            f"and {len(survey.labels) - MAX_LABELS:,} more", *[""] * (len(splits) + len(shares)), "--json lists all"
        )
    table.add_row("all", *(f"{survey.total[split]:,}" for split in splits), *[""] * len(shares), "", style="bold")
    sizes = [f"{height}x{width}" for height, width in of.sizes_in_order]
    formats = Counter(header.format for header in survey.headers).most_common()
    shown = {
        "images": survey.dataset,
        **({"labels": survey.labels_from} if survey.labels_from else {}),
        "split": survey.split_by,
        "channels": "1, grey" if survey.channels == 1 else "3, RGB",
        "height x width": _sizes(sizes),
        **(contents.facts if contents else {}),
        **({"formats": ", ".join(f"{count:,} {name}" for name, count in formats)} if formats else {}),
    }
    parts: list[Any] = [table, "", facts(shown)]
    parts += _section("changed when read", survey.changes())
    done = [(split, one) for split, some in survey.contents.items() for one in some.done()]
    parts += _section("mended", [f"{split}: {one}" for split, one in done])
    parts += _section("left out", grouped(survey.left_out))
    parts += _section("damaged or unfit" if contents else "damaged", [one.why for one in of.damaged])
    parts += _section("not there", [one.why for one in of.missing])
    parts += _section("the same picture", [_places(same) for same in of.copies])
    parts += _section("careful", survey.cautions(of.copies))
    shown_sheets = [f"{name.replace('_', ' ')}: {path}" for name, path in drawn.items() if path is not None]
    parts += ["", *shown_sheets] if shown_sheets else []
    return parts


def _sizes(sizes: list[str]) -> str:
    if len(set(sizes)) < 2:
        return f"all {sizes[0]}" if sizes else "none can be read"
    return f"{sizes[0]} to {sizes[2]}, {sizes[1]} in the middle"


def _places(same: Any) -> str:
    return " = ".join(f"{place.split} {place.label} {place.file.rpartition('/')[2]}" for place in same.places[:4])


def _section(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    more = [f"  and {len(lines) - MAX_LINES:,} more; --json lists all"] if len(lines) > MAX_LINES else []
    return ["", f"{title}:", *(f"  {line}" for line in lines[:MAX_LINES]), *more]
