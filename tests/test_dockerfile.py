"""The Dockerfile without Docker: its commands are those of `make install`, run in an empty folder, and all that it copies is there."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from dockerfile import ROOT, SOURCE, VENV, arguments, copied, instructions

from android_bench.runtime.cross import CROSS_PACKAGES

KNOWN = {"ARG", "FROM", "RUN", "COPY", "ENV", "USER", "WORKDIR", "VOLUME", "ENTRYPOINT", "CMD"}


def test_it_has_instructions_that_docker_knows_in_their_order():
    names = [name for name, _ in instructions()]
    assert set(names) == KNOWN
    assert names[:2] == ["ARG", "FROM"]
    assert arguments("ARG") == ["BASE=python:3.11-slim-bookworm"]
    assert arguments("FROM") == ["${BASE}"]


@pytest.mark.parametrize("command", arguments("RUN"), ids=range(len(arguments("RUN"))))
def test_a_shell_can_read_a_command(command):
    done = subprocess.run(["bash", "-n", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_packages_are_installed_as_make_does():
    """`make` alone installs itself so that the checkout can be edited."""
    made = subprocess.run(
        ["make", "--dry-run", "--always-make", "install", f"VENV={VENV}", "PYTHON=python3.11"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = [line for line in made.stdout.splitlines() if " -m venv " in line or " -m pip " in line]
    assert len(theirs) == 4
    ours = [command for command in arguments("RUN") if " -m venv " in command or " -m pip " in command]
    assert ours == [line.replace(" --editable .", " .") for line in theirs]


def test_what_is_copied_is_here_in_the_sdist_and_not_ignored(tmp_path):
    build = [sys.executable, "-m", "build", "--sdist", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        inside = {name.partition("/")[2] for name in tar.getnames()}
    assert {"Dockerfile", ".dockerignore"} <= inside
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert kept[1] == "*"
    assert {line[1:] for line in kept if line.startswith("!")} == set(copied())
    for source in copied():
        files = [ROOT / source] if (ROOT / source).is_file() else sorted((ROOT / source).rglob("*"))
        names = {f.relative_to(ROOT).as_posix() for f in files if f.is_file() and "__pycache__" not in f.parts}
        assert names, source
        assert names <= inside, source


def test_all_that_the_wheel_is_built_of_is_copied_before_it():
    *_, last = (i for i, (name, rest) in enumerate(instructions()) if name == "RUN" and rest.endswith(" ."))
    before = " ".join(rest for name, rest in instructions()[:last] if name == "COPY").split()
    assert {"pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "NOTICE", "configs"} <= set(before)
    assert {"larqnets", "deploy", "android_bench"} <= set(before)


def test_proofs_on_arm64_have_what_they_need():
    (apt,) = (command for command in arguments("RUN") if "apt-get" in command)
    assert {"qemu-user", *CROSS_PACKAGES} <= set(apt.split())


def test_it_runs_as_a_user_without_rights_in_a_volume():
    assert arguments("USER") == ["larqnets"]
    order = [name for name, _ in instructions()]
    assert order.index("USER") > max(i for i, name in enumerate(order) if name == "RUN")
    (made,) = (command for command in arguments("RUN") if "useradd" in command)
    assert re.search(
        r"useradd .*--uid 1000 larqnets && mkdir /home/larqnets && chown larqnets:larqnets /home/larqnets$", made
    )
    assert arguments("VOLUME") == ['["/home/larqnets"]']
    assert arguments("WORKDIR")[-1] == "/home/larqnets"
    assert arguments("ENTRYPOINT") == ['["larqnets"]']
    (environment,) = arguments("ENV")
    assert {f"PATH={VENV}/bin:$PATH", "HOME=/home/larqnets", "TFDS_DATA_DIR=/home/larqnets/data"} == set(
        environment.split()
    )


def test_its_commands_run_in_an_empty_folder(tmp_path):
    """All but those of apt and users, and of the two lists of packages the core's, which is small."""
    source, venv = tmp_path / "source", tmp_path / "venv"
    source.mkdir()
    for name, rest in instructions():
        if name == "COPY":
            *sources, target = rest.split()
            for one in sources:
                _copy(ROOT / one, source / one if target == "./" else source / target)
        if name == "RUN" and (" -m venv " in rest or " -m pip " in rest) and "everything" not in rest:
            command = rest.replace(VENV, str(venv)).replace("python3.11", sys.executable)
            done = subprocess.run(["bash", "-c", command], cwd=source, capture_output=True, text=True)
            if done.returncode != 0 and "connection broken" in done.stderr:
                pytest.skip("the package registry cannot be reached")
            assert done.returncode == 0, done.stderr
    shutil.rmtree(source)
    work = tmp_path / "work"
    work.mkdir()
    clean = {"PATH": f"{venv}/bin:{os.environ['PATH']}", "HOME": str(work)}
    done = subprocess.run(["larqnets", "inspect", "digits"], cwd=work, env=clean, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "LceBconv2d" in done.stdout
    assert arguments("WORKDIR")[0] == SOURCE


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
