"""Training in stages: what each one is, how weights move, one checkpoint sequence that resumes anywhere."""

import csv
import dataclasses
import json

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from recorder import Recorder

from larqnets.config import ModelConfig, StageConfig, dump_config
from larqnets.errors import LarqnetsError
from larqnets.int8_aware import learned_ranges
from larqnets.quantizers import EdeSign, SteSign, StochasticSign
from larqnets.runs.epoch_tables import TIMING_COLUMNS
from larqnets.runs.run import Run
from larqnets.runs.weights import decayed_kernels
from larqnets.training import TrainingInterruptedError, build_model, load_trained_model, train, transfer_weights
from larqnets.training.stages import StageParts, plan_stages

from .test_loop import notes, same_bits
from .tiny import MemoryDataset, tiny_experiment


def stage(name, precision="binary", **changes):
    settings = {"epochs": 1, "batch_size": 10, "learning_rate": 0.01}
    return StageConfig(name=name, precision=precision, **(settings | changes))


STAGES = (
    stage("real", "real", surrogate="tanh", weight_decay=1e-3),
    stage("half", "binary_activations", epochs=2, weight_decay=1e-3),
    stage("binary", optimizer="sgd"),
)
BORDERS = [7, 21]  # steps done when the second and the third stage begin; 28 in all


def staged(*stages, **changes):
    return dataclasses.replace(tiny_experiment(), stages=stages or STAGES, **changes)


def train_once(experiment, run, dataset=None, **options):
    """Train in the folder as a new process would: fresh model of the first stage, run opened from disk."""
    dataset = dataset or MemoryDataset()
    model = build_model(experiment, dataset.info.image_shape, 3)
    return train(experiment, Run.open(run.path), dataset, model, **options)


def stopped_at(step, experiment, run):
    with pytest.raises(TrainingInterruptedError):
        train_once(experiment, run, stop=lambda done: done == step)
    return Run.open(run.path)


def rows(run):
    with run.metrics.open(newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMING_COLUMNS} for row in csv.DictReader(file)]


def timeless(card):
    """The card without what two runs of the same experiment may differ in."""
    stages = [{k: v for k, v in entry.items() if k != "seconds"} for entry in card["stages"]]
    return {k: v for k, v in card.items() if k not in ("name", "seconds")} | {"stages": stages}


