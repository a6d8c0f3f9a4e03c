"""Every registered method converts to 1-bit ops and is proven equal; what cannot is refused; nothing is half-written."""

import json

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from batch_norm import settle
from int8_rests import check_int8_rests, in_int8, names_of
from small_backbones import all_shortened, registered

from deploy.convert import convert as conversion
from deploy.convert.convert import Samples, convert, convert_twin
from deploy.convert.publish import publish
from deploy.proof.verify import verify
from deploy.run.interpreter import Interpreter
from deploy.targets import Int8Request
from larqnets import LarqnetsError, create_model, manifest
from larqnets.backbones import BACKBONES
from larqnets.backbones.densenet import densenet
from larqnets.cli.preflight import check_target
from larqnets.methods import METHODS
from larqnets.models import method_matrix
from larqnets.tflite.inspect import inspect_model
from larqnets.tflite.reading import read_model

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(32, 16, 16, 3)).astype(np.float32)
LABELS = RNG.integers(0, 10, 32).astype(np.int32)
SAMPLES = Samples(IMAGES, LABELS, 32)
CLASSIFIERS = {
    m: row for m, row in method_matrix().items() if m not in ("segnet", "ssd")
}  # which are in test_segmenters
PAIRS = [(m, b) for m, row in CLASSIFIERS.items() for b in ("resnet5", "vgg_small") if not row.get(b)]
PAIRS += [("binarynet", "mobilenet_v1"), ("irnet", "mobilenet_v1"), ("binarynet", "vgg16"), ("xnornet", "vgg16")]
PAIRS += [("binarynet", "densenet"), ("xnornet", "densenet")]
FEWER = {"groupnet": {"k": 2}}
WIDTHS = {"resnet5": 4.0, "vgg_small": 0.5, "mobilenet_v1": 0.25, "vgg16": 0.25, "densenet": 0.5}


@pytest.fixture(scope="module", autouse=True)
def resnet5():
    """There is the backbone `resnet5`."""
    with registered():
        yield


@pytest.fixture
def densenet_of_6_layers(monkeypatch):
    """A DenseNet with the parts of the 121, which would take a minute to convert: dense blocks of several widths, transitions."""
    monkeypatch.setitem(BACKBONES._entries, "densenet", lambda kind: densenet("densenet", kind, (1, 2, 2, 1)))


def samples_for(model):
    """The samples, enlarged to the size of image that the model takes."""
    factor = model.input_shape[1] // 16
    return Samples(IMAGES.repeat(factor, axis=1).repeat(factor, axis=2), LABELS, 32)


def train_a_step(model):
    images = samples_for(model).images
    optimizer = tf.keras.optimizers.Adam(1e-2)
    with tf.GradientTape() as tape:
        logits = model(images, training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, logits))
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(g is not None and np.isfinite(g).all() for g in gradients)
    optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    settle(model, images)
    return model


@pytest.mark.parametrize(("method", "backbone"), PAIRS)
@pytest.mark.usefixtures("densenet_of_6_layers")
def test_every_method_trains_saves_loads_converts_and_is_equal(method, backbone, tmp_path):
    side = 32 if backbone == "vgg16" else 16

    def build():
        tf.keras.utils.set_random_seed(0)
        return create_model(method, backbone, (side, side, 3), 10, width=WIDTHS[backbone], **FEWER.get(method, {}))

    model = train_a_step(build())
    samples = samples_for(model)
    model.save_weights(tmp_path / "weights.h5")
    again = build()
    again.load_weights(tmp_path / "weights.h5")
    np.testing.assert_array_equal(model(samples.images), again(samples.images))

    converted = convert(again, samples)
    assert converted.verification.equal
    assert converted.fallbacks == []
    assert converted.bytes_check.matches
    ops = inspect_model(converted.content)
    if METHODS.get(method).precision == "w1a1":
        assert converted.variant == "binary"
        assert ops.totals["binary_mac_share"] > 0.8
        float_macs = [op for op in ops.ops if op.kind == "float"]
        assert {op.layer for op in ops.ops if op.kind == "binary"} == {r.layer for r in converted.verification.layers}
        # beside the 1-bit ops only stem, projections, depthwise ones, SD-BNN's offsets, gates and classifier compute in float
        wide = [op.layer for op in float_macs if op.op != "DEPTHWISE_CONV_2D"]
        assert all(
            any(w in layer for w in ("stem", "projection", "_asd_", "_gate", "_squeeze_", "classifier"))
            for layer in wide
        )
    else:
        assert converted.variant == "float"
        assert ops.totals["binary"]["ops"] == 0
    if backbone == "resnet5":
        check_int8_rests(converted, samples)


