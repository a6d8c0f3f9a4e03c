import numpy as np
import pytest
import tensorflow as tf

from larqnets.config import TrainConfig
from larqnets.errors import LarqnetsError
from larqnets.losses import (
    correct,
    cross_entropy,
    cross_entropy_of,
    distribution_loss,
    make_loss,
    squared_hinge,
)

LOGITS = np.array([[2.0, -1.0, 0.5], [0.1, 0.2, -3.0]], np.float32)
LABELS = np.array([2, 1], np.int32)
TEACHER = np.array([[0.3, 1.2, -2.0], [4.0, -0.5, 0.0]], np.float32)


def softmax_log(z: np.ndarray) -> np.ndarray:
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_against_its_formula(smoothing):
    targets = (1 - smoothing) * np.eye(3)[LABELS] + smoothing / 3
    expected = -(targets * softmax_log(LOGITS)).sum(-1)
    loss = cross_entropy(tf.constant(LOGITS), tf.constant(LABELS), smoothing)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def test_squared_hinge_against_its_formula():
    targets = 2 * np.eye(3)[LABELS] - 1
    expected = (np.maximum(0, 1 - targets * LOGITS) ** 2).mean(-1)
    np.testing.assert_allclose(squared_hinge(tf.constant(LOGITS), tf.constant(LABELS)), expected, rtol=1e-6)


def test_squared_hinge_vanishes_beyond_the_margin():
    logits = tf.constant([[1.0, -1.5, -1.0]])
    assert float(squared_hinge(logits, tf.constant([0]))[0]) == 0


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distribution_loss_against_its_formula(temperature):
    p, log_q = np.exp(softmax_log(TEACHER / temperature)), softmax_log(LOGITS / temperature)
    loss = distribution_loss(tf.constant(LOGITS), tf.constant(TEACHER), temperature)
    np.testing.assert_allclose(loss, -(temperature**2) * (p * log_q).sum(-1), rtol=1e-6)


def test_distribution_loss_is_at_least_the_teachers_entropy_and_equal_for_shifted_logits():
    p = np.exp(softmax_log(TEACHER))
    entropy = -(p * np.log(p)).sum(-1)
    shifted = TEACHER + np.array([[5.0], [-2.0]], np.float32)
    np.testing.assert_allclose(distribution_loss(tf.constant(shifted), tf.constant(TEACHER)), entropy, rtol=1e-5)
    assert np.all(distribution_loss(tf.constant(LOGITS), tf.constant(TEACHER)) > entropy)


def test_distribution_loss_has_the_gradient_student_minus_teacher():
    logits = tf.Variable(LOGITS)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(distribution_loss(logits, tf.constant(TEACHER)))
    expected = (np.exp(softmax_log(LOGITS)) - np.exp(softmax_log(TEACHER))) / len(LOGITS)
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, atol=1e-6)


def test_correct_counts_the_largest_logit_and_gives_ties_to_the_lowest_class():
    assert int(correct(tf.constant(LOGITS), tf.constant([0, 0]))) == 1
    assert int(correct(tf.constant([[1.0, 1.0]]), tf.constant([0]))) == 1


def test_label_smoothing_with_the_hinge_is_refused_rather_than_ignored():
    with pytest.raises(LarqnetsError, match="label_smoothing"):
        make_loss(TrainConfig(epochs=1, loss="squared_hinge", label_smoothing=0.1))


@pytest.mark.parametrize("activation", [None, "softmax", "sigmoid"])
def test_the_cross_entropy_of_a_model_is_what_keras_says_of_its_last_layer(activation):
    model = tf.keras.Sequential([tf.keras.layers.Input((3,)), tf.keras.layers.Dense(3, activation=activation)])
    outputs = model(LOGITS)
    expected = tf.keras.losses.sparse_categorical_crossentropy(LABELS, outputs.numpy(), from_logits=activation is None)
    np.testing.assert_allclose(cross_entropy_of(model)(outputs, LABELS), expected, rtol=1e-5)


def test_a_probability_of_zero_has_a_loss_that_is_finite():
    model = tf.keras.Sequential([tf.keras.layers.Input((3,)), tf.keras.layers.Softmax()])
    outputs = model(np.array([[0, 500, 0]], np.float32))
    assert outputs[0, 0] == 0
    assert np.isfinite(cross_entropy_of(model)(outputs, np.array([0])))
