"""The command line as scripts see it: exit codes, streams, JSON, signals."""

import hashlib
import importlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from forked import Forked
from living import until
from rich.console import Console

from larqnets import LarqnetsError, list_backbones, list_methods
from larqnets.cli import listing
from larqnets.cli import main as larqnets_cli
from larqnets.errors import StoppedBySignalError

LISTED = {
    "methods": "birealnet",
    "backbones": "resnet18",
    "tasks": "classification",
    "datasets": "cifar10",
    "configs": "digits",
    "models": "digits",
}
NOISE = re.compile(r"oneDNN|cudart|absl|WARNING|Traceback")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--bogus"],
        ["bogus"],
        ["train"],
        ["train", "digits", "--epochs", "many"],
        ["list"],
        ["evaluate", "x.tflite", "--limit", "0"],
        ["evaluate", "x.tflite", "--limit", "many"],
        ["summary", "birealnet", "--backbone", "resnet18", "--width", "0"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(cli, arguments):
    outcome = cli(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "Usage: larqnets" in outcome.err
    assert "Traceback" not in outcome.err


def test_version_and_help(cli):
    assert re.fullmatch(r"larqnets \d+\.\d+\.\d+\n", cli("--version").out)
    helped = cli("--help")
    assert helped.code == 0
    verbs = ("train", "sweep", "convert", "verify", "evaluate", "inspect", "run", "report", "summary", "list", "doctor")
    for verb in verbs:
        assert re.search(rf"\b{verb}\b", helped.out)
        assert cli(verb, "--help").code == 0


def test_help_imports_nothing_heavy(tmp_path):
    code = (
        "import sys; sys.argv = ['larqnets', '--help']\n"
        "from larqnets.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'larq', 'tf_keras', 'keras', 'matplotlib', 'numpy', 'PIL', 'tensorflow_datasets'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == "[]\n"


@pytest.mark.parametrize(("what", "member"), LISTED.items())
def test_list_prints_names(cli, what, member):
    outcome = cli("list", what, "--json")
    names = json.loads(outcome.out)
    assert member in names
    assert names == sorted(names)
    assert all(isinstance(name, str) for name in names)
    assert member in cli("list", what).out
    assert json.loads(cli("list", what, f"{member[:3]}*", "--json").out) == [n for n in names if n[:3] == member[:3]]
    assert json.loads(cli("list", what, "no-such-*", "--json").out) == []


def test_list_methods_says_in_80_columns_what_builds_on_what_and_why_not():
    _, render = listing.listing("methods", "*", Path("runs"), importlib.import_module)
    console = Console(width=80, file=io.StringIO())
    tables = [part for part in render() if not isinstance(part, str)]
    console.print(*tables)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    _title, _header, *rows = re.split(r"\n (?=\w)", "\n".join(lines[lines.index("backbones") :]))
    assert {row.split()[0] for row in rows} == set(list_methods())
    assert all("all" in row or set(re.findall(r"\w+", row)) >= set(list_backbones()) for row in rows)
    reasons = [part for part in render() if isinstance(part, str) and part]
    assert len(reasons) == len(set(reasons)) > 0
    assert all(reason.startswith("why not: ") for reason in reasons)


def test_summary_names_what_a_binary_network_keeps_real(cli):
    arguments = ("--backbone", "mobilenet_v1", "--image", "32x32x3", "--stem", "small", "--width", "0.25")
    layers = json.loads(cli("summary", "binarynet", *arguments, "--json").out)["layers"]
    depthwise = [layer for layer in layers if layer["type"] == "DepthwiseConv2D"]
    assert len(depthwise) == 13
    weights = sum(layer["real_weights"] for layer in depthwise)
    sentence = f"13 depthwise convolutions, {weights:,} weights: no 1-bit op exists for them"
    assert sentence in cli("summary", "binarynet", *arguments).out
    assert "stay real" not in cli("summary", "real", *arguments).out


def test_list_runs_prints_names(demo, cli):
    assert json.loads(cli("list", "runs", "--runs", demo.folder / "runs", "--json").out) == ["demo"]
    assert cli("list", "runs").out == "no runs in runs\n"


def test_doctor_names_what_is_installed_and_what_is_missing(cli):
    report = json.loads(cli("doctor", "--json").out)
    assert report["packages"]["tensorflow"].startswith("2.")
    assert report["can"]["train, convert, verify, evaluate"] is True
    assert isinstance(report["findings"], list)
    assert report["packages"]["numpy"] in cli("doctor").out


def test_a_fresh_process_prints_one_json_value_and_no_noise(demo):
    for outcome in (demo.train, demo.convert):
        assert isinstance(json.loads(outcome.out), dict)
        assert not NOISE.search(outcome.err)
    assert re.search(r"^epoch 2/2 ", demo.train.err, re.MULTILINE)
    assert "verifying layer by layer" in demo.convert.err


@pytest.mark.parametrize("verb", ["verify", "evaluate", "inspect", "summary"])
def test_tables_go_to_stdout_and_progress_to_stderr(demo, cli, verb):
    outcome = cli(verb, demo.run if verb == "summary" else demo.binary)
    assert outcome.code == 0
    assert outcome.out.strip()
    assert "..." in outcome.err or verb in ("inspect", "summary")
    assert not NOISE.search(outcome.err)


def test_an_error_is_one_line_and_a_traceback_only_with_debug(tmp_path, process):
    plain = process("inspect", "absent.tflite", cwd=tmp_path)
    assert (plain.code, plain.out) == (1, "")
    assert re.fullmatch(r"larqnets: There is no file 'absent\.tflite'\. .*\n", plain.err)
    debug = process("--debug", "inspect", "absent.tflite", cwd=tmp_path)
    assert (debug.code, debug.out) == (1, "")
    assert debug.err.startswith("Traceback")
    assert "There is no file 'absent.tflite'" in debug.err


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "larqnets.cli.main", "inspect", "digits", "--json"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        child.stdout.close()
        assert child.stderr.read() == ""
    assert child.returncode == 1


def test_ctrl_c_in_training_leaves_a_run_that_continues_as_printed(tmp_path, tfds_dir, forked):
    small = ["--set", "train.epochs=3", "--set", "model.width=0.25"]
    stopped = _interrupt(["train", "digits", "--name", "x", *small], "epoch 1/3", tmp_path, tfds_dir)
    assert stopped[0] == 130
    card = json.loads((tmp_path / "runs/x/card.json").read_text())
    assert card["status"] == "interrupted"
    command = re.search(r"^larqnets: Stopped .* Continue with `larqnets (.*)`\.$", stopped[1], re.MULTILINE)[1]
    assert command == "train --resume runs/x"
    resumed = forked(*command.split(), "--json", cwd=tmp_path)
    assert resumed.code == 0
    assert json.loads(resumed.out).items() >= {"status": "trained", "epochs_done": 3, "run": "runs/x"}.items()


def test_ctrl_c_in_conversion_leaves_no_file(demo, tmp_path, tfds_dir):
    before = (demo.run / "card.json").read_bytes()
    code, err = _interrupt(["convert", demo.run, "--output", tmp_path / "out"], "converting", tmp_path, tfds_dir)
    assert code == 130
    assert err.splitlines()[-1] == "larqnets: stopped. Nothing half-written is left."
    assert not NOISE.search(err)
    assert not list((tmp_path / "out").glob("*"))
    assert (demo.run / "card.json").read_bytes() == before


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)])
def test_a_conversion_that_is_ended_leaves_no_file(demo, tmp_path, tfds_dir, number, code):
    """Neither where it writes nor where it works."""
    (tmp_path / "tmp").mkdir()
    environment = os.environ | {"TFDS_DATA_DIR": str(tfds_dir), "TMPDIR": str(tmp_path / "tmp")}
    run = shutil.copytree(demo.run, tmp_path / "demo")
    process = Forked("convert", run, "--output", "out", cwd=tmp_path, environment=environment)
    until(lambda: "converting" in process.err and list((tmp_path / "tmp").glob("larqnets-*")))
    process.send_signal(number)
    assert process.wait(120).code == code
    until(lambda: not list((tmp_path / "tmp").glob("larqnets-*")))
    assert not (tmp_path / "out").exists()


