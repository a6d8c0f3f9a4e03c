"""Devices through the real adb and ssh clients, against doubles on loopback: what works, and every fault in a sentence."""

import hashlib
import re
import shutil
import threading
import time

import numpy as np
import pytest
from recorder import Recorder

from android_bench.clock import StoppedError
from android_bench.devices import link_to, open_board, renamed
from android_bench.devices.adb import parse_devices
from android_bench.devices.device import RunnerError
from android_bench.devices.link import DeviceLostError, Output, framed, unframed
from android_bench.devices.ssh import explain
from android_bench.measuring.thermal import chip_temperature
from android_bench.runtime.bundle import RUNNER
from deploy.run.interpreter import Interpreter
from deploy.run.shipped import find_model
from larqnets import LarqnetsError

CACHE = "larqnets-cache"
SHORT = ("--model", "../digits.tflite", "--warmup-runs", "0", "--warmup-ms", "0", "--rounds", "1", "--round-runs", "2")
LONG = ("--model", "../digits.tflite", "--rounds", "1", "--round-ms", "60000")


@pytest.fixture(scope="module")
def digits():
    return {"digits.tflite": find_model("digits").read_bytes()}


@pytest.fixture
def no_runtime(monkeypatch):
    """What a fault needs no 14 MB for."""
    from android_bench.devices import device
    from android_bench.runtime import bundle

    files = {RUNNER: b"\x7fELF no runner", "libc.so.6": b"no library", "ld-linux-aarch64.so.1": b"no loader"}
    monkeypatch.setattr(device, "read_runtime", lambda target: bundle.Runtime(files, "0" * 64))


def fails(call, *patterns, kind=LarqnetsError) -> str:
    """Check that a call fails with one sentence that says what and what to do; return it."""
    with pytest.raises(kind) as error:
        call()
    sentence = str(error.value)
    assert "\n" not in sentence
    for pattern in patterns:
        assert re.search(pattern, sentence), f"{pattern!r} is not in {sentence!r}"
    return sentence


def when_running(guest, cache, action):
    """Call `action` in a thread as soon as a runner is at work there."""

    def watch():
        file = guest.path(cache) / CACHE / "run.pid"
        for _ in range(3000):
            if file.is_file() and file.read_text().strip():
                break
            time.sleep(0.02)
        time.sleep(0.3)
        action()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.parametrize("kind", ["adb", "ssh", "local"])
def test_a_device_from_end_to_end(bundle, digits, kind, request, tmp_path, monkeypatch):
    if kind == "local":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        spec, name, folder = "local", "qemu:cortex-a72", tmp_path / "larqnets"
    elif kind == "adb":
        phone = request.getfixturevalue("phone")
        spec, name, folder = "adb", f"adb:{phone.serial}", phone.guest.path("/data/local/tmp")
    else:
        pi = request.getfixturevalue("pi")
        spec = name = "ssh:pi"
        folder = pi.guest.path("home/.cache")
    recorder = Recorder()
    board = open_board(spec, recorder)
    assert board.name == name
    facts = board.probe()
    assert facts.cores
    if kind != "local":
        assert (facts.machine, facts.emulator) == ("aarch64", None)
        assert chip_temperature(board.state(0.0))[1] == 40.0
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    files = digits | {"x.npy": (tmp_path / "x.npy").read_bytes()}
    installed = board.push(files)
    assert len(recorder.stages) == 1
    assert f"{installed.sent / 2**20:.1f} MiB" in recorder.stages[0]
    assert (folder / CACHE / "digits.tflite").read_bytes() == digits["digits.tflite"]
    (runtime,) = (folder / CACHE).glob("runtime-*")
    for file, sha256 in installed.files.items():
        assert hashlib.sha256((runtime / file).read_bytes()).hexdigest() == sha256
    assert not list((folder / CACHE).rglob("*.part"))
    (folder / CACHE / "x.npy").write_bytes(b"changed by somebody")
    assert board.push(files).sent == len(files["x.npy"])
    report = board.run([*SHORT, "--input", "../x.npy", "--output", "../y"], "digits")
    assert report.emulator == "qemu"  # whatever the double says of itself, the runner knows
    assert len(report.rounds[0].ns) == 2
    (tmp_path / "y.npy").write_bytes(board.pull("y.0.npy", 80))
    expected = Interpreter(find_model("digits")).predict(x)
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), expected, rtol=1e-3, atol=1e-3)
    fails(
        lambda: board.run(["--model", "../none.tflite"], "none"), r"^none cannot be run on .*No such", kind=RunnerError
    )
    size = board.cache_bytes()
    assert size > installed.sent / 2
    mine = [
        "notes.txt",
        "*",
        ".hidden",
        f"{'0' * 63}.tflite",
        f"{'g' * 64}.tflite",
        "runtime-mine/x",
        f"y{'0' * 64}.npy",
    ]
    for name in mine:
        (folder / CACHE / name).parent.mkdir(exist_ok=True)
        (folder / CACHE / name).write_text("mine")
    (folder / CACHE / "run.pid").symlink_to(folder / CACHE / "notes.txt")
    removed, kept = board.clean()
    assert removed > installed.sent / 2
    mine += files  # which no session gives such names
    assert sorted(kept) == sorted(name.partition("/")[0] for name in mine)
    there = [p.relative_to(folder / CACHE).as_posix() for p in (folder / CACHE).rglob("*") if p.is_file()]
    assert sorted(there) == sorted(mine)
    shutil.rmtree(folder / CACHE)
    (folder / CACHE).mkdir()
    assert board.clean()[1] == []
    assert not (folder / CACHE).exists()
    board.close()


