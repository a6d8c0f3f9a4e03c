"""The device families that files are made for, and what a conversion may be asked for."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from larqnets.errors import LarqnetsError, nearest

TARGETS = ("arm64",)
RuntimeOps = Literal["stock", "larqnets"]
RUNTIME_OPS: tuple[RuntimeOps, ...] = get_args(RuntimeOps)
# How files have a first convolution of stride 2 or 4 on few channels, see `deploy.export.stem`: where it is cheaper otherwise,
# or always the one or the other.
Stem = Literal["cheaper", "as-trained", "rewritten"]
STEMS: tuple[Stem, ...] = get_args(Stem)

Rest = Literal["mixed", "full"]  # what of the real-valued rest is int8: ops with weights, or all that can be
RESTS: tuple[Rest, ...] = get_args(Rest)
Calibration = Literal["minmax", "percentile", "mse"]  # how a range is chosen from the values on images
CALIBRATIONS: tuple[Calibration, ...] = get_args(Calibration)
EndType = Literal["float", "int8", "uint8"]
END_TYPES: tuple[EndType, ...] = get_args(EndType)


class Ends(NamedTuple):
    """What a file with an int8 rest takes and gives; of integers uint8 stands for the same values as int8, 128 farther up."""

    input: EndType = "float"
    output: EndType = "float"


FLOATS = Ends()


@dataclass(frozen=True)
class Int8Request:
    """What `--int8` asks for. `images`: training images that ranges are seen on; `keep_float`: layers that stay float.

    `max_drop`: by how many points the headline score may fall, to which end more layers stay float; None: however far.
    """

    rest: Rest
    images: int = 256
    calibration: Calibration = "percentile"
    keep_float: tuple[str, ...] = ()
    ends: Ends = FLOATS
    max_drop: float | None = None


_DETECTION = "detection"  # the task


def check_target(target: str) -> None:
    """Look whether there is such a device family."""
    if target not in TARGETS:
        raise LarqnetsError(f"There is no target '{target}'.{nearest(target, TARGETS)} Targets: {', '.join(TARGETS)}.")


def check_runtime_ops(runtime_ops: str, stem: Stem, *, int8: bool) -> tuple[RuntimeOps, Stem]:
    """Return what is asked for: int8 files with ops of our runtime (larqnets) or without (stock), and the stem of all files.

    Our op computes a stem as it was trained. `int8`: there will be such a file. Raises LarqnetsError where these do not go together.
    """
    if runtime_ops not in RUNTIME_OPS:
        raise LarqnetsError(
            f"There is no --runtime-ops '{runtime_ops}'.{nearest(runtime_ops, RUNTIME_OPS)} Use {' or '.join(RUNTIME_OPS)}."
        )
    if runtime_ops != "stock" and not int8:
        raise LarqnetsError("--runtime-ops is about int8 files, and none is to be written. Add --twins or --int8.")
    if runtime_ops == "stock":
        return "stock", stem
    if stem == "rewritten":
        raise LarqnetsError(
            "--runtime-ops larqnets computes a stem as it was trained, which --stem rewritten changes. Leave one of them out."
        )
    return "larqnets", "as-trained"


def check_stem(stem: str) -> Stem:
    """Return how files are to have the first convolution; raises LarqnetsError where there is no such way."""
    if stem not in STEMS:
        raise LarqnetsError(f"There is no stem '{stem}'.{nearest(stem, STEMS)} Use one of: {', '.join(STEMS)}.")
    return stem


def check_postprocess(task: str, whose: str) -> None:
    """Raise LarqnetsError when files of this task have no boxes of which overlapping ones could be left out."""
    if task != _DETECTION:
        raise LarqnetsError(
            f"{whose} is a network for {task}, and --postprocess leaves out overlapping boxes, which detectors answer with. "
            "Leave --postprocess out."
        )
