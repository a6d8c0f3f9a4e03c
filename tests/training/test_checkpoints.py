import errno
import json
import os
from pathlib import Path

import pytest
import tensorflow as tf

from larqnets.errors import LarqnetsError
from larqnets.runs import checkpoints
from larqnets.runs.run import Run

from .tiny import tiny_experiment


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path, "run", tiny_experiment())


def holder(value: float = 0.0) -> tf.train.Checkpoint:
    return tf.train.Checkpoint(value=tf.Variable([value] * 10))


def save(run, step):
    return checkpoints.save(run, step, holder(float(step)), {"epoch": 0})


def folders(run):
    return sorted(path.name for path in run.checkpoints.iterdir())


def test_the_newest_two_are_kept_and_the_newest_is_read(run):
    assert checkpoints.latest(run) is None
    for step in (5, 10, 15):
        save(run, step)
    assert folders(run) == ["step-00000010", "step-00000015"]
    saved, target = checkpoints.latest(run), holder()
    checkpoints.restore(saved, target)
    assert saved.state["step"] == 15
    assert float(target.value[0]) == 15


def test_the_same_step_is_replaced(run):
    save(run, 5)
    checkpoints.save(run, 5, holder(6.0), {"epoch": 1})
    assert folders(run) == ["step-00000005"]
    assert checkpoints.latest(run).state["epoch"] == 1


def test_leftovers_of_a_kill_are_ignored_and_cleared(run):
    save(run, 5)
    (run.checkpoints / f".larqnets-{7:016x}.writing").mkdir()
    assert checkpoints.latest(run).state["step"] == 5
    save(run, 8)
    assert folders(run) == ["step-00000005", "step-00000008"]


def truncate(path: Path) -> None:
    data = next(path.glob("weights.data*"))
    data.write_bytes(data.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = next(path.glob("weights.data*"))
    content = bytearray(data.read_bytes())
    content[3] ^= 1
    data.write_bytes(content)


@pytest.mark.parametrize(
    "harm",
    [
        truncate,
        flip,
        lambda path: next(path.glob("*.index")).unlink(),
        lambda path: (path / "state.json").unlink(),
        lambda path: (path / "state.json").write_text('{"step": 10'),
        lambda path: (path / "state.json").write_text("[]"),
    ],
    ids=["truncated", "bit flip", "file missing", "no state", "half a state", "not a state"],
)
def test_a_damaged_checkpoint_is_passed_over_and_named(run, harm):
    save(run, 5)
    harm(save(run, 10))
    saved = checkpoints.latest(run)
    assert saved.state["step"] == 5
    assert [path.name for path in saved.damaged] == ["step-00000010"]


def test_when_all_are_damaged_it_says_so_instead_of_starting_anew(run):
    truncate(save(run, 5))
    with pytest.raises(LarqnetsError, match=r"Every checkpoint of .* is damaged: step-00000005"):
        checkpoints.latest(run)


@pytest.mark.parametrize(
    "other",
    [
        tf.train.Checkpoint(value=tf.Variable([0.0] * 3)),
        tf.train.Checkpoint(value=tf.Variable([0.0] * 10), more=tf.Variable(1.0)),
        tf.train.Checkpoint(another=tf.Variable([0.0] * 10)),
    ],
    ids=["shape", "too little", "name"],
)
def test_restore_is_strict(run, other):
    save(run, 5)
    with pytest.raises(LarqnetsError, match="does not fit the model"):
        checkpoints.restore(checkpoints.latest(run), other)


def test_a_model_with_other_weights_is_refused(run):
    def model(*widths):
        return tf.keras.Sequential([tf.keras.Input((2,)), *(tf.keras.layers.Dense(width) for width in widths)])

    checkpoints.save(run, 1, tf.train.Checkpoint(model=model(3, 4), other=tf.Variable(0)), {})
    saved = checkpoints.latest(run)
    checkpoints.restore_model(saved, model(3, 4))
    for widths in [(3,), (3, 4, 5), (3, 5)]:
        with pytest.raises(LarqnetsError, match="does not fit the model"):
            checkpoints.restore_model(saved, model(*widths))


@pytest.mark.parametrize("kind", ["system", "tensorflow"])
def test_a_full_disk_is_an_error_and_leaves_the_earlier_checkpoint(run, monkeypatch, kind):
    save(run, 5)
    if kind == "system":

        def full(descriptor):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        broken = holder(10.0)
    else:

        class Full(tf.train.Checkpoint):
            def write(self, *args, **kwargs):
                raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

        broken = Full(value=tf.Variable([1.0] * 10))
    with pytest.raises(LarqnetsError, match=r"No space left on device. Free some space"):
        checkpoints.save(run, 10, broken, {})
    monkeypatch.undo()
    assert folders(run) == ["step-00000005"]
    assert checkpoints.latest(run).state["step"] == 5


def test_state_lists_its_files(run):
    folder = save(run, 5)
    state = json.loads((folder / "state.json").read_text())
    assert set(state["files"]) == {path.name for path in folder.iterdir()} - {"state.json"}
    assert all(entry["bytes"] == (folder / name).stat().st_size for name, entry in state["files"].items())
