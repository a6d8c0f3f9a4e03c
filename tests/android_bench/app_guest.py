"""The library for apps on Linux: TensorFlow Lite for Android and LiteRT, pinned, and what runs them on this machine or under qemu.

Both our library and TensorFlow Lite for Android are made for Android's C library; app_shim.c stands in for it.
"""

import fcntl
import hashlib
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from android_bench.emulation.emulator import qemu_command
from android_bench.runtime.bundle import RUNNER, tflite_library
from android_bench.runtime.compile import zig
from android_bench.runtime.cross import SYSROOT
from larqnets import LarqnetsError

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build/app-tflite"  # what was downloaded
JNI, LITERT = "libtensorflowlite_jni.so", "libLiteRt.so"  # as apps have it, until LiteRT 1.4 and since
_VERSIONS = (0x6FFFFFF0, 0x6FFFFFFC, 0x6FFFFFFD, 0x6FFFFFFE, 0x6FFFFFFF)  # VERSYM, VERDEF(NUM), VERNEED(NUM)
_IGNORED = 0x6FFFFEF0  # a tag that no loader knows
_PT_DYNAMIC = 2
_TEXTS = (  # of TensorFlow Lite's log, as far as our models bring them out
    r"Created TensorFlow Lite XNNPACK delegate for CPU\.",
    r"Initialized TensorFlow Lite runtime\.",
    r"Replacing \d+ out of \d+ node\(s\) with delegate \(\w+\) node, yielding \d+ partitions for the whole graph\.",
)
_LOG = re.compile("|".join((r"(?:INFO|VERBOSE|WARNING): ", *_TEXTS)))


