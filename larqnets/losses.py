"""What classification asks of logits (B, classes) and integer labels (B,): losses and hits as pure functions."""

from collections.abc import Callable

import tensorflow as tf

from larqnets.config import TrainConfig
from larqnets.endings import kind_of_model
from larqnets.errors import LarqnetsError
from larqnets.scores import Kind

LogitLoss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # (logits, labels) -> (B,)
_TINY = 1.2e-38  # the smallest normal float32: a probability below has a logarithm of no use


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor, label_smoothing: float = 0.0) -> tf.Tensor:
    """Return the cross entropy of every example, (B,), in nats.

    loss = -Σ_c t_c · log softmax(z)_c with t = (1 - ε) · onehot(label) + ε / classes and ε = `label_smoothing`.
    """
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    if label_smoothing == 0:
        return loss
    to_uniform = -tf.reduce_mean(tf.nn.log_softmax(logits), axis=-1)
    return (1 - label_smoothing) * loss + label_smoothing * to_uniform


def logits_of(outputs: tf.Tensor, kind: Kind) -> tf.Tensor:
    """Return logits (B, classes) of which a softmax makes the probabilities that a network answers with.

    Of probabilities p they are log p, so that the cross entropy is -log (p_label / Σ p), as Keras has it.
    """
    return outputs if kind == "logits" else tf.math.log(tf.maximum(outputs, outputs.dtype.as_numpy_dtype(_TINY)))


def cross_entropy_of(model: tf.keras.Model) -> LogitLoss:
    """Return the cross entropy of what a model answers with, logits or probabilities."""
    kind = kind_of_model(model)
    return lambda outputs, labels: cross_entropy(logits_of(outputs, kind), labels)


def squared_hinge(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return the squared hinge loss of every example, (B,), averaged over the classes.

    loss = 1/classes · Σ_c max(0, 1 - t_c · z_c)² with t_c = +1 for the label and -1 for every other class.

    Paper: Courbariaux et al., "Binarized Neural Networks" (2016), section 2.1; the average is that of their code.
    """
    targets = tf.one_hot(labels, tf.shape(logits)[-1], on_value=1.0, off_value=-1.0, dtype=logits.dtype)
    return tf.reduce_mean(tf.square(tf.maximum(0.0, 1.0 - targets * logits)), axis=-1)


def distribution_loss(logits: tf.Tensor, teacher_logits: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
    """Return the cross entropy of every example, (B,), with a teacher's answer in the place of the label.

    loss = -T² Σ_c p_c · log q_c with p = softmax(teacher / T), q = softmax(z / T) and T = `temperature`; T² keeps the
    size of the gradient, which is T (q - p) per example. At T = 1 it is the distributional loss of ReActNet.

    Paper: Liu et al., "ReActNet" (2020), eq. 5; the temperature: Hinton et al., "Distilling the Knowledge" (2015).
    """
    targets = tf.nn.softmax(teacher_logits / temperature)
    return -(temperature**2) * tf.reduce_sum(targets * tf.nn.log_softmax(logits / temperature), axis=-1)


def correct(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Return how many examples have their largest logit at the label, () int64; a tie goes to the lowest class."""
    hits = tf.equal(tf.argmax(logits, axis=-1), tf.cast(labels, tf.int64))
    return tf.math.count_nonzero(hits)


def make_loss(config: TrainConfig) -> LogitLoss:
    """Return the per-example loss that a config names; raises LarqnetsError when its options contradict each other."""
    if config.loss == "cross_entropy":
        return lambda logits, labels: cross_entropy(logits, labels, config.label_smoothing)
    if config.label_smoothing:
        raise LarqnetsError(
            "train.label_smoothing belongs to the cross entropy. Remove it, or set train.loss = 'cross_entropy'."
        )
    return squared_hinge
