"""Build the library for Android apps, without an NDK: our ops, their C interface, and what Java calls.

    OUTPUT/app/       arm64-v8a/liblarqnets.so, x86_64/liblarqnets.so, LICENSES/, manifest.json

TensorFlow Lite is not in it: the app has it, and the library finds it at run time (native/tflite_dynamic.cc).
"""

import hashlib
import os
from pathlib import Path
from typing import Any

from android_bench.runtime.built import content_of, intact, own_terms, read_manifest
from android_bench.runtime.bundle import cache_folder
from android_bench.runtime.compile import APP_SOURCES, ARCHITECTURES, FLAGS, NATIVE, run_compiler, zig, zig_version
from android_bench.runtime.sysroot import ABIS, MIN_API, Abi, recipe, sysroot, zig_lib
from larqnets import __version__
from larqnets.errors import LarqnetsError
from larqnets.files import building_folder, cannot_write, locked, write_atomically
from larqnets.manifest import check_free, publish
from larqnets.reporter import SILENT, Reporter

LIBRARY = "liblarqnets.so"
EXPORTS = "{ global: larqnets_*; Java_*; local: *; };\n"
# Where Debian and Ubuntu have Android's own jni.h.
JNI_HEADERS = Path("/usr/include/android/nativehelper")
PAGE = 16384  # bytes: newer devices have such pages, on others it does no harm
_LINK = (
    *("-shared", "-fPIC", "-fvisibility=hidden", "-s", f"-Wl,-soname,{LIBRARY}", "-Wl,-z,defs", "-Wl,--gc-sections"),
    *("-Wl,--build-id=none", f"-Wl,-z,max-page-size={PAGE}"),
)
# Of zig's own files: what is linked in, or what it was compiled with.
_TERMS = {
    "LLVM": "libcxx/LICENSE.TXT",
    "musl": "libc/musl/COPYRIGHT",
    "zig": "../LICENSE",
}


def app_digest() -> str:
    """Return a SHA-256 over all that makes the library: two with the same one are the same."""
    version = zig_version()
    digest = hashlib.sha256(repr((__version__, version, ARCHITECTURES["x86_64"], FLAGS, _LINK, EXPORTS)).encode())
    for abi in ABIS:
        digest.update(recipe(abi, version).encode())
    digest.update(content_of(APP_SOURCES, "THIRD_PARTY_APP"))
    return digest.hexdigest()


def build_app(output: Path, reporter: Reporter = SILENT) -> dict[str, Any]:
    """Build the library for every ABI into `output`/app and return what is there; unchanged sources are not compiled again.

    `reporter` is told what is being done. Raises LarqnetsError when there is no zig, when it refuses the sources, and when the
    folder cannot be written.
    """
    digest = app_digest()
    folder = output / "app"
    try:
        output.mkdir(parents=True, exist_ok=True)
        with locked(output / "runtime-app", reporter):
            before = read_manifest(folder)
            if before.get("sources") != digest or not intact(folder, before):
                names = [f"{abi.name}/{LIBRARY}" for abi in ABIS]
                check_free(folder, names)  # before minutes of work
                _check_jni()
                reporter.stage("app")
                folder.mkdir(exist_ok=True)
                files: dict[str, bytes] = {}
                for i, (name, abi) in enumerate(zip(names, ABIS, strict=True)):
                    reporter.count(i, len(ABIS), f"ABIs, {abi.name} is next")
                    files[name] = _compile(abi, folder, reporter)
                _publish(folder, files | _licences(), digest, reporter)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return {"app": str(folder)} | read_manifest(folder)


def _check_jni() -> None:
    if not (JNI_HEADERS / "jni.h").is_file():
        raise LarqnetsError(
            f"{JNI_HEADERS / 'jni.h'} is missing, by which Java and the library know each other. Install it: apt-get install "
            "android-libnativehelper-dev."
        )


def _compile(abi: Abi, parent: Path, reporter: Reporter) -> bytes:
    libc = sysroot(abi, cache_folder() / "android-sysroot", zig_version(), reporter)
    with building_folder(parent) as folder:
        library, exports = folder / LIBRARY, folder / "exports.map"
        write_atomically(exports, EXPORTS)
        machine = ARCHITECTURES["x86_64"] if abi.machine == "x86_64" else ()
        command = [*zig(), "c++", "-target", abi.target, *machine, *FLAGS, *_LINK, f"-Wl,--version-script={exports}"]
        command += [f'-DLARQNETS_VERSION="{__version__}"', f"-ffile-prefix-map={NATIVE}=native", f"-I{NATIVE}"]
        command += [f"-I{JNI_HEADERS}", *map(str, APP_SOURCES), "-o", str(library)]
        run_compiler(command, f"{LIBRARY} for {abi.name}", os.environ | {"ZIG_LIBC": str(libc)})
        return library.read_bytes()


def _licences() -> dict[str, bytes]:
    """Return our terms, and those of what zig links in."""
    terms = {name: own_terms(name) for name in ("LICENSE", "NOTICE")}
    terms["THIRD_PARTY"] = (NATIVE / "THIRD_PARTY_APP").read_bytes()
    for name, file in _TERMS.items():
        path = zig_lib() / file
        if not path.is_file():
            raise LarqnetsError(
                f"{path} is missing, without which the library may not be passed on. Install ziglang again."
            )
        terms[name] = path.read_bytes()
    return {f"LICENSES/{name}": content for name, content in terms.items()}


def _publish(folder: Path, files: dict[str, bytes], digest: str, reporter: Reporter) -> None:
    document = {
        "larqnets": __version__,
        "target": f"apps on Android, API {MIN_API} and newer",
        "tflite": "the app's own, found at run time",
        "sources": digest,
        "zig": zig_version(),
        "files": {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)},
    }
    for sentence in publish(folder, files, document, reporter=reporter):
        reporter.line(sentence)
