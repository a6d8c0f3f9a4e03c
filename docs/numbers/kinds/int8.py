"""Networks with an int8 rest: results/int8_rest.json, results/int8_calibration.csv and results/int8_learning.csv."""

from collections.abc import Sequence
from statistics import fmean

from docs.numbers.formats import markdown, million, percent, signed, times, whole
from docs.numbers.kinds import Makers
from docs.numbers.kinds.kernels import CORES
from docs.numbers.sources import Row, document, one, select, table

RESTS = "results/int8_rest.json"
CALIBRATION = "results/int8_calibration.csv"
LEARNING = "results/int8_learning.csv"
BIREAL, REACTNET_A = "birealnet resnet18", "reactnet reactnet_a"
CAMVID, BCCD = "camvid_birealnet-seed0", "bccd_reactnet-seed0"
RESNET20 = "birealnet_resnet20_cifar10-seed0"
CLASSIFIERS = {
    f"{method}_resnet8_cifar10_small-seed0": name
    for method, name in {
        "birealnet": "Bi-Real Net",
        "reactnet": "ReActNet",
        "sdbnn": "SD-BNN",
        "elasticlink": "Elastic-Link",
        "dorefa": "DoReFa-Net",
        "xnornet": "XNOR-Net",
        "binarynet": "BinaryNet",
        "irnet": "IR-Net",
        "binaryconnect": "BinaryConnect (weights only)",
    }.items()
}
TRAINED = {**CLASSIFIERS, RESNET20: "Bi-Real Net, ResNet-20", CAMVID: "CamVid, Bi-Real Net", BCCD: "BCCD, ReActNet"}
VARIANTS = (
    ("float rest, stem as trained", "float_rest", "as_trained"),
    ("float rest, stem rewritten", "float_rest", "rewritten"),
    ("mixed", "mixed", "rewritten"),
    ("full", "full", "rewritten"),
    ("mixed with the stem of our runtime", "mixed_own_stem", "own_op"),
    ("float twin", "float_twin", "rewritten"),
    ("int8 twin, stem as trained", "int8_twin", "as_trained"),
    ("int8 twin, stem rewritten", "int8_twin", "rewritten"),
    ("int8 twin with the stem of our runtime", "int8_twin_own_stem", "own_op"),
)


def rest(
    network: str, variant: str, core: str = "a76", size: int | None = None, stem: str = "", ends: str = "float"
) -> Row:
    """Return a row of int8_rest.json; without `stem` the one that is usual: rewritten where there is such a row."""
    rows = [
        row
        for row in document(RESTS)
        if (row["network"], row["variant"], row["cpu"], row["input"]) == (network, variant, CORES[core], ends)
        and size in (None, row["image_size"])
    ]
    stems = {row["stem"] for row in rows}
    return one(rows, stem=stem or ("rewritten" if "rewritten" in stems else min(stems)))


def executed(
    network: str, variant: str, core: str = "a76", size: int | None = None, stem: str = "", ends: str = "float"
) -> int:
    """Return the executed instructions of such a row."""
    return rest(network, variant, core, size, stem, ends)["instructions"]


def resnet18(size: int) -> str:
    """Bi-Real ResNet-18 and its twins, millions."""
    rows = []
    for name, variant, stem in VARIANTS:
        cells = [million(executed(BIREAL, variant, core, size=size, stem=stem)) for core in CORES]
        rows.append([name, *cells, whole(rest(BIREAL, variant, size=size, stem=stem)["file_bytes"])])
    return markdown([f"{size}x{size}, millions", "Cortex-A72", "Cortex-A76", "i8mm", "bytes"], rows)


def _difference(row: Row) -> str:
    """Return a score with its difference to the float rest, and that one's paired interval where there is one."""
    if row["difference"] is None:
        apart = signed(row["test_score"] - row["float_rest_score"])
    else:
        apart = f"{signed(row['difference'])}, {signed(row['difference_low'])} to {signed(row['difference_high'])}"
    return f"{percent(row['test_score'])} ({apart})"


