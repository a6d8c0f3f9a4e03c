"""The one export path: rebuild a trained model so that the converter recognises every binary layer.

Whatever a method does while training, its binary layers come out in one form: the plain sign on the input, a constant
kernel of exactly -1 and +1, and the kernel's scale moved into the BatchNorm behind it (or, where there is none, into a
per-channel factor that the converter fuses). The rebuilt model has batch size 1 and computes what the trained one does.

Weights-only layers (w1a32), which say so by their class, become ordinary layers with the kernel that they compute with.

    scales            that scale into its BatchNorm
    links             the constants of Elastic-Link
    factors           gates and means of Group-Net
    gates             the BatchNorm behind a gated map, of BNext
    shifts            the shifts of RPReLU and RSign
    dprelus           PokeBNN's DPReLU, the gate and the BatchNorm behind it
    pads, activations what LCE's converter would misread or has no op for, written otherwise
    windows           real convolutions whose SAME padding XNNPACK would misread, written otherwise
    stem              a first convolution of stride 2 or 4, as SPACE_TO_DEPTH and one of stride 1 where that is cheaper

What is rebuilt as what is decided on the trained model (`Plan`); then `PASSES` set the weights, in their order.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeGuard

from larqnets import require_keras_2

require_keras_2()

import larq as lq  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from deploy.export import activations, windows  # noqa: E402
from deploy.export.binary_layers import (  # noqa: E402
    KERNELS,
    BinaryLayer,
    describe_binary_layers,
    kernel_quantizers,
    layers_beside,
    weights_only_layers,
)
from deploy.export.dprelus import DPReLUs  # noqa: E402
from deploy.export.entry import is_norm, layers_before, layers_behind  # noqa: E402
from deploy.export.factors import Factors  # noqa: E402
from deploy.export.gates import Gates  # noqa: E402
from deploy.export.links import Links  # noqa: E402
from deploy.export.pads import pads_to_split  # noqa: E402
from deploy.export.scales import fold_scale, norm_behind  # noqa: E402
from deploy.export.shifts import fold_shifts, foldable, plain  # noqa: E402
from deploy.export.stand_ins import (  # noqa: E402
    ExportedConv2D,
    ExportedDense,
    NormOfOtherAxis,
    Sides,
    SplitPadding,
)
from deploy.export.stem import Decision, decide, rewritten  # noqa: E402
from deploy.targets import Stem  # noqa: E402
from larqnets.endings import ACTIVATED  # noqa: E402
from larqnets.errors import LarqnetsError  # noqa: E402
from larqnets.layers.hard_tanh import HardTanh  # noqa: E402
from larqnets.layers.rprelu import RPReLU  # noqa: E402
from larqnets.quantizers import Clip, Relu, Tanh  # noqa: E402

layers = tf.keras.layers


@dataclass
class Export:
    """The rebuilt model and what the converted file has to contain."""

    model: tf.keras.Model
    binary_layers: list[BinaryLayer]
    stem: Decision | None  # None: its first layer with a kernel could not be written otherwise
    warnings: list[str] = field(default_factory=list)

    @property
    def stem_entry(self) -> dict[str, str]:
        """What the metadata of a file say of its stem: nothing where there is one form only."""
        return {} if self.stem is None else {"stem": self.stem.form}


@dataclass
class Plan:
    """What becomes of the layers of a trained model."""

    model: tf.keras.Model
    binary: list[BinaryLayer]
    exportable: dict[str, BinaryLayer]  # those that become 1-bit ops
    scales: dict[str, tf.keras.layers.BatchNormalization]  # exportable layer -> the BatchNorm that takes its scale
    links: Links
    factors: Factors
    gates: Gates
    shifts: dict[str, RPReLU]
    dprelus: DPReLUs
    weights_only: list[str]
    stem: Decision | None
    pads: dict[str, Sides]
    unknown: set[str]  # layers across which nothing is folded because nothing is known of them

    @classmethod
    def of(cls, model: tf.keras.Model, binary: list[BinaryLayer], stem: Stem = "cheaper") -> "Plan":
        """Decide for every layer of a model whose structure has been checked; `binary`: those trained as binary."""
        exportable = {layer.name: layer for layer in binary if not layer.problem}
        unknown: set[str] = set()
        scales = {
            name: norm
            for name, layer in exportable.items()
            if (norm := norm_behind(model.get_layer(name), set() if _all_one(layer) else unknown)) is not None
        }
        links, dprelus = Links(model, exportable), DPReLUs(model)
        gates = Gates(model, dprelus.names)
        decision = decide(model, stem)
        otherwise = {*exportable, *([decision.name] if decision and decision.is_rewritten else [])}
        return cls(
            model,
            binary,
            exportable,
            scales,
            links,
            Factors(model, exportable, links.norms | gates.norms | dprelus.names, unknown),
            gates,
            foldable(model, unknown),
            dprelus,
            weights_only_layers(model),
            decision,
            pads_to_split(model, otherwise) if binary else {},  # the stock converter keeps them as they are
            unknown,
        )

    def is_rewritten(self, layer: tf.keras.layers.Layer) -> TypeGuard[tf.keras.layers.Conv2D]:
        """Whether the layer is a stem that SPACE_TO_DEPTH and another convolution stand for."""
        return self.stem is not None and self.stem.is_rewritten and layer.name == self.stem.name

    @property
    def constant(self) -> set[str]:
        """The layers that keep their class and whose kernels become constants."""
        return {*self.weights_only, *(layer.name for layer in self.binary if layer.problem)}

    def rebuild(self, layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        """Return the layer that stands for a trained one, without its weights."""
        if layer.name in self.exportable:
            takes_norm = layer.name in self.links.moved
            scaled = takes_norm or (layer.name not in self.scales and not _all_one(self.exportable[layer.name]))
            return _exported(layer, scaled=scaled, biased=takes_norm or layer.use_bias)
        for folded in (self.links, self.factors, self.gates, self.dprelus):
            if (stand_in := folded.stand_in(layer)) is not None:
                return stand_in
        if layer.name in self.shifts:
            return plain(self.shifts[layer.name])
        if layer.name in self.pads:
            return SplitPadding(self.pads[layer.name], name=layer.name)
        if (function := activations.stand_in(layer)) is not None:
            return function
        if self.exportable and isinstance(layer, layers.BatchNormalization) and not is_norm(layer):
            return NormOfOtherAxis.from_config(layer.get_config())
        if layer.name in self.constant:
            return _with_constant_kernel(layer)
        if self.is_rewritten(layer):
            return rewritten(layer)
        if isinstance(layer, HardTanh) and _only_signs_behind(layer, self.exportable):
            return layers.Activation("linear", name=layer.name)  # sign(clip(x, -1, 1)) = sign(x)
        return windows.from_config(layer, layer.get_config())


def export_model(model: tf.keras.Model, binary: list[BinaryLayer] | None = None, stem: Stem = "cheaper") -> Export:
    """Rebuild a trained functional or sequential model for the converter, batch size 1.

    `binary`: its layers trained as binary, where they are described already; `stem`: how it gets a first convolution of
    stride 2 or 4, see `deploy.export.stem`. Raises LarqnetsError for models that cannot be rebuilt: subclassed ones, nested
    ones, several inputs, none with such a stem where it is to be rewritten; and for a layer of larqnets that
    `deploy.export.algebra` does not know.
    """
    check_structure(model)
    check_places(model)
    plan = Plan.of(model, describe_binary_layers(model) if binary is None else binary, stem)
    taken = {layer.name for layer in model.layers if not isinstance(layer, layers.InputLayer)}
    fresh = tf.keras.Input(model.input_shape[1:], batch_size=1, name="network_input" if "image" in taken else "image")
    if isinstance(model, tf.keras.Sequential):
        model = tf.keras.Model(model.inputs, model.outputs, name=model.name)
    rebuilt = tf.keras.models.clone_model(model, input_tensors=fresh, clone_function=plan.rebuild)
    for set_weights in PASSES.values():
        set_weights(plan, rebuilt)
    return Export(rebuilt, plan.binary, plan.stem, _warnings(plan))


def check_structure(model: tf.keras.Model) -> None:
    """Raise LarqnetsError for a model that cannot be taken apart."""
    if not isinstance(model, tf.keras.Sequential) and not getattr(model, "_is_graph_network", False):
        raise LarqnetsError(
            f"Model '{model.name}' is a subclassed Keras model, whose layers cannot be taken apart. "
            "Build it with the functional API or as Sequential."
        )
    nested = [layer.name for layer in model.layers if isinstance(layer, tf.keras.Model)]
    if nested:
        raise LarqnetsError(f"Layer '{nested[0]}' is a model inside the model. Flatten it into one functional model.")
    if len(model.inputs) != 1:
        raise LarqnetsError(f"The model has {len(model.inputs)} inputs; only one is supported.")
    if isinstance(model.output, dict):
        raise LarqnetsError(
            "The model answers with a dictionary. Let it answer with a list, made by layers that are called as its keys are."
        )
    if None in (shape := model.input_shape[1:]):
        raise LarqnetsError(f"The model's input shape {shape} is not fixed. Give its Input layer a full shape.")


def check_places(model: tf.keras.Model) -> None:
    """Raise LarqnetsError for a binary layer in several places that nothing tells apart in a file."""
    beside = layers_beside([layer for layer in model.layers if kernel_quantizers(layer)])
    shared = [name for name, others in beside.items() if "" in others]
    if shared:
        raise LarqnetsError(
            f"Binary layer '{shared[0]}' is used in several places, and no other layer tells them apart in a file. Use "
            "one layer per place."
        )


def _all_one(layer: BinaryLayer) -> bool:
    return bool(np.all(layer.scale == 1))


def _only_signs_behind(layer: tf.keras.layers.Layer, exportable: dict[str, BinaryLayer]) -> bool:
    """Return whether nothing but the sign of the layer's output is used."""
    behind = layers_behind(layer)
    return bool(behind) and all(after.name in exportable for after in behind)


