"""The Android archive (AAR) of the library for apps and its Java classes, in a folder that Gradle reads as a Maven repository.

    OUTPUT/maven/larqnets/larqnets-android/VERSION/    larqnets-android-VERSION.aar, .pom, -sources.jar, a .sha1 and a .sha256
                                                       of each, manifest.json

The archive is a ZIP of AndroidManifest.xml, classes.jar, R.txt, proguard.txt, jni/ABI/liblarqnets.so and LICENSES/. Names are
sorted and dates fixed: the same sources, compilers and zlib give the same bytes. TensorFlow Lite is not in it; the .pom names it.
"""

import hashlib
import io
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from android_bench.runtime.app import LIBRARY, build_app
from android_bench.runtime.sysroot import ABIS, MIN_API
from larqnets import __version__, processes
from larqnets.errors import LarqnetsError, first_line
from larqnets.files import building_folder, cannot_write
from larqnets.manifest import check_free, publish
from larqnets.reporter import SILENT, Reporter

GROUP, ARTIFACT = "larqnets", "larqnets-android"
# TensorFlow Lite for Android: the newest line whose library has the C interface under its old name and 16 KB pages.
TENSORFLOW_LITE = ("com.google.ai.edge.litert", "litert", "1.4.0")
JAVA = Path(__file__).parents[1] / "java"
RELEASE = "8"  # of Java: what every Android from MIN_API on runs
# Name of the archive's resources; the tools of Android want one with a dot, and the Java package has none.
_NAMESPACE = "larqnets.android"
_DATE = (1980, 1, 1, 0, 0, 0)  # the first one that a ZIP can say
_FILE_MODE = 0o100644
_SUMS = ("sha1", "sha256")  # that are written beside every file, as Maven's tools ask for them
_NAMES = {
    kind: f"{ARTIFACT}-{__version__}{end}"
    for kind, end in (("aar", ".aar"), ("pom", ".pom"), ("sources", "-sources.jar"))
}

_MANIFEST = f"""<?xml version="1.0" encoding="utf-8"?>
<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="{_NAMESPACE}">
    <uses-sdk android:minSdkVersion="{MIN_API}" />
</manifest>
"""

# The library finds its functions by the names of class and method.
_KEPT = """-keepclasseswithmembers,includedescriptorclasses class larqnets.** {
    native <methods>;
}
"""


def archive_folder(output: Path) -> Path:
    """Return where the archive of this version lies below `output`."""
    return output / "maven" / GROUP / ARTIFACT / __version__


def build(output: Path, reporter: Reporter = SILENT) -> dict[str, Any]:
    """Build the library for apps into `output`/app, see `android_bench.runtime.app`, and of it the archive.

    Returns what `build_app` and `archive` do, and raises LarqnetsError as they do, for what can be known at once before minutes
    of work.
    """
    check_free(archive_folder(output), _checked())
    _javac()
    told = build_app(output, reporter)
    return told | archive(Path(told["app"]), output, reporter)


def archive(app: Path, output: Path, reporter: Reporter = SILENT) -> dict[str, str]:
    """Make the archive of the library for apps in the folder `app`, and write it into `output`/maven.

    Returns `maven`, the folder for Gradle, `coordinates`, and `archive`, the file. Raises LarqnetsError when no JDK is there, the
    library cannot be read, a folder cannot be written or somebody else's file is in the way.
    """
    reporter.stage("archive")
    folder, whole = archive_folder(output), _NAMES["aar"]
    try:
        entries = {f"jni/{abi.name}/{LIBRARY}": (app / abi.name / LIBRARY).read_bytes() for abi in ABIS}
        entries |= {f"LICENSES/{path.name}": path.read_bytes() for path in (app / "LICENSES").iterdir()}
    except OSError as error:
        raise LarqnetsError(f"The library for apps in {app} cannot be read: {error}. Build it again.") from error
    texts = {"AndroidManifest.xml": _MANIFEST, "R.txt": "", "proguard.txt": _KEPT}
    entries |= {"classes.jar": _compiled(output), **{place: text.encode() for place, text in texts.items()}}
    sources = {path.relative_to(JAVA / "src").as_posix(): path.read_bytes() for path in _sources("src")}
    parts = {whole: zipped(entries), _NAMES["pom"]: pom().encode(), _NAMES["sources"]: zipped(sources)}
    files = {file: content for name, part in parts.items() for file, content in _with_sums(name, part).items()}
    document = {"larqnets": __version__, "files": {file: _sum("sha256", files[file]) for file in sorted(files)}}
    for sentence in publish(folder, files, document, reporter=reporter):
        reporter.line(sentence)
    coordinates = f"{GROUP}:{ARTIFACT}:{__version__}"
    return {"maven": str((output / "maven").resolve()), "coordinates": coordinates, "archive": str(folder / whole)}