def kernels(model):
    return {w.name: w.numpy() for w in model.trainable_weights if w.name.endswith("kernel:0")}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One uninterrupted run through all three precisions."""
    run = Run.create(tmp_path_factory.mktemp("runs"), "whole", staged())
    recorder = Recorder()
    model = train_once(staged(), run, reporter=recorder)
    return Run.open(run.path), model, recorder


def test_a_run_in_stages_learns_and_its_card_and_metrics_name_the_stages(finished):
    run, model, recorder = finished
    assert (run.card.status, run.card.epochs_done, run.card.step) == ("trained", 4, 28)
    assert run.card.test_accuracy > 0.5
    shown = [(s["name"], s["precision"], s["epochs_done"]) for s in run.card.document["stages"]]
    assert shown == [("real", "real", 1), ("half", "binary_activations", 2), ("binary", "binary", 1)]
    assert sum(s["seconds"] for s in run.card.document["stages"]) == pytest.approx(run.card.seconds, abs=1)
    assert run.card.document["stages"][-1]["test_accuracy"] == run.card.test_accuracy
    assert [row["stage"] for row in rows(run)] == ["real", "half", "half", "binary"]
    assert [row["epoch"] for row in rows(run)] == ["1", "2", "3", "4"]
    assert notes(recorder)[0] == "Stage 1 of 3, real: real."
    assert len(notes(recorder)) == 3
    assert same_bits(load_trained_model(run), model)
    assert isinstance(model.get_layer("stage1_block1_conv1").kernel_quantizer, lq.quantizers.Quantizer)


@pytest.mark.parametrize("stops", [[3, 9, 23], [2, 7, 14, 21, 21]], ids=lambda stops: "-".join(map(str, stops)))
def test_a_run_interrupted_in_any_stage_or_between_two_ends_with_the_same_bits(finished, tmp_path, stops):
    whole, model, _ = finished
    run = Run.create(tmp_path, "broken", staged())
    for step in stops:
        assert stopped_at(step, staged(), run).card.step == step
    assert same_bits(train_once(staged(), run), model)
    assert rows(run) == rows(whole)
    assert timeless(Run.open(run.path).card.document) == timeless(whole.card.document)


INT8 = (stage("binary"), stage("int8", int8_rest=True, epochs=2, weight_decay=1e-3))


def test_a_stage_with_an_int8_rest_ends_as_a_network_with_a_float_rest_that_tells_its_ranges(tmp_path):
    whole, broken = (Run.create(tmp_path, name, staged(*INT8)) for name in ("whole", "broken"))
    recorder = Recorder()
    model = train_once(staged(*INT8), whole, reporter=recorder)
    assert notes(recorder)[1] == "Stage 2 of 2, int8: binary, its real-valued rest as int8."
    assert type(model.get_layer("stem_conv")) is tf.keras.layers.Conv2D
    ranges = learned_ranges(model)
    assert {"stem_conv", "classifier"} < ranges.keys()
    loaded = load_trained_model(Run.open(whole.path))
    assert same_bits(loaded, model)
    assert learned_ranges(loaded) == ranges
    for step in (7, 12):
        stopped_at(step, staged(*INT8), broken)
    resumed = train_once(staged(*INT8), broken)
    assert same_bits(resumed, model)
    assert learned_ranges(resumed) == ranges


def test_a_finished_run_is_made_finer_with_an_int8_rest(finished, tmp_path):
    """All weights are taken; ranges are none of them, since no other network has any."""
    before, model, _ = finished
    experiment = staged(stage("int8", int8_rest=True))
    parts = StageParts(experiment, MemoryDataset())
    parts.begin(str(before.path))
    assert parts.transfer is not None
    assert (parts.transfer.new, parts.transfer.unused) == ({}, ())
    assert len(parts.transfer.taken) == len(model.weights)
    run = Run.create(tmp_path, "finer", experiment)
    assert learned_ranges(train(experiment, run, MemoryDataset(), parts=parts)).keys() >= {"stem_conv", "classifier"}
    (result,) = Run.open(run.path).card.stages
    assert result.int8_rest


def test_a_stage_after_one_with_an_int8_rest_lets_go_of_its_ranges(tmp_path):
    stages = staged(stage("int8", int8_rest=True), stage("binary"))
    model = train_once(stages, Run.create(tmp_path, "run", stages))
    assert learned_ranges(model) == {}


@pytest.mark.parametrize("precision", ["real", "binary_activations"])
def test_an_int8_rest_beside_what_is_not_binary_yet_is_refused(precision):
    with pytest.raises(LarqnetsError, match=f"'early' has int8_rest, .* precision = '{precision}'"):
        staged(stage("early", precision, int8_rest=True))


def test_a_kill_at_the_border_repeats_the_transfer(finished, tmp_path):
    """Killed after the last checkpoint of a stage and before the first of the next."""
    whole, model, _ = finished

    class Kill(Exception):  # noqa: N818 - it stands for SIGKILL: nothing in the loop may catch it
        pass

    class Killer(Recorder):
        def line(self, text) -> None:
            if text.startswith("Stage 2"):
                raise Kill

    run = Run.create(tmp_path, "killed", staged())
    with pytest.raises(Kill):
        train_once(staged(), run, reporter=Killer())
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-00000007"]
    assert same_bits(train_once(staged(), run), model)
    assert rows(run) == rows(whole)


@pytest.mark.parametrize("index", [1, 2])
def test_a_stage_begins_with_the_kernels_of_the_one_before_bit_for_bit(tmp_path, index):
    before = Run.create(tmp_path, "before", staged(*STAGES[:index]))
    trained = train_once(staged(*STAGES[:index]), before)
    run = Run.create(tmp_path, "border", staged())
    begun = load_trained_model(stopped_at(BORDERS[index - 1], staged(), run))
    assert begun.get_layer("stage1_block1_conv1").kernel_quantizer is None or index == 2
    assert len(kernels(trained)) == 6  # stem, three of the blocks, a shortcut, the classifier
    for name, kernel in kernels(trained).items():
        assert kernel.tobytes() == kernels(begun)[name].tobytes(), name
    assert same_bits(trained, begun)  # BatchNorm and all else too


@pytest.mark.parametrize("method", ["irnet", "sdbnn"])
def test_weights_of_the_signs_themselves_begin_fresh_in_a_stage_and_resume(tmp_path, method):
    """The progress of EDE and SD-BNN's alpha exist only where there is a sign; a run stopped there ends the same."""
    experiment = staged(*STAGES[1:], model=ModelConfig(method, "resnet5", width=0.5))
    whole = train_once(experiment, Run.create(tmp_path, "whole", experiment))
    sign = whole.get_layer("stage1_block1_conv1").kernel_quantizer
    assert len(sign.weights) == (1 if method == "irnet" else 2)
    if method == "sdbnn":
        assert np.any(sign.alpha.numpy() != 0)
    run = Run.create(tmp_path, "broken", experiment)
    for step in (9, 17):
        stopped_at(step, experiment, run)
    assert same_bits(train_once(experiment, run), whole)