def scores() -> str:
    """Scores of trained networks by their rest, percent."""
    return markdown(
        ["", "float rest, %", "mixed", "full"],
        [
            [
                name,
                percent(rest(network, "float_rest")["test_score"]),
                *(_difference(rest(network, variant)) for variant in ("mixed", "full")),
            ]
            for network, name in TRAINED.items()
        ],
    )


def instructions() -> str:
    """Instructions of trained networks by their rest, millions."""
    rows = []
    for network, name in TRAINED.items():
        cells = [
            " / ".join(million(executed(network, variant, core)) for core in CORES)
            for variant in ("float_rest", "mixed", "mixed_own_stem", "int8_twin")
        ]
        sizes = " / ".join(whole(rest(network, variant)["file_bytes"]) for variant in ("float_rest", "mixed"))
        rows.append([name, *cells, sizes])
    head = [
        "millions, Cortex-A72 / A76 / i8mm",
        "float rest",
        "mixed",
        "mixed with the stem of our runtime",
        "int8 twin",
    ]
    return markdown([*head, "bytes, float rest and mixed"], rows)


def _above_percentile(kind: str, calibration: str) -> float:
    """Return by how much a way to choose ranges is above `percentile`, the mean over runs of as many images each."""
    rows = select(table(CALIBRATION), rest=kind)
    return fmean(
        one(rows, run=run, calibration=calibration)["accuracy"]
        - one(rows, run=run, calibration="percentile")["accuracy"]
        for run in {row["run"] for row in rows}
    )


def calibration() -> str:
    """Ways to choose ranges beside the default one, in points."""
    return markdown(
        ["", "`minmax`", "`mse`"],
        [[kind, *(signed(_above_percentile(kind, way)) for way in ("minmax", "mse"))] for kind in ("mixed", "full")],
    )


def learning() -> str:
    """What more epochs with the rest as int8 give, beside the networks as they were trained."""
    lines: dict[str, list[str]] = {}
    for row in table(LEARNING):
        network = next(run for run, name in CLASSIFIERS.items() if name == row["network"])
        before = lines.setdefault(f"{row['network']}, as it was trained", [])
        before[:] = [percent(rest(network, "float_rest")["test_score"])]
        before += [_difference(rest(network, kind)) for kind in ("mixed", "full")]
        after = lines.setdefault(f"{row['network']}, {row['training']}", [])
        after.append(percent(row["test_score"]) if row["rest"] == "float" else _difference(row))
    return markdown(["", "float rest, %", "mixed", "full"], [[name, *line] for name, line in lines.items()])


def _of(rows: Sequence[str], kind: str) -> int:
    """Return how many networks lose for sure: their whole interval is below 0."""
    return sum(rest(network, kind)["difference_high"] < 0 for network in rows)


def _apart(network: str, kind: str) -> str:
    """Return how many points a network loses by a rest."""
    row = rest(network, kind)
    return percent(row["float_rest_score"] - row["test_score"], 1)


def _real(variant: str) -> float:
    return rest(next(iter(CLASSIFIERS)), variant)["test_score"]


def _best() -> float:
    """Return the best score of a binary ResNet-8, with a float rest; BinaryConnect's is no binary network."""
    binary = [network for network, name in CLASSIFIERS.items() if "weights only" not in name]
    return max(rest(network, "float_rest")["test_score"] for network in binary)


TABLES: Makers = {
    "int8_resnet18_112": lambda: resnet18(112),
    "int8_resnet18_224": lambda: resnet18(224),
    "int8_scores": scores,
    "int8_instructions": instructions,
    "int8_calibration": calibration,
    "int8_learning": learning,
}


def fewer(variant: str, core: str, size: int = 112, twin: str = "int8_twin") -> str:
    """Return how many times fewer instructions a binary ResNet-18 executes than its int8 twin."""
    return times(executed(BIREAL, twin, core, size=size), executed(BIREAL, variant, core, size=size))


