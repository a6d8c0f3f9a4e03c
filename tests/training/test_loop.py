import csv
import dataclasses
import json
import os
import signal
import sys
from functools import partial

import numpy as np
import pytest
import tensorflow as tf
from forked import Forked
from living import until
from recorder import Recorder
from small_backbones import registered

from larqnets.config import PaperConfig, dump_config
from larqnets.errors import LarqnetsError
from larqnets.runs.epoch_tables import TIMING_COLUMNS
from larqnets.runs.run import Run
from larqnets.tasks import get_task
from larqnets.training import TrainingInterruptedError, build_model, evaluate, load_trained_model, train
from larqnets.training.interrupt import stop_on_signals
from larqnets.training.schedules import learning_rate
from larqnets.training.step import EpochTotals

from .tiny import MemoryDataset, tiny_experiment


def notes(recorder):
    """What was told beside the epochs."""
    return [line for line in recorder.lines if not line.startswith("epoch ")]


def new_model(experiment):
    return build_model(experiment, MemoryDataset.info.image_shape, 3)


def train_once(experiment, run, dataset=None, **options):
    """Train in the folder as a new process would: fresh model, run opened from disk."""
    model = new_model(experiment)
    train(experiment, Run.open(run.path), dataset or MemoryDataset(), model, **options)
    return model


def rows(run, *, timing=False):
    with run.metrics.open(newline="") as file:
        return [{k: v for k, v in row.items() if timing or k not in TIMING_COLUMNS} for row in csv.DictReader(file)]


