"""The learning rate as a pure function of the step. It moves with every step, where most papers' code waits for the epoch."""

import math

import tensorflow as tf

from larqnets.config import TrainConfig
from larqnets.errors import LarqnetsError

POLY_POWER = 0.9  # as in DeepLab's recipes


def check_schedule(config: TrainConfig) -> None:
    """Raise LarqnetsError when the schedule of a config has no meaning."""
    if config.warmup_epochs >= config.epochs:
        raise LarqnetsError(
            f"train.warmup_epochs is {config.warmup_epochs:g}, but there are only {config.epochs} epochs. "
            "Make the warm-up shorter than train.epochs."
        )
    boundaries = list(config.step_epochs)
    in_order = boundaries == sorted(set(boundaries)) and all(0 < epoch < config.epochs for epoch in boundaries)
    if config.schedule == "step" and (not boundaries or not in_order):
        raise LarqnetsError(
            f"A step schedule needs train.step_epochs in rising order between 0 and the {config.epochs} epochs, not "
            f"{boundaries}. Name the epochs after which the rate falls."
        )
    if config.freeze and config.head_rate != 1:
        raise LarqnetsError(
            "train.freeze lets the head alone learn, so train.head_rate would be a factor on all that learns. Leave it out, and "
            "set train.learning_rate."
        )
    if config.schedule == "exponential" and min(config.learning_rate, config.final_learning_rate) <= 0:
        raise LarqnetsError(
            "An exponential schedule cannot start or end at 0. "
            "Set train.learning_rate and train.final_learning_rate above 0."
        )


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
