"""The learning rate as a pure function of the step. It moves with every step, where most papers' code waits for the epoch."""

import math

import tensorflow as tf

from larqnets.config import TrainConfig

POLY_POWER = 0.9  # as in DeepLab's recipes


def learning_rate(config: TrainConfig, steps_per_epoch: int, step: tf.Tensor | int) -> tf.Tensor:
    """Return the learning rate of the 0-based `step`, () float32; usable inside a tf.function.

    With base b, final f, warm-up steps w, total steps T and p = (step - w) / (T - w), in [0, 1):
    step < w: b · step / w; then constant: b; linear: b + (f - b) · p; cosine: f + (b - f) · (1 + cos πp) / 2;
    poly: f + (b - f) · (1 - p)^0.9; exponential: b · (f / b)^p; step: b · factor^(number of boundaries passed). The final rate is reached after the last
    step; constant and step have none.
    """
    base, final = config.learning_rate, config.final_learning_rate
    warmup = round(config.warmup_epochs * steps_per_epoch)
    position = tf.cast(step, tf.float32)
    p = (position - warmup) / max(1, config.epochs * steps_per_epoch - warmup)
    match config.schedule:
        case "constant":
            rate = tf.constant(base)
        case "linear":
            rate = base + (final - base) * p
        case "cosine":
            rate = final + (base - final) * (1 + tf.cos(math.pi * p)) / 2
        case "poly":
            rate = final + (base - final) * tf.pow(tf.maximum(1 - p, 0), POLY_POWER)
        case "exponential":
            rate = base * tf.pow(final / base, p)
        case "step":
            boundaries = [float(round(epoch * steps_per_epoch)) for epoch in config.step_epochs]
            passed = tf.math.count_nonzero(position >= tf.constant(boundaries), dtype=tf.float32)
            rate = base * tf.pow(config.step_factor, passed)
    if warmup:
        rate = tf.where(position < warmup, base * position / warmup, rate)
    return tf.cast(rate, tf.float32)
