"""Build the ARM64 runtime: our ops and runner, Google's TFLite library from its pinned wheel, licences, checksums.

    OUTPUT/arm64/     larqnets_runner, liblarqnets.so, libLiteRtRuntimeCApi.so, LICENSES/, manifest.json
    OUTPUT/android/   the same with glibc's loader and libraries, which Android does not have, and README.txt

Everything in it is a file, nothing is installed; unchanged parts are kept, and the same sources give the same bytes.
"""

import hashlib
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from android_bench.runtime.built import content_of, intact, own_terms, read_manifest
from android_bench.runtime.compile import (
    ARCHITECTURES,
    FLAGS,
    LIBRARY_SOURCES,
    NATIVE,
    RUNNER_SOURCES,
    compile_native,
    zig_version,
)
from android_bench.runtime.cross import CROSS_FILES, CROSS_PACKAGES, SYSROOT, cross_libraries_missing
from larqnets import __version__, processes
from larqnets.environment import CACHE_HOME, LOCAL_APP_DATA, RUNTIME
from larqnets.errors import LarqnetsError
from larqnets.files import building_folder, cannot_write, locked, write_atomically
from larqnets.manifest import MANIFEST, check_free, publish
from larqnets.reporter import SILENT, Reporter

# The newest release whose library exports TFLite's C API; later ones have another interface without custom ops.
TFLITE = "ai-edge-litert==2.0.3"
WHEEL = "ai_edge_litert-2.0.3-cp311-cp311-manylinux_2_27_aarch64.whl"
WHEEL_SHA256 = "2d3c0867af845230d060bd555b0942b960caabe9d1cce98bcb3536b380ded372"
LIBRARY = "libLiteRtRuntimeCApi.so"
LIBRARY_SHA256 = "ef2b76075498716283012cff4fe3bd85cfdf71125aebc86a4965d7657814866b"

OURS = "liblarqnets.so"
RUNNER = "larqnets_runner"

ANDROID_README = f"""How to run this on an ARM64 Android device (Android 5 or newer; not tried on a device yet)

`larqnets benchmark model.tflite --device adb` does all of this and measures. By hand: Android has another C library than
Linux, so the program brings its own and is started through its loader:

  adb push android /data/local/tmp/larqnets
  adb push model.tflite /data/local/tmp/larqnets/
  adb shell
  cd /data/local/tmp/larqnets && chmod +x ld-linux-aarch64.so.1 {RUNNER}
  ./ld-linux-aarch64.so.1 --library-path . ./{RUNNER} --model model.tflite --rounds 5

`--cpus f0` keeps it on cores 4 to 7. Only a shell may do this, an app may not. The glibc, libgcc and libstdc++ files are
Debian's, unchanged; manifest.json names the packages, LICENSES/ holds their terms; their source: https://sources.debian.org
"""


def cache_folder() -> Path:
    """Return the user's cache, where downloads and the built runtime are kept: on Linux $XDG_CACHE_HOME/larqnets."""
    home = Path.home()
    if sys.platform == "win32":
        return Path(LOCAL_APP_DATA.read() or home / LOCAL_APP_DATA.default, "larqnets/Cache")
    usual = home / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    named = Path(CACHE_HOME.read() or "")  # which counts as unset where it is no whole path
    return (named if named.is_absolute() else usual) / "larqnets"


def runtime_folder() -> Path:
    """Return where the runtime is built to when nobody names a folder: a part of the user's cache."""
    return cache_folder() / "runtime"


def tflite_library() -> bytes:
    """Return Google's library for aarch64, from the cache or through pip, checked by SHA-256 of wheel and library.

    Raises LarqnetsError when it can be had from nowhere or is another file than the pinned one.
    """
    wheel = cache_folder() / WHEEL
    if not wheel.is_file():
        _download(wheel)
    content = wheel.read_bytes()
    if hashlib.sha256(content).hexdigest() != WHEEL_SHA256:
        raise LarqnetsError(f"{wheel} is not the pinned file: its SHA-256 is another. Delete it and build again.")
    with zipfile.ZipFile(wheel) as archive:
        library = archive.read(f"ai_edge_litert/{LIBRARY}")
    if hashlib.sha256(library).hexdigest() != LIBRARY_SHA256:
        raise LarqnetsError(f"{LIBRARY} in {wheel} is not the pinned file. Update larqnets.")
    return library


