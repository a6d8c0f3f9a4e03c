"""Detectors: results/detection.csv."""

from docs.numbers.formats import markdown, million, percent, times, whole
from docs.numbers.kinds import Makers
from docs.numbers.sources import Row, one, table

BCCD = "results/detection.csv"
FILES = {
    ("reactnet", "binary"): "ReActNet, all of it",
    ("birealnet", "binary"): "Bi-Real Net, all of it",
    ("groupnet", "binary"): "Group-Net, one branch, all of it",
    ("real", "float"): "float twin",
    ("real", "int8"): "the same as int8",
}


def file(method: str, variant: str = "binary") -> Row:
    """Return the row of a file."""
    return one(table(BCCD), dataset="bccd", method=method, variant=variant)


def bccd() -> str:
    """Blood cells."""
    rows = []
    for (method, variant), said in FILES.items():
        row = file(method, variant)
        trained = ["", ""] if variant == "int8" else [f"{percent(row[score])} %" for score in ("map50", "map")]
        counts = (row["arm64_instructions_a72"], row["arm64_instructions_a76"])
        converted, size = f"{percent(row['converted_map50'])} %", whole(row["file_bytes"])
        rows.append([said, trained[0], converted, trained[1], size, *(f"{million(count, 1)} M" for count in counts)])
    head = ["", "mAP at 0.5", "of the file", "mAP 0.5 to 0.95", "bytes", "instructions, Cortex-A72", "Cortex-A76"]
    return markdown(head, rows)


def _behind(method: str) -> str:
    return percent(file("real", "float")["map50"] - file(method)["map50"], 1)


def _fewer(method: str, core: str) -> str:
    column = f"arm64_instructions_{core}"
    return times(file("real", "int8")[column], file(method)[column])


TABLES: Makers = {"detection_bccd": bccd}
VALUES: Makers = {
    **{f"bccd_{method}_behind": lambda m=method: _behind(m) for method in ("reactnet", "birealnet", "groupnet")},
    **{f"bccd_birealnet_fewer_{core}": lambda c=core: _fewer("birealnet", c) for core in ("a72", "a76")},
}
