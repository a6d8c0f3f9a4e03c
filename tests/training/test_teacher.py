"""Distillation: who may teach, what a teacher says to an image, and that a run under one resumes exactly."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from larqnets.config import ModelConfig, StageConfig
from larqnets.errors import LarqnetsError
from larqnets.losses import cross_entropy, distribution_loss
from larqnets.runs.run import Run
from larqnets.tasks import get_task, only
from larqnets.training import TrainingInterruptedError, build_model, load_trained_model, train
from larqnets.training.optimizers import Optimizers
from larqnets.training.stages import StageParts
from larqnets.training.step import EpochTotals, make_train_step
from larqnets.training.teacher import load_teacher

from .test_choosing import Validated, chosen, rows, score
from .test_loop import same_bits
from .tiny import Info, MemoryDataset, tiny_experiment


def stage(teacher, **changes):
    settings = {"epochs": 2, "batch_size": 10, "learning_rate": 0.01, "teacher": str(teacher), "name": "taught"}
    return StageConfig(**(settings | changes))


def run_of(folder, experiment, **options):
    run = Run.create(folder, "run", experiment)
    model = build_model(experiment, MemoryDataset.info.image_shape, 3)
    return run, train(experiment, Run.open(run.path), MemoryDataset(), model, **options)


def again(experiment, run, **options):
    model = build_model(experiment, MemoryDataset.info.image_shape, 3)
    return train(experiment, Run.open(run.path), MemoryDataset(), model, **options)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A trained real-valued run."""
    experiment = dataclasses.replace(tiny_experiment(), model=ModelConfig("real", "resnet5", width=0.5))
    run, _ = run_of(tmp_path_factory.mktemp("teacher"), experiment)
    return Run.open(run.path)


def test_a_teacher_answers_as_its_run_does_and_never_changes(real):
    teacher = load_teacher(stage(real.path), Info())
    images = MemoryDataset().images[:5]
    before = teacher.fingerprint()
    with tf.GradientTape() as tape:
        answers = teacher(tf.constant(images))
    answers = only(answers)
    np.testing.assert_array_equal(answers, load_trained_model(real)(images, training=False))
    assert tape.gradient(answers, teacher.model.trainable_weights) == [None] * len(teacher.model.trainable_weights)
    assert teacher.fingerprint() == before
    assert load_teacher(stage(""), Info()) is None


@pytest.mark.parametrize("hard", [0.0, 0.25])
def test_the_loss_is_the_mix_of_the_labels_and_the_teachers_answers(real, hard):
    config = stage(real.path, hard_label_weight=hard, teacher_temperature=2.0, optimizer="sgd")
    teacher, totals = load_teacher(config, Info()), EpochTotals(get_task().metric(Info()))
    model = build_model(tiny_experiment(), (6, 6, 1), 3)
    images, labels = tf.constant(MemoryDataset().images[:8]), tf.constant(MemoryDataset().labels[:8])
    logits = model(images, training=True)
    soft = tf.reduce_mean(distribution_loss(logits, only(teacher(images)), 2.0))
    expected = hard * tf.reduce_mean(cross_entropy(logits, labels)) + (1 - hard) * soft
    optimizers = Optimizers(config, model.trainable_weights)
    step = make_train_step(model, optimizers, totals, get_task(), Info(), config, 7, teacher=teacher)
    step(iter(tf.data.Dataset.from_tensors({"image": images, "label": labels})))
    assert totals.means()[0] == pytest.approx(float(expected), rel=1e-5)


def test_a_taught_run_resumes_with_the_same_bits_and_holds_no_teacher(real, tmp_path):
    experiment = dataclasses.replace(tiny_experiment(), stages=(stage(real.path),))
    whole, model = run_of(tmp_path / "a", experiment)
    run = Run.create(tmp_path / "b", "run", experiment)
    with pytest.raises(TrainingInterruptedError):
        again(experiment, run, stop=lambda step: step == 9)
    assert same_bits(again(experiment, run), model)
    assert Run.open(whole.path).card.document["stages"][0]["teacher"] == str(real.path)
    assert Run.open(whole.path).card.test_accuracy > 0.5
    stored = [name for name, _ in tf.train.list_variables(str(whole.checkpoints / "step-00000014" / "weights"))]
    assert {name.split("/")[0] for name in stored} <= {
        *("model", "optimizer", "totals"),
        "_CHECKPOINTABLE_OBJECT_GRAPH",
    }
    assert sum(name.startswith("model/") and "OPTIMIZER" not in name for name in stored) == len(model.weights)


def test_a_taught_run_chooses_on_the_true_labels_of_validation_images_and_resumes(real, tmp_path):
    experiment = chosen(epochs=3, teacher=str(real.path), learning_rate=0.05)
    whole, broken = (Run.create(tmp_path, name, experiment) for name in ("whole", "broken"))
    dataset = Validated()
    model = train(experiment, whole, dataset)
    assert dataset.measured == ["validation"] * 3 + ["test"]
    card = Run.open(whole.path).card
    best = max(float(row["validation_accuracy"]) for row in rows(whole))
    assert card.validation_score == pytest.approx(best) == pytest.approx(score(model, "validation"))
    assert card.score == pytest.approx(score(model, "test"))
    with pytest.raises(TrainingInterruptedError):
        train(experiment, broken, Validated(), stop=lambda step: step == 9)
    assert same_bits(train(experiment, Run.open(broken.path), Validated()), model)
    assert rows(broken) == rows(whole)


