"""What a Keras config of a stranger may name, and nothing else: layers, functions, types and plain values.

    layers        Keras' own, Larq's, ours (registered as larqnets>Name); Functional, Model and Sequential
    ops           pure functions of TensorFlow: arithmetic, comparison, nn, shape
    activations   Keras' own, Larq's, Larq Zoo's
    quantizers    Larq's, ours, Larq Zoo's

A name is only ever a key of these lists: nothing is imported or looked up for it.
"""

import inspect
from collections.abc import Callable
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


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KERAS = _words("""
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
LARQ = _words("""
    QuantConv1D QuantConv2D QuantConv2DTranspose QuantConv3D QuantConv3DTranspose QuantDense QuantDepthwiseConv2D
    QuantLocallyConnected1D QuantLocallyConnected2D QuantSeparableConv1D QuantSeparableConv2D
""")
LARQ_QUANTIZERS = _words("ApproxSign DoReFa MagnitudeAwareSign NoOp SteHeaviside SteSign SteTern SwishSign")
LARQ_ALIASES = {
    **{"ste_sign": "SteSign", "approx_sign": "ApproxSign", "ste_heaviside": "SteHeaviside", "swish_sign": "SwishSign"},
    **{"magnitude_aware_sign": "MagnitudeAwareSign", "ste_tern": "SteTern", "dorefa_quantizer": "DoReFa"},
    **{"DoReFaQuantizer": "DoReFa", "NoOpQuantizer": "NoOp"},
}
ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
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
QUANTIZER_FUNCTIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    **{name: getattr(lq.quantizers, name) for name in ("ste_heaviside", "ste_sign", "ste_tern", "swish_sign")},
    "magnitude_aware_sign_unclipped": zoo_functions.magnitude_aware_sign_unclipped,
    "xnor_weight_scale": zoo_functions.xnor_weight_scale,
}
# Packages that files name as the home of these functions.
_FUNCTIONS_OF = _words("builtins keras larq larq_zoo tensorflow tf_keras")
# By the names that TensorFlow exports them under, as an op layer writes them.
OPS = _words(
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
MODELS = {"keras": ("Functional", "Model", "Sequential"), "larq_zoo": ("BinaryDenseNet",)}
MODELS[""] = MODELS["keras"] + MODELS["larq_zoo"]


def read_entry(entry: Any, what: str) -> tuple[str, str, Any]:
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
        raise RefusedError(not_listed(f"{registered} as {whole_name(entry)}", what))
    if scope == "larqnets" and package in ("", "larqnets"):
        package = "larqnets"
    elif scope:
        raise RefusedError(not_listed(f"{scope}>{name}", what))
    config = entry["config"]
    if name != "function" and not isinstance(config, dict):
        if not (config is None or (name == "Sequential" and isinstance(config, list))):
            raise RefusedError(f"names {shown(whole_name(entry))} without saying how it is made")
        config = {"layers": config} if isinstance(config, list) else {}
    return package, name, config


def whole_name(entry: dict[str, Any]) -> str:
    """Return the name of an entry with the module that it says, to be shown."""
    name = entry["class_name"]
    module = entry.get("module")
    return name if module is None else f"{module}.{name}"


def find_layer(package: str, name: str, entry: dict[str, Any]) -> type:
    """Return the class of a layer; raises RefusedError when it is in none of the lists."""
    if package in ("", "keras") and name in KERAS:
        return getattr(tf.keras.layers, name)
    if package in ("", "larq") and name in LARQ:
        return getattr(lq.layers, name)
    if package == "larqnets" and name in our_classes():
        return our_classes()[name]
    config = entry["config"]
    of = config.get("name") if isinstance(config, dict) else None
    raise RefusedError(
        not_listed(whole_name(entry), f"the layer '{shown(of)}' of class " if isinstance(of, str) else "")
    )


def our_classes() -> dict[str, type]:
    """Our layers and quantizers by the name that they are registered as."""
    return {
        name.removeprefix("larqnets>"): kind
        for name, kind in tf.keras.utils.get_custom_objects().items()
        if name.startswith("larqnets>") and inspect.isclass(kind) and kind.__module__.startswith("larqnets.")
    }


def find_function(known: dict[str, Any], entry: dict[str, Any], what: str) -> Any:
    """Return a function by its name, as files say it: the name alone decides, and the module has to be one of a list."""
    name, module = entry["config"], entry.get("module")
    if not isinstance(name, str) or name not in known or (module or "builtins").split(".")[0] not in _FUNCTIONS_OF:
        raise RefusedError(not_listed(str(name) if module is None else f"{module}.{name}", what))
    return known[name]


def make_op(kind: str, config: dict[str, Any]) -> tf.keras.layers.Layer:
    """Return the layer that calls a function of TensorFlow; raises RefusedError when that is not in OPS."""
    name = config.get("function")
    if not isinstance(name, str) or name not in OPS:
        raise RefusedError(
            f"calls {shown(name)} of TensorFlow in the layer '{shown(config.get('name'))}', which is not among the pure "
            "functions that are loaded. Put a layer of Keras in its place"
        )
    made = TFOpLambda if kind == "TFOpLambda" else SlicingOpLambda
    return made.from_config(
        {"name": read_name(config.get("name")), "function": name, "dtype": read_dtype(config.get("dtype"))}
    )


def read_dtype(value: Any) -> Any:
    """Return a dtype or a policy of dtypes; raises RefusedError for any other."""
    if isinstance(value, dict):
        _, kind, config = read_entry(value, "the dtype ")
        if kind == "DTypePolicy":
            raise RefusedError(
                "was written by Keras 3, and Larq and the converter need Keras 2. Run the script that makes the model with "
                "TF_USE_LEGACY_KERAS=1 in its environment (pip install tf_keras) and save it again"
            )
        policy = config.get("name") if kind == "Policy" else None
        if not isinstance(policy, str) or policy not in _DTYPES:
            raise RefusedError(not_listed(whole_name(value), "the dtype "))
        return tf.keras.mixed_precision.Policy(policy)
    if value is not None and not (isinstance(value, str) and value in _DTYPES):
        raise RefusedError(not_listed(str(value), "the dtype "))
    return value


def read_name(value: Any) -> str | None:
    """Return the name of a layer or model, None where it has none; raises RefusedError for what is no text."""
    if value is not None and not isinstance(value, str):
        raise RefusedError(f"has a name that is no text: {shown(value)}")
    return value


def read_plain(value: Any) -> Any:
    """Return numbers, texts and lists as they are; of objects only arrays, tuples, shapes and the ellipsis are known."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [read_plain(item) for item in value]
    kind = value.get("class_name")
    if kind is None:
        return {key: read_plain(item) for key, item in value.items()}
    if kind in ("__tuple__", "TensorShape") and isinstance(value.get("items"), list):
        return tuple(read_plain(item) for item in value["items"])
    if kind == "__ellipsis__":
        return ...
    config = value.get("config")
    if kind in ("__numpy__", "__tensor__") and isinstance(config, dict) and config.get("dtype") in _DTYPES:
        return np.array(config.get("value"), tf.as_dtype(config["dtype"]).as_numpy_dtype)
    raise RefusedError(not_listed(str(whole_name({**value, "class_name": kind}))))
