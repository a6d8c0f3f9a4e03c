"""SSD300 by the numbers of its release, and small ones on other backbones."""

import numpy as np
import pytest
import tensorflow as tf

from larqnets import LarqnetsError
from larqnets.backbones import get_backbone
from larqnets.heads.ssd import sizes_of, ssd
from larqnets.methods import get_method
from larqnets.tasks import Images

VOC_SIZES = (0.1, 0.2, 0.37, 0.54, 0.71, 0.88, 1.05)  # of 300 pixels: 30, 60, 111, 162, 213, 264, 315


def detector(method, backbone, shape, classes=3, *, width=1.0, stem="small", method_options=(), **options):
    """The network with its answers and what the loss looks at, without the task."""
    plan, recipe = get_backbone(backbone, stem, width), get_method(method, **dict(method_options))
    recipe.check(plan)
    image = tf.keras.Input(shape, name="image")
    stages = recipe.body(recipe.stem(image, plan.stem), plan)
    outputs = ssd(stages, recipe, plan, Images(shape, classes), **options)
    named = [tf.keras.layers.Activation("linear", name=name)(x) for name, x in outputs.items()]
    return tf.keras.Model(image, named)


def drawn(model):
    return model.get_layer("mbox_boxes")


@pytest.fixture(scope="module")
def ssd300():
    return detector("ssd", "vgg16", (300, 300, 3), 20, levels=6, sizes=VOC_SIZES)


def test_ssd300_has_the_numbers_of_its_release(ssd300):
    assert ssd300.count_params() == 26_285_486
    kernels = {w.name: int(np.prod(w.shape)) for w in ssd300.weights if "kernel" in w.name}
    assert sum(kernels.values()) == 26_276_032
    assert sum(n for name, n in kernels.items() if name.startswith("mbox")) == 3_340_800
    shapes = dict(zip(ssd300.output_names, (x.shape[1:] for x in ssd300.outputs), strict=True))
    assert shapes == {
        "boxes": (8732, 4),
        "scores": (8732, 20),
        "raw_encodings": (8732, 4),
        "raw_logits": (8732, 21),
        "raw_priors": (8732, 4),
    }


def test_ssd300_has_the_maps_and_the_default_boxes_of_its_release(ssd300):
    layer = drawn(ssd300)
    assert [tuple(size) for size in layer.maps] == [(n, n) for n in (38, 19, 10, 5, 3, 1)]
    assert [tuple(step) for step in layer.steps] == [(n, n) for n in (8, 16, 32, 64, 100, 300)]
    first, second, last = layer.priors[0] * 300, layer.priors[1] * 300, layer.priors[-1] * 300
    np.testing.assert_allclose(first, [4, 4, 30, 30], rtol=1e-6)
    np.testing.assert_allclose(second, [4, 4, 42.426407, 42.426407], rtol=1e-6)
    np.testing.assert_allclose(last, [150, 150, 373.35238, 186.67619], rtol=1e-6)


def test_ssd300_has_the_layers_of_its_release(ssd300):
    sizes = {layer.name: layer.output_shape[1:] for layer in ssd300.layers}
    assert [sizes[f"stage{s}_pool"][0] for s in range(1, 5)] == [150, 75, 38, 19]
    assert sizes["last_pool"] == (19, 19, 512)
    assert ssd300.get_layer("last_conv1").dilation_rate == (6, 6)
    assert sizes["last_conv1"] == sizes["last_conv2"] == (19, 19, 1024)
    extras = [sizes[f"extra{n}_conv{i}"] for n in range(1, 5) for i in (1, 2)]
    assert [size[-1] for size in extras] == [256, 512, 128, 256, 128, 256, 128, 256]
    assert [size[0] for size in extras] == [19, 10, 10, 5, 5, 3, 3, 1]
    for name in ("extra1_conv2", "extra2_conv2"):
        layer = ssd300.get_layer(name)
        assert (layer.padding, layer.strides) == ("valid", (2, 2))
        pad = ssd300.get_layer(name.replace("conv2", "pad"))
        assert pad.padding == ((1, 1), (1, 1))
    norm = ssd300.get_layer("stage4_norm")
    assert np.all(norm.scale == 20)
    assert norm.input is ssd300.get_layer("stage4_block3_conv1_relu").output
    assert ssd300.get_layer("stage4_pool").input is norm.input  # the next stage sees the map as it is


