"""Evaluation runs what TensorFlow's rewrite of graphs breaks, and leaves that rewrite on for training."""

import numpy as np
import pytest
import tensorflow as tf

from deploy.convert.convert import Samples, convert
from larqnets import create_model
from larqnets.config import TrainConfig
from larqnets.post_training.judge import Judge
from larqnets.tasks import Images, get_task
from larqnets.training.evaluation import evaluate, without_remapping
from larqnets.training.optimizers import Optimizers
from larqnets.training.step import EpochTotals, make_train_step
from larqnets.training.teacher import Teacher

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(20, 8, 8, 1)).astype(np.float32)
INFO = Images((8, 8, 1), 4)
LABELS = RNG.integers(0, 4, 20).astype(np.int32)


def tanh_surrogate():
    """BatchNorm behind a convolution without bias, then tanh, then the next convolution."""
    return create_model("binarynet", "vgg_small", (8, 8, 1), 4, width=0.125, precision="real", surrogate="tanh")


def keras_layers():
    layers = tf.keras.layers
    inner = [layers.Conv2D(8, 3, use_bias=False), layers.BatchNormalization(), layers.Activation("tanh")]
    rest = [layers.Conv2D(8, 3, use_bias=False), layers.GlobalAveragePooling2D(), layers.Dense(4)]
    return tf.keras.Sequential([tf.keras.Input((8, 8, 1)), *inner, *rest])


@pytest.mark.parametrize("make", [tanh_surrogate, keras_layers])
def test_tanh_behind_a_normalised_convolution_is_evaluated_and_converted(make):
    tf.keras.utils.set_random_seed(0)
    model = make()
    with pytest.raises(tf.errors.UnimplementedError):  # else nothing is tested here
        tf.function(lambda x: model(x, training=False))(IMAGES)
    expected = float(np.mean(model(IMAGES, training=False).numpy().argmax(-1) == LABELS))
    batches = tf.data.Dataset.from_tensor_slices({"image": IMAGES, "label": LABELS}).batch(8)
    assert evaluate(model, batches, get_task(), INFO).scores["accuracy"] == pytest.approx(expected)
    judged = Judge(model, get_task(), INFO).score({"image": IMAGES, "label": LABELS})
    assert judged == pytest.approx(expected)
    assert convert(model, Samples(IMAGES, real=False)).verification.equal


def test_a_teacher_with_tanh_teaches():
    tf.keras.utils.set_random_seed(0)
    teacher, student = Teacher("tanh", tanh_surrogate()), create_model("birealnet", "resnet8", (8, 8, 1), 4, width=0.25)
    config = TrainConfig(epochs=1, batch_size=10)
    totals, optimizers = EpochTotals(get_task().metric(INFO)), Optimizers(config, student.trainable_weights)
    step = make_train_step(student, optimizers, totals, get_task(), INFO, config, 2, teacher=teacher)
    step(iter(tf.data.Dataset.from_tensors({"image": IMAGES, "label": LABELS})))
    assert np.isfinite(totals.means()[0])
    assert not Teacher("relu", student).has_tanh()


@pytest.mark.parametrize("before", [None, True, False])
def test_the_rewrite_is_as_before_afterwards(before):
    options = tf.config.optimizer
    start = options.get_experimental_options().get("remapping")
    options.set_experimental_options({"remapping": before})
    try:
        with without_remapping():
            assert options.get_experimental_options()["remapping"] is False
        assert options.get_experimental_options().get("remapping") is before
        with pytest.raises(KeyError), without_remapping():
            raise KeyError
        assert options.get_experimental_options().get("remapping") is before
    finally:
        options.set_experimental_options({"remapping": start})
