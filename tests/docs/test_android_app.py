"""The page on Android apps and the sample app: their code compiles against the archive, their lines for Gradle fit it."""

import re
from xml.etree import ElementTree

from app_archives import ANDROID
from java_classes import compiled
from pages import ROOT, blocks_of

from android_bench.runtime import archive
from android_bench.runtime.sysroot import ABIS, MIN_API
from larqnets import __version__

SAMPLE = ROOT / "examples/android"
PAGE = ROOT / "docs/guides/android-app.md"
# What the page's code finds where it is put, and what it imports.
CONTEXT = "android.content.Context context, Bitmap bitmap, int[] pixels, int width, int height"
IMPORTS = ("android.graphics.Bitmap", "java.nio.ByteBuffer", "java.util.List", "larqnets.*")


def test_the_sample_app_compiles_against_the_archive(archive_classes, tmp_path):
    made = compiled(tmp_path / "app", SAMPLE / "app/src/main/java", *archive_classes)
    manifest = ElementTree.parse(SAMPLE / "app/src/main/AndroidManifest.xml")
    (activity,) = manifest.iter("activity")
    assert (made / f"larqnets/sample{activity.attrib[f'{ANDROID}name'].replace('.', '/')}.class").is_file()


def java_blocks() -> list[str]:
    lines = PAGE.read_text().splitlines()
    return ["\n".join(lines[b.start + 1 : b.end]) for b in blocks_of(lines) if b.language == "java"]


def test_the_code_of_the_page_compiles_against_the_archive(archive_classes, tmp_path):
    blocks = java_blocks()
    whole = [block for block in blocks if "public class" in block]
    assert (len(whole), len(blocks)) == (1, 5)
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "MainActivity.java").write_text(f"package page;\n\n{whole[0]}\n")
    for number, block in enumerate(blocks):
        if block not in whole:
            head = "".join(f"import {name};\n" for name in IMPORTS)
            body = (
                f"abstract class Block{number} {{\n    void run({CONTEXT}) throws Exception {{\n{block}\n    }}\n}}\n"
            )
            (sources / f"Block{number}.java").write_text(f"package page;\n\n{head}\n{body}")
    compiled(tmp_path / "page", sources, *archive_classes)


def test_what_gradle_is_told_is_what_the_archive_has():
    """In the sample app and on the page: the coordinates with today's version, the ABIs, the API level, where assets are not compressed."""
    gradle = (SAMPLE / "app/build.gradle").read_text()
    for text in (gradle, PAGE.read_text()):
        assert set(re.findall(r"larqnets:larqnets-android:([\d.]+\d)", text)) == {__version__}
        assert re.findall(r"abiFilters (.*)", text)[0] == ", ".join(f'"{abi.name}"' for abi in ABIS)
        assert set(re.findall(r"minSdk (?:= )?(\d+)", text)) == {str(MIN_API)}
        assert 'noCompress "tflite"' in text
    settings = (SAMPLE / "settings.gradle").read_text()
    (repository,) = re.findall(r'maven \{ url = uri\("(.*)"\) \}', settings)
    assert (SAMPLE / repository).resolve() == ROOT / "build/maven"


def test_the_page_recommends_the_tensorflow_lite_that_the_pom_names():
    group, artifact, version = archive.TENSORFLOW_LITE
    text = PAGE.read_text()
    assert f"`{group}:{artifact}` {version.rpartition('.')[0]}.x" in text
    assert f"names LiteRT {version}." in text
