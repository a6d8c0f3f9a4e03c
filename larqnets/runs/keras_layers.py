"""Networks rebuilt from a config that a stranger wrote: everything that it may name stands in the lists below.

Keras itself looks up what a config names: it imports modules, and its op layers reach every function that TensorFlow
exports. Here nothing of the config but plain values (numbers, texts, lists of them) comes to Keras, and a name is only ever
a key of these lists:

    layers        Keras' own, Larq's, ours (registered as larqnets>Name); Functional, Model and Sequential
    ops           pure functions of TensorFlow: arithmetic, comparison, nn, shape
    activations   Keras' own, Larq's, Larq Zoo's
    quantizers    Larq's, ours, Larq Zoo's

Initializers, regularizers and constraints mean nothing once a network is trained, and are left out unread, as what a
compiled model says about its training is; `larqnets.runs.keras_config.scan` has refused code in them.
"""

import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any

from larqnets import require_keras_2

require_keras_2()

import larq as lq  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from tf_keras.src.layers.core.tf_op_layer import SlicingOpLambda, TFOpLambda  # noqa: E402

import larqnets.layers  # noqa: E402
import larqnets.quantizers  # noqa: E402, F401 - they and the layers register themselves
from larqnets.runs import zoo_functions  # noqa: E402
from larqnets.runs.keras_config import RefusedError, not_listed, shown  # noqa: E402

