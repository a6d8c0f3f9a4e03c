"""The rebuilt model computes what the trained one does, and says which layers cannot become 1-bit ops."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from deploy.export.binary_layers import describe_binary_layers, is_sign
from deploy.export.model import export_model
from larqnets import LarqnetsError, quantizers
from larqnets.layers.hard_tanh import HardTanh

layers = tf.keras.layers
RNG = np.random.default_rng(0)


def sequential(*stack, shape=(9, 9, 32)):
    x = inputs = tf.keras.Input(shape)
    for layer in stack:
        x = layer(x)
    return shake(tf.keras.Model(inputs, x))


def shake(model):
    """Give every BatchNorm statistics as after training, negative gammas included."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            n = layer.moving_mean.shape
            layer.moving_mean.assign(RNG.normal(size=n) * 5)
            layer.moving_variance.assign(RNG.uniform(1, 50, size=n))
            if layer.scale:
                layer.gamma.assign(RNG.normal(size=n))
            if layer.center:
                layer.beta.assign(RNG.normal(size=n))
    return model


def conv(filters=32, kernel_size=3, **options):
    given = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "magnitude_aware_sign",
        "kernel_constraint": "weight_clip",
        "padding": "same",
        "pad_values": 1.0,
        "use_bias": False,
    }
    return lq.layers.QuantConv2D(filters, kernel_size, **{**given, **options})


def norm(**options):
    return layers.BatchNormalization(**options)


