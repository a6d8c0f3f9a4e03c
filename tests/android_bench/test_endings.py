"""However a command ends, nothing of it stays: no process, no temporary folder; and what was measured is kept."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from living import alive, descendants, until

from android_bench.record import read_session
from deploy.run.shipped import find_model

ENDS = {signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGKILL: -signal.SIGKILL}
# A test runner in the background may ignore signals, and its children inherit that.
START = (
    "import signal\n"
    "for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(number, signal.SIG_DFL)\n"
    "from larqnets.cli.main import main; main()\n"
)


def end(
    arguments: list[object], number: int, when: Callable[[str, list[str]], bool], folder: Path
) -> tuple[int, str, list[str]]:
    """Run larqnets and send a signal when its stderr so far and its children's commands are as `when` wants them.

    Returns exit code, stderr and the commands. All of its children must end and its temporary folders go.
    """
    temporary = folder / "tmp"
    temporary.mkdir()
    environment = os.environ | {"TMPDIR": str(temporary), "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-c", START, *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(iter(process.stderr.readline, "")), daemon=True)
        reader.start()
        family: dict[int, str] = {}

        def ready() -> bool:
            assert process.poll() is None, "".join(said)
            family.update(descendants(process.pid))
            return when("".join(said), list(family.values()))

        until(ready, 120)
        process.send_signal(number)
        process.wait(60)
        until(lambda: not alive(list(family)), 20)
    reader.join(10)
    until(lambda: not list(temporary.iterdir()), 20)
    folders = {name for line in family.values() for name in re.findall(r"/\S*/larqnets-[a-z0-9_]{8}(?=/)", line)}
    until(lambda: not [name for name in folders if Path(name).exists()], 20)
    return process.returncode, "".join(said), list(family.values())


@pytest.mark.parametrize("number", ENDS)
def test_counting_under_qemu(bundle, tmp_path, number):
    files = [tmp_path / f"{i}.tflite" for i in range(40)]
    for file in files:
        file.write_bytes(find_model("digits").read_bytes())
    arguments = ["benchmark", *files, "--device", "qemu"]
    code, _, family = end(arguments, number, lambda _, lines: any("qemu-aarch64" in line for line in lines), tmp_path)
    assert code == ENDS[number]
    assert any("qemu-aarch64" in line for line in family)


@pytest.mark.parametrize(
    ("device", "number"),
    [
        *(("local", signal.SIGTERM), ("local", signal.SIGKILL), ("ssh", signal.SIGHUP), ("ssh", signal.SIGKILL)),
        ("adb", signal.SIGTERM),
    ],
)
def test_measuring(bundle, tmp_path, number, device, request):
    guest = None
    if device == "ssh":
        guest, name = request.getfixturevalue("pi").guest, "ssh:pi"
    elif device == "adb":
        phone = request.getfixturevalue("phone")
        guest, name = phone.guest, f"adb:{phone.serial}"
    else:
        name = device
    arguments = ["benchmark", find_model("digits"), "--device", name]
    code, said, family = end(arguments, number, lambda said, _: "round 2 of" in said, tmp_path)
    assert code == ENDS[number], said
    assert len(family) > 1
    (path,) = (tmp_path / "results").glob("[!.]*.json")
    record = read_session(path)
    assert not record.complete
    assert [r.number for r in record.models[0].kept][:1] == [0]
    if number != signal.SIGKILL:
        assert f"What was measured is in results/{path.name}. Continue with: larqnets benchmark --resume" in said
        assert [p.name for p in path.parent.iterdir()] == [path.name]
        if guest is not None:
            assert not list(guest.root.rglob("run.pid"))


@pytest.mark.parametrize("number", ENDS)
def test_building_the_runtime(bundle, tmp_path, number, monkeypatch):
    """With an empty cache of the compiler, so that it is still at work."""
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path / "zig"))
    wheel = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "larqnets"
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/larqnets").symlink_to(wheel)
    arguments = ["runtime", "build", "--output", "out"]
    code, said, _ = end(arguments, number, lambda _, lines: any("zig c++" in line for line in lines), tmp_path)
    assert code == ENDS[number], said
    left = [path.name for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not {"manifest.json", "larqnets_runner", "liblarqnets.so"} & set(left) or number == signal.SIGKILL
    if number != signal.SIGKILL:
        assert left == []
