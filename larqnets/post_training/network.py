"""The kernels of a Keras graph: find them, decompose them on all cores, write the reconstructions back.

Decomposed are the kernels of Conv2D, DepthwiseConv2D, SeparableConv2D and Dense, also of models inside the model. All
else stays as it is: biases, BatchNorm, and layers of other kinds, which `left_out` names if they have a kernel.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from larqnets.config import DataConfig, TaskConfig
from larqnets.decompose import LayerResult, Settings, decompose_kernels
from larqnets.errors import LarqnetsError, nearest
from larqnets.runs.applications import applications, build_application
from larqnets.runs.keras_file import load_keras_file
from larqnets.runs.names import KERAS_SUFFIXES
from larqnets.runs.run import Run
from larqnets.runs.weights import load_trained_model

layers = tf.keras.layers

# Class of the layer -> (attribute, whether it is a depthwise kernel).
_KERNELS: dict[type, tuple[tuple[str, bool], ...]] = {
    layers.Conv2D: (("kernel", False),),
    layers.Dense: (("kernel", False),),
    layers.DepthwiseConv2D: (("depthwise_kernel", True),),
    layers.SeparableConv2D: (("depthwise_kernel", True), ("pointwise_kernel", False)),
}
_OTHER_KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel", "recurrent_kernel", "embeddings")


@dataclass(frozen=True)
class Kernel:
    """One kernel to decompose; `weight` is in Keras layout: (kh, kw, Ci, S), depthwise (kh, kw, C, M), dense (in, out)."""

    name: str  # of its layer; of a layer with two kernels LAYER/ATTRIBUTE
    weight: tf.Variable
    depthwise: bool


@dataclass(frozen=True)
class Origin:
    """A network to decompose and what is known about it; `data` and `accuracy` (fraction) None where nobody said."""

    model: tf.keras.Model
    name: str
    data: DataConfig | None
    accuracy: float | None
    task: TaskConfig = field(default_factory=TaskConfig)


def open_network(
    source: str,
    *,
    dataset: str | None = None,
    data_dir: str | None = None,
    weights: str | None = None,
    image: tuple[int, int, int] | None = None,
    classes: int | None = None,
) -> Origin:
    """Open a run folder, a Keras model file, or a network of keras.applications by its name.

    `dataset` names images, or other ones than a run's own; `weights`, `image` (H, W, C) and `classes` (1000) are those of
    keras.applications: "imagenet" (Keras downloads them), "none" (random), or a file. Raises LarqnetsError.
    """
    path, task = Path(source), TaskConfig()
    if (weights, image, classes) != (None, None, None) and (path.exists() or source not in applications()):
        raise LarqnetsError(
            f"{source} is no network of keras.applications, whose --weights, --image and --classes can be chosen. Leave "
            "them out."
        )
    if path.is_dir():
        run = Run.open(path)
        model, data, accuracy = load_trained_model(run), run.data, run.card.get("test_accuracy")
        name, task = run.card["backbone"], run.config.task
    elif path.suffix in KERAS_SUFFIXES:
        model, data, accuracy, name = load_keras_file(path), None, None, path.stem
    elif source in applications():
        model, data, accuracy, name = _application(source, weights, image, classes), None, None, source
    else:
        raise LarqnetsError(
            f"'{source}' is no run folder, Keras model file or network of keras.applications."
            f"{nearest(source, applications())} Give e.g. runs/<name>, model.keras, or MobileNet."
        )
    if dataset is not None and (data is None or dataset != data.dataset):
        normalised: dict[str, Any] = _normalisation(source) if source in applications() and not path.is_dir() else {}
        data = replace(data or DataConfig(dataset, **normalised), dataset=dataset).of_size(model.input_shape[1:3])
        accuracy = None
    if data is not None and data_dir is not None:
        data = replace(data, data_dir=data_dir)
    return Origin(model, name, data, accuracy, task)


def _application(
    name: str, weights: str | None, image: tuple[int, int, int] | None, classes: int | None
) -> tf.keras.Model:
    given = {"weights": weights, "input_shape": image, "classes": classes}
    options: dict[str, Any] = {key: value for key, value in given.items() if value is not None}  # else Keras' own
    if weights == "none":
        options["weights"] = None
    return build_application(
        name,
        f"{name} of keras.applications cannot be made",
        "Choose another --weights, --image or --classes.",
        **options,
    )


def _normalisation(name: str) -> dict[str, tuple[float, ...]]:
    """Return mean and std with which (pixel / 255 - mean) / std is what a network of keras.applications takes.

    They are read off its own preprocessing, by its values for black and for one full channel after the other. Raises
    LarqnetsError where that is no such formula, as of networks whose channels are BGR.
    """
    preprocess = sys.modules[applications()[name].__module__].preprocess_input
    probes = np.concatenate([np.zeros((1, 3)), 255 * np.eye(3)]).astype(np.float32).reshape(4, 1, 1, 3)
    black, *channels = np.asarray(preprocess(probes)).reshape(4, 3)
    rise = np.array(channels) - black
    if not np.array_equal(rise != 0, np.eye(3, dtype=bool)):
        raise LarqnetsError(
            f"{name} of keras.applications mixes the colours of an image (BGR), which our images cannot do. Give a Keras "
            "model file that takes RGB, or leave --dataset out."
        )
    std = 1 / np.diag(rise).astype(np.float64)
    return {"mean": tuple((-black * std).tolist()), "std": tuple(std.tolist())}


def find_kernels(model: tf.keras.Model) -> list[Kernel]:
    """Return the kernels to decompose in the order of the layers; raises LarqnetsError when there is none."""
    found = list(_kernels(model, ""))
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


def decompose(
    kernels: Sequence[Kernel],
    settings: Settings | Mapping[str, Settings],
    on_layer: Callable[[int, str], Any] = lambda done, name: None,
    values: Mapping[str, np.ndarray] | None = None,
) -> dict[str, LayerResult]:
    """Decompose every kernel, with the same settings or its own, on all cores; the model is left as it is.

    `values`: the kernels' values by name, where the weights do not hold them now. `on_layer` is called with the number
    done and the name of each. Raises LarqnetsError for a kernel that cannot be decomposed, see `decompose_kernel`.
    """
    values = values or float_values(kernels)
    by_name = {kernel.name: values[kernel.name] for kernel in kernels}
    depthwise = [kernel.name for kernel in kernels if kernel.depthwise]
    return decompose_kernels(by_name, settings, depthwise, stem=kernels[0].name, on_layer=on_layer)


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
