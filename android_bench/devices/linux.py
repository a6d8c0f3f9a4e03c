"""What the files of a Linux system say: pure functions from their text to facts. What cannot be read is None or left out.

The formats are those of the kernel's documentation: /proc/cpuinfo, /proc/meminfo, /proc/loadavg, cpufreq (kHz), thermal
zones (thousandths of a degree Celsius). Groups of small files arrive as `grep` prints them, "path:value" a line.
"""

import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

Core = TypeVar("Core")  # its number, or the same as text

# CPU implementer and part, as in /proc/cpuinfo, to the name that people use.
PARTS = {
    0x41: {
        **{0xD03: "Cortex-A53", 0xD04: "Cortex-A35", 0xD05: "Cortex-A55", 0xD07: "Cortex-A57", 0xD08: "Cortex-A72"},
        **{0xD09: "Cortex-A73", 0xD0A: "Cortex-A75", 0xD0B: "Cortex-A76", 0xD0C: "Neoverse-N1", 0xD0D: "Cortex-A77"},
        **{0xD40: "Neoverse-V1", 0xD41: "Cortex-A78", 0xD44: "Cortex-X1", 0xD46: "Cortex-A510", 0xD47: "Cortex-A710"},
        **{0xD48: "Cortex-X2", 0xD49: "Neoverse-N2", 0xD4B: "Cortex-A78C", 0xD4C: "Cortex-X1C", 0xD4D: "Cortex-A715"},
        **{0xD4E: "Cortex-X3", 0xD4F: "Neoverse-V2", 0xD80: "Cortex-A520", 0xD81: "Cortex-A720", 0xD82: "Cortex-X4"},
    },
    0x51: {
        **{0x800: "Kryo 2xx Gold", 0x801: "Kryo 2xx Silver", 0x802: "Kryo 3xx Gold", 0x803: "Kryo 3xx Silver"},
        **{0x804: "Kryo 4xx Gold", 0x805: "Kryo 4xx Silver"},
    },
    0x53: {0x001: "Exynos-M1", 0x002: "Exynos-M3", 0x003: "Exynos-M4", 0x004: "Exynos-M5"},
}


def cpu_parts(cpuinfo: str) -> dict[int, str]:
    """Return core -> its design, e.g. Cortex-A76, or implementer/part in hexadecimal when it has no name here."""
    parts: dict[int, str] = {}
    core, implementer = None, None
    for line in cpuinfo.splitlines():
        key, _, value = (word.strip() for word in line.partition(":"))
        if key == "processor" and value.isdecimal():
            core, implementer = int(value), None
        elif key == "CPU implementer":
            implementer = _integer(value, 16)
        elif key == "CPU part" and core is not None and implementer is not None:
            part = _integer(value, 16)
            if part is not None:
                parts[core] = PARTS.get(implementer, {}).get(part) or f"{implementer:#x}/{part:#x}"
    return parts


def hardware(cpuinfo: str) -> str | None:
    """Return the line "Hardware" of /proc/cpuinfo, which older kernels have."""
    found = re.search(r"^Hardware\s*:\s*(.+?)\s*$", cpuinfo, re.MULTILINE)
    return found[1] if found else None


def per_core(lines: str, name: str) -> dict[int, str]:
    """Return core -> value of the file `name` in its cpufreq folder."""
    found = re.findall(rf"^\S*/cpu(\d{{1,4}})/cpufreq/{name}:(.*)$", lines, re.MULTILINE)
    return {int(core): value.strip() for core, value in sorted(found, key=lambda entry: int(entry[0]))}


def mhz(values: Mapping[Core, str]) -> dict[Core, float]:
    """Return core -> MHz of values in kHz."""
    return {core: int(khz) / 1000 for core, khz in values.items() if re.fullmatch("[1-9][0-9]{0,8}", khz)}


