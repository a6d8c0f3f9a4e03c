"""Decomposed networks: results/cbd_cifar10.csv, cbd_segnet.csv of a segmenter, and cbd_files.csv of the converted files."""

import functools

from docs.numbers.formats import markdown, percent, whole
from docs.numbers.kinds import Makers
from docs.numbers.sources import Row, one, select, table

METHODS = "results/cbd_cifar10.csv"
SEGMENTER = "results/cbd_segnet.csv"
FILES = "results/cbd_files.csv"
NETWORKS = {
    "resnet56": "ResNet-56",
    "vgg16bn": "VGG-16-BN",
    "real_resnet20_cifar10_short-seed0": "`real_resnet20_cifar10_short`, ours",
}
SHORT = {"resnet56": "ResNet-56", "vgg16bn": "VGG-16-BN", "real_resnet20_cifar10_short-seed0": "ours"}
SEGNET = "camvid_segnet-seed0"
TITLES = NETWORKS | {SEGNET: "SegNet"}
FINE = (3, 4, 5, 6)
FOUND = ("cbd sound", "found {} bits")
LINES = {  # what a line of the table is called -> method, settings
    "cbd sound, steps found for 3 to 6 bits": ("cbd sound", [f"found {bits} bits" for bits in FINE]),
    "cbd sound, one step f = 0.5, 0.25, 0.125, 0.0625": (
        "cbd sound",
        [f"rice f={step}" for step in ("0.5", "0.25", "0.125", "0.0625")],
    ),
    **{f"cbd paper, b = {b}, J = 3 to 6": ("cbd paper", [f"J={j} b={b}" for j in FINE]) for b in ("0.2", "0.3")},
    **{
        f"uniform, {part}, {clip}, 3 to 6 bits": ("uniform", [f"{part} {clip} {bits} bits" for bits in FINE])
        for part in ("layer", "channel")
        for clip in ("max", "mse")
    },
    "sketching, refined, m = 3 to 6": ("sketch", [f"refined m={m}" for m in FINE]),
    "sketching, direct, m = 3 to 6": ("sketch", [f"direct m={m}" for m in FINE]),
    "ABC bases, m = 3 to 6": ("abc", [f"m={m}" for m in FINE]),
    "cbd sound, steps found for 2 bits": ("cbd sound", ["found 2 bits"]),
}


def _rows(network: str, method: str, setting: str) -> list[Row]:
    return select([*table(METHODS), *table(SEGMENTER)], network=network, method=method, setting=setting)


def _score(row: Row, of: str) -> float:
    """Return what a network scores, `of` "test" or "float": by its table that is its accuracy or its mIoU."""
    return row[next(column for column in row if column.startswith(f"{of}_"))]


@functools.cache
def _size(network: str) -> tuple[float, float]:
    """Return how many weights the kernels of a network have, and the bits that all else takes for each of them.

    From two rows whose own codes are the cheapest ones: 8 container_bytes / weights + rest = file_bits_per_weight.
    """
    few, many = (one(_rows(network, FOUND[0], FOUND[1].format(bits))) for bits in (3, 5))
    bits = many["file_bits_per_weight"] - few["file_bits_per_weight"]
    weights = 8 * (many["container_bytes"] - few["container_bytes"]) / bits
    return weights, few["file_bits_per_weight"] - 8 * few["container_bytes"] / weights


def _bits(row: Row) -> float:
    """Return the bits per weight of everything in a file with kernels in the cheapest codes; without integers those of the method."""
    if row["container_bytes"] is None:
        return row["file_bits_per_weight"]
    weights, rest = _size(row["network"])
    return 8 * row["container_bytes"] / weights + rest


def _cell(network: str, method: str, setting: str) -> str:
    """Return accuracy and bits of a setting, "-" of one that the network cannot have."""
    found = _rows(network, method, setting)
    return " ".join(f"{percent(_score(row, 'test'))} ({_bits(row):.2f})" for row in found) or "-"