def test_every_stage_trains_on_another_part_of_the_same_data_order():
    asked = []

    class Asked(MemoryDataset):
        def train_batches(self, batch_size, seed, start_step=0, **options):
            asked.append((batch_size, seed, start_step))
            return super().train_batches(batch_size, seed, start_step, **options)

    experiment = staged(stage("a"), stage("b", batch_size=35), stage("c", batch_size=10))
    first, second, third = plan_stages(experiment, Asked())
    assert [s.first_step for s in (first, second, third)] == [0, 7, 9]
    assert [s.data_step(s.first_step) for s in (first, second, third)] == [0, 2, 14]  # each an epoch of its own
    assert plan_stages(staged(), Asked())[2].data_step(23) == 23


def test_an_experiment_without_stages_is_one_stage():
    (only,) = plan_stages(tiny_experiment(), MemoryDataset())
    assert (only.config.name, only.config.precision, only.last_step) == ("train", "binary", 21)
    assert vars(only.config) | vars(tiny_experiment().train) == vars(only.config)


def test_weight_decay_covers_the_kernels_that_are_binary_later_only_while_they_are_real():
    decayed = {}
    for config in STAGES:
        model = build_model(staged(), (6, 6, 1), 3, config)
        decayed[config.name] = {weight.name for weight in decayed_kernels(model)}
        everything = set(kernels(model))
    latents = {name for name in everything if "_conv" in name and "projection" not in name and "stem" not in name}
    assert len(latents) == 3
    assert decayed["real"] == decayed["half"] == everything
    assert decayed["binary"] == everything - latents


def gated(precision="binary"):
    """A network with the learned scalars of the papers around a binary convolution: slope, gate, threshold, BatchNorm."""

    class Gate(tf.keras.layers.Layer):
        def build(self, shape):
            self.gate = self.add_weight("gate", shape=())
            self.threshold = self.add_weight("threshold", shape=shape[-1:])

        def call(self, x):
            return self.gate * x + self.threshold

    image = tf.keras.Input((4, 4, 1))
    x = Gate(name="gate")(image)
    quantizers = {"input_quantizer": SteSign(), "kernel_quantizer": SteSign() if precision == "binary" else None}
    x = lq.layers.QuantConv2D(3, 1, **quantizers, kernel_constraint="weight_clip", name="binary")(x)
    x = tf.keras.layers.PReLU(name="prelu")(tf.keras.layers.BatchNormalization(name="bn")(x))
    return tf.keras.Model(image, x)


@pytest.mark.parametrize(("precision", "expected"), [("binary", set()), ("binary_activations", {"binary/kernel:0"})])
def test_weight_decay_never_touches_gates_thresholds_slopes_batchnorm_or_biases(precision, expected):
    assert {weight.name for weight in decayed_kernels(gated(precision))} == expected


def with_signs(input_sign, kernel_sign):
    image = tf.keras.Input((4, 4, 2))
    layer = lq.layers.QuantConv2D(
        3,
        1,
        input_quantizer=input_sign,
        kernel_quantizer=kernel_sign,
        kernel_constraint=kernel_sign and "weight_clip",
        name="binary",
    )
    return tf.keras.Model(image, layer(image))


