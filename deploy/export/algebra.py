"""What a layer does to a factor, an offset and a size (`deploy.export.entry`): one entry per class, as in inference.

The passes of the export (`scales`, `links`, `shifts`, `factors`, `pads`) and the proof (`deploy.proof.sizes`) are walks
over these entries and know no class of layers but those that they replace. What an entry does not say is not so, or not
needed: nothing is folded across such a layer. A layer of larqnets without an entry is an error; one that somebody else
wrote is left alone, with nothing folded across it, and named (`known`).
"""

from collections.abc import Sequence
from typing import Any

import larq as lq
import numpy as np
import tensorflow as tf

from deploy.export import stand_ins
from deploy.export.activations import WrittenFunction
from deploy.export.entry import AS_OBSERVED, ENTRIES, Entry, Layer, Sizes, Unknown, channels_last, entry_of, is_norm
from deploy.export.stem import SpaceToDepthConv2D
from larqnets.errors import LarqnetsError
from larqnets.layers import binary_weights, branches, local_response
from larqnets.layers.channel_fit import ChannelFit
from larqnets.layers.channel_match import ChannelMatch
from larqnets.layers.channel_norm import ChannelNorm
from larqnets.layers.counted_dropout import CountedDropout
from larqnets.layers.default_boxes import DefaultBoxes, Foreground
from larqnets.layers.dilated_conv import DilatedConv2D
from larqnets.layers.dprelu import DPReLU
from larqnets.layers.fcos_answers import FcosBoxes, FcosScores
from larqnets.layers.hard_swish import HardSigmoid, HardSwish
from larqnets.layers.hard_tanh import HardTanh
from larqnets.layers.input_scale import InputScale
from larqnets.layers.learned_factor import LearnedFactor
from larqnets.layers.link_scale import LinkScale
from larqnets.layers.max_unpool import MaxUnpool2D
from larqnets.layers.mixed_mean import MixedMean
from larqnets.layers.padded_shortcut import PaddedShortcut
from larqnets.layers.rprelu import RPReLU
from larqnets.layers.rsign import RSign
from larqnets.layers.self_distribution import is_offset

layers = tf.keras.layers
_LINEAR = (None, tf.keras.activations.linear)
HOMOGENEOUS = (*_LINEAR, tf.keras.activations.relu)  # functions with f(a x) = a f(x) for a > 0


def _always(self: Entry, layer: Layer) -> bool:
    return True


@entry_of(*(getattr(lq.layers, name) for name in dir(lq.layers) if name.startswith("Quant") and "Base" not in name))
@entry_of(DilatedConv2D, stand_ins.ExportedConv2D, stand_ins.ExportedDense, stand_ins.NormOfOtherAxis, WrittenFunction)
@entry_of(layers.InputLayer, layers.Multiply, stand_ins.GatedProduct, layers.Softmax, local_response.LocalResponse)
@entry_of(ChannelNorm, DefaultBoxes, Foreground, FcosBoxes, FcosScores, HardSigmoid, HardSwish, stand_ins.GatedNorm)
@entry_of(layers.LayerNormalization, layers.GroupNormalization, layers.UnitNormalization, stand_ins.ScaledPReLU)
class _Opaque(Entry):
    """Nothing goes through: a sign, a curved function, numbers that come anew."""


@entry_of(layers.MaxPool2D, layers.AvgPool2D, layers.GlobalMaxPool2D, layers.GlobalAvgPool2D, branches.Apart)
class _Passing(Entry):
    """Every channel by itself, and what a constant or a maximum does is clear: poolings, and nothing at all."""

    def commutes(self, layer: Layer) -> bool:
        return channels_last(layer)

    hands_on = commutes

    def offset(self, layer: Layer, given: Sequence[np.ndarray]) -> np.ndarray:
        return given[0]

    made_of = offset


@entry_of(layers.Identity, layers.ActivityRegularization)
@entry_of(CountedDropout, layers.Dropout, layers.GaussianDropout, layers.AlphaDropout, layers.GaussianNoise)
class _Identity(_Passing):
    """What only training knows."""

    is_identity = _always