def test_a_run_does_not_go_on_under_another_teacher(real, tmp_path):
    shadow = tmp_path / "teacher"
    experiment = dataclasses.replace(tiny_experiment(), stages=(stage(shadow),))
    other = dataclasses.replace(real.experiment, seed=8)
    again(other, Run.create(tmp_path, "other", other))
    shadow.symlink_to(real.path)
    run = Run.create(tmp_path, "run", experiment)
    with pytest.raises(TrainingInterruptedError):
        again(experiment, run, stop=lambda step: step == 3)
    shadow.unlink()
    shadow.symlink_to(tmp_path / "other")
    with pytest.raises(LarqnetsError, match=r"The teacher has other weights than when step-00000003 was written"):
        again(experiment, run)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": ("a", "b")}, r"another classes: \(a, b, c\), not \(a, b\)"),
        ({"image_shape": (8, 8, 1)}, r"another image shape: \(6, 6, 1\), not \(8, 8, 1\)"),
    ],
)
def test_a_teacher_of_other_images_is_refused(real, change, sentence):
    with pytest.raises(LarqnetsError, match=sentence):
        load_teacher(stage(real.path), dataclasses.replace(Info(), **change))


def test_a_teacher_keeps_the_normalisation_that_it_was_trained_with(real):
    """The same pixels, normalised as the student takes them: the answers are those to the teacher's own images."""
    ours = dataclasses.replace(Info(), mean=(0.3,), std=(0.45,))
    images = MemoryDataset().images[:5]
    pixels = images * np.float32(Info().std) + np.float32(Info().mean)
    teacher = load_teacher(stage(real.path), ours)
    answers = only(teacher(tf.constant((pixels - np.float32(0.3)) / np.float32(0.45))))
    np.testing.assert_allclose(answers, load_trained_model(real)(images, training=False), rtol=1e-4, atol=1e-5)
    own = only(load_teacher(stage(real.path), Info())(tf.constant(images)))
    assert not np.allclose(answers, only(teacher(tf.constant(images))), atol=1e-3)
    np.testing.assert_array_equal(own, load_trained_model(real)(images, training=False))


def test_an_unfinished_or_absent_teacher_is_refused_before_training(tmp_path):
    Run.create(tmp_path, "begun", tiny_experiment())
    with pytest.raises(LarqnetsError, match="is not trained to its end"):
        load_teacher(stage(tmp_path / "begun"), Info())
    experiment = dataclasses.replace(tiny_experiment(), stages=(stage(tmp_path / "absent"),))
    with pytest.raises(LarqnetsError, match="There is no run at"):
        StageParts(experiment, MemoryDataset()).make_all()


COLOUR = dataclasses.replace(Info(), image_shape=(32, 32, 3), mean=(0.5, 0.4, 0.3), std=(0.2, 0.25, 0.3))


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory):
    """A MobileNet for three classes and the file of its weights; nothing is downloaded."""
    path = tmp_path_factory.mktemp("keras") / "mobilenet.weights.h5"
    model = tf.keras.applications.MobileNet(
        weights=None, input_shape=(32, 32, 3), classes=3, classifier_activation=None
    )
    model.save_weights(path)
    return model, path


def test_a_keras_application_sees_its_own_normalisation_and_answers_with_logits(mobilenet):
    model, path = mobilenet
    teacher = load_teacher(stage("keras:MobileNet", teacher_weights=str(path)), COLOUR)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.float32)
    images = ((pixels / 255 - COLOUR.mean) / COLOUR.std).astype(np.float32)
    expected = model(pixels / 127.5 - 1, training=False)  # MobileNet's images lie in [-1, 1]
    np.testing.assert_allclose(only(teacher(tf.constant(images))), expected, atol=1e-5)
    assert np.asarray(expected).min() < 0  # logits, no probabilities


@pytest.mark.parametrize(
    ("teacher", "weights", "info", "sentence"),
    [
        ("keras:MobilNet", "imagenet", COLOUR, "no network 'MobilNet'. Did you mean 'MobileNet'"),
        ("keras:MobileNet", "imagenet", COLOUR, "ImageNet's 1000 classes, and memory has 3. Use a run on memory"),
        ("keras:MobileNet", "absent.h5", COLOUR, "There is no file absent.h5 for train.teacher_weights"),
        ("keras:MobileNet", None, Info(), r"keras:MobileNet cannot be made for images of \(6, 6, 1\) and 3 classes"),
    ],
)
def test_a_keras_application_that_does_not_fit_is_refused(mobilenet, teacher, weights, info, sentence):
    with pytest.raises(LarqnetsError, match=sentence):
        load_teacher(stage(teacher, teacher_weights=weights or str(mobilenet[1])), info)


def test_a_keras_application_teaches(mobilenet, tmp_path):
    class Colour(MemoryDataset):
        info = COLOUR

    experiment = dataclasses.replace(
        tiny_experiment(), stages=(stage("keras:MobileNet", teacher_weights=str(mobilenet[1]), epochs=1),)
    )
    run = Run.create(tmp_path, "run", experiment)
    train(experiment, run, Colour())
    assert run.card.status == "trained"
