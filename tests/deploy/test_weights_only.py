"""What becomes of binary weights on real input: float that is proven equal, int8 of two values, said in one sentence."""

import numpy as np
import pytest
import tensorflow as tf
from batch_norm import settle

from deploy.convert.convert import Samples, convert, convert_twin
from deploy.export.binary_layers import describe_binary_layers, weights_only_layers
from deploy.export.model import export_model
from larqnets import create_model
from larqnets.backbones import Stem, get_backbone
from larqnets.counts import count
from larqnets.layers.binary_weights import BinaryWeightConv2D
from larqnets.methods import get_method
from larqnets.quantizers import SteSign
from larqnets.tflite.reading import read_model

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(32, 16, 16, 3)).astype(np.float32)
SAMPLES = Samples(IMAGES, RNG.integers(0, 10, 32).astype(np.int32), 32)


@pytest.fixture(scope="module", params=[False, True], ids=["deterministic", "stochastic"])
def model(request):
    tf.keras.utils.set_random_seed(0)
    model = create_model("binaryconnect", "vgg_small", (16, 16, 3), 10, width=0.125, stochastic=request.param)
    settle(model, IMAGES)
    return model


def test_it_converts_to_an_equal_float_file_and_says_so(model):
    converted = convert(model, SAMPLES)
    assert converted.variant == "float"
    assert converted.verification.equal
    assert converted.bytes_check.matches
    (sentence,) = [w for w in converted.warnings if "w1a32" in w]
    assert sentence.startswith("7 layers have binary weights on real input (w1a32), for which there is no 1-bit op")


def test_its_int8_file_holds_two_values_per_filter(model):
    file = read_model(convert_twin(model, SAMPLES, IMAGES, {}, "").content)
    graph = file.subgraphs[0]
    kernels = [op.inputs[1] for op in graph.operators if op.name in ("CONV_2D", "FULLY_CONNECTED")]
    assert len(kernels) == 7
    for kernel in kernels:
        assert graph.tensors[kernel].dtype == "int8"
        assert set(np.unique(graph.tensors[kernel].data(file))) == {-127, 127}


def test_exported_layers_have_constant_kernels_and_keep_their_bias():
    image = tf.keras.Input((6, 6, 3))
    x = BinaryWeightConv2D(4, 3, strides=2, kernel_quantizer=SteSign(), bias_initializer="ones", activation="relu")(
        image
    )
    model = tf.keras.Model(image, x)
    rebuilt = export_model(model).model
    x = RNG.normal(size=(1, 6, 6, 3)).astype(np.float32)
    np.testing.assert_allclose(rebuilt(x), model(x), rtol=1e-5, atol=1e-5)
    assert rebuilt.layers[1].kernel_quantizer is None
    assert set(np.unique(rebuilt.layers[1].kernel)) == {-1, 1}


def test_depthwise_kernels_stay_the_signs_of_their_latents():
    """One block as in MobileNet, depthwise 3x3 with stride 2, then 1x1: equal as float, two values per filter as int8."""
    tf.keras.utils.set_random_seed(0)
    method, image = get_method("binaryconnect"), tf.keras.Input((16, 16, 3))
    depthwise, pointwise = get_backbone("mobilenet_v1", width=0.25).stages[1][0].units
    x = method.stem(image, Stem(depthwise.filters))
    x = method.unit(method.depthwise(x, depthwise, "depthwise"), pointwise, "pointwise")
    model = tf.keras.Model(image, tf.keras.layers.Dense(10)(tf.keras.layers.GlobalAvgPool2D()(x)))
    settle(model, IMAGES)
    signs = np.sign(model.get_layer("depthwise").depthwise_kernel.latent_variable)[..., 0]
    assert count(model).to_json()["totals"]["binary_weights"] == 27 * 16 + 9 * 16 + 16 * 32

    whole, small = convert(model, SAMPLES), convert_twin(model, SAMPLES, IMAGES, {}, "")
    assert whole.verification.equal
    assert whole.bytes_check.matches
    assert whole.warnings[0].startswith("3 layers have binary weights on real input (w1a32)")
    file = read_model(small.content)
    (op,) = [op for op in file.subgraphs[0].operators if op.name == "DEPTHWISE_CONV_2D"]
    np.testing.assert_array_equal(file.subgraphs[0].tensors[op.inputs[1]].data(file)[0], 127 * signs)


def test_only_what_is_binary_on_real_input_is_weights_only():
    def network(**quantizers):
        image = tf.keras.Input((6, 6, 3))
        return tf.keras.Model(image, BinaryWeightConv2D(4, 3, **quantizers, name="conv")(image))

    assert weights_only_layers(network(kernel_quantizer=SteSign())) == ["conv"]
    assert weights_only_layers(network()) == []
    both = network(kernel_quantizer=SteSign(), input_quantizer=SteSign())
    assert weights_only_layers(both) == []
    assert [layer.name for layer in describe_binary_layers(both)] == ["conv"]
