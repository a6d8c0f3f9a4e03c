"""A start from another network: what is taken, what is new and why, and what a body may learn from then on."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from larqnets.config import StageConfig, TaskConfig, TrainConfig
from larqnets.errors import LarqnetsError
from larqnets.runs.longer import added_stage
from larqnets.runs.run import Run
from larqnets.runs.transfer import start_from
from larqnets.runs.weights import build_model, named_weights
from larqnets.training import TrainingInterruptedError, load_trained_model, train
from larqnets.training.optimizers import Optimizers, make_optimizer
from larqnets.training.stages import StageParts, head_weights

from .test_choosing import Validated, chosen, rows, score
from .test_loop import same_bits
from .tiny import Info, MemoryDataset, tiny_experiment

LABELS = Info.labels
TASK = TaskConfig()


@pytest.fixture(scope="module")
def origin(tmp_path_factory) -> Run:
    """A trained run of three classes."""
    experiment = tiny_experiment(epochs=1)
    run = Run.create(tmp_path_factory.mktemp("origin"), "origin", experiment)
    train(experiment, run, MemoryDataset())
    return Run.open(run.path)


def fresh(shape=(6, 6, 1), classes=3, **model) -> tf.keras.Model:
    experiment = tiny_experiment()
    experiment = dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, **model), seed=11)
    return build_model(experiment, shape, classes)


def taken_values(model, names):
    weights = {name.removesuffix(":0"): weight for name, weight in named_weights(model).items()}
    return {name: weights[name].numpy() for name in names}


def test_the_same_classes_and_task_take_every_weight(origin):
    model = fresh()
    transfer = start_from(str(origin.path), model, LABELS, TASK)
    assert same_bits(model, load_trained_model(origin))
    assert (transfer.new, transfer.unused) == ({}, ())
    assert transfer.lines() == [f"All {len(model.weights)} weights are taken from there."]


@pytest.mark.parametrize(
    ("classes", "labels", "shape"),
    [(3, ("c", "b", "a"), (6, 6, 1)), (3, LABELS, (9, 12, 1)), (5, tuple("abcde"), (10, 10, 1))],
    ids=["order", "size", "more"],
)
def test_a_body_is_taken_for_other_classes_and_another_size(origin, classes, labels, shape):
    model, source = fresh(shape, classes), load_trained_model(origin)
    before = taken_values(model, ["classifier/kernel", "classifier/bias"])
    transfer = start_from(str(origin.path), model, labels, TASK)
    expected = {name.removesuffix(":0"): weight.numpy() for name, weight in named_weights(source).items()}
    for name, value in taken_values(model, transfer.taken).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    heads = {name for name in expected if name.startswith("classifier/")}
    if labels == LABELS:
        assert not transfer.new
        return
    assert set(transfer.taken) == expected.keys() - heads
    assert transfer.new == dict.fromkeys(sorted(heads, reverse=True), "the head is new, for other classes")
    for name, value in taken_values(model, before).items():
        np.testing.assert_array_equal(value, before[name])
    assert transfer.lines()[1] == "Not taken: classifier/kernel, classifier/bias (the head is new, for other classes)."


def test_a_weight_of_another_shape_begins_anew_and_says_both_shapes(origin):
    model = fresh((6, 6, 3))
    kernel = model.get_layer("stem_conv").kernel.numpy()
    transfer = start_from(str(origin.path), model, LABELS, TASK)
    assert transfer.new == {"stem_conv/kernel": "(3, 3, 1, 4) there and (3, 3, 3, 4) here"}
    np.testing.assert_array_equal(model.get_layer("stem_conv").kernel.numpy(), kernel)
    assert transfer.lines()[1:] == ["Not taken: stem_conv/kernel is (3, 3, 1, 4) there and (3, 3, 3, 4) here."]


def test_another_method_takes_what_is_called_alike(origin):
    """The rest is told from both sides: what begins anew here, and what has no place."""
    model = fresh(method="reactnet")
    transfer = start_from(str(origin.path), model, LABELS, TASK)
    theirs = {name.removesuffix(":0") for name in named_weights(load_trained_model(origin))}
    mine = {name.removesuffix(":0") for name in named_weights(model)}
    assert {*transfer.taken} | transfer.new.keys() == mine
    assert theirs - mine == {*transfer.unused}
    assert mine - theirs == {name for name, why in transfer.new.items() if "of another name" in why}


def test_nothing_taken_is_an_error_and_the_model_is_as_it_was(origin, tmp_path):
    wide = fresh(width=1.0)
    before = wide.get_weights()
    with pytest.raises(
        LarqnetsError, match=r"Nothing of .* can be taken: stem_conv/kernel is \(3, 3, 1, 4\) there and"
    ):
        start_from(str(origin.path), wide, LABELS, TASK)
    np.savez(tmp_path / "w.npz", **{"layer1.conv.weight": np.zeros((3, 3)), "fc.weight": np.zeros(2)})
    with pytest.raises(
        LarqnetsError, match=r"called fc.weight, layer1.conv.weight, and the network's stem_conv/kernel,"
    ):
        start_from(str(tmp_path / "w.npz"), wide, LABELS, TASK)
    assert all((a == b).all() for a, b in zip(before, wide.get_weights(), strict=True))


@pytest.mark.parametrize("suffix", [".h5", ".keras", ".npz"])
def test_files_give_a_body_and_nobody_knows_their_head(tmp_path, suffix):
    source, model, path = fresh(method="real"), fresh(method="real", classes=3), tmp_path / f"w{suffix}"
    random = np.random.default_rng(0)
    source.set_weights([random.normal(size=w.shape) for w in source.get_weights()])
    if suffix == ".npz":
        from post_training.small_networks import torch_arrays

        np.savez(path, **torch_arrays(source), **{"stem_bn.num_batches_tracked": np.array(3)})
    else:
        source.save(path)
    transfer = start_from(str(path), model, LABELS, TASK)
    assert set(transfer.new) == {"classifier/kernel", "classifier/bias"}
    assert set(transfer.new.values()) == {"the head is new, for nobody says what the other one tells apart"}
    assert transfer.unused == ()
    for mine, theirs in zip(model.layers, source.layers, strict=True):
        for a, b in zip(mine.get_weights(), theirs.get_weights(), strict=True):
            assert (a == b).all() == (mine.name != "classifier")


def begun(experiment, folder, name, origin, labels=LABELS):
    """A run that begins with what it takes of another one, as `launch` makes it."""
    dataset = MemoryDataset()
    dataset.info = dataclasses.replace(Info(), labels=labels)
    parts = StageParts(experiment, dataset)
    parts.begin(str(origin.path))
    run = Run.create(folder, name, experiment)
    run.update_card(init_from=str(origin.path), transfer=dataclasses.asdict(parts.transfer))
    return run, parts, dataset


def weights_of(model, part):
    return {name: weight.numpy() for name, weight in named_weights(model).items() if part in name}


@pytest.mark.parametrize("labels", [LABELS, ("c", "b", "a")], ids=["same", "other"])
def test_a_frozen_body_keeps_every_bit_also_of_its_statistics_and_the_head_learns(origin, tmp_path, labels):
    experiment = tiny_experiment(epochs=1, freeze=True, weight_decay_on="all", weight_decay=0.1)
    run, parts, dataset = begun(experiment, tmp_path, "frozen", origin, labels)
    model, source = train(experiment, run, dataset, parts=parts), load_trained_model(origin)
    moved = {
        name
        for name, value in weights_of(model, "").items()
        if not name.endswith("progress:0") and (value != weights_of(source, "")[name]).any()
    }
    assert moved == {"classifier/kernel:0", "classifier/bias:0"}
    assert same_bits(load_trained_model(Run.open(run.path)), model)


def test_a_layer_that_was_not_taken_learns_beside_a_frozen_body(origin, tmp_path):
    experiment = tiny_experiment(epochs=1, freeze=True)
    model = fresh((6, 6, 3))
    transfer = start_from(str(origin.path), model, LABELS, TASK)
    (stage,) = StageParts(experiment, MemoryDataset()).stages
    StageParts(experiment, MemoryDataset(), model, transfer).hold(stage, model)
    assert [weight.name.split("/")[0] for weight in model.trainable_weights] == ["stem_conv", *["classifier"] * 2]


@pytest.mark.parametrize("settings", [{"optimizer": "adam"}, {"optimizer": "sgd", "nesterov": True}], ids=str)
def test_two_optimizers_are_those_of_keras_at_two_rates(settings):
    config = TrainConfig(epochs=1, body_rate=0.25, **settings)
    ours, theirs = ([tf.Variable([1.0, -2.0, i]) for i in range(3)] for _ in range(2))
    optimizers = Optimizers(config, ours, ours[1:2])
    alone = [make_optimizer(config) for _ in theirs]
    for rate in (0.1, 0.05):
        optimizers.set_rate(rate)
        optimizers.apply([tf.constant(w) for w in ours], ours)
        for i, (optimizer, weight) in enumerate(zip(alone, theirs, strict=True)):
            optimizer.learning_rate.assign(rate / 4 if i == 1 else rate)
            optimizer.apply_gradients([(tf.constant(weight), weight)])
    for mine, due in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, due, rtol=1e-6)
    assert int(optimizers.steps) == 2
    assert sorted(optimizers.tracked) == ["body_optimizer", "optimizer"]
    assert sorted(Optimizers(config, ours).tracked) == ["optimizer"]


@pytest.mark.parametrize(("body", "rates"), [(1.0, (1, 1, 10)), (0.25, (1, 0.25, 10))])
def test_a_head_has_a_rate_of_its_own_beside_that_of_the_body(body, rates):
    config = TrainConfig(epochs=1, body_rate=body, head_rate=10.0, optimizer="sgd", momentum=0.0)
    weights = [tf.Variable([1.0, -2.0]) for _ in range(3)]
    optimizers = Optimizers(config, weights, weights[1:2], weights[2:])
    optimizers.set_rate(0.01)
    optimizers.apply([tf.constant([1.0, 2.0])] * 3, weights)
    for weight, rate in zip(weights, rates, strict=True):
        np.testing.assert_allclose(weight, [1 - 0.01 * rate, -2 - 0.02 * rate], rtol=1e-6)
    due = {"optimizer", "head_optimizer"} | ({"body_optimizer"} if body != 1 else set())
    assert set(optimizers.tracked) == due


def test_the_head_is_what_follows_the_last_stage():
    model = fresh((6, 6, 1))
    found = head_weights(StageConfig(epochs=1, name="train", head_rate=10.0), model)
    assert [weight.name for weight in found] == ["classifier/kernel:0", "classifier/bias:0"]
    assert head_weights(StageConfig(epochs=1, name="train"), model) == []


def test_a_body_learns_at_its_share_of_the_rate(origin, tmp_path):
    """The first step of SGD is proportional to the rate."""
    moved, before = {}, load_trained_model(origin)
    for rate in (1.0, 0.25):
        settings = {"optimizer": "sgd", "warmup_epochs": 0, "weight_decay": 0, "learning_rate": 0.01}
        experiment = tiny_experiment(epochs=1, body_rate=rate, **settings)
        run, parts, dataset = begun(experiment, tmp_path, f"at{rate}", origin)
        with pytest.raises(TrainingInterruptedError):
            train(experiment, run, dataset, parts=parts, stop=lambda step: step == 1)
        model = load_trained_model(run)
        moved[rate] = {w.name: w.numpy() - b.numpy() for w, b in zip(model.weights, before.weights, strict=True)}
    for weight in model.trainable_weights:
        share = 1 if weight.name.startswith("classifier/") else 0.25
        expected = share * moved[1.0][weight.name]
        np.testing.assert_allclose(moved[0.25][weight.name], expected, rtol=1e-3, atol=2e-7, err_msg=weight.name)
        assert expected.any()


STAGED = (
    StageConfig(epochs=1, batch_size=10, name="head", freeze=True, learning_rate=0.02),
    StageConfig(epochs=1, batch_size=10, name="all", body_rate=0.1, learning_rate=0.01, optimizer="sgd"),
)


def test_a_taught_run_in_stages_with_a_held_body_resumes_with_the_same_bits(origin, tmp_path):
    stages = tuple(dataclasses.replace(stage, teacher=str(origin.path)) for stage in STAGED)
    experiment = dataclasses.replace(tiny_experiment(), stages=stages)
    run, parts, dataset = begun(experiment, tmp_path, "whole", origin)
    whole = train(experiment, run, dataset, parts=parts)
    run, parts, dataset = begun(experiment, tmp_path, "halved", origin)
    with pytest.raises(TrainingInterruptedError):  # in the first stage
        train(experiment, run, dataset, parts=parts, stop=lambda step: step == 3)
    with pytest.raises(TrainingInterruptedError):  # in the second
        train(experiment, Run.open(run.path), dataset, stop=lambda step: step == 9)
    assert same_bits(train(experiment, Run.open(run.path), dataset), whole)


@pytest.fixture
def held(origin, tmp_path):
    """Begin a run with a frozen body whose best epoch is kept, by validation images and for classes of its own."""

    def begin(name):
        experiment, dataset = chosen(freeze=True, epochs=3), Validated()
        dataset.info = dataclasses.replace(Info(), labels=("c", "b", "a"))
        parts = StageParts(experiment, dataset)
        parts.begin(str(origin.path))
        run = Run.create(tmp_path, name, experiment)
        run.update_card(init_from=str(origin.path), transfer=dataclasses.asdict(parts.transfer))
        return run, parts, dataset

    return begin


def made_longer(run):
    again = Run.open(run.path)
    again.lengthen(added_stage(again, 5))
    return again


def test_the_best_epoch_of_a_frozen_body_is_kept_and_stays_so_when_the_run_is_made_longer(origin, held, tmp_path):
    run, parts, dataset = held("whole")
    models = [train(run.experiment, run, dataset, parts=parts)]
    run = made_longer(run)
    models.append(train(run.experiment, run, dataset))
    source = weights_of(load_trained_model(origin), "")
    for model in models:
        moved = {n for n, v in weights_of(model, "").items() if "progress" not in n and (v != source[n]).any()}
        assert moved == {"classifier/kernel:0", "classifier/bias:0"}
    card = Run.open(run.path).card
    validated = [float(row["validation_accuracy"]) for row in rows(run)]
    assert len(validated) == 5
    assert card.chosen.epoch == validated.index(max(validated)) + 1
    assert card.validation_score == pytest.approx(max(validated)) == pytest.approx(score(models[1], "validation"))
    assert card.score == pytest.approx(score(models[1], "test"))

    broken, parts, dataset = held("broken")
    with pytest.raises(TrainingInterruptedError):
        train(broken.experiment, broken, dataset, parts=parts, stop=lambda step: step == 9)
    train(broken.experiment, Run.open(broken.path), dataset)
    longer = made_longer(broken)
    with pytest.raises(TrainingInterruptedError):
        train(longer.experiment, longer, dataset, stop=lambda step: step == 24)
    assert same_bits(train(longer.experiment, Run.open(broken.path), dataset), models[1])
    assert rows(broken) == rows(run)


@pytest.mark.parametrize("body", [1.0, 0.5])
def test_long_gradients_are_shortened_all_together(body):
    """|g| = 13 of both weights: to 6.5 both are halved, and 20 changes nothing."""
    for longest, share in ((6.5, 0.5), (20.0, 1.0), (0.0, 1.0)):
        config = TrainConfig(epochs=1, optimizer="sgd", momentum=0.0, clip_norm=longest, body_rate=body)
        weights = [tf.Variable([1.0, 1.0]), tf.Variable([1.0])]
        optimizers = Optimizers(config, weights, weights[1:])
        optimizers.set_rate(0.1)
        optimizers.apply([tf.constant([3.0, 4.0]), tf.constant([12.0])], weights)
        np.testing.assert_allclose(weights[0], [1 - 0.3 * share, 1 - 0.4 * share], rtol=1e-6)
        np.testing.assert_allclose(weights[1], [1 - 1.2 * share * body], rtol=1e-6)
