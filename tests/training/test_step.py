import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from larqnets.config import TrainConfig
from larqnets.errors import LarqnetsError
from larqnets.quantizers import EdeSign, SteSign
from larqnets.runs.weights import decayed_kernels
from larqnets.tasks import Images, get_task
from larqnets.training import transfer_weights
from larqnets.training.optimizers import Optimizers, make_optimizer
from larqnets.training.step import EpochTotals, make_train_step

TASK, INFO = get_task(), Images((4, 4, 1), 2)


def mixed_model(classes: int = 2) -> tf.keras.Model:
    """Real stem, depthwise, binary convolution, PReLU, BatchNorm and a real classifier."""
    image = x = tf.keras.Input((4, 4, 1))
    x = tf.keras.layers.Conv2D(4, 3, name="stem")(x)
    x = tf.keras.layers.DepthwiseConv2D(1, name="depthwise")(x)
    x = lq.layers.QuantConv2D(
        4,
        1,
        input_quantizer=EdeSign(name="ede"),
        kernel_quantizer=SteSign(),
        kernel_constraint="weight_clip",
        use_bias=False,
        name="binary",
    )(x)
    x = tf.keras.layers.PReLU(name="prelu")(tf.keras.layers.BatchNormalization(name="bn")(x))
    x = tf.keras.layers.GlobalAvgPool2D()(x)
    return tf.keras.Model(image, tf.keras.layers.Dense(classes, name="classifier")(x))


def step_of(model: tf.keras.Model, **train):
    config = TrainConfig(epochs=1, batch_size=8, schedule="constant", **train)
    optimizers = Optimizers(config, model.trainable_weights)
    totals = EpochTotals(TASK.metric(INFO))
    random = np.random.default_rng(0)
    images, labels = random.normal(size=(8, 4, 4, 1)).astype(np.float32), random.integers(0, 2, 8).astype(np.int32)
    batches = iter(tf.data.Dataset.from_tensors({"image": images, "label": labels}).repeat())
    step = make_train_step(model, optimizers, totals, TASK, INFO, config, steps_per_epoch=10)
    return lambda: step(batches), totals


def test_weight_decay_touches_real_kernels_only():
    kernels = {weight.name for weight in decayed_kernels(mixed_model())}
    assert kernels == {"stem/kernel:0", "depthwise/depthwise_kernel:0", "classifier/kernel:0"}


@pytest.mark.parametrize("on", ["real_kernels", "all"])
def test_weight_decay_adds_lambda_w_to_the_gradient(on):
    tf.keras.utils.set_random_seed(0)  # of other kernels a step may end at the clip, with decay and without
    rate, decay = 0.1, 0.5
    plain, decayed = mixed_model(), mixed_model()
    decayed.set_weights(plain.get_weights())
    before = {weight.name: weight.numpy() for weight in plain.trainable_weights}
    for model, weight_decay in ((plain, 0.0), (decayed, decay)):
        settings = {"momentum": 0.0, "learning_rate": rate, "weight_decay": weight_decay, "weight_decay_on": on}
        step, _ = step_of(model, optimizer="sgd", **settings)
        step()
    names = {
        weight.name for weight in (decayed_kernels(decayed) if on == "real_kernels" else decayed.trainable_weights)
    }
    assert ("binary/kernel:0" in names) == ("bn/gamma:0" in names) == (on == "all")
    for without, having in zip(plain.trainable_weights, decayed.trainable_weights, strict=True):
        expected = without.numpy() - (rate * decay * before[having.name] if having.name in names else 0)
        np.testing.assert_allclose(having.numpy(), expected, atol=1e-6, err_msg=having.name)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_and_nesterov_follow_their_formulas(nesterov):
    """v <- m v - r g; w <- w + v, or with Nesterov w <- w + m v - r g; here r = 0.5, m = 0.8 and g = w."""
    optimizer = make_optimizer(
        TrainConfig(epochs=1, optimizer="sgd", learning_rate=0.5, momentum=0.8, nesterov=nesterov)
    )
    weight = tf.Variable(1.0)
    w, v = 1.0, 0.0
    for _ in range(3):
        v = 0.8 * v - 0.5 * w
        w += 0.8 * v - 0.5 * w if nesterov else v
        optimizer.apply_gradients([(tf.identity(weight), weight)])
        assert float(weight) == pytest.approx(w, rel=1e-6)