def same_bits(a, b):
    return all(x.tobytes() == y.tobytes() for x, y in zip(a.get_weights(), b.get_weights(), strict=True))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One uninterrupted run that the tests below look at."""
    experiment = dataclasses.replace(tiny_experiment(), paper=PaperConfig("A paper", 0.5))
    run = Run.create(tmp_path_factory.mktemp("runs"), "whole", experiment, config_name="tiny")
    recorder = Recorder()
    model = train_once(experiment, run, reporter=recorder)
    return experiment, Run.open(run.path), model, recorder


def test_the_network_learns_and_the_card_says_what_was_done(finished):
    _, run, model, recorder = finished
    card = run.card.document
    assert card["status"] == "trained"
    assert (card["epochs_done"], card["step"], card["config"], card["seed"]) == (3, 21, "tiny", 3)
    assert card["test_accuracy"] > 0.6
    assert card["paper"] == {
        "title": "A paper",
        "test_accuracy": 0.5,
        "gap": pytest.approx(card["test_accuracy"] - 0.5),
    }
    assert card["parameters"] == sum(weight.size for weight in model.get_weights())
    assert card["versions"]["tensorflow"] == tf.__version__
    assert card["hardware"]["cpu_count"] >= 1
    assert card["images"]["labels"] == ["a", "b", "c"]
    assert [line[:9] for line in recorder.lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert recorder.counts[0] == (0, 21, "starting")
    assert recorder.counts[-1][:2] == (21, 21)


def test_metrics_hold_a_row_per_epoch_with_the_real_accuracy_and_learning_rate(finished):
    experiment, run, model, _ = finished
    table = rows(run, timing=True)
    assert [row["step"] for row in table] == ["7", "14", "21"]
    dataset = MemoryDataset()
    predicted = model.predict(dataset.images[70:], verbose=0).argmax(-1)
    assert float(table[-1]["test_accuracy"]) == pytest.approx((predicted == dataset.labels[70:]).mean())
    assert float(table[-1]["learning_rate"]) == pytest.approx(float(learning_rate(experiment.train, 7, 20)))
    assert float(table[-1]["seconds"]) > float(table[0]["seconds"]) > 0


def test_tensorboard_holds_every_epoch_once(finished):
    _, run, _, _ = finished
    (events,) = run.tensorboard.glob("events.out.tfevents.*")
    steps = [
        event.step
        for event in tf.compat.v1.train.summary_iterator(str(events))
        for value in event.summary.value
        if value.tag == "test_accuracy"
    ]
    assert steps == [7, 14, 21]


def test_the_trained_model_comes_back_from_the_folder_alone(finished):
    _, run, model, _ = finished
    assert same_bits(load_trained_model(run), model)


def test_an_epoch_counts_its_own_images_alone(tmp_path, monkeypatch):
    counted, means = [], EpochTotals.means

    def watched(totals):
        counted.append(int(totals.images.numpy()))
        return means(totals)

    monkeypatch.setattr(EpochTotals, "means", watched)
    experiment = tiny_experiment(epochs=3)
    train_once(experiment, Run.create(tmp_path, "a", experiment))
    size = experiment.train.batch_size
    assert max(counted) == MemoryDataset().steps_per_epoch(size) * size


def test_evaluate_counts_a_partial_last_batch_by_its_images(finished):
    _, run, model, _ = finished
    small = evaluate(model, MemoryDataset().eval_batches("test", 4), get_task(), MemoryDataset.info)
    whole = evaluate(model, MemoryDataset().eval_batches("test", 19), get_task(), MemoryDataset.info)
    assert small.images == whole.images == 19
    assert small.scores["accuracy"] == whole.scores["accuracy"] == pytest.approx(run.card.test_accuracy)
    assert small.loss == pytest.approx(whole.loss, rel=1e-5)  # float32 sums of other batches


def test_a_finished_run_is_left_alone(finished):
    experiment, run, _, _ = finished
    recorder = Recorder()
    before = (run.path / "card.json").read_bytes()
    train_once(experiment, run, reporter=recorder)
    assert "finished" in recorder.lines[0]
    assert not recorder.counts
    assert (run.path / "card.json").read_bytes() == before


@pytest.mark.parametrize("stops", [[10], [7, 7, 20]], ids=["mid-epoch", "at an epoch's end, at once, last step"])
def test_an_interrupted_run_ends_with_the_same_bits(finished, tmp_path, stops):
    experiment, whole, model, _ = finished
    run = Run.create(tmp_path, "broken", experiment)
    for at in stops:
        with pytest.raises(TrainingInterruptedError, match=f"Stopped after step {at} of 21.*--resume {run.path}"):
            train_once(experiment, run, stop=lambda step, at=at: step == at)
        assert Run.open(run.path).card.status == "interrupted"
        assert Run.open(run.path).card.step == at
    recorder = Recorder()
    resumed = train_once(experiment, run, reporter=recorder)
    assert recorder.counts[0][0] == stops[-1]
    assert not notes(recorder)
    assert same_bits(resumed, model)
    assert rows(run) == rows(whole)
    assert sorted(p.name for p in run.checkpoints.iterdir())[-1] == "step-00000021"


def test_a_signal_during_the_evaluation_repeats_the_evaluation(finished, tmp_path):
    experiment, whole, model, _ = finished

    class Signalling(MemoryDataset):
        def eval_batches(self, *args):
            os.kill(os.getpid(), signal.SIGINT)
            return super().eval_batches(*args)

    run = Run.create(tmp_path, "evaluating", experiment)
    with pytest.raises(TrainingInterruptedError, match="after step 7 of 21"):
        train_once(experiment, run, Signalling())
    assert rows(run) == []
    assert same_bits(train_once(experiment, run), model)
    assert rows(run) == rows(whole)


def test_a_kill_between_checkpoints_repeats_the_lost_epochs_without_doubled_rows(finished, tmp_path):
    experiment, whole, model, _ = finished
    run = Run.create(tmp_path, "killed", experiment)

    class Kill(Exception):  # noqa: N818 - it stands for SIGKILL: nothing in the loop may catch it
        pass

    class Killer(Recorder):
        def line(self, text) -> None:
            if text.startswith("epoch 2/"):
                raise Kill

    sparse = dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, checkpoint_every_epochs=3))
    with pytest.raises(Kill):
        train_once(sparse, run, reporter=Killer())
    assert len(rows(run)) == 2
    assert not run.checkpoints.exists()
    assert same_bits(train_once(sparse, run), model)
    assert rows(run) == rows(whole)


def test_a_loss_that_is_not_finite_names_its_step_and_keeps_the_last_good_checkpoint(tmp_path):
    experiment = tiny_experiment()
    run = Run.create(tmp_path, "bad", experiment)
    with pytest.raises(LarqnetsError, match=r"no longer finite at step 9 \(epoch 2\).*train.learning_rate"):
        train_once(experiment, run, MemoryDataset(bad_step=9))
    assert Run.open(run.path).card.status == "failed"
    assert [p.name for p in run.checkpoints.iterdir()] == ["step-00000007"]


def test_an_interrupt_never_writes_a_checkpoint_of_nan_weights(tmp_path):
    experiment = tiny_experiment()
    run = Run.create(tmp_path, "bad", experiment)
    with pytest.raises(LarqnetsError, match="no longer finite at step 8 "):
        train_once(experiment, run, MemoryDataset(bad_step=8), stop=lambda step: step == 10)
    assert [p.name for p in run.checkpoints.iterdir()] == ["step-00000007"]


def test_resume_refuses_another_config_and_names_the_key(tmp_path):
    experiment = tiny_experiment()
    run = Run.create(tmp_path, "edited", experiment)
    with pytest.raises(TrainingInterruptedError):
        train_once(experiment, run, stop=lambda step: step == 1)
    changed = tiny_experiment(learning_rate=0.02)
    (run.path / "config.toml").write_text(dump_config(changed))
    with pytest.raises(LarqnetsError, match=r"train.learning_rate = 0.02, but the run was started with 0.01"):
        train_once(Run.open(run.path).experiment, run)


def test_resume_tells_about_other_cpus_and_versions(tmp_path):
    experiment = tiny_experiment(epochs=1)
    run = Run.create(tmp_path, "moved", experiment)
    with pytest.raises(TrainingInterruptedError):
        train_once(experiment, run, stop=lambda step: step == 1)
    (folder,) = run.checkpoints.iterdir()
    state = json.loads((folder / "state.json").read_text())
    state["cpu_count"], state["versions"]["tensorflow"] = 64, "2.0.0"
    (folder / "state.json").write_text(json.dumps(state))
    recorder = Recorder()
    train_once(experiment, run, reporter=recorder)
    assert f"tensorflow 2.0.0 -> {tf.__version__}, CPUs 64 ->" in recorder.lines[0]


def test_a_checkpoint_from_before_a_key_existed_had_its_default(tmp_path):
    experiment = tiny_experiment(epochs=1)
    run = Run.create(tmp_path, "old", experiment)
    with pytest.raises(TrainingInterruptedError):
        train_once(experiment, run, stop=lambda step: step == 1)
    (folder,) = run.checkpoints.iterdir()
    state = json.loads((folder / "state.json").read_text())
    del state["config"]["train"]["mixed_precision"], state["data"]
    (folder / "state.json").write_text(json.dumps(state))
    mixed = dataclasses.replace(experiment, train=dataclasses.replace(experiment.train, mixed_precision=True))
    with pytest.raises(LarqnetsError, match=r"train.mixed_precision = True, but the run was started with False"):
        train_once(mixed, run)
    train_once(experiment, run)
    assert Run.open(run.path).card.status == "trained"


def test_mixed_precision_repeats_resumes_and_evaluates_in_float32(finished, tmp_path):
    experiment = tiny_experiment(mixed_precision=True)
    whole = Run.create(tmp_path, "whole", experiment)
    model = train_once(experiment, whole)
    broken = Run.create(tmp_path, "broken", experiment)
    with pytest.raises(TrainingInterruptedError):
        train_once(experiment, broken, stop=lambda step: step == 10)
    assert same_bits(train_once(experiment, broken), model)
    assert rows(broken) == rows(whole)
    assert {weight.dtype for weight in model.weights} == {tf.float32}
    dataset = MemoryDataset()
    logits = load_trained_model(Run.open(whole.path))(dataset.images[70:], training=False)
    loss = tf.keras.losses.sparse_categorical_crossentropy(dataset.labels[70:], logits, from_logits=True)
    assert Run.open(whole.path).card.document["test_loss"] == pytest.approx(float(tf.reduce_mean(loss)), rel=1e-5)


class Loud(Recorder):
    """Says on stderr that a step is done."""

    def count(self, done, total=None, what=""):
        if what != "starting":
            print("step", done, file=sys.stderr, flush=True)


def train_to_its_end(path):
    """In a process of its own: train the run and end as the command line does."""
    run = Run.open(path)
    try:
        with registered():
            train(run.experiment, run, MemoryDataset(), new_model(run.experiment), reporter=Loud())
    except TrainingInterruptedError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_after_a_step_with_a_checkpoint(tmp_path, number):
    run = Run.create(tmp_path, "signalled", tiny_experiment(epochs=100_000))
    process = Forked(cwd=tmp_path, environment=dict(os.environ), prepare=partial(train_to_its_end, run.path))
    until(lambda: "step" in process.err, 120)
    process.send_signal(number)
    done = process.wait(60)
    assert done.code == 1
    assert "larqnets train --resume" in done.err
    card = Run.open(run.path).card.document
    assert card["status"] == "interrupted"
    assert (run.checkpoints / f"step-{card['step']:08d}" / "state.json").is_file()


def test_batches_of_a_resumed_dataset_are_those_of_the_whole_one():
    """The double must keep the data contract, or the resume tests prove nothing."""
    whole = iter(MemoryDataset().train_batches(10, seed=3))
    batches = [next(whole) for _ in range(9)]
    later = next(iter(MemoryDataset().train_batches(10, seed=3, start_step=8)))
    np.testing.assert_array_equal(batches[8]["image"], later["image"])
    assert not np.array_equal(batches[7]["image"], batches[0]["image"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_a_question(number):
    with stop_on_signals() as signalled:
        assert not signalled()
        signal.raise_signal(number)
        assert signalled()


def test_a_hang_up_that_is_ignored_stays_ignored():
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_on_signals() as signalled:
            signal.raise_signal(signal.SIGHUP)
            assert not signalled()
    finally:
        signal.signal(signal.SIGHUP, before)