def test_xnor_with_its_input_scale_stays_1_bit():
    model = train_a_step(create_model("xnornet", "resnet5", (16, 16, 3), 10, width=4.0, input_scale=True))
    converted = convert(model, SAMPLES)
    assert converted.verification.equal
    assert len(converted.verification.layers) == 3


SDBNN = {
    "without ASD": {"asd": False},
    "without WSD": {"wsd": False},
    "ImageNet": {"estimator": "quadratic", "nonlinearity": "prelu", "downsample": "pooled", "reduction": 8},
    "plain blocks": {"shortcut_per_conv": False, "downsample": "pad"},
}


def sdbnn(**options):
    tf.keras.utils.set_random_seed(0)
    return train_a_step(create_model("sdbnn", "resnet5", (16, 16, 3), 10, width=4.0, **options))


@pytest.mark.parametrize("options", SDBNN.values(), ids=SDBNN)
def test_sdbnn_with_its_options_is_1_bit_and_equal(options):
    converted = convert(sdbnn(**options), Samples(IMAGES))
    assert converted.verification.equal
    assert converted.bytes_check.matches
    assert len(converted.verification.layers) == 3
    offsets = [op for op in inspect_model(converted.content).ops if op.op == "LOGISTIC"]
    assert len(offsets) == 3 * options.get("asd", True)


def test_verification_sees_both_shifts_of_sdbnn():
    """A model with other offsets is not the file's, be they those of an activation or those that turn signs of a kernel."""
    model = sdbnn(wsd_coefficient=2.0)
    content = convert(model, Samples(IMAGES)).content
    changed = "stage2_block1_conv1"
    sentences = [
        (model.get_layer(f"{changed}_asd_expand").kernel, f"layer '{changed}': "),
        (
            model.get_layer(changed).kernel_quantizer.alpha,
            f"no 1-bit op of the file has the kernel of layer '{changed}'",
        ),
    ]
    for weight, sentence in sentences:
        before = weight.numpy()
        weight.assign(before + 3)
        assert any(reason.startswith(sentence) for reason in verify(content, model, IMAGES).reasons)
        weight.assign(before)
    assert verify(content, model, IMAGES).equal


def model_with(layer):
    inputs = tf.keras.Input((16, 16, 3))
    x = tf.keras.layers.Conv2D(32, 3, padding="same")(inputs)
    x = tf.keras.layers.BatchNormalization()(layer(x))
    return tf.keras.Model(inputs, tf.keras.layers.Dense(10)(tf.keras.layers.GlobalAvgPool2D()(x)))


def depthwise():
    return lq.layers.QuantDepthwiseConv2D(
        3, padding="same", pad_values=1.0, input_quantizer="ste_sign", depthwise_quantizer="ste_sign", name="thin"
    )


def real_input():
    return lq.layers.QuantConv2D(
        32, 3, padding="same", kernel_quantizer="ste_sign", kernel_constraint="weight_clip", name="half"
    )


@pytest.mark.parametrize(("layer", "name"), [(depthwise, "thin"), (real_input, "half")])
def test_a_layer_that_would_fall_back_is_refused_by_name_cause_and_remedy(layer, name):
    with pytest.raises(LarqnetsError) as error:
        convert(model_with(layer()), SAMPLES)
    text = str(error.value)
    assert f"Layer '{name}' is not a 1-bit op" in text
    assert "To mend it" in text
    assert "--allow-float" in text


def test_allow_float_converts_and_records_the_fallback():
    converted = convert(model_with(depthwise()), SAMPLES, allow_float=True)
    assert [f.layer for f in converted.fallbacks] == ["thin"]
    assert converted.verification.unchecked_layers == ["thin"]
    metadata = json.loads(read_model(converted.content).metadata["larqnets"])
    assert metadata["float_fallbacks"] == ["thin"]