def test_latent_binary_kernels_stay_inside_the_clip():
    model = mixed_model()
    step, _ = step_of(model, optimizer="sgd", learning_rate=100.0)
    step()
    kernel = model.get_layer("binary").kernel.latent_variable.numpy()
    assert np.abs(kernel).max() == 1


def test_estimators_are_told_how_far_the_training_is():
    model = mixed_model()
    step, _ = step_of(model)
    for _ in range(4):
        step()
    (progress,) = (weight for weight in model.weights if weight.name.endswith("/progress:0"))
    assert float(progress) == pytest.approx(3 / 10)  # the fourth step of ten ran with 3 done


def test_totals_are_means_over_images_and_remember_the_first_bad_step():
    totals = EpochTotals(TASK.metric(INFO))
    count = tf.constant(4, tf.int64)
    for step, loss in enumerate([1.0, 3.0, float("nan"), float("inf")]):
        hits = {"correct": tf.constant(1, tf.int64)}
        totals.add(tf.constant(loss), hits, count, tf.constant(step, tf.int64))
        if step == 1:
            assert totals.means() == (2.0, {"accuracy": 0.25})
    assert int(totals.first_bad_step) == 2


def test_weights_move_to_the_model_with_the_same_names():
    source, target = mixed_model(), mixed_model()
    transfer_weights(source, target)
    for a, b in zip(source.get_weights(), target.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_head_of_another_size_is_refused_and_nothing_is_copied():
    source, target = mixed_model(), mixed_model(classes=5)
    before = target.get_weights()
    with pytest.raises(LarqnetsError, match=r"classifier/kernel:0 has shape \(4, 2\) .* \(4, 5\) .* number of classes"):
        transfer_weights(source, target)
    for a, b in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_weight_without_partner_is_named():
    image = tf.keras.Input((4, 4, 1))
    small = tf.keras.Model(image, tf.keras.layers.Conv2D(4, 3, name="stem")(image))
    with pytest.raises(
        LarqnetsError,
        match=r"without a partner: binary/input_quantizer/progress:0, binary/kernel:0.* and 8 more only in the source",
    ):
        transfer_weights(mixed_model(), small)


def test_the_loss_of_a_mixed_image_is_that_of_both_by_their_shares():
    """Against a batch that holds every image twice, once with each label, weighted by copies: 3 of 4 and 1 of 4."""
    random = np.random.default_rng(5)
    images = random.normal(size=(4, 4, 4, 1)).astype(np.float32)
    mine, other = np.array([0, 1, 1, 0], np.int32), np.array([1, 1, 0, 0], np.int32)
    mixed = {"image": images, "label": mine, "other": {"label": other}, "own_share": np.full(4, 0.75, np.float32)}
    copies = {"image": np.concatenate([images] * 4), "label": np.concatenate([mine, mine, mine, other])}
    tf.keras.utils.set_random_seed(1)
    models = [mixed_model(), mixed_model()]
    models[1].set_weights(models[0].get_weights())
    losses = []
    for model, batch in zip(models, (mixed, copies), strict=True):
        config = TrainConfig(epochs=1, optimizer="sgd", momentum=0.0, learning_rate=0.1, schedule="constant")
        totals = EpochTotals(TASK.metric(INFO))
        optimizers = Optimizers(config, model.trainable_weights)
        step = make_train_step(model, optimizers, totals, TASK, INFO, config, steps_per_epoch=10)
        step(iter(tf.data.Dataset.from_tensors(batch).repeat()))
        losses.append(totals.means()[0])
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    for one, twin in zip(*(model.trainable_weights for model in models), strict=True):
        np.testing.assert_allclose(one.numpy(), twin.numpy(), atol=1e-5, err_msg=one.name)
