"""`larqnets benchmark` and `larqnets devices` from end to end, on a phone and a board that are doubles on loopback.

What they compute is what a device computes; their time is qemu's, so every record here must say that it means nothing.
"""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest
from recorder import Recorder

from android_bench.measuring import session, thermal
from android_bench.measuring.benchmark import Request, continuation, measure, request
from android_bench.measuring.protocol import DEFAULT
from android_bench.record import parse_session, read_session, write_session
from android_bench.reporting.summary import summarise
from deploy.run.interpreter import Interpreter
from deploy.run.shipped import find_model
from larqnets import LarqnetsError
from larqnets.cli.tables import devices as device_tables

QUICK = dataclasses.replace(DEFAULT, rounds=2, round_runs=2, gate_timeout_s=0.0, profile_runs=1)


@pytest.fixture
def digits():
    """The shipped model alone."""
    return find_model("digits")


@pytest.fixture
def trio(tmp_path):
    """A binary file with its twins, as `convert --twins` lays them out; all three are the shipped model, padded."""
    folder = tmp_path / "runs" / "trio" / "arm64"
    folder.mkdir(parents=True)
    files = {}
    for number, role in enumerate(("binary", "float", "int8")):
        content = find_model("digits").read_bytes() + bytes(4 * number)
        (folder / f"{role}.tflite").write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        files[role] = {"file": f"{role}.tflite", "sha256": sha256, "test_accuracy": 0.9 + number / 100}
    (folder / "manifest.json").write_text(json.dumps({"files": files}))
    return folder / "binary.tflite"


def when_in_rounds(folder, action):
    """Call `action` in a thread as soon as a record there holds a round."""

    def watch():
        for _ in range(2000):
            if any(model.rounds for path in folder.glob("*.json") for model in read_session(path).models):
                return action()
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_phone_and_a_board_side_by_side(bundle, phone, pi, trio, cli, tmp_path):
    done = cli("benchmark", trio, "--device", f"adb:{phone.serial}", "--device", "ssh:pi", "--json")
    assert done.code == 0, done.err
    records = json.loads(done.out)
    sessions = [parse_session(json.dumps(record), "stdout") for record in records]
    assert sorted(json.dumps(r) for r in records) == sorted(
        json.dumps(json.loads(p.read_text())) for p in (tmp_path / "results").glob("*.json")
    )
    assert [s.device.kind for s in sessions] == ["adb", "ssh"]
    for measured in sessions:
        assert measured.complete
        assert measured.device.functional_only
        assert "The runner says that qemu runs it." in measured.device.notes
        assert measured.cores.choice.startswith(("the core with the highest maximum clock (2400 MHz)", "1 of 1"))
        assert measured.runtime.kernels == "neon"
        assert [m.role for m in measured.models] == ["binary", "float", "int8"]
        assert [m.accuracy for m in measured.models] == [0.9, 0.91, 0.92]
        for model in measured.models:
            assert len(model.kept) == measured.protocol.rounds == 2
            assert model.equality.equal
            assert "Larq Compute Engine" in model.equality.engine
            assert model.peak_memory_kb > 1000
            names = [op.name for op in model.profile.ops]
            assert names.count("LceBconv2d") == 6
            assert all(op.ops for op in model.profile.ops)
            assert model.rounds[0].before.temperatures_c["cpu-thermal"] == 40.0
    assert sessions[0].device.model == "Loopback Phone Double"
    assert sessions[1].models[0].rounds[0].before.throttled == 0
    assert sessions[0].models[0].rounds[0].before.battery_percent == 80
    assert "no twin" not in done.err
    assert f"adb:{phone.serial}: round 1 of 2" in done.err
    assert "MiB, to /data/local/tmp/larqnets-cache" in done.err


