"""What becomes of binary weights on real input: float that is proven equal, int8 of two values, said in one sentence."""

import numpy as np
import pytest
import tensorflow as tf

from deploy.convert import Samples, convert, convert_twin
from deploy.export import describe_binary_layers, export_model, weights_only_layers
from deploy.tflite import read_model
from larqnets import create_model
from larqnets.layers.binary_weights import BinaryWeightConv2D
from larqnets.quantizers import SteSign

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(32, 16, 16, 3)).astype(np.float32)
SAMPLES = Samples(IMAGES, RNG.integers(0, 10, 32).astype(np.int32), 32)


@pytest.fixture(scope="module", params=[False, True], ids=["deterministic", "stochastic"])
def model(request):
    tf.keras.utils.set_random_seed(0)
    model = create_model("binaryconnect", "vgg_small", (16, 16, 3), 10, width=0.125, stochastic=request.param)
    for _ in range(30):
        model(IMAGES, training=True)
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


def test_only_what_is_binary_on_real_input_is_weights_only():
    def network(**quantizers):
        image = tf.keras.Input((6, 6, 3))
        return tf.keras.Model(image, BinaryWeightConv2D(4, 3, **quantizers, name="conv")(image))

    assert weights_only_layers(network(kernel_quantizer=SteSign())) == ["conv"]
    assert weights_only_layers(network()) == []
    both = network(kernel_quantizer=SteSign(), input_quantizer=SteSign())
    assert weights_only_layers(both) == []
    assert [layer.name for layer in describe_binary_layers(both)] == ["conv"]
