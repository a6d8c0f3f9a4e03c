"""The device families that files are made for, and what a conversion may be asked for."""

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from larqnets.errors import LarqnetsError, nearest

TARGETS = ("arm64",)

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


def check_postprocess(task: str, whose: str) -> None:
    """Raise LarqnetsError when files of this task have no boxes of which overlapping ones could be left out."""
    if task != _DETECTION:
        raise LarqnetsError(
            f"{whose} is a network for {task}, and --postprocess leaves out overlapping boxes, which detectors answer with. "
            "Leave --postprocess out."
        )
