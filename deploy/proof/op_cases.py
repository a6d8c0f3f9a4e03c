"""The ops that our networks and Keras' common layers produce, over sizes, windows, strides, dilations and paddings.

A case is a small piece of a Keras model.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

layers = tf.keras.layers

Shape = tuple[int, ...]
Make = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """One op: `make` maps Keras tensors of the `shapes`, without the batch, to one tensor."""

    name: str
    shapes: tuple[Shape, ...]
    make: Make


CHANNELS, FILTERS = 4, 5
SIZES = ((5, 5), (8, 8), (9, 7), (12, 16), (1, 6), (32, 32))
WINDOWS = ((1, 1), (2, 2), (3, 3), (5, 5), (1, 3), (3, 1))
STRIDES = ((1, 1), (2, 2), (3, 3), (4, 4), (3, 4), (1, 2), (2, 1))


def families() -> dict[str, list[Case]]:
    """Return all cases, by the kind of op."""
    return {
        "convolution": list(_convolutions()),
        "depthwise convolution": list(_depthwise()),
        "transposed convolution": list(_transposed()),
        "pooling": list(_poolings()),
        "dense": list(_dense()),
        "activation": list(_activations()),
        "elementwise": list(_elementwise()),
        "shape": list(_shapes()),
        "reduction": list(_reductions()),
    }


def _fits(size: Iterable[int], window: Iterable[int], dilation: Iterable[int], padding: str) -> bool:
    """Return whether there is an output pixel at all."""
    return padding == "same" or all((k - 1) * d < n for n, k, d in zip(size, window, dilation, strict=True))


def _geometries(dilations: bool) -> Iterable[tuple[str, Shape, dict[str, Any]]]:
    """Yield name, image size and the options of a window's layer, for every geometry."""
    for size, window, padding in itertools.product(SIZES, WINDOWS, ("same", "valid")):
        moves = [(stride, (1, 1)) for stride in STRIDES]
        moves += [((1, 1), (2, 2)), ((1, 1), (3, 2))] if dilations else []
        for stride, dilation in moves:
            if not _fits(size, window, dilation, padding):
                continue
            options = {"kernel_size": window, "strides": stride, "padding": padding}
            options |= {"dilation_rate": dilation} if dilation != (1, 1) else {}
            name = f"{size[0]}x{size[1]} window {window[0]}x{window[1]} stride {stride[0]},{stride[1]} {padding}"
            yield name + (f" dilation {dilation[0]},{dilation[1]}" if dilation != (1, 1) else ""), size, options


def _convolutions() -> Iterable[Case]:
    for name, size, options in _geometries(dilations=True):
        conv = layers.Conv2D(FILTERS, bias_initializer="normal", **options)
        yield Case(f"Conv2D {name}", ((*size, CHANNELS),), conv)
    for activation in ("relu", "relu6", "tanh", "sigmoid"):
        conv = layers.Conv2D(FILTERS, 3, padding="same", activation=getattr(tf.nn, activation))
        yield Case(f"Conv2D {activation}", ((8, 8, CHANNELS),), conv)
    for groups, channels in ((2, 4), (4, 8)):
        conv = layers.Conv2D(8, 3, padding="same", groups=groups)
        yield Case(f"Conv2D {groups} groups", ((8, 8, channels),), conv)
    for length, window, stride, padding in itertools.product((6, 9, 16), (1, 2, 3), (1, 2, 4), ("same", "valid")):
        conv = layers.Conv1D(FILTERS, window, strides=stride, padding=padding)
        yield Case(f"Conv1D {length} window {window} stride {stride} {padding}", ((length, CHANNELS),), conv)


def _depthwise() -> Iterable[Case]:
    for name, size, options in _geometries(dilations=True):
        stride = options["strides"]
        if stride[0] != stride[1] and "dilation_rate" not in options:
            continue  # TensorFlow has no depthwise convolution of two strides
        if options.get("dilation_rate", (1, 1)) not in ((1, 1), (2, 2)):
            continue
        for multiplier in (1, 2) if size in ((8, 8), (9, 7)) else (1,):
            conv = layers.DepthwiseConv2D(bias_initializer="normal", depth_multiplier=multiplier, **options)
            yield Case(f"DepthwiseConv2D x{multiplier} {name}", ((*size, CHANNELS),), conv)
    for size, window, stride, padding in itertools.product((8, 9), (2, 3), (1, 2, 3, 4), ("same", "valid")):
        conv = layers.SeparableConv2D(FILTERS, window, strides=stride, padding=padding)
        name = f"SeparableConv2D {size}x{size} window {window} stride {stride} {padding}"
        yield Case(name, ((size, size, CHANNELS),), conv)


