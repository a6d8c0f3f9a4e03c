"""What the export says of a layer is so, it says something of every layer of ours, and its passes need their order."""

import dataclasses
import typing
from typing import Literal, get_args, get_origin

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.convert.convert import Samples, convert
from deploy.export import algebra
from deploy.export import model as export
from deploy.export.binary_layers import describe_binary_layers
from deploy.export.model import export_model
from deploy.export.stand_ins import AddShare, MovedNorm, NormOfOtherAxis, SplitPadding
from deploy.proof.sizes import made_of
from larqnets import LarqnetsError, create_model, list_methods
from larqnets.backbones import Backbone, get_backbone, list_backbones
from larqnets.layers.binary_weights import BinaryWeightConv2D, BinaryWeightDense, BinaryWeightDepthwiseConv2D
from larqnets.layers.branches import Apart, OneBelowTheOther, SoftGate, WeightedSum
from larqnets.layers.channel_fit import ChannelFit
from larqnets.layers.channel_match import ChannelMatch
from larqnets.layers.channel_norm import ChannelNorm
from larqnets.layers.counted_dropout import CountedDropout
from larqnets.layers.default_boxes import DefaultBoxes, Foreground
from larqnets.layers.dprelu import DPReLU
from larqnets.layers.hard_swish import HardSigmoid, HardSwish
from larqnets.layers.hard_tanh import HardTanh
from larqnets.layers.input_scale import InputScale
from larqnets.layers.link_scale import LinkScale
from larqnets.layers.local_response import LocalResponse
from larqnets.layers.max_unpool import MaxUnpool2D
from larqnets.layers.padded_shortcut import PaddedShortcut
from larqnets.layers.rprelu import RPReLU
from larqnets.layers.rsign import RSign
from larqnets.methods import METHODS, get_method
from larqnets.tasks import Images, get_task, only

layers = tf.keras.layers
RNG = np.random.default_rng(0)


def shaken(model):
    """All weights as after training: another number in every channel, variances above 0."""
    for weight in model.weights:
        values = RNG.normal(size=weight.shape)
        weight.assign(np.abs(values) + 0.5 if "variance" in weight.name else values)
    return model


# Every layer has an entry.


FEWER = {"groupnet": {"k": 2}}


def trimmed(backbone: Backbone) -> Backbone:
    """The first and the last block of two stages: every kind of block, in a fraction of the time."""
    stages = tuple(tuple(dict.fromkeys((stage[0], stage[-1]))) for stage in backbone.stages[:2])
    return dataclasses.replace(backbone, stages=stages)


@tf.autograph.experimental.do_not_convert
def layers_of(method, backbone):
    image = tf.keras.Input((32, 32, 3))
    stages = method.body(method.stem(image, backbone.stem), backbone)
    outputs = get_task().outputs(stages, method, backbone, Images((32, 32, 3), 10))
    return tf.keras.Model(image, only(outputs)).layers


def alternatives(method):
    """Every other value of every option of a registered method that names its values, one at a time."""
    kind = METHODS.get(method)
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        hint = hints[field.name]
        values = get_args(hint) if get_origin(hint) is Literal else (True, False) if hint is bool else ()
        yield from ({field.name: value} for value in values if value != field.default)


def accepted(method, backbones):
    for backbone in backbones:
        try:
            method.check(backbone)
        except LarqnetsError:
            continue
        yield backbone


@pytest.mark.parametrize("name", list_methods())
def test_every_layer_of_every_method_has_an_entry(name):
    """On every kind of backbone with the method's defaults, and with each of its options on a residual and a separable one."""
    kinds = {}
    for backbone in list_backbones():
        plan = trimmed(get_backbone(backbone, width=0.25))
        kinds.setdefault((plan.stages, plan.head), plan)
    two = [trimmed(get_backbone(backbone, width=0.25)) for backbone in ("resnet8", "mobilenet_v1")]
    pooled = dataclasses.replace(two[0], stem=dataclasses.replace(two[0].stem, max_pool=True))
    cases = [(get_method(name, **FEWER.get(name, {})), [*kinds.values(), pooled])]
    cases += [(get_method(name, **FEWER.get(name, {}), **options), two) for options in alternatives(name)]
    built = 0
    for method, backbones in cases:
        for backbone in accepted(method, backbones):
            built += 1
            for layer in layers_of(method, backbone):
                assert algebra.entry(layer).known, (layer.name, type(layer).__name__)
    assert built


