"""Methods on the digits and on CIFAR-10: results/digits.csv, cifar10_first.csv, cifar10_small.csv, and two long runs."""

from collections.abc import Callable
from statistics import fmean

from docs.numbers.formats import markdown, million, percent, whole
from docs.numbers.kinds import Makers
from docs.numbers.sources import Row, document, one, select, table
from larqnets.pareto_front import on_front

DIGITS = "results/digits.csv"
FIRST = "results/cifar10_first.csv"
SMALL = "results/cifar10_small.csv"
LONG = "results/cifar10_long.csv"
SDBNN_LONG = "results/sdbnn_resnet20_cifar10.json"
_CONVERTED = "converted_test_accuracy"
SAID = {
    "real": "`real` (float)",
    "binaryconnect": "`binaryconnect` (float, binary weights)",
    "elasticlink": "`elasticlink` (reconstructed)",
}


def _measured(row: Row) -> list[str]:
    """Return accuracy as trained and of the file, its bytes, and 1-bit and real MACs."""
    scores = (f"{percent(row[score])} %" for score in ("test_accuracy", _CONVERTED))
    return [*scores, *(whole(row[column]) for column in ("file_bytes", "binary_macs", "float_macs"))]


def digits() -> str:
    """One seed each, on the embedded digits."""
    backbones = {"resnet8": "resnet8, width 2", "vgg_small": "vgg_small, width 0.5"}
    rows = [
        [
            f"`{row['method']}`",
            backbones[row["backbone"]],
            *_measured(row),
        ]
        for row in table(DIGITS)
    ]
    return markdown(
        ["method", "backbone", "test accuracy", "converted", "file, bytes", "1-bit MACs", "real MACs"], rows
    )


def first() -> str:
    """The narrow ResNet-20 and its float twin."""
    rows = [
        [
            "`birealnet`" if row["method"] == "birealnet" else "`real`, its twin, float",
            *_measured(row),
            f"{row['seconds'] / 60:.0f} min",
        ]
        for row in table(FIRST)
    ]
    return markdown(
        ["network", "test accuracy", "as .tflite", "file, bytes", "1-bit MACs", "real MACs", "training"], rows
    )


def _converted(rows: list[Row]) -> float:
    return fmean(row["converted_test_accuracy"] for row in rows)


def small() -> str:
    """Every method on ResNet-8, means over seeds, the most accurate first, with those that no other beats at its cost or less."""
    groups = {
        method: select(table(SMALL), method=method) for method in dict.fromkeys(r["method"] for r in table(SMALL))
    }
    front = on_front([(rows[0]["arm64_instructions"], _converted(rows)) for rows in groups.values()])
    best = dict(zip(groups, front, strict=True))
    lines = []
    for method, rows in sorted(groups.items(), key=lambda item: -_converted(item[1])):
        scores = [row["converted_test_accuracy"] for row in rows]
        spread = [f"{percent(edge(scores))} %" if len(rows) > 1 else "" for edge in (min, max)]
        lines.append(
            [
                SAID.get(method, f"`{method}`"),
                str(len(rows)),
                f"{percent(fmean(row['test_accuracy'] for row in rows))} %",
                f"{percent(fmean(scores))} %",
                *spread,
                *(whole(rows[0][column]) for column in ("file_bytes", "arm64_instructions")),
                "yes" if best[method] else "",
            ]
        )
    head = ["method", "seeds", "test accuracy", "as .tflite: mean", "lowest", "highest", "file, bytes"]
    return markdown([*head, "ARM64 instructions", "not beaten"], lines)


def _seed0(method: str) -> Row:
    return one(table(SMALL), method=method, seed=0)


def _real_to(which: Callable[[list[float]], float]) -> str:
    """Return how many times the instructions of networks with 1-bit convolutions the float one takes: the least or the most."""
    real = _seed0("real")["arm64_instructions"]
    return f"{which([real / row['arm64_instructions'] for row in table(SMALL) if row['binary_macs']]):.1f}"


def _real_macs() -> int:
    return _seed0("birealnet")["float_macs"]


def _birealnet_long() -> Row:
    return one(table(LONG), method="birealnet", backbone="resnet20")


def _gap() -> str:
    scores = {row["method"]: row["test_accuracy"] for row in table(FIRST)}
    return percent(scores["real"] - scores["birealnet"], 0)


TABLES: Makers = {"digits": digits, "cifar10_first": first, "cifar10_small": small}
VALUES: Makers = {
    "cifar10_first_gap": _gap,
    "cifar10_small_real_least": lambda: _real_to(min),
    "cifar10_small_real_most": lambda: _real_to(max),
    "cifar10_small_real_macs": lambda: million(_real_macs()),
    **{
        f"cifar10_small_{method}_gpu": lambda m=method: percent(_seed0(m)["test_accuracy"])
        for method in ("real", "birealnet", "elasticlink", "reactnet", "sdbnn")
    },
    "birealnet_long": lambda: percent(_birealnet_long()["test_accuracy"]),
    "birealnet_long_converted": lambda: percent(_birealnet_long()[_CONVERTED]),
    "birealnet_long_bytes": lambda: whole(_birealnet_long()["file_bytes"]),
    "birealnet_long_instructions": lambda: million(_birealnet_long()["arm64_instructions"], 1),
    "sdbnn_long": lambda: percent(document(SDBNN_LONG)["test_accuracy"]),
    "sdbnn_long_converted": lambda: percent(document(SDBNN_LONG)[_CONVERTED]),
    "sdbnn_long_paper": lambda: percent(document(SDBNN_LONG)["paper"]["test_accuracy"], 1),
}