VALUES: Makers = {
    **{
        f"int8_resnet18_{size}_ratio_{core}": lambda s=size, c=core: fewer("mixed_own_stem", c, s)
        for size in (112, 224)
        for core in ("a72", "a76")
    },
    **{
        f"int8_resnet18_{size}_ratio_{core}_same_stem": lambda s=size, c=core: fewer(
            "mixed_own_stem", c, s, "int8_twin_own_stem"
        )
        for size in (112, 224)
        for core in ("a76", "i8mm")
    },
    "int8_resnet18_112_ratio_i8mm_stock": lambda: times(
        executed(BIREAL, "float_rest", "i8mm", size=112), executed(BIREAL, "mixed", "i8mm", size=112)
    ),
    "int8_resnet18_112_ratio_a76_stock": lambda: times(
        executed(BIREAL, "float_rest", "a76", size=112), executed(BIREAL, "mixed", "a76", size=112)
    ),
    "int8_uint8_more": lambda: million(
        executed(BIREAL, "mixed", "a76", size=112, ends="uint8") - executed(BIREAL, "mixed", "a76", size=112)
    ),
    "int8_reactnet_a_float_rest": lambda: million(executed(REACTNET_A, "float_rest", "a76"), 1),
    "int8_reactnet_a_mixed_a76": lambda: million(executed(REACTNET_A, "mixed", "a76"), 1),
    "int8_reactnet_a_mixed_a72": lambda: million(executed(REACTNET_A, "mixed", "a72"), 1),
    "int8_reactnet_a_own_stem_a76": lambda: million(executed(REACTNET_A, "mixed_own_stem", "a76"), 1),
    "int8_reactnet_a_own_stem_a72": lambda: million(executed(REACTNET_A, "mixed_own_stem", "a72"), 1),
    "int8_reactnet_a_twin_a76": lambda: million(executed(REACTNET_A, "int8_twin_own_stem", "a76"), 1),
    "int8_reactnet_a_twin_a72": lambda: million(executed(REACTNET_A, "int8_twin_own_stem", "a72"), 1),
    "int8_mixed_losers": lambda: str(_of(list(CLASSIFIERS), "mixed")),
    "int8_full_losers": lambda: str(_of(list(CLASSIFIERS), "full")),
    "int8_mixed_birealnet_loss": lambda: _apart(next(iter(CLASSIFIERS)), "mixed"),
    "int8_resnet20_mixed_loss": lambda: percent(-rest(RESNET20, "mixed")["difference"]),
    "int8_resnet20_mixed_least": lambda: percent(-rest(RESNET20, "mixed")["difference_high"]),
    "int8_resnet20_mixed_most": lambda: percent(-rest(RESNET20, "mixed")["difference_low"]),
    "int8_resnet20_full_loss": lambda: percent(-rest(RESNET20, "full")["difference"]),
    "int8_real_float": lambda: percent(_real("float_twin")),
    "int8_real_int8": lambda: percent(_real("int8_twin")),
    "int8_real_ahead": lambda: percent(_real("float_twin") - _best(), 1),
    **{
        f"bccd_reactnet_{variant}_{core}": lambda v=variant, c=core: million(executed(BCCD, v, c), 1)
        for variant, core in (
            *(("float_rest", "a72"), ("mixed", "a76"), ("mixed", "i8mm")),
            *(("mixed_own_stem", "a72"), ("mixed_own_stem", "a76"), ("mixed_own_stem", "i8mm")),
            *(("int8_twin", "a72"), ("int8_twin", "a76"), ("int8_twin", "i8mm"), ("int8_twin_own_stem", "a72")),
            ("float_twin", "a72"),
        )
    },
    "bccd_reactnet_score": lambda: percent(rest(BCCD, "float_rest")["test_score"], 1),
    "bccd_reactnet_mixed_loss": lambda: _apart(BCCD, "mixed"),
    "bccd_reactnet_full_loss": lambda: _apart(BCCD, "full"),
    **{
        f"camvid_birealnet_{variant}_{core}": lambda v=variant, c=core: million(executed(CAMVID, v, c), 1)
        for variant, core in (
            *(("float_rest", "a72"), ("float_twin", "a72"), ("mixed", "a76"), ("mixed", "i8mm")),
            *(("int8_twin", "a72"), ("int8_twin", "a76"), ("int8_twin", "i8mm")),
        )
    },
}
