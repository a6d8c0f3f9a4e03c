"""The rules of a session, on a device that makes up its latencies and a clock that the test moves."""

import collections
import dataclasses
import json
import pickle
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from fake_device import FakeClock, FakeDevice
from recorder import Recorder

from android_bench.clock import StoppedError
from android_bench.devices.device import RunnerError
from android_bench.devices.link import DeviceLostError
from android_bench.measuring import recorder, session, thermal
from android_bench.measuring.benchmark import continuation
from android_bench.measuring.equality import compare_outputs, expect, judge, read_outputs
from android_bench.measuring.lineup import line_up, without_twin
from android_bench.measuring.protocol import DEFAULT, STRICT
from android_bench.measuring.recorder import check_same
from android_bench.measuring.session import Measurement
from android_bench.record import read_session, to_json
from android_bench.reporting.summary import summarise
from android_bench.runtime.runner import Conditions, CoreClock
from deploy.run.interpreter import Interpreter
from deploy.run.shipped import find_model
from larqnets import LarqnetsError
from larqnets.files import locked
from larqnets.reporter import SILENT
from larqnets.tflite.reading import read_model

SHORT = dataclasses.replace(DEFAULT, rounds=4, round_runs=5, round_ms=0)
LATENCIES = {"a": 10.0, "b": 20.0, "c": 30.0}


@pytest.fixture(scope="module")
def entrants(tmp_path_factory):
    """Three files that differ in a byte of their metadata's padding, and what they return."""
    folder = tmp_path_factory.mktemp("models")
    content = find_model("digits").read_bytes()
    for number, name in enumerate(LATENCIES):
        (folder / f"{name}.tflite").write_bytes(content + bytes(4 * number))
    return line_up([folder / f"{name}.tflite" for name in LATENCIES])


@pytest.fixture(scope="module")
def expected(entrants):
    return {entrant.sha256: expect(entrant.model, Interpreter) for entrant in entrants}


@pytest.fixture
def make(entrants, expected, tmp_path):
    """Make a device and a session on it; `on_run` and keywords go to them."""

    def call(on_run=lambda number, arguments: None, protocol=SHORT, earlier=None, reporter=None, **options):
        clock = FakeClock()
        device = FakeDevice(clock, LATENCIES, on_run)
        device.models = {e.name: e.model for e in entrants}
        device.expected = {e.name: expected[e.sha256] for e in entrants}
        measurement = Measurement(
            device,
            entrants,
            expected,
            protocol,
            tmp_path,
            clock=clock,
            earlier=earlier,
            reporter=SILENT if reporter is None else reporter,
            **options,
        )
        return device, measurement

    return call


def timed(device):
    return [model for model, arguments in device.runs if "--rounds" in arguments]


def kept_numbers(model):
    return [r.number for r in model.kept]


def texts(measured, kind):
    return " ".join(event.text for event in measured.events if event.kind == kind)


def test_the_whole_way(make):
    device, measurement = make()
    result = measurement.measure()
    assert result.complete
    assert read_session(measurement.record.path) == result
    assert json.loads(measurement.record.path.read_text()) == json.loads(json.dumps(to_json(result)))
    assert (result.cores.mask, result.cores.threads) == ("8", 1)
    assert not result.device.functional_only
    assert result.runtime.kernels == "neon"
    for model in result.models:
        assert kept_numbers(model) == [0, 1, 2, 3]
        assert all(r.runs == 5 for r in model.rounds)
        assert len(model.init_ms) == len(model.first_inference_ms) == 4
        assert model.peak_memory_kb == 30000
        assert model.equality.equal
        assert model.equality.argmax_agreement == 1.0
        assert model.profile.runs == SHORT.profile_runs
        assert model.fault is None
        assert all(r.after.clocks_mhz["3"] == 1800.0 for r in model.rounds)  # the runner's, not an idle core's 600
        median = np.median([ms for r in model.kept for ms in r.latencies_ms])
        assert median == pytest.approx(LATENCIES[model.name], rel=0.02)
    assert "never on a phone or board" in texts(result, "note")
    assert device.closed
    assert all(arguments[4:6] == ["--cpus", "8"] for _, arguments in device.runs)
    # memory and ops in processes of their own
    plain = [arguments for _, arguments in device.runs if not {"--rounds", "--output", "--profile"} & set(arguments)]
    assert len(plain) == 3
    assert not any({"--rounds", "--profile"} <= set(arguments) for _, arguments in device.runs)


