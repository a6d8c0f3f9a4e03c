"""What larqnets starts does not outlive it: a signal, a kill, a terminal that is closed, a limit of time."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from living import alive, descendants, until

from android_bench.emulation import emulator
from larqnets import processes
from larqnets.errors import LarqnetsError

FAMILY = ["sh", "-c", "sleep 1000 & sleep 1001 & wait"]  # a child with children


@pytest.mark.parametrize("ending", ["kill", "end", "ask"])
def test_a_child_ends_with_its_children(ending):
    process = processes.start(FAMILY)
    family = [process.pid, *until(lambda: len(found := descendants(process.pid)) == 2 and found)]
    assert alive(family) == family
    if ending == "kill":
        processes.kill(process)
    processes.end(process, ask=ending == "ask")
    until(lambda: not alive(family), 20)
    processes.kill(process)  # of one that has ended: nothing
    processes.end(process)


def test_a_limit_of_time_ends_all_of_it():
    before = set(descendants(os.getpid()))
    with pytest.raises(TimeoutError):
        processes.run(FAMILY, timeout_s=0.2)
    until(lambda: not [line for pid, line in descendants(os.getpid()).items() if pid not in before and "sleep" in line])


def test_output_and_exit_code():
    done = processes.run(["sh", "-c", "echo out; echo err >&2; cat; exit 3"])
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_killed_it_leaves_neither_children_nor_folders(tmp_path, number):
    code = (
        "import sys, threading; from larqnets import processes\n"
        f"threads = [threading.Thread(target=lambda: processes.start({FAMILY!r})) for _ in range(3)]\n"
        "for t in threads: t.start()\n"
        "for t in threads: t.join()\n"  # a thread that ends takes no child with it
        "done = processes.start(['true']); processes.end(done)\n"
        "with processes.temporary_folder(sys.argv[1]) as folder:\n"
        "    (folder / 'x').write_text('x')\n"
        "    print('ready', flush=True); sys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "ready\n"
        family = list(until(lambda: len(found := descendants(parent.pid)) == 10 and found))  # the watchdog, 3 x 3
        assert alive(family) == family
        assert len(list(tmp_path.iterdir())) == 1
        parent.send_signal(number)
    until(lambda: not alive(family), 20)
    assert list(tmp_path.iterdir()) == []


def test_a_fork_has_a_watchdog_of_its_own(tmp_path):
    """The folder of a fork that ends by itself stays its own matter; the parent's watchdog does not wait for the fork."""
    code = (
        "import os, sys; from larqnets import processes\n"
        "with processes.temporary_folder(sys.argv[1]):\n"
        "    if os.fork() == 0:\n"
        "        sys.stdin.read(); os._exit(0)\n"
        "    print('ready', flush=True); os.kill(os.getpid(), 9)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout.readline() == "ready\n"
        until(lambda: not list(tmp_path.iterdir()), 20)
        parent.stdin.close()


MAIN = (
    "import os, signal, sys, time; from larqnets.cli import main as cli\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "def app(prog_name):\n"
    "    try:\n"
    "        print('ready', flush=True)\n"
    "        time.sleep(60)\n"
    "    except KeyboardInterrupt:\n"
    "        print('cleared up', flush=True); raise SystemExit(130)\n"
    "cli.app = app; cli.main()\n"
)


def start(code: str = MAIN, **options) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_signals_end_a_command_as_ctrl_c_does(number, code):
    process = start()
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, "cleared up\n")
    assert err == "larqnets: stopped. Nothing half-written is left.\n"


def test_several_signals_do_not_disturb_the_first():
    process = start(MAIN.replace("print('cleared up', flush=True)", "print('ready', flush=True); time.sleep(0.5)"))
    process.send_signal(signal.SIGHUP)
    assert process.stdout.readline() == "ready\n"
    for number in (signal.SIGTERM, signal.SIGHUP):
        process.send_signal(number)
    assert process.communicate(timeout=30)[1] == "larqnets: stopped. Nothing half-written is left.\n"
    assert process.returncode == 129


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_what_is_ignored_stays_ignored(number):
    """As under nohup."""
    ignoring = f"import signal; signal.signal({int(number)}, signal.SIG_IGN)\n" + MAIN.replace(
        "sleep(60)", "sleep(0.5)"
    )
    process = start(ignoring)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


def test_a_closed_terminal():
    ours, theirs = pty.openpty()
    code = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n" + MAIN
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    assert b"ready" in os.read(ours, 100)
    os.close(ours)
    assert process.wait(30) == 129


def test_an_emulated_run_has_a_limit(monkeypatch):
    monkeypatch.setattr(emulator, "SAMPLE_LIMIT_S", 0.1)
    monkeypatch.setenv("LARQNETS_EMULATION_LIMIT", "0.1")
    words = (
        r"a\.tflite was ended after .* s on the emulated ARM64\. Allow it more with LARQNETS_EMULATION_LIMIT=SECONDS"
    )
    with pytest.raises(LarqnetsError, match=words):
        emulator.run_emulated(["/bin/sleep", "1000"], "a.tflite", samples=2)
    assert not [line for line in descendants(os.getpid()).values() if "sleep 1000" in line]


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e300", "an hour"])
def test_a_limit_that_is_none(monkeypatch, text):
    monkeypatch.setenv("LARQNETS_EMULATION_LIMIT", text)
    with pytest.raises(LarqnetsError, match=r"LARQNETS_EMULATION_LIMIT is .* Set it to a number of seconds above 0"):
        emulator.run_emulated(["/bin/true"], "a.tflite")


def test_every_child_is_started_in_one_place():
    root = Path(__file__).parent.parent
    for folder in ("larqnets", "deploy", "android_bench"):
        for path in (root / folder).rglob("*.py"):
            text = path.read_text()
            if path.name != "processes.py":
                for word in ("subprocess.run(", "subprocess.Popen(", "os.system(", "os.popen(", "TemporaryDirectory("):
                    assert word not in text, f"{path} has {word}"