@entry_of(layers.Resizing, layers.UpSampling2D)
class _Resized(_Passing):
    """Every pixel is one of the input's or a sum of some of them with weights that sum to 1, channel by channel."""

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        return given[0] if layer.interpolation in ("nearest", "bilinear", "area") else AS_OBSERVED  # no weight below 0


@entry_of(layers.ReLU, layers.LeakyReLU, layers.PReLU)
class _Bent(Entry):
    """ReLU and its kind: a kink at 0 and no step, no number of its own."""

    def commutes(self, layer: Layer) -> bool:
        return getattr(layer, "max_value", None) is None and not np.any(getattr(layer, "threshold", 0))

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        slope = np.abs(getattr(layer, "alpha", 0.0))  # () or (..., C)
        return np.maximum(slope.max(axis=tuple(range(slope.ndim - 1))) if slope.ndim else slope, 1) * given[0]


@entry_of(layers.Activation)
class _Activation(_Passing):
    def commutes(self, layer: Layer) -> bool:
        return layer.activation in HOMOGENEOUS

    def is_identity(self, layer: Layer) -> bool:
        return layer.activation in _LINEAR

    hands_on = is_identity

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        return given[0] if layer.activation in HOMOGENEOUS else AS_OBSERVED


@entry_of(HardTanh)
class _HardTanh(Entry):
    """As large as its input, where it does not clip."""

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        return given[0]


@entry_of(layers.BatchNormalization)
class _Norm(Entry):
    """BatchNorm: g (x - m) / sqrt(v + e) + b = a x + b', over the channels; over another axis nothing is known."""

    def takes_factor(self, layer: Layer) -> bool:
        return is_norm(layer)

    def take_factor(self, layer: Layer, a: float) -> None:
        layer.moving_mean.assign(a * layer.moving_mean)
        layer.moving_variance.assign(a**2 * (layer.moving_variance + layer.epsilon) - layer.epsilon)

    def gives_factor(self, layer: Layer) -> bool:
        return is_norm(layer) and layer.scale and layer.center

    def give_factor(self, layer: Layer, a: float) -> None:
        layer.gamma.assign(a * layer.gamma)
        layer.beta.assign(a * layer.beta)

    takes_offset = takes_factor

    def take_offset(self, layer: Layer, c: np.ndarray) -> None:
        layer.moving_mean.assign_sub(c)

    def gives_offset(self, layer: Layer) -> bool:
        return is_norm(layer) and layer.center

    def give_offset(self, layer: Layer, c: np.ndarray) -> None:
        layer.beta.assign_add(c)

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        if not is_norm(layer):
            return AS_OBSERVED
        multiplier = 1 / np.sqrt(layer.moving_variance.numpy() + layer.epsilon)
        multiplier = np.abs(multiplier * layer.gamma.numpy()) if layer.scale else multiplier
        beta = np.abs(layer.beta.numpy()) if layer.center else 0.0
        return multiplier * (given[0] + np.abs(layer.moving_mean.numpy())) + beta


@entry_of(stand_ins.MovedNorm, stand_ins.Shift)
class _MovedNorm(Entry):
    """The bias of the convolution that has taken up the BatchNorm, or what is left of one whose factor a gate has."""

    takes_offset = gives_offset = _always

    def take_offset(self, layer: Layer, c: np.ndarray) -> None:
        layer.beta.assign_add(c)

    give_offset = take_offset


@entry_of(layers.SeparableConv2D, layers.Conv2DTranspose)
@entry_of(binary_weights.BinaryWeightConv2D, binary_weights.BinaryWeightDense)
class _Product(Entry):
    """A product with a real kernel. Its output is as observed: a sum of many numbers, whose roundings average out."""

    def scales(self, layer: Layer) -> bool:
        real = getattr(layer, "input_quantizer", None) is None
        return real and layer.activation in HOMOGENEOUS and not layer.use_bias

    def take_factor(self, layer: Layer, a: float) -> None:
        layer.kernel.assign(layer.kernel / a)