MAX_LAYERS = 5000
MAX_NESTED = 16  # models in models
MAX_ELEMENTS = 2**31 - 1  # of one tensor for one sample; TFLite counts bytes in 32 bits
MAX_PARTS = 4096  # of a split


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KERAS = _words("""
    Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D AveragePooling2D
    AveragePooling3D BatchNormalization Bidirectional CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose
    Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D
    DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Flatten GRU GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D
    GroupNormalization Identity InputLayer LSTM LayerNormalization LeakyReLU LocallyConnected1D LocallyConnected2D Masking
    MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU Permute
    RandomBrightness RandomContrast RandomCrop RandomFlip RandomHeight RandomRotation RandomTranslation RandomWidth
    RandomZoom ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D SeparableConv2D SimpleRNN Softmax
    SpatialDropout1D SpatialDropout2D SpatialDropout3D Subtract ThresholdedReLU TimeDistributed UnitNormalization
    UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
""")
_LARQ = _words("""
    QuantConv1D QuantConv2D QuantConv2DTranspose QuantConv3D QuantConv3DTranspose QuantDense QuantDepthwiseConv2D
    QuantLocallyConnected1D QuantLocallyConnected2D QuantSeparableConv1D QuantSeparableConv2D
""")
_LARQ_QUANTIZERS = _words("ApproxSign DoReFa MagnitudeAwareSign NoOp SteHeaviside SteSign SteTern SwishSign")
_LARQ_ALIASES = {
    **{"ste_sign": "SteSign", "approx_sign": "ApproxSign", "ste_heaviside": "SteHeaviside", "swish_sign": "SwishSign"},
    **{"magnitude_aware_sign": "MagnitudeAwareSign", "ste_tern": "SteTern", "dorefa_quantizer": "DoReFa"},
    **{"DoReFaQuantizer": "DoReFa", "NoOpQuantizer": "NoOp"},
}
_ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    **{
        name: getattr(tf.keras.activations, name)
        for name in _words(
            "elu exponential gelu hard_sigmoid linear mish relu selu sigmoid softmax softplus softsign swish tanh"
        )
    },
    **{"silu": tf.keras.activations.swish, "softmax_v2": tf.keras.activations.softmax},
    **{name: getattr(tf.nn, name) for name in ("relu6", "leaky_relu")},
    **{name: getattr(lq.activations, name) for name in ("hard_tanh", "leaky_tanh")},
    "clip_by_value_activation": zoo_functions.clip_by_value_activation,
}
_QUANTIZER_FUNCTIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    **{name: getattr(lq.quantizers, name) for name in ("ste_heaviside", "ste_sign", "ste_tern", "swish_sign")},
    "magnitude_aware_sign_unclipped": zoo_functions.magnitude_aware_sign_unclipped,
    "xnor_weight_scale": zoo_functions.xnor_weight_scale,
}
# Packages that files name as the home of these functions.
_FUNCTIONS_OF = _words("builtins keras larq larq_zoo tensorflow tf_keras")
# By the names that TensorFlow exports them under, as an op layer writes them.
_OPS = _words(
    """
    __operators__.add __operators__.eq __operators__.getitem __operators__.ne
    math.abs math.accumulate_n math.add math.add_n math.argmax math.argmin math.atan math.ceil math.cos math.cumsum
    math.divide math.divide_no_nan math.equal math.erf math.exp math.expm1 math.floor math.floordiv math.floormod
    math.greater math.greater_equal math.is_nan math.l2_normalize math.less math.less_equal math.log math.log1p
    math.logical_and math.logical_not math.logical_or math.maximum math.minimum math.mod math.multiply math.negative
    math.not_equal math.pow math.reciprocal math.reduce_all math.reduce_any math.reduce_euclidean_norm
    math.reduce_logsumexp math.reduce_max math.reduce_mean math.reduce_min math.reduce_prod math.reduce_std math.reduce_sum
    math.reduce_variance math.round math.rsqrt math.scalar_mul math.sigmoid math.sign math.sin math.sinh math.softplus
    math.softsign math.sqrt math.square math.squared_difference math.subtract math.tan math.tanh math.top_k math.truediv
    compat.v1.floor_div compat.v1.math.scalar_mul
    linalg.matmul linalg.l2_normalize einsum tensordot norm compat.v1.norm clip_by_value cast where
    nn.avg_pool nn.avg_pool2d nn.bias_add nn.conv2d nn.conv2d_transpose nn.convolution nn.depth_to_space
    nn.depthwise_conv2d nn.elu nn.gelu nn.leaky_relu nn.local_response_normalization nn.log_softmax nn.max_pool
    nn.max_pool2d nn.moments nn.pool nn.relu nn.relu6 nn.selu nn.silu nn.softmax nn.softplus nn.softsign nn.space_to_depth
    nn.swish compat.v1.nn.conv2d compat.v1.nn.depthwise_conv2d compat.v1.nn.pool
    compat.v1.depth_to_space compat.v1.space_to_depth
    argsort batch_to_space boolean_mask broadcast_to concat ensure_shape expand_dims gather gather_nd identity one_hot
    ones_like pad rank repeat reshape reverse roll shape size slice sort space_to_batch space_to_batch_nd split squeeze
    stack stop_gradient strided_slice tile transpose zeros_like compat.v1.batch_to_space_nd compat.v1.boolean_mask
    compat.v1.gather compat.v1.gather_nd compat.v1.pad compat.v1.shape compat.v1.size compat.v1.squeeze
    compat.v1.transpose
    image.central_crop image.crop_to_bounding_box image.flip_left_right image.flip_up_down image.pad_to_bounding_box
    image.per_image_standardization image.resize
    """
)
_DTYPES = _words("float16 bfloat16 float32 float64 int8 int16 int32 int64 uint8 bool mixed_float16 mixed_bfloat16")
# Subclasses stand in a file with the graph that their constructor made; Larq Zoo's adds nothing to it.
_MODELS = {"keras": ("Functional", "Model", "Sequential"), "larq_zoo": ("BinaryDenseNet",)}
_MODELS[""] = _MODELS["keras"] + _MODELS["larq_zoo"]
_LEFT_OUT = ("initializer", "regularizer", "constraint")
_LEFT_OUT_OF = {"MultiHeadAttention": ("query_shape", "key_shape", "value_shape")}  # it learns them when it is called
_BASE_OPTIONS = frozenset(("name", "trainable", "dtype", "batch_input_shape", "dynamic", "implementation"))
_NEVER = frozenset(("weights", "input_tensor", "type_spec"))  # options that hold objects


def build_network(config: dict[str, Any]) -> tf.keras.Model:
    """Return the network that a scanned config describes, with fresh weights; raises `RefusedError`, and what Keras raises."""
    model = _Builder().layer(config)
    if not isinstance(model, tf.keras.Model):
        raise RefusedError("holds a layer and no network. Save a whole model with model.save")
    return model