def test_specs():
    assert link_to("adb:emulator-5554").address == "emulator-5554"
    assert link_to("adb:192.168.1.2:5555").address == "192.168.1.2:5555"  # split at the first colon only
    assert link_to("ssh:pi@raspberrypi").address == "pi@raspberrypi"
    assert link_to("ssh:pi@fe80::1%eth0").address == "pi@fe80::1%eth0"
    hostile = ["ssh:pi@-oProxyCommand=x", "ssh:a b", "ssh:$(id)", "ssh:`id`", "ssh:a;id", "ssh:a\nb", "ssh:a\u202eb"]
    hostile += ["adb:a b", "adb:a\tdevice", "adb:-H x", "adb:\x1b[2J", "ssh:a|b", "ssh:a>b", "ssh:a'b", 'ssh:a"b']
    for wrong in ("", "adb:", "ssh", "ssh:", "ssh:-oProxyCommand=x", "adb:-s", "usb", "local:1", "Adb", *hostile):
        fails(lambda wrong=wrong: link_to(wrong), "There is no device", "adb:SERIAL")


def test_this_machine_is_a_device_when_it_is_arm64(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    link = link_to("local")
    link.open()
    assert (link.emulator, link.launcher) == (None, ())
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert link_to("local").emulator == "qemu on x86_64"


def test_an_emulator_has_one_word(monkeypatch):
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    links = [link_to(spec) for spec in ("local", "qemu", "qemu:cortex-a72", "qemu:cortex-a76", "qemu:i8mm")]
    assert [link.kind for link in links] == ["qemu"] * 5
    assert [link.address for link in links] == ["cortex-a72"] * 3 + ["cortex-a76", "i8mm"]
    assert [link.emulator for link in links[3:]] == [
        "qemu on x86_64",
        "qemu on x86_64 as i8mm (qemu's max,sme=off, in the place of a current phone)",
    ]
    assert renamed(["adb", "qemu"]) is None
    assert renamed(["local"]).startswith("local is this machine, which is not ARM64: taken as --device qemu")
    fails(lambda: link_to("qemu:z80"), "There is no CPU 'z80'", "cortex-a76")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert (renamed(["local"]), link_to("local").kind) == (None, "local")


def test_output_is_framed():
    noise = b"Welcome!\r\n@@begin\r\ntwo\r\nlines\r\n@@end 3\r\n"
    assert unframed(noise) == Output(3, "two\nlines\n")
    assert unframed(b"@@begin\n@@end 0\n") == Output(0, "")
    for cut in (b"", b"@@begin\ntwo\n", b"@@begin\n@@end", b"two\n@@end 0\n"):
        assert unframed(cut) is None
    assert framed("exit 5").count("@@") == 2


# adb


def test_states_of_adb():
    text = (
        "* daemon started successfully\nList of devices attached\nR58M\tdevice\n127.0.0.1:5555\toffline\n"
        "X1\tno permissions (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com/]\n\n"
    )
    found = parse_devices(text)
    assert list(found) == ["R58M", "127.0.0.1:5555", "X1"]
    assert found["X1"].startswith("no permissions")


def test_without_adb(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    fails(lambda: open_board("adb"), "^adb is not installed", "apt-get install adb")


def test_no_phone_one_and_two(plugged, monkeypatch):
    fails(lambda: open_board("adb"), "adb sees no device", "USB debugging")
    fails(lambda: open_board("adb:R58M"), "There is no device R58M: adb sees none")
    first = plugged()
    assert open_board("adb").address == first.serial
    second = plugged()
    fails(lambda: open_board("adb"), "several devices: .*, .*", "--device adb:127")
    assert open_board(f"adb:{second.serial}").address == second.serial
    monkeypatch.setenv("ANDROID_SERIAL", second.serial)
    assert open_board("adb").address == second.serial


@pytest.mark.parametrize(
    ("state", "words"), [("unauthorized", "does not trust this computer"), ("offline", "is offline")]
)
def test_a_phone_that_is_not_ready(adb, phone, state, words):
    phone.unplug()
    setattr(phone, state, True)
    phone.plug()
    threading.Thread(target=adb, args=("connect", phone.serial)).start()  # which waits for an answer
    deadline = time.monotonic() + 60  # adb tries all its keys, one after another, before it says that none is trusted
    while state not in adb("devices") and time.monotonic() < deadline:
        time.sleep(0.05)
    fails(lambda: open_board(f"adb:{phone.serial}"), words)
    phone.unplug()


def test_unplugged_in_a_push_and_back(adb, phone, no_runtime):
    board = open_board("adb")
    phone.unplug_after = 3_000_000
    big = {"big.tflite": bytes(5_000_000)}
    fails(lambda: board.push(big), "connection to adb:.* broke", "Plug the device in", kind=DeviceLostError)
    assert not (phone.guest.path("/data/local/tmp") / CACHE / "big.tflite").exists()
    fails(board.open, "There is no device|is offline|no device")
    phone.plug()
    board.open()
    assert board.push(big).sent >= 5_000_000
    board.close()


def test_unplugged_in_a_round(bundle, phone, digits):
    board = open_board("adb")
    board.push(digits)
    watcher = when_running(phone.guest, "/data/local/tmp", phone.unplug)
    said = fails(lambda: board.run(LONG, "digits"), "connection to adb:.* broke", kind=DeviceLostError)
    assert "no answer" not in said  # noticed, not waited for
    watcher.join()
    phone.plug()
    board.open()  # which ends the runner, if the unplugging did not
    assert board.run(SHORT, "digits").rounds
    board.close()


def test_no_space_on_a_phone(phone, no_runtime):
    phone.space = 1_000_000
    board = open_board("adb")
    fails(lambda: board.push({"big.tflite": bytes(3 * 2**20)}), "no space left on adb:", "Free 3 MiB", "--clean")


def test_a_file_that_arrives_damaged(phone, no_runtime):
    board = open_board("adb")
    phone.damage = "libc.so.6"
    fails(lambda: board.push({}), r"libc\.so\.6 arrived damaged", "Try again", "cable")
    assert not list(phone.guest.path("/data/local/tmp").rglob("libc.so.6"))
    phone.damage = ""
    assert board.push({}).sent > 0


@pytest.mark.parametrize("kind", ["phone", "pi"])
def test_a_folder_without_execution(no_runtime, digits, kind, request):
    device = request.getfixturevalue(kind)
    device.guest.shim("chmod", "exit 0")
    board = open_board("adb" if kind == "phone" else "ssh:pi")
    board.push(digits)
    fails(lambda: board.run(SHORT, "digits"), "may not run programs in", "noexec", "LARQNETS_DEVICE_FOLDER")
    board.close()


@pytest.mark.parametrize("kind", ["phone", "pi"])
def test_killed_for_memory(no_runtime, digits, kind, request):
    device = request.getfixturevalue(kind)
    board = open_board("adb" if kind == "phone" else "ssh:pi")
    board.push(digits)
    device.guest.write("oom", "")
    fails(lambda: board.run(SHORT, "digits"), "killed the runner .* digits", "want of memory", kind=RunnerError)
    board.close()


def test_an_old_phone(phone):
    phone.guest.write("proc/self/exe", b"\x7fELF\x01\x01\x01")
    fails(open_board("adb").probe, "is a 32-bit one", "64-bit phone")


# ssh


def test_a_board_by_its_address_and_behind_another(pi):
    for spec in (f"ssh:{pi.user}@127.0.0.1:{pi.port}", "ssh:far"):
        board = open_board(spec)
        assert board.probe().machine == "aarch64"
        board.close()


def test_another_folder(pi, no_runtime, monkeypatch):
    monkeypatch.setenv("LARQNETS_DEVICE_FOLDER", "elsewhere/of mine")
    board = open_board("ssh:pi")
    board.push({})
    assert (pi.guest.path("home/elsewhere/of mine") / CACHE).is_dir()
    board.clean()
    assert list(pi.guest.path("home/elsewhere/of mine").iterdir()) == []
    board.close()


def test_a_folder_that_cannot_be_made(pi, no_runtime):
    pi.guest.write("home/.cache", "a file")
    board = open_board("ssh:pi")
    fails(lambda: board.push({}), "cannot keep our files in .cache/larqnets-cache", "LARQNETS_DEVICE_FOLDER")
    board.close()


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("proc/self/exe", b"\x7fELF\x01\x01\x01", ["is a 32-bit one", "64-bit Raspberry Pi OS"]),
        ("bin/getconf", "#!/bin/sh\necho glibc 2.28", ["glibc 2.28", "2.30 or newer", "bullseye"]),
    ],
)
def test_a_system_that_cannot_run_it(pi, file, content, words):
    pi.guest.write(file, content)
    board = open_board("ssh:pi")
    fails(board.probe, *words)
    board.close()


