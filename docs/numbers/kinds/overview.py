"""One table per task: a binary network, its float twin and that one as int8."""

from docs.numbers.formats import markdown, million, percent
from docs.numbers.kinds import Makers
from docs.numbers.kinds import detection as boxes
from docs.numbers.kinds import int8 as rests
from docs.numbers.kinds import segmentation as masks
from docs.numbers.sources import Row, one, table

REACTNET = "reactnet_resnet8_cifar10_small-seed0"


def _of_run(network: str, variant: str) -> tuple[float, int, int]:
    """Return score and instructions on a Cortex-A72 and a Cortex-A76 of a file of int8_rest.json."""
    old, new = (rests.executed(network, variant, core) for core in ("a72", "a76"))
    return rests.rest(network, variant)["test_score"], old, new


def _of_table(row: Row, score: str) -> tuple[float, int, int]:
    return row[score], row["arm64_instructions_a72"], row["arm64_instructions_a76"]


def _nuclei(method: str, variant: str) -> tuple[float, int, int]:
    return _of_table(one(table(masks.NUCLEI), method=method, variant=variant), "converted_test_miou")


def _bccd(method: str, variant: str) -> tuple[float, int, int]:
    return _of_table(boxes.file(method, variant), "converted_map50")


Files = dict[str, tuple[float, int, int]]


def _classification() -> Files:
    return {
        "binary (ReActNet), float rest": _of_run(REACTNET, "float_rest"),
        "binary, int8 rest (mixed)": _of_run(REACTNET, "mixed"),
        "float twin": _of_run(REACTNET, "float_twin"),
        "int8 twin": _of_run(REACTNET, "int8_twin"),
    }


def _segmentation() -> Files:
    return {
        "binary (Bi-Real Net)": _nuclei("birealnet", "plain"),
        "float twin": _nuclei("real", "float"),
        "int8 twin": _nuclei("real", "int8"),
    }


def _detection() -> Files:
    return {
        "binary (ReActNet)": _bccd("reactnet", "binary"),
        "float twin": _bccd("real", "float"),
        "int8 twin": _bccd("real", "int8"),
    }


def _table(score: str, files: Files) -> str:
    rows = [
        [name, f"{percent(value, 1)} %", *(million(count, 1) for count in counts)]
        for name, (value, *counts) in files.items()
    ]
    return markdown(["", score, "million instructions, Cortex-A72", "Cortex-A76"], rows)


def readme() -> str:
    """A line a task: score and million instructions on a Cortex-A76 of the binary network, its float and its int8 twin."""
    tasks = {
        "classes of CIFAR-10, ResNet-8, 32x32 (accuracy)": _classification(),
        "nuclei, ResNet-18 at width 0.25, 256x256 (mIoU)": _segmentation(),
        "blood cells, FCOS on ResNet-18 at width 0.5, 192x256 (mAP at 0.5)": _detection(),
    }
    rows = []
    for task, files in tasks.items():
        (binary, *_), (float_twin, int8_twin) = list(files.values()), list(files.values())[-2:]
        rows.append(
            [task, *(f"{percent(score, 1)} %, {million(a76, 1)}" for score, _, a76 in (binary, float_twin, int8_twin))]
        )
    return markdown(["score, million instructions (Cortex-A76)", "binary", "float", "int8"], rows)


TABLES: Makers = {
    "readme": readme,
    "overview_classification": lambda: _table("test accuracy", _classification()),
    "overview_segmentation": lambda: _table("mIoU", _segmentation()),
    "overview_detection": lambda: _table("mAP at 0.5", _detection()),
}
