"""SegNet against the numbers of its paper and of its released description, and what it refuses."""

import numpy as np
import pytest
import tensorflow as tf

from larqnets import LarqnetsError
from larqnets.backbones import get_backbone
from larqnets.layers.max_unpool import MaxUnpool2D
from larqnets.methods import get_method


def segnet(backbone, height, width, classes=11, channels=3):
    """The network with the convolution to the classes that a head has."""
    plan, method = get_backbone(backbone), get_method("segnet")
    image = tf.keras.Input((height, width, channels))
    *_, last = method.body(method.stem(image, plan.stem), plan)
    return tf.keras.Model(image, tf.keras.layers.Conv2D(classes, 3, padding="same", name="head_conv")(last))


def test_it_is_the_network_of_the_paper_at_its_image_size():
    model = segnet("vgg16", 360, 480)
    kernels = [int(np.prod(w.shape)) for w in model.weights if "kernel" in w.name]
    assert len(kernels) == 26
    assert sum(kernels) == 29_425_536
    sizes = {layer.name: layer.output_shape[1:] for layer in model.layers}
    pooled = [(180, 240, 64), (90, 120, 128), (45, 60, 256), (23, 30, 512), (12, 15, 512)]
    assert [sizes[f"stage{s}_pool"] for s in range(1, 6)] == pooled
    unpooled = [(360, 480, 64), (180, 240, 128), (90, 120, 256), (45, 60, 512), (23, 30, 512)]
    assert [sizes[f"decoder{s}_unpool"] for s in range(1, 6)] == unpooled
    decoder = [sizes[f"decoder{s}_conv{i}"][-1] for s in (5, 4, 3) for i in (1, 2, 3)]
    assert decoder == [512, 512, 512, 512, 512, 256, 256, 256, 128]
    assert [sizes[name][-1] for name in ("decoder2_conv1", "decoder2_conv2", "decoder1_conv1")] == [128, 64, 64]
    assert model.output_shape == (None, 360, 480, 11)


def test_the_small_one_has_three_stages():
    kernels = [w for w in segnet("vgg7", 96, 128).weights if "kernel" in w.name]
    assert sum(int(np.prod(w.shape)) for w in kernels) == 870_336


def test_segnet_basic_has_four_stages_of_seven_by_seven():
    """1.4 million weights; the classifier of the paper is 1x1, and a head's here."""
    plan, method = (
        get_backbone("segnet_basic", "imagenet"),
        get_method("segnet", local_response=True, decoder_relu=False),
    )
    image = tf.keras.Input((360, 480, 3))
    *_, last = method.body(method.stem(image, plan.stem), plan)
    model = tf.keras.Model(image, tf.keras.layers.Conv2D(11, 1, name="classes")(last))
    kernels = {w.name.split("/")[0]: tuple(w.shape) for w in model.weights if "kernel" in w.name}
    assert set(list(kernels.values())[1:-1]) == {(7, 7, 64, 64)}
    assert sum(int(np.prod(shape)) for shape in kernels.values()) == 7 * 7 * 3 * 64 + 7 * 49 * 64 * 64 + 64 * 11
    sizes = {layer.name: layer.output_shape[1:3] for layer in model.layers}
    pooled = [(180, 240), (90, 120), (45, 60), (23, 30)]
    assert [sizes[name] for name in ("stem_pool", "stage1_pool", "stage2_pool", "stage3_pool")] == pooled
    assert [sizes[f"decoder{s}_unpool"] for s in range(4)] == [(360, 480), *pooled[:3]]
    assert type(model.layers[1]).__name__ == "LocalResponse"
    assert not [layer.name for layer in model.layers if "decoder" in layer.name and "relu" in layer.name]
    relus = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.ReLU)]
    assert len(relus) == 4


@pytest.mark.parametrize(("height", "width"), [(9, 13), (8, 16), (1, 1), (2, 7)])
def test_values_return_to_the_places_of_their_maxima(height, width):
    model = segnet("vgg7", height, width, classes=2)
    unpools = [layer for layer in model.layers if isinstance(layer, MaxUnpool2D)]
    tapped = tf.keras.Model(model.input, [[*layer.input, layer.output] for layer in unpools])
    image = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)
    for x, z, y in tapped(image):
        assert y.shape == x.shape
        _, index = tf.nn.max_pool_with_argmax(x, 2, 2, "SAME", include_batch_in_index=True)
        np.testing.assert_array_equal(np.take(y, index), z)
        assert np.count_nonzero(y) == np.count_nonzero(z)


@pytest.mark.parametrize("backbone", ["resnet18", "densenet121", "mobilenet_v1"])
def test_other_backbones_are_refused(backbone):
    with pytest.raises(
        LarqnetsError, match=f"stages of plain convolutions .* '{backbone}' are others. Use a backbone of"
    ):
        get_method("segnet").check(get_backbone(backbone))
