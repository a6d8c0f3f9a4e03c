"""What zig needs to compile for Android, made of zig's own files: headers, and libraries that only say what is there.

zig brings no headers and no libraries of Android. Those of musl, which it brings, declare the same functions; where the two
differ, android_symbols.txt is the border: it lists what may be used, and nothing else can be linked. What must not be used
all the same, because musl and Android number or lay it out differently: sysconf, locales, attributes of threads and mutexes,
FILE's inside, and std::thread::hardware_concurrency.
"""

import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from android_bench.runtime.compile import zig
from larqnets import processes
from larqnets.errors import LarqnetsError
from larqnets.files import building_folder, locked, write_atomically
from larqnets.reporter import SILENT, Reporter

MIN_API = 26  # Android 8, which TensorFlow Lite 2.14 asks for
SYMBOLS = Path(__file__).with_name("android_symbols.txt")
_OBJECTS = ("stderr",)  # no functions

# libc++ knows Android by __BIONIC__, which bionic's own headers define.
_FEATURES = "#ifndef __BIONIC__\n#define __BIONIC__ 1\n#endif\n"
_START = """
extern void __cxa_finalize(void *);
__attribute__((visibility("hidden"))) void *__dso_handle = &__dso_handle;
__attribute__((destructor)) static void finalize(void) { __cxa_finalize(&__dso_handle); }
"""


@dataclass(frozen=True)
class Abi:
    """An Android ABI: zig's name of the machine, and the folders of zig's headers, which lie over each other in this order."""

    name: str
    machine: str
    kernel_headers: str

    @property
    def target(self) -> str:
        """What zig compiles for."""
        return f"{self.machine}-linux-android.{MIN_API}"

    @property
    def headers(self) -> tuple[str, ...]:
        """Folders in lib/libc/include of zig."""
        return "any-linux-any", self.kernel_headers, "generic-musl", f"{self.machine}-linux-musl"


ABIS = (Abi("arm64-v8a", "aarch64", "aarch64-linux-any"), Abi("x86_64", "x86_64", "x86-linux-any"))


def symbols() -> dict[str, tuple[str, int]]:
    """Return name -> (library, API level) of all that may be used of Android's C library."""
    lines = [line.split() for line in SYMBOLS.read_text().splitlines() if not line.startswith("#")]
    return {name: (library, int(level)) for library, name, level in lines}


def zig_lib() -> Path:
    """Return zig's own folder of headers and sources; raises LarqnetsError when there is no zig."""
    said = processes.run([*zig(), "env"]).stdout.decode()
    found = re.search(r'"?\.?lib_dir"?\s*[=:]\s*"([^"]+)"', said)
    if found is None:
        raise LarqnetsError("zig does not say where its files are. Install ziglang 0.17.")
    return Path(found[1])


def recipe(abi: Abi, version: str) -> str:
    """Return a SHA-256 of what makes the sysroot with this version of zig."""
    own = Path(__file__).read_bytes() + SYMBOLS.read_bytes()
    return hashlib.sha256(repr((version, abi)).encode() + own).hexdigest()


def sysroot(abi: Abi, parent: Path, version: str, reporter: Reporter = SILENT) -> Path:
    """Return the file for ZIG_LIBC that describes the sysroot of `abi`, which is made below `parent` if it is not there.

    Headers and libraries are kept under names that say what they are made of, `version` of zig among it: zig compiles libc++
    anew for headers of another folder. Raises LarqnetsError when zig refuses, OSError when `parent` cannot be written.
    """
    headers = hashlib.sha256(repr((version, abi, _FEATURES)).encode()).hexdigest()
    parent.mkdir(parents=True, exist_ok=True)
    include = parent / f"{abi.name}-headers-{headers[:16]}"
    lib = parent / f"{abi.name}-libraries-{recipe(abi, version)[:16]}"
    with locked(parent / abi.name, reporter):
        for folder, make in ((include, _headers), (lib, _libraries)):
            if not folder.is_dir():
                with building_folder(parent) as beside:
                    make(abi, beside / folder.name)
                    (beside / folder.name).rename(folder)
        description = lib / "zig-libc.txt"
        write_atomically(description, _description(include, lib))
    return description


def _description(include: Path, lib: Path) -> str:
    places = {"include_dir": include, "sys_include_dir": include, "cc_dir": lib, "crt_dir": lib}
    unused = ("msvc_lib_dir", "kernel32_lib_dir", "darwin_sdk_dir")
    return "".join(f"{key}={place}\n" for key, place in places.items()) + "".join(f"{key}=\n" for key in unused)


def _headers(abi: Abi, include: Path) -> None:
    brought = zig_lib() / "libc/include"
    for name in abi.headers:
        shutil.copytree(brought / name, include, dirs_exist_ok=True)
    features, errors = include / "features.h", include / "errno.h"
    features.write_text(_FEATURES + features.read_text())
    errors.write_text(errors.read_text().replace("__errno_location", "__errno"))


def _libraries(abi: Abi, lib: Path) -> None:
    """Write libraries that have the symbols and no code, and the object files that begin and end a shared library."""
    lib.mkdir()
    for library in ("libc", "libdl", "libm", "liblog"):
        names = sorted(name for name, (owner, _) in symbols().items() if owner == library)
        source = lib / f"{library}.S"
        source.write_text("".join(_stub(name) for name in names))
        _zig("cc", "-target", abi.target, "-c", source, "-o", lib / f"{library}.o")
        _zig("ld.lld", "-shared", "-soname", f"{library}.so", lib / f"{library}.o", "-o", lib / f"{library}.so")
    for name, code in (("crtbegin_so", _START), ("crtend_so", "")):
        (lib / f"{name}.c").write_text(code)
        _zig("cc", "-target", abi.target, "-fPIC", "-O2", "-c", lib / f"{name}.c", "-o", lib / f"{name}.o")


def _stub(name: str) -> str:
    kind, section, content = ("object", ".bss", ".zero 8") if name in _OBJECTS else ("function", ".text", "ret")
    size = f".size {name}, 8\n" if name in _OBJECTS else ""
    return f"{section}\n.globl {name}\n.type {name}, %{kind}\n{name}: {content}\n{size}"


def _zig(*arguments: str | Path) -> None:
    done = processes.run([*zig(), *arguments])
    if done.returncode != 0:
        said = done.stderr.decode(errors="backslashreplace").strip()
        raise LarqnetsError(f"zig cannot make the libraries to link for Android with: {said[-2000:]}")