def test_its_record_is_what_the_report_reads(make):
    _, measurement = make(protocol=dataclasses.replace(SHORT, rounds=8))
    summary = summarise(measurement.measure())
    assert summary.timed
    for model in summary.models:
        assert model.latency.median_ms == pytest.approx(LATENCIES[model.record.name], rel=0.02)
        assert model.latency.interval_ms.low <= model.latency.median_ms <= model.latency.interval_ms.high
        assert model.init_ms == 12.5
        assert model.breakdown.groups["binary"].ms > 0
    (pairing,) = summary.models[1].pairings  # b beside the first model, which takes half as long
    assert (pairing.other, pairing.verdict) == ("a", "faster")
    assert pairing.ratio.ratio == pytest.approx(0.5, rel=0.02)


def test_every_round_has_every_model_once_in_an_order_of_its_own(make):
    protocol = dataclasses.replace(SHORT, rounds=30)
    orders = []
    for seed in (0, 0, 1):
        device, measurement = make(protocol=dataclasses.replace(protocol, seed=seed))
        result = measurement.measure()
        names = timed(device)
        rounds = [tuple(names[i : i + 3]) for i in range(0, len(names), 3)]
        assert all(sorted(order) == ["a", "b", "c"] for order in rounds)
        assert all({model.rounds[i].order for model in result.models} == {0, 1, 2} for i in range(30))
        orders.append(rounds)
    assert orders[0] == orders[1] != orders[2]
    first = collections.Counter(order[0] for order in orders[0])
    assert min(first.values()) >= 3  # 30 draws of 3: fewer than 3 of one has a chance below 1 in 500


def test_the_record_grows_with_every_round(make, tmp_path):
    seen = []

    def on_run(number, arguments):
        if "--rounds" in arguments:
            (path,) = tmp_path.glob("*.json")
            seen.append(sum(len(model.rounds) for model in read_session(path).models))
            assert not read_session(path).complete

    make(on_run)[1].measure()
    assert seen == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9, 9, 9]


def throttles_after(device, hot):
    """Make the device report throttling in the first state after a run for which `hot(number of timed runs)` is true."""
    sample, told = device.state, set()

    def state(at_s):
        number = len(timed(device))
        now = bool(device.runs) and "--rounds" in device.runs[-1][1] and hot(number) and len(device.runs) not in told
        told.add(len(device.runs))
        return dataclasses.replace(sample(at_s), throttled=0x4 if now else 0)

    device.state = state


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_throttled_round_is_measured_again_as_a_whole(make, place):
    device, measurement = make()
    throttles_after(device, lambda number: number == 4 + place)
    result = measurement.measure()
    assert result.complete
    discarded = [r for model in result.models for r in model.rounds if r.discarded]
    assert len(discarded) == place + 1
    assert {r.number for r in discarded} == {1}
    assert all(r.discarded == "the firmware reported: throttled" for r in discarded)
    assert all(kept_numbers(model) == [0, 1, 2, 3] for model in result.models)
    assert "Round 2 does not count" in texts(result, "warning")
    again = min(r.started_s for model in result.models for r in model.kept if r.number == 1)
    assert again - max(r.ended_s for r in discarded) >= session.PAUSE_S


def test_a_slow_clock_is_throttling(make):
    device, measurement = make()
    run = device.run

    def slower_in_round_3(arguments, model, timeout_s=0.0):
        report = run(arguments, model, timeout_s)
        if len(timed(device)) == 8 and report.rounds:
            slow = Conditions({"3": CoreClock("1500000", "1800000", "ondemand")})
            report = dataclasses.replace(
                report, rounds=tuple(dataclasses.replace(r, before=slow, after=slow) for r in report.rounds)
            )
        return report

    device.run = slower_in_round_3
    result = measurement.measure()
    assert result.complete
    reasons = {r.discarded for model in result.models for r in model.rounds if r.discarded}
    assert reasons == {"core 3 ran at 1500 instead of 1800 MHz"}


