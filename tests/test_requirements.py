"""The lock files: whole, of one mind, with a hash for every file, and obeyed by `make`."""

import importlib.metadata
import itertools
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Lock -> the lists of pyproject.toml that it holds, and the Pythons that it is for.
GROUPS = PROJECT["dependency-groups"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
CORE = (*PROJECT["project"]["dependencies"], *GROUPS["build"])
LOCKS = {
    "core": (CORE, ("3.11", "3.12", "3.13")),
    "everything": ((*CORE, *itertools.chain(*EXTRAS.values()), *GROUPS["zoo"]), ("3.11",)),
}
CASES = [(name, python) for name, (_, pythons) in LOCKS.items() for python in pythons]


def lines(name: str) -> list[str]:
    """The entries of a lock, each with its hashes in one line."""
    text = (ROOT / f"requirements/{name}.txt").read_text().replace("\\\n", " ")
    return [line for line in text.splitlines() if not line.startswith("#")]


def pins(name: str, python: str) -> dict[str, str]:
    """Package -> version for a Python on Linux."""
    found = {}
    environment = default_environment() | {"python_version": python, "python_full_version": f"{python}.0"}
    for line in lines(name):
        requirement, *_ = line.split(" --hash=")
        package, marker = Requirement(requirement), Requirement(requirement).marker
        if marker is None or Marker(str(marker)).evaluate(environment):
            (specifier,) = package.specifier
            assert specifier.operator == "==", line
            assert package.name not in found, line
            found[canonicalize_name(package.name)] = specifier.version
    return found


def asked(texts: Iterable[str], python: str) -> Iterator[Requirement]:
    """Yield what requirements ask for on a Python; one of ours, larqnets[plot], stands for what that extra asks for."""
    for text in texts:
        wanted = Requirement(text)
        if wanted.name == "larqnets":
            assert wanted.extras
            yield from asked((other for extra in wanted.extras for other in EXTRAS[extra]), python)
        elif wanted.marker is None or wanted.marker.evaluate(default_environment() | {"python_version": python}):
            yield wanted


@pytest.mark.parametrize(("name", "python"), CASES)
def test_the_lock_holds_what_the_project_asks_for(name, python):
    pinned = pins(name, python)
    for wanted in asked(LOCKS[name][0], python):
        assert wanted.specifier.contains(pinned[canonicalize_name(wanted.name)]), str(wanted)


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_extra_fits_beside_all_the_others(extra):
    pinned = pins("everything", "3.11")
    wanted = list(asked(EXTRAS[extra], "3.11"))
    assert wanted
    for one in wanted:
        assert one.specifier.contains(pinned[canonicalize_name(one.name)]), str(one)


def test_the_core_has_nothing_that_draws():
    drawing = {canonicalize_name(Requirement(text).name) for text in EXTRAS["plot"]}
    assert drawing == {"matplotlib", "jinja2"}
    for python in LOCKS["core"][1]:
        assert not (drawing | {"platformdirs", "contourpy", "markupsafe"}) & set(pins("core", python))


def test_the_locked_packages_bear_each_other():
    """Of what is installed here at its locked version, everything that it asks for is in the lock, at a version that it takes.

    What requirements/overrides.txt says goes before what packages ask for.
    """
    pinned = pins("everything", "3.11")
    overrides = (ROOT / "requirements/overrides.txt").read_text().splitlines()
    overridden = {canonicalize_name(Requirement(line).name) for line in overrides if line and not line.startswith("#")}
    environment = default_environment() | {"extra": ""}
    looked_at = 0
    for name, version in pinned.items():
        try:
            there = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if there.version != version:
            continue
        looked_at += 1
        for text in there.requires or ():
            wanted = Requirement(text)
            other = canonicalize_name(wanted.name)
            if other in overridden or (wanted.marker is not None and not wanted.marker.evaluate(environment)):
                continue
            assert other in pinned, f"{name} asks for {text}"
            assert wanted.specifier.contains(pinned[other], prereleases=True), f"{name} asks for {text}"
    assert looked_at > 100


def test_both_locks_have_the_same_versions():
    everything = pins("everything", "3.11")
    for package, version in pins("core", "3.11").items():
        assert everything[package] == version, package


@pytest.mark.parametrize("name", LOCKS)
def test_every_entry_has_hashes_and_none_an_address(name):
    assert len(lines(name)) > 20
    for line in lines(name):
        assert re.fullmatch(r"[\w.-]+==[\w.]+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+ *", line), line


@pytest.mark.parametrize(
    "package", ["tensorflow", "larq-compute-engine", "numpy", "hatchling", "setuptools", "editables", "uv", "larq-zoo"]
)
def test_what_matters_most_is_locked(package):
    assert package in pins("everything", "3.11")


def test_make_refuses_a_package_of_another_hash(tmp_path):
    """The lock is cut down to one small package whose hashes are wrong: nothing counts as installed then."""
    (tmp_path / "requirements").mkdir()
    for file in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path)
    (entry,) = (line for line in lines("core") if line.startswith("mdurl=="))
    pinned = entry.split(" --hash=")[0]
    (tmp_path / "requirements/core.txt").write_text(f"{pinned} --hash=sha256:{'0' * 64}\n")
    (tmp_path / "requirements/everything.txt").write_text("")
    for target in (".venv/.installed", ".venv-core/.installed"):
        done = subprocess.run(
            ["make", target, f"PYTHON={sys.executable}"], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode != 0
        if "DO NOT MATCH THE HASHES" not in done.stderr and "connection broken" in done.stderr:
            pytest.skip("the package registry cannot be reached")
        assert "DO NOT MATCH THE HASHES" in done.stderr
        assert not (tmp_path / target).exists()