def test_without_arm_hardware_no_latency_is_shown(bundle, cli, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = cli("benchmark", "digits", "--device", "local", "--strict", "--threads", "2")
    assert done.code == 0, done.err
    assert "local is this machine, which is not ARM64: taken as --device qemu" in done.err
    assert "The load of the last minute" not in done.out + done.err  # it spoils times alone
    assert "no time is shown" in done.out
    assert "outputs equal to those of Larq Compute Engine" in done.out
    assert not re.search(r"\d ms\b", done.out)
    assert "digits has no twin to be compared with" in done.err
    (path,) = (tmp_path / "results").glob("*.json")
    assert f"record: results/{path.name}" in done.out
    measured = read_session(path)
    assert measured.device.functional_only
    assert (measured.cores.threads, measured.device.kind) == (2, "qemu")
    assert f"{measured.models[0].instructions.instructions:,}" in done.out
    assert cli("report", path, "--html", "page.html").code == 0
    assert "functional run, no latency" in (tmp_path / "page.html").read_text()


def test_ways_to_count_are_measured_side_by_side(bundle, phone, trio, cli, tmp_path):
    ways = ("--kernels", "chosen", "--kernels", "popcount")
    done = cli("benchmark", trio, "--device", f"adb:{phone.serial}", *ways, "--low-memory", "--json")
    assert done.code == 0, done.err
    measured = parse_session(done.out, "stdout")
    named = {"chosen": "{}", "popcount": "{} (popcount)"}
    assert [(m.name, m.kernels) for m in measured.models] == [
        (words.format(role), way) for role in ("binary", "float", "int8") for way, words in named.items()
    ]
    assert measured.protocol.low_memory
    assert all(model.equality.equal and len(model.kept) == 2 for model in measured.models)
    assert {op.way for op in measured.models[1].profile.ops if op.name == "LceBconv2d"} == {"popcount"}
    (path,) = (tmp_path / "results").glob("*.json")
    again = continuation(_incomplete(path, measured))
    assert (again.kernels, again.protocol.low_memory) == (("chosen", "popcount"), True)
    counted = cli("benchmark", trio, "--device", "qemu", *ways)
    assert counted.code == 0, counted.err
    assert "binary (popcount)" in counted.out
    assert "LceBconv2d, popcount" in counted.out


def _incomplete(path, measured):
    write_session(dataclasses.replace(measured, complete=False), path)
    return path


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "json"])
def test_another_result_than_the_hosts_is_said_and_exits_with_1(bundle, cli, tmp_path, monkeypatch, form):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    right = session.read_outputs
    monkeypatch.setattr(session, "read_outputs", lambda *files: [y + 1 for y in right(*files)])
    done = cli("benchmark", "digits", "--device", "qemu", *form)
    assert done.code == 1
    assert "digits: its outputs on the device differ from those of Larq Compute Engine" in done.err
    assert form or "digits: outputs DIFFERENT from those of Larq Compute Engine" in done.out
    (path,) = (tmp_path / "results").glob("*.json")
    measured = read_session(path)
    assert measured.complete
    assert not measured.models[0].equality.equal