def _exported(layer: tf.keras.layers.Layer, *, scaled: bool, biased: bool) -> ExportedConv2D | ExportedDense:
    config = layer.get_config()
    after = activations.written(layer.activation) or tf.keras.activations.linear
    shared = {"name": layer.name, "scaled": scaled, "biased": biased, "after": after}
    if isinstance(layer, lq.layers.QuantDense):
        return ExportedDense(layer.units, **shared)
    geometry = ("filters", "kernel_size", "strides", "padding", "dilation_rate", "pad_values")
    return ExportedConv2D(**shared, **{key: config[key] for key in geometry})


def _with_constant_kernel(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
    """Return the layer without quantizers on its kernels, which `PASSES` then set."""
    config = layer.get_config()
    parts = [part for part in KERNELS if config.get(f"{part}_quantizer") is not None]
    none = {f"{part}_{what}": None for part in parts for what in ("quantizer", "constraint")}
    return windows.from_config(layer, {**config, **none})


def _set_constant_kernels(trained: tf.keras.layers.Layer, constant: tf.keras.layers.Layer) -> None:
    """Give the layer the trained one's weights, the kernels as it computes with them, after their quantizers.

    So nothing of a quantizer is left to the converter, which does not survive it with large kernels.
    """
    for name in ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "bias"):
        if (variable := getattr(trained, name, None)) is not None:
            with lq.context.quantized_scope(True):
                getattr(constant, name).assign(tf.convert_to_tensor(variable))
    if isinstance(trained.input_quantizer, layers.Layer):
        constant.input_quantizer.set_weights(trained.input_quantizer.get_weights())


