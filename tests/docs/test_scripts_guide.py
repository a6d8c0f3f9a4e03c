"""What docs/guides/scripts.md shows runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[2] / "docs/guides/scripts.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
SHELL = re.findall(r"^```sh\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def run(command, folder, **environment):
    return subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True)


def test_there_is_something_to_run():
    assert (len(PYTHON), len(SHELL)) == (4, 2)


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python(code, tmp_path):
    done = run([sys.executable, "-c", code], tmp_path, PYTHONPATH=str(Path(__file__).parents[2]))
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_shell(tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = run(["bash", "-e", "-c", "\n".join(SHELL)], tmp_path, PATH=path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("fine\n")
    assert (tmp_path / "digits.json").stat().st_size > 1000