def methods(network: str) -> str:
    """All methods on a network."""
    (int8,) = _rows(network, "int8", "per channel")
    scores = f"float {percent(_score(int8, 'float'))} %, int8 {_cell(network, 'int8', 'per channel')}"
    rows = []
    for name, (method, settings) in LINES.items():
        cells = [_cell(network, method, setting) for setting in settings]
        rows.append([name, *cells, *[""] * (len(FINE) - len(cells))])
    return markdown([f"{TITLES[network]}: {scores}", *[""] * len(FINE)], rows)


def _lost(network: str, bits: int) -> float:
    row = one(_rows(network, FOUND[0], FOUND[1].format(bits)))
    return _score(row, "float") - _score(row, "test")


def _others_lost(network: str, bits: int) -> float:
    """Return what the best of all other settings loses in a file of at most half a bit a weight more."""
    ours = one(table(METHODS), network=network, method=FOUND[0], setting=FOUND[1].format(bits))
    most = _bits(ours) + 0.5
    others = [row for row in select(table(METHODS), network=network) if not row["setting"].startswith("found")]
    best = max(row["test_accuracy"] for row in others if _bits(row) <= most)
    return ours["float_accuracy"] - best


def losses() -> str:
    """What steps found lose, and the best of the others."""
    rows = []
    for bits in (3, 4, 5):
        cells = [f"{percent(_lost(name, bits))}, {percent(_others_lost(name, bits))}" for name in NETWORKS]
        rows.append([f"{bits} bits", *cells])
    return markdown(["points lost: steps found, best other", *SHORT.values()], rows)


def _deflate(bits: int) -> list[float]:
    """Return by what share DEFLATE of the integers is larger than the container, for steps found."""
    rows = select(table(METHODS), method=FOUND[0], setting=FOUND[1].format(bits))
    return [row["deflate_bytes"] / row["container_bytes"] - 1 for row in rows]


def deflate() -> str:
    """DEFLATE beside the container."""
    rows = []
    for bits in (2, 3, 4, 5, 6):
        shares = _deflate(bits)
        rows.append([f"{bits} bits", f"{100 * min(shares):+.1f} % to {100 * max(shares):+.1f} %"])
    return markdown(["steps found", "DEFLATE larger than the container by"], rows)


def files() -> str:
    """What is converted of the networks with steps found."""
    rows = [row for row in table(FILES) if not row["what"].startswith("accuracy")]
    return markdown(
        ["", *SHORT.values()],
        [[row["what"], *(whole(row[name]) for name in ("resnet56", "vgg16bn", "ours"))] for row in rows],
    )


def accuracies() -> str:
    """How accurate the files are."""
    rows = [row for row in table(FILES) if row["what"].startswith("accuracy")]
    return markdown(
        ["test accuracy", *SHORT.values()],
        [
            [
                row["what"].removeprefix("accuracy of "),
                *(f"{percent(row[n])} %" for n in ("resnet56", "vgg16bn", "ours")),
            ]
            for row in rows
        ],
    )


TABLES: Makers = {
    "cbd_resnet56": lambda: methods("resnet56"),
    "cbd_vgg16bn": lambda: methods("vgg16bn"),
    "cbd_resnet20": lambda: methods("real_resnet20_cifar10_short-seed0"),
    "cbd_segnet": lambda: methods(SEGNET),
    "cbd_losses": losses,
    "cbd_deflate": deflate,
    "cbd_files": files,
    "cbd_files_accuracy": accuracies,
}
VALUES: Makers = {
    **{f"cbd_segnet_lost_{bits}": lambda bits=bits: percent(_lost(SEGNET, bits)) for bits in (2, 3, 5)},
    "cbd_segnet_bits_5": lambda: f"{_bits(one(_rows(SEGNET, FOUND[0], FOUND[1].format(5)))):.2f}",
}
