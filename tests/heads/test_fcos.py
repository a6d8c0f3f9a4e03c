"""FCOS on a pyramid: what is shared and what is not, where its locations are, and what it answers with."""

import numpy as np
import pytest
import tensorflow as tf
from detectors import CLASSES, SHAPE, detection, detector, registered
from hypothesis import given, settings
from hypothesis import strategies as st

from larqnets import LarqnetsError, create_model
from larqnets.layers.fcos_answers import FcosBoxes, locations
from larqnets.methods import list_methods
from larqnets.runs.keras_file import load_keras_file
from larqnets.tasks import answers_of

layers = tf.keras.layers
NOT_RESIDUAL = {"segnet", "ssd"}  # decoders and detectors of their own, which take no pyramid
METHODS = [method for method in list_methods() if method not in NOT_RESIDUAL]
SAVED = ("groupnet", "reactnet")  # the layers of a detector are those of every method
LOCATIONS = 8 * 12 + 4 * 6 + 2 * 3


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_a_detector_whose_kernels_all_levels_share(method, tmp_path):
    model = detector(method, settled=False)
    assert model.output_names[:2] == ["boxes", "scores"]
    assert [output.shape[1:] for output in model.outputs[:2]] == [(LOCATIONS, 4), (LOCATIONS, CLASSES)]
    assert answers_of(model).output_names == ["boxes", "scores"]
    places = {layer.name: len(layer.inbound_nodes) for layer in model.layers}
    towers = {name for name in places if name.startswith(("cls_conv", "box_conv"))}
    kernels = {name for name in towers if isinstance(model.get_layer(name), layers.Conv2D)}
    assert {places[name] for name in kernels} == {3}
    assert {places[name] for name in towers - kernels} == {1}
    assert not {name for name in kernels if name.endswith(("_p4", "_p5"))}
    alone = {name.removesuffix(level) for name in towers - kernels for level in ("_p4", "_p5") if name.endswith(level)}
    assert alone <= towers - kernels
    assert alone
    if method not in SAVED:
        return
    model.save(tmp_path / "a.keras")
    again = load_keras_file(tmp_path / "a.keras")
    image = np.random.default_rng(0).normal(size=(1, *SHAPE)).astype(np.float32)
    for ours, theirs in zip(model(image), again(image), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("method", ["groupnet", "real"])
def test_levels_have_statistics_of_their_own_and_one_kernel(method):
    model = detector(method, settled=False)
    before = {weight.name: weight.numpy() for weight in model.weights}
    image = np.random.default_rng(0).normal(size=(4, *SHAPE)).astype(np.float32)
    model(image, training=True)
    moved = {w.name: w.numpy() for w in model.weights if (w.numpy() != before[w.name]).any()}
    name = "cls_conv1_branch1_bn" if method == "groupnet" else "cls_conv1_bn"
    means = [moved[f"{name}{level}/moving_mean:0"] for level in ("", "_p4", "_p5")]
    assert (means[0] != means[1]).any()
    assert (means[1] != means[2]).any()
    # Twice as many levels' worth of towers cost only BatchNorms.
    wider = detector(method, settled=False, shape=(128, 128, 3), task={"levels": 4})
    with registered():
        added = {w.name for w in wider.trainable_weights} - {w.name for w in model.trainable_weights}
    kernels = {name for name in added if "kernel" in name}
    assert kernels
    assert all(name.startswith("fpn_p6") for name in kernels)


def test_equal_branches_are_one():
    """The mean of K towers with the same weights is the tower of K = 1, and so is the neck's sum over K."""
    two, one = (detector("groupnet", settled=False, k=k, variant="gbd_v1") for k in (2, 1))
    rng = np.random.default_rng(0)
    drawn = {}
    for model in (one, two):
        for weight in model.weights:
            name = weight.name.replace("_branch2", "_branch1").replace("_base2", "_base1")
            if name not in drawn:
                drawn[name] = rng.uniform(0.5, 1, weight.shape) * (
                    rng.choice([-1, 1], weight.shape) if "kernel" in name else 1
                )
            weight.assign(drawn[name])
    for layer in two.layers:  # where K sum up in the neck, ReLU and BatchNorm see K times as much
        if isinstance(layer, layers.BatchNormalization) and layer.name.startswith("fpn"):
            layer.moving_mean.assign(2 * layer.moving_mean)
            layer.moving_variance.assign(4 * layer.moving_variance + 3 * layer.epsilon)
    image = rng.normal(size=(2, *SHAPE)).astype(np.float32)
    for ours, theirs in zip(two(image), one(image), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(
    ("binary", "real_parts"), [("all", ()), ("fpn", ("cls", "box")), ("backbone", ("cls", "box", "fpn"))]
)
def test_what_is_binary_is_chosen(binary, real_parts):
    model = detector("birealnet", settled=False, task={"binary": binary})
    for layer in model.layers:
        part = layer.name.split("_")[0]
        if isinstance(layer, layers.Conv2D) and part in ("cls", "box", "fpn") and "conv" in layer.name:
            assert hasattr(layer, "kernel_quantizer") == (part not in real_parts), layer.name


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(64, 200), st.integers(64, 200)),
    levels=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_a_box_around_a_location_comes_out_of_its_distances(size, levels, seed):
    rng = np.random.default_rng(seed)
    sizes = [[-(-side // stride) for side in size] for stride in (8, 16, 32)[:levels]]
    places = locations(sizes, size)
    sides = rng.uniform(0, 100, (len(places), 4))
    y, x, stride = places.T
    due = np.stack([y - sides[:, 0], x - sides[:, 1], y + sides[:, 2], x + sides[:, 3]], 1) / np.tile(size, 2)
    found = FcosBoxes(sizes, size)(tf.constant((sides / stride[:, None])[None], tf.float32))
    np.testing.assert_allclose(found[0], due, atol=1e-5)
    assert set(stride) == set((8, 16, 32)[:levels])
    assert places[0].tolist() == [4, 4, 8]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"stem": "small"},
            r"levels stands on stages of strides 8, 16 and 32, and those of 'resnet5p' are 2, 4, 8. Set model",
        ),
        (
            {"stem": "small", "backbone": "vgg16", "shape": (100, 128, 3)},
            r"'vgg16' rounds the size of its maps down, and .* 100x128",
        ),
        ({"task": {"levels": 6}}, r"at most 5 levels, and task.levels is 6"),
        ({"shape": (63, 96, 3)}, r"Images of 63x96 are too small for 3 levels: .* stands for 32 .* at least 64"),
        ({"task": {"levels": 5}, "shape": (128, 256, 3)}, r"for 5 levels: .* at least 256"),
        ({"task": {"ranges": (64.0,)}}, r"task.ranges has 1 numbers for 3 levels"),
        ({"task": {"ranges": (64.0, 32.0)}}, r"each larger than the one before"),
    ],
)
def test_what_makes_no_pyramid_is_refused(settings, sentence):
    given = {"stem": "imagenet", "shape": SHAPE, "task": {}, "backbone": "resnet5p"} | settings
    with registered(), pytest.raises(LarqnetsError, match=sentence):
        create_model(
            "real", given["backbone"], given["shape"], CLASSES, task=detection(**given["task"]), stem=given["stem"]
        )


def test_maps_of_odd_sizes_are_enlarged_to_the_level_below():
    model = detector("birealnet", settled=False, shape=(72, 104, 3))
    assert model.output_shape[0] == (None, 9 * 13 + 5 * 7 + 3 * 4, 4)