def test_every_layer_that_we_register_has_an_entry():
    ours = [
        kind
        for name, kind in tf.keras.utils.get_custom_objects().items()
        if name.startswith("larqnets>") and isinstance(kind, type) and issubclass(kind, layers.Layer)
        if kind.__module__.startswith(("larqnets.", "deploy.")) and not issubclass(kind, lq.quantizers.Quantizer)
    ]
    assert {HardTanh, AddShare, MovedNorm, NormOfOtherAxis, SplitPadding} <= set(ours)
    assert [kind for kind in ours if kind not in algebra.ENTRIES] == []


def test_a_layer_of_ours_without_an_entry_is_an_error_that_names_it(monkeypatch):
    monkeypatch.delitem(algebra.ENTRIES, HardTanh)
    image = tf.keras.Input((4, 4, 8))
    model = tf.keras.Model(image, HardTanh(name="clip")(image))
    with pytest.raises(LarqnetsError, match=r"Layer 'clip' is a HardTanh, of which .*algebra.py does not say"):
        export_model(model)


# What the entries say is so.

C = 4
MAP = (6, 6, C)
SIGNS = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
# Name -> layer and the shapes of its inputs.
LAYERS = {
    "relu": (lambda: layers.ReLU(), [MAP]),
    "leaky by option": (lambda: layers.ReLU(negative_slope=0.5), [MAP]),
    "clipped relu": (lambda: layers.ReLU(max_value=1.0), [MAP]),
    "relu from a threshold": (lambda: layers.ReLU(threshold=0.5), [MAP]),
    "leaky relu": (lambda: layers.LeakyReLU(), [MAP]),
    "prelu": (lambda: layers.PReLU(shared_axes=[1, 2]), [MAP]),
    "prelu of every pixel": (lambda: layers.PReLU(), [MAP]),
    "hard tanh": (lambda: HardTanh(), [MAP]),
    "hard sigmoid": (lambda: HardSigmoid(), [MAP]),
    "hard swish": (lambda: HardSwish(), [MAP]),
    "activation linear": (lambda: layers.Activation("linear"), [MAP]),
    "activation relu": (lambda: layers.Activation("relu"), [MAP]),
    "activation tanh": (lambda: layers.Activation("tanh"), [MAP]),
    "max-pool": (lambda: layers.MaxPool2D(2), [MAP]),
    "padded average-pool": (lambda: layers.AvgPool2D(4, padding="same"), [MAP]),
    "global max": (lambda: layers.GlobalMaxPool2D(), [MAP]),
    "global average": (lambda: layers.GlobalAvgPool2D(keepdims=True), [MAP]),
    "dropout": (lambda: layers.Dropout(0.5), [MAP]),
    "spatial dropout": (lambda: layers.SpatialDropout2D(0.5), [MAP]),
    "noise": (lambda: layers.GaussianNoise(0.5), [MAP]),
    "batch norm": (lambda: layers.BatchNormalization(), [MAP]),
    "batch norm without gamma": (lambda: layers.BatchNormalization(scale=False), [MAP]),
    "batch norm without beta": (lambda: layers.BatchNormalization(center=False), [MAP]),
    "batch norm of vectors": (lambda: layers.BatchNormalization(), [(C,)]),
    "batch norm of rows": (lambda: layers.BatchNormalization(axis=1), [(C, C, C)]),
    "convolution": (lambda: layers.Conv2D(3, 3, padding="same", use_bias=False), [MAP]),
    "convolution with bias": (lambda: layers.Conv2D(3, 3), [MAP]),
    "convolution 1x1": (lambda: layers.Conv2D(3, 1, strides=2, padding="same"), [MAP]),
    "convolution with relu": (lambda: layers.Conv2D(3, 1, use_bias=False, activation="relu"), [MAP]),
    "convolution with tanh": (lambda: layers.Conv2D(3, 1, use_bias=False, activation="tanh"), [MAP]),
    "grouped convolution": (lambda: layers.Conv2D(4, 1, groups=2, use_bias=False), [MAP]),
    "depthwise": (lambda: layers.DepthwiseConv2D(3, padding="same", use_bias=False), [MAP]),
    "two filters a channel": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False), [MAP]),
    "separable": (lambda: layers.SeparableConv2D(3, 3, use_bias=False), [MAP]),
    "transposed": (lambda: layers.Conv2DTranspose(3, 3, use_bias=False), [MAP]),
    "dense": (lambda: layers.Dense(3), [(C,)]),
    "dense without bias": (lambda: layers.Dense(3, use_bias=False), [(C,)]),
    "dense with tanh": (lambda: layers.Dense(3, activation="tanh"), [(C,)]),
    "dense of pixels": (lambda: layers.Dense(3), [MAP]),
    "binary weights": (lambda: BinaryWeightConv2D(3, 3, kernel_quantizer="ste_sign", use_bias=False), [MAP]),
    "binary weights by channel": (
        lambda: BinaryWeightDepthwiseConv2D(3, depthwise_quantizer="ste_sign", use_bias=False),
        [MAP],
    ),
    "binary weights of a dense layer": (
        lambda: BinaryWeightDense(3, kernel_quantizer="ste_sign", use_bias=False),
        [(C,)],
    ),
    "binary convolution": (lambda: lq.layers.QuantConv2D(3, 3, use_bias=False, **SIGNS), [MAP]),
    "link scale": (lambda: LinkScale(), [MAP]),
    "link scales": (lambda: LinkScale(per_channel=True), [MAP]),
    "rescaling": (lambda: layers.Rescaling(-0.5), [MAP]),
    "rescaling and shift": (lambda: layers.Rescaling(2.0, offset=-0.5), [MAP]),
    "resized": (lambda: layers.Resizing(9, 11), [MAP]),
    "resized with overshoots": (lambda: layers.Resizing(9, 11, "bicubic"), [MAP]),
    "resized to the nearest": (lambda: layers.Resizing(9, 11, "nearest"), [MAP]),
    "upsampled": (lambda: layers.UpSampling2D(2), [MAP]),
    "upsampled with means": (lambda: layers.UpSampling2D(2, interpolation="bilinear"), [MAP]),
    "counted dropout": (lambda: CountedDropout(0.5), [MAP]),
    "squeeze by mean": (lambda: ChannelMatch(2, "mean"), [MAP]),
    "squeeze by max": (lambda: ChannelMatch(2, "max"), [MAP]),
    "expand by tiling": (lambda: ChannelMatch(8, "max"), [MAP]),
    "expand by zeros": (lambda: ChannelMatch(8, expand="pad"), [MAP]),
    "fit by mean": (lambda: ChannelFit(2), [MAP]),
    "fit by tiling": (lambda: ChannelFit(7, "tile"), [MAP]),
    "fit by zeros": (lambda: ChannelFit(7), [MAP]),
    "padded shortcut": (lambda: PaddedShortcut(7, 2), [MAP]),
    "local response": (lambda: LocalResponse(), [MAP]),
    "unpooling": (lambda: MaxUnpool2D(), [MAP, (3, 3, C)]),
    "threshold": (lambda: RSign(), [MAP]),
    "rprelu": (lambda: RPReLU(), [MAP]),
    "dprelu": (lambda: DPReLU(), [MAP]),
    "sum": (lambda: layers.Add(), [MAP, MAP, MAP]),
    "sum with a vector": (lambda: layers.Add(), [MAP, (1, 1, C)]),
    "weighted sum": (lambda: WeightedSum(), [MAP, MAP]),
    "product": (lambda: layers.Multiply(), [MAP, MAP]),
    "gate": (lambda: SoftGate(0.5), [MAP, MAP, MAP]),
    "gate of every branch": (lambda: SoftGate(1.0, per_branch=True), [MAP, MAP, MAP]),
    "share": (lambda: AddShare(0.3), [MAP, MAP, MAP]),
    "one below the other": (lambda: OneBelowTheOther(2), [MAP, MAP]),
    "apart": (lambda: Apart(2), [MAP]),
    "channels side by side": (lambda: layers.Concatenate(), [MAP, (6, 6, 2)]),
    "channels side by side, counted": (lambda: layers.Concatenate(axis=3), [MAP, (6, 6, 2)]),
    "rows below each other": (lambda: layers.Concatenate(axis=1), [MAP, MAP]),
    "zeros around": (lambda: layers.ZeroPadding2D(1), [MAP]),
    "zeros in two steps": (lambda: SplitPadding(((1, 1), (1, 1))), [MAP]),
    "flatten": (lambda: layers.Flatten(), [MAP]),
    "map of magnitudes": (lambda: InputScale(3), [MAP]),
    "map of magnitudes with gaps": (lambda: InputScale(3, dilation=2), [MAP]),
    "layer norm": (lambda: layers.LayerNormalization(), [MAP]),
    "softmax": (lambda: layers.Softmax(), [MAP]),
    "vectors of a length": (lambda: ChannelNorm(), [MAP]),
    "boxes": (lambda: DefaultBoxes((8, 8), [(1, 2)], [(8, 4)], (0.5, 0.9), [(2,)]), [(8, 4)]),
    "probabilities without the background": (lambda: Foreground(), [(8, C)]),
    "listed": (lambda: layers.Reshape((-1, 2)), [MAP]),
}
# What holds too, and is not said: nothing is folded across it there.
UNSAID = {
    "commutes": {"zeros around", "zeros in two steps"},
    "hands_on": {
        *("grouped convolution", "two filters a channel", "separable"),
        *("threshold", "batch norm", "batch norm without gamma", "batch norm without beta", "batch norm of vectors"),
        *("binary weights of a dense layer", "binary weights", "binary weights by channel"),
        *("gate", "gate of every branch", "share"),
    },
}