def test_two_conversions_into_one_folder(demo, tmp_path, tfds_dir):
    """Both are done and told; the folder is as one of them left it, and somebody's file is still in it."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/float.tflite").write_bytes(b"mine")
    environment = os.environ | {"TFDS_DATA_DIR": str(tfds_dir)}
    run = shutil.copytree(demo.run, tmp_path / "demo")
    both = [Forked("convert", run, "--output", "out", cwd=tmp_path, environment=environment) for _ in range(2)]
    done = [process.wait(240) for process in both]
    assert [outcome.code for outcome in done] == [0, 0], done
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    content = (tmp_path / "out/binary.tflite").read_bytes()
    assert manifest["files"]["binary"]["sha256"] == hashlib.sha256(content).hexdigest()
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"binary.tflite", "float.tflite", "manifest.json"}
    assert (tmp_path / "out/float.tflite").read_bytes() == b"mine"


def test_a_taken_name_is_told_before_the_work(demo, tmp_path, cli):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/binary.tflite").write_bytes(b"mine")
    done = cli("convert", demo.run, "--output", "out")
    assert (done.code, done.out) == (1, "")
    assert "out/binary.tflite is there and was not written by this command" in done.err
    assert "converting" not in done.err
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["binary.tflite"]


@pytest.mark.parametrize("interrupted", [True, False])
def test_what_c_code_makes_of_ctrl_c(monkeypatch, capsys, interrupted):
    def app(prog_name):
        try:
            if interrupted:
                signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            pass
        raise SystemError("bad argument to internal function")

    monkeypatch.setattr(larqnets_cli, "app", app)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit if interrupted else SystemError):
            larqnets_cli.main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == interrupted * "larqnets: stopped. Nothing half-written is left.\n"


DESTRUCTOR = """
import os, signal, time
from larqnets.cli import main