def _transposed() -> Iterable[Case]:
    for size, window, stride, padding in itertools.product(
        ((1, 1), (4, 4), (5, 3)),
        ((1, 1), (2, 2), (3, 3), (4, 4), (1, 3)),
        ((1, 1), (2, 2), (3, 3), (2, 3)),
        ("same", "valid"),
    ):
        conv = layers.Conv2DTranspose(FILTERS, window, strides=stride, padding=padding, bias_initializer="normal")
        name = f"{size[0]}x{size[1]} window {window[0]}x{window[1]} stride {stride[0]},{stride[1]} {padding}"
        yield Case(f"Conv2DTranspose {name}", ((*size, CHANNELS),), conv)


def _poolings() -> Iterable[Case]:
    for kind in (layers.MaxPooling2D, layers.AveragePooling2D):
        for name, size, options in _geometries(dilations=False):
            pool = kind(options["kernel_size"], options["strides"], options["padding"])
            yield Case(f"{kind.__name__} {name}", ((*size, CHANNELS),), pool)
    for kind in (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D):
        for size, keep in itertools.product(SIZES, (False, True)):
            yield Case(f"{kind.__name__} {size} {keep}", ((*size, CHANNELS),), kind(keepdims=keep))
    for kind in (layers.MaxPooling1D, layers.AveragePooling1D):
        for window, stride, padding in itertools.product((2, 3), (1, 2, 4), ("same", "valid")):
            name = f"{kind.__name__} window {window} stride {stride} {padding}"
            yield Case(name, ((9, CHANNELS),), kind(window, stride, padding))


def _dense() -> Iterable[Case]:
    for shape, units in itertools.product(((1,), (3,), (17,), (64,), (3, 7), (2, 3, 5)), (1, 5, 16)):
        yield Case(f"Dense {shape} {units}", (shape,), layers.Dense(units, bias_initializer="normal"))
    for activation in ("relu", "tanh", "sigmoid", "softmax"):
        yield Case(f"Dense {activation}", ((17,),), layers.Dense(6, activation=activation))
    yield Case("matmul", ((3, 4), (4, 5)), lambda a, b: tf.matmul(a, b))
    yield Case("matmul, second transposed", ((3, 4), (5, 4)), lambda a, b: tf.matmul(a, b, transpose_b=True))
    yield Case("matmul of rank 4", ((2, 3, 4), (2, 4, 5)), lambda a, b: tf.matmul(a, b))


_ACTIVATIONS: dict[str, Make] = {
    **{name: getattr(tf.nn, name) for name in ("relu", "relu6", "elu", "selu", "sigmoid", "tanh", "softplus", "swish")},
    **{name: getattr(tf.keras.activations, name) for name in ("hard_sigmoid", "exponential")},
    "hard swish": lambda x: x * tf.nn.relu6(x + 3) / 6,
    "relu -1 to 1": lambda x: tf.clip_by_value(x, -1.0, 1.0),
    "clip": lambda x: tf.clip_by_value(x, -0.5, 2.0),
    "gelu": lambda x: tf.nn.gelu(x, approximate=True),
    "sign": tf.sign,
    "abs": tf.abs,
    "negate": tf.negative,
    "floor": tf.floor,
    "ceil": tf.math.ceil,
    "round": tf.round,
    "square": tf.square,
    "square root": lambda x: tf.sqrt(tf.abs(x)),
    "reciprocal root": lambda x: tf.math.rsqrt(tf.abs(x) + 0.1),
    "exp": tf.exp,
    "log": lambda x: tf.math.log(tf.abs(x) + 0.1),
    "sin": tf.sin,
    "cos": tf.cos,
}


