"""The kernels of a Keras graph: find them, decompose them on all cores, write the reconstructions back.

Decomposed are the kernels of Conv2D, DepthwiseConv2D, SeparableConv2D and Dense, also of models inside the model. All
else stays as it is: biases, BatchNorm, and layers of other kinds, which `left_out` names if they have a kernel.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

import numpy as np
import tensorflow as tf

from larqnets.decompose import LayerResult, Settings, decompose_kernels
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter

layers = tf.keras.layers

# Class of the layer -> (attribute, whether it is a depthwise kernel).
_KERNELS: dict[type, tuple[tuple[str, bool], ...]] = {
    layers.Conv2D: (("kernel", False),),
    layers.Dense: (("kernel", False),),
    layers.DepthwiseConv2D: (("depthwise_kernel", True),),
    layers.SeparableConv2D: (("depthwise_kernel", True), ("pointwise_kernel", False)),
}
_OTHER_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "embeddings")


@dataclass(frozen=True, eq=False)
class Kernel:
    """One kernel to decompose; `weight` is in Keras layout: (kh, kw, Ci, S), depthwise (kh, kw, C, M), dense (in, out)."""

    name: str  # of its layer; of a layer with two kernels LAYER/ATTRIBUTE
    weight: tf.Variable
    depthwise: bool
    first: bool = False  # of the network


@dataclass(frozen=True)
class Kept:
    """Layers that are not decomposed, by names or shell globs: `as_float` stay as they are, `at_int8` get 127 steps on each side."""

    as_float: tuple[str, ...] = ()
    at_int8: tuple[str, ...] = ()

    def divide(self, kernels: Sequence[Kernel]) -> tuple[list[Kernel], list[Kernel], list[Kernel]]:
        """Return the kernels to decompose, those at int8 and those that stay float.

        Raises LarqnetsError for a name that no kernel has, a kernel that both lists name, and where nothing is left.
        """
        floats, integers = (_named(kernels, globs) for globs in (self.as_float, self.at_int8))
        if both := [kernel.name for kernel in floats if kernel in integers]:
            raise LarqnetsError(f"Layer '{both[0]}' cannot stay float and be at int8. Name it once.")
        rest = [kernel for kernel in kernels if kernel not in floats and kernel not in integers]
        if not rest:
            raise LarqnetsError("No kernel is left to decompose. Keep fewer.")
        return rest, integers, floats


def _named(kernels: Sequence[Kernel], globs: Sequence[str]) -> list[Kernel]:
    for glob in globs:
        if not any(fnmatchcase(kernel.name, glob) for kernel in kernels):
            names = ", ".join(kernel.name for kernel in kernels[:3])
            raise LarqnetsError(
                f"No kernel is called '{glob}'. They are called {names} and so on: see layers.json of a run."
            )
    return [kernel for kernel in kernels if any(fnmatchcase(kernel.name, glob) for glob in globs)]


def find_kernels(model: tf.keras.Model) -> list[Kernel]:
    """Return the kernels to decompose in the order of the layers; raises LarqnetsError when there is none."""
    found = [replace(kernel, first=not i) for i, kernel in enumerate(_kernels(model, ""))]
    if not found:
        raise LarqnetsError(
            f"{model.name} has no real-valued Conv2D, DepthwiseConv2D, SeparableConv2D or Dense layer to decompose."
        )
    return found


def left_out(model: tf.keras.Model) -> list[str]:
    """Return the layers whose kernel no rule covers, as "name (class)": they stay as they are."""
    taken = {id(kernel.weight) for kernel in _kernels(model, "")}
    return [
        f"{layer.name} ({type(layer).__name__})"
        for layer in _layers(model)
        if any(
            isinstance(weight := getattr(layer, kind, None), tf.Variable) and id(weight) not in taken
            for kind in _OTHER_KERNELS
        )
    ]


def no_weights(model: tf.keras.Model) -> list[str]:
    """Return the layers of ours that have no weights to decompose, as "name (class)", such as an unpooling."""
    return [
        f"{layer.name} ({type(layer).__name__})"
        for layer in _layers(model)
        if type(layer).__module__.startswith("larqnets.") and not layer.weights
    ]


def decompose(
    kernels: Sequence[Kernel],
    settings: Settings | Mapping[str, Settings],
    reporter: Reporter = SILENT,
    values: Mapping[str, np.ndarray] | None = None,
) -> dict[str, LayerResult]:
    """Decompose every kernel, with the same settings or its own, on all cores; the model is left as it is.

    `values`: the kernels' values by name, where the weights do not hold them now. `reporter` is told the
    number done and the name of each. Raises LarqnetsError for a kernel that cannot be decomposed, see `decompose_kernel`.
    """
    values = values or float_values(kernels)
    by_name = {kernel.name: values[kernel.name] for kernel in kernels}
    depthwise = [kernel.name for kernel in kernels if kernel.depthwise]
    stem = next((kernel.name for kernel in kernels if kernel.first), None)
    return decompose_kernels(by_name, settings, depthwise, stem=stem, reporter=reporter)


def float_values(kernels: Sequence[Kernel]) -> dict[str, np.ndarray]:
    """Return the values of the kernels by name, float32."""
    return {kernel.name: np.asarray(kernel.weight, np.float32) for kernel in kernels}


def assign(kernels: Sequence[Kernel], values: Mapping[str, np.ndarray]) -> None:
    """Write values by name into the model."""
    tf.keras.backend.batch_set_value([(kernel.weight, values[kernel.name]) for kernel in kernels])


def reconstructions(results: Mapping[str, LayerResult]) -> dict[str, np.ndarray]:
    """Return what `assign` takes."""
    return {name: result.values for name, result in results.items()}


def _kernels(model: tf.keras.Model, prefix: str) -> Iterator[Kernel]:
    for layer in model.layers:
        name = prefix + layer.name
        if isinstance(layer, tf.keras.Model):
            yield from _kernels(layer, f"{name}/")
        entries = _KERNELS.get(type(layer), ())
        for attribute, depthwise in entries:
            whole = name if len(entries) == 1 else f"{name}/{attribute}"
            yield Kernel(whole, getattr(layer, attribute), depthwise)


def _layers(model: tf.keras.Model) -> Iterator[tf.keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, tf.keras.Model):
            yield from _layers(layer)
        else:
            yield layer