def test_what_a_sign_owns_needs_no_partner_where_the_other_stage_has_no_sign_there():
    source, target = with_signs("ste_tern", None), with_signs(EdeSign(), StochasticSign())
    fresh = transfer_weights(source, target)
    assert fresh == ["binary/input_quantizer/progress:0", "binary/kernel_quantizer/draws:0"]
    np.testing.assert_array_equal(target.get_layer("binary").kernel.latent_variable, source.get_layer("binary").kernel)
    assert transfer_weights(target, source) == []


def test_what_a_sign_owns_moves_to_the_same_sign_whatever_its_number():
    source, target = with_signs(EdeSign(name="one"), EdeSign(name="two")), with_signs(EdeSign(name="three"), None)
    source.get_layer("binary").input_quantizer.progress.assign(0.5)
    source.get_layer("binary").kernel_quantizer.progress.assign(0.25)
    assert transfer_weights(source, target) == []
    assert float(target.get_layer("binary").input_quantizer.progress) == 0.5


def test_a_weight_that_no_sign_owns_is_named_when_it_has_no_partner():
    image = tf.keras.Input((4, 4, 2))
    renamed = tf.keras.Model(image, lq.layers.QuantConv2D(3, 1, input_quantizer=EdeSign(), name="other")(image))
    with pytest.raises(LarqnetsError, match=r"binary/bias:0, binary/kernel:0.* only in the source and other/"):
        transfer_weights(with_signs("ste_tern", None), renamed)


@pytest.mark.parametrize("precision", ["binary_activations", "binary"])
@pytest.mark.parametrize(("over", "expected"), [("stage", 6 / 7), ("run", 13 / 14)])
def test_a_sharpening_estimator_counts_over_its_stage_or_over_the_run(tmp_path, monkeypatch, precision, over, expected):
    import larqnets.methods.birealnet as method

    monkeypatch.setattr(method, "ApproxSign", EdeSign)
    experiment = staged(STAGES[0], stage("second", precision, progress=over))
    recorder = Recorder()
    model = train_once(experiment, Run.create(tmp_path, over, experiment), reporter=recorder)
    progress = [float(w) for w in model.weights if w.name.endswith("progress:0")]
    assert progress == [pytest.approx(expected)] * 3
    assert "State of roundings that starts anew: stage1_block1_conv1/input_quantizer/progress:0, " in notes(recorder)[1]


@pytest.mark.parametrize(
    ("method", "precision", "sentence"),
    [
        ("real", "real", "Stage 'first': Method 'real' has no binary weights"),
        ("real", "binary_activations", "no binary activations and no binary weights"),
    ],
)
def test_a_precision_without_meaning_is_refused_before_anything_is_trained(method, precision, sentence):
    model = ModelConfig(method, "resnet5", width=0.5)
    with pytest.raises(LarqnetsError, match=sentence):
        StageParts(staged(stage("first", precision), model=model), MemoryDataset()).make_all()


def test_the_schedule_of_every_stage_is_checked():
    with pytest.raises(LarqnetsError, match=r"step schedule needs train\.step_epochs .* between 0 and the 1 epochs"):
        StageParts(staged(stage("a"), stage("b", schedule="step", step_epochs=(3.0,))), MemoryDataset())


def test_resume_refuses_another_stage_and_names_the_key(tmp_path):
    run = Run.create(tmp_path, "edited", staged())
    stopped_at(1, staged(), run)
    changed = staged(*STAGES[:2], stage("binary", learning_rate=0.5))
    (run.path / "config.toml").write_text(dump_config(changed))
    with pytest.raises(LarqnetsError, match=r"stages\.2\.learning_rate = 0\.5, but the run was started with 0\.01"):
        train_once(Run.open(run.path).experiment, run)


def test_a_checkpoint_of_a_version_without_stages_goes_on(tmp_path):
    experiment = tiny_experiment()
    whole = train_once(experiment, Run.create(tmp_path, "whole", experiment))
    run = Run.create(tmp_path, "old", experiment)
    stopped_at(9, experiment, run)
    for path in run.checkpoints.glob("*/state.json"):
        state = json.loads(path.read_text())
        for key in ("stage", "teacher"):
            del state[key]
        del state["config"]["stages"], state["config"]["train"]["teacher"], state["rows"][0]["stage"]
        path.write_text(json.dumps(state))
    assert same_bits(train_once(experiment, run), whole)
    assert [row["stage"] for row in rows(run)] == ["train"] * 3
