"""The commands of the first page and of the tutorials, given as a reader gives them: in order, in an empty folder.

A page becomes one script for bash, in which every command stands in the line that it has on the page: what is not run is an
empty line. So what one block sets or where it goes holds for the next, and an error names the line of the page. Blocks of sh
are run but those with `<!-- not run: REASON -->` in the line before; blocks of python are run with `<!-- run -->` there.
"""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from door import Door
from pages import ROOT, Block, blocks_of

PAGES = [ROOT / "docs/start/first-network.md", *sorted((ROOT / "docs/tutorials").glob("*.md"))]
LIMIT_S = 900  # of a page: far more than the three minutes that it may take on an idle machine
# What stands in for the hardware of a page, and by which name its commands find it: see tests/android_bench/doubles.py.
DOUBLES = {"raspberry-pi": "pi", "android-phone": "phone"}


def script_of(lines: list[str], page: str) -> tuple[str, list[Block]]:
    """Return a page as a script, and its blocks that are not run."""
    script, left = [""] * len(lines), []
    for block in blocks_of(lines):
        if block.language not in ("sh", "python"):
            continue
        assert not block.indented, f"{page}:{block.start + 1}: a block that is run, or not, begins in the first column"
        if not block.runs:
            if block.language == "sh":
                assert block.reason, f"{page}:{block.start + 1}: say why: <!-- not run: REASON -->"
            left.append(block)
            continue
        script[block.start + 1 : block.end] = lines[block.start + 1 : block.end]
        if block.language == "python":
            script[block.start], script[block.end] = "python - <<'END OF PYTHON'", "END OF PYTHON"
    trap = f"""set -eE -o pipefail; trap 'echo "failed: {page}:$LINENO" >&2' ERR; """
    assert not script[0], "a page begins with its title"
    return trap + "\n".join(script) + "\n", left


def give(script: str, folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run a script in a folder; returns its exit code and all that was printed. What it started ends with it.

    Bash names the line of a command that fails, and of a pipe not always the command that failed: the whole line is put behind.
    """
    log = folder.parent / "output.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            process.wait(LIMIT_S)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    lines = script.splitlines()
    named = re.sub(r"(?m)^failed: \S+:(\d+)$", lambda found: f"{found[0]}: {lines[int(found[1]) - 1]}", log.read_text())
    return process.returncode, named


@pytest.fixture
def environment(tmp_path, tfds_dir):
    """The larqnets of this tree in PATH, as an installed one, and nothing of the user's that it would find."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python", "python3"):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (programs / name).chmod(0o755)

    def make() -> dict[str, str]:
        added = {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TFDS_DATA_DIR": str(tfds_dir),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
            "MPLBACKEND": "agg",
        }
        return os.environ | added

    with Door(programs / "larqnets"):
        yield make


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_can_be_followed(page, environment, tmp_path, request, record_property):
    lines = page.read_text().splitlines()
    script, left = script_of(lines, page.relative_to(ROOT).as_posix())
    ran = [block for block in blocks_of(lines) if block.runs]
    assert ran, "nothing of this page is run"
    record_property("blocks run", len(ran))
    record_property("blocks not run", dict(Counter(block.reason or "an example" for block in left)))
    given = "".join(f"{lines[number]}\n" for block in ran for number in range(block.start, block.end))
    if "--device" in given:  # qemu, or a double that runs ARM64 files under qemu
        request.getfixturevalue("bundle")
    if page.stem in DOUBLES:
        request.getfixturevalue(DOUBLES[page.stem])
    folder = tmp_path / "empty"
    folder.mkdir()
    given_to = environment()
    if "--device" not in given:  # another test may have named the runtime, with which conversions are proven twice
        given_to.pop("LARQNETS_RUNTIME", None)
    code, output = give(script, folder, given_to)
    assert code == 0, f"{page.relative_to(ROOT)} ended with {code} and printed:\n{output}"


PAGE = """# A page

```sh
cd sub
X=1
```

```text
false
```

<!-- run -->
```python
import os
print("seen", os.getcwd(), sep=": ")
```

<!-- not run: needs a phone -->
```sh
exit 3
```

```python
exit(4)
```

```sh
echo "X is $X"
{last}
echo never
```
"""


@pytest.mark.parametrize(
    ("last", "code", "said"),
    [
        ("exit 0", 0, "seen: {folder}/sub\nX is 1\n"),
        ("ls absent | cat", 2, "failed: page.md:29: ls absent | cat\n"),
        ("python -c 'exit(7)'", 7, "failed: page.md:29: python -c 'exit(7)'\n"),
    ],
)
def test_the_first_command_that_fails_is_named(tmp_path, environment, last, code, said):
    folder = tmp_path / "empty"
    (folder / "sub").mkdir(parents=True)
    script, left = script_of(PAGE.format(last=last).splitlines(), "page.md")
    assert [block.reason for block in left] == ["needs a phone", None]
    ended, output = give(script, folder, environment())
    assert ended == code
    assert output.endswith(said.format(folder=folder))
    assert "never" not in output


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        ("# A\n\n<!-- not run -->\n```sh\nfalse\n```\n", "a.md:4: say why"),
        (
            "# A\n\n- item\n\n  ```sh\n  true\n  ```\n",
            "a.md:5: a block that is run, or not, begins in the first column",
        ),
    ],
)
def test_what_would_not_be_run_by_an_oversight_fails(page, reason):
    with pytest.raises(AssertionError, match=reason):
        script_of(page.splitlines(), "a.md")


def test_a_block_that_does_not_end():
    with pytest.raises(ValueError, match="the block of line 3 does not end"):
        script_of(["# A", "", "```sh", "true"], "a.md")