def _download(wheel: Path) -> None:
    try:
        wheel.parent.mkdir(parents=True, exist_ok=True)
        with building_folder(wheel.parent) as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command += ["--only-binary=:all:", "--platform", "manylinux_2_27_aarch64", "--python-version", "3.11"]
            done = processes.run([*command, "--dest", folder, TFLITE])
            found = folder / WHEEL
            if done.returncode != 0 or not found.is_file():
                reason = (
                    [line for line in done.stderr.decode(errors="backslashreplace").splitlines() if line.strip()]
                    or ["pip found another file"]
                )[-1]
                raise LarqnetsError(
                    f"{TFLITE} for aarch64 cannot be downloaded: {reason.strip()}. Check the connection and pip's index, "
                    f"or put {WHEEL} into {wheel.parent}."
                )
            if hashlib.sha256(found.read_bytes()).hexdigest() != WHEEL_SHA256:
                raise LarqnetsError(
                    f"The index delivers another {WHEEL} than the pinned one. Use an index that you trust."
                )
            found.replace(wheel)
    except OSError as error:
        raise cannot_write(wheel, error) from error


def source_digest() -> str:
    """Return a SHA-256 over its native sources and compiler flags: two bundles with the same one are the same."""
    digest = hashlib.sha256(__version__.encode() + LIBRARY_SHA256.encode())
    digest.update(content_of((*LIBRARY_SOURCES, *RUNNER_SOURCES), "THIRD_PARTY"))
    digest.update(repr((ARCHITECTURES["aarch64"], FLAGS, _flags(Path(), Path()))).encode())
    return digest.hexdigest()


def _flags(source: Path, libraries: Path) -> tuple[list[str], list[str]]:
    """Return the flags of our library and of the runner; they find each other and Google's library beside themselves."""
    common = [f'-DLARQNETS_VERSION="{__version__}"', f"-ffile-prefix-map={source}=native", "-s", "-Wl,-rpath,$ORIGIN"]
    return (
        [*common, f"-Wl,-soname,{OURS}", "-Wl,-z,defs", f"-L{libraries}", "-lLiteRtRuntimeCApi"],
        [*common, f"-L{libraries}", "-llarqnets", "-Wl,--allow-shlib-undefined"],
    )


def build(output: Path, reporter: Reporter = SILENT) -> dict[str, Any]:
    """Build the bundle into `output` and return what is there; unchanged sources are not compiled again.

    `reporter` is told what is being done. Raises LarqnetsError when zig or the pinned library cannot be had.
    """
    reporter.stage("library")
    library = tflite_library()
    arm64, android = output / "arm64", output / "android"
    digest = source_digest()
    try:
        output.mkdir(parents=True, exist_ok=True)
        with locked(output / "runtime", reporter):
            return _build(arm64, android, library, digest, reporter)
    except OSError as error:
        raise cannot_write(output, error) from error


def _build(arm64: Path, android: Path, library: bytes, digest: str, reporter: Reporter) -> dict[str, Any]:
    before = read_manifest(arm64)
    if before.get("sources") != digest or not intact(arm64, before):
        check_free(arm64, (LIBRARY, OURS, RUNNER))  # before minutes of work
        reporter.stage("compile")
        _publish(arm64, {LIBRARY: library, **_compile(arm64, library), **_licences()}, digest, {}, reporter)
    missing = cross_libraries_missing()
    if missing is None:
        reporter.stage("android")
        _android(arm64, android, digest, reporter)
    return {"arm64": str(arm64), "android": None if missing else str(android), "left_out": missing} | read_manifest(
        arm64
    )


def find_bundle(folder: Path | None = None) -> Path | None:
    """Return the folder of a built bundle, None when there is none; never builds.

    In this order: `folder`; $LARQNETS_RUNTIME; what a wheel for ARM64 carries; build/arm64 of the current folder, if these
    sources made it; the user's cache, likewise. Raises LarqnetsError when one of the first three holds no bundle of these
    sources: whoever named a folder must not get another one.
    """
    carried = Path(__file__).parents[1] / "lib"
    named = RUNTIME.read()
    chosen = folder or (Path(named) if named else carried if (carried / MANIFEST).is_file() else None)
    if chosen is not None:
        if (reason := _unfit(chosen)) is not None:
            raise LarqnetsError(reason)
        return chosen.resolve()
    for place in (Path("build"), runtime_folder()):
        if _unfit(place / "arm64") is None:
            return (place / "arm64").resolve()
    return None


def open_bundle(folder: Path | None = None) -> Path:
    """Return the folder of a built bundle as `find_bundle` does; where there is none, build it into the user's cache.

    That the runtime is built is said on stderr, for it takes minutes. Raises LarqnetsError as `find_bundle` and `build` do.
    """
    found = find_bundle(folder)
    if found is None:
        output = runtime_folder()
        print(
            f"larqnets: building the ARM64 runtime into {output}, once: about 2 minutes.", file=sys.stderr, flush=True
        )
        found = Path(build(output)["arm64"]).resolve()
    return found


