"""What branches buy and cost: results/groupnet_cifar10.csv, groupnet_real1x1.csv, groupnet_instructions.json, groupnet_training.json."""

from docs.numbers.formats import markdown, percent, times, whole
from docs.numbers.kinds import Makers
from docs.numbers.sources import Row, document, one, table

SWEEP = "results/groupnet_cifar10.csv"
REAL_1X1 = "results/groupnet_real1x1.csv"
INSTRUCTIONS = "results/groupnet_instructions.json"
TRAINING = "results/groupnet_training.json"
NAMES = {
    ("groupnet", 1): "one branch",
    ("groupnet", 3): "three branches, learned gates",
    ("groupnet", 5): "five branches, learned gates",
    ("lbd", 5): "`lbd`: every convolution a sum of five",
    ("gbd_v1", 5): "`gbd_v1`: five meet behind every block",
    ("gbd_v2", 5): "`gbd_v2`: behind every second block",
    ("gbd_v3", 5): "`gbd_v3`: before the classifier",
}
FORMS = {
    "separate": "separate",
    "stacked": "stacked",
    "batched": "batched",
    "separate_jit": "separate, jit",
    "separate_mixed": "separate, `train.mixed_precision=true`",
    "stacked_mixed": "stacked, `train.mixed_precision=true`",
}


def accuracy() -> str:
    """Variants on CIFAR-10."""
    rows = [(name, one(table(SWEEP), variant=variant, k=k)) for (variant, k), name in NAMES.items()]
    rows.append(("Group-Net\\*\\*: five branches, gates, real 1x1", one(table(REAL_1X1))))
    columns = ("file_bytes", "binary_macs", "float_macs", "arm64_instructions")
    lines = [
        [
            name,
            f"{percent(row['test_accuracy'])} %",
            f"{percent(row['converted_test_accuracy'])} %",
            *(whole(row[column]) for column in columns),
        ]
        for name, row in rows
    ]
    head = ["", "test accuracy", "as .tflite", "file, bytes", "1-bit MACs", "real MACs", "ARM64 instructions (A72)"]
    return markdown(head, lines)


def _counted(k: int, cpu: str = "cortex-a76") -> Row:
    return one(document(INSTRUCTIONS)["rows"], k=k, cpu=cpu)


def instructions() -> str:
    """Instructions by the number of branches."""
    rows = [
        [
            str(k),
            *(whole(_counted(k)[kind]) for kind in ("binary", "float", "glue", "total")),
            f"{percent(_counted(k)['glue'] / _counted(k)['total'], 1)} %",
            times(_counted(k)["total"], _counted(1)["total"], 2),
        ]
        for k in (1, 3, 5, 8)
    ]
    head = ["K", "1-bit convolutions", "real: pooling and classifier", "glue", "total", "glue", "to K = 1"]
    return markdown(head, rows)


def training() -> str:
    """Forms of the training step."""

    def cell(form: str, k: int) -> str:
        row = one(document(TRAINING)["rows"], form=form, k=k)
        return f"{row['speed_to_separate']:.2f}, {row['peak_memory_mb']:,.0f}, {row['trace_seconds']:.1f}"

    rows = [[name, *(cell(form, k) for k in (1, 3, 5))] for form, name in FORMS.items()]
    return markdown(["form", "K = 1", "K = 3", "K = 5"], rows)


def _lost(variant: str) -> str:
    """Return by how many points `variant` is below v1, which meets behind every block."""
    scores = [one(table(SWEEP), variant=name, k=5)["test_accuracy"] for name in ("gbd_v1", variant)]
    return percent(scores[0] - scores[1], 1)


def _i8mm_less() -> str:
    counts = [_counted(5, cpu)["total"] for cpu in ("cortex-a76", "i8mm")]
    return percent(1 - counts[1] / counts[0])


def _lbd_cheaper() -> str:
    counts = {name: one(table(SWEEP), variant=name, k=5)["arm64_instructions"] for name in ("gbd_v1", "lbd")}
    return percent(1 - counts["lbd"] / counts["gbd_v1"], 0)


def _share_of_glue() -> str:
    return percent(_counted(5)["glue"] / _counted(5)["total"], 0)


TABLES: Makers = {
    "groupnet_accuracy": accuracy,
    "groupnet_instructions": instructions,
    "groupnet_training": training,
}
VALUES: Makers = {
    "groupnet_v2_above_v1": lambda: _lost("gbd_v2").lstrip("-"),
    "groupnet_lbd_below_v1": lambda: _lost("lbd"),
    "groupnet_lbd_cheaper": _lbd_cheaper,
    "groupnet_i8mm_less": _i8mm_less,
    "groupnet_glue_share": _share_of_glue,
}
