"""Segmenters: results/segmentation_nuclei.csv and results/segmentation_camvid.csv; segmentation_floors.csv beside them."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from docs.numbers.formats import markdown, million, percent, times, whole
from docs.numbers.kinds import Makers
from docs.numbers.sources import Row, one, select, table
from larqnets.errors import LarqnetsError

NUCLEI = "results/segmentation_nuclei.csv"
CAMVID = "results/segmentation_camvid.csv"
FLOORS = "results/segmentation_floors.csv"

Network = Mapping[str, Any]  # the columns by which the files of a network are found, one of every seed
FLOAT: Network = {"method": "real", "variant": "float"}
INT8: Network = {"method": "real", "variant": "int8"}
BIREALNET: Network = {"method": "birealnet", "variant": "plain"}
# What is called how in the table, in its order; what has not been measured is not in it.
NETWORKS: dict[str, Network] = {
    "Bi-Real Net": BIREALNET,
    "ReActNet": {"method": "reactnet", "variant": "plain"},
    "Group-Net, one branch": {"method": "groupnet", "variant": "plain", "k": 1},
    "three branches": {"method": "groupnet", "variant": "plain", "k": 3},
    "three branches with BPAC": {"method": "groupnet", "variant": "bpac", "k": 3},
    "the same, real first": {"method": "groupnet", "variant": "staged", "k": 3},
    "float twin": FLOAT,
    "the same as int8": INT8,
    "a small SegNet, float": {"method": "segnet", "variant": "float"},
    "the SegNet as int8": {"method": "segnet", "variant": "int8"},
}


def files(name: str, network: Network) -> list[Row]:
    """Return the rows of a network, one of every seed; raises LarqnetsError where there is none."""
    if rows := select(table(name), **network):
        return rows
    raise LarqnetsError(f"{name} has no row of {dict(network)}. Measure it, or mend the selection.")


def mean(rows: Sequence[Row], column: str) -> float:
    """Return the mean of a column over the seeds."""
    return fmean(row[column] for row in rows)


def _score(rows: Sequence[Row], column: str) -> str:
    """Return a score, of several seeds their mean with the lowest and the highest."""
    text = f"{percent(mean(rows, column))} %"
    if len(rows) == 1:
        return text
    ends = [percent(end(row[column] for row in rows)) for end in (min, max)]
    return f"{text} ({' to '.join(ends)})"


def _table(name: str, dataset: str) -> str:
    lines = []
    for said, network in NETWORKS.items():
        if not (rows := select(table(name), **network)):
            continue
        trained = "" if network["variant"] == "int8" else _score(rows, "test_miou")
        cores = ("arm64_instructions_a72", "arm64_instructions_a76")
        counts = [f"{million(mean(rows, core), 1)} M" for core in cores]
        file = _score(rows, "converted_test_miou")
        lines.append([said, str(len(rows)), trained, file, whole(mean(rows, "file_bytes")), *counts])
    floor = one(table(FLOORS), dataset=dataset)
    lines.append([_FLOORS[floor["answer"]], "", f"{percent(floor['test_miou'])} %", "", "", "", ""])
    return markdown(["", "seeds", "mIoU", "of the file", "bytes", "instructions, Cortex-A72", "Cortex-A76"], lines)


def _behind(name: str, network: Network) -> str:
    """Return by how many points a binary network's mIoU is below that of its float twin, both the mean of their seeds."""
    twin, own = (mean(files(name, one), "test_miou") for one in (FLOAT, network))
    return percent(twin - own, 1)


def _fewer(name: str, network: Network, core: str) -> str:
    int8, own = (mean(files(name, one), f"arm64_instructions_{core}") for one in (INT8, network))
    return times(int8, own)


_FLOORS = {"most_frequent": "no network: the most frequent class at each pixel", "otsu": "no network: Otsu's threshold"}
ONE_BRANCH, BPAC = NETWORKS["Group-Net, one branch"], NETWORKS["three branches with BPAC"]
THREE_BRANCHES = NETWORKS["three branches"]
TABLES: Makers = {
    "segmentation_nuclei": lambda: _table(NUCLEI, "dsb2018_nuclei"),
    "segmentation_camvid": lambda: _table(CAMVID, "camvid"),
}
VALUES: Makers = {
    "nuclei_birealnet_behind": lambda: _behind(NUCLEI, BIREALNET),
    "nuclei_birealnet_fewer_a72": lambda: _fewer(NUCLEI, BIREALNET, "a72"),
    "nuclei_birealnet_fewer_a76": lambda: _fewer(NUCLEI, BIREALNET, "a76"),
    "nuclei_birealnet_minutes": lambda: f"{mean(files(NUCLEI, BIREALNET), 'seconds') / 60:.0f}",
    "camvid_birealnet_behind": lambda: _behind(CAMVID, BIREALNET),
    "camvid_groupnet_behind": lambda: _behind(CAMVID, ONE_BRANCH),
    "camvid_birealnet_fewer_a72": lambda: _fewer(CAMVID, BIREALNET, "a72"),
    "camvid_groupnet_fewer_a72": lambda: _fewer(CAMVID, ONE_BRANCH, "a72"),
    "camvid_bpac_behind": lambda: _behind(CAMVID, BPAC),
    "camvid_three_branches_behind": lambda: _behind(CAMVID, THREE_BRANCHES),
    "camvid_bpac_fewer_a72": lambda: _fewer(CAMVID, BPAC, "a72"),
    "camvid_bpac_fewer_a76": lambda: _fewer(CAMVID, BPAC, "a76"),
    "camvid_birealnet_fewer_a76": lambda: _fewer(CAMVID, BIREALNET, "a76"),
}