def zipped(entries: Mapping[str, bytes]) -> bytes:
    """Return a ZIP of the entries, sorted by name, whose bytes depend on nothing else than them and zlib."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system, entry.external_attr = 3, _FILE_MODE << 16  # Unix, on every machine
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, entries[name])
    return whole.getvalue()


def pom() -> str:
    """Return Maven's description of the archive: its coordinates, its licence, and TensorFlow Lite, which an app needs with it."""
    group, artifact, version = TENSORFLOW_LITE
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>{GROUP}</groupId>
  <artifactId>{ARTIFACT}</artifactId>
  <version>{escape(__version__)}</version>
  <packaging>aar</packaging>
  <name>larqnets for Android</name>
  <description>Runs binary neural networks that larqnets converted inside an Android app.</description>
  <licenses>
    <license>
      <name>Apache-2.0</name>
      <url>https://www.apache.org/licenses/LICENSE-2.0.txt</url>
    </license>
  </licenses>
  <dependencies>
    <dependency>
      <groupId>{group}</groupId>
      <artifactId>{artifact}</artifactId>
      <version>{version}</version>
      <scope>runtime</scope>
    </dependency>
  </dependencies>
</project>
"""


def _javac() -> str:
    found = shutil.which("javac")
    if found is None:
        raise LarqnetsError(
            "javac is missing, which compiles the classes of the archive. Install a JDK of Java 11 or newer (Debian: apt-get install "
            "openjdk-17-jdk-headless), or build the library alone with --app."
        )
    return found


def _sources(part: str) -> list[Path]:
    return sorted((JAVA / part).rglob("*.java"))


def _compiled(output: Path) -> bytes:
    """Return classes.jar; the classes of Android that ours name are compiled from stubs, and left out of it."""
    javac = _javac()
    try:
        output.mkdir(parents=True, exist_ok=True)
        with building_folder(output) as folder:
            for part, before in (("stubs", []), ("src", ["-cp", str(folder / "stubs")])):
                options = ["--release", RELEASE, "-encoding", "UTF-8", "-nowarn", "-Xlint:-options", *before]
                done = processes.run([javac, *options, "-d", str(folder / part), *map(str, _sources(part))])
                if done.returncode != 0:
                    said = LarqnetsError(done.stderr.decode(errors="backslashreplace"))
                    raise LarqnetsError(
                        f"javac does not compile the classes of the archive: {first_line(said)}. Install a JDK of Java 11 or newer."
                    )
            compiled = sorted((folder / "src").rglob("*.class"))
            return zipped({path.relative_to(folder / "src").as_posix(): path.read_bytes() for path in compiled})
    except OSError as error:
        raise cannot_write(output, error) from error


def _with_sums(name: str, content: bytes) -> dict[str, bytes]:
    """Return a file with those that say its sums."""
    return {name: content, **{f"{name}.{kind}": _sum(kind, content).encode() for kind in _SUMS}}


def _checked() -> list[str]:
    return [each for name in _NAMES.values() for each in (name, *(f"{name}.{kind}" for kind in _SUMS))]


def _sum(kind: str, content: bytes) -> str:
    return hashlib.new(kind, content).hexdigest()
