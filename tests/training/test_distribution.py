"""Several devices and several processes: the same result as one, and no end when one of them dies."""

import csv
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from forked import Forked

from deploy.proof.check import evaluate_subject
from larqnets.errors import LarqnetsError
from larqnets.runs.checkpoints import latest
from larqnets.runs.run import Run
from larqnets.training.distribution import Workers, join

# Real weights: signs amplify the rounding of sums over replicas, and a tolerance would show nothing.
EXPERIMENT = ("digits_real", "--set", "train.epochs=4", "--set", "model.backbone=resnet5")
TIMEOUT = 240  # seconds


class Pair:
    """Two worker processes of one run, with the addresses of one cluster."""

    def __init__(self, folder: Path, tfds_dir: Path) -> None:
        self.folder, self.tfds_dir = folder, tfds_dir
        self.addresses = [f"127.0.0.1:{_free_port()}" for _ in range(2)]

    def start(self, index: int, *arguments: str) -> Forked:
        place = {"cluster": {"worker": self.addresses}, "task": {"type": "worker", "index": index}}
        return Forked(
            *("train", *arguments, "--strategy", "multiworker"),
            cwd=self.folder,
            environment=os.environ
            | {"TFDS_DATA_DIR": str(self.tfds_dir), "TF_CONFIG": json.dumps(place), "TMPDIR": str(self.folder / "tmp")},
        )

    def both(self, *arguments: str) -> list[Forked]:
        (self.folder / "tmp").mkdir(exist_ok=True)
        return [self.start(index, *arguments) for index in range(2)]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def finish(*processes: Forked) -> list[tuple[int, str]]:
    """Wait for all; returns exit codes and what they said."""
    try:
        ended = [process.wait(TIMEOUT) for process in processes]
        return [(process.code, process.err) for process in ended]
    finally:
        for process in processes:
            process.kill()


def rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def losses(run: Path) -> list[float]:
    return [float(row[name]) for row in rows(run) for name in ("train_loss", "test_loss")]


def wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + TIMEOUT
    while not holds():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.05)


def wait_for_epoch(run: Path, epoch: int) -> None:
    wait_until(lambda: (run / "metrics.csv").is_file() and len(rows(run)) >= epoch, "the workers do not train")


@pytest.fixture(scope="module")
def one(tmp_path_factory, forked) -> Path:
    """The run of a single process."""
    folder = tmp_path_factory.mktemp("one")
    done = forked("train", *EXPERIMENT, "--name", "one", cwd=folder)
    assert done.code == 0, done.err
    return folder / "runs" / "one"


@pytest.fixture(scope="module")
def pair(tmp_path_factory, tfds_dir) -> Pair:
    return Pair(tmp_path_factory.mktemp("pair"), tfds_dir)


@pytest.fixture(scope="module")
def two(pair) -> Path:
    """The run of two processes that nothing disturbed."""
    for code, err in finish(*pair.both(*EXPERIMENT, "--name", "two")):
        assert code == 0, err
    return pair.folder / "runs" / "two"


def test_two_workers_lose_what_one_does(one, two):
    # Sums are split otherwise, and the running variance of a whole batch is n / (n - 1) times as large in the fused kernel
    # that a single device uses: at least n = 16 pixels x 64 images here.
    assert losses(two) == pytest.approx(losses(one), rel=5e-3)


def test_the_card_says_who_trained(one, two):
    assert Run.open(one).card.document["distribution"] == {"strategy": "one device", "workers": 1, "replicas": 1}
    card = Run.open(two).card.document
    assert card["distribution"] == {"strategy": "multiworker", "workers": 2, "replicas": 2}
    assert "replicas may differ in the last bits" in card["determinism"]


def test_only_the_chief_writes(pair, two):
    assert list((pair.folder / "tmp").glob("larqnets-*")) == []
    assert sorted(path.name for path in two.iterdir()) == [
        ".lock",
        "card.json",
        "checkpoints",
        "config.toml",
        "metrics.csv",
        "tensorboard",
    ]


