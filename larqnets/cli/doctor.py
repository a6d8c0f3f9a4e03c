"""What this installation can do: versions, engines, tools, and how to get what is missing."""

import os
import platform
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from android_bench.emulation import emulator
from android_bench.runtime import cross
from android_bench.runtime.bundle import find_bundle, runtime_folder
from android_bench.runtime.compile import zig
from android_bench.runtime.in_process import library_folder
from larqnets import __version__
from larqnets.environment import LEGACY_KERAS, TFDS_DATA_DIR
from larqnets.errors import LarqnetsError, on_arm64_linux
from larqnets.extras import CORE, EXTRAS, Extra, get_training, missing, pip_line, version_of

TOOLS = {
    "adb": "Android devices; Debian: apt-get install adb",
    "ssh": "Raspberry Pi and other boards; Debian: apt-get install openssh-client",
    "qemu-aarch64": "functional runs of ARM64 programs; Debian: apt-get install qemu-user",
}


def examine() -> dict[str, Any]:
    """Return versions, extras and findings; a finding is what is missing and the one line that helps."""
    packages = {name: version_of(name) for name in (*CORE, *(n for extra in EXTRAS.values() for n in extra.own))}
    tools = {name: shutil.which(name) is not None for name in TOOLS}
    tools["zig"], zig_missing = _found(zig)
    tools["ARM64 libraries"] = cross.cross_libraries_missing() is None
    on_arm = on_arm64_linux()
    on_x86 = platform.machine() in ("x86_64", "AMD64")
    train, statistics = (all(packages[name] for name in EXTRAS[extra].own) for extra in ("train", "bench"))
    findings = [f"{name} is missing: pip install larqnets" for name in CORE if not packages[name]]
    if not train:
        absent = ", ".join(name for name in EXTRAS["train"].own if not packages[name])
        findings.append(f"train, convert, verify, evaluate need {absent}. {get_training()}")
    if not statistics:
        findings.append(f"statistics of latencies and their report need scipy: {pip_line('bench')}")
    if train and int((packages["numpy"] or "0").split(".")[0]) >= 2:
        findings.append('larq needs numpy below 2: pip install "numpy<2"')
    if os.environ.get(LEGACY_KERAS.name, LEGACY_KERAS.default).lower() not in ("1", "true"):
        findings.append("TF_USE_LEGACY_KERAS must be 1 for Larq: unset it")
    runs_models, runtime_missing = _found(library_folder) if on_arm else (train and on_x86, None)
    bundle, bundle_missing = _bundle()
    # what emulates or compiles for ARM64 is of no use on ARM64
    useful = {name: use for name, use in TOOLS.items() if not (on_arm and name == "qemu-aarch64")}
    findings += [f"{name} is not installed ({use})" for name, use in useful.items() if not tools[name]]
    for_arm = (
        (runtime_missing or bundle_missing,)
        if on_arm
        else (zig_missing, cross.cross_libraries_missing(), bundle_missing)
    )
    findings += [reason for reason in for_arm if reason]
    return {
        "larqnets": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "packages": packages,
        "extras": [_extra(name, extra) for name, extra in EXTRAS.items()],
        "tools": tools,
        "arm64_runtime": bundle,
        "tfds_data_dir": TFDS_DATA_DIR.read() or str(Path(TFDS_DATA_DIR.default).expanduser()),
        "can": {
            "inspect files": True,
            "train, convert, verify, evaluate": train,
            "run models": runs_models,
            "report latencies": statistics,
            "draw pictures, write pages": not missing("plot"),
            "build the ARM64 runtime": tools["zig"],
            "run models on ARM64 under qemu": emulator.missing() is None and bundle is not None,
            "measure Android devices (adb)": tools["adb"] and bundle is not None,
            "measure boards (ssh)": tools["ssh"] and bundle is not None,
        },
        "findings": findings,
    }


def _extra(name: str, extra: Extra) -> dict[str, Any]:
    absent = missing(name)
    return {
        "name": name,
        "purpose": extra.purpose,
        "packages": list(extra.packages),
        "missing": absent,
        "installed": not absent,
        "install": pip_line(name),
    }


def _bundle() -> tuple[str | None, str | None]:
    """Return where the built ARM64 runtime is, and if it is nowhere, why and what to do."""
    try:
        found = find_bundle()
    except LarqnetsError as error:
        return None, str(error)
    if found is not None:
        return str(found), None
    return None, (
        f"the ARM64 runtime is not built: the first command that needs it builds it into {runtime_folder()}, or now: "
        "larqnets runtime build"
    )


def _found(search: Callable[[], Any]) -> tuple[bool, str | None]:
    """Return whether a search for a tool succeeds, and if not, what its error says."""
    try:
        search()
    except LarqnetsError as error:
        return False, str(error)
    return True, None
