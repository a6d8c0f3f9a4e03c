"""Group-Net (Zhuang et al. 2019, arXiv 1811.10413, and 2022, arXiv 1909.09934): K binary branches for a group of layers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from larqnets.backbones import Backbone, Block, Stem, Unit, dilated
from larqnets.errors import LarqnetsError
from larqnets.layers.branches import Apart, OneBelowTheOther, SoftGate, WeightedSum
from larqnets.methods import (
    METHODS,
    Method,
    Tensor,
    batch_norm,
    binary_conv,
    binary_conv_layer,
    layers,
    real_conv,
    stem_conv,
    stem_pool,
)
from larqnets.quantizers import ApproxSign, IdentitySign, LayerSign
from larqnets.schema import Range


@METHODS.register("groupnet")
@dataclass(frozen=True)
class GroupNet(Method):
    """h_k = branch_k(x_k), m = mean_k h_k, and for the next block x_k = g h_k + (1 - g) m (section 3, soft connection).

    A branch is the block with weights of its own; its unit is BN(ReLU(sign(x) * sign(W))) + shortcut. The last m goes to
    the classifier. `variant` says where the branches meet:

        lbd         at every convolution: it is the sum of K binary ones on the same input
        gbd_v1      behind every block (g = 0)
        gbd_v2      behind every second block
        gbd_v3      before the classifier alone (g = 1): an ensemble
        groupnet    behind every block to a learned part g

    In a head, and wherever else one convolution stands alone, it is a sum of K.

    A first stage with `precision = "real"` trains the same branches without signs. In their place the released code has
    tanh (`surrogate`), with its shortcut around every convolution; relu without one, from memory of the paper.
    """

    name = "groupnet"
    precision = "w1a1"
    paper = "Structured Binary Neural Networks for Image Recognition, arXiv 1909.09934 and 1811.10413"
    figure = "K branches of sign -> bconv -> ReLU -> BN -> + shortcut; a gate mixes each with the mean of all"
    departures = (
        "the released code where the papers could not be read (its order of layers, one gate per block, the shared binary 1x1), "
        "without its defects; gates start at sigmoid(0.5) and factors at 1/K instead of draws; BatchNorm of the 1x1 is per "
        "branch; latent kernels start Glorot-normal and stay in [-1, 1]; padding at stride 2 is TensorFlow's"
    )

    k: Annotated[int, Range(1, 64)] = 5  # number of branches
    variant: Literal["groupnet", "gbd_v1", "gbd_v2", "gbd_v3", "lbd"] = "groupnet"  # where the branches meet: behind
    # every block to a learned part, behind every block, every second one, at the end; or every convolution is a sum of
    # K
    gate_scope: Literal["block", "branch"] = "block"  # one gate for the block (the code), or for each branch (the
    # paper)
    aggregate: Literal["mean", "learned"] = "mean"  # the mean (the journal), or learned factors (the conference paper);
    # one branch has neither
    downsample_precision: Literal["binary", "real"] = "binary"  # of the 1x1 where the shape changes, which all branches
    # share; real is Group-Net**
    downsample_norm: Literal["branch", "shared"] = "branch"  # its BatchNorm: one for each branch, or shared as in the
    # code
    per_conv_shortcut: bool = True  # around every convolution where the shape allows it, or around the block alone
    weight_scale: bool = False  # kernels are mean|W| sign(W) with one mean for the kernel, which the BatchNorm undoes;
    # the released code has it, and with Adam it changes little
    bpac: bool = False  # in networks that label pixels, where a stride became a dilation, each branch has a rate of its
    # own: in the first such stage 2, 3, ..., K + 1, in the second 6, 7, ..., K + 5; where one of these would reach
    # across the whole map, 1, 2, ..., K and 2, 4, ..., 2 K
    bpac_rates: tuple[tuple[Annotated[int, Range(1)], ...], ...] = ()  # with bpac: other rates, a list for each such
    # stage with one for each branch

    def check(self, backbone: Backbone) -> None:
        """Raise LarqnetsError without residual blocks, and for rates of other branches than there are."""
        if backbone.joins != {"add"}:
            raise LarqnetsError(
                f"{self.name} decomposes residual blocks, and '{backbone.name}' is not made of them. Use a resnet backbone."
            )
        wide = {unit.dilation for unit in backbone.units if isinstance(unit.dilation, tuple)}
        if wide and self.variant == "lbd":
            raise LarqnetsError(
                "groupnet with variant = 'lbd' has no branches, and so no dilation rates of theirs. Use another variant."
            )
        if of_others := sorted(rates for rates in wide if len(rates) != self.k):
            raise LarqnetsError(
                f"{self.k} branches have {self.k} dilation rates, and {_listed(of_others[0])} are {len(of_others[0])}. "
                "Give one for each."
            )
        if self.bpac_rates and not self.bpac:
            raise LarqnetsError("bpac_rates are those of bpac = true. Set it, or leave them out.")
        if self.bpac and not wide:
            raise LarqnetsError(
                f"bpac widens what branches see where a stride is taken away, and here '{backbone.name}' keeps all of its "
                "strides. Leave bpac out, or use it with a task that labels pixels and a smaller output stride."
            )

    def dilated(self, backbone: Backbone, output_stride: int, image_size: tuple[int, int]) -> Backbone:
        """Return the backbone with the rates that `bpac` asks for."""
        same = dilated(backbone, output_stride)
        if not self.bpac:
            return same
        stages = sum(reduction > output_stride for reduction in backbone.reductions)
        shortest = -(-min(image_size) // same.reductions[-1])
        return dilated(backbone, output_stride, self.bpac_rates or _rates(self.k, stages, shortest))

    def stem(self, x: Tensor, stem: Stem) -> Tensor:
        """Real convolution, pooling, then BatchNorm; no activation."""
        return batch_norm(stem_pool(stem_conv(x, stem), stem), "stem_bn")

    def body(self, x: Tensor, backbone: Backbone) -> list[Tensor]:
        """Block after block in K branches; returns the mean of the branches behind every stage."""
        hs, total, outputs, blocks = [x] * self._branches, x, [], 0
        for s, stage in enumerate(backbone.stages, 1):
            for b, block in enumerate(stage, 1):
                name = f"stage{s}_block{b}"
                xs = self.connect(hs, total, blocks, name) if blocks else hs
                hs = self.branches(xs, block, name)
                total = self.total(hs, f"{name}_total")
                blocks += 1
            outputs.append(self._mean(total, f"stage{s}_mean"))
        return outputs

    def connect(self, hs: list[Tensor], total: Tensor, blocks: int, name: str) -> list[Tensor]:
        """The inputs of the block `name`, of which `blocks` others stand before, from the branches and their sum."""
        if self._branches == 1:
            return hs  # the mean of one is itself, whatever the gate
        if self.variant == "groupnet":
            scale = 1.0 if self.aggregate == "learned" else 1 / self.k
            gate = SoftGate(scale, self.gate_scope == "branch", name=f"{name}_gate")
            return gate([*hs, total])
        if self.variant == "gbd_v3" or (self.variant == "gbd_v2" and blocks % 2):
            return hs
        return [self._mean(total, f"{name}_mean")] * self._branches

    def branches(self, xs: list[Tensor], block: Block, name: str) -> list[Tensor]:
        """The block in every branch."""
        strides, filters = max(unit.strides for unit in block.units), block.units[-1].filters
        shortcuts = xs
        if strides > 1 or filters != xs[0].shape[-1]:
            shortcuts = self.downsample(xs, filters, strides, f"{name}_projection")
        return [
            self._branch(x, shortcut, block, name, k)
            for k, (x, shortcut) in enumerate(zip(xs, shortcuts, strict=True), 1)
        ]

    def total(self, hs: list[Tensor], name: str) -> Tensor:
        """The sum of the branches, or with learned factors their weighted sum; one alone as it is."""
        if len(hs) == 1:
            return hs[0]
        return WeightedSum(name=name)(hs) if self.aggregate == "learned" else layers.Add(name=name)(hs)

    def downsample(self, xs: list[Tensor], filters: int, strides: int, name: str) -> list[Tensor]:
        """The shortcut where the shape changes: one 1x1 convolution for all branches, BatchNorm.

        A binary one with a BatchNorm for each branch stands in every branch: on the device it reads the signs that the
        block's first convolution reads, and takes up its BatchNorm. Otherwise it works on all branches at once, one below
        the other: a shared BatchNorm wants one batch, and a real kernel would be stored anew with every BatchNorm.
        """
        one, shared = all(x is xs[0] for x in xs), self.downsample_norm == "shared"
        if self.downsample_precision == "binary" and not one and not shared:
            convolution = binary_conv_layer(Unit(filters, 1, strides), name, *self._signs())
            ys = [convolution(x) for x in xs]
        else:
            x = xs[0] if one else OneBelowTheOther(strides, name=f"{name}_below")(xs)
            unit = Unit(filters, 1, strides if one else 1)
            y = real_conv(x, unit, name) if self.downsample_precision == "real" else self._binary_conv(x, unit, name)
            y = batch_norm(y, f"{name}_bn") if shared else y
            ys = [y] * len(xs) if one else list(Apart(len(xs), name=f"{name}_apart")(y))
        return ys if shared else [batch_norm(y, f"{name}_bn_branch{k}") for k, y in enumerate(ys, 1)]

    def unit(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Sign, binary convolution (in `lbd` the sum of K), ReLU, BatchNorm."""
        y = self._bases(x, unit, name) if self.variant == "lbd" else self._binary_conv(x, unit, name)
        return batch_norm(layers.ReLU(name=f"{name}_relu")(y), f"{name}_bn")

    def path(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Sign, the sum of K binary convolutions, BatchNorm."""
        return batch_norm(self._bases(x, unit, name), f"{name}_bn")

    def neck(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        """Sign, the sum of K binary convolutions, ReLU, BatchNorm: layer-wise decomposition, in the order of a branch."""
        return batch_norm(layers.ReLU(name=f"{name}_relu")(self._bases(x, unit, name)), f"{name}_bn")

    def tower(self, x: Tensor, units: Sequence[Unit], name: str) -> Tensor:
        """K branches through the whole tower, h <- BN(ReLU(sign(h) * sign(W))) + h, and their mean."""
        hs = []
        for k in range(1, self._branches + 1):
            h = x
            for i, unit in enumerate(units, 1):
                conv = f"{name}_conv{i}_branch{k}"
                h = layers.Add(name=f"{conv}_add")([self.unit(h, unit, conv), h])
            hs.append(h)
        return self._mean(self.total(hs, f"{name}_total"), f"{name}_mean")

    @property
    def _branches(self) -> int:
        return 1 if self.variant == "lbd" else self.k

    def _branch(self, x: Tensor, shortcut: Tensor, block: Block, name: str, k: int) -> Tensor:
        """One block of the k-th branch. Basic blocks: a shortcut around each convolution, the first is the block's own."""
        names = [f"{name}_conv{i}_branch{k}" for i in range(1, len(block.units) + 1)]
        basic = self.per_conv_shortcut and all(unit.kernel_size == 3 for unit in block.units)
        y = x
        for i, (unit, conv) in enumerate(zip(block.units, names, strict=True)):
            z = self.unit(y, _of_branch(unit, k), conv)
            around = shortcut if basic and i == 0 else y
            if basic or (self.per_conv_shortcut and unit.kernel_size == 3 and y.shape[1:] == z.shape[1:]):
                z = layers.Add(name=f"{conv}_add")([z, around])
            y = z
        return y if basic else layers.Add(name=f"{name}_add_branch{k}")([y, shortcut])

    def _bases(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        return self.total(
            [self._binary_conv(x, unit, f"{name}_base{j}") for j in range(1, self.k + 1)], f"{name}_total"
        )

    def _binary_conv(self, x: Tensor, unit: Unit, name: str) -> Tensor:
        return binary_conv(x, unit, name, *self._signs())

    def _signs(self) -> tuple[ApproxSign, LayerSign | IdentitySign]:
        return ApproxSign(), LayerSign() if self.weight_scale else IdentitySign()

    def _mean(self, total: Tensor, name: str) -> Tensor:
        if self.aggregate == "learned" or self._branches == 1:
            return total
        return layers.Rescaling(1 / self._branches, name=name)(total)


def _of_branch(unit: Unit, k: int) -> Unit:
    return replace(unit, dilation=unit.dilation[k - 1]) if isinstance(unit.dilation, tuple) else unit


def _rates(k: int, stages: int, shortest: int) -> list[list[int]]:
    """Return the rates of K branches in so many stages; `shortest`: the shorter side of their maps.

    A rate that is no smaller than the map leaves of a 3x3 kernel its middle, and a constant.
    """
    paper = [[4 * n - 2 + branch for branch in range(k)] for n in range(1, stages + 1)]
    if all(rate < shortest for rates in paper for rate in rates):
        return paper
    return [[n * branch for branch in range(1, k + 1)] for n in range(1, stages + 1)]


def _listed(rates: tuple[int, ...]) -> str:
    return ", ".join(map(str, rates))
