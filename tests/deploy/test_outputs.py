"""The proof accepts right files whatever their output looks like, and refuses each of them with one wrong constant."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deploy.convert.convert import Samples, convert
from deploy.export.edit import pack, unpack
from deploy.proof.outputs import Difference, difference, ending_of, last_function
from deploy.proof.scoring import Scorer, batches_of
from deploy.proof.verify import LOGITS_EPS, verify
from larqnets import LarqnetsError
from larqnets.cli.tables.models import verification_lines
from larqnets.scores import class_agreement
from larqnets.tasks import get_task
from larqnets.tflite.reading import read_model

layers = tf.keras.layers
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(40, 8, 8, 3)).astype(np.float32)
SHAPES = st.tuples(st.integers(3, 6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 3))
SHAPES = SHAPES.flatmap(lambda s: st.sampled_from([s, s[:1] + s[3:], s[:3], s[:2]]))


def network(*ending, dense=False, filters=32):
    """A stem and a binary convolution; `ending` are the layers behind them."""
    tf.keras.utils.set_random_seed(0)
    x = inputs = tf.keras.Input(IMAGES.shape[1:])
    x = layers.Conv2D(32, 3, padding="same", name="stem")(x)
    signs = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    x = lq.layers.QuantConv2D(filters, 3, padding="same", pad_values=1.0, use_bias=False, name="binary", **signs)(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling2D()(x) if dense else x
    for layer in ending:
        x = layer(x)
    return tf.keras.Model(inputs, x)


def with_wrong_constant(content, by=1e-2):
    """Return the file with one weight of its last convolution or dense layer moved by 1 % of the largest."""
    file = read_model(content)
    op = [op for op in file.subgraphs[0].operators if op.name in ("CONV_2D", "FULLY_CONNECTED")][-1]
    tensor = file.subgraphs[0].tensors[op.inputs[1]]
    values = np.array(tensor.data(file))
    largest = np.abs(values).argmax()
    values.reshape(-1)[largest] *= 1 + by
    model = unpack(content)
    model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
    return pack(model)


LARGE = tf.keras.initializers.RandomNormal(stddev=30.0, seed=0)
ENDINGS = {
    "mask": lambda: [layers.Conv2D(1, 1)],
    "mask with sigmoid": lambda: [layers.Conv2D(1, 1, activation="sigmoid", kernel_initializer=LARGE)],
    "two classes a pixel": lambda: [layers.Conv2D(2, 1)],
    "two classes a pixel, softmax": lambda: [layers.Conv2D(2, 1, kernel_initializer=LARGE), layers.Softmax()],
    "five classes a pixel": lambda: [layers.Conv2D(5, 1)],
    "a row of pixels": lambda: [layers.Conv2D(3, 1), layers.Reshape((64, 3))],
    "tanh of an image": lambda: [layers.Conv2D(3, 1, activation="tanh", kernel_initializer=LARGE)],
    "boxes": lambda: [layers.Flatten(), layers.Dense(8), layers.Reshape((2, 4))],
}
DENSE = {
    "one value": lambda: [layers.Dense(1)],
    "one sigmoid": lambda: [layers.Dense(1, activation="sigmoid", kernel_initializer=LARGE)],
    "softmax of large logits": lambda: [layers.Dense(10, activation="softmax", kernel_initializer=LARGE)],
    "softmax as a layer": lambda: [layers.Dense(10, kernel_initializer=LARGE), layers.Softmax()],
    "softmax as an activation": lambda: [layers.Dense(10, kernel_initializer=LARGE), layers.Activation("softmax")],
    "softmax as an op": lambda: [layers.Dense(10, kernel_initializer=LARGE), tf.nn.softmax],
    "sigmoid as an op": lambda: [layers.Dense(10, kernel_initializer=LARGE), lambda x: tf.sigmoid(x)],
    "softmax, then a shape": lambda: [
        layers.Dense(10, kernel_initializer=LARGE, activation="softmax"),
        layers.Reshape((5, 2)),
    ],
    "log of the softmax": lambda: [layers.Dense(10, kernel_initializer=LARGE), tf.nn.log_softmax],
    "ten values": lambda: [layers.Dense(10)],
}
CASES = [(name, make, False) for name, make in ENDINGS.items()] + [(name, make, True) for name, make in DENSE.items()]


@pytest.mark.parametrize(("name", "make", "dense"), CASES, ids=[case[0] for case in CASES])
def test_a_right_file_is_equal_and_one_wrong_constant_is_found(name, make, dense):
    model = network(*make(), dense=dense)
    converted = convert(model, Samples(IMAGES, real=False))
    result = converted.verification
    assert result.equal
    assert result.logits_difference < LOGITS_EPS / 5
    classes = model.output_shape[-1]
    assert (result.argmax_agreement is None) == (classes == 1)
    said = " ".join(verification_lines(result.to_json(), verbose=False))
    assert ("same class" in said) == (classes > 1)

    wrong = verify(with_wrong_constant(converted.content), model, IMAGES)
    assert not wrong.equal
    assert any("the logits differ" in reason for reason in wrong.reasons)


def test_the_last_function_itself_is_judged():
    """A file with the same logits and another softmax is refused, although it is judged in front of the softmax."""
    logits = network(layers.Dense(10, name="head"), dense=True)
    softmax = tf.keras.Model(logits.inputs, layers.Softmax()(logits.output))
    sigmoid = tf.keras.Model(logits.inputs, layers.Activation("sigmoid")(logits.output))
    content = convert(softmax, Samples(IMAGES, real=False)).content
    assert verify(content, softmax, IMAGES).equal
    assert not verify(content, sigmoid, IMAGES).equal
    assert not verify(content, logits, IMAGES).equal
    file = unpack(content)
    graph = file.subgraphs[0]
    graph.operators[-1].builtinOptions.beta = 0.5
    (reason,) = verify(pack(file), softmax, IMAGES).reasons
    assert "what the file makes of its logits at the end differs" in reason


def test_the_model_is_left_as_it_was():
    model = network(layers.Dense(10, activation="softmax"), dense=True)
    before = model.predict(IMAGES, verbose=0)
    convert(model, Samples(IMAGES, real=False))
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), before)
    assert model.layers[-1].activation is tf.keras.activations.softmax


@pytest.mark.parametrize(
    "make",
    [
        lambda: [layers.Dense(10)],
        lambda: [layers.Dense(10, activation="relu")],
        lambda: [layers.Dense(10, activation="softmax"), layers.Rescaling(3.0)],
    ],
)
def test_what_does_not_end_in_a_bounded_function_has_no_ending(make):
    model = network(*make(), dense=True)
    assert ending_of(model) is None
    assert last_function(read_model(convert(model, Samples(IMAGES, real=False)).content)) is None


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_what_overflows_alike_far_from_real_inputs_is_equal():
    inputs = tf.keras.Input(IMAGES.shape[1:])
    x = layers.GlobalAveragePooling2D()(inputs)
    model = tf.keras.Model(inputs, layers.Dense(3, activation="exponential", kernel_initializer="ones")(x))
    assert np.isfinite(model(IMAGES)).all()
    assert not np.isfinite(model(np.full_like(IMAGES[:1], 1e3))).all()
    assert convert(model, Samples(IMAGES, real=False)).verification.equal


@pytest.mark.parametrize(
    ("trained", "file", "same"),
    [
        (np.inf, 3.4e38, True),  # some kernels of exp stop at the largest float
        (-3e37, -np.inf, True),
        (np.inf, 1e30, False),
        (np.inf, -3.4e38, False),
        (np.nan, 3.4e38, False),
    ],
)
def test_where_exp_overflows_infinity_and_the_largest_float_are_one(trained, file, same):
    due, found = (np.array([[1.0, 2.0], [value, 1.0]], np.float32) for value in (trained, file))
    assert (difference(due, found, 1) == 0) == same


@settings(deadline=None)
@given(SHAPES.flatmap(lambda s: arrays.arrays(np.float32, s, elements=st.floats(-100, 100, width=32))), st.data())
def test_rounding_is_no_difference_and_a_wrong_value_is_one_in_any_shape(trained, data):
    """The largest value of the real samples is at least 1; elsewhere anything may cancel to nothing."""
    trained.reshape(len(trained), -1)[0, 0] = 1.0
    rounded = trained + np.float32(3e-7) * np.abs(trained).max(initial=1)
    if np.abs(trained).max() <= np.abs(trained[:2]).max():
        assert difference(trained, rounded, 2) < 1e-6
    i = data.draw(st.integers(0, trained.size - 1))
    wrong = trained.copy()
    wrong.reshape(-1)[i] += 1e-3 * np.abs(trained).max()
    assert difference(trained, wrong, 2) >= 0.99e-3
    wrong.reshape(-1)[i] = np.nan
    assert difference(trained, wrong, 2) > 1e300
    assert difference(wrong, wrong, 2) == 0


@settings(deadline=None)
@given(SHAPES.flatmap(lambda s: arrays.arrays(np.float32, s, elements=st.floats(-100, 100, width=32), unique=True)))
def test_classes_are_those_of_the_last_axis(values):
    agreement, labels = class_agreement(values, values), np.zeros(len(values), int)
    assert agreement == (1.0 if values.shape[-1] > 1 else None)
    for known in (labels, None):
        scorer = Scorer(get_task(), None, ["classifier"])
        scorer.add(Samples(values, known).examples(slice(0, len(values))), [values])
        scored = known is not None and values.ndim == 2 and values.shape[1] > 1
        assert scorer.result() == ({"accuracy": float(np.mean(values.argmax(-1) == labels))} if scored else None)
    if agreement is not None:
        swapped = np.roll(values, 1, axis=-1)
        assert class_agreement(values, swapped) == 0


def test_outputs_are_compared_in_parts_of_bounded_size_and_alike():
    """Of 300 samples whose outputs take 256 KiB each, 64 MiB are held; the figures are those of all at once."""
    samples = np.zeros((300, 2, 2, 1), np.float32)
    parts = list(batches_of(samples, [(None, 256, 256, 1)]))
    assert [(part.start, part.stop) for part in parts] == [(0, 256), (256, 300)]
    assert [(p.start, p.stop) for p in batches_of(samples, [(None, 10)])] == [(0, 300)]
    due = [RNG.normal(size=(300, 7)).astype(np.float32), 1e3 * RNG.normal(size=(300, 2)).astype(np.float32)]
    found = [values + RNG.normal(size=values.shape).astype(np.float32) for values in due]
    apart = Difference()
    for part in parts:
        apart.add([values[part] for values in due], [values[part] for values in found])
    each = [float(np.mean(np.abs(a - b)) / np.abs(a).max()) for a, b in zip(due, found, strict=True)]
    assert apart.result() == pytest.approx(max(each), rel=1e-5)
    apart.add([due[0][:1] * np.nan, due[1][:1]], [found[0][:1], found[1][:1]])
    assert apart.result() is None


def test_a_hostile_file_that_goes_in_a_circle_is_not_read():
    content = convert(network(layers.Conv2D(2, 1), layers.Reshape((8, 16))), Samples(IMAGES, real=False)).content
    model = unpack(content)
    last = model.subgraphs[0].operators[-1]
    last.inputs = np.array([last.outputs[0], *last.inputs[1:]], np.int32)
    with pytest.raises(LarqnetsError, match="before anything writes it"):
        read_model(pack(model))


def test_a_wrong_file_is_not_published(monkeypatch):
    from deploy.convert import convert as conversion

    model = network(layers.Conv2D(1, 1, name="head"))
    real = conversion.run_converter
    lying = lambda exported: read_model(with_wrong_constant(real(exported).content))  # noqa: E731
    monkeypatch.setattr(conversion, "run_converter", lying)
    with pytest.raises(LarqnetsError, match="not equal to the trained model"):
        convert(model, Samples(IMAGES, real=False))
