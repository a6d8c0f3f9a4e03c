"""Backbones: topology as plain data, without TensorFlow. A method walks it and builds the layers.

Unit      one convolution position
Block     units in order, and how their result joins the block's input
Stage     a tuple of blocks at one width
Backbone  stem, stages, how the head sees the last stage
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Literal

from larqnets.errors import LarqnetsError
from larqnets.published import is_published, is_zoo
from larqnets.published.zoo import check_zoo_name
from larqnets.registry import Registry, import_folder

StemKind = Literal["imagenet", "small"]
# What stands behind a convolution: what the method has there, or what the paper of the backbone says.
Activation = Literal["method", "linear", "relu", "relu6", "hard_swish"]
OUTPUT_STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class Unit:
    """One convolution position: what stands around the convolution there is the method's.

    `pool` is a 2x2 pooling of stride 2 that belongs to the position: VGG's "max" stands between convolution and
    normalisation, DenseNet's transition has "average" at the end. `dilation` is one rate, or one for each branch of a method
    that has branches. `squeeze`: behind the activation stands squeeze-and-excite with so many hidden channels, none with 0.
    """

    filters: int
    kernel_size: int = 3
    strides: int = 1
    dilation: int | tuple[int, ...] = 1
    groups: int = 1
    pool: Literal["none", "max", "average"] = "none"
    padding: Literal["same", "valid"] = "same"
    activation: Activation = "method"
    squeeze: int = 0

    @property
    def depthwise(self) -> bool:
        """Whether every channel has a filter of its own (MobileNet): as many groups as filters, and more than one."""
        return self.groups == self.filters > 1

    @property
    def rate(self) -> int:
        """The one dilation rate; a method with branches has taken its own before it asks, every other one has none of several."""
        assert isinstance(self.dilation, int)
        return self.dilation

    @property
    def reduction(self) -> int:
        """How many pixels, in height and in width, become one."""
        return self.strides * (1 if self.pool == "none" else 2)


@dataclass(frozen=True)
class Block:
    """Units in order. Their result is added to the block's input (ResNet), appended to it (DenseNet) or stands alone."""

    units: tuple[Unit, ...]
    join: Literal["add", "concat", "none"] = "add"


Stage = tuple[Block, ...]


@dataclass(frozen=True)
class Stem:
    """The first, real-valued convolution; `max_pool` is 3x3 with stride 2 behind it, `scales` whether a width acts on it."""

    filters: int
    kernel_size: int = 3
    strides: int = 1
    max_pool: bool = False
    activation: Activation = "method"
    scales: bool = True

    @property
    def reduction(self) -> int:
        """How many pixels, in height and in width, become one."""
        return self.strides * (2 if self.max_pool else 1)


@dataclass(frozen=True)
class Backbone:
    """A network up to its head, which takes the global `average` or the `flatten`ed last feature map.

    `hidden`: a dense layer with a bias between the average and the classifier, as a unit of 1x1. A published network is known by
    its name alone: it has no stages.
    """

    name: str
    stem: Stem
    stages: tuple[Stage, ...]
    head: Literal["average", "flatten"] = "average"
    hidden: Unit | None = None

    @property
    def published(self) -> bool:
        """Whether its layers are those of a published network."""
        return is_published(self.name)

    @property
    def units(self) -> list[Unit]:
        """Every convolution position behind the stem, in order."""
        return [unit for stage in self.stages for block in stage for unit in block.units]

    @property
    def has_activations(self) -> bool:
        """Whether it says itself what stands behind its convolutions, which leaves a method with activations nothing to say."""
        positions = (self.stem, *self.units, *([self.hidden] if self.hidden else []))
        return any(position.activation != "method" for position in positions) or any(u.squeeze for u in self.units)

    @property
    def reductions(self) -> tuple[int, ...]:
        """For every stage how many pixels of the image, in height and in width, one of its output stands for."""
        found, reduction = [], self.stem.reduction
        for stage in self.stages:
            reduction *= prod(unit.reduction for block in stage for unit in block.units)
            found.append(reduction)
        return tuple(found)

    @property
    def joins(self) -> set[str]:
        """The ways in which its blocks join."""
        return {block.join for stage in self.stages for block in stage}

    @property
    def pools_between_stages(self) -> bool:
        """Whether it is plain convolutions that never shrink a map, and max-pools, which only end stages: a VGG."""
        pools = [[unit.pool for block in stage for unit in block.units] for stage in self.stages]
        ends = all(stage[-1] != "average" and set(stage[:-1]) <= {"none"} for stage in pools)
        plain = all(unit.strides == unit.groups == 1 for unit in self.units) and self.stem.strides == 1
        return self.joins == {"none"} and ends and plain

    @property
    def has_bottlenecks(self) -> bool:
        """Whether it has residual blocks that begin and end with a 1x1 convolution, which changes the channels."""
        kernels = [[unit.kernel_size for unit in b.units] for stage in self.stages for b in stage if b.join == "add"]
        return any(len(sizes) > 1 and sizes[0] == sizes[-1] == 1 for sizes in kernels)


BACKBONES: Registry[Callable[[StemKind], Backbone]] = Registry("backbone")


def stem(kind: StemKind, filters: int) -> Stem:
    """Return 7x7/2 + max-pool for ImageNet-sized images or 3x3/1 for small ones."""
    return Stem(filters, 7, 2, max_pool=True) if kind == "imagenet" else Stem(filters)


