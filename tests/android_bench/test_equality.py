"""What a session gives a model to compute on both sides: values that it can take, of every shape and type."""

import io

import numpy as np
import pytest

from android_bench.measuring.equality import SAMPLES, compare_outputs, expect
from deploy.run.interpreter import Interpreter
from larqnets.tflite.indices import index_limits
from larqnets.tflite.reading import read_model

tf = pytest.importorskip("tensorflow", reason="needs the train extra: tensorflow")

ROWS = 7
TABLE = tf.reshape(tf.range(7.0 * ROWS), [ROWS, 7])


def _embedding(x):
    return tf.gather(TABLE, tf.cast(x, tf.int32))


# Name -> function, its inputs, and into how many entries each may point; None: it is no index.
MODELS = {
    "gather": (lambda i: tf.gather(TABLE, i), [tf.TensorSpec([1, 3], tf.int32)], [ROWS]),
    "one row": (lambda i: tf.gather(TABLE[:1], i), [tf.TensorSpec([1, 3], tf.int64)], [1]),
    "floats that are indices": (_embedding, [tf.TensorSpec([1, 3], tf.float32)], [ROWS]),
    "reshaped": (lambda i: tf.gather(TABLE, tf.reshape(i, [3, 1])), [tf.TensorSpec([1, 3], tf.int32)], [ROWS]),
    "gather_nd": (lambda i: tf.gather_nd(TABLE, i), [tf.TensorSpec([1, 4, 2], tf.int32)], [ROWS]),
    "gathered from": (
        lambda x, i: tf.gather(x, i, axis=1),
        [tf.TensorSpec([1, 5], tf.float32), tf.TensorSpec([2], tf.int32)],
        [None, 1],  # the least dimension of what is pointed into is the batch
    ),
    "no index": (lambda x: 2 * x, [tf.TensorSpec([1, 3], tf.int32)], [None]),
    "scalar": (lambda x, t: x * t, [tf.TensorSpec([1, 3], tf.float32), tf.TensorSpec([], tf.float32)], [None, None]),
    "complex": (lambda x: tf.signal.rfft(x), [tf.TensorSpec([1, 8], tf.float32)], [None]),
}


def file_of(name):
    function, specs, limits = MODELS[name]
    concrete = tf.function(function, autograph=False).get_concrete_function(*specs)
    model = read_model(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())
    return model, dict(zip(model.subgraphs[0].inputs, limits, strict=True))


@pytest.mark.parametrize("name", MODELS)
def test_both_sides_compute_on_values_that_the_model_takes(bundle, name):
    model, limits = file_of(name)
    assert index_limits(model) == {tensor: limit for tensor, limit in limits.items() if limit is not None}
    expected = expect(model, Interpreter)
    assert expected.why is None
    here = [np.asarray(y) for y in expected.outputs]
    assert all(np.isfinite(y).all() for y in here)
    values = [np.load(io.BytesIO(content)) for content in expected.inputs]
    assert {len(x) for x in values} <= {SAMPLES, 2 * SAMPLES}
    there = Interpreter(model.content, device="qemu").predict(values)
    assert compare_outputs(expected, model, there if isinstance(there, list) else [there]).equal


@pytest.mark.parametrize("name", [name for name in MODELS if name != "one row"])
def test_instructions_are_counted_without_inputs_of_ones_own(bundle, name):
    from android_bench.emulation.qemu import count

    assert count(file_of(name)[0].content, per_op=False).instructions > 0


def test_what_cannot_be_given_is_a_sentence():
    function = tf.function(lambda x: tf.reshape(x, [3]), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec([1, 3], tf.string))
    model = read_model(tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert())
    assert expect(model, Interpreter).why == "A tensor of type string cannot be given to the model or read from it."
