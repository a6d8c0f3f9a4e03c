import numpy as np
import pytest
import tensorflow as tf

from larqnets.config import TrainConfig
from larqnets.errors import LarqnetsError
from larqnets.runs.names import check_schedule
from larqnets.training.schedules import learning_rate

STEPS_PER_EPOCH = 10
TOTAL = 40
WARMUP = 5
BASE, FINAL = 0.4, 0.01
STEPS = (1.0, 2.5)  # epochs


def config(schedule: str, **changes) -> TrainConfig:
    settings = {"warmup_epochs": WARMUP / STEPS_PER_EPOCH, "learning_rate": BASE, "final_learning_rate": FINAL}
    settings |= {"step_epochs": STEPS, "step_factor": 0.2}
    return TrainConfig(epochs=TOTAL // STEPS_PER_EPOCH, schedule=schedule, **(settings | changes))


def curve(train: TrainConfig) -> np.ndarray:
    compiled = tf.function(lambda step: learning_rate(train, STEPS_PER_EPOCH, step))
    return np.array([compiled(tf.constant(step, tf.int64)).numpy() for step in range(TOTAL)])


@pytest.mark.parametrize(
    ("schedule", "formula"),
    [
        ("constant", lambda p: np.full_like(p, BASE)),
        ("linear", lambda p: BASE + (FINAL - BASE) * p),
        ("cosine", lambda p: FINAL + (BASE - FINAL) * (1 + np.cos(np.pi * p)) / 2),
        ("exponential", lambda p: BASE * (FINAL / BASE) ** p),
        ("poly", lambda p: FINAL + (BASE - FINAL) * (1 - p) ** 0.9),
        ("step", lambda p: BASE * 0.2 ** np.searchsorted([10, 25], np.arange(WARMUP, TOTAL), side="right")),
    ],
)
def test_every_schedule_follows_its_formula_after_a_linear_warmup(schedule, formula):
    p = (np.arange(WARMUP, TOTAL) - WARMUP) / (TOTAL - WARMUP)
    expected = np.concatenate([BASE * np.arange(WARMUP) / WARMUP, formula(p)])
    # float32 arithmetic against float64
    np.testing.assert_allclose(curve(config(schedule)), expected, rtol=1e-5, atol=1e-8)


def test_without_warmup_the_first_step_has_the_full_rate():
    assert curve(config("cosine", warmup_epochs=0.0))[0] == pytest.approx(BASE)


def test_python_steps_and_tensor_steps_agree():
    train = config("cosine")
    assert float(learning_rate(train, STEPS_PER_EPOCH, 17)) == pytest.approx(curve(train)[17])


@pytest.mark.parametrize(
    ("train", "words"),
    [
        (config("cosine", warmup_epochs=4.0), "train.warmup_epochs is 4"),
        (TrainConfig(epochs=1, freeze=True, head_rate=10.0), "train.head_rate would be a factor on all that learns"),
        (config("exponential", final_learning_rate=0.0), "exponential"),
        (config("step", step_epochs=()), r"not \[\]"),
        (config("step", step_epochs=(2.0, 1.0)), "rising order"),
        (config("step", step_epochs=(0.0, 1.0)), "rising order"),
        (config("step", step_epochs=(1.0, 4.0)), "between 0 and the 4 epochs"),
    ],
)
def test_schedules_without_meaning_are_refused(train, words):
    with pytest.raises(LarqnetsError, match=words):
        check_schedule(train)