def only_small_stem(name: str, kind: StemKind) -> None:
    """Raise LarqnetsError when a backbone for small images is asked for with the ImageNet stem."""
    if kind != "small":
        raise LarqnetsError(f"Backbone '{name}' is made for small images and has no ImageNet stem. Use stem = 'small'.")


def scaled(backbone: Backbone, width: float) -> Backbone:
    """Multiply every number of filters by `width`, rounded, at least 1; a depthwise position stays one, a fixed stem as it is.

    With a single channel there is no telling depthwise from ordinary, so where there is such a position the least is 2.
    """
    least = 2 if any(unit.depthwise for unit in backbone.units) else 1

    def wide(filters: int) -> int:
        return max(least, round(filters * width))

    def wide_unit(unit: Unit) -> Unit:
        filters, squeeze = wide(unit.filters), wide(unit.squeeze) if unit.squeeze else 0
        return replace(unit, filters=filters, groups=filters if unit.depthwise else unit.groups, squeeze=squeeze)

    def wide_block(block: Block) -> Block:
        return replace(block, units=tuple(map(wide_unit, block.units)))

    return replace(
        backbone,
        stem=replace(backbone.stem, filters=wide(backbone.stem.filters)) if backbone.stem.scales else backbone.stem,
        stages=tuple(tuple(wide_block(block) for block in stage) for stage in backbone.stages),
        hidden=wide_unit(backbone.hidden) if backbone.hidden else None,
    )


def dilated(backbone: Backbone, output_stride: int, rates: Sequence[Sequence[int]] | None = None) -> Backbone:
    """Return the backbone without the strides that would make one pixel of its maps stand for more than `output_stride`.

    Where a stride or a pooling goes, what lies behind keeps what it sees: the rate of its k x k convolutions grows by that
    factor (1x1 convolutions have none), so that of two strides of 2 taken away, behind the first one the rate is 2 and behind
    the second one 4. The weights stay as many. `rates`: instead, for every stage in which a stride went or before which
    one did, one rate for each branch of a method that has branches (Group-Net's BPAC), in all k x k convolutions of the
    stage. Raises LarqnetsError for an output stride that is none of 8, 16 and 32 or below the stem's, and for rates of
    another number of stages or below 1.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise LarqnetsError(f"The output stride must be 8, 16 or 32, not {output_stride!r}.")
    reached, rate = backbone.stem.reduction, 1
    if reached > output_stride:
        raise LarqnetsError(
            f"The stem of '{backbone.name}' alone makes one pixel of {reached}, so the output stride cannot be {output_stride}. "
            "Use a larger one."
        )
    stages = []
    for stage in backbone.stages:
        blocks = []
        for block in stage:
            units = []
            for unit in block.units:
                unit = replace(unit, dilation=1 if unit.kernel_size == 1 else unit.rate * rate)
                if rate > 1 or reached * unit.reduction > output_stride:  # no op has a stride and a rate
                    rate *= unit.reduction
                    unit = replace(unit, strides=1, pool="none")
                reached *= unit.reduction
                units.append(unit)
            blocks.append(replace(block, units=tuple(units)))
        stages.append(tuple(blocks))
    if rates is not None:
        wide = [s for s, reduction in enumerate(backbone.reductions) if reduction > output_stride]
        _check_rates(rates, len(wide), f"'{backbone.name}' at an output stride of {output_stride}")
        for s, of_branches in zip(wide, rates, strict=True):
            stages[s] = _with_rates(stages[s], tuple(of_branches))
    return replace(backbone, stages=tuple(stages))


def _check_rates(rates: Sequence[Sequence[int]], stages: int, where: str) -> None:
    if len(rates) != stages:
        raise LarqnetsError(
            f"{where} has {stages} dilated stages, and rates are given for {len(rates)}. Give a list for each."
        )
    for rate in (rate for of_branches in rates for rate in of_branches):
        if type(rate) is not int or rate < 1:
            raise LarqnetsError(f"A dilation rate must be an integer of 1 or more, not {rate!r}.")


def _with_rates(stage: Stage, rates: tuple[int, ...]) -> Stage:
    """Return the stage with rates of branches in its k x k convolutions; one that kept a stride cannot have any."""

    def wide(unit: Unit) -> Unit:
        return unit if unit.kernel_size == 1 or unit.strides > 1 else replace(unit, dilation=rates)

    return tuple(replace(block, units=tuple(map(wide, block.units))) for block in stage)


def get_backbone(name: str, stem: StemKind = "small", width: float = 1.0) -> Backbone:
    """Return the backbone called `name` with the stem for its image size and all widths scaled, or a published body.

    Raises LarqnetsError where there is none, and for a stem or a width of a published body, which is as it is.
    """
    if is_published(name):
        if is_zoo(name):
            check_zoo_name(name)
        if (stem, width) != ("small", 1.0):
            raise LarqnetsError(f"{name} has its own first layer and width. Leave model.stem and model.width out.")
        return Backbone(name, Stem(0), ())
    _load()
    return scaled(BACKBONES.get(name)(stem), width)


def list_backbones(pattern: str = "*") -> list[str]:
    """Return the names of the backbones that match a shell glob."""
    _load()
    return BACKBONES.names(pattern)


def _load() -> None:
    import_folder(__name__, __path__)
