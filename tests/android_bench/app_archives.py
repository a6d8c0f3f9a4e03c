"""The Android archive of these sources, made once for the tests of a file, and its classes to compile against."""

import zipfile
from pathlib import Path

import pytest
from java_classes import compiled, need_javac

from android_bench.runtime import archive
from android_bench.runtime.app import build_app
from larqnets import LarqnetsError, __version__

ROOT = Path(__file__).parents[2]
STUBS = Path(__file__).parent / "android_stubs"
NAME = f"larqnets-android-{__version__}"
ANDROID = "{http://schemas.android.com/apk/res/android}"


@pytest.fixture(scope="session")
def app_library() -> Path:
    """The library for apps in build/app, which is compiled where its sources are others; two processes wait for each other."""
    try:
        return Path(build_app(ROOT / "build")["app"])
    except LarqnetsError as error:
        if "failed" in str(error):  # a compiler that is there and refuses is no skip
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def archive_folder(app_library, tmp_path_factory) -> Path:
    """The folder of this version in a Maven folder."""
    need_javac()
    output = tmp_path_factory.mktemp("archive")
    archive.archive(app_library, output)
    return archive.archive_folder(output)


@pytest.fixture(scope="session")
def archive_classes(archive_folder, tmp_path_factory) -> list[Path]:
    """Android's classes as stubs, and the classes of the archive, as the sample app and the page's code see them."""
    there = tmp_path_factory.mktemp("classes")
    (there / "classes.jar").write_bytes(content(archive_folder / f"{NAME}.aar")["classes.jar"])
    return [compiled(there / "stubs", STUBS), there / "classes.jar"]


def content(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}
