"""What a run survives, each with real processes: SIGKILL anywhere, a full disk, damaged and foreign checkpoints, changes."""

import csv
import json
import os
import random
import resource
import shutil
import signal
from functools import partial

import numpy as np
import pytest
from forked import Forked
from PIL import Image

from larqnets.runs.epoch_tables import TIMING_COLUMNS
from larqnets.runs.run import Run

from .kill_points import arm

TINY = ("--set", "train.epochs=4", "--set", "model.backbone=resnet5", "--set", "train.weight_decay=1e-4")
STEPS = 4 * 21


@pytest.fixture(scope="module")
def larqnets(tfds_dir):
    """Run `larqnets ARGS` in a process of its own, which `kill` ends as kill_points.py says."""

    def call(*args, cwd, kill=None, prepare=None):
        if kill is not None:
            prepare = partial(arm, kill)
        environment = os.environ | {"TFDS_DATA_DIR": str(tfds_dir)}
        return Forked(*args, cwd=cwd, environment=environment, prepare=prepare).wait(300)

    return call


@pytest.fixture(scope="module")
def whole(tmp_path_factory, larqnets):
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    done = larqnets("train", "digits", *TINY, cwd=folder)
    assert done.code == 0, done.err
    return folder / "runs/digits-seed0"


@pytest.fixture(scope="module")
def killed(tmp_path_factory, larqnets):
    folder = tmp_path_factory.mktemp("killed")
    done = larqnets("train", "digits", *TINY, cwd=folder, kill="step:50")
    assert done.code == -signal.SIGKILL
    return folder / "runs"


@pytest.fixture
def half(killed, tmp_path):
    """A run that was killed with two checkpoints, in the middle of its third epoch."""
    run = shutil.copytree(killed, tmp_path / "runs") / "digits-seed0"
    assert checkpoints_of(run) == ["step-00000021", "step-00000042"]
    return run


def checkpoints_of(run):
    return sorted(path.name for path in (run / "checkpoints").glob("step-*"))


def outcome(run):
    """Everything that must not depend on interruptions: weights, optimizer, sums, metrics, card."""
    state = json.loads((run / "checkpoints" / f"step-{STEPS:08d}" / "state.json").read_text())
    with (run / "metrics.csv").open(newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in TIMING_COLUMNS} for row in csv.DictReader(file)]
    card = json.loads((run / "card.json").read_text())
    for timed in (card, *card["stages"]):
        del timed["seconds"]
    return {"files": state["files"], "metrics": rows, "card": card}


def finish(larqnets, run, **options):
    done = larqnets("train", "--resume", run, cwd=run.parent.parent, **options)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    return done


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_anywhere_it_ends_with_the_same_bits(whole, larqnets, tmp_path, seed):
    """Kills at drawn steps, in a half-written checkpoint, and between any two file operations, all of one run."""
    draw = random.Random(seed)
    kills = ["save:1", f"step:{draw.randrange(1, 42)}", *(f"file:{draw.randrange(1, 60)}" for _ in range(2))]
    draw.shuffle(kills)
    for kill in kills:
        done = larqnets("train", "digits", *TINY, "--resume", cwd=tmp_path, kill=kill)
        assert done.code == -signal.SIGKILL, (kill, done.err)
    run = tmp_path / "runs/digits-seed0"
    done = finish(larqnets, run)
    assert "The run was killed" in done.err
    assert outcome(run) == outcome(whole), kills
    assert not list((run / "checkpoints").glob(".*"))


def test_a_killed_run_says_so_and_leaves_no_lock(half, larqnets):
    listed = larqnets("list", "runs", cwd=half.parent.parent)
    assert "digits, killed after epoch 2" in listed.out
    done = finish(larqnets, half)
    assert "The run was killed: it goes on from step-00000042, in epoch 3." in done.err
    listed = larqnets("list", "runs", cwd=half.parent.parent)
    assert "trained, test accuracy" in listed.out


