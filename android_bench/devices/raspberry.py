"""What a Raspberry Pi's firmware says: pure functions from the text of `vcgencmd`, in Raspberry Pi's documented format."""

import re

UNDER_VOLTAGE = 0x1
NOW = {0x1: "under-voltage", 0x2: "clock capped", 0x4: "throttled", 0x8: "soft temperature limit"}
_SINCE_BOOT = 16  # the same bits once more, for any time since the board started


def throttled(text: str) -> int | None:
    """Return the bits of `vcgencmd get_throttled` ("throttled=0x50000"), or of the kernel's file ("50000")."""
    found = re.fullmatch(r"\s*(?:throttled=)?(?:0x)?([0-9a-fA-F]{1,8})\s*", text)
    return int(found[1], 16) if found else None


def measured(text: str) -> float | None:
    """Return degrees Celsius of `vcgencmd measure_temp` ("temp=47.2'C")."""
    found = re.search(r"temp=(\d{1,3}\.\d)'C", text)
    return float(found[1]) if found else None


def now(flags: int) -> list[str]:
    """Return in words what limits the board at this moment."""
    return [word for bit, word in NOW.items() if flags & bit]


def since_boot(flags: int) -> list[str]:
    """Return in words what has limited the board at some time since it started."""
    return [word for bit, word in NOW.items() if flags >> _SINCE_BOOT & bit]