def test_a_device_that_always_throttles_ends_it_and_keeps_the_rest(make):
    device, measurement = make()
    throttles_after(device, lambda number: number > 3)
    with pytest.raises(thermal.HotError, match=r"Round 2 was throttled 3 times: .*Cool it"):
        measurement.measure()
    result = read_session(measurement.record.path)
    assert not result.complete
    assert all(kept_numbers(model) == [0] for model in result.models)
    assert "throttled 3 times" in texts(result, "fault")
    assert len(timed(device)) == 6  # one round, then one model three times


def test_it_waits_while_the_device_is_hot(make):
    def on_run(number, arguments):
        if len(timed(device)) == 3:
            device.set(temperatures_c={"cpu-thermal": 80.0})

    device, measurement = make(on_run)
    sample = device.state

    def cooling(at_s):
        found = sample(at_s)
        degrees = device.current.temperatures_c["cpu-thermal"]
        device.set(temperatures_c={"cpu-thermal": max(45.0, degrees - 1)})
        return found

    device.state = cooling
    device.set(temperatures_c={"cpu-thermal": 45.0})
    result = measurement.measure()
    assert result.complete
    assert all(r.before.temperatures_c["cpu-thermal"] <= 60 for model in result.models for r in model.rounds)
    assert max(state.temperatures_c["cpu-thermal"] for state in result.trace) > 70


def test_hot_for_longer_than_the_gate_allows(make):
    recorder = Recorder()

    def on_run(number, arguments):
        if len(timed(device)) == 3:
            device.set(temperatures_c={"cpu-thermal": 80.0})

    device, measurement = make(on_run, reporter=recorder)
    with pytest.raises(thermal.HotError, match=r"still too hot after 600 s: cpu-thermal is at 80.0 °C.*--max-temp"):
        measurement.measure()
    result = read_session(measurement.record.path)
    assert not result.complete
    assert [kept_numbers(model) for model in result.models].count([0]) == 3
    assert any(text.startswith("waiting: cpu-thermal is at 80.0") for text in recorder.stages)
    assert len(result.trace) > 100


def test_a_lost_device_that_comes_back(make):
    def on_run(number, arguments):
        if len(timed(device)) == 5 and device.pushed == 1:
            device.reachable = False
            raise DeviceLostError("The connection to ssh:pi@fake broke (test).")

    device, measurement = make(on_run)
    sleep = device.clock.sleep

    def sleeping(seconds):
        sleep(seconds)
        device.reachable = True

    device.clock.sleep = sleeping
    result = measurement.measure()
    assert result.complete
    assert device.pushed == 2  # the files are seen to again
    assert "The connection to ssh:pi@fake broke" in texts(result, "warning")
    assert "It was back after 3 s" in texts(result, "note")
    (cut,) = [r for model in result.models for r in model.rounds if r.discarded]
    assert (cut.number, cut.discarded) == (1, "the connection broke in this round")


def test_a_lost_device_that_stays_away(make):
    def on_run(number, arguments):
        if len(timed(device)) == 8:
            device.reachable = False
            raise DeviceLostError("The connection to ssh:pi@fake broke (test).")

    device, measurement = make(on_run)
    with pytest.raises(LarqnetsError, match=r"connection to ssh:pi@fake broke .* did not come back within 120 s"):
        measurement.measure()
    result = read_session(measurement.record.path)
    assert not result.complete
    assert all(kept_numbers(model)[:2] == [0, 1] for model in result.models)


@pytest.mark.parametrize("moment", [4, 7, 11], ids=["memory", "round 1", "round 2"])
def test_a_session_that_was_stopped_is_continued(make, moment):
    def on_run(number, arguments):
        if number == moment:
            raise StoppedError

    device, measurement = make(on_run)
    with pytest.raises(StoppedError):
        measurement.measure()
    assert device.closed
    earlier = read_session(measurement.record.path)
    assert not earlier.complete
    assert "Stopped by the user" in texts(earlier, "fault")
    wanted = continuation(measurement.record.path)
    assert wanted.devices == ("ssh:pi@fake",)
    device, going_on = make(earlier=wanted.earlier, threads=wanted.threads, mask=wanted.cores, protocol=wanted.protocol)
    result = going_on.measure()
    assert result.complete
    assert going_on.record.path == measurement.record.path
    assert (result.session, result.created) == (earlier.session, earlier.created)
    for before, after in zip(earlier.models, result.models, strict=True):
        assert kept_numbers(after) == [0, 1, 2, 3]
        whole = [r for r in before.rounds if all(r.number in kept_numbers(m) for m in earlier.models)]
        assert all(r in after.rounds for r in whole)
    with pytest.raises(LarqnetsError, match="is complete"):
        continuation(measurement.record.path)


