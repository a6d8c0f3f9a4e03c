"""The Java API of the app library and the tests' own classes, compiled for a desktop JVM."""

import shutil
import subprocess
from pathlib import Path

import pytest

JAVA = Path(__file__).parent.parent.parent / "android_bench/java"
TESTS = Path(__file__).parent / "java"


def need_javac() -> None:
    """Skip the test where there is no JDK."""
    if shutil.which("javac") is None:
        pytest.skip("javac is missing: apt-get install openjdk-17-jdk-headless")


def compiled(folder: Path, sources: Path, *classpath: Path) -> Path:
    """Compile all below `sources` into `folder`: with every warning an error, for the Java that Android knows."""
    folder.mkdir()
    flags = ["-Xlint:all", "-Xdoclint:all,-missing", "-Werror", "--release", "8", "-encoding", "UTF-8"]
    flags += ["-d", str(folder), "-cp", ":".join(map(str, classpath)) or str(folder)]
    done = subprocess.run(["javac", *flags, *map(str, sorted(sources.rglob("*.java")))], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def classes(tmp_path_factory) -> list[Path]:
    """Stubs of Android's classes, the API and the tests' classes, as a class path."""
    need_javac()
    folder = tmp_path_factory.mktemp("java")
    stubs = compiled(folder / "stubs", JAVA / "stubs")
    api = compiled(folder / "api", JAVA / "src", stubs)
    return [stubs, api, compiled(folder / "tests", TESTS, stubs, api)]


def run_java(classes: list[Path], program: str, *arguments: object, flags: tuple[str, ...] = (), **keywords) -> str:
    """Return what a program of the tests prints; fails where it ends otherwise than well."""
    command = ["java", *flags, "-cp", ":".join(map(str, classes)), program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, **keywords)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