def test_two_workers_choose_and_make_a_run_longer(pair):
    """Both read and set the copies of the best weights; the card's score is that of the network in the checkpoint."""
    settings = ("--set", "model.width=0.125", "--set", "data.validation=0.2", "--set", "train.keep=best")
    for epochs in (1, 2):
        asked = ("digits_real", *settings, "--set", f"train.epochs={epochs}", "--name", "chosen", "--resume")
        for code, err in finish(*pair.both(*asked)):
            assert code == 0, err
    run = Run.open(pair.folder / "runs/chosen")
    assert (run.card.status, [stage.name for stage in run.card.stages]) == ("trained", ["train", "longer"])
    measured = evaluate_subject(run.path, data_dir=str(pair.tfds_dir))
    assert measured["accuracy"] == run.card.score
    scores = [float(row["validation_accuracy"]) for row in rows(run.path)]
    assert run.card.validation_score == pytest.approx(max(scores), rel=1e-6)


def test_one_process_evaluates_what_two_trained(two, forked):
    done = forked("evaluate", "runs/two", "--json", cwd=two.parent.parent)
    assert done.code == 0, done.err
    assert json.loads(done.out)["accuracy"] == pytest.approx(Run.open(two).card.test_accuracy)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_is_started_again_and_the_run_goes_on(pair, two, victim):
    name = f"killed-{victim}"
    run = pair.folder / "runs" / name
    processes = pair.both(*EXPERIMENT, "--name", name)
    wait_for_epoch(run, 2)  # the checkpoint of the first is there
    processes[victim].kill()
    again = pair.start(victim, *EXPERIMENT, "--name", name, "--resume")
    survivor, restarted = finish(processes[1 - victim], again)
    assert survivor[0] == restarted[0] == 0, survivor[1] + restarted[1]
    assert "lost the others" in survivor[1]
    assert "it goes on from step-" in restarted[1]
    assert losses(run) == pytest.approx(losses(two), rel=1e-3)
    assert Run.open(run).card.status == "trained"


def test_a_signal_to_one_worker_stops_all_with_a_checkpoint(pair, two):
    run = pair.folder / "runs" / "stopped"
    processes = pair.both(*EXPERIMENT, "--name", "stopped")
    wait_for_epoch(run, 1)
    processes[1].send_signal(signal.SIGTERM)
    for (code, err), expected in zip(finish(*processes), (1, 143), strict=True):
        assert code == expected, err
        assert "Continue with `larqnets train --resume runs/stopped`" in err
    assert Run.open(run).card.status == "interrupted"
    assert latest(Run.open(run)).state["step"] < int(rows(two)[-1]["step"])


def test_workers_that_were_started_differently_say_so(pair):
    commands = [(*EXPERIMENT, "--name", "unlike"), (*EXPERIMENT, "--set", "train.momentum=0.5", "--name", "unlike")]
    chief, other = finish(*(pair.start(index, *command) for index, command in enumerate(commands)))
    assert chief[0] == other[0] == 1
    assert "Another worker could not go on" in chief[1]
    assert "The config is not the one that runs/unlike was started with" in other[1]


def two_devices() -> None:
    """Make two devices of the CPU."""
    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)


def test_two_devices_of_a_machine_lose_what_one_does(tmp_path, tfds_dir, one):
    process = Forked(
        *("train", *EXPERIMENT, "--name", "mirrored", "--strategy", "mirrored"),
        cwd=tmp_path,
        environment=os.environ | {"TFDS_DATA_DIR": str(tfds_dir)},
        prepare=two_devices,
    )
    ((code, err),) = finish(process)
    assert code == 0, err
    run = tmp_path / "runs" / "mirrored"
    assert Run.open(run).card.document["distribution"] == {"strategy": "mirrored", "workers": 1, "replicas": 2}
    assert losses(run) == pytest.approx(losses(one), rel=5e-3)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "0"}}',
        '{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_a_tf_config_without_a_place_for_this_process(monkeypatch, text):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(LarqnetsError, match="needs TF_CONFIG in the environment"):
        join("multiworker")


def test_an_unknown_strategy_names_the_known_ones():
    with pytest.raises(LarqnetsError, match="Choose mirrored or multiworker"):
        join("mirorred")


def test_a_batch_that_cannot_be_shared():
    class TwoReplicas:
        num_replicas_in_sync = 2

    with pytest.raises(LarqnetsError, match="to a multiple of 2; it is that of all"):
        Workers(TwoReplicas(), "mirrored").check_divides(63)
