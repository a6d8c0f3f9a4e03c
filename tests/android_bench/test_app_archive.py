"""The Android archive: what is in it, and that it is the same again."""

import hashlib
import io
import json
import re
import shutil
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from app_archives import ANDROID, NAME, content
from java_classes import JAVA

from android_bench.runtime import archive
from android_bench.runtime.app import LIBRARY
from android_bench.runtime.compile import NATIVE
from android_bench.runtime.sysroot import ABIS, MIN_API
from larqnets import LarqnetsError, __version__


def test_what_is_in_the_archive(archive_folder, app_library):
    found = content(archive_folder / f"{NAME}.aar")
    terms = {f"LICENSES/{path.name}" for path in (app_library / "LICENSES").iterdir()}
    libraries = {f"jni/{abi.name}/{LIBRARY}": abi.name for abi in ABIS}
    assert set(found) == {"AndroidManifest.xml", "classes.jar", "R.txt", "proguard.txt", *terms, *libraries}
    assert {f"LICENSES/{name}" for name in ("LICENSE", "NOTICE", "THIRD_PARTY")} < terms
    assert set(libraries.values()) == {"arm64-v8a", "x86_64"}
    for name, abi in libraries.items():
        assert found[name] == (app_library / abi / LIBRARY).read_bytes()
    manifest = ElementTree.fromstring(found["AndroidManifest.xml"])
    assert (manifest.tag, manifest.attrib) == ("manifest", {"package": "larqnets.android"})
    assert [child.attrib for child in manifest] == [{f"{ANDROID}minSdkVersion": str(MIN_API)}]
    assert found["R.txt"] == b""
    assert re.fullmatch(rb"-keep\S+ class larqnets\.\*\* \{\s+native <methods>;\s+\}\s+", found["proguard.txt"])


def test_the_classes_are_ours_alone_and_for_java_8(archive_folder, tmp_path):
    classes = tmp_path / "classes.jar"
    classes.write_bytes(content(archive_folder / f"{NAME}.aar")["classes.jar"])
    found = content(classes)
    assert {name.partition("$")[0].removesuffix(".class") for name in found} == {
        path.relative_to(JAVA / "src").with_suffix("").as_posix() for path in (JAVA / "src").rglob("*.java")
    }
    assert {(name[:9], body[:4], int.from_bytes(body[6:8])) for name, body in found.items()} == {
        ("larqnets/", b"\xca\xfe\xba\xbe", 52)  # the version of Java 8
    }
    sources = content(archive_folder / f"{NAME}-sources.jar")
    assert sources == {
        path.relative_to(JAVA / "src").as_posix(): path.read_bytes() for path in (JAVA / "src").rglob("*.java")
    }


def test_the_pom_names_itself_and_tensorflow_lite(archive_folder):
    space = "{http://maven.apache.org/POM/4.0.0}"
    pom = ElementTree.parse(archive_folder / f"{NAME}.pom").getroot()
    assert [pom.findtext(f"{space}{key}") for key in ("groupId", "artifactId", "version", "packaging")] == [
        *("larqnets", "larqnets-android", __version__, "aar")
    ]
    (needed,) = pom.iter(f"{space}dependency")
    group, artifact, version = archive.TENSORFLOW_LITE
    assert [child.text for child in needed] == [group, artifact, version, "runtime"]
    advice = (NATIVE / "tflite_library.cc").read_text()  # the library's own, to an app without it
    assert f"{group}:{artifact}:{version}" in advice


def test_every_file_has_its_sums_and_is_listed(archive_folder):
    listed = json.loads((archive_folder / "manifest.json").read_text())["files"]
    names = {path.name for path in archive_folder.iterdir()}
    assert names == {*listed, "manifest.json"}
    parts = {name for name in names if name.endswith((".aar", ".pom", ".jar"))}
    assert parts == {f"{NAME}.aar", f"{NAME}.pom", f"{NAME}-sources.jar"}
    for part in parts:
        for kind in ("sha1", "sha256"):
            assert (archive_folder / f"{part}.{kind}").read_text() == hashlib.new(
                kind, (archive_folder / part).read_bytes()
            ).hexdigest()
    assert names - parts == {*(f"{part}.{kind}" for part in parts for kind in ("sha1", "sha256")), "manifest.json"}


def test_the_same_bytes_come_of_another_build_elsewhere(archive_folder, app_library, tmp_path):
    again = archive.archive(app_library, tmp_path / "other place")
    assert again["coordinates"] == f"larqnets:larqnets-android:{__version__}"
    other = Path(again["archive"]).parent
    assert other == archive.archive_folder(tmp_path / "other place")
    assert {path.name: path.read_bytes() for path in other.iterdir()} == {
        path.name: path.read_bytes() for path in archive_folder.iterdir()
    }
    with zipfile.ZipFile(again["archive"]) as opened:
        assert {entry.date_time for entry in opened.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert opened.namelist() == sorted(opened.namelist())


def test_a_zip_does_not_depend_on_the_order_of_what_is_in_it():
    entries = {"b/x": b"1" * 100, "a": b"2", "c": b""}
    assert archive.zipped(entries) == archive.zipped(dict(reversed(entries.items())))
    with zipfile.ZipFile(io.BytesIO(archive.zipped(entries))) as opened:
        assert {name: opened.read(name) for name in opened.namelist()} == entries


def test_the_command_makes_it_of_the_library_that_is_built(app_library, cli, archive_folder, tmp_path):
    shutil.copytree(app_library, tmp_path / "build/app")
    done = cli("runtime", "build", "--aar", "--output", "build", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    made = tmp_path / told["archive"]
    assert made == archive.archive_folder(tmp_path / "build") / f"{NAME}.aar"
    assert made.read_bytes() == (archive_folder / f"{NAME}.aar").read_bytes()
    said = cli("runtime", "build", "--aar", "--output", "build").out
    assert f'implementation "larqnets:larqnets-android:{__version__}"' in said


def test_without_a_jdk_it_says_so_before_it_compiles(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = cli("runtime", "build", "--aar", "--output", "build")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[-1].startswith(
        "larqnets: javac is missing, which compiles the classes of the archive. Install a JDK"
    )
    assert not (tmp_path / "build").exists()


def test_a_library_that_is_not_there_and_a_file_of_somebody_else(tmp_path):
    with pytest.raises(LarqnetsError, match=r"The library for apps in .*app cannot be read: .*\. Build it again\."):
        archive.archive(tmp_path / "app", tmp_path)
    place = archive.archive_folder(tmp_path)
    place.mkdir(parents=True)
    (place / f"{NAME}.pom").write_text("mine")
    with pytest.raises(LarqnetsError, match=r"\.pom is there and was not written by this command"):
        archive.build(tmp_path)
    assert [path.read_text() for path in place.iterdir()] == ["mine"]
    assert not (tmp_path / "app").exists()