def test_a_foreign_larq_model_converts(tmp_path):
    """A Sequential model with Larq's own quantizers, dense binary layers, as in Larq's tutorial."""
    kwargs = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
        "use_bias": False,
    }
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Conv2D(32, 3, use_bias=False, input_shape=(16, 16, 3)),
            tf.keras.layers.MaxPool2D(2),
            tf.keras.layers.BatchNormalization(scale=False),
            lq.layers.QuantConv2D(64, 3, **kwargs),
            tf.keras.layers.MaxPool2D(2),
            tf.keras.layers.BatchNormalization(scale=False),
            tf.keras.layers.Flatten(),
            lq.layers.QuantDense(64, **kwargs),
            tf.keras.layers.BatchNormalization(scale=False),
            lq.layers.QuantDense(10, **kwargs),
            tf.keras.layers.BatchNormalization(scale=False),
            tf.keras.layers.Activation("softmax"),
        ]
    )
    converted = convert(train_a_step(model), SAMPLES)
    assert converted.verification.equal
    assert len(converted.verification.layers) == 3
    assert converted.bytes_check.matches


def test_metadata_explains_the_file():
    converted = convert(
        train_a_step(create_model("birealnet", "resnet5", (16, 16, 3), 10)), SAMPLES, provenance={"a": 1}
    )
    entry = json.loads(read_model(converted.content).metadata["larqnets"])
    assert entry["a"] == 1
    assert "stage2_block1_conv1" in entry["layers"].values()


def test_constant_buffers_are_aligned_to_16_bytes():
    """The schema asks for it (force_align); devices that map the file read it with vector loads."""
    from tensorflow.lite.python import schema_py_generated as schema

    content = convert(train_a_step(create_model("birealnet", "resnet5", (16, 16, 3), 10)), SAMPLES).content
    model = schema.Model.GetRootAsModel(content, 0)
    for i in range(model.BuffersLength()):
        table = model.Buffers(i)
        if table.DataLength():
            assert table._tab.Vector(table._tab.Offset(4)) % 16 == 0


def test_twins_are_stock_tflite_and_int8_is_int8():
    model = train_a_step(create_model("real", "resnet5", (16, 16, 3), 10))
    whole = convert_twin(model, SAMPLES, None, {}, "")
    small = convert_twin(model, SAMPLES, IMAGES, {}, "")
    assert (whole.variant, small.variant) == ("float", "int8")
    assert (
        inspect_model(whole.content).totals["float"]["macs"] == inspect_model(small.content).totals["int8"]["macs"] > 0
    )
    assert inspect_model(small.content).totals["float"]["ops"] == 0
    assert whole.test_accuracy is not None


@pytest.mark.parametrize(
    ("backbone", "glue"),
    [
        ("mobilenet_v2", {"ADD", "MEAN"}),
        ("mobilenet_v3_small", {"ADD", "MEAN", "MUL", "HARD_SWISH"}),
        ("efficientnet_lite0", {"ADD", "MEAN"}),
    ],
)
def test_inverted_residuals_are_proven_as_float_and_whole_in_int8(backbone, glue):
    """ReLU6 is part of its convolution, hard-swish an op, squeeze-and-excite plain ops; the int8 files leave nothing float."""
    tf.keras.utils.set_random_seed(0)
    with all_shortened(3):
        model = train_a_step(create_model("real", backbone, (16, 16, 3), 10, width=0.25))
    converted = convert(model, SAMPLES)
    assert converted.verification.equal
    assert converted.bytes_check.matches
    assert set(names_of(converted.file)) - {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"} == glue
    check_int8_rests(converted, SAMPLES)
    small = convert_twin(model, SAMPLES, IMAGES, {}, "")
    assert small.warnings == []
    whole = in_int8(converted, SAMPLES, Int8Request("full", images=32, calibration="minmax"))
    assert whole.integers.facts["left"] == []
    due = model(IMAGES).numpy()
    for made in (small, whole):
        assert inspect_model(made.content).totals["float"]["ops"] == 0
        off = np.abs(Interpreter(made.file).predict(IMAGES) - due)
        assert off.mean() < 0.1 * due.std()


def test_an_int8_twin_tells_of_ops_that_the_converter_left_float_between_integers():
    """Of which TFLite says nothing: only an op histogram would show it."""
    layers = tf.keras.layers
    x = image = layers.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, name="before")(x)
    x = tf.math.ceil(tf.math.ceil(x) + 0.5)
    x = layers.Conv2D(8, 3, name="behind")(x)
    model = tf.keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))
    (told,) = convert_twin(model, SAMPLES, IMAGES, {}, "").warnings
    assert told.startswith("int8: the converter left 2 CEIL float between integers, which costs")


