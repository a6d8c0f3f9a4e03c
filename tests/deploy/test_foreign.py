"""Files that others made, of builtin ops and of any shape and type, against TensorFlow's own interpreter."""

import functools

import numpy as np
import pytest

from deploy.run.interpreter import CHILD, Interpreter
from larqnets import LarqnetsError

tf = pytest.importorskip("tensorflow", reason="needs the train extra: tensorflow")

SAMPLES = 3
F4 = tf.TensorSpec([1, 4], tf.float32, name="x")
ANY = (1, 5, 7, 3)  # what is given for [1, None, None, 3]


# Name -> function and its inputs.
MODELS = {
    "scalar out": (lambda x: tf.reduce_sum(x), [F4]),
    "complex out": (lambda x: tf.signal.rfft(x), [tf.TensorSpec([1, 8], tf.float32)]),
    "float64 out": (lambda x: tf.cast(x, tf.float64), [F4]),
    "float64 in": (lambda x: tf.cast(x, tf.float32) + 1, [tf.TensorSpec([1, 4], tf.float64)]),
    "float16 out": (lambda x: tf.cast(x, tf.float16), [F4]),
    "int64 out": (lambda x: tf.cast(4 * x, tf.int64), [F4]),
    "int16 out": (lambda x: tf.cast(4 * x, tf.int16), [F4]),
    "uint8 out": (lambda x: tf.cast(tf.abs(4 * x), tf.uint8), [F4]),
    "bool out": (lambda x: x > 0, [F4]),
    "text out": (lambda x: tf.gather(tf.constant(["no, never", "yes"]), tf.cast(x > 0, tf.int32)), [F4]),
    "text in": (lambda x: tf.reshape(x, [1, 2, 2]), [tf.TensorSpec([1, 4], tf.string)]),
    "scalar in": (lambda x: x * tf.ones([2]), [tf.TensorSpec([], tf.float32)]),
    "scalar and image in": (lambda x, t: tf.nn.relu(x - t), [F4, tf.TensorSpec([], tf.float32)]),
    "scalar in and out": (lambda x: 2 * x, [tf.TensorSpec([], tf.float32)]),
    "vector in": (lambda x: tf.cumsum(x), [tf.TensorSpec([4], tf.float32)]),
    "open batch": (lambda x: 2.0 * x, [tf.TensorSpec([None, 4], tf.float32)]),
    "open size": (
        lambda x: tf.reduce_mean(tf.nn.conv2d(x, tf.ones([3, 3, 3, 2]), 2, "SAME"), [1, 2]),
        [tf.TensorSpec([1, None, None, 3], tf.float32)],
    ),
    "shape by value": (lambda x: tf.where(x > 0), [F4]),
    "index in": (lambda i: tf.gather(tf.reshape(tf.range(12.0), [4, 3]), i), [tf.TensorSpec([1, 5], tf.int32)]),
    "index in, 64 bits": (
        lambda i: tf.gather(tf.reshape(tf.range(12.0), [4, 3]), i),
        [tf.TensorSpec([1, 5], tf.int64)],
    ),
    "several out": (lambda x: (x + 1, tf.reduce_max(x), tf.argmax(x, -1)), [F4]),
    "loop": (lambda x: tf.while_loop(lambda i, _: i < 5, lambda i, y: (i + 1, y * 1.5), [0, x])[1], [F4]),
    "branch": (lambda x: tf.cond(tf.reduce_sum(x) > 0, lambda: x + 1, lambda: x - 1), [F4]),
    "top k": (lambda x: tf.math.top_k(x, 2), [F4]),
    "softmax": (lambda x: tf.nn.softmax(x), [F4]),
}
NOT_ON_ARM64 = {"text in": "type string", "text out": "type string", "open size": "only"}


@functools.cache
def converted(name: str) -> bytes:
    function, specs = MODELS[name]
    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()


def values_of(name: str, samples: int) -> list[np.ndarray]:
    """Values for every input, `samples` along its first axis, a scalar's as a vector."""
    rng = np.random.default_rng(1)
    values = []
    for spec in MODELS[name][1]:
        shape = [size or 1 for size in spec.shape.as_list()]
        if name == "open size":
            shape = list(ANY)
        shape = [samples * shape[0], *shape[1:]] if shape else [samples]
        dtype = spec.dtype.as_numpy_dtype
        if spec.dtype == tf.string:
            values.append(np.array([b"a", b"", b"b c", "ä".encode()] * samples).reshape(shape))
            continue
        integer = np.issubdtype(dtype, np.integer)
        values.append((rng.integers(0, 4, shape) if integer else rng.normal(size=shape)).astype(dtype))
    return values