def _unfit(folder: Path) -> str | None:
    """Return why a folder holds no bundle that can be used and what to do, None when it does."""
    manifest = read_manifest(folder)
    again = "Build it again with `larqnets runtime build`, or name another folder in LARQNETS_RUNTIME."
    if not manifest:
        return f"There is no ARM64 runtime in {folder}. {again.replace(' again', '', 1)}"
    if not intact(folder, manifest):
        return f"The ARM64 runtime in {folder} is damaged. {again}"
    if manifest.get("larqnets") != __version__ or manifest.get("sources") != source_digest():
        return f"Other sources than these made the ARM64 runtime in {folder}. {again}"
    return None


@dataclass(frozen=True)
class Runtime:
    """What goes to a device: name -> content of runner and libraries, and the digest of the sources they came from."""

    files: dict[str, bytes]
    sources: str


def read_runtime(target: Literal["arm64", "android"]) -> Runtime:
    """Return the runtime for Linux or for Android; raises LarqnetsError when it is not built."""
    folder = open_bundle()
    if target == "android":
        android = folder.parent / "android"
        if not (android / MANIFEST).is_file():
            reason = cross_libraries_missing() or "It was not built."
            raise LarqnetsError(f"There is no runtime for Android in {android}. {reason} Then: larqnets runtime build")
        folder = open_bundle(android)
    manifest = read_manifest(folder)
    names = [name for name in manifest["files"] if "/" not in name and not name.endswith(".txt")]
    return Runtime({name: (folder / name).read_bytes() for name in names}, manifest["sources"])


def _compile(arm64: Path, library: bytes) -> dict[str, bytes]:
    """Return our library and the runner; they are made beside their place, for they are linked with Google's library."""
    arm64.mkdir(exist_ok=True)
    with building_folder(arm64) as folder:
        write_atomically(folder / LIBRARY, library)
        ours, runner = _flags(NATIVE, folder)
        compile_native(LIBRARY_SOURCES, folder / OURS, "aarch64", shared=True, extra=ours)
        compile_native(RUNNER_SOURCES, folder / RUNNER, "aarch64", extra=runner)
        return {name: (folder / name).read_bytes() for name in (OURS, RUNNER)}


def _licences() -> dict[str, bytes]:
    """Ours, and of what is linked in or lies beside: Google's wheel itself carries none."""
    terms = {name: own_terms(name) for name in ("LICENSE", "NOTICE")}
    terms["THIRD_PARTY"] = (NATIVE / "THIRD_PARTY").read_bytes()
    return {f"LICENSES/{name}": content for name, content in terms.items()}


def _android(arm64: Path, android: Path, digest: str, reporter: Reporter) -> None:
    packages = {name: _debian_version(name) for name in CROSS_PACKAGES}
    before = read_manifest(android)
    if before.get("sources") == digest and before.get("debian") == packages and intact(android, before):
        return
    files = {name: (arm64 / name).read_bytes() for name in read_manifest(arm64)["files"]}
    files |= {name: (SYSROOT / "lib" / name).read_bytes() for name in CROSS_FILES}
    for name in CROSS_PACKAGES:
        terms = Path("/usr/share/doc") / name / "copyright"
        if not terms.is_file():
            raise LarqnetsError(
                f"{terms} is missing, without which the libraries may not be passed on. Debian: apt-get install {name}."
            )
        files[f"LICENSES/{name}.copyright"] = terms.read_bytes()
    files["README.txt"] = ANDROID_README.encode()
    _publish(android, files, digest, {"debian": packages}, reporter)


def _debian_version(package: str) -> str | None:
    try:
        command = ["dpkg-query", "--show", "--showformat=${Version}", package]
        done = processes.run(command)
    except OSError:
        return None
    return done.stdout.decode() if done.returncode == 0 else None


def _publish(folder: Path, files: dict[str, bytes], digest: str, more: dict[str, Any], reporter: Reporter) -> None:
    document = {
        "larqnets": __version__,
        "target": "aarch64 Linux, glibc 2.28 for our files, 2.30 for the library",
        "tflite": TFLITE,
        "wheel": {"name": WHEEL, "sha256": WHEEL_SHA256},
        "sources": digest,
        "zig": zig_version(),
        **more,
        "files": {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)},
    }
    programs = [name for name in files if name == RUNNER or name.startswith("ld-")]
    for sentence in publish(folder, files, document, executable=programs, reporter=reporter):
        reporter.line(sentence)
