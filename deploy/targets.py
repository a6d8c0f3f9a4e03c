"""The device families that files are made for, and what a conversion may be asked for."""

from larqnets.errors import LarqnetsError, nearest

TARGETS = ("arm64",)
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
