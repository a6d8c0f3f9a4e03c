"""Files are written whole or not at all, whatever stands at their place and whoever else writes."""

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from recorder import Recorder

from larqnets import files
from larqnets.errors import LarqnetsError
from larqnets.files import building_folder, locked, remove_leftovers, write_atomically


def python(code: str, *arguments: object, **options) -> subprocess.Popen:
    """Start Python code in a process of its own, its stdout and stderr piped."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options})


def test_two_writers_never_tear_a_file(tmp_path):
    path = tmp_path / "card.json"
    write_atomically(path, "a" * 50_000)
    code = (
        "import sys; from pathlib import Path; from larqnets.files import write_atomically\n"
        "for _ in range(150): write_atomically(Path(sys.argv[1]), sys.argv[2] * int(sys.argv[3]))"
    )
    writers = [python(code, path, letter, size) for letter, size in (("a", 50_000), ("b", 70_000))]
    seen = {path.read_bytes()}
    while any(writer.poll() is None for writer in writers):
        seen.add(path.read_bytes())
    assert [writer.communicate()[1] for writer in writers] == ["", ""]
    assert seen == {b"a" * 50_000, b"b" * 70_000}
    assert [p.name for p in tmp_path.iterdir()] == ["card.json"]


@pytest.mark.parametrize("name", ["a" * 255, "µ" * 127, "-o", "a\nb", " ", ".hidden", "x.writing"])
def test_every_name_that_a_file_may_have(tmp_path, name):
    for text in ("one", "two"):
        write_atomically(tmp_path / name, text)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {name: "two"}


def test_a_planted_link_is_not_followed(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".x.writing").symlink_to(victim)  # the name that was foreseeable once
    write_atomically(tmp_path / "x", "new")
    monkeypatch.setattr(files.secrets, "token_hex", lambda count: "0" * 2 * count)
    (tmp_path / f".larqnets-{'0' * 16}.writing").symlink_to(victim)
    with pytest.raises(LarqnetsError, match=r"Cannot write .*y: File exists"):
        write_atomically(tmp_path / "y", "new")
    assert (victim.read_text(), (tmp_path / "x").read_text()) == ("mine", "new")
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize("existing", [None, 0o600, 0o644, 0o666, 0o400])
def test_permissions_are_those_of_the_umask_or_of_the_file_before(tmp_path, existing):
    path = tmp_path / "x"
    if existing is not None:
        path.touch()
        path.chmod(existing)
    before = os.umask(0o027)
    try:
        write_atomically(path, "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == (0o640 if existing is None else existing)


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_is_written(tmp_path, there):
    (tmp_path / "far").mkdir()
    (tmp_path / "far/folder").mkdir()
    if there:
        (tmp_path / "far/target").write_text("old")
    (tmp_path / "second").symlink_to("far/folder/../target")
    (tmp_path / "first").symlink_to(tmp_path / "second")
    write_atomically(tmp_path / "first", "new")
    assert (tmp_path / "far/target").read_text() == "new"
    assert (tmp_path / "first").is_symlink()
    assert (tmp_path / "second").is_symlink()


def test_links_in_a_circle_are_one_sentence(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(LarqnetsError, match=r"Cannot write .*a: Too many levels of symbolic links"):
        write_atomically(tmp_path / "a", "new")


def test_a_folder_at_the_place_is_refused(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(LarqnetsError, match=r"Cannot write .*x: Is a directory"):
        write_atomically(tmp_path / "x", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_fifo_is_written_through(tmp_path):
    path, read = tmp_path / "fifo", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_text()), daemon=True)
    reader.start()
    write_atomically(path, "new")
    reader.join(10)
    assert read == ["new"]
    assert path.is_fifo()


def null_device(folder: Path) -> Path:
    """Return a device that takes everything: one of ours where this process may make it, else a link to it."""
    device = folder / "null"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        device.symlink_to("/dev/null")
    return device


def test_a_device_is_written_through_and_stays(tmp_path):
    device = null_device(tmp_path)
    before = device.lstat()
    with contextlib.suppress(LarqnetsError):  # a file system without devices refuses
        write_atomically(device, "new")
    assert (device.lstat().st_ino, device.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert [p.name for p in tmp_path.iterdir()] == ["null"]


def test_a_full_device_is_one_sentence(tmp_path):
    (tmp_path / "x").symlink_to("/dev/full")
    with pytest.raises(
        LarqnetsError, match=r"Cannot write to /dev/full: No space left on device\. It is no regular file"
    ):
        write_atomically(tmp_path / "x", "new")


@pytest.mark.parametrize("kind", ["pipe", "file"])
@pytest.mark.parametrize("name", ["/dev/stdout", "/proc/self/fd/1", "/dev/fd/1"])
def test_stdout_is_written_where_it_stands(tmp_path, kind, name):
    code = (
        "import sys; from pathlib import Path; from larqnets.files import write_atomically\n"
        "print('before'); write_atomically(Path(sys.argv[1]), 'written\\n'); print('behind')"
    )
    out, link = tmp_path / "out", tmp_path / "link"
    link.symlink_to(name)  # so that a writer that replaces what it finds harms no other process
    with out.open("w") as file:
        done = python(code, link, stdout=file if kind == "file" else subprocess.PIPE)
        said, err = done.communicate()
    assert err == ""
    assert (said or out.read_text()) == "before\nwritten\nbehind\n"
    assert link.is_symlink()


def kill_in(call: str, code: str, folder: Path) -> None:
    """Run code in a process that is killed when it calls `call` of the module os."""
    killer = f"import os, signal; os.{call} = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
    done = python(killer + "from pathlib import Path; from larqnets.files import *\n" + code, cwd=folder)
    done.communicate()
    assert done.returncode == -signal.SIGKILL


def unfinished(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.name.endswith(".writing")]


@pytest.mark.parametrize(
    "code",
    [
        "write_atomically(Path('x'), 'new')",
        "with building_folder(Path()) as folder: write_atomically(folder / 'y', 'new')",
    ],
)
def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path, code):
    (tmp_path / "x").write_text("old")
    kill_in("fsync", code, tmp_path)
    assert len(unfinished(tmp_path)) == 1
    assert (tmp_path / "x").read_text() == "old"
    foreign = [".larqnets-1.writing", ".x.writing", f".larqnets-{'G' * 16}.writing", f"a.larqnets-{'0' * 16}.writing"]
    for name in foreign:
        (tmp_path / name).mkdir()
    (tmp_path / f".larqnets-{'1' * 16}.writing").symlink_to(tmp_path / "x")
    with building_folder(tmp_path) as alive:
        (alive / "y").write_text("being written")
        write_atomically(tmp_path / "x", "new")
        assert sorted(unfinished(tmp_path)) == sorted([*foreign, alive.name, f".larqnets-{'1' * 16}.writing"])
        assert (alive / "y").read_text() == "being written"
    assert not alive.exists()
    assert (tmp_path / "x").read_text() == "new"


def test_a_writer_in_another_process_keeps_its_file(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from larqnets.files import write_atomically\n"
        "sync = os.fsync\n"
        "def wait(descriptor): print('half', flush=True); sys.stdin.readline(); sync(descriptor)\n"
        "os.fsync = wait; write_atomically(Path('x'), 'theirs')"
    )
    writer = python(code, stdin=subprocess.PIPE, cwd=tmp_path)
    assert writer.stdout.readline() == "half\n"
    remove_leftovers(tmp_path)
    assert len(unfinished(tmp_path)) == 1
    assert writer.communicate("go on\ngo on\n")[1] == ""
    assert (tmp_path / "x").read_text() == "theirs"


def test_without_locks_nothing_is_removed(tmp_path, monkeypatch):
    """A file system that knows none cannot tell who lives."""
    left = tmp_path / f".larqnets-{'0' * 16}.writing"
    left.touch()

    def no_locks(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", no_locks)
    write_atomically(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "new"
    assert left.exists()


HOLD = (
    "import sys; from pathlib import Path; from larqnets.files import locked\n"
    "with locked(Path('t.csv')): print('in', flush=True); sys.stdin.readline()"
)


def test_two_processes_in_one_file_one_is_refused_or_waits(tmp_path):
    holder = python(HOLD, stdin=subprocess.PIPE, cwd=tmp_path)
    assert holder.stdout.readline() == "in\n"
    words = rf"t\.csv is being written by another process \(PID {holder.pid}\)"
    with pytest.raises(LarqnetsError, match=f"{words}. Wait for it"), locked(tmp_path / "t.csv"):
        pass

    class LetGo(Recorder):
        def stage(self, name):
            super().stage(name)
            holder.communicate("done\n")

    with locked(tmp_path / "t.csv", recorder := LetGo()):
        pass
    (said,) = recorder.said
    assert f"(PID {holder.pid}): waiting for it" in said
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    holder = python(HOLD, stdin=subprocess.PIPE, cwd=tmp_path)
    assert holder.stdout.readline() == "in\n"
    holder.kill()
    holder.communicate()
    with locked(tmp_path / "t.csv"):
        write_atomically(tmp_path / "t.csv", "new")
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_many_processes_add_to_one_file_and_nothing_is_lost(tmp_path):
    """Each reads, adds a line and writes: what the lock is for."""
    (tmp_path / "t.csv").write_text("")
    code = (
        "import sys; from pathlib import Path; from larqnets.files import locked, write_atomically\n"
        "from larqnets.reporter import SILENT\n"
        "path = Path('t.csv')\n"
        "for i in range(20):\n"
        "    with locked(path, SILENT):\n"
        "        write_atomically(path, path.read_text() + f'{sys.argv[1]} {i}\\n')"
    )
    writers = [python(code, name, cwd=tmp_path) for name in ("a", "b", "c")]
    assert [writer.communicate()[1] for writer in writers] == [""] * 3
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert sorted(lines) == sorted(f"{name} {i}" for name in ("a", "b", "c") for i in range(20))
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_a_planted_lock_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / ".t.csv.lock").symlink_to(tmp_path / "victim")
    with pytest.raises(LarqnetsError, match="Cannot write"), locked(tmp_path / "t.csv"):
        pass
    assert (tmp_path / "victim").read_text() == "mine"


def test_an_error_in_a_locked_block_is_its_own(tmp_path):
    with pytest.raises(FileNotFoundError, match="mine"), locked(tmp_path / "t.csv"):
        raise FileNotFoundError("mine")
    assert list(tmp_path.iterdir()) == []
