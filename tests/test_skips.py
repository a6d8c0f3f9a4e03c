"""The skip policy of conftest.py, tried on a folder of tests of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

def test_that_passes():
    pass

@pytest.mark.skipif(True, reason="needs a board")
def test_marked():
    pass

def test_decides_itself():
    pytest.skip("needs a network")

@pytest.mark.xfail(reason="known")
def test_expected_to_fail():
    assert False
"""
MODULE = 'import pytest\npytest.skip("needs a compiler", allow_module_level=True)\n'


def run(tmp_path, **environment):
    for name in ("conftest.py", "durations.json", "forked.py", "small_backbones.py"):
        (tmp_path / name).write_text(Path(__file__).with_name(name).read_text())
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "test_module.py").write_text(MODULE)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--continue-on-collection-errors", str(tmp_path)],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(("no_skip", "code", "counts"), [("0", 0, "3 skipped"), ("1", 1, "1 failed")])
def test_skips_are_listed_and_can_be_forbidden(tmp_path, no_skip, code, counts):
    done = run(tmp_path, LARQNETS_NO_SKIP=no_skip)
    assert done.returncode == code, done.stdout + done.stderr
    assert counts in done.stdout
    assert "1 passed" in done.stdout
    assert "1 xfailed" in done.stdout
    heading, reasons = (
        "checks skipped on this machine and why",
        ("needs a board", "needs a network", "needs a compiler"),
    )
    if no_skip == "0":
        listed = done.stdout.split(heading)[1]
        assert all(reason in listed for reason in reasons)
        assert "test_some.py::test_marked" in listed
    else:
        assert heading not in done.stdout
        for reason in reasons:
            assert f"LARQNETS_NO_SKIP=1, but this was skipped: {reason}" in done.stdout


def test_tests_that_are_named_may_skip_and_no_others(tmp_path):
    done = run(tmp_path, LARQNETS_NO_SKIP="1", LARQNETS_MAY_SKIP="test_some.py::test_marked test_some.py::test_passes")
    assert done.returncode == 1
    assert "1 skipped" in done.stdout
    assert (
        "needs a board\n    test_some.py::test_marked" in done.stdout.split("checks skipped on this machine and why")[1]
    )
    assert "LARQNETS_NO_SKIP=1, but this was skipped: needs a network" in done.stdout
    assert "LARQNETS_NO_SKIP=1, but this was skipped: needs a board" not in done.stdout


def test_what_ci_lets_skip_is_there():
    script = (Path(__file__).parents[1] / ".ci/run").read_text()
    named = re.findall(r"tests/\S+\.py::\w+", script)
    assert len(named) == 2
    for test in named:
        file, _, function = test.partition("::")
        assert f"def {function}(" in (Path(__file__).parents[1] / file).read_text()