def by_tensorflow(name: str, values: list[np.ndarray], samples: int) -> list[np.ndarray]:
    """Every output of TensorFlow's interpreter, one sample after another, joined along the first axis."""
    native = tf.lite.Interpreter(model_content=converted(name))
    runs = []
    for i in range(samples):
        for detail, value, spec in zip(native.get_input_details(), values, MODELS[name][1], strict=True):
            part = value[i] if spec.shape.rank == 0 else np.split(value, samples)[i]
            native.resize_tensor_input(detail["index"], part.shape)
        native.allocate_tensors()
        for detail, value, spec in zip(native.get_input_details(), values, MODELS[name][1], strict=True):
            native.set_tensor(detail["index"], value[i] if spec.shape.rank == 0 else np.split(value, samples)[i])
        native.invoke()
        runs.append([np.asarray(native.get_tensor(detail["index"])) for detail in native.get_output_details()])
    return [np.concatenate([np.atleast_1d(part) for part in parts]) for parts in zip(*runs, strict=True)]


def check(name: str, interpreter: Interpreter, samples: int) -> None:
    values = values_of(name, samples)
    found = interpreter.predict(values)
    found = found if isinstance(found, list) else [found]
    for mine, theirs in zip(found, by_tensorflow(name, values, samples), strict=True):
        if theirs.dtype.kind == "O":
            assert mine.tolist() == theirs.tolist()
        else:
            assert mine.dtype == theirs.dtype
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_what_tensorflow_runs_runs_here(name):
    samples = 1 if name == "shape by value" else SAMPLES
    interpreter = Interpreter(converted(name))
    assert interpreter.engine.startswith("TensorFlow Lite on x86-64")
    check(name, interpreter, samples)


@pytest.mark.parametrize(
    "name", ["text out", "text in", "complex out", "scalar and image in", "open size", "several out"]
)
def test_a_child_process_answers_the_same(name):
    check(name, Interpreter(converted(name), device=CHILD), SAMPLES)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("bundle")
def test_on_arm64_too_or_a_sentence(name):
    samples = 1 if name == "shape by value" else SAMPLES
    if name in NOT_ON_ARM64:
        with pytest.raises(LarqnetsError, match=NOT_ON_ARM64[name]):
            check(name, Interpreter(converted(name), device="qemu"), samples)
    else:
        check(name, Interpreter(converted(name), device="qemu"), samples)


@pytest.mark.parametrize("device", [None, "qemu"])
def test_an_output_of_another_size_for_every_sample_is_refused(request, device):
    if device is not None:
        request.getfixturevalue("bundle")
    x = np.array([[1, -1, -1, -1], [1, 1, 1, -1]], np.float32)
    with pytest.raises(LarqnetsError, match=r"another shape for every sample, such as \(1, 2\) and \(3, 2\)"):
        Interpreter(converted("shape by value"), device=device).predict(x)


@pytest.mark.parametrize("shape", [(1, 5, 7, 4), (1, 5, 0, 3), (0, 5, 7, 3), (5, 7, 3), ()])
def test_an_open_size_is_no_open_rank(shape):
    with pytest.raises(LarqnetsError, match=r"takes \(1, any, any, 3\).* not|no sample"):
        Interpreter(converted("open size")).predict(np.zeros(shape, np.float32))


def test_state_does_not_pass_from_sample_to_sample():
    """TFLite's LSTM keeps its state in variables."""
    layer = tf.keras.layers.LSTM(3)
    model = tf.keras.Sequential([tf.keras.layers.Input((2, 4), batch_size=1), layer])
    content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    x = np.random.default_rng(0).normal(size=(4, 2, 4)).astype(np.float32)
    np.testing.assert_allclose(
        Interpreter(content).predict(x), np.concatenate([model(x[i : i + 1]) for i in range(4)]), atol=1e-5
    )


def test_a_model_without_inputs_says_so():
    constant = tf.function(lambda: tf.constant([1.0, 2.0]) * 1.0).get_concrete_function()
    content = tf.lite.TFLiteConverter.from_concrete_functions([constant]).convert()
    with pytest.raises(LarqnetsError, match="has no input"):
        Interpreter(content).predict([])