@pytest.fixture(scope="module")
def files():
    model = train_a_step(create_model("birealnet", "resnet5", (16, 16, 3), 10))
    twin = convert_twin(create_model("real", "resnet5", (16, 16, 3), 10), SAMPLES, None, {}, "untrained")
    return [convert(model, SAMPLES), twin]


def test_manifest_says_what_was_measured(files, tmp_path):
    publish(tmp_path / "arm64", files, {"source": {}})
    written = json.loads((tmp_path / "arm64/manifest.json").read_text())
    assert written["verification"]["equal"] is True
    assert written["float_fallbacks"] == []
    assert written["file_bytes"] == (tmp_path / "arm64/binary.tflite").stat().st_size
    assert set(written["files"]) == {"binary", "float"}
    assert sorted(p.name for p in (tmp_path / "arm64").iterdir()) == ["binary.tflite", "float.tflite", "manifest.json"]


def test_a_later_conversion_without_twins_leaves_no_stale_twin(files, tmp_path):
    publish(tmp_path, files, {})
    publish(tmp_path, files[:1], {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["binary.tflite", "manifest.json"]


def test_an_interrupted_conversion_replaces_nothing(files, tmp_path, monkeypatch):
    publish(tmp_path, files, {"first": True})
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    real_write, written = manifest.write_atomically, []

    def killed(path, content):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        real_write(path, content)

    monkeypatch.setattr(manifest, "write_atomically", killed)
    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path, files, {"second": True})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_files_of_others_stay_and_are_told(files, tmp_path):
    publish(tmp_path, files, {})
    (tmp_path / "binary.tflite").write_bytes(b"mine")
    (tmp_path / "float.tflite").write_bytes(b"mine")
    (tmp_path / ".writing-old").mkdir()
    document = publish(tmp_path, files[:1], {})
    assert "it is kept as binary.tflite.kept." in document["warnings"][-1]
    assert document["warnings"][:-1] == json.loads((tmp_path / "manifest.json").read_text())["warnings"]
    names = {".writing-old", "binary.tflite", "binary.tflite.kept", "float.tflite", "manifest.json"}
    assert {p.name for p in tmp_path.iterdir()} == names
    assert (tmp_path / "float.tflite").read_bytes() == b"mine"


def test_an_output_that_cannot_be_written_is_said(files, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LarqnetsError, match="Cannot write"):
        publish(tmp_path / "file" / "arm64", files, {})


def test_unknown_target_lists_what_exists():
    with pytest.raises(LarqnetsError, match=r"There is no target 'arm46'. Did you mean 'arm64'\? Targets: arm64"):
        check_target("arm46")


def test_an_unequal_file_is_not_published(monkeypatch):
    """The converter is made to lie: one multiplier's sign is turned in its output."""
    real = conversion.run_converter

    def lying(model):
        file = real(model)
        content = bytearray(file.content)
        op = next(op for op in file.subgraphs[0].operators if op.name == "LceBconv2d")
        multipliers = file.subgraphs[0].tensors[op.inputs[2]].data(file).tobytes()
        where = file.content.index(multipliers)
        content[where + 3] ^= 0x80
        return read_model(bytes(content))

    monkeypatch.setattr(conversion, "run_converter", lying)
    with pytest.raises(LarqnetsError, match="not equal to the trained model and is not published"):
        convert(train_a_step(create_model("birealnet", "resnet5", (16, 16, 3), 10)), SAMPLES)