@dataclass(frozen=True)
class Package:
    """A file of a registry, pinned."""

    file: str
    sha256: str
    command: tuple[str, ...]  # that downloads it; the folder comes last

    def fetch(self) -> Path:
        """Return the file, downloaded once; raises LarqnetsError when it cannot be had or is another one."""
        KEPT.mkdir(parents=True, exist_ok=True)
        path = KEPT / self.file
        with (KEPT / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.is_file():
                if shutil.which(self.command[0]) is None:
                    raise LarqnetsError(
                        f"{self.command[0]} is not installed. Debian: apt-get install {self.command[0]}."
                    )
                done = subprocess.run([*self.command, str(KEPT)], capture_output=True, text=True, timeout=300)
                if not path.is_file():
                    raise LarqnetsError(f"{self.file} cannot be downloaded: {done.stderr.strip()[-500:]}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.sha256:
            raise LarqnetsError(f"{path} failed its check: it is not the pinned file. Delete it.")
        return path


# TensorFlow Lite 2.14.0 for Android, for every ABI.
_NPM = Package(
    "react-native-fast-tflite-1.4.0.tgz",
    "101ea34de5548cbc58a17b0704e33861e31265d64386d2938d8d8987f112533e",
    ("npm", "pack", "--loglevel=error", "react-native-fast-tflite@1.4.0", "--pack-destination"),
)
_WHEEL = Package(
    "ai_edge_litert-1.4.0-cp311-cp311-manylinux_2_17_aarch64.whl",
    "131d1c12dedc0c45aa683106d71ea895117c2332b0efb52712965f8b5e63781d",
    (
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"),
        *("--platform", "manylinux_2_17_aarch64", "--python-version", "3.11", "ai-edge-litert==1.4.0", "--dest"),
    ),
)
# Version -> the name under which an app has it. The last is the one of our own runtime.
TFLITES = {"2.14.0": JNI, "1.4.0": LITERT, "2.0.3": LITERT}
PAGES_OF_16_KB = ("1.4.0", "2.0.3")  # whose segments allow them


def tflite(version: str, abi: str = "arm64-v8a") -> bytes:
    """Return TensorFlow Lite of one of TFLITES; only 2.14.0 is for Android, and there for x86_64 as well."""
    if version == "2.0.3":
        return tflite_library()
    if version == "1.4.0":
        with zipfile.ZipFile(_WHEEL.fetch()) as archive:
            return archive.read("ai_edge_litert/libLiteRtRuntimeCApi.so")
    with tarfile.open(_NPM.fetch()) as archive:
        file = archive.extractfile(f"package/android/src/main/cpp/lib/tensorflow/jni/{abi}/{JNI}")
        assert file is not None
        return unversioned(file.read())


def unversioned(content: bytes) -> bytes:
    """Return an ELF64 library that asks for no versions of symbols: glibc has other ones than Android."""
    data = bytearray(content)
    (program_headers,) = struct.unpack_from("<Q", data, 32)
    size, number = struct.unpack_from("<HH", data, 54)
    for i in range(number):
        kind, _, offset, _, _, bytes_ = struct.unpack_from("<IIQQQQ", data, program_headers + i * size)
        if kind != _PT_DYNAMIC:
            continue
        for at in range(offset, offset + bytes_, 16):
            if struct.unpack_from("<Q", data, at)[0] in _VERSIONS:
                struct.pack_into("<Q", data, at, _IGNORED)
    return bytes(data)


def build_shim(folder: Path, machine: str) -> None:
    """Compile app_shim.c into `folder` under the four names that it stands in for."""
    source, output = Path(__file__).with_name("app_shim.c"), folder / "libc.so"
    command = [*zig(), "cc", "-target", f"{machine}-linux-gnu.2.28", "-O2", "-shared", "-fPIC", str(source), "-lm"]
    command += ["-o", str(output), "-Wl,-soname,libc.so", "-Wl,-z,max-page-size=65536"]
    subprocess.run(command, check=True, timeout=300)
    for name in ("libdl.so", "libm.so", "liblog.so"):
        (folder / name).symlink_to(output.name)


class Phone:
    """An ARM64 machine under qemu that has the library for apps, and the folder of a version of TensorFlow Lite beside it."""

    def __init__(self, folder: Path, library: Path, runner: Path) -> None:
        self.folder = folder
        build_shim(folder, "aarch64")
        shutil.copy(library, folder / library.name)
        shutil.copy(runner, folder / RUNNER)

    def install(self, version: str) -> Path:
        """Return a folder with a version of TFLITES under its name in apps."""
        place = self.folder / f"tflite-{version}"
        if not place.is_dir():
            place.mkdir()
            (place / TFLITES[version]).write_bytes(tflite(version))
        return place

    def command(self, program: Path | str, *arguments: object, tflite: Path, pages: int = 0) -> list[str]:
        """Return what runs a program in `folder` with TensorFlow Lite from `tflite`."""
        paths = ":".join(map(str, (self.folder, tflite, SYSROOT / "lib")))
        # The runner takes operator new from the library that it was linked with; the one for apps hides its own.
        preloaded = f"{self.folder}/libc.so:libstdc++.so.6"
        qemu = [*qemu_command(), "-E", f"LD_LIBRARY_PATH={paths}", "-E", f"LD_PRELOAD={preloaded}"]
        return [*qemu, *(["-p", str(pages)] if pages else []), str(self.folder / program), *map(str, arguments)]

    def call(self, *arguments: object, tflite: Path, **options) -> subprocess.CompletedProcess[str]:
        """Run app_calls.cc."""
        command = self.command("app_calls", *arguments, tflite=tflite, **options)
        return subprocess.run(command, capture_output=True, text=True, timeout=300, env={})

    def run(self, *arguments: object, tflite: Path, cwd: Path, **options) -> subprocess.CompletedProcess[str]:
        """Run the runner of our runtime, but with the library for apps."""
        command = self.command(RUNNER, *arguments, tflite=tflite, **options)
        return subprocess.run(command, capture_output=True, text=True, timeout=600, env={}, cwd=cwd)


def said(text: str) -> list[str]:
    """Return the lines that are not TensorFlow Lite's own log, which in an app goes elsewhere.

    A line of that log is three writes, its level, its text and its end, between which those of other threads may come.
    """
    return [line for line in _LOG.sub("", text).splitlines() if line]
