"""The first convolution of a network, one of stride 2 or 4 on few channels, as SPACE_TO_DEPTH and one of stride 1.

SPACE_TO_DEPTH(s) makes of s x s pixels one with s² C channels. A window of k x k pixels that moves by s pixels is then one
of K x K such pixels that moves by one, whose kernel has the trained weights and zeros. Along one axis, of n pixels:

    y[i] = sum_u w[u] x[s i + u - before]                          u = 0 ... k - 1, i = 0 ... m - 1
         = sum_t sum_p w'[s t + p] x'[s (i + t - q) + p]           t = 0 ... K - 1, p = 0 ... s - 1

x' is x with zeros around it, w' is w behind `lead` zeros, and q = (before - zeros before the image + lead) / s. Either the
zeros are such that the convolution is VALID (q = 0, K = ceil(k / s)), or it is SAME: q = (K - 1) // 2, and x' is x but for
what n lacks to a multiple of s. The sums are the same, in another order.

XNNPACK's kernels of convolutions take the channels of a pixel four or eight at a time, of which 3 leave some idle and 12 or
48 none. Where that outweighs the zeros and the ops before is counted, see `deploy.export.stem_table`.
Source: counted by us; of what was tried with stock ops the cheapest.
"""

import math
from typing import Any, Literal, NamedTuple, TypeGuard

import numpy as np
import tensorflow as tf

from deploy.export.binary_layers import main_kernel
from deploy.export.entry import channels_last
from deploy.export.stem_table import Shape, is_cheaper
from deploy.targets import Stem
from larqnets.errors import LarqnetsError
from larqnets.shapes import known

layers = tf.keras.layers

Form = Literal["as trained", "rewritten"]
STRIDES = (2, 4)
MAX_CHANNELS = 4


class Axis(NamedTuple):
    """How one axis of a rewritten stem is laid out, in pixels but for `blocks`."""

    before: int  # zeros before the image
    behind: int  # and behind it; below 0: pixels that no window reads and that are cut off
    lead: int  # zeros in front of the kernel
    blocks: int  # K


class Layout(NamedTuple):
    """How a stem is rewritten: its axes, of height and of width, and the padding of the convolution."""

    axes: tuple[Axis, Axis]
    padding: Literal["SAME", "VALID"]

    @property
    def size(self) -> tuple[int, int]:
        """K of height and of width."""
        return self.axes[0].blocks, self.axes[1].blocks


class Decision(NamedTuple):
    """Whether the stem, the layer called `name`, is rewritten, and what is to be said of that."""

    name: str
    is_rewritten: bool
    remark: str = ""

    @property
    def form(self) -> Form:
        """What a file says of it."""
        return "rewritten" if self.is_rewritten else "as trained"


def decide(model: tf.keras.Model, stem: Stem) -> Decision | None:
    """Return what becomes of a functional model's stem; None where its first layer with a kernel is none.

    Raises LarqnetsError where one is to be rewritten and there is none.
    """
    layer = find_stem(model)
    if layer is None:
        if stem == "rewritten":
            raise LarqnetsError(
                f"Model '{model.name}' does not begin with a convolution of stride 2 or 4 on at most {MAX_CHANNELS} channels, and "
                "no other can be rewritten. Leave --stem out."
            )
        return None
    if stem != "cheaper":
        return Decision(layer.name, stem == "rewritten")
    shape = _shape(layer)
    cheaper = is_cheaper(shape)
    remark = (
        f"The first convolution, '{layer.name}', stays as it was trained: {shape} is none of those that were counted. "
    )
    remark += "--stem rewritten makes it SPACE_TO_DEPTH and a convolution of stride 1."
    return Decision(layer.name, bool(cheaper), remark if cheaper is None else "")


def _shape(layer: layers.Conv2D) -> Shape:
    """Return what the cost of a stem follows from but for the number of pixels."""
    layout = _layout(layer, layer.input_shape[1:3])
    padded = any(axis.before or axis.behind for axis in layout.axes)
    return Shape(layer.kernel_size[0], layer.strides[0], layer.input_shape[-1], layer.filters, padded)


def find_stem(model: tf.keras.Model) -> layers.Conv2D | None:
    """Return the first layer of a functional model that has a kernel, if it is a convolution that can be rewritten."""
    first = next((layer for layer in model.layers if main_kernel(layer) is not None), None)
    return first if _can_be_rewritten(first) else None


def _can_be_rewritten(layer: Any) -> TypeGuard[layers.Conv2D]:
    if type(layer) is not layers.Conv2D or len(layer.inbound_nodes) != 1 or not channels_last(layer):
        return False
    (stride, other), (height, width) = layer.strides, layer.kernel_size
    plain = layer.groups == 1 and tuple(layer.dilation_rate) == (1, 1)
    return plain and stride == other and stride in STRIDES and height == width and layer.input_shape[-1] <= MAX_CHANNELS