@pytest.fixture
def stopped(make):
    """A session that was stopped: its measurement."""
    _, measurement = make(lambda number, arguments: (_ for _ in ()).throw(StoppedError) if number > 9 else None)
    with pytest.raises(StoppedError):
        measurement.measure()
    return measurement


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"session": "../runs/x/card"}, "says that it is the record of the session"),
        ({"session": "/tmp/card"}, "says that it is the record of the session"),
        ({"session": "card"}, "says that it is the record of the session"),
        ({"session": ""}, "says that it is the record of the session"),
        ({"session": ".."}, "says that it is the record of the session"),
        ({"device": {"address": "-oProxyCommand=touch x"}}, "There is no device 'ssh:-oProxyCommand"),
        ({"device": {"address": "pi@$(touch x)"}}, "There is no device"),
        ({"device": {"kind": "adb", "address": "-H x"}}, "There is no device 'adb:-H x'"),
        ({"device": {"kind": "qemu"}}, "There is no CPU 'pi@"),
        ({"device": {"kind": "local"}}, "There is no device 'local:"),
        ({"cores": {"threads": -1}}, "asks for -1 threads"),
        ({"cores": {"threads": 10**6}}, "asks for 1000000 threads"),
        ({"models": {"file": "/etc/passwd"}}, "/etc/passwd, which .* names, is not the file that was measured"),
        ({"models": {"file": "/dev/zero"}}, "/dev/zero, which .* names, is not the file that was measured"),
        ({"models": {"file": "nowhere.tflite"}}, "nowhere.tflite, which .* names, cannot be read: No such file"),
        ({"models": {"file": "."}}, "which .* names, is not the file that was measured"),
        ({"models": {"sha256": "0" * 64}}, "is not the file that was measured"),
    ],
    ids=str,
)
def test_a_record_cannot_name_what_it_likes(stopped, change, words):
    record = json.loads(stopped.record.path.read_text())
    for key, value in change.items():
        if key == "models":
            record["models"][0] |= value
        elif key == "session":
            record[key] = value
        else:
            record[key] |= value
    text = json.dumps(record)
    stopped.record.path.write_text(text)
    before = sorted(stopped.record.path.parent.iterdir())
    with pytest.raises(LarqnetsError, match=words):
        continuation(stopped.record.path)
    assert sorted(stopped.record.path.parent.iterdir()) == before
    assert stopped.record.path.read_text() == text


def test_a_record_under_another_name_is_refused(stopped):
    card = stopped.record.path.with_name("card.json")
    card.write_bytes(stopped.record.path.read_bytes())
    with pytest.raises(LarqnetsError, match=r"card\.json says that it is the record of the session"):
        continuation(card)


def test_nothing_is_sent_for_other_files(make, stopped):
    """A record that names other files than those that were asked for is refused before they leave this machine."""
    earlier = read_session(stopped.record.path)
    models = tuple(dataclasses.replace(model, sha256="0" * 64) for model in earlier.models)
    device, measurement = make(earlier=dataclasses.replace(earlier, models=models))
    device.push = None
    with pytest.raises(LarqnetsError, match=r"files of the session .* were changed"):
        measurement.measure()


def test_rounds_of_two_runtimes_are_not_put_into_one_record(make, stopped):
    earlier = read_session(stopped.record.path)
    assert earlier.runtime is not None
    device, measurement = make(earlier=earlier)
    device.sources = "2" * 64
    with pytest.raises(LarqnetsError, match=r"was measured with another build of the runtime, of larqnets 0\.1\.0"):
        measurement.measure()
    assert (device.runs, device.closed) == ([], True)
    assert read_session(stopped.record.path) == earlier


