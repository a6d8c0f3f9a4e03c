"""The device families that files are made for."""

from larqnets.errors import LarqnetsError, nearest

TARGETS = ("arm64",)


def check_target(target: str) -> None:
    """Look whether there is such a device family."""
    if target not in TARGETS:
        raise LarqnetsError(f"There is no target '{target}'.{nearest(target, TARGETS)} Targets: {', '.join(TARGETS)}.")
