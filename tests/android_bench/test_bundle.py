"""`larqnets runtime build`: what is in the bundle, that it is the same every time, and what is said when it cannot be."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from recorder import Recorder

from android_bench.runtime import bundle as bundles
from android_bench.runtime.bundle import LIBRARY, MANIFEST, OURS, RUNNER, build, find_bundle, open_bundle
from android_bench.runtime.cross import SYSROOT
from deploy.run.shipped import find_model
from larqnets import LarqnetsError


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def second(bundle, tmp_path_factory):
    """The same bundle, built into another folder."""
    folder = tmp_path_factory.mktemp("second build")
    build(folder)
    return folder


def test_the_same_sources_give_the_same_bytes(bundle, second):
    for name in ("arm64", "android"):
        mine, theirs = ((folder / name / MANIFEST).read_text() for folder in (bundle.parent, second))
        assert mine == theirs


def test_manifest_names_every_file_and_its_origin(second):
    for folder in (second / "arm64", second / "android"):
        manifest = json.loads((folder / MANIFEST).read_text())
        files = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {MANIFEST}
        assert files == set(manifest["files"])
        assert all(sha256(folder / name) == value for name, value in manifest["files"].items())
        assert manifest["files"][LIBRARY] == bundles.LIBRARY_SHA256
        assert manifest["wheel"]["sha256"] == bundles.WHEEL_SHA256
        assert {"LICENSES/LICENSE", "LICENSES/NOTICE", "LICENSES/THIRD_PARTY"} <= files
        assert os.access(folder / RUNNER, os.X_OK)
    assert {"README.txt", *bundles.CROSS_FILES} <= files
    assert {f"LICENSES/{name}.copyright" for name in bundles.CROSS_PACKAGES} <= files


def test_nothing_is_compiled_again(second):
    before = {path: path.stat().st_mtime_ns for path in second.rglob("*") if path.is_file() and path.name != ".lock"}
    recorder = Recorder()
    build(second, recorder)
    assert recorder.stages[0] == "library"
    assert "compile" not in recorder.stages
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_damaged_bundle_is_said_and_mended(second, tmp_path):
    folder = tmp_path / "arm64"
    shutil.copytree(second / "arm64", folder)
    (folder / RUNNER).write_bytes(b"damaged")
    with pytest.raises(LarqnetsError, match="is damaged"):
        open_bundle(folder)
    build(tmp_path)
    assert open_bundle(folder) == folder
    (folder / "alien").write_text("stays")
    assert open_bundle(folder) == folder


def test_a_bundle_of_other_sources_is_refused(second, monkeypatch):
    monkeypatch.setattr(bundles, "source_digest", lambda: "other")
    with pytest.raises(LarqnetsError, match="Other sources"):
        open_bundle(second / "arm64")


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """A user who has no runtime: an empty cache, an empty current folder, nothing in the environment."""
    monkeypatch.delenv("LARQNETS_RUNTIME", raising=False)
    monkeypatch.setattr(bundles, "runtime_folder", lambda: tmp_path / "cache/runtime")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def test_where_a_runtime_is_looked_for(second, nowhere, monkeypatch):
    assert find_bundle() is None
    shutil.copytree(second, nowhere / "cache/runtime")
    assert find_bundle() == nowhere / "cache/runtime/arm64"
    shutil.copytree(second, "build")
    assert find_bundle() == nowhere / "here/build/arm64"
    Path("build/arm64", RUNNER).write_bytes(b"of an older checkout")
    assert find_bundle() == nowhere / "cache/runtime/arm64"
    monkeypatch.setenv("LARQNETS_RUNTIME", str(second / "arm64"))
    assert find_bundle() == second / "arm64"
    assert find_bundle(nowhere / "cache/runtime/arm64") == nowhere / "cache/runtime/arm64"


@pytest.mark.parametrize("find", [find_bundle, open_bundle])
def test_a_place_that_was_named_is_not_replaced(second, nowhere, monkeypatch, find):
    shutil.copytree(second, nowhere / "cache/runtime")
    monkeypatch.setenv("LARQNETS_RUNTIME", str(nowhere / "typo"))
    with pytest.raises(LarqnetsError, match=r"There is no ARM64 runtime in .*typo"):
        find()


def test_the_first_use_builds_and_says_so(bundle, nowhere, capfd):
    built = open_bundle()
    assert capfd.readouterr().err == (
        f"larqnets: building the ARM64 runtime into {nowhere}/cache/runtime, once: about 2 minutes.\n"
    )
    assert built == nowhere / "cache/runtime/arm64"
    assert sha256(built / OURS) == sha256(bundle / OURS)
    assert open_bundle() == find_bundle() == built
    assert capfd.readouterr().err == ""


def test_the_cache_is_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert bundles.runtime_folder() == tmp_path / "larqnets/runtime"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert bundles.cache_folder() == tmp_path / "home/.cache/larqnets"


def test_doctor_misses_what_the_benchmark_would(nowhere, cli):
    report = json.loads(cli("doctor", "--json").out)
    assert report["can"]["run models on ARM64 under qemu"] is False
    assert any("the ARM64 runtime is not built" in finding for finding in report["findings"])
    shown = cli("doctor").out
    assert "nothing is missing" not in shown
    for name in ("ARM64 runtime", "qemu-aarch64", "adb", "ssh"):
        assert re.search(rf"^{name} +(found|missing)", shown, re.MULTILINE)


def test_doctor_finds_the_runtime(bundle, cli):
    assert json.loads(cli("doctor", "--json").out)["arm64_runtime"] == str(bundle)


@pytest.mark.parametrize("damage", [b"", b"[]", b"{}", b'{"files": 3}', b'{"files": {"../x": "0"}}'])
def test_a_manifest_that_is_none(tmp_path, damage):
    (tmp_path / MANIFEST).write_bytes(damage)
    with pytest.raises(LarqnetsError, match="larqnets runtime build"):
        open_bundle(tmp_path)


def test_the_android_folder_runs_by_its_own_loader(second):
    """As on Android: no system libraries, no environment; the folder brings its loader."""
    folder = second / "android"
    shutil.copy(find_model("digits"), second / "model.tflite")
    command = [shutil.which("qemu-aarch64"), "./ld-linux-aarch64.so.1", "--library-path", ".", f"./{RUNNER}"]
    done = subprocess.run([*command, "--model", "../model.tflite"], cwd=folder, env={}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["kernels"] == "neon"


@pytest.mark.parametrize("name", [RUNNER, OURS])
def test_our_files_need_no_newer_glibc_than_promised(second, name):
    """Raspberry Pi OS bullseye has 2.31; ours ask for 2.28 at most."""
    needed = set((second / "arm64" / name).read_bytes().split(b"\0"))
    versions = [tuple(map(int, v[6:].split(b"."))) for v in needed if v.startswith(b"GLIBC_2.")]
    assert versions
    assert max(versions) <= (2, 28)
    assert not any(v.startswith(b"GLIBCXX") for v in needed)
    assert not any(str(SYSROOT).encode() in v or os.fsencode(Path.home() / "x")[:-1] in v for v in needed)


def test_a_wheel_of_other_content_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    wheel = bundles.cache_folder() / bundles.WHEEL
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"ai_edge_litert/{LIBRARY}", b"something else")
    with pytest.raises(LarqnetsError, match="is not the pinned file") as error:
        build(tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_without_an_index_and_a_cache_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(LarqnetsError, match="cannot be downloaded") as error:
        build(tmp_path / "out")
    assert "\n" not in str(error.value)
    assert bundles.WHEEL in str(error.value)
    assert list(bundles.cache_folder().iterdir()) == []


def test_without_cross_libraries_android_is_left_out(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("android_bench.runtime.cross.SYSROOT", tmp_path / "nowhere")
    built = build(tmp_path / "out")
    assert built["android"] is None
    assert "apt-get install libc6-arm64-cross" in built["left_out"]
    assert not (tmp_path / "out/android").exists()
    assert open_bundle(tmp_path / "out/arm64")


def test_without_zig_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LarqnetsError, match=r'pip install "larqnets\[runtime\]"'):
        build(tmp_path / "out")


def test_command_line_builds(bundle, cli, tmp_path):
    done = cli("runtime", "build", "--output", tmp_path / "b", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["files"][LIBRARY] == bundles.LIBRARY_SHA256
    assert "sha256" in cli("runtime", "build", "--output", tmp_path / "b").out


def test_a_folder_that_cannot_be_written(cli, tmp_path):
    (tmp_path / "file").write_text("")
    done = cli("runtime", "build", "--output", tmp_path / "file")
    assert done.code == 1
    assert done.err.splitlines()[-1].startswith(f"larqnets: Cannot write {tmp_path / 'file'}")