def core_list(text: str) -> set[int] | None:
    """Return the cores of a list like "0-3,7", as /sys/devices/system/cpu/online has it; None when it is none."""
    cores: set[int] = set()
    if not re.fullmatch(r"\s*\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*\s*", text):
        return None
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if not int(first) <= int(last or first) < 4096:
            return None
        cores |= set(range(int(first), int(last or first) + 1))
    return cores


def core_mask(text: str) -> set[int] | None:
    """Return the cores of a mask like "Cpus_allowed:\\tff" or "3,ffffffff" (words of 32 bits); None when it is none."""
    found = re.fullmatch(r"(?:Cpus_allowed:)?\s*([0-9a-fA-F]{1,8}(?:,[0-9a-fA-F]{8})*)\s*", text)
    if found is None:
        return None
    mask = int(found[1].replace(",", ""), 16)
    return {core for core in range(mask.bit_length()) if mask >> core & 1}


def temperatures(lines: str) -> dict[str, float]:
    """Return the kind of each thermal zone -> degrees Celsius; a second zone of a kind is "kind 2".

    Some older kernels count whole degrees. Zones that read exactly 0, or what no chip has, are switched off and left out.
    """
    kinds = dict(re.findall(r"^\S*/thermal_zone(\d{1,4})/type:(.*)$", lines, re.MULTILINE))
    values = dict(re.findall(r"^\S*/thermal_zone(\d{1,4})/temp:\s*(-?\d{1,9})\s*$", lines, re.MULTILINE))
    found = []
    for zone, value in sorted(values.items(), key=lambda entry: int(entry[0])):
        degrees = int(value) if abs(int(value)) < 300 else int(value) / 1000
        found.append((kinds.get(zone, "").strip() or f"zone {zone}", degrees))
    return named(found)


def named(found: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return name -> degrees Celsius of what can be true, with names made unique."""
    result: dict[str, float] = {}
    for name, degrees in found:
        if degrees == 0 or not -30 <= degrees <= 150:
            continue
        unique, number = name, 2
        while unique in result:
            unique, number = f"{name} {number}", number + 1
        result[unique] = float(degrees)
    return result


def fan(lines: str) -> str | None:
    """Return the kind of a cooling device that is a fan, None when the kernel knows none."""
    kinds = re.findall(r"^\S*/cooling_device\d+/type:(.*)$", lines, re.MULTILINE)
    return next((kind.strip() for kind in kinds if "fan" in kind.lower()), None)


def memory_mb(meminfo: str, key: str = "MemTotal") -> int | None:
    """Return a line of /proc/meminfo in MiB."""
    found = re.search(rf"^{key}:\s*(\d{{1,15}}) kB", meminfo, re.MULTILINE)
    return int(found[1]) // 1024 if found else None


def load(loadavg: str) -> float | None:
    """Return the load of the last minute."""
    found = re.match(r"\s*(\d{1,6}\.\d+)\s", loadavg)
    return float(found[1]) if found else None


def libc(text: str) -> str | None:
    """Return e.g. "glibc 2.36" or "musl 1.2.3" from what `getconf GNU_LIBC_VERSION` or `ldd --version` say."""
    if found := re.search(r"^musl libc.*\s+Version (\d+(?:\.\d+)+)", text, re.MULTILINE):
        return f"musl {found[1]}"
    if found := re.search(r"^glibc (\d+\.\d+)", text, re.MULTILINE) or re.search(r"^ldd .*?(\d+\.\d+)\s*$", text, re.M):
        return f"glibc {found[1]}"
    return None


def os_name(os_release: str) -> str | None:
    """Return PRETTY_NAME of /etc/os-release."""
    found = re.search(r"^PRETTY_NAME=\"?(.*?)\"?\s*$", os_release, re.MULTILINE)
    return found[1] if found and found[1] else None


def bits(od: str) -> int | None:
    """Return 32 or 64 from the fifth byte of an ELF file, as `od -An -tu1 -j4 -N1` prints it."""
    return {"1": 32, "2": 64}.get(od.strip())


def _integer(text: str, base: int) -> int | None:
    try:
        return int(text, base)
    except ValueError:
        return None