class Lost:
    def __del__(self):
        os.kill(os.getpid(), {number})
        time.sleep(0.1)

def app(**_):
    lost = Lost()
    del lost
    time.sleep(60)

signal.signal(signal.SIGINT, signal.default_int_handler)
main.app = app
main.main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_a_destructor_ends_the_command_too(number):
    """Python raises nothing out of one, and those of TensorFlow run often: the signal was lost, and the next ones ignored."""
    done = subprocess.run(
        [sys.executable, "-c", DESTRUCTOR.format(number=int(number))], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, "", "")


def _interrupt(arguments, marker, cwd, tfds_dir):
    """Start larqnets, send SIGINT when `marker` appears on stderr; return exit code and stderr."""
    # A test runner in the background ignores SIGINT, and its children inherit that.
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from larqnets.cli.main import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"TFDS_DATA_DIR": str(tfds_dir)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        watchdog = threading.Timer(120, child.kill)
        watchdog.start()
        lines = []
        for line in child.stderr:
            lines.append(line)
            if marker in line:
                child.send_signal(signal.SIGINT)
                marker = "\0"  # once
        child.wait()
        watchdog.cancel()
    return child.returncode, "".join(lines)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")  # Keras calls the format legacy
@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_keras_model_of_somebody_else_converts(cli, tmp_path, name):
    _foreign_model().save(tmp_path / name)
    outcome = cli("convert", name, "--dataset", "digits", "--json")
    assert outcome.code == 0, outcome.err
    manifest = json.loads(outcome.out)
    assert manifest["folder"] == "model-arm64"
    assert manifest["verification"]["equal"] is True
    assert manifest["verification"]["real_samples"] is True
    assert {p.name for p in (tmp_path / "model-arm64").iterdir()} == {"binary.tflite", "manifest.json"}
    file = tmp_path / "model-arm64" / "binary.tflite"
    assert json.loads(cli("verify", file, "--source", name, "--dataset", "digits", "--json").out)["equal"] is True
    assert json.loads(cli("evaluate", file, "--json").out)["images"] == 450


def test_a_keras_model_without_data_is_verified_on_random_inputs(cli, tmp_path):
    _foreign_model().save(tmp_path / "model.keras")
    outcome = cli("convert", "model.keras", "--output", "elsewhere")
    assert outcome.code == 0, outcome.err
    assert "random inputs (name real ones with --dataset)" in outcome.out
    assert (tmp_path / "elsewhere" / "binary.tflite").is_file()


def _foreign_model():
    """A Larq model as its tutorial builds one, with nothing of larqnets in it."""
    import larq as lq
    import tensorflow as tf

    binary = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
        "use_bias": False,
    }
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Conv2D(32, 3, padding="same", use_bias=False, input_shape=(8, 8, 1)),
            layers.BatchNormalization(),
            lq.layers.QuantConv2D(64, 3, padding="same", pad_values=1, **binary),
            layers.BatchNormalization(),
            layers.MaxPool2D(2),
            lq.layers.QuantConv2D(32, 3, padding="same", pad_values=1, **binary),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (None, 1)])
def test_work_that_a_signal_ended_has_its_code(monkeypatch, capsys, number, code):
    """None: another worker of the training was told."""

    def app(prog_name):
        raise StoppedBySignalError("Stopped.", number)

    monkeypatch.setattr(larqnets_cli, "app", app)
    with pytest.raises(SystemExit) as end:
        larqnets_cli.main()
    assert (end.value.code, capsys.readouterr().err) == (code, "larqnets: Stopped.\n")


def test_a_command_that_ctrl_c_ended_with_a_sentence(monkeypatch, capsys):
    """As `benchmark` does, which says where its record is."""

    def app(prog_name):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise LarqnetsError("Stopped. Continue with x.") from None

    monkeypatch.setattr(larqnets_cli, "app", app)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as end:
            larqnets_cli.main()
    finally:
        signal.signal(signal.SIGINT, before)
    assert (end.value.code, capsys.readouterr().err) == (130, "larqnets: Stopped. Continue with x.\n")