def _copy_weights(plan: Plan, rebuilt: tf.keras.Model) -> None:
    """Set the weights of all layers but those for which another pass does."""
    folded = {*plan.links.names, *plan.factors.names, *plan.gates.norms, *plan.dprelus.names}
    others = {*plan.shifts, *plan.constant, *folded}
    for layer in plan.model.layers:
        if layer.name in others:
            continue
        if layer.name in plan.exportable:
            binary = plan.exportable[layer.name]
            bias = layer.bias.numpy() if layer.use_bias else None
            rebuilt.get_layer(layer.name).load(binary.signs, binary.scale, bias)
        elif plan.is_rewritten(layer):
            rebuilt.get_layer(layer.name).load(*layer.get_weights())
        elif layer.get_weights():
            rebuilt.get_layer(layer.name).set_weights(layer.get_weights())


def _fold_scales(plan: Plan, rebuilt: tf.keras.Model) -> None:
    for name, norm in plan.scales.items():
        behind, scale = rebuilt.get_layer(norm.name), plan.exportable[name].scale
        assert isinstance(behind, layers.BatchNormalization)
        assert scale is not None
        fold_scale(behind, scale)


def _set_constants(plan: Plan, rebuilt: tf.keras.Model) -> None:
    for name in plan.constant:
        _set_constant_kernels(plan.model.get_layer(name), rebuilt.get_layer(name))