class _Builder:
    """Makes the layers of one config; a layer that stands in it several times is made once."""

    def __init__(self) -> None:
        self.shared: dict[int, Any] = {}
        self.count = self.depth = 0

    def layer(self, entry: Any) -> tf.keras.layers.Layer:
        """Return the layer or model of an entry {"class_name", "config", "module", "registered_name", …}."""
        package, name, config = _named(entry, "")
        key = entry.get("shared_object_id")
        if isinstance(key, int) and key in self.shared:
            return self.shared[key]
        self.count += 1
        if self.count > MAX_LAYERS:
            raise RefusedError(f"has more than {MAX_LAYERS} layers")
        if name in _MODELS.get(package, ()):
            made = self._model(name, config)
        elif package in ("", "keras") and name in ("TFOpLambda", "SlicingOpLambda"):
            made = _op(name, config)
        else:
            made = self._made(_find(package, name, entry), config)
        if isinstance(key, int):
            self.shared[key] = made
        return made

    def _made(self, kind: type, config: dict[str, Any]) -> Any:
        options = {}
        known = set(_options(kind)) | _BASE_OPTIONS
        for key, value in config.items():
            if key.endswith(_LEFT_OUT) or key in _LEFT_OUT_OF.get(kind.__name__, ()):
                continue
            if key not in known or key in _NEVER:
                raise RefusedError(
                    f"gives the layer '{shown(config.get('name'))}' ({kind.__name__}) the option '{shown(key)}', which it "
                    "does not have in Keras 2. Save the model again with Keras 2"
                )
            options[key] = self._option(key, value)
        return kind(**options)

    def _option(self, key: str, value: Any) -> Any:
        if value is None:
            return None
        if key.endswith("quantizer"):
            return self._quantizer(value)
        if key.endswith("activation"):
            return self._activation(value)
        if key in ("layer", "backward_layer"):
            return self.layer(value)
        return _dtype(value) if key == "dtype" else _plain(value)

    def _activation(self, value: Any) -> Any:
        if isinstance(value, str):
            return _function(_ACTIVATIONS, {"config": value}, "the activation ")
        _, name, _ = _named(value, "the activation ")
        if name == "function":
            return _function(_ACTIVATIONS, value, "the activation ")
        return self.layer(value)

    def _quantizer(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._quantizer({"class_name": value, "config": {}})
        package, name, config = _named(value, "the quantizer ")
        if name == "function":
            return _function(_QUANTIZER_FUNCTIONS, value, "the quantizer ")
        if package == "larqnets" and (kind := _ours().get(name)) is not None:
            return self._made(kind, config)
        name = _LARQ_ALIASES.get(name, name)
        if package in ("", "larq") and name in _LARQ_QUANTIZERS:
            return self._made(getattr(lq.quantizers, name), config)
        if package in ("", "larq_zoo") and name in _QUANTIZER_FUNCTIONS:
            return _QUANTIZER_FUNCTIONS[name]
        raise RefusedError(not_listed(_whole_name(value), "the quantizer "))

    def _model(self, kind: str, config: dict[str, Any]) -> tf.keras.Model:
        self.depth += 1
        if self.depth > MAX_NESTED:
            raise RefusedError(f"has more than {MAX_NESTED} models in each other")
        entries = config.get("layers")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise RefusedError("has a network without layers")
        model = self._sequence(entries, config) if kind == "Sequential" else self._graph(entries, config)
        self.depth -= 1
        return model

    def _sequence(self, entries: list[dict[str, Any]], config: dict[str, Any]) -> tf.keras.Sequential:
        model = tf.keras.Sequential(name=_text(config.get("name")))
        for entry in entries:
            layer = self.layer(entry)
            model.add(layer)
            _check_size(layer, model.outputs or [])
        shape = config.get("build_input_shape")
        if not model.inputs and isinstance(shape, list) and all(n is None or isinstance(n, int) for n in shape):
            model.build(tuple(shape))
        return model

    def _graph(self, entries: list[dict[str, Any]], config: dict[str, Any]) -> tf.keras.Model:
        """Make the layers, then call each as soon as its inputs are there."""
        layers: dict[str, Any] = {}
        tensors: dict[tuple[str, int], list[Any]] = {}
        waiting: list[tuple[str, int, Any]] = []
        for entry in entries:
            layer = self.layer(entry)
            name = entry.get("name") or layer.name
            if name in layers or not isinstance(name, str):
                raise RefusedError(f"has two layers called '{shown(name)}'")
            layers[name] = layer
            first = 0
            if isinstance(layer, tf.keras.layers.InputLayer):
                tensors[name, 0] = tf.nest.flatten(layer.output)
            elif isinstance(layer, tf.keras.Model) and layer.inputs:
                first = 1  # Keras counts the call that made the inner model
            nodes = entry.get("inbound_nodes")
            if not isinstance(nodes, list):
                raise RefusedError(f"does not say what the layer '{shown(name)}' is called on")
            waiting += [(name, first + i, node) for i, node in enumerate(nodes)]
        while waiting:
            left = []
            for name, place, node in waiting:
                found = list(_references(node))
                if not found:
                    raise RefusedError(f"calls the layer '{shown(name)}' on no tensor")
                if all(reference in tensors for reference in found):
                    tensors[name, place] = _call(layers[name], node, tensors)
                else:
                    left.append((name, place, node))
            if len(left) == len(waiting):
                raise RefusedError(f"calls the layer '{shown(left[0][0])}' on a tensor that no layer makes before it")
            waiting = left
        ends = []
        for key in ("input_layers", "output_layers"):
            found = list(_references(config.get(key)))
            if not found or not all(reference in tensors for reference in found):
                raise RefusedError(f"says no right {key}")
            ends.append(_resolved(config[key], tensors))
        # a single tensor may stand bare, as it did when the model was made
        return tf.keras.Model(*ends, name=_text(config.get("name")))


def _named(entry: Any, what: str) -> tuple[str, str, Any]:
    """Return (package, name, config) of an entry; the package "" is told by older files, and means Keras or Larq."""
    if not isinstance(entry, dict) or not isinstance(entry.get("class_name"), str) or "config" not in entry:
        raise RefusedError(f"has something else where {what or 'a layer '}should stand: {shown(entry)}")
    name, module, registered = entry["class_name"], entry.get("module"), entry.get("registered_name")
    package = "" if module is None else module.split(".")[0]
    if package == "tf_keras":
        package = "keras"
    scope, _, registered_as = str(registered or "").rpartition(">")
    if ">" in name:
        scope, _, name = name.rpartition(">")
    elif name != "function" and registered is not None and registered_as != name:
        raise RefusedError(not_listed(f"{registered} as {_whole_name(entry)}", what))
    if scope == "larqnets" and package in ("", "larqnets"):
        package = "larqnets"
    elif scope:
        raise RefusedError(not_listed(f"{scope}>{name}", what))
    config = entry["config"]
    if name != "function" and not isinstance(config, dict):
        if not (config is None or (name == "Sequential" and isinstance(config, list))):
            raise RefusedError(f"names {shown(_whole_name(entry))} without saying how it is made")
        config = {"layers": config} if isinstance(config, list) else {}
    return package, name, config


def _whole_name(entry: dict[str, Any]) -> str:
    name = entry["class_name"]
    module = entry.get("module")
    return name if module is None else f"{module}.{name}"


def _find(package: str, name: str, entry: dict[str, Any]) -> type:
    if package in ("", "keras") and name in _KERAS:
        return getattr(tf.keras.layers, name)
    if package in ("", "larq") and name in _LARQ:
        return getattr(lq.layers, name)
    if package == "larqnets" and name in _ours():
        return _ours()[name]
    config = entry["config"]
    of = config.get("name") if isinstance(config, dict) else None
    raise RefusedError(
        not_listed(_whole_name(entry), f"the layer '{shown(of)}' of class " if isinstance(of, str) else "")
    )


def _ours() -> dict[str, type]:
    """Our layers and quantizers by the name that they are registered as."""
    return {
        name.removeprefix("larqnets>"): kind
        for name, kind in tf.keras.utils.get_custom_objects().items()
        if name.startswith("larqnets>") and inspect.isclass(kind) and kind.__module__.startswith("larqnets.")
    }


def _options(kind: type) -> Iterator[str]:
    """Every named argument of a class and those it hands on to."""
    for parent in kind.__mro__:
        if parent in (tf.keras.layers.Layer, tf.Module, object) or "__init__" not in vars(parent):
            continue
        for name, parameter in inspect.signature(parent.__init__).parameters.items():
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name != "self":
                yield name


def _function(known: dict[str, Any], entry: dict[str, Any], what: str) -> Any:
    """Return a function by its name, as files say it: the name alone decides, and the module has to be one of a list."""
    name, module = entry["config"], entry.get("module")
    if not isinstance(name, str) or name not in known or (module or "builtins").split(".")[0] not in _FUNCTIONS_OF:
        raise RefusedError(not_listed(str(name) if module is None else f"{module}.{name}", what))
    return known[name]


def _op(kind: str, config: dict[str, Any]) -> tf.keras.layers.Layer:
    name = config.get("function")
    if not isinstance(name, str) or name not in _OPS:
        raise RefusedError(
            f"calls {shown(name)} of TensorFlow in the layer '{shown(config.get('name'))}', which is not among the pure "
            "functions that are loaded. Put a layer of Keras in its place"
        )
    made = TFOpLambda if kind == "TFOpLambda" else SlicingOpLambda
    return made.from_config({"name": _text(config.get("name")), "function": name, "dtype": _dtype(config.get("dtype"))})


def _dtype(value: Any) -> Any:
    if isinstance(value, dict):
        _, kind, config = _named(value, "the dtype ")
        if kind == "DTypePolicy":
            raise RefusedError(
                "was written by Keras 3, and Larq and the converter need Keras 2. Run the script that makes the model with "
                "TF_USE_LEGACY_KERAS=1 in its environment (pip install tf_keras) and save it again"
            )
        policy = config.get("name") if kind == "Policy" else None
        if not isinstance(policy, str) or policy not in _DTYPES:
            raise RefusedError(not_listed(_whole_name(value), "the dtype "))
        return tf.keras.mixed_precision.Policy(policy)
    if value is not None and not (isinstance(value, str) and value in _DTYPES):
        raise RefusedError(not_listed(str(value), "the dtype "))
    return value


def _text(value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise RefusedError(f"has a name that is no text: {shown(value)}")
    return value


def _plain(value: Any) -> Any:
    """Return numbers, texts and lists as they are; of objects only arrays, tuples, shapes and the ellipsis are known."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_plain(item) for item in value]
    kind = value.get("class_name")
    if kind is None:
        return {key: _plain(item) for key, item in value.items()}
    if kind in ("__tuple__", "TensorShape") and isinstance(value.get("items"), list):
        return tuple(_plain(item) for item in value["items"])
    if kind == "__ellipsis__":
        return ...
    config = value.get("config")
    if kind in ("__numpy__", "__tensor__") and isinstance(config, dict) and config.get("dtype") in _DTYPES:
        return np.array(config.get("value"), tf.as_dtype(config["dtype"]).as_numpy_dtype)
    raise RefusedError(not_listed(str(_whole_name({**value, "class_name": kind}))))


def _is_reference(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and value[0] != "_CONSTANT_VALUE"
        and all(type(n) is int for n in value[1:3])
        and (len(value) == 3 or isinstance(value[3], dict))
    )


def _references(value: Any) -> Iterator[tuple[str, int]]:
    """Every (layer, call) whose tensors a node asks for, in its keyword arguments too."""
    if _is_reference(value):
        yield value[0], value[1]
        yield from _references(value[3] if len(value) == 4 else None)
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _references(item)


def _resolved(value: Any, tensors: dict[tuple[str, int], list[Any]]) -> Any:
    """Return a structure of references and plain values with tensors for references."""
    if _is_reference(value):
        found = tensors[value[0], value[1]]
        if not 0 <= value[2] < len(found):
            raise RefusedError(f"asks for a tensor that the layer '{shown(value[0])}' does not make")
        return found[value[2]]
    if isinstance(value, list) and value[:2] == ["_CONSTANT_VALUE", -1] and len(value) in (3, 4):
        return _plain(value[2])
    if isinstance(value, list):
        return [_resolved(item, tensors) for item in value]
    if isinstance(value, dict) and "class_name" not in value:
        return {key: _resolved(item, tensors) for key, item in value.items()}
    return _plain(value)


def _keywords(node: Any) -> dict[str, Any]:
    """Return the keyword arguments of a call, which every one of its tensors repeats."""
    if isinstance(node, list) and len(node) == 4 and isinstance(node[0], str) and isinstance(node[3], dict):
        return node[3]
    found: dict[str, Any] = {}
    if isinstance(node, (list, dict)):
        for item in node.values() if isinstance(node, dict) else node:
            found |= _keywords(item)
    return found


def _call(layer: Any, node: Any, tensors: dict[tuple[str, int], list[Any]]) -> list[Any]:
    """Call a layer as a node of the config says and return its tensors."""
    inputs = _resolved(node, tensors)
    keywords = {key: _resolved(value, tensors) for key, value in _keywords(node).items()}
    if isinstance(layer, TFOpLambda):
        parts = keywords.get("num_or_size_splits")
        if isinstance(parts, int) and parts > MAX_PARTS:
            raise RefusedError(f"splits a tensor into more than {MAX_PARTS} parts in the layer '{shown(layer.name)}'")
    elif isinstance(inputs, list) and len(inputs) == 1:
        inputs = inputs[0]
    made = layer(inputs, **keywords)
    _check_size(layer, made)
    return tf.nest.flatten(made)


def _check_size(layer: tf.keras.layers.Layer, tensors: Any) -> None:
    for tensor in tf.nest.flatten(tensors):
        elements = math.prod(length or 1 for length in tensor.shape[1:]) if tensor.shape.rank else 1
        if elements > MAX_ELEMENTS:
            raise RefusedError(
                f"makes tensors of {elements} numbers a sample in the layer '{shown(layer.name)}', more than any device holds"
            )
