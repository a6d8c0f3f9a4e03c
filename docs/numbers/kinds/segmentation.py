"""Segmenters: results/segmentation_nuclei.csv and results/segmentation_camvid.csv."""

from docs.numbers.formats import markdown, million, percent, times, whole
from docs.numbers.kinds import Makers
from docs.numbers.sources import Row, one, table

NUCLEI = "results/segmentation_nuclei.csv"
CAMVID = "results/segmentation_camvid.csv"


def _file(name: str, method: str, variant: str) -> Row:
    return one(table(name), method=method, variant=variant)


def _line(said: str, row: Row) -> list[str]:
    trained = "" if row["variant"] == "int8" else f"{percent(row['test_miou'])} %"
    counts = (row["arm64_instructions_a72"], row["arm64_instructions_a76"])
    file = f"{percent(row['converted_test_miou'])} %"
    return [said, trained, file, whole(row["file_bytes"]), *(f"{million(count, 1)} M" for count in counts)]


def _table(name: str, binary: dict[str, str]) -> str:
    """Return the table of a data set; `binary` is method -> name of its binary networks."""
    rows = [_line(said, _file(name, method, "plain")) for method, said in binary.items()]
    rows.append(_line("float twin", _file(name, "real", "float")))
    rows.append(_line("the same as int8", _file(name, "real", "int8")))
    return markdown(["", "mIoU", "of the file", "bytes", "instructions, Cortex-A72", "Cortex-A76"], rows)


def _behind(name: str, method: str) -> str:
    """Return by how many points a binary network's mIoU is below that of its float twin."""
    return percent(_file(name, "real", "float")["test_miou"] - _file(name, method, "plain")["test_miou"], 1)


def _fewer(name: str, method: str, core: str) -> str:
    column = f"arm64_instructions_{core}"
    return times(_file(name, "real", "int8")[column], _file(name, method, "plain")[column])


TABLES: Makers = {
    "segmentation_nuclei": lambda: _table(NUCLEI, {"birealnet": "Bi-Real Net"}),
    "segmentation_camvid": lambda: _table(CAMVID, {"birealnet": "Bi-Real Net", "groupnet": "Group-Net, one branch"}),
}
VALUES: Makers = {
    "nuclei_birealnet_behind": lambda: _behind(NUCLEI, "birealnet"),
    "nuclei_birealnet_fewer_a72": lambda: _fewer(NUCLEI, "birealnet", "a72"),
    "nuclei_birealnet_fewer_a76": lambda: _fewer(NUCLEI, "birealnet", "a76"),
    "nuclei_birealnet_minutes": lambda: f"{_file(NUCLEI, 'birealnet', 'plain')['seconds'] / 60:.0f}",
    "camvid_birealnet_behind": lambda: _behind(CAMVID, "birealnet"),
    "camvid_groupnet_behind": lambda: _behind(CAMVID, "groupnet"),
    "camvid_birealnet_fewer_a72": lambda: _fewer(CAMVID, "birealnet", "a72"),
    "camvid_groupnet_fewer_a72": lambda: _fewer(CAMVID, "groupnet", "a72"),
    "camvid_birealnet_fewer_a76": lambda: _fewer(CAMVID, "birealnet", "a76"),
}