def _write_activations(plan: Plan, rebuilt: tf.keras.Model) -> None:
    for layer in rebuilt.layers:
        if isinstance(layer, ACTIVATED):
            layer.activation = activations.written(layer.activation)  # pyright: ignore[reportAttributeAccessIssue]  # all of ACTIVATED have one


# What makes the rebuilt model compute what the trained one does, in this order:
# scales, factors and shifts change weights that have been copied; the shifts also the biases of the convolutions into
# which the links have moved a BatchNorm; and they are constants on tensors that the factors have already made larger.
PASSES: dict[str, Callable[[Plan, tf.keras.Model], None]] = {
    "weights": _copy_weights,
    "scales": _fold_scales,
    "constants": _set_constants,
    "activations": _write_activations,
    "links": lambda plan, rebuilt: plan.links.set_constants(rebuilt, plan.exportable),
    "factors": lambda plan, rebuilt: plan.factors.fold(rebuilt),
    "gates": lambda plan, rebuilt: plan.gates.set_constants(rebuilt),
    "shifts": lambda plan, rebuilt: fold_shifts(rebuilt, plan.shifts),
    "dprelus": lambda plan, rebuilt: plan.dprelus.fold(rebuilt),
}


def _warnings(plan: Plan) -> list[str]:
    found, model = [plan.stem.remark] if plan.stem and plan.stem.remark else [], plan.model
    if plan.weights_only:
        found.append(
            f"{len(plan.weights_only)} layers have binary weights on real input (w1a32), for which there is no 1-bit op: this "
            "file stores and runs them as float; --twins adds one with int8 kernels of -127 and +127 that runs as int8."
        )
    half = [
        layer.name
        for layer in model.layers
        if getattr(layer, "input_quantizer", None) is not None
        and not isinstance(layer.input_quantizer, Clip | Tanh | Relu)
        and not kernel_quantizers(layer)
    ]
    if half:
        found.append(
            f"{len(half)} layers have an input quantizer and a real kernel, for which there is no 1-bit op, and run as "
            f"float: {', '.join(half)}."
        )
    if plan.unknown:
        names = ", ".join(f"'{layer.name}'" for layer in model.layers if layer.name in plan.unknown)
        found.append(
            f"What these layers do to a factor or a constant is not known, and nothing is folded across them: {names}."
        )
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            smallest = float(layer.moving_variance.numpy().min())
            if smallest < 1e-6:
                found.append(
                    f"BatchNorm '{layer.name}' has a variance of {smallest:.1e}: rounding can flip signs behind it."
                )
    for name in plan.exportable:
        (producer,) = layers_before(model.get_layer(name))
        activation = getattr(producer, "activation", None)
        if isinstance(producer, layers.ReLU) or activation is tf.keras.activations.relu:
            found.append(
                f"Layer '{name}' takes the sign right after a ReLU ('{producer.name}'): every input is +1 unless -0."
            )
    return found
