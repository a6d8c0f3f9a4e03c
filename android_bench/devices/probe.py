"""What a device is, and how it is at a moment: one shell script each, so one round trip, and what becomes of its text.

The scripts keep to what dash, busybox and Android's shell have in common. A command that a device lacks, or a file that
may not be read, leaves an empty section; every section is then parsed by itself.
"""

import re
from dataclasses import dataclass

from android_bench.devices import android, linux, raspberry
from android_bench.record import Cluster, DeviceRecord, Kind, State

_CPU = "/sys/devices/system/cpu"
_THERMAL = "/sys/class/thermal"
_FREQUENCIES = f"{_CPU}/cpu[0-9]*/cpufreq"

# grep is given a second file, so that it names the file of every line.
PROBE = f"""{{
echo "@@ uname"; uname -s; uname -r; uname -m
echo "@@ bits"; od -An -tu1 -j4 -N1 /proc/self/exe
echo "@@ cpuinfo"; cat /proc/cpuinfo
echo "@@ online"; cat {_CPU}/online
echo "@@ allowed"; grep Cpus_allowed: /proc/self/status
echo "@@ cpufreq"; grep -s . {_FREQUENCIES}/cpuinfo_max_freq {_FREQUENCIES}/scaling_governor /dev/null
echo "@@ memory"; cat /proc/meminfo
echo "@@ release"; cat /etc/os-release
echo "@@ model"; tr -d '\\0' </proc/device-tree/model
echo "@@ compatible"; tr '\\0' '\\n' </proc/device-tree/compatible
echo "@@ libc"; getconf GNU_LIBC_VERSION || ldd --version 2>&1
echo "@@ cooling"; grep -s . {_THERMAL}/cooling_device*/type /dev/null
echo "@@ getprop"; getprop
}} 2>/dev/null"""

STATE = f"""{{
echo "@@ cpufreq"; grep -s . {_FREQUENCIES}/scaling_cur_freq {_FREQUENCIES}/scaling_max_freq /dev/null
echo "@@ zones"; grep -s . {_THERMAL}/thermal_zone*/type {_THERMAL}/thermal_zone*/temp /dev/null
echo "@@ load"; cat /proc/loadavg
echo "@@ throttled"; vcgencmd get_throttled || cat /sys/devices/platform/soc/soc:firmware/get_throttled
echo "@@ temperature"; vcgencmd measure_temp
echo "@@ thermalservice"; dumpsys thermalservice
echo "@@ battery"; dumpsys battery
echo "@@ power"; dumpsys power | grep mWakefulness=
}} 2>/dev/null"""

OLDEST_GLIBC = (2, 30)  # what Google's library in the bundle for Linux asks for
_EMULATED_BOARDS = {"goldfish", "ranchu", "cutf_cvm"}  # ro.hardware of Android's emulators


@dataclass(frozen=True)
class Core:
    """One core. `usable`: it is switched on, and a process of ours may run on it."""

    number: int
    max_mhz: float | None
    governor: str | None
    part: str | None
    usable: bool


@dataclass(frozen=True)
class Facts:
    """What a device says about itself; what it does not say is None."""

    is_android: bool
    model: str | None
    soc: str | None
    cores: tuple[Core, ...]
    memory_mb: int | None
    os: str | None
    kernel: str | None
    machine: str | None  # uname -m
    bits: int | None  # of the userland
    libc: str | None
    emulator: str | None  # what runs it when it is no hardware
    fan: str | None


