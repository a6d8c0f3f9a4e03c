"""Group-Net with its branches in other forms than separate layers, for `larqnets.studies.bench_groupnet` to compare."""

from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from larqnets.backbones import Backbone, Block, Unit
from larqnets.methods import Tensor, layers
from larqnets.methods.groupnet import GroupNet
from larqnets.quantizers import approx_sign, identity_sign
from larqnets.shapes import known


@dataclass(frozen=True)
class Sliced(GroupNet):
    """Separate layers whose shared 1x1 convolution reads a strided slice instead of a pooling over one pixel."""

    def downsample(self, xs: list[Tensor], filters: int, strides: int, name: str) -> list[Tensor]:
        """As GroupNet's."""
        if len(xs) == 1:
            return super().downsample(xs, filters, strides, name)
        thin = layers.Lambda(lambda t: t[:, ::strides, ::strides], name=f"{name}_thin")
        return super().downsample([thin(x) for x in xs], filters, 1, name)


@dataclass(frozen=True)
class Together(GroupNet):
    """The default Group-Net on basic blocks, the K branches in one tensor. Subclasses say how they lie in it.

    Weights are named as the separate layers' with `branches` for branch1, branch2, ...; those of all branches stand one
    after the other along the last axis, first axis of `batched`'s BatchNorm.
    """

    def body(self, x: Tensor, backbone: Backbone) -> list[Tensor]:
        """As GroupNet's."""
        outputs, shared, x = [], x, self.copies(x)
        for s, stage in enumerate(backbone.stages, 1):
            for b, block in enumerate(stage, 1):
                name = f"stage{s}_block{b}"
                if shared is None and self.k > 1:
                    x = self.mixed(x, f"{name}_gate")
                x, shared = self.group(x, shared, block, name), None
            outputs.append(self.mean(x, f"stage{s}_mean"))
        return outputs

    def group(self, x: Tensor, shared: Tensor | None, block: Block, name: str) -> Tensor:
        """One block of all branches; `shared` is what they all read, where they do."""
        around, strides = x, block.units[0].strides
        if strides > 1:
            around = self.thinned(x, block.units[-1].filters, strides, f"{name}_projection")
        for i, unit in enumerate(block.units, 1):
            conv = f"{name}_conv{i}_branches"
            is_shared = shared is not None and i == 1
            y = self.convolved(shared if is_shared else x, unit, is_shared, conv)
            y = self.normalised(layers.ReLU(name=f"{conv}_relu")(y), f"{conv}_bn")
            x = layers.Add(name=f"{conv}_add")([y, around if i == 1 else x])
        return x

    def copies(self, x: Tensor) -> Tensor:
        """K times the tensor."""
        raise NotImplementedError

    def convolved(self, x: Tensor, unit: Unit, shared: bool, name: str) -> Tensor:
        """The binary convolutions of all branches, which read the same tensor where it is `shared`."""
        raise NotImplementedError

    def normalised(self, x: Tensor, name: str) -> Tensor:
        """BatchNorm of every branch."""
        raise NotImplementedError

    def thinned(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """The shortcut of every branch where the shape changes: the 1x1 convolution with one kernel for all."""
        raise NotImplementedError

    def mixed(self, x: Tensor, name: str) -> Tensor:
        """The gate."""
        raise NotImplementedError

    def mean(self, x: Tensor, name: str) -> Tensor:
        """The mean of the branches."""
        raise NotImplementedError


@dataclass(frozen=True)
class Stacked(Together):
    """(N, H, W, K C): grouped convolutions; branches that read the same tensor are one ordinary convolution."""

    def copies(self, x: Tensor) -> Tensor:
        """K times the channels."""
        return layers.Concatenate(name="copies")([x] * self.k) if self.k > 1 else x

    def convolved(self, x: Tensor, unit: Unit, shared: bool, name: str) -> Tensor:
        """Kernel (k, k, C, K filters): its third axis tells TensorFlow how many groups there are."""
        return BranchConv(unit, known(x.shape[-1:])[0] // (1 if shared else self.k), self.k, name=name)(x)

    def normalised(self, x: Tensor, name: str) -> Tensor:
        """BatchNorm is per channel anyway."""
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)

    def thinned(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """The 1x1 with one kernel for all branches, which lie beside each other as if in a wider image."""
        height, width, channels = known(x.shape[1:])
        height, width, channels = -(-height // strides), -(-width // strides), channels // self.k
        x = layers.AvgPool2D(1, strides, name=f"{name}_thin")(x)
        x = layers.Reshape((height, width * self.k, channels), name=f"{name}_apart")(x)
        x = self._binary_conv(x, Unit(filters, 1), name)
        x = layers.Reshape((height, width, self.k * filters), name=f"{name}_beside")(x)
        return self.normalised(x, f"{name}_bn_branches")

    def mixed(self, x: Tensor, name: str) -> Tensor:
        """The gate."""
        return TogetherGate(self.k, axis=-2, name=name)(x)

    def mean(self, x: Tensor, name: str) -> Tensor:
        """(N, H, W, K C) -> (N, H, W, C)."""
        return layers.Lambda(lambda t: tf.reduce_mean(unfolded(t, self.k, -2), -2), name=name)(x)


@dataclass(frozen=True)
class Batched(Together):
    """(K N, H, W, C): every convolution is one product of K matrices of patches with K kernels."""

    def copies(self, x: Tensor) -> Tensor:
        """K times the images."""
        return layers.Lambda(lambda t: tf.concat([t] * self.k, 0), name="copies")(x)

    def convolved(self, x: Tensor, unit: Unit, shared: bool, name: str) -> Tensor:
        """Kernel as in `Stacked`."""
        return BranchConv(unit, known(x.shape[-1:])[0], self.k, 1 if shared else self.k, name=name)(x)

    def normalised(self, x: Tensor, name: str) -> Tensor:
        """Statistics for every branch, which the fused BatchNorm cannot keep apart in one batch."""
        norm = layers.BatchNormalization(axis=[0, 4], momentum=0.9, epsilon=1e-5, name=name)  # pyright: ignore[reportArgumentType]  # the stubs know one axis
        return layers.Lambda(lambda t: folded(t, 0), name=f"{name}_below")(
            norm(layers.Lambda(lambda t: unfolded(t, self.k, 0), name=f"{name}_apart")(x))
        )

    def thinned(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """The 1x1 with one kernel for all branches is one convolution on the larger batch."""
        return self.normalised(self._binary_conv(x, Unit(filters, 1, strides), name), f"{name}_bn_branches")

    def mixed(self, x: Tensor, name: str) -> Tensor:
        """The gate."""
        return TogetherGate(self.k, axis=0, name=name)(x)

    def mean(self, x: Tensor, name: str) -> Tensor:
        """(K N, H, W, C) -> (N, H, W, C)."""
        return layers.Lambda(lambda t: tf.reduce_mean(unfolded(t, self.k, 0), 0), name=name)(x)


def unfolded(x: tf.Tensor, k: int, axis: int) -> tf.Tensor:
    """Give the branches an axis of their own: (K N, H, W, C) -> (K, N, H, W, C), or (N, H, W, K C) -> (N, H, W, K, C)."""
    n, (height, width, channels) = tf.shape(x)[0], known(x.shape[1:])
    shape = [k, n // k, height, width, channels] if axis == 0 else [n, height, width, k, channels // k]
    return tf.reshape(x, shape)


def folded(x: tf.Tensor, axis: int) -> tf.Tensor:
    """Undo `unfolded`."""
    if axis == 0:
        return tf.reshape(x, [-1, *x.shape[2:]])
    height, width, k, channels = known(x.shape[1:])
    return tf.reshape(x, [-1, height, width, k * channels])


class BranchConv(layers.Layer):
    """K binary convolutions, padding +1.

    Grouped: (N, H, W, C) or (N, H, W, K C) -> (N, H', W', K filters). `batched` says how many branches the batch holds:
    (N, H, W, C) or (K N, H, W, C) -> (K N, H', W', filters).
    """

    def __init__(self, unit: Unit, channels: int, k: int, batched: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.unit, self.channels, self.k, self.batched = unit, channels, k, batched

    def build(self, input_shape: Any) -> None:
        """Create the kernel (k, k, C, K filters)."""
        size = self.unit.kernel_size
        self.kernel = self.add_weight(
            name="kernel",
            shape=(size, size, self.channels, self.k * self.unit.filters),
            initializer="glorot_normal",
            constraint=tf.keras.constraints.get("weight_clip"),
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Sign, pad, convolve."""
        size, strides = self.unit.kernel_size, self.unit.strides
        pads = [max((-(-n // strides) - 1) * strides + size - n, 0) for n in known(x.shape[1:3])]
        around = [[0, 0], *([p // 2, p - p // 2] for p in pads), [0, 0]]
        signs = tf.pad(approx_sign(x), around, constant_values=1)
        kernel = identity_sign(self.kernel)
        if not self.batched:
            return tf.nn.conv2d(signs, kernel, strides, "VALID")
        height, width = (-(-n // strides) for n in known(x.shape[1:3]))
        patches = tf.concat(
            [
                signs[:, i : i + (height - 1) * strides + 1 : strides, j : j + (width - 1) * strides + 1 : strides]
                for i in range(size)
                for j in range(size)
            ],
            -1,
        )
        depth = size * size * self.channels
        kernels = tf.transpose(tf.reshape(kernel, [depth, self.k, self.unit.filters]), [1, 0, 2])
        y = tf.reshape(patches, [self.batched, -1, depth]) @ kernels
        return tf.reshape(y, [-1, height, width, self.unit.filters])


class TogetherGate(layers.Layer):
    """GroupNet's gate, one for the block, on branches in one tensor."""

    def __init__(self, k: int, axis: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.k, self.axis = k, axis

    def build(self, input_shape: Any) -> None:
        """Create theta."""
        self.theta = self.add_weight(name="theta", shape=(), initializer=tf.keras.initializers.Constant(0.5))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """g h_k + (1 - g) mean."""
        gate, apart = tf.sigmoid(self.theta), unfolded(x, self.k, self.axis)
        mean = tf.reduce_sum(apart, self.axis, keepdims=True) * ((1 - gate) / self.k)
        return folded(gate * apart + mean, self.axis)


@dataclass(frozen=True)
class Form:
    """A way to compute the branches, and to run the step."""

    method: type[GroupNet]
    jit: bool = False  # XLA compiles the whole step
    mixed: bool = False  # train.mixed_precision


FORMS = {
    "separate": Form(GroupNet),
    "separate_sliced": Form(Sliced),
    "stacked": Form(Stacked),
    "batched": Form(Batched),
    "separate_jit": Form(GroupNet, jit=True),
    "separate_mixed": Form(GroupNet, mixed=True),
    "stacked_mixed": Form(Stacked, mixed=True),
}
