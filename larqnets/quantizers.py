"""Sign functions and their gradient estimators: a pure function each, and a thin class that Keras can save.

All of them are +1 at zero (`sign(0) = +1`), as the deployed 1-bit op is. They differ only in the gradient g(x) that
stands in for the derivative of sign:

    name                forward                          gradient g(x)                     used for
    ste_sign            sign(x)                          1[|x| <= 1]                       BinaryNet, XNOR; kernels of Bi-Real
    identity_sign       sign(x)                          1                                 kernels of ABC-Net, PokeBNN
    wide_sign           sign(x)                          1[|x| < 3]                        activations of PokeBNN
    approx_sign         sign(x)                          (2 - 2|x|) 1[|x| < 1]             activations of Bi-Real, ReActNet
    ede_sign            sign(x)                          k t (1 - tanh(t x)^2)             IR-Net, SD-BNN on CIFAR
    half_sign           sign(x)                          2 1[|x| <= 1/2]                   activations of DoReFa
    window_sign         sign(x)                          1[|x| <= window]                  BNext, QuickNet
    layer_sign          mean|w| sign(w)                  1                                 kernels of DoReFa
    stochastic_sign     +1 with probability hard(x)      1[|x| <= 1]                       BinaryConnect
    magnitude_sign      mean|w_o| sign(w)                1[|w| <= 1]                       kernels of Bi-Real
    xnor_sign           mean|v_o| sign(v), v centred     see the function                  kernels of XNOR-Net
    libra_sign          2^s_o sign(v), v standardised    as ede_sign, through v            kernels of IR-Net

    clip                clip(x, -1, 1)                   its derivative                    activations of a real stage
    tanh                tanh(x)                          its derivative                    activations of a real stage
    relu                max(x, 0)                        its derivative                    activations of a real stage

with k = max(1/t, 1), hard(x) = clip((x + 1)/2, 0, 1). Source: the papers named in `larqnets.methods`.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, TypeVar

import larq as lq
import numpy as np
import tensorflow as tf

from larqnets.shapes import known

_TINY = 1e-24  # a variance below is that of equal weights


@contextlib.contextmanager
def _quantized_scope(quantize: bool) -> Iterator[bool]:
    """Do as `larq.context.quantized_scope` says, and end also where the block raises.

    Larq's own stays on when a layer raises in its call: from then on kernels would be read as their signs, by the next training
    and by the next checkpoint of the process.
    """
    before = lq.context.should_quantize()
    lq.context._quantized_scope.should_quantize = quantize
    try:
        yield quantize
    finally:
        lq.context._quantized_scope.should_quantize = before


lq.context.quantized_scope = _quantized_scope


Kind = TypeVar("Kind", bound=type)


def register(kind: Kind) -> Kind:
    """Register a quantizer or an initializer with Keras as larqnets>Name, and under its name, where .h5 files look for it.

    Where Larq has one of the same name, that name stays Larq's: both are the same function.
    """
    tf.keras.utils.get_custom_objects().setdefault(kind.__name__, kind)
    return tf.keras.utils.register_keras_serializable("larqnets")(kind)


def sign(x: tf.Tensor) -> tf.Tensor:
    """Return -1 where x < 0, else +1, in the form that the converter recognises as a binarisation."""
    return lq.math.sign(x)


def _estimator(x: tf.Tensor, forward: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    """Return `forward` whose gradient with respect to x is `gradient`, both given for this x."""

    @tf.custom_gradient
    def call(_: tf.Tensor) -> Any:
        return forward, lambda upstream: upstream * gradient

    return call(x)


def ste_sign(x: tf.Tensor) -> tf.Tensor:
    """Sign with the clipped identity g(x) = 1[|x| <= 1] (Hubara et al. 2016, eq. 4)."""
    return window_sign(x, 1)


def window_sign(x: tf.Tensor, window: float) -> tf.Tensor:
    """Sign with the clipped identity of another window, g(x) = 1[|x| <= window]."""
    return _estimator(x, sign(x), tf.cast(tf.abs(x) <= window, x.dtype))


def identity_sign(x: tf.Tensor) -> tf.Tensor:
    """Sign with g(x) = 1."""
    return _estimator(x, sign(x), tf.ones_like(x))


def wide_sign(x: tf.Tensor) -> tf.Tensor:
    """Sign with g(x) = 1[|x| < 3] (PokeBNN's released code, where the sign has a factor that the next BatchNorm undoes)."""
    return _estimator(x, sign(x), tf.cast(tf.abs(x) < 3, x.dtype))


def half_sign(x: tf.Tensor) -> tf.Tensor:
    """Sign with g(x) = 2 on [-1/2, 1/2], else 0: DoReFa-Net's 1-bit activation of x + 1/2, as 2 a - 1 (section 2.4)."""
    return _estimator(x, sign(x), 2 * tf.cast(tf.abs(x) <= 0.5, x.dtype))


def layer_sign(w: tf.Tensor) -> tf.Tensor:
    """mean|w| sign(w), one scale for the whole kernel, with g(w) = 1 (DoReFa-Net, section 2.3)."""
    return _estimator(w, tf.reduce_mean(tf.abs(w)) * sign(w), tf.ones_like(w))


def approx_sign(x: tf.Tensor) -> tf.Tensor:
    """Sign with the piecewise quadratic estimator g(x) = 2 - 2|x| for |x| < 1, else 0 (Bi-Real Net, section 3.3)."""
    return _estimator(x, sign(x), tf.maximum(2 - 2 * tf.abs(x), 0))


def ede_sign(x: tf.Tensor, t: tf.Tensor | float) -> tf.Tensor:
    """Sign with the error decay estimator g(x) = k t (1 - tanh(t x)^2), k = max(1/t, 1) (IR-Net, eq. 11)."""
    t = tf.cast(t, x.dtype)
    return _estimator(x, sign(x), tf.maximum(1 / t, 1) * t * (1 - tf.tanh(t * x) ** 2))


def libra_sign(w: tf.Tensor, t: tf.Tensor | float) -> tf.Tensor:
    """2^s_o sign(v) with v = (w - mean_o) / std_o and s_o = round(log2 mean|v_o|) per filter o (IR-Net, section 3.2).

    std is the unbiased one. The gradient is 2^s_o times that of `ede_sign` at v, and goes on through mean and std; s is
    detached. A filter of equal weights has v = 0 and the scale 1.
    """
    axes = list(range(w.shape.rank - 1))
    weights_per_filter = np.prod(known(w.shape[:-1]))
    centred = w - tf.reduce_mean(w, axis=axes, keepdims=True)
    variance = tf.reduce_sum(centred**2, axis=axes, keepdims=True) / max(1, weights_per_filter - 1)
    v = centred * tf.math.rsqrt(tf.maximum(variance, _TINY))
    magnitude = filter_scale(v)
    exponent = tf.round(tf.math.log(tf.where(magnitude > 0, magnitude, 1)) / np.log(2))
    return tf.stop_gradient(tf.pow(2.0, exponent)) * ede_sign(v, t)


def stochastic_sign(x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """+1 with probability clip((x + 1)/2, 0, 1), else -1; the clipped identity behind it (BinaryConnect, eq. 2).

    `seed`: integer tensor of shape (2,); the same seed gives the same draw.
    """
    uniform = tf.random.stateless_uniform(tf.shape(x), seed, dtype=x.dtype)
    forward = sign((x + 1) / 2 - uniform)
    return _estimator(x, forward, tf.cast(tf.abs(x) <= 1, x.dtype))


def filter_scale(w: tf.Tensor) -> tf.Tensor:
    """Return the mean magnitude of every filter, shape (1, ..., 1, O) for a kernel (..., O)."""
    return tf.reduce_mean(tf.abs(w), axis=list(range(w.shape.rank - 1)), keepdims=True)


def magnitude_sign(w: tf.Tensor) -> tf.Tensor:
    """mean|w_o| sign(w) per filter o, with g(w) = 1[|w| <= 1] and the scale detached (Bi-Real Net's released code).

    The paper's own gradient is mean|w_o| 1[|w| < 1]; the two differ by a positive factor per filter, which Adam undoes.
    """
    return _estimator(w, filter_scale(w) * sign(w), tf.cast(tf.abs(w) <= 1, w.dtype))


def xnor_sign(w: tf.Tensor) -> tf.Tensor:
    """alpha_o sign(v) with v = clip(w - mean over input channels, -1, 1) and alpha_o = mean|v_o| (XNOR-Net, section 3).

    g(w) = (1/n + alpha_o 1[|v| < 1]) (1 - 1/C), n weights per filter, C input channels, as in the released code. That
    code centres and clips the stored weights after every step; here they are centred on the fly: the same forward.
    """
    *_, channels, _ = sizes = known(w.shape)
    weights_per_filter = np.prod(sizes[:-1])
    v = tf.clip_by_value(w - tf.reduce_mean(w, axis=-2, keepdims=True), -1, 1)
    alpha = filter_scale(v)
    gradient = 1 / weights_per_filter + alpha * tf.cast(tf.abs(v) < 1, w.dtype)
    if channels > 1:  # with a single channel nothing is left after centring, and the factor would be 0
        gradient *= 1 - 1 / channels
    return _estimator(w, alpha * sign(v), gradient)


class _FunctionQuantizer(lq.quantizers.Quantizer):
    """A quantizer without parameters that applies the pure `function`."""

    function: Any

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Apply the pure function, elementwise or per filter; the shape is kept."""
        return type(self).function(inputs)


class _SignQuantizer(_FunctionQuantizer):
    """A sign; `function` is the one of the same name."""

    precision = 1


@register
class SteSign(_SignQuantizer):
    """`ste_sign` as a layer."""

    function = staticmethod(ste_sign)


@register
class WindowSign(lq.quantizers.Quantizer):
    """`window_sign` as a layer."""

    precision = 1

    def __init__(self, window: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.window = window

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Binarise, elementwise."""
        return window_sign(inputs, self.window)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "window": self.window}


@register
class IdentitySign(_SignQuantizer):
    """`identity_sign` as a layer."""

    function = staticmethod(identity_sign)


@register
class WideSign(_SignQuantizer):
    """`wide_sign` as a layer, for activations."""

    function = staticmethod(wide_sign)


@register
class HalfSign(_SignQuantizer):
    """`half_sign` as a layer, for activations."""

    function = staticmethod(half_sign)


@register
class LayerSign(_SignQuantizer):
    """`layer_sign` as a layer, for kernels."""

    function = staticmethod(layer_sign)


@register
class ApproxSign(_SignQuantizer):
    """`approx_sign` as a layer."""

    function = staticmethod(approx_sign)


@register
class MagnitudeSign(_SignQuantizer):
    """`magnitude_sign` as a layer, for kernels."""

    function = staticmethod(magnitude_sign)


@register
class XnorSign(_SignQuantizer):
    """`xnor_sign` as a layer, for kernels."""

    function = staticmethod(xnor_sign)


class _Surrogate(_FunctionQuantizer):
    """What a stage of training with real activations has in the place of the sign: a real function."""

    precision = 32


@register
class Clip(_Surrogate):
    """clip(x, -1, 1)."""

    function = staticmethod(lambda x: tf.clip_by_value(x, -1, 1))


@register
class Tanh(_Surrogate):
    """tanh(x)."""

    function = staticmethod(tf.tanh)


@register
class Relu(_Surrogate):
    """max(x, 0), with the slope 0 at 0. Unlike the sign it has no upper end."""

    function = staticmethod(tf.nn.relu)


@register
class EdeSign(lq.quantizers.Quantizer):
    """`ede_sign` whose t grows from `t_min` to `t_max` over training: t = 10^(log t_min + p (log t_max - log t_min)).

    The progress p in [0, 1] is a weight of the layer, set by the training loop, so a checkpoint holds it. It stays in
    the layer: a quantizer that captures a variable from outside makes the LCE converter fall back to float.
    """

    precision = 1

    def __init__(self, t_min: float = 1e-2, t_max: float = 10.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0 < t_min <= t_max:
            raise ValueError(f"EdeSign needs 0 < t_min <= t_max, not {t_min} and {t_max}")
        self.t_min, self.t_max = t_min, t_max

    def build(self, input_shape: Any) -> None:
        """Create the progress weight at 0."""
        self.progress = self.add_weight(name="progress", shape=(), initializer="zeros", trainable=False)
        super().build(input_shape)

    @property
    def t(self) -> tf.Tensor:
        """The current t."""
        low, high = np.log(self.t_min), np.log(self.t_max)
        return tf.exp(low + (high - low) * self.progress)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Binarise with the current t."""
        return ede_sign(inputs, self.t)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "t_min": self.t_min, "t_max": self.t_max}


@register
class LibraSign(EdeSign):
    """`libra_sign` for kernels, with the t of `EdeSign`."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Standardise and binarise every filter with the current t."""
        return libra_sign(inputs, self.t)


@register
class StochasticSign(lq.quantizers.Quantizer):
    """`stochastic_sign` while training, plain sign otherwise; the draw of a step follows from `seed` and a step counter."""

    precision = 1

    def __init__(self, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        """Create the counter of draws at 0; a checkpoint holds it, so a resumed run draws the same."""
        self.draws = self.add_weight(name="draws", shape=(), dtype=tf.int64, initializer="zeros", trainable=False)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Draw signs when training, else return `ste_sign`."""
        if not training:
            return ste_sign(inputs)
        draw = self.draws.assign_add(1)
        return stochastic_sign(inputs, tf.stack([tf.constant(self.seed, tf.int64), draw]))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "seed": self.seed}
