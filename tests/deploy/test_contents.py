"""The constants of a file are predicted to the byte for every common layer, counted once where they are stored once."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf

from deploy.convert.convert import Samples, convert
from larqnets.tflite.reading import read_model
from larqnets.tflite.weight_ops import WEIGHT_OPS, stored_kernel

layers = tf.keras.layers
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(6, 8, 8, 16)).astype(np.float32)
SAME_SEED = tf.keras.initializers.RandomNormal(seed=1)


def binary(x, **options):
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    return layers.BatchNormalization()(lq.layers.QuantConv2D(32, 3, use_bias=False, **signs, **options)(x))


def network(make, with_binary):
    """`make` on the images; real weights are random, so that no constant is trivial."""
    tf.keras.utils.set_random_seed(0)
    inputs = tf.keras.Input(IMAGES.shape[1:])
    outputs = make(inputs)
    if with_binary:
        outputs = layers.Concatenate()([layers.Flatten()(outputs), layers.Flatten()(binary(inputs))])
    model = tf.keras.Model(inputs, outputs)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_mean.assign(RNG.normal(size=layer.moving_mean.shape))
    return model


def tied(x):
    layer = layers.Conv2D(16, 3, padding="same")
    return layer(layer(x))


def equal(x):
    first, second = (layers.Conv2D(8, 3, kernel_initializer=SAME_SEED) for _ in range(2))
    return layers.Add()([first(x), second(layers.ReLU()(x))])


def equal_binary(x):
    first, second = (binary(y, kernel_initializer=SAME_SEED) for y in (x, layers.Activation("tanh")(x)))
    return layers.Concatenate()([first, second])


def row(x):
    return layers.Reshape((64, 16))(x)


PREDICTED = {
    "tied": (tied, True),
    "equal": (equal, False),
    "equal binary": (equal_binary, True),
    "transposed": (lambda x: layers.Conv2DTranspose(8, 3, 2, "same", bias_initializer="ones")(x), True),
    "transposed without bias": (lambda x: layers.Conv2DTranspose(8, 3, 2)(x), False),
    "transposed, normalised": (
        lambda x: layers.BatchNormalization()(layers.Conv2DTranspose(8, 3, 2, use_bias=False)(x)),
        False,
    ),
    "transposed row": (lambda x: layers.Conv1DTranspose(8, 3, 2, bias_initializer="ones")(row(x)), False),
    "separable": (lambda x: layers.BatchNormalization()(layers.SeparableConv2D(8, 3, use_bias=False)(x)), True),
    "separable row": (lambda x: layers.SeparableConv1D(8, 3)(row(x)), False),
    "volume": (lambda x: layers.Conv3D(8, 3)(layers.Reshape((4, 4, 4, 16))(x)), False),
    "transposed volume": (lambda x: layers.Conv3DTranspose(8, 3)(layers.Reshape((4, 4, 4, 16))(x)), False),
    "grouped": (lambda x: layers.Conv2D(16, 3, groups=4)(x), False),
    "dense of pixels": (lambda x: layers.BatchNormalization()(layers.Dense(8, use_bias=False)(x)), True),
    "dense, no offset": (
        lambda x: layers.Dense(5)(layers.BatchNormalization(beta_initializer="ones")(layers.Dense(8)(row(x)))),
        False,
    ),
}
UNPREDICTED = {
    "attention": lambda x: layers.MultiHeadAttention(2, 4, name="odd")(row(x), row(x)),
    "wrapped": lambda x: layers.TimeDistributed(layers.Dense(4), name="odd")(x),
    "einsum": lambda x: layers.EinsumDense("abcd,de->abce", (None, None, 7), name="odd")(x),
    "recurrent": lambda x: layers.GRU(4, name="odd")(row(x)),
}


@pytest.mark.parametrize(("make", "with_binary"), PREDICTED.values(), ids=PREDICTED)
def test_constants_are_predicted_and_none_is_counted_twice(make, with_binary):
    converted = convert(network(make, with_binary), Samples(IMAGES, real=False))
    check = converted.bytes_check
    assert check.matches
    assert converted.warnings == []
    file = read_model(converted.content)
    stored = {buffer for tensor in file.subgraphs[0].tensors if (buffer := file.buffers[tensor.buffer]).size}
    assert sum(check.found.values()) - check.shared + check.other_constants == sum(buffer.size for buffer in stored)
    assert check.overhead > 0
    assert (check.shared > 0) == (make in (tied, equal, equal_binary))


@pytest.mark.parametrize("make", UNPREDICTED.values(), ids=UNPREDICTED)
def test_a_layer_of_another_kind_is_named_in_one_true_sentence(make):
    converted = convert(network(make, with_binary=True), Samples(IMAGES, real=False))
    assert converted.bytes_check.unpredicted == ("odd",)
    assert converted.bytes_check.matches  # of the binary layers
    (warning,) = converted.warnings
    assert warning.startswith("How many bytes the weights of 'odd' take in the file is not predicted")
    assert "{" not in warning


def test_the_list_of_ops_with_weights_is_the_only_one():
    """Every other module asks it: none spells out three of its members in one line."""
    from pathlib import Path

    root = Path(__file__).parents[2]
    lines = [
        (path.name, line)
        for folder in ("deploy", "android_bench", "larqnets")
        for path in (root / folder).rglob("*.py")
        if path.name not in ("tflite.py", "weight_ops.py")
        for line in path.read_text().splitlines()
        if sum(f'"{name}"' in line for name in WEIGHT_OPS) > 2
    ]
    assert lines == []


def test_kernels_stand_where_the_list_says():
    content = convert(network(PREDICTED["transposed"][0], False), Samples(IMAGES, real=False)).content
    file = read_model(content)
    (op,) = [op for op in file.subgraphs[0].operators if op.name == "TRANSPOSE_CONV"]
    assert stored_kernel(file, op).shape == (8, 3, 3, 16)