@entry_of(layers.DepthwiseConv2D, binary_weights.BinaryWeightDepthwiseConv2D)
class _Depthwise(_Product):
    """One filter a channel."""

    def commutes(self, layer: Layer) -> bool:
        return self.scales(layer) and layer.depth_multiplier == 1 and channels_last(layer)


@entry_of(layers.Conv2D, SpaceToDepthConv2D)
class _Convolution(_Product):
    """A constant reaches every output alike where no zeros are padded: W^T c. A factor goes into the kernel where it cannot go on."""

    def takes_factor(self, layer: Layer) -> bool:
        return not self.scales(layer)

    def hands_on(self, layer: Layer) -> bool:
        unpadded = layer.padding == "valid" or layer.kernel_size == (1, 1)
        return layer.activation in _LINEAR and unpadded and layer.groups == 1 and channels_last(layer)

    def offset(self, layer: Layer, given: Sequence[np.ndarray]) -> np.ndarray:
        return _product(given[0], layer.kernel.numpy().reshape(-1, layer.input_shape[-1], layer.filters).sum(axis=0))

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        return 1.0 if is_offset(layer) else AS_OBSERVED  # in (0, 1), and may cancel what it is added to


@entry_of(layers.Dense)
class _Dense(_Product):
    takes_factor = _always

    def takes_offset(self, layer: Layer) -> bool:
        return layer.use_bias

    def take_offset(self, layer: Layer, c: np.ndarray) -> None:
        layer.bias.assign_add(self.offset(layer, [c]))

    def hands_on(self, layer: Layer) -> bool:
        return layer.activation in _LINEAR

    def offset(self, layer: Layer, given: Sequence[np.ndarray]) -> np.ndarray:
        return _product(given[0], layer.kernel.numpy())


@entry_of(InputScale, LearnedFactor, stand_ins.AddShare, layers.Reshape)
class _Scaled(Entry):
    """Grows as its input does; nothing else is known."""

    scales = _always


@entry_of(MaxUnpool2D)
class _Unpooled(_Scaled):
    """Numbers of the second input, at places that the first tells."""

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        return given[1]


class _Linear(_Scaled):
    """Linear in all inputs together."""

    hands_on = _always


@entry_of(LinkScale)
class _LinkScale(_Linear):
    commutes = _always

    def offset(self, layer: Layer, given: Sequence[np.ndarray]) -> np.ndarray:
        return given[0] * layer.gamma.numpy()

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        return np.abs(layer.gamma.numpy()) * given[0]


@entry_of(layers.Rescaling)
class _Rescaling(_Linear):
    def commutes(self, layer: Layer) -> bool:
        return not np.any(layer.offset)

    scales = commutes

    def takes_factor(self, layer: Layer) -> bool:
        return not self.scales(layer)

    def take_factor(self, layer: Layer, a: float) -> None:
        layer.scale = np.divide(layer.scale, a).tolist()

    def offset(self, layer: Layer, given: Sequence[np.ndarray]) -> np.ndarray:
        return given[0] * np.asarray(layer.scale, np.float32)

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        return np.abs(layer.scale) * given[0] + np.abs(layer.offset)


@entry_of(ChannelFit, ChannelMatch, PaddedShortcut)
class _ChannelMap(_Linear):
    """Every output channel from some of the input's, pixel by pixel: what happens to x happens to a constant and a size."""

    def hands_on(self, layer: Layer) -> bool:
        squeezed = isinstance(layer, ChannelMatch) and layer.input_shape[-1] > layer.filters
        return not (squeezed and layer.squeeze == "max")  # the only one that is not linear

    def offset(self, layer: Layer, given: Sequence[np.ndarray]) -> np.ndarray:
        channels = np.broadcast_to(given[0], layer.input_shape[-1:]).astype(np.float32)
        return layer(channels.reshape(1, 1, 1, -1)).numpy()[0, 0, 0]

    made_of = offset


@entry_of(RSign)
class _RSign(Entry):
    takes_offset = _always

    def take_offset(self, layer: Layer, c: np.ndarray) -> None:
        layer.threshold.assign_sub(c)

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        return given[0] + np.abs(layer.threshold.numpy())