def test_two_processes_do_not_write_one_record(make, stopped):
    earlier = read_session(stopped.record.path)
    hold = (
        "import sys; from pathlib import Path; from larqnets.files import locked\n"
        "with locked(Path(sys.argv[1])): print('in', flush=True); sys.stdin.readline()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", hold, str(stopped.record.path)], **pipes) as holder:
        assert holder.stdout.readline() == "in\n"
        with pytest.raises(LarqnetsError, match=rf"is being written by another process \(PID {holder.pid}\)"):
            make(earlier=earlier)[1].measure()
        holder.communicate("\n")
    assert read_session(stopped.record.path) == earlier
    stopped.record.path.write_text(
        stopped.record.path.read_text().replace("Stopped by the user.", "Stopped by another process.")
    )
    with pytest.raises(LarqnetsError, match="was continued by another process meanwhile"):
        make(earlier=earlier)[1].measure()


def test_two_sessions_of_one_second_have_records_of_their_own(make):
    _, first = make()
    other, paths = make()[1], []
    record, began = first.record.begin, []

    def begin(device):
        record(device)
        began.append(other.measure())  # while the first has its name and no file yet
        paths.extend(sorted(path.name for path in first.record.path.parent.glob("*.json")))

    first.record.begin = begin
    result = first.measure()
    assert result.session != began[0].session
    assert paths == [f"{began[0].session}.json"]
    assert not list(first.record.path.parent.glob(".*"))


def test_a_name_that_another_session_wrote_and_left_meanwhile_stays_theirs(make, tmp_path, monkeypatch):
    def taken(path):
        """Lock as always, just after another process has done so, written its record and ended."""
        monkeypatch.setattr(recorder, "locked", locked)
        path.write_text("theirs")
        return locked(path)

    monkeypatch.setattr(recorder, "locked", taken)
    _, measurement = make()
    result = measurement.measure()
    assert result.session.endswith("-2")
    assert measurement.record.path.name == f"{result.session}.json"
    assert (tmp_path / f"{result.session.removesuffix('-2')}.json").read_text() == "theirs"
    assert not list(tmp_path.glob(".*"))


def test_only_the_same_device_and_files_continue(make, entrants):
    _, measurement = make(lambda number, arguments: (_ for _ in ()).throw(StoppedError) if number > 9 else None)
    with pytest.raises(StoppedError):
        measurement.measure()
    earlier = read_session(measurement.record.path)
    other = dataclasses.replace(earlier, device=dataclasses.replace(earlier.device, model="Raspberry Pi 5"))
    with pytest.raises(LarqnetsError, match=r"was measured on Raspberry Pi 5.*Name that device"):
        make(earlier=other)[1].measure()
    with pytest.raises(LarqnetsError, match=r"files of the session .* were changed"):
        check_same(earlier, earlier.device, entrants[1:])


def test_a_model_that_fails_does_not_stop_the_others(make):
    def on_run(number, arguments):
        if "--rounds" in arguments and device.runs[-1][0] == "b" and len(timed(device)) > 6:
            raise RunnerError("ssh:pi@fake killed the runner while it ran b, most likely for want of memory.")

    device, measurement = make(on_run)
    result = measurement.measure()
    assert not result.complete
    faults = {model.name: model.fault for model in result.models}
    assert faults["a"] is faults["c"] is None
    assert "want of memory" in faults["b"]
    assert [kept_numbers(model) for model in result.models][::2] == [[0, 1, 2, 3]] * 2
    assert result.models[1].profile is None


def test_when_every_model_fails_it_ends(make):
    def on_run(number, arguments):
        raise RunnerError("It cannot be run.")

    device, measurement = make(on_run)
    with pytest.raises(LarqnetsError, match=r"No model can be measured there\. It cannot be run\."):
        measurement.measure()
    assert len(device.runs) == 3


def test_under_an_emulator_nothing_is_timed_for_long(make):
    device, measurement = make(protocol=STRICT)
    device.emulator = "qemu"
    result = measurement.measure()
    assert result.complete
    assert result.device.functional_only
    assert "The runner says that qemu runs it." in result.device.notes
    assert (result.protocol.rounds, result.protocol.round_runs, result.protocol.round_ms) == (2, 3, 0)
    assert len(timed(device)) == 6