STACKS = {
    "scale into batchnorm": lambda: [conv(), norm()],
    "scale without batchnorm": lambda: [conv()],
    "relu between": lambda: [conv(), layers.ReLU(), norm()],
    "pool between": lambda: [conv(), layers.MaxPool2D(2), norm()],
    "average pool between": lambda: [conv(), layers.AvgPool2D(2), norm()],
    "clipped relu does not commute": lambda: [conv(), layers.ReLU(max_value=6.0), norm()],
    "no gamma": lambda: [conv(), norm(scale=False)],
    "no beta": lambda: [conv(), norm(center=False)],
    "bias": lambda: [conv(use_bias=True, bias_initializer="ones"), norm()],
    "own activation": lambda: [conv(activation="relu"), norm()],
    "own tanh": lambda: [conv(activation="tanh"), norm()],
    "stride and valid": lambda: [conv(strides=2, padding="valid", pad_values=0.0), norm()],
    "zero padding": lambda: [conv(pad_values=0.0), norm()],
    "dilation": lambda: [conv(dilation_rate=2), norm()],
    "chain": lambda: [conv(), norm(), conv(64, 1), norm(), conv(8), norm()],
    "dense": lambda: [
        layers.Flatten(),
        lq.layers.QuantDense(
            10, input_quantizer="ste_sign", kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
        ),
        norm(),
    ],
    "hardtanh before a sign": lambda: [conv(), norm(), HardTanh(), conv(), norm()],
    "hardtanh before an average": lambda: [conv(), norm(), HardTanh(), layers.AvgPool2D(2), conv(), norm()],
    "our quantizers": lambda: [
        conv(input_quantizer=quantizers.ApproxSign(), kernel_quantizer=quantizers.XnorSign()),
        norm(),
        conv(input_quantizer=quantizers.EdeSign(), kernel_quantizer=quantizers.StochasticSign()),
    ],
}


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS.keys())
def test_export_computes_the_same(stack):
    model = sequential(*stack())
    export = export_model(model)
    assert not any(layer.problem for layer in export.binary_layers)
    for x in RNG.normal(size=(5, 1, 9, 9, 32)).astype(np.float32):
        expected = model(x, training=False).numpy()
        # 1e-4 of the largest value: the same numbers in another order of multiplication
        np.testing.assert_allclose(export.model(x), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("stack", STACKS.values(), ids=STACKS.keys())
def test_exported_kernels_are_plus_minus_one(stack):
    model = export_model(sequential(*stack())).model
    for layer in model.layers:
        target = getattr(layer, "conv", layer)
        if hasattr(target, "kernel"):
            assert set(np.unique(target.kernel)) == {-1, 1}


def test_a_hardtanh_of_which_only_the_sign_is_used_is_dropped():
    inputs = tf.keras.Input((8, 8, 32))
    first, second = HardTanh(name="first"), HardTanh(name="second")
    x = second(norm()(conv()(first(inputs))))
    exported = export_model(shake(tf.keras.Model(inputs, layers.Add()([norm()(conv()(x)), x])))).model
    assert not isinstance(exported.get_layer("first"), HardTanh)
    assert isinstance(exported.get_layer("second"), HardTanh)  # the sum uses its value


def test_a_filter_of_zeros_becomes_a_constant():
    model = sequential(conv(kernel_initializer="zeros"), norm(), conv())
    export = export_model(model)
    x = RNG.normal(size=(1, 9, 9, 32)).astype(np.float32)
    np.testing.assert_allclose(export.model(x), model(x), atol=1e-5)


def test_branches_keep_their_own_scale():
    """A conv with two consumers cannot give its scale to one BatchNorm."""
    inputs = tf.keras.Input((8, 8, 32))
    y = conv()(inputs)
    model = shake(tf.keras.Model(inputs, layers.Add()([norm()(y), y])))
    x = RNG.normal(size=(1, 8, 8, 32)).astype(np.float32)
    np.testing.assert_allclose(export_model(model).model(x), model(x), rtol=1e-3, atol=1e-4)


PROBLEMS = {
    "depthwise": (
        lambda: lq.layers.QuantDepthwiseConv2D(3, input_quantizer="ste_sign", depthwise_quantizer="ste_sign"),
        "has no 1-bit op on the device",
    ),
    "transposed": (
        lambda: lq.layers.QuantConv2DTranspose(8, 3, input_quantizer="ste_sign", kernel_quantizer="ste_sign"),
        "has no 1-bit op on the device",
    ),
    "real input": (lambda: conv(input_quantizer=None), "its input is not binarised by the layer itself"),
    "zero and one": (lambda: conv(input_quantizer="ste_heaviside"), "is not the sign function"),
    "groups": (lambda: conv(groups=2), "grouped binary convolutions"),
    "ternary kernel": (lambda: conv(kernel_quantizer="ste_tern"), "more than one magnitude"),
}


@pytest.mark.parametrize(("make", "sentence"), PROBLEMS.values(), ids=PROBLEMS.keys())
def test_layers_without_a_1_bit_op_are_named_with_cause_and_remedy(make, sentence):
    (found,) = describe_binary_layers(sequential(make()))
    assert sentence in found.problem
    assert found.remedy


def test_sign_is_judged_by_values():
    assert is_sign(lq.quantizers.ApproxSign())
    assert is_sign(quantizers.EdeSign())
    assert not is_sign(lambda x: tf.sign(x))  # 0 at 0
    assert not is_sign(lambda x: lq.math.sign(x - 0.1))
    assert not is_sign(lambda x: 2 * lq.math.sign(x))


def test_models_that_cannot_be_rebuilt_are_refused():
    class Own(tf.keras.Model):
        def call(self, x):
            return x

    with pytest.raises(LarqnetsError, match="subclassed"):
        export_model(Own())
    inner = sequential(conv())
    with pytest.raises(LarqnetsError, match="a model inside the model"):
        export_model(sequential(inner))
    first, second = tf.keras.Input((8,)), tf.keras.Input((8,))
    with pytest.raises(LarqnetsError, match="2 inputs"):
        export_model(tf.keras.Model([first, second], layers.Add()([first, second])))
    inputs, shared = tf.keras.Input((8, 8, 32)), conv()
    with pytest.raises(LarqnetsError, match="used in several places"):
        export_model(tf.keras.Model(inputs, shared(shared(inputs))))
    with pytest.raises(LarqnetsError, match="not fixed"):
        export_model(sequential(conv(), shape=(None, None, 32)))


def test_warnings_for_tiny_variance_and_sign_after_relu():
    stack = [conv(name="a"), norm(name="tiny"), layers.ReLU(name="relu"), conv(name="b")]
    model = sequential(*stack)
    model.get_layer("tiny").moving_variance.assign(np.full(32, 1e-9))
    text = " ".join(export_model(model).warnings)
    assert "BatchNorm 'tiny' has a variance of 1.0e-09" in text
    assert "Layer 'b' takes the sign right after a ReLU ('relu')" in text
    assert not export_model(sequential(conv(), norm())).warnings
