"""Models that compute in 16 bits, rebuilt in float32, in which their files compute."""

from typing import Any

import tensorflow as tf

_SMALL = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")


def small_precision(model: tf.keras.Model) -> str:
    """Return the policy of the first layer that computes in 16 bits, "" where none does."""
    names = (layer.dtype_policy.name for layer in model.layers if hasattr(layer, "dtype_policy"))
    return next((name for name in names if name in _SMALL), "")


def in_float32(model: tf.keras.Model) -> tf.keras.Model:
    """Return the functional or sequential model with every layer in float32 and the same weights; itself where it is."""
    if not small_precision(model):
        return model
    if isinstance(model, tf.keras.Sequential):
        model = tf.keras.Model(model.inputs, model.outputs, name=model.name)
    inputs = [
        tf.keras.Input(tensor.shape[1:], tensor.shape[0], name=name)
        for tensor, name in zip(model.inputs, model.input_names, strict=True)
    ]
    rebuilt = tf.keras.models.clone_model(
        model,
        inputs,
        lambda layer: type(layer).from_config(_in_float32(layer.get_config())),
    )
    for layer in model.layers:
        if layer.weights:
            rebuilt.get_layer(layer.name).set_weights(layer.get_weights())
    return rebuilt


def _in_float32(config: Any) -> Any:
    """Return a layer's config, the layers and quantizers within it included, with every policy of 16 bits replaced."""
    if isinstance(config, dict):
        if config.get("class_name") == "Policy" and config.get("config", {}).get("name") in _SMALL:
            return "float32"
        replaced = {key: _in_float32(value) for key, value in config.items()}
        return replaced | ({"dtype": "float32"} if replaced.get("dtype") in _SMALL else {})
    return [_in_float32(value) for value in config] if isinstance(config, list) else config