def test_no_space_on_a_board(pi, no_runtime):
    cache = pi.guest.path("home/.cache") / CACHE
    cache.mkdir(parents=True)
    (cache / "big.tflite.part").symlink_to("/dev/full")
    board = open_board("ssh:pi")
    fails(lambda: board.push({"big.tflite": bytes(2**20)}), "no space left on ssh:pi", "Free 1 MiB")
    board.close()


def test_ssh_never_asks(pi):
    """A key that the board does not know, one of its own that changed, and one that the client never saw."""
    pi.new_key("key")
    fails(lambda: open_board("ssh:pi"), "asks for a password or refuses the key", "ssh-copy-id pi")
    pi.new_key("host_key")
    pi.stop()
    pi.start()
    fails(lambda: open_board("ssh:pi"), "another host key than before", "ssh-keygen -R pi")
    (pi.folder / "known_hosts").write_text("")
    fails(lambda: open_board("ssh:pi"), "host key of ssh:pi is not known yet", "ssh pi$")
    pi.stop()
    fails(lambda: open_board("ssh:pi"), "cannot be reached: .*refused")


def test_reasons_of_ssh_in_a_sentence():
    said = "ssh: Could not resolve hostname raspi: Name or service not known\n"
    assert "cannot be reached: ssh: Could not resolve hostname raspi" in explain(said, "ssh:raspi", "raspi")
    assert "ssh-keygen -R board" in explain("WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!", "x", "-p 22 me@board")
    assert "ssh did not say why" in explain("", "x", "x")


def test_a_connection_that_breaks_in_a_round(bundle, pi, digits):
    board = open_board("ssh:pi")
    board.push(digits)
    watcher = when_running(pi.guest, "home/.cache", pi.cut)
    fails(lambda: board.run(LONG, "digits"), "connection to ssh:pi broke", kind=DeviceLostError)
    watcher.join()
    other = open_board("ssh:pi")
    fails(other.probe, "Another session is measuring on ssh:pi", "--clean")  # its runner goes on
    other.close()
    board.open()  # which ends it
    board.probe()
    assert board.run(SHORT, "digits").rounds
    board.close()


def test_stopping_ends_the_runner(bundle, pi, digits):
    board = open_board("ssh:pi")
    board.push(digits)
    watcher = when_running(pi.guest, "home/.cache", board.abort)
    endless = (*LONG[:-1], str(24 * 3_600_000))
    with pytest.raises(StoppedError):  # which a run that lasts until its patience ends does not raise
        board.run(endless, "digits")
    watcher.join()
    board.close()
    board.open()
    board.probe()  # nobody measures any more
    board.close()