def built(name):
    """A layer with drawn weights, its entry, and the function of its inputs that it is."""
    make, shapes = LAYERS[name]
    inputs = [tf.keras.Input(shape) for shape in shapes]
    layer = make()
    shaken(tf.keras.Model(inputs, layer(inputs if len(inputs) > 1 else inputs[0])))

    def function(xs):
        outputs = layer([x.astype(np.float32) for x in xs] if len(xs) > 1 else xs[0].astype(np.float32))
        return [np.asarray(y) for y in (outputs if isinstance(outputs, list) else [outputs])]

    return layer, algebra.entry(layer), function


def values(name, rng, batch=3):
    return [rng.normal(size=(batch, *shape)) for shape in LAYERS[name][1]]


def same(found, expected):
    scale = 1 + max(np.abs(y).max() for y in expected)
    return all(np.allclose(y, z, atol=1e-4 * scale) for y, z in zip(found, expected, strict=True))


def grown(ys, a):
    """The outputs times a per channel; None where the channels are others than those of a."""
    return [y * a for y in ys] if all(y.shape[-1] == np.size(a) for y in ys) else None


def moved_alike(function, xs, constants):
    """Whether constants on the inputs, per channel, are one per channel on every output, whatever the inputs."""
    before, after = function(xs), function([x + c for x, c in zip(xs, constants, strict=True)])
    differences = [z - y for y, z in zip(before, after, strict=True)]
    per_channel = [d.reshape(-1, d.shape[-1]) for d in differences]
    return all(np.allclose(d, d[0], atol=1e-4 * (1 + np.abs(d).max())) for d in per_channel)


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_what_is_said_of_a_factor_holds(name, seed):
    """And what is not said does not, so that the values would show it."""
    layer, said, function = built(name)
    rng = np.random.default_rng(seed)
    xs = values(name, rng)
    number = rng.uniform(1.5, 3)
    assert said.scales(layer) == same(function([number * x for x in xs]), [number * y for y in function(xs)])
    a = rng.uniform(0.5, 3, xs[0].shape[-1])
    expected = grown(function(xs), a) if len(xs) == 1 else None
    if name not in UNSAID["commutes"]:
        assert said.commutes(layer) == (expected is not None and same(function([a * x for x in xs]), expected))
    if said.is_identity(layer):
        assert same(function(xs), xs)
    if said.takes_factor(layer):
        before = function(xs)
        said.take_factor(layer, number)
        assert same(function([number * x for x in xs]), before)
    if said.gives_factor(layer):
        before = function(xs)
        said.give_factor(layer, number)
        assert same(function(xs), [number * y for y in before])