def _layout(layer: layers.Conv2D, sizes: tuple[int, int]) -> Layout:
    """Return the layout with the smallest kernel for images (height, width), without an op for zeros where there is one."""
    (kernel, _), (stride, _) = layer.kernel_size, layer.strides
    same = layer.padding == "same"
    height, width = (_valid(size, kernel, stride, same=same) for size in sizes)
    padded = Layout((height, width), "VALID")
    height, width = (_same(size, kernel, stride) if same else None for size in sizes)
    if height is None or width is None:
        return padded
    kept = Layout((height, width), "SAME")
    return kept if math.prod(kept.size) <= math.prod(padded.size) else padded


def _before(size: int, kernel: int, stride: int) -> int:
    """Return how many zeros SAME puts before an axis."""
    return max((-(-size // stride) - 1) * stride + kernel - size, 0) // 2


def _valid(size: int, kernel: int, stride: int, *, same: bool) -> Axis:
    """Return the axis with every zero that the windows read put around the image."""
    before = _before(size, kernel, stride) if same else 0
    outputs = -(-size // stride) if same else (size - kernel) // stride + 1
    blocks = -(-kernel // stride)
    return Axis(before, stride * (outputs - 1 + blocks) - size - before, 0, blocks)


def _same(size: int, kernel: int, stride: int) -> Axis | None:
    """Return the axis with the zeros of SAME, if it pads as much in blocks as in pixels; else None."""
    found = []
    missing = -size % stride
    for zeros in range(missing + 1):
        offset = _before(size, kernel, stride) - zeros
        lead = -offset % stride
        blocks = -(-(kernel + lead) // stride)
        if (offset + lead) // stride == (blocks - 1) // 2:
            found.append(Axis(zeros, missing - zeros, lead, blocks))
    return min(found, key=lambda axis: axis.blocks, default=None)


@tf.keras.utils.register_keras_serializable("larqnets")
class SpaceToDepthConv2D(layers.Conv2D):
    """What stands for a stem, of the same options: only the kernel is another, (K, K, s² C, O), and how it is convolved."""

    layout: Layout

    def build(self, input_shape: Any) -> None:
        """Create kernel and bias."""
        self.layout = _layout(self, input_shape[1:3])
        shape = (*self.layout.size, self.strides[0] ** 2 * input_shape[-1], self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape)
        self.bias = self.add_weight(name="bias", shape=(self.filters,)) if self.use_bias else None
        self.built = True

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Put zeros around the images (N, H, W, C), make blocks of pixels one pixel, convolve with stride 1."""
        height, width = (slice(min(axis.behind, 0) or None) for axis in self.layout.axes)
        kept = inputs[:, height, width] if height.stop or width.stop else inputs
        blocks = tf.nn.space_to_depth(self._padded(kept), self.strides[0])
        return tf.nn.conv2d(blocks, kernel, 1, self.layout.padding)

    def _padded(self, images: tf.Tensor) -> tf.Tensor:
        """Put zeros around images, row by row of numbers: XNNPACK's PAD of a width takes 31 instructions a value, of rows 1."""
        height, width, channels = known(images.shape[1:])
        rows, columns = self.layout.axes
        zeros = [[rows.before, max(rows.behind, 0)], [columns.before, max(columns.behind, 0)]]
        if not np.any(zeros):
            return images
        flat = tf.reshape(images, [-1, height, width * channels])
        padded = tf.pad(flat, [[0, 0], zeros[0], [channels * zero for zero in zeros[1]]])
        return tf.reshape(padded, [-1, height + sum(zeros[0]), width + sum(zeros[1]), channels])

    def load(self, kernel: np.ndarray, bias: np.ndarray | None = None) -> None:
        """Set the weights to trained ones: kernel (k, k, C, O), of which w[s t + p - lead] stands at t in the channels of p, and bias (O,)."""
        size, _, channels, filters = kernel.shape
        (height, width), stride = self.layout.size, self.strides[0]
        zeros = [(axis.lead, axis.blocks * stride - size - axis.lead) for axis in self.layout.axes]
        apart = np.pad(kernel, [*zeros, (0, 0), (0, 0)]).reshape(height, stride, width, stride, channels, filters)
        blocks = apart.transpose(0, 2, 1, 3, 4, 5).reshape(height, width, stride**2 * channels, filters)
        self.set_weights([blocks] if bias is None else [blocks, bias])


def rewritten(layer: layers.Conv2D) -> SpaceToDepthConv2D:
    """Return the layer that stands for a stem, without its weights."""
    return SpaceToDepthConv2D.from_config(layer.get_config())
