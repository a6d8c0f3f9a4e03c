"""Speed of our training loop: results/training.json."""

from docs.numbers.formats import markdown, whole
from docs.numbers.kinds import Makers
from docs.numbers.sources import document

TRAINING = "results/training.json"
CASES = {
    "cifar10": "`birealnet` on `resnet20`, 32x32x3, 128",
    "cifar10_mixed": "the same with `train.mixed_precision = true` (plain stays float32)",
    "digits": "`birealnet` on `resnet8`, 8x8x1, 64",
}


def speed() -> str:
    """Images a second beside plain Larq in model.fit."""
    rows = []
    for result in document(TRAINING)["results"]:
        ours, plain = (result["images_per_second"][name] for name in ("larqnets", "plain_larq"))
        peaks = [result["peak_bytes"][name] / 2**20 for name in ("larqnets", "plain_larq")]
        memory = f"{peaks[0]:,.0f} MiB, plain {peaks[1]:,.0f}"
        rows.append([CASES[result["case"]], whole(ours), whole(plain), f"{result['ratio']:.2f}", memory])
    return markdown(["network, image, batch", "images/s", "plain Larq", "ratio", "peak memory"], rows)


def _slowest_pipeline() -> str:
    """Return the images a second that the slowest input pipeline delivers alone, in whole ten thousands."""
    slowest = min(result["pipeline_alone_images_per_second"] for result in document(TRAINING)["results"])
    return whole(slowest // 10_000 * 10_000)


TABLES: Makers = {"training_speed": speed}
VALUES: Makers = {
    "training_pipeline": _slowest_pipeline,
    "training_machine": lambda: document(TRAINING)["machine"]["cpu"],
    "training_cores": lambda: str(document(TRAINING)["machine"]["cpu_count"]),
}