def _activations() -> Iterable[Case]:
    for (name, function), shape in itertools.product(_ACTIVATIONS.items(), ((7,), (3, 5, 6))):
        yield Case(f"{name} {shape}", (shape,), function)
    for shape in ((2,), (7,), (3, 5), (3, 5, 6), (1, 1, 9)):
        yield Case(f"softmax {shape}", (shape,), layers.Softmax())
        yield Case(f"log softmax {shape}", (shape,), tf.nn.log_softmax)
    yield Case("softmax of another axis", ((3, 5, 6),), layers.Softmax(axis=1))
    for slope in (0.0, 0.01, 0.3, 1.0, 2.0, -0.5):
        yield Case(f"leaky relu {slope}", ((3, 5, 6),), layers.LeakyReLU(slope))
        if slope >= 0:
            yield Case(f"relu slope {slope}", ((3, 5, 6),), layers.ReLU(negative_slope=slope))
    for axes in (None, (1, 2), (1,), (1, 2, 3)):
        for start in (0.25, -0.5):
            name = f"PReLU {axes} {start}"
            yield Case(name, ((3, 5, 6),), layers.PReLU(tf.keras.initializers.Constant(start), shared_axes=axes))
    yield Case("PReLU of a vector", ((7,),), layers.PReLU("normal"))
    for name, layer in (
        ("BatchNormalization", layers.BatchNormalization(beta_initializer="normal")),
        ("LayerNormalization", layers.LayerNormalization()),
        ("UnitNormalization", layers.UnitNormalization()),
        ("GroupNormalization", layers.GroupNormalization(2)),
        ("Rescaling", layers.Rescaling(0.5, 0.25)),
    ):
        yield Case(name, ((3, 5, 6),), layer)


def _elementwise() -> Iterable[Case]:
    operations: dict[str, Make] = {
        "add": lambda a, b: a + b,
        "subtract": lambda a, b: a - b,
        "multiply": lambda a, b: a * b,
        # TFLite's int8 DIV refuses a divisor that is stored as 0, whatever its zero point: it is kept in the upper half
        "divide": lambda a, b: a / (tf.sigmoid(b) + 1.1),
        "maximum": tf.maximum,
        "minimum": tf.minimum,
        "squared difference": tf.math.squared_difference,
        "add, relu": lambda a, b: tf.nn.relu(a + b),
        "subtract, relu6": lambda a, b: tf.nn.relu6(a - b),
    }
    pairs = (
        ((3, 5, 6), (3, 5, 6)),
        ((3, 5, 6), (1, 1, 6)),
        ((1, 1, 6), (3, 5, 6)),
        ((3, 5, 6), (3, 5, 1)),
        ((3, 1, 6), (1, 5, 6)),
        ((3, 5, 6), (1, 5, 1)),
        ((7,), (7,)),
        ((7,), (1,)),
        ((4, 3), (1, 3)),
    )
    for (name, function), shapes in itertools.product(operations.items(), pairs):
        yield Case(f"{name} {shapes[0]} {shapes[1]}", shapes, function)
    for name in ("add", "subtract", "multiply", "maximum", "minimum"):
        function = operations[name]
        for shape in ((6,), (5, 1), (1,)):
            constant = tf.reshape(tf.linspace(-1.0, 2.0, int(tf.reduce_prod(shape))), shape)
            yield Case(f"{name} (3, 5, 6) constant {shape}", ((3, 5, 6),), lambda a, c=constant, f=function: f(a, c))
            yield Case(f"{name} constant {shape} (3, 5, 6)", ((3, 5, 6),), lambda a, c=constant, f=function: f(c, a))
    yield Case("where", ((3, 5, 6), (3, 5, 6)), lambda a, b: tf.where(a > b, a, b))
    yield Case("average of three", ((3, 5, 6),) * 3, lambda *x: layers.Average()(list(x)))
    yield Case("add of three", ((3, 5, 6),) * 3, lambda *x: layers.Add()(list(x)))