@entry_of(RPReLU, DPReLU)
class _RPReLU(Entry):
    def takes_offset(self, layer: Layer) -> bool:
        return isinstance(layer, RPReLU)  # for a DPReLU other layers stand, see deploy.export.dprelus

    def take_offset(self, layer: Layer, c: np.ndarray) -> None:
        layer.shift_in.assign_sub(c)

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        steepest = np.max(np.abs(np.broadcast_arrays(*layer.slopes)), axis=0)
        return steepest * (given[0] + np.abs(layer.shift_in.numpy())) + np.abs(layer.shift_out.numpy())


@entry_of(layers.Add, branches.WeightedSum, MixedMean)
class _Sum(_Linear):
    """sum_k w_k x_k, w_k a number or one per channel, every w_k 1 in a plain sum."""

    def offset(self, layer: Layer, given: Sequence[np.ndarray]) -> np.ndarray:
        return np.sum(np.broadcast_arrays(*self._weighted(layer, given)), axis=0)

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        return sum(np.abs(part) for part in self._weighted(layer, given))

    def _weighted(self, layer: Layer, given: Sequence[Any]) -> list[Any]:
        weights = [1] * len(given) if isinstance(layer, layers.Add) else layer.branch_weights.numpy()
        return [weight * part for weight, part in zip(weights, given, strict=True)]


@entry_of(branches.SoftGate)
class _SoftGate(_Scaled):
    """x_k = g_k h_k + (1 - g_k) scale s: the largest of the K outputs stands for all."""

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        *parts, total = given
        gates = np.broadcast_to(tf.sigmoid(layer.theta), len(parts))
        mixed = [g * part + (1 - g) * layer.scale * total for g, part in zip(gates, parts, strict=True)]
        return np.max(np.broadcast_arrays(*mixed), axis=0)


@entry_of(layers.ZeroPadding2D, stand_ins.SplitPadding, branches.OneBelowTheOther)
class _Moving(_Scaled):
    """Put together, or framed with zeros, along other axes than the channels'."""

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        return np.max(np.broadcast_arrays(*given), axis=0)


@entry_of(layers.Concatenate)
class _Concatenation(_Moving):
    def hands_on(self, layer: Layer) -> bool:
        return layer.axis in (-1, len(layer.output_shape) - 1)

    def offset(self, layer: Layer, given: Sequence[np.ndarray]) -> np.ndarray:
        parts = zip(given, layer.input_shape, strict=True)
        return np.concatenate([np.broadcast_to(part, shape[-1:]) for part, shape in parts])

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        return self.offset(layer, given) if self.hands_on(layer) else super().made_of(layer, given)


@entry_of(layers.Flatten)
class _Flatten(_Linear):
    def hands_on(self, layer: Layer) -> bool:
        return channels_last(layer)

    def offset(self, layer: Layer, given: Sequence[np.ndarray]) -> np.ndarray:
        return np.tile(given[0], layer.output_shape[-1] // np.size(given[0])) if np.size(given[0]) > 1 else given[0]

    def made_of(self, layer: Layer, given: Sequence[Sizes]) -> Sizes:
        return self.offset(layer, given) if channels_last(layer) else np.max(given[0])


def entry(layer: Layer) -> Entry:
    """Return what there is to say of the layer: of its class, or of one that it inherits its `call` from.

    Raises LarqnetsError for a layer of larqnets of which nothing is said.
    """
    for kind in type(layer).__mro__:
        if kind in ENTRIES:
            return ENTRIES[kind]
        if "call" in vars(kind):
            break
    if type(layer).__module__.split(".")[0] in ("larqnets", "deploy"):
        raise LarqnetsError(
            f"Layer '{layer.name}' is a {type(layer).__name__}, of which deploy/export/algebra.py does not say what it does "
            "to a factor, an offset and a size. Add an entry for its class there."
        )
    return Unknown()


def _product(c: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return np.broadcast_to(c, kernel.shape[:1]) @ kernel