@pytest.mark.parametrize(
    ("method", "backbone", "stem", "size", "levels", "maps", "steps"),
    [
        ("real", "vgg16", "small", (96, 96), 3, [(12, 12), (6, 6), (3, 3)], [(8, 8), (16, 16), (32, 32)]),
        ("ssd", "segnet_basic", "small", (96, 96), 2, [(12, 12), (6, 6)], [(8, 8), (16, 16)]),
        ("real", "segnet_basic", "small", (96, 96), 2, [(12, 12), (6, 6)], [(8, 8), (16, 16)]),
        ("ssd", "vgg_small", "small", (64, 64), 2, [(8, 8), (4, 4)], [(8, 8), (16, 16)]),
        ("ssd", "vgg16", "small", (96, 128), 2, [(12, 16), (6, 8)], [(8, 8), (16, 16)]),
        ("ssd", "vgg7", "small", (70, 64), 3, [(9, 8), (5, 4), (3, 2)], [(8, 8), (16, 16), (70 / 3, 32)]),
        ("real", "resnet18", "imagenet", (96, 96), 4, [(12, 12), (6, 6), (3, 3), (1, 1)], [(8, 8), (16, 16), (32, 32), (96, 96)]),
        ("birealnet", "resnet18", "small", (64, 64), 2, [(8, 8), (4, 4)], [(8, 8), (16, 16)]),
        ("groupnet", "resnet18", "imagenet", (64, 64), 3, [(8, 8), (4, 4), (2, 2)], [(8, 8), (16, 16), (32, 32)]),
    ],
)  # fmt: skip
def test_maps_are_those_of_a_stride_of_8_and_more_and_smaller_ones(method, backbone, stem, size, levels, maps, steps):
    options = {"k": 1} if method == "groupnet" else {}
    model = detector(method, backbone, (*size, 3), width=0.125, stem=stem, levels=levels, method_options=options)
    layer = drawn(model)
    assert [tuple(found) for found in layer.maps] == maps
    assert [tuple(found) for found in layer.steps] == [pytest.approx(step) for step in steps]
    _, scores, _, logits, priors = model(np.random.default_rng(0).normal(size=(2, *size, 3)))
    np.testing.assert_array_equal(priors, [layer.priors] * 2)
    np.testing.assert_allclose(tf.reduce_sum(scores, -1), 1 - tf.nn.softmax(logits)[..., 0], atol=1e-6)
    for name, real in ((x.name, type(x).__name__) for x in model.layers if hasattr(x, "kernel")):
        assert real == "Conv2D" or not name.startswith("mbox")


def test_encodings_and_logits_of_a_place_belong_to_its_default_box():
    """A weight for one default box of one cell moves that one."""
    model = detector("real", "vgg7", (32, 32, 3), 2, width=0.125, levels=2)
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
    for layer, numbers, output in (("mbox2_encodings", 4, 2), ("mbox2_logits", 3, 3)):
        before = model(x)[output].numpy()
        bias = model.get_layer(layer).bias
        bias.assign(np.eye(bias.shape[0])[numbers * 2 + 1])  # the third default box, its second number
        changed = np.argwhere(model(x)[output].numpy() - before > 0.5)
        first = 4 * 4 * 4  # default boxes of the first map
        assert {tuple(place) for place in changed[:, 1:]} == {(first + 4 * cell + 2, 1) for cell in range(4)}
        bias.assign(np.zeros(bias.shape[0]))


def test_sizes_follow_the_rule_of_the_paper_or_are_given():
    np.testing.assert_allclose(sizes_of(3), [0.1, 0.5, 0.9, 1.3])
    np.testing.assert_allclose(sizes_of(1), [0.1, 0.9])
    assert sizes_of(6, VOC_SIZES) == VOC_SIZES


@pytest.mark.parametrize(
    ("levels", "sizes", "words"),
    [
        (3, (0.1, 0.5, 0.9), "Default boxes on 3 maps have 4 sizes, .* task.sizes has 3"),
        (2, (0.1, 0.5, 0.4), r"task.sizes is \[0.1, 0.5, 0.4\]. Give them in order"),
        (2, (0.1, 0.1, 0.4), "each larger than the one before"),
        (7, (), "Images of 64x64 are too small for 7 maps of default boxes: one has only 2x2 pixels"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(levels, sizes, words):
    with pytest.raises(LarqnetsError, match=words):
        detector("real", "vgg7", (64, 64, 3), width=0.125, levels=levels, sizes=sizes)


@pytest.mark.parametrize("backbone", ["resnet18", "densenet121", "mobilenet_v1"])
def test_the_networks_of_the_paper_are_plain(backbone):
    with pytest.raises(LarqnetsError, match=f"those of '{backbone}' are others. Use a backbone of the VGG kind"):
        get_method("ssd").check(get_backbone(backbone))