def _shapes() -> Iterable[Case]:
    image = (6, 8, 4)
    for pad in (((1, 1), (1, 1)), ((0, 1), (0, 1)), ((2, 0), (0, 3)), ((0, 0), (1, 2)), ((3, 3), (0, 0))):
        yield Case(f"ZeroPadding2D {pad}", (image,), layers.ZeroPadding2D(pad))
    for crop in (((1, 1), (1, 1)), ((0, 1), (0, 1)), ((2, 0), (0, 3)), ((0, 0), (1, 2))):
        yield Case(f"Cropping2D {crop}", (image,), layers.Cropping2D(crop))
    for mode in ("REFLECT", "SYMMETRIC"):
        pads = [[0, 0], [1, 1], [2, 2], [0, 0]]
        yield Case(f"pad {mode}", (image,), lambda x, p=pads, m=mode: tf.pad(x, p, m))  # pyright: ignore[reportArgumentType]  # a default is any str
    yield Case("pad with a value", (image,), lambda x: tf.pad(x, [[0, 0], [1, 0], [0, 2], [0, 1]], constant_values=1.5))
    yield Case("channels padded", (image,), lambda x: tf.pad(x, [[0, 0], [0, 0], [0, 0], [2, 3]]))
    for size, kind in itertools.product(((2, 2), (3, 1), (1, 2)), ("nearest", "bilinear")):
        yield Case(f"UpSampling2D {size} {kind}", (image,), layers.UpSampling2D(size, interpolation=kind))
    for size, kind in itertools.product(
        ((1, 1), (3, 4), (5, 5), (6, 8), (11, 13), (12, 16), (15, 22)), ("nearest", "bilinear")
    ):
        for align, half in ((False, False), (True, False), (False, True)):
            resize = getattr(tf.compat.v1.image, "resize_bilinear" if kind == "bilinear" else "resize_nearest_neighbor")
            yield Case(
                f"resize {kind} {size} align {align} half {half}",
                (image,),
                lambda x, f=resize, s=size, a=align, h=half: f(x, s, align_corners=a, half_pixel_centers=h),
            )
    for block in (2, 3):
        shape = (6, 12, 4)
        yield Case(f"space to depth {block}", (shape,), lambda x, b=block: tf.nn.space_to_depth(x, b))
        yield Case(f"depth to space {block}", ((3, 4, 36),), lambda x, b=block: tf.nn.depth_to_space(x, b))
    yield Case("space to batch", (image,), lambda x: tf.space_to_batch(x, [2, 2], [[0, 0], [0, 0]])[1:2])
    yield Case("Flatten", (image,), layers.Flatten())
    for target in ((8, 6, 4), (48, 4), (192,), (2, 3, 8, 4)):
        yield Case(f"Reshape {target}", (image,), layers.Reshape(target))
    for axes in itertools.permutations((1, 2, 3)):
        yield Case(f"Permute {axes}", (image,), layers.Permute(axes))
    slices = {
        "first rows": lambda x: x[:, :3],
        "a row": lambda x: x[:, 2],
        "every second pixel": lambda x: x[:, ::2, ::2],
        "every third from one": lambda x: x[:, 1::3, 1::3],
        "reversed": lambda x: x[:, ::-1],
        "reversed channels": lambda x: x[..., ::-1],
        "inner": lambda x: x[:, 1:-1, 2:-2, 1:],
        "channels": lambda x: x[..., 1:3],
        "one channel": lambda x: x[..., 2],
        "a new axis": lambda x: x[:, tf.newaxis],
        "first and last": lambda x: x[:, 0:1, -1:],
    }
    for name, cut in slices.items():
        yield Case(f"slice: {name}", (image,), cut)
    for axis in (1, 2, 3):
        for count in (2, 3, 4, 5):
            shapes = tuple(tuple(n + (i if a == axis - 1 else 0) for a, n in enumerate(image)) for i in range(count))
            yield Case(f"concatenate {count} axis {axis}", shapes, lambda *x, a=axis: tf.concat(x, a))
        yield Case(f"split axis {axis}", (image,), lambda x, a=axis: tf.split(x, 2, a)[1])
        yield Case(f"stack axis {axis}", (image, image), lambda *x, a=axis: tf.stack(x, a))
        yield Case(f"unstack axis {axis}", (image,), lambda x, a=axis: tf.unstack(x, axis=a)[1])
        yield Case(f"gather axis {axis}", (image,), lambda x, a=axis: tf.gather(x, [2, 0, 3], axis=a))
    yield Case("split of unequal parts", (image,), lambda x: tf.split(x, [1, 3], 3)[1])
    yield Case("channel shuffle", (image,), _shuffle)
    yield Case("tile", (image,), lambda x: tf.tile(x, [1, 2, 1, 3]))
    yield Case("repeat", ((5,),), layers.RepeatVector(3))


def _shuffle(x: Any) -> Any:
    return tf.reshape(tf.transpose(tf.reshape(x, [1, 6, 8, 2, 2]), [0, 1, 2, 4, 3]), [1, 6, 8, 4])


def _reductions() -> Iterable[Case]:
    operations = {name: getattr(tf, f"reduce_{name}") for name in ("mean", "sum", "max", "min")}
    all_axes = ([1], [2], [3], [1, 2], [2, 3], [1, 3], [1, 2, 3], [-1])
    for (name, function), axes, keep in itertools.product(operations.items(), all_axes, (False, True)):
        for shape in ((6, 8, 4), (1, 1, 7)):
            yield Case(f"{name} {axes} {keep} {shape}", (shape,), lambda x, f=function, a=axes, k=keep: f(x, a, k))
    yield Case("squeeze and excitation", ((6, 8, 4),), _excite)


def _excite(x: Any) -> Any:
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return x * layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(gate)