def test_under_voltage_is_refused_before_anything_is_written(make, tmp_path):
    device, measurement = make()
    device.set(throttled=0x50005)
    with pytest.raises(LarqnetsError, match=r"ssh:pi@fake cannot be measured: .*under-voltage.*supply"):
        measurement.measure()
    assert not list(tmp_path.glob("*.json"))
    assert not measurement.record.begun


def test_strict_is_what_mlperf_asks_for():
    assert STRICT.rounds * STRICT.round_runs >= 1024
    assert STRICT.rounds * STRICT.round_ms >= 60_000
    assert DEFAULT.rounds >= 10
    assert DEFAULT.warmup_runs >= 10
    assert DEFAULT.warmup_ms >= 1000


# which files


def test_twins_are_found_by_the_manifest(demo, tmp_path):
    entrants = line_up([demo.binary])
    assert [(e.role, e.name) for e in entrants] == [("binary", "binary"), ("float", "float"), ("int8", "int8")]
    assert [e.twin_of for e in entrants] == [None, entrants[0].sha256, entrants[0].sha256]
    record = entrants[0].record()
    manifest = json.loads((demo.binary.parent / "manifest.json").read_text())
    assert record.accuracy == manifest["files"]["binary"]["test_accuracy"]
    assert record.accuracy_source.endswith("manifest.json")
    assert without_twin(entrants) == []
    assert line_up(sorted(demo.binary.parent.glob("*.tflite")))[0].role == "binary"
    assert len(line_up([*demo.binary.parent.glob("*.tflite"), demo.binary])) == 3
    (tmp_path / "binary.tflite").write_bytes(demo.binary.read_bytes())
    manifest["files"]["binary"]["scores"] = {"miou": 0.5, "accuracy": 0.25}
    (tmp_path / "manifest.json").write_text(
        json.dumps({**manifest, "headline": "miou", "files": {"binary": manifest["files"]["binary"]}})
    )
    (of_another_task,) = line_up([tmp_path / "binary.tflite"])
    assert (of_another_task.record().accuracy, of_another_task.record().score) == (0.5, "miou")
    (tmp_path / "manifest.json").unlink()
    shutil.copy(demo.binary, tmp_path / "alone.tflite")
    (alone,) = line_up([tmp_path / "alone.tflite"])
    assert (alone.role, alone.twin_of, alone.record().accuracy) == (None, None, None)
    assert without_twin([alone]) == [alone]
    both = line_up([tmp_path / "alone.tflite", demo.run / "arm64" / "float.tflite"])
    assert [e.name for e in both] == ["alone", "float"]


def test_a_twin_that_was_changed_is_refused(demo, tmp_path):
    shutil.copytree(demo.binary.parent, tmp_path / "arm64")
    shutil.copy(demo.binary, tmp_path / "arm64" / "float.tflite")
    with pytest.raises(LarqnetsError, match=r"float\.tflite is not the file that its manifest describes.*--twins"):
        line_up([tmp_path / "arm64" / "binary.tflite"])


@pytest.mark.parametrize("damage", ["", "[]", '{"files": []}', '{"files": {"binary": 3}}', '{"files": {"binary": {}}}'])
def test_a_manifest_that_is_none_counts_as_none(tmp_path, damage):
    shutil.copy(find_model("digits"), tmp_path / "x.tflite")
    (tmp_path / "manifest.json").write_text(damage)
    (entrant,) = line_up([tmp_path / "x.tflite"])
    assert entrant.role is None


def test_names_are_as_long_as_they_must_be(tmp_path):
    paths = [tmp_path / run / "arm64" / "binary.tflite" for run in ("one", "two")]
    content = find_model("digits").read_bytes()
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True)
        path.write_bytes(content + bytes(4 * number))
    assert [entrant.name for entrant in line_up(paths)] == ["one/binary", "two/binary"]


# equality


