"""The two converters, LCE's for networks with binary layers and stock TFLite for the others, and the layer that they fail at.

Their own words are many lines about their insides. So where one fails, or leaves an op that no engine has, the layers of
the network are converted one by one until one fails alone: that one is named, with the cause and what helps.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import larq_compute_engine as lce
import numpy as np
import tensorflow as tf

from deploy.export.edit import order_outputs
from larqnets.errors import LarqnetsError, printable
from larqnets.layers.max_unpool import MaxUnpool2D
from larqnets.processes import temporary_folder
from larqnets.terminal import captured_stderr
from larqnets.tflite.model import Model
from larqnets.tflite.reading import read_model

layers = tf.keras.layers

# Layers that convert whatever their options are, unless their activation does not.
_PLAIN = (layers.InputLayer, layers.BatchNormalization, layers.ReLU, layers.Add, layers.Concatenate, layers.Flatten)
_PLAIN += (layers.Reshape, layers.Dropout, layers.ZeroPadding2D, layers.GlobalAveragePooling2D)
_PLAIN_WITH = (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense, layers.MaxPooling2D, layers.AveragePooling2D)
_PLAIN_ACTIVATIONS = ("linear", "relu", "softmax", "sigmoid", "tanh")
_STATEFUL = ("UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "UNIDIRECTIONAL_SEQUENCE_RNN")
_STATEFUL += ("BIDIRECTIONAL_SEQUENCE_RNN", "LSTM", "RNN", "SVDF")
_RESIZE = "use interpolation='bilinear' or 'nearest'"
_REMEDIES = {
    **dict.fromkeys(("ResizeBicubic", "ResizeArea", "ScaleAndTranslate"), _RESIZE),
    **dict.fromkeys(("MaxPool3D", "AvgPool3D"), "pool along two axes at a time"),
    **dict.fromkeys(_STATEFUL, "give the layer unroll=True"),
}
_MAX_REASON = 200


def run_converter(model: tf.keras.Model) -> Model:
    """Run the LCE converter on a model of a fixed batch; raises LarqnetsError that names the layer where it fails."""
    return _checked(model, _run_lce)


def run_stock_converter(
    model: tf.keras.Model, calibration: np.ndarray | None = None, *, quantise: bool = False
) -> Model:
    """Convert a model without binary layers with stock TFLite; `quantise` makes its weights int8, and with `calibration`
    images (N, H, W, C) its activations too. Input and output stay float. Raises LarqnetsError as `run_converter` does.

    LCE's converter would do for the float file, but takes some paddings before a VALID convolution for SAME, see
    `deploy.export.pads`.
    """
    return _checked(model, _run_stock, lambda given: _run_stock(given, calibration, quantise=quantise))


def _run_lce(model: tf.keras.Model) -> bytes:
    """Convert by way of a SavedModel with a fixed batch, the only path that keeps every binary layer."""
    given = [tf.TensorSpec(tensor.shape, tf.float32, name="image") for tensor in model.inputs]
    if len(given) > 1:  # a layer alone
        given = [tf.TensorSpec(spec.shape, spec.dtype, name=f"input_{i}") for i, spec in enumerate(given)]

    def answers(*inputs: tf.Tensor) -> Any:
        outputs = model(list(inputs) if inputs[1:] else inputs[0], training=False)
        return dict(zip(model.output_names, outputs, strict=True)) if isinstance(outputs, list) else outputs

    call = tf.function(answers, autograph=False)
    inference = _Inference(model, call.get_concrete_function(*given))
    with temporary_folder() as folder:
        tf.saved_model.save(inference, str(folder), signatures={"serving_default": inference.signature})
        return lce.convert_saved_model(str(folder))


class _Inference(tf.Module):
    """What a converter reads of a network: one traced call and the variables that it captures.

    The SavedModel of the network itself would hold every layer's functions too, traced anew for training and for
    inference: no converter reads them, and they take several times as long as the rest of the conversion.
    """

    def __init__(self, model: tf.keras.Model, signature: Any) -> None:
        super().__init__()
        self.captured = list(model.variables)
        self.signature = signature


def _run_stock(model: tf.keras.Model, calibration: np.ndarray | None = None, *, quantise: bool = False) -> bytes:
    with _exact_unpooling(model, integers=calibration is not None):
        call = _named_call(model)
    # Saved without a signature, a module has that of its only function: the file is that of the network itself.
    converter = tf.lite.TFLiteConverter.from_keras_model(_Inference(model, call))
    if quantise:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        # LCE's interpreter does not have the newer dense op whose weights have a scale per channel
        converter._experimental_disable_per_channel_quantization_for_dense_layers = calibration is None
    if calibration is not None:
        converter.representative_dataset = lambda: ([image[np.newaxis]] for image in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with warnings.catch_warnings():
        # float input and output are meant; TFLite takes them for an oversight
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
        return converter.convert()


@contextmanager
def _exact_unpooling(model: tf.keras.Model, *, integers: bool) -> Iterator[None]:
    """While the block runs unpoolings are written in the form that is exact in the numbers of the file."""
    forms = {layer: layer.form for layer in model.layers if isinstance(layer, MaxUnpool2D)} if integers else {}
    try:
        for layer in forms:
            layer.form = "chain"
        yield
    finally:
        for layer, form in forms.items():
            layer.form = form


def _named_call(model: tf.keras.Model) -> Any:
    """Return the traced call that Keras would save: inputs and outputs have the names of their layers."""
    given = [
        tf.TensorSpec(t.shape, t.dtype, name=name) for t, name in zip(model.inputs, model.input_names, strict=True)
    ]

    def call(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        outputs = model(list(inputs) if inputs[1:] else inputs[0], training=False)
        return dict(zip(model.output_names, tf.nest.flatten(outputs), strict=True))

    return tf.function(call, autograph=False).get_concrete_function(*given)


Convert = Callable[[tf.keras.Model], bytes]


def _checked(model: tf.keras.Model, alone: Convert, whole: Convert | None = None) -> Model:
    """Return the file, every op of which exists. `alone` is what single layers are tried with."""
    with captured_stderr():
        file, _, reason = _attempt(model, whole or alone)
        if file is not None and not reason:
            return file if len(model.outputs) == 1 else read_model(order_outputs(file.content, model.output_names))
        for layer in model.layers:
            if _may_fail(layer):
                _, missing_here, reason_here = _attempt(_alone(layer), alone)
                if reason_here:
                    raise _at_layer(layer, missing_here, reason_here)
        raise LarqnetsError(
            f"The converter fails on the network as a whole and on none of its layers alone: {reason}. Leave out layers "
            "from the end until it converts, to find those that it fails at, and report the model."
        )


def _attempt(model: tf.keras.Model, convert: Convert) -> tuple[Model | None, list[str], str]:
    """Return the file, the ops that no engine has, and why there is no file that runs; "" where there is one."""
    try:
        file = read_model(convert(model))
        stateful = [op for op in file.operator_codes if op in _STATEFUL]
        if stateful:
            return file, stateful, f"its op {stateful[0]} keeps a state, so that a result depends on the sample before"
        missing = [op.removeprefix("CUSTOM:").removeprefix("Flex") for op in file.unknown_ops]
        return file, missing, f"TensorFlow Lite has {_no_ops(missing)}" if missing else ""
    except Exception as error:  # the converters raise whatever there is, and their text is of MLIR
        text = str(error)
        missing = sorted(set(re.findall(r"'tf\.(\w+)' op is neither", text)))
        return None, missing, f"TensorFlow Lite has {_no_ops(missing)}" if missing else _reason(text, error)


def _reason(text: str, error: Exception) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    said = next((line.split("error:", 1)[1].strip() for line in lines if "error:" in line), lines[-1])
    return printable(said)[:_MAX_REASON].rstrip(".")


def _no_ops(names: list[str]) -> str:
    return f"no {_ops(names)}"


def _ops(names: list[str]) -> str:
    return f"op {names[0]}" if len(names) == 1 else f"ops {' and '.join(names)}"


def _may_fail(layer: layers.Layer) -> bool:
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    if activation not in _PLAIN_ACTIVATIONS:
        return True
    return type(layer) not in (*_PLAIN, *_PLAIN_WITH)


def _alone(layer: layers.Layer) -> tf.keras.Model:
    return tf.keras.Model(layer.get_input_at(0), layer.get_output_at(0))


def _at_layer(layer: layers.Layer, missing: list[str], reason: str) -> LarqnetsError:
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    kind = getattr(layer, "symbol", None) or type(layer).__name__
    kind += "" if activation == "linear" else f" with {activation}"
    remedy = next((_REMEDIES[op] for op in missing if op in _REMEDIES), "put a layer of other ops in its place")
    return LarqnetsError(
        f"Layer '{layer.name}' ({printable(kind)}) cannot be converted: {reason}. To mend it, {remedy}."
    )