def sections(text: str) -> dict[str, str]:
    """Return name -> text of the parts that a script announced with "@@ name"."""
    parts = re.split(r"^@@ (\w+)\s*$\n?", text.replace("\r\n", "\n"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def parse_facts(text: str) -> Facts:
    """Turn the output of PROBE into facts."""
    said = dict.fromkeys(re.findall(r"@@ (\w+)", PROBE), "") | sections(text)
    system, kernel, machine, *_ = *said["uname"].split(), "", "", ""
    props = android.properties(said["getprop"])
    compatible = said["compatible"].split()
    release = props.get("ro.build.version.release")
    is_android = release is not None
    vendor = " ".join(props.get(f"ro.soc.{key}", "") for key in ("manufacturer", "model")).strip()
    soc = vendor or props.get("ro.board.platform") or (compatible or [None])[-1] or linux.hardware(said["cpuinfo"])
    name = " ".join(props.get(f"ro.product.{key}", "") for key in ("manufacturer", "model")).strip()
    return Facts(
        is_android=is_android,
        model=name or said["model"].strip() or None,
        soc=soc,
        cores=_cores(said),
        memory_mb=linux.memory_mb(said["memory"]),
        os=f"Android {release} ({props.get('ro.build.id', 'build not known')})"
        if is_android
        else linux.os_name(said["release"]),
        kernel=f"{system} {kernel}".strip() or None,
        machine=machine or None,
        bits=linux.bits(said["bits"]),
        libc="bionic" if is_android else linux.libc(said["libc"]),
        emulator=_emulator(props, compatible),
        fan=linux.fan(said["cooling"]),
    )


def _cores(said: dict[str, str]) -> tuple[Core, ...]:
    parts = linux.cpu_parts(said["cpuinfo"])
    fastest = linux.mhz(linux.per_core(said["cpufreq"], "cpuinfo_max_freq"))
    governors = linux.per_core(said["cpufreq"], "scaling_governor")
    online = linux.core_list(said["online"])
    known = sorted(parts.keys() | fastest.keys() | (online or set()))
    usable = (set(known) if online is None else online) & (linux.core_mask(said["allowed"]) or set(known))
    return tuple(Core(n, fastest.get(n), governors.get(n), parts.get(n), n in usable) for n in known)


def _emulator(props: dict[str, str], compatible: list[str]) -> str | None:
    if "1" in (props.get("ro.kernel.qemu"), props.get("ro.boot.qemu")) or props.get("ro.hardware") in _EMULATED_BOARDS:
        return "an Android emulator"
    return "a virtual machine" if "linux,dummy-virt" in compatible else None


def parse_state(text: str, at_s: float) -> State:
    """Turn the output of STATE into the state of a moment."""
    said = dict.fromkeys(re.findall(r"@@ (\w+)", STATE), "") | sections(text)
    clocks, limits = (linux.mhz(linux.per_core(said["cpufreq"], f"scaling_{key}_freq")) for key in ("cur", "max"))
    percent, charging, battery_c = android.battery(said["battery"])
    degrees = linux.temperatures(said["zones"]) | android.hal_temperatures(said["thermalservice"])
    for name, value in (("battery", battery_c), ("cpu:firmware", raspberry.measured(said["temperature"]))):
        degrees |= {} if value is None else linux.named([(name, value)])
    return State(
        at_s=at_s,
        clocks_mhz={str(core): value for core, value in clocks.items()},
        clock_limits_mhz={str(core): value for core, value in limits.items()},
        temperatures_c=degrees,
        thermal_status=android.thermal_status(said["thermalservice"]),
        throttled=raspberry.throttled(said["throttled"]),
        load=linux.load(said["load"]),
        battery_percent=percent,
        charging=charging,
        screen_on=android.screen_on(said["power"]),
    )


def unusable(facts: Facts, name: str) -> str | None:
    """Return in one sentence why the runtime cannot run there and what to do, None when it can."""
    machine = facts.machine or "of an unknown kind"
    if facts.bits == 32 or machine.startswith(("armv6", "armv7", "armv8l")):
        system = "a 64-bit phone" if facts.is_android else "the 64-bit Raspberry Pi OS, or another 64-bit system,"
        return f"The system on {name} is a 32-bit one ({machine}), the runtime needs 64 bits. Install or use {system} there."
    if machine not in ("aarch64", "arm64"):
        return f"{name} is a machine {machine}, the runtime is for ARM64. Name an ARM64 device, or count with --device qemu."
    if facts.is_android:
        return None
    version = re.fullmatch(r"glibc (\d+)\.(\d+)", facts.libc or "")
    if version is None and facts.libc:
        return f"{name} has {facts.libc}, the runtime needs glibc 2.30 or newer. Use a system with glibc, e.g. Raspberry Pi OS."
    if version and (int(version[1]), int(version[2])) < OLDEST_GLIBC:
        return f"{name} has {facts.libc}, the runtime needs 2.30 or newer. Update to Raspberry Pi OS bullseye or newer."
    return None


def to_device(facts: Facts, kind: Kind, address: str, *, functional_only: bool, notes: tuple[str, ...]) -> DeviceRecord:
    """Return the facts as the record of a session keeps them."""
    return DeviceRecord(
        kind=kind,
        address=address,
        model=facts.model,
        soc=facts.soc,
        clusters=clusters(facts.cores),
        memory_mb=facts.memory_mb,
        os=facts.os,
        kernel=facts.kernel,
        machine=facts.machine,
        bits=facts.bits,
        libc=facts.libc,
        functional_only=functional_only,
        notes=notes,
    )


def clusters(cores: tuple[Core, ...]) -> tuple[Cluster, ...]:
    """Return cores of one design and maximum clock together, slowest first."""
    kinds: dict[tuple[float | None, str | None], list[Core]] = {}
    for core in cores:
        kinds.setdefault((core.max_mhz, core.part), []).append(core)
    found = []
    for (max_mhz, part), members in kinds.items():
        governors = {core.governor for core in members if core.governor}
        governor = " and ".join(sorted(governors)) or None
        found.append(Cluster(tuple(core.number for core in members), max_mhz, governor, part))
    return tuple(sorted(found, key=lambda c: (c.max_mhz or 0, c.cores)))