def test_equality_is_of_the_same_bytes():
    model = read_model(find_model("digits"))
    expected = expect(model, Interpreter)
    assert expect(model, Interpreter).inputs == expected.inputs
    assert expect(model, Interpreter, seed=1).inputs != expected.inputs
    assert "Larq Compute Engine" in expected.engine
    (y,) = expected.outputs

    def returned(values):
        import io

        file = io.BytesIO()
        np.save(file, values)
        return compare_outputs(expected, model, read_outputs(expected, [file.getvalue()]))

    same = returned(y)
    assert (same.equal, same.max_difference, same.argmax_agreement, same.samples) == (True, 0.0, 1.0, 8)
    near = returned(y + np.float32(0.5 * same.tolerance))
    assert near.equal
    assert near.max_difference == pytest.approx(0.5 * same.tolerance, rel=0.01)
    far = returned(np.roll(y, 1, axis=-1))
    assert not far.equal
    assert far.argmax_agreement < 1
    broken = returned(np.full_like(y, np.nan))
    assert not broken.equal
    assert np.isfinite(broken.max_difference)  # NaN is no JSON
    with pytest.raises(LarqnetsError, match=re.escape("of <f4 (8, 9) where float32 (8, 10) is due")):
        returned(y[:, :9])


SIGNS = read_model(find_model("digits"))
PLAIN = dataclasses.replace(SIGNS, subgraphs=(dataclasses.replace(SIGNS.subgraphs[0], operators=()),))
DUE = np.random.default_rng(0).normal(size=(8, 10))


@pytest.mark.parametrize(
    ("model", "change", "equal"),
    [
        (SIGNS, {}, True),
        (SIGNS, {3: 0.1}, True),  # a turned sign in one sample
        (SIGNS, {3: 0.4}, False),  # more than that
        (SIGNS, {3: np.nan}, False),
        (SIGNS, dict.fromkeys(range(8), 0.1), False),  # in every sample: a wrong kernel
        (PLAIN, {3: 0.1}, False),
        (PLAIN, {3: 1e-4}, True),
    ],
)
def test_a_turned_sign_strikes_single_samples_and_a_wrong_kernel_all(model, change, equal):
    scale = np.abs(DUE).max()
    found = DUE.copy()
    for sample, share in change.items():
        found[sample, 0] += share * scale
    difference, allowed = judge(model, [DUE], [found])
    assert (difference <= allowed) == equal


def test_every_output_is_held_against_its_own_size():
    large, small = 1000 * DUE, 0.01 * DUE
    difference, allowed = judge(PLAIN, [large, small], [large, np.zeros_like(small)])
    assert difference > allowed


def test_without_an_engine_it_is_said_why(make, entrants):
    def none(content):
        raise LarqnetsError("There is no engine.")

    _, measurement = make()
    measurement._expected = {e.sha256: expect(e.model, none) for e in entrants}
    result = measurement.measure()
    assert result.complete
    assert all(model.equality is None for model in result.models)
    assert "Not compared with the host: There is no engine." in texts(result, "skipped")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_are_a_fault(make, value):
    device, measurement = make()
    honest = device.pull

    def pull(name, size):
        content = honest(name, size)
        return content[:-4] + np.float32(value).tobytes() if device.runs[-1][0] == "b" else content

    device.pull = pull
    result = measurement.measure()
    assert not result.complete
    by_name = {model.name: model for model in result.models}
    assert "The outputs of b on ssh:pi@fake are NaN or infinite" in by_name["b"].fault
    assert not by_name["b"].equality.equal
    assert not by_name["b"].rounds
    assert by_name["a"].fault is by_name["c"].fault is None
    assert len(by_name["a"].kept) == SHORT.rounds


@pytest.mark.parametrize("count", [0, 2])
def test_a_device_that_reports_another_number_of_rounds(make, count):
    device, measurement = make()
    honest = device.run

    def run(arguments, model, timeout_s=0.0):
        report = honest(arguments, model, timeout_s)
        return dataclasses.replace(report, rounds=report.rounds * count) if model == "a" else report

    device.run = run
    result = measurement.measure()
    assert not result.complete
    assert f"reports {count} rounds where one is due" in result.models[0].fault


def test_no_round_at_all_is_not_complete(make):
    _, measurement = make(protocol=dataclasses.replace(SHORT, rounds=1))
    measurement._round = lambda number: None
    assert not measurement.measure().complete


def test_a_device_whose_output_is_no_array(make):
    for content in (
        b"",
        b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16,
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000, 10)}".ljust(118),
        pickle.dumps(print),
    ):
        device, measurement = make()
        device.pull = lambda name, size, content=content: content
        with pytest.raises(LarqnetsError, match=r"The device returned .* is due"):
            measurement.measure()