def test_what_qemu_counts_is_a_session_and_ends_with_one_table(bundle, cli, trio, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = cli("benchmark", trio, "--device", "qemu", "--cpu", "cortex-a76", "--rounds", "1")
    assert done.code == 0, done.err
    (path,) = (tmp_path / "results").glob("*-qemu-cortex-a76.json")
    measured = read_session(path)
    assert measured.complete
    assert [m.role for m in measured.models] == ["binary", "float", "int8"]
    counts = [m.instructions for m in measured.models]
    assert {(c.cpu, len(c.ops) > 5) for c in counts} == {("cortex-a76", True)}
    binary, floating, int8 = (c.instructions for c in counts)
    columns = ["network", "binary", "float", "int8", "float / binary", "int8 / binary", "float / int8"]
    ratios = (f"{a / b:.2f}" for a, b in ((floating, binary), (int8, binary), (floating, int8)))
    expected = ["trio", *(f"{n:,}" for n in (binary, floating, int8)), *ratios]
    shown = cli("report", path, "--html", "p.html", "--markdown", "p.md")
    assert shown.code == 0, shown.err
    for screen in (done.out, shown.out.partition("written:")[0]):
        head, row = screen.rstrip().splitlines()[-2:]
        assert re.split(r"  +", head.strip()) == columns
        assert re.split(r"  +", row.strip()) == expected
    assert "LceBconv2d" in done.out  # every op before
    for page in ("p.html", "p.md"):
        assert all(word in (tmp_path / page).read_text() for word in expected)
    (row,) = json.loads(cli("report", path, "--json").out)[0]["instructions"]
    assert row["counts"] == {"binary": binary, "float": floating, "int8": int8}
    assert row["ratios"]["float/binary"] == floating / binary


def test_without_an_engine_on_the_host_qemu_says_that_nothing_was_compared(bundle, digits, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def none(content):
        raise LarqnetsError("There is no engine.")

    outcome = measure(Request((digits,), ("qemu",), dataclasses.replace(QUICK, rounds=1), out=tmp_path), none)
    assert outcome.problems == ()
    (model,) = outcome.sessions[0].models
    assert (model.equality, model.instructions.instructions > 50_000) == (None, True)
    text = "\n".join(map(str, device_tables.sessions([summarise(outcome.sessions[0])])))
    assert "Not compared with the host: There is no engine." in text


def test_ctrl_c_keeps_what_was_measured_and_says_how_to_go_on(bundle, cli, trio, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from larqnets.cli.main import main; main()\n"
    )
    command = [sys.executable, "-c", code, "benchmark", str(trio), "--device", "local"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    ) as child:
        watchdog = threading.Timer(120, child.kill)
        watchdog.start()
        lines = []
        for line in child.stderr:
            lines.append(line)
            if "round 2 of" in line and len(lines) and child.poll() is None and "sent\n" not in lines:
                child.send_signal(signal.SIGINT)
                lines.append("sent\n")
        child.wait()
        watchdog.cancel()
    assert child.returncode == 130
    (path,) = (tmp_path / "results").glob("*.json")
    sentence = f"larqnets: Stopped. What was measured is in results/{path.name}. Continue with: "
    assert lines[-1] == f"{sentence}larqnets benchmark --resume results/{path.name}\n"
    stopped = read_session(path)
    assert not stopped.complete
    assert all([r.number for r in model.kept][:1] == [0] for model in stopped.models)
    done = cli("benchmark", "--resume", path, "--json")
    assert done.code == 0, done.err
    continued = parse_session(done.out, "stdout")
    assert continued.complete
    assert continued == read_session(path)
    assert continued.models[0].kept[0] == stopped.models[0].kept[0]


def test_unplugged_in_a_round_and_plugged_in_again(bundle, phone, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "RETURN_POLL_S", 0.2)
    wanted = Request((digits,), (f"adb:{phone.serial}",), QUICK, out=tmp_path)
    recorder = Recorder()

    def pull_the_plug():
        phone.unplug()
        time.sleep(1)
        phone.plug()

    watcher = when_in_rounds(tmp_path, pull_the_plug)
    outcome = measure(wanted, Interpreter, recorder)
    watcher.join()
    assert outcome.problems == ()
    (measured,) = outcome.sessions
    assert measured.complete
    assert all(len(model.kept) == 2 for model in measured.models)
    assert any("The connection to adb:" in text for text in recorder.lines)
    assert any("It was back after" in event.text for event in measured.events)


def test_unplugged_for_good_the_other_device_goes_on(bundle, phone, pi, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(session, "RETURN_S", 1.0)
    monkeypatch.setattr(session, "RETURN_POLL_S", 0.2)
    wanted = Request((digits,), ("ssh:pi", f"adb:{phone.serial}"), QUICK, out=tmp_path)
    watcher = when_in_rounds(tmp_path, phone.unplug)
    outcome = measure(wanted, Interpreter)
    watcher.join()
    board, gone = outcome.sessions
    assert board.complete
    assert not gone.complete
    (problem,) = outcome.problems
    assert "did not come back within 1 s" in problem
    assert problem.endswith(f"larqnets benchmark --resume {outcome.files[1]}")
    assert read_session(outcome.files[1]) == gone
    assert "did not come back" in " ".join(event.text for event in gone.events)


def test_hot_for_longer_than_the_gate_allows(bundle, pi, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(thermal, "POLL_S", 0.2)
    watcher = when_in_rounds(tmp_path, lambda: pi.guest.set_temperature(85.0))
    protocol = dataclasses.replace(QUICK, rounds=2, gate_timeout_s=0.5)
    outcome = measure(Request((digits,), ("ssh:pi",), protocol, out=tmp_path), Interpreter)
    watcher.join()
    (problem,) = outcome.problems
    assert "cpu-thermal is at 85.0 °C, above 60 °C" in problem
    assert "--max-temp" in problem
    assert all([r.number for r in m.kept][:1] == [0] for m in outcome.sessions[0].models)


def test_killed_for_memory(bundle, pi, cli, tmp_path):
    pi.guest.write("oom", "")
    done = cli("benchmark", "digits", "--device", "ssh:pi")
    assert done.code == 1
    assert "ssh:pi killed the runner while it ran digits, most likely for want of memory." in done.err.splitlines()[-1]
    (path,) = (tmp_path / "results").glob("*.json")
    assert "want of memory" in read_session(path).models[0].fault


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ([], 2, "Name files to measure and a device"),
        (["digits"], 2, "Name files to measure and a device"),
        (["digits", "--resume", "x.json"], 2, "--resume takes files"),
        (["--resume", "x.json"], 1, "Cannot read x.json"),
        (["digits", "--device", "usb"], 1, "There is no device 'usb'. Use adb, adb:SERIAL"),
        (["digits", "--device", "qemu", "--device", "local"], 1, "qemu counts instructions and has no latency"),
        (["digits", "--device", "local", "--device", "local"], 1, "--device local is given twice"),
        (["digits", "--device", "local", "--threads", "many"], 1, "--threads is a number from 1"),
        (["digits", "--device", "local", "--threads", "0"], 1, "--threads is a number from 1"),
        (["digits", "--device", "local", "--rounds", "0"], 2, "Invalid value for '--rounds'"),
        (["unknown.tflite", "--device", "local"], 1, "needs the op CUSTOM:LceBconv9x, which the runtime does not have"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_asked_for(cli, tmp_path, arguments, code, words):
    content = find_model("digits").read_bytes()
    (tmp_path / "unknown.tflite").write_bytes(content.replace(b"LceBconv2d", b"LceBconv9x"))
    done = cli("benchmark", *arguments)
    assert (done.code, done.out) == (code, "")
    assert re.search(words, re.sub(r"[\s│]+", " ", done.err)), done.err
    assert not (tmp_path / "results").exists()


def test_without_scipy_it_is_said_before_anything_is_measured(cli, tmp_path, monkeypatch):
    for name in ("scipy", "android_bench.reporting.stats", "android_bench.reporting.summary"):
        monkeypatch.setitem(sys.modules, name, None) if name == "scipy" else monkeypatch.delitem(
            sys.modules, name, False
        )
    done = cli("benchmark", "digits", "--device", "local")
    assert (done.code, done.out) == (1, "")
    assert 'pip install "larqnets[bench]"' in done.err
    assert "looking at the device" not in done.err


def test_requests():
    wanted = request([], ["adb"], threads="big", rounds=12, strict=True, max_temp=45.0)
    assert wanted.threads is None
    assert (wanted.protocol.rounds, wanted.protocol.start_temperature_c, wanted.protocol.strict) == (12, 45.0, True)
    assert request([], ["adb"]).protocol == DEFAULT
    with pytest.raises(LarqnetsError, match="Say where to measure"):
        request([], [])


def test_devices_are_listed_and_cleaned(phone, pi, cli):
    phone.guest.write(f"data/local/tmp/larqnets-cache/{'0' * 64}.tflite", bytes(3 * 2**20))
    pi.guest.write("answers/vcgencmd.get_throttled", "throttled=0x50004")
    shown = cli("devices", "--device", f"adb:{phone.serial}", "--device", "ssh:pi")
    assert shown.code == 0, shown.err
    for words in (
        "Loopback Phone Double",
        "Cortex-A76, at most 2400 MHz, governor schedutil",
        "3.0 MiB in /data/local/tmp",
    ):
        assert words in shown.out
    for words in ("Raspberry Pi 9 Model Double", "40.0 °C (cpu-thermal)", "under-voltage, throttled", "64 bits"):
        assert words in shown.out
    assert "never on a phone or board" in shown.out
    found = json.loads(cli("devices", "--json").out)
    assert [d["device"] for d in found["devices"]] == ["qemu:cortex-a72", f"adb:{phone.serial}"]
    (device,) = json.loads(cli("devices", "--device", "ssh:pi", "--json").out)["devices"]
    assert (device["soc"], device["throttled_now"], device["usable"]) == ("brcm,bcm0000", ["throttled"], True)
    cleaned = json.loads(cli("devices", "--device", "adb", "--clean", "--json").out)
    assert cleaned["devices"][0]["removed_bytes"] >= 3 * 2**20
    assert not (phone.guest.path("/data/local/tmp") / "larqnets-cache").exists()
    phone.guest.write("data/local/tmp/larqnets-cache/x.tflite", b"mine")
    left = cli("devices", "--device", "adb", "--clean")
    assert "Not ours and still in /data/local/tmp/larqnets-cache" in left.out
    assert (phone.guest.path("/data/local/tmp") / "larqnets-cache/x.tflite").read_bytes() == b"mine"


def test_a_device_that_cannot_be_listed(adb, cli, tmp_path, monkeypatch):
    done = cli("devices", "--device", "adb:R58M", "--json")
    assert done.code == 1
    assert "There is no device R58M" in json.loads(done.out)["problems"][0]
    monkeypatch.setenv("PATH", str(tmp_path))
    shutil.copy("/bin/sh", tmp_path / "sh")
    done = cli("devices")
    assert done.code == 0, done.err
    assert "adb is not installed" in done.out