def test_two_processes_cannot_train_one_run(half, larqnets):
    with Run.open(half).locked():
        done = larqnets("train", "--resume", half, cwd=half.parent)
        listed = larqnets("list", "runs", cwd=half.parent.parent)
    assert done.code == 1
    assert done.err.strip() == (
        f"larqnets: {half} is being trained by another process (PID {os.getpid()}). Wait for it, or stop it first."
    )
    assert "digits, training" in listed.out


def test_a_full_disk_loses_nothing(whole, half, larqnets):
    """RLIMIT_FSIZE stands for it: small files can still be written, weights cannot."""
    limit = (20_000, 20_000)
    done = larqnets(
        *("train", "--resume", half),
        cwd=half.parent,
        prepare=partial(resource.setrlimit, resource.RLIMIT_FSIZE, limit),
    )
    assert done.code == 1
    assert "Traceback" not in done.err
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("larqnets: Cannot write the checkpoint")
    assert "step-00000063" in last
    assert "File too large" in last
    assert checkpoints_of(half) == ["step-00000021", "step-00000042"]
    assert not list((half / "checkpoints").glob(".*"))
    finish(larqnets, half)
    assert outcome(half) == outcome(whole)


def test_a_truncated_checkpoint_is_passed_over(whole, half, larqnets):
    (data,) = half.glob("checkpoints/step-00000042/weights.data*")
    os.truncate(data, data.stat().st_size - 100)
    done = finish(larqnets, half)
    assert "it goes on from step-00000021, in epoch 2" in done.err
    assert "The checkpoint step-00000042 is damaged; continuing from the older step-00000021." in done.err
    assert outcome(half) == outcome(whole)


def test_foreign_checkpoints_are_refused(half, larqnets, tmp_path):
    """One of another run, named as such by its config; and one whose config lies."""
    made = larqnets(
        "train", "digits", *TINY, "--set", "model.width=1.0", "--name", "other", cwd=tmp_path, kill="step:30"
    )
    assert made.code == -signal.SIGKILL
    theirs, ours = tmp_path / "runs/other/checkpoints", half / "checkpoints"
    shutil.rmtree(ours)
    shutil.copytree(theirs, ours)
    done = larqnets("train", "--resume", half, cwd=tmp_path)
    assert done.code == 1
    assert "The config has model.width = 2.0, but the run was started with 1.0." in done.err
    for state in ours.glob("*/state.json"):
        state.write_text(state.read_text().replace('"width": 1.0', '"width": 2.0'))
    done = larqnets("train", "--resume", half, cwd=tmp_path)
    assert done.code == 1
    assert "does not fit the model of its config" in done.err
    assert "Traceback" not in done.err


def test_another_number_of_cpus_is_said(half, larqnets):
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("this machine has one CPU")
    done = finish(larqnets, half, prepare=partial(os.sched_setaffinity, 0, cpus[:1]))
    assert f"Continuing with CPUs {len(cpus)} -> 1: the result may differ in the last bits" in done.err
    assert Run.open(half).card.document["hardware"]["cpu_count"] == 1


def test_changed_images_are_refused_and_restored_ones_taken(larqnets, tmp_path):
    noise = np.random.default_rng(0)
    for split in ("train", "test"):
        for label in "ab":
            (tmp_path / "images" / split / label).mkdir(parents=True)
            for i in range(4):
                pixels = noise.integers(0, 255, (8, 8), np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / split / label / f"{i}.png")
    settings = ("--set", "data.dataset=folder:images", "--set", "data.image_size=8", "--set", "train.batch_size=2")
    made = larqnets("train", "digits", *TINY, *settings, "--name", "x", cwd=tmp_path, kill="step:6")
    assert made.code == -signal.SIGKILL, made.err
    changed = tmp_path / "images/train/a/1.png"
    kept = changed.read_bytes()
    Image.fromarray(noise.integers(0, 255, (8, 8), np.uint8)).save(changed)
    refused = larqnets("train", "--resume", "runs/x", cwd=tmp_path)
    assert refused.code == 1
    assert f"The images in folder:{tmp_path}/images are not those that the run was started with" in refused.err
    changed.write_bytes(kept)
    finish(larqnets, tmp_path / "runs/x")
