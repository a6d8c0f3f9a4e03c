"""A small real-valued network on the digits with every kind of kernel, untrained but with no trivial constant."""

import numpy as np
import tensorflow as tf

CLASSES = 10


def digits_network(seed: int = 0, name: str = "small") -> tf.keras.Model:
    """Convolution, depthwise, stride 2 behind a padding, dense behind BatchNorm; logits of 8x8x1 images."""
    layers = tf.keras.layers
    image = tf.keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(image)
    x = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=8, name="depthwise")(x)
    x = layers.ReLU(name="depthwise_relu")(layers.BatchNormalization(name="depthwise_norm")(x))
    x = layers.ZeroPadding2D(1, name="pad")(x)
    x = layers.Conv2D(24, 3, strides=2, name="conv")(x)
    x = layers.ReLU(name="conv_relu")(layers.BatchNormalization(name="conv_norm")(x))
    x = layers.Flatten(name="flatten")(x)
    x = layers.BatchNormalization(name="dense_norm")(layers.Dense(40, name="dense")(x))
    x = layers.ReLU(name="dense_relu")(x)
    x = layers.Dense(CLASSES, name="head")(x)
    return randomise(tf.keras.Model(image, x, name=name), seed)


def randomise(model: tf.keras.Model, seed: int = 0) -> tf.keras.Model:
    """Fill every weight; variances are positive, gammas have both signs."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        fan_in = max(1, int(np.prod(variable.shape[:-1])))
        values = rng.normal(scale=fan_in**-0.5 if len(variable.shape) > 1 else 0.3, size=variable.shape)
        if "variance" in variable.name or "gamma" in variable.name:
            values = np.abs(values) + 0.5
        if "gamma" in variable.name:
            values *= rng.choice([-1, 1], size=variable.shape)
        variable.assign(values)
    return model


def torch_arrays(model: tf.keras.Model) -> dict[str, np.ndarray]:
    """Return the model's weights in PyTorch's names and layouts, written down here a second time."""
    layers = tf.keras.layers
    arrays = {}
    for layer in model.layers:
        name, weights = layer.name, [w.numpy() for w in layer.weights]
        if isinstance(layer, layers.BatchNormalization):
            for kind, values in zip(("weight", "bias", "running_mean", "running_var"), weights, strict=True):
                arrays[f"{name}.{kind}"] = values
        elif isinstance(layer, layers.DepthwiseConv2D):
            kh, kw, channels, multiplier = weights[0].shape
            grouped = np.moveaxis(weights[0], (2, 3), (0, 1)).reshape(channels * multiplier, 1, kh, kw)
            arrays |= {f"{name}.weight": grouped, f"{name}.bias": weights[1]}
        elif weights:
            kernel = weights[0].T if weights[0].ndim == 2 else np.moveaxis(weights[0], (3, 2), (0, 1))
            arrays[f"{name}.weight"] = kernel
            if len(weights) > 1:
                arrays[f"{name}.bias"] = weights[1]
    return arrays