@pytest.mark.parametrize("name", LAYERS)
@settings(max_examples=2, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_what_is_said_of_an_offset_holds(name, seed):
    layer, said, function = built(name)
    rng = np.random.default_rng(seed)
    xs = values(name, rng)
    constants = [rng.normal(size=x.shape[-1]).astype(np.float32) for x in xs]
    if said.hands_on(layer):
        offset = said.offset(layer, constants)
        assert same(function([x + c for x, c in zip(xs, constants, strict=True)]), [y + offset for y in function(xs)])
    elif name not in UNSAID["hands_on"] and not (said.takes_offset(layer)):
        assert not moved_alike(function, xs, constants)
    if said.takes_offset(layer):
        expected = function([x + constants[0] for x in xs])
        said.take_offset(layer, constants[0])
        assert same(function(xs), expected)
    if said.gives_offset(layer):
        expected = [y + constants[0] for y in function(xs)]
        said.give_offset(layer, constants[0])
        assert same(function(xs), expected)


@pytest.mark.parametrize("name", LAYERS)
def test_no_output_is_larger_than_what_it_is_said_to_be_made_of(name):
    layer, said, function = built(name)
    xs = values(name, np.random.default_rng(1))
    sizes = [np.abs(x).reshape(-1, x.shape[-1]).max(axis=0) for x in xs]
    size = said.made_of(layer, sizes)
    if np.any(size != algebra.AS_OBSERVED):
        for y in function(xs):
            assert np.all(np.abs(y) <= size * (1 + 1e-5))


def test_every_entry_is_among_those_that_were_tried():
    tried = {type(LAYERS[name][0]()) for name in LAYERS}
    known = {type(algebra.ENTRIES[kind]) for kind in tried if kind in algebra.ENTRIES}
    assert {type(entry) for entry in algebra.ENTRIES.values()} - known == {type(algebra.ENTRIES[MovedNorm])}


# Layers that somebody else wrote.


def bconv(**options):
    given = {"kernel_quantizer": "magnitude_aware_sign", "input_quantizer": "ste_sign", "use_bias": False}
    return lq.layers.QuantConv2D(8, 3, padding="same", pad_values=1.0, **{**given, **options})


class Squares(layers.Layer):
    """Nothing that an entry could say."""

    def call(self, x):
        return x * tf.abs(x)


class LateReLU(layers.ReLU):
    """By its class a ReLU, and another function."""

    def call(self, x):
        return tf.nn.relu(x) + 1.0


class NamedReLU(layers.ReLU):
    """A ReLU."""


def same_function(model, rebuilt, shape):
    x = RNG.normal(size=(1, *shape)).astype(np.float32)
    expected = model(x, training=False).numpy()
    np.testing.assert_allclose(rebuilt(x), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(("kind", "known"), [(Squares, False), (LateReLU, False), (NamedReLU, True)])
def test_nothing_is_folded_across_what_is_not_known_and_it_is_named(kind, known):
    image = tf.keras.Input((6, 6, 8))
    x = layers.BatchNormalization()(kind(name="theirs")(bconv(name="conv")(image)))
    model = shaken(tf.keras.Model(image, x))
    found = export_model(model)
    assert found.model.get_layer("conv").scaled != known
    assert any("not known" in text and "'theirs'" in text for text in found.warnings) != known
    same_function(model, found.model, (6, 6, 8))


def test_shifts_and_gates_before_what_is_not_known_stay_and_it_is_named():
    image = tf.keras.Input((6, 6, 8))
    x = layers.BatchNormalization()(layers.Conv2D(8, 1)(image))
    shifted = layers.GlobalAvgPool2D()(Squares(name="a")(RPReLU(name="r")(x)))
    hs = [layers.Dense(8)(shifted) for _ in range(2)]
    gated = SoftGate(0.5, name="gate")([*hs, layers.Add()(hs)])
    model = shaken(tf.keras.Model(image, layers.Dense(3)(Squares(name="b")(layers.Add()(gated)))))
    found = export_model(model)
    assert isinstance(found.model.get_layer("r"), RPReLU)
    assert isinstance(found.model.get_layer("gate"), SoftGate)
    (text,) = (text for text in found.warnings if "not known" in text)
    assert text.endswith("'a', 'b'.")
    same_function(model, found.model, (6, 6, 8))


def test_where_there_is_nothing_to_fold_nothing_is_said_of_strangers():
    image = tf.keras.Input((6, 6, 8))
    model = shaken(tf.keras.Model(image, Squares()(layers.BatchNormalization()(bconv()(image)))))
    assert export_model(model).warnings == []


def test_the_proof_names_what_it_knows_nothing_of_before_a_sign():
    image = tf.keras.Input((6, 6, 8))
    x = layers.BatchNormalization()(bconv(name="first")(image))
    x = bconv(name="second")(layers.Add()([Squares(name="before")(x), x]))
    model = shaken(tf.keras.Model(image, Squares(name="behind")(layers.BatchNormalization()(x))))
    images = RNG.normal(size=(8, 6, 6, 8)).astype(np.float32)
    verification = convert(model, Samples(images, real=False)).verification
    assert verification.equal
    (text,) = (text for text in verification.warnings if "other makers" in text)
    assert text.endswith("'before'.")


# Sizes.


def sizes_of(model):
    binary = {layer.name: layer for layer in describe_binary_layers(model)}
    return {name: np.max(places[0]) for name, places in made_of(model, binary).sizes.items()}


def test_only_sd_bnns_sigmoid_is_a_summand_of_size_1():
    """A BatchNorm of a small variance makes much of a 1, and little of values that all are small."""
    image = tf.keras.Input((6, 6, 8))
    x = layers.Conv2D(8, 1, activation="sigmoid", name="theirs")(image)
    x = layers.BatchNormalization(moving_variance_initializer=tf.keras.initializers.Constant(1e-8), epsilon=0.0)(x)
    assert (
        sizes_of(tf.keras.Model(image, bconv(name="c")(x)))["c"] == 0
    )  # mean and beta are 0, and so is all that is known
    model = create_model("sdbnn", "resnet8", (8, 8, 3), 10, width=0.5)
    assert sizes_of(model)["stage1_block1_conv1"] == 1  # clip(x, -1, 1), of which nothing is known, and s


@pytest.mark.parametrize(("join", "size"), [(layers.Multiply, 0), (layers.Add, 1)])
def test_a_sigmoid_that_multiplies_is_no_summand(join, size):
    """Squeeze and excitation has SD-BNN's head too."""
    image = tf.keras.Input((6, 6, 8))
    z = layers.Conv2D(4, 1, activation="relu")(layers.GlobalAvgPool2D(keepdims=True)(image))
    s = layers.Conv2D(8, 1, activation="sigmoid")(z)
    assert sizes_of(tf.keras.Model(image, bconv(name="c")(join()([image, s]))))["c"] == size


@pytest.mark.parametrize("options", [{}, {"gate_scope": "branch"}, {"aggregate": "learned"}, {"variant": "gbd_v1"}])
def test_sizes_reach_the_signs_behind_gates_and_means(options):
    model = shaken(create_model("groupnet", "resnet8", (8, 8, 3), 5, k=2, width=0.5, **options))
    assert all(size > 0 for size in sizes_of(model).values())


def test_sizes_reach_the_signs_behind_a_padded_shortcut():
    image = tf.keras.Input((6, 6, 8))
    x = layers.BatchNormalization(beta_initializer="ones")(bconv(name="a")(image))
    found = made_of(
        model := tf.keras.Model(image, bconv(name="b")(PaddedShortcut(10, 2)(x))),
        {layer.name: layer for layer in describe_binary_layers(model)},
    ).sizes["b"][0]
    assert np.all(found[1:-1] > 1)
    assert found[[0, -1]].tolist() == [0, 0]


# The order of the passes.


def everything():
    """Scales, a moved BatchNorm, means, shifts, and shifts on means, in one network."""
    image = tf.keras.Input((8, 8, 8))
    parts = [RPReLU()(layers.BatchNormalization()(layers.Conv2D(8, 1)(image))) for _ in range(2)]
    mean = layers.BatchNormalization()(layers.Rescaling(0.5, name="mean")(layers.Add()(parts)))
    x = layers.BatchNormalization(name="moved")(layers.Add()([bconv()(mean), LinkScale()(mean)]))
    x = RPReLU(name="r")(x)
    x = layers.Add()([layers.BatchNormalization()(bconv()(RSign()(x))), x])
    return shaken(tf.keras.Model(image, layers.Dense(3)(layers.GlobalAvgPool2D()(x))))


BEFORE = [
    ("weights", "scales"),
    ("weights", "factors"),
    ("weights", "shifts"),
    ("links", "shifts"),
    ("factors", "shifts"),
]


def test_everything_at_once_is_the_same_function():
    model = everything()
    rebuilt = export_model(model).model
    kinds = [type(layer) for layer in rebuilt.layers]
    assert RPReLU not in kinds
    assert layers.Rescaling not in kinds
    assert kinds.count(MovedNorm) == 1
    for _ in range(3):
        same_function(model, rebuilt, (8, 8, 8))


@pytest.mark.parametrize(("first", "second"), BEFORE)
def test_passes_that_are_swapped_do_not_give_the_trained_function(first, second, monkeypatch):
    order = list(export.PASSES)
    assert order.index(first) < order.index(second)
    i, j = order.index(first), order.index(second)
    order[i], order[j] = second, first
    model = everything()
    monkeypatch.setattr(export, "PASSES", {name: export.PASSES[name] for name in order})
    with pytest.raises((AssertionError, AttributeError)):
        same_function(model, export_model(model).model, (8, 8, 8))


def test_a_batchnorm_that_has_moved_follows_no_factor():
    """Elastic-Link's BatchNorm behind the sum, beside a branch of Group-Net's gate: the gate stays."""
    image = tf.keras.Input((6, 6, 8))
    hs = [layers.BatchNormalization()(bconv()(image)) for _ in range(2)]
    gated = SoftGate(0.5, name="gate")([*hs, layers.Add()(hs)])
    linked = layers.BatchNormalization()(layers.Add()([bconv()(image), LinkScale()(image)]))
    total = layers.Add()([linked, *gated])
    model = shaken(tf.keras.Model(image, layers.Dense(3)(layers.GlobalAvgPool2D()(total))))
    rebuilt = export_model(model).model
    assert isinstance(rebuilt.get_layer("gate"), SoftGate)
    same_function(model, rebuilt, (6, 6, 8))


def test_a_convolution_that_is_rebuilt_as_another_class_stands_before_an_rprelu():
    """Windows that end before the image does on one axis alone are cut (deploy.export.windows)."""
    image = tf.keras.Input((8, 7, 8))
    cut = layers.Conv2D(8, 3, strides=(4, 2), padding="same", name="cut")(image)
    y = layers.BatchNormalization()(layers.Conv2D(8, 3, strides=(4, 2), padding="same")(image))
    x = layers.BatchNormalization()(RPReLU(name="r")(layers.Add()([cut, y])))
    model = shaken(tf.keras.Model(image, layers.GlobalAvgPool2D()(x)))
    rebuilt = export_model(model).model
    assert type(rebuilt.get_layer("cut")).__name__ == "CuttingConv2D"
    assert type(rebuilt.get_layer("r")) is layers.PReLU
    same_function(model, rebuilt, (8, 7, 8))


def test_a_sum_that_is_rescaled_by_channel_is_no_mean():
    image = tf.keras.Input((6, 6, 3))
    total = layers.Add()([image, layers.Conv2D(3, 1)(image)])
    model = shaken(tf.keras.Model(image, layers.BatchNormalization()(layers.Rescaling([1.0, 2.0, 3.0])(total))))
    same_function(model, export_model(model).model, (6, 6, 3))
