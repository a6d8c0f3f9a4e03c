"""`create_model`: a method applied to a backbone gives a Keras model that returns logits.

Papers that train in steps need the same network with real weights, or with real weights and activations. `precision` says
which. It is done here, once for all methods, by replacing the quantizers of the finished network:

    precision            sign of the activations            sign of the kernels
    binary               the method's                       the method's
    binary_activations   the method's                       none: the real kernel itself
    real                 the surrogate: clip, tanh, relu    none

Layers and weights keep their names, so that weights move from one to the other by name.
"""

from typing import Any

from larqnets import require_keras_2
from larqnets.backbones import Backbone, StemKind, get_backbone, list_backbones
from larqnets.config import Precision, Surrogate
from larqnets.errors import LarqnetsError

require_keras_2()

import logging  # noqa: E402

import tensorflow as tf  # noqa: E402

from larqnets.int8_aware import with_int8_rest  # noqa: E402
from larqnets.methods import get_method, list_methods  # noqa: E402
from larqnets.published import check_pair  # noqa: E402
from larqnets.published.bodies import build_body  # noqa: E402
from larqnets.quantizers import Clip, Relu, Tanh  # noqa: E402
from larqnets.tasks import Images, Task, Tree, get_task, only  # noqa: E402

__all__ = ["create_model", "list_backbones", "list_methods", "method_matrix"]

_BODY = "_larqnets_body"  # the attribute of a model in which `create_model` says what `body_of` tells

# absl repeats in prose what our own errors say in a sentence.
logging.getLogger("tensorflow").setLevel(logging.ERROR)


# No layer has control flow over tensors for AutoGraph to convert, and converting takes a fifth of the time to build.
@tf.autograph.experimental.do_not_convert
def create_model(
    method: str,
    backbone: str,
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    task: Task | None = None,
    stem: StemKind = "small",
    width: float = 1.0,
    precision: Precision = "binary",
    surrogate: Surrogate = "clip",
    int8_rest: bool = False,
    body: tf.keras.Model | None = None,
    **options: Any,
) -> tf.keras.Model:
    """Build `method` on `backbone` for images (N, *input_shape); returns a functional Keras model.

    It answers with what `task` says: by default, and without one of its own, with logits (N, classes). `stem`: "imagenet" (7x7/2
    + max-pool) or "small" (3x3/1); `width` scales every number of filters; `precision` other than "binary" takes signs away
    (table above); with `int8_rest` it learns for an int8 rest (`larqnets.int8_aware`); `body` is a published one that is there
    already; `options` are the method's own. Raises LarqnetsError for an unknown name or option, an impossible pair, an image too
    small, or a precision where there is nothing binary to take away.
    """
    check_pair(method, backbone)
    recipe, task, info = get_method(method, **options), task or get_task(), Images(input_shape, num_classes)
    plan = get_backbone(backbone, stem, width)
    if not plan.published:
        plan = task.topology(plan, recipe, info)
    recipe.check(plan)
    _check_shape(plan, input_shape)
    if plan.published and not task.on_any_body:
        raise LarqnetsError(
            f"A network for {task.name} needs the stages of a backbone of ours, and {backbone} tells of none. Name one of "
            "`larqnets list backbones`."
        )
    task.check(plan, info)
    if plan.published:
        body = body or build_body(backbone, input_shape)
        inputs, stages = body.inputs[0], list(body.outputs)
    else:
        inputs = tf.keras.Input(input_shape, name="image")
        stages = recipe.body(recipe.stem(inputs, plan.stem), plan)
    answers = _named(task.outputs(stages, recipe, plan, info))
    model = tf.keras.Model(inputs, answers, name=f"{method}_{backbone}".replace(":", "_"))
    model = model if precision == "binary" else _with_less_binary(model, precision, surrogate, method)
    model = with_int8_rest(model) if int8_rest else model
    setattr(model, _BODY, frozenset(layer.name for layer in tf.keras.Model(inputs, stages).layers))
    return model


def body_of(model: tf.keras.Model) -> frozenset[str]:
    """Return the names of the layers up to the last stage; what follows is the task's head.

    They are known of what `create_model` made, and of no model that was read from a file.
    """
    return getattr(model, _BODY)


def method_matrix(stem: StemKind = "small") -> dict[str, dict[str, str]]:
    """Return method -> backbone -> "" where the pair builds, else the sentence why not."""
    matrix: dict[str, dict[str, str]] = {}
    for method in list_methods():
        matrix[method] = {}
        for backbone in list_backbones():
            try:
                get_method(method).check(get_backbone(backbone, stem))
                matrix[method][backbone] = ""
            except LarqnetsError as error:
                matrix[method][backbone] = str(error)
    return matrix


def _with_less_binary(model: tf.keras.Model, precision: Precision, surrogate: Surrogate, method: str) -> tf.keras.Model:
    """Return the model with new weights and without kernel quantizers; in "real" the input quantizers are surrogates.

    The clipping of latent kernels goes with the quantizer: a real kernel has no estimator window to stay in.
    """
    stands_in = {"clip": Clip, "tanh": Tanh, "relu": Relu}[surrogate]
    found = set()

    def without(layer: tf.keras.layers.Layer) -> tf.keras.layers.Layer:
        config = layer.get_config()
        for part in ("kernel", "depthwise", "pointwise"):
            if config.get(f"{part}_quantizer") is not None:
                found.add("weights")
                config |= {f"{part}_quantizer": None, f"{part}_constraint": None}
        if config.get("input_quantizer") is not None:
            found.add("activations")
            if precision == "real":
                config["input_quantizer"] = stands_in()
        return type(layer).from_config(config)

    real = tf.keras.models.clone_model(model, clone_function=without)
    missing = {"weights", "activations"} - found if precision == "binary_activations" else {"weights"} - found
    if missing:
        raise LarqnetsError(
            f"Method '{method}' has no binary {' and no binary '.join(sorted(missing))}, so the precision '{precision}' "
            "means nothing for it. Use the precision 'binary'."
        )
    return real


def _named(outputs: Tree) -> Any:
    """Return what the model answers with: several tensors, each named by a layer that leaves it as it is, or the one alone."""
    if len(outputs) == 1:
        return only(outputs)
    return [tf.keras.layers.Activation("linear", name=name)(tensor) for name, tensor in outputs.items()]


def _check_shape(backbone: Backbone, input_shape: tuple[int, ...]) -> None:
    """Walk the spatial size down the backbone: strides round it up (SAME), 2x2 poolings round it down."""
    if len(input_shape) != 3 or any(not isinstance(n, int) or n < 1 for n in input_shape):
        raise LarqnetsError(
            f"The input shape must be (height, width, channels) of positive integers, not {input_shape}."
        )
    for size in input_shape[:2]:
        left = size
        steps = [(backbone.stem.strides, False), (2 if backbone.stem.max_pool else 1, False)]
        for unit in backbone.units:
            steps += [(unit.strides, False), (1 if unit.pool == "none" else 2, True)]
        for step, round_down in steps:
            if left < step:
                raise LarqnetsError(
                    f"Images of {input_shape[0]}x{input_shape[1]} are too small for {backbone.name}: nothing is left "
                    "to halve. Use a larger data.image_size, a smaller backbone, or stem = 'small'."
                )
            left = left // step if round_down else -(-left // step)
