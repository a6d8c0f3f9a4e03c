"""What Android's own commands say: pure functions from the text of `getprop` and `dumpsys` to facts.

The formats are those of the Android Open Source Project. What cannot be read is None or left out.
"""

import re

from android_bench.devices.linux import named

TEMPERATURE_TYPES = {0: "cpu", 1: "gpu", 2: "battery", 3: "skin", 4: "usb", 5: "power amplifier", 9: "npu"}
_VALUE = re.compile(r"Temperature\{mValue=(-?[\d.]+), mType=(-?\d{1,6}), mName=([^,}]*), mStatus=\d+\}")


def properties(getprop: str) -> dict[str, str]:
    """Return what `getprop` lists, "[key]: [value]" a line."""
    return dict(re.findall(r"^\[([^\]\n]+)\]: \[([^\]\n]*)\]\s*$", getprop, re.MULTILINE))


def thermal_status(dumpsys: str) -> int | None:
    """Return the status of `dumpsys thermalservice` (Android 10 or newer): 0 none .. 6 shutdown."""
    found = re.search(r"^Thermal Status: ([0-6])\s*$", dumpsys, re.MULTILINE)
    return int(found[1]) if found else None


def hal_temperatures(dumpsys: str) -> dict[str, float]:
    """Return "type:name" -> degrees Celsius of `dumpsys thermalservice`: as read now, or for want of them the kept ones."""
    for heading in ("Current temperatures from HAL:", "Cached temperatures:"):
        _, _, rest = dumpsys.partition(heading)
        section = re.split(r"^\S.*:\s*$", rest, maxsplit=1, flags=re.MULTILINE)[0]
        found = [
            (f"{TEMPERATURE_TYPES.get(int(kind), f'type {kind}')}:{name.strip()}", _number(value))
            for value, kind, name in _VALUE.findall(section)
        ]
        if found:
            return named(found)
    return {}


def battery(dumpsys: str) -> tuple[int | None, bool | None, float | None]:
    """Return level in percent, whether it is fed, and degrees Celsius, from `dumpsys battery`."""
    values = dict(re.findall(r"^\s+([\w ]+): (\S+)\s*$", dumpsys, re.MULTILINE))
    sources = [values[name] for name in values if name.endswith(" powered")]
    level, scale, tenths = (values.get(key, "") for key in ("level", "scale", "temperature"))
    is_level = all(re.fullmatch("[0-9]{1,6}", text) for text in (level, scale)) and int(scale) > 0
    percent = 100 * int(level) // int(scale) if is_level else None
    degrees = int(tenths) / 10 if re.fullmatch("-?[0-9]{1,5}", tenths) else None
    return percent, "true" in sources if sources else None, degrees


def screen_on(dumpsys: str) -> bool | None:
    """Return whether the screen is on, from the line mWakefulness of `dumpsys power`."""
    found = re.search(r"\bmWakefulness=(\w+)", dumpsys)
    return found[1] == "Awake" if found else None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0  # which `named` leaves out
