"""Networks rebuilt from a config that a stranger wrote: everything that it may name stands in `larqnets.runs.keras_names`.

Keras itself looks up what a config names: it imports modules, and its op layers reach every function that TensorFlow
exports. Here nothing of the config but plain values (numbers, texts, lists of them) comes to Keras.

Initializers, regularizers and constraints mean nothing once a network is trained, and are left out unread, as what a
compiled model says about its training is; `larqnets.runs.keras_config.scan` has refused code in them.
"""

import inspect
import math
from collections.abc import Iterator
from typing import Any

from larqnets import require_keras_2

require_keras_2()

import larq as lq  # noqa: E402
import tensorflow as tf  # noqa: E402
from tf_keras.src.layers.core.tf_op_layer import TFOpLambda  # noqa: E402

from larqnets.runs import keras_names as names  # noqa: E402
from larqnets.runs.keras_config import RefusedError, not_listed, shown  # noqa: E402

MAX_LAYERS = 5000
MAX_NESTED = 16  # models in models
MAX_ELEMENTS = 2**31 - 1  # of one tensor for one sample; TFLite counts bytes in 32 bits
MAX_PARTS = 4096  # of a split
_LEFT_OUT = ("initializer", "regularizer", "constraint")
_LEFT_OUT_OF = {"MultiHeadAttention": ("query_shape", "key_shape", "value_shape")}  # it learns them when it is called
_BASE_OPTIONS = frozenset(("name", "trainable", "dtype", "batch_input_shape", "dynamic", "implementation"))
_NEVER = frozenset(("weights", "input_tensor", "type_spec"))  # options that hold objects


def build_network(config: dict[str, Any]) -> tf.keras.Model:
    """Return the network that a scanned config describes, with fresh weights; raises `RefusedError`, and what Keras raises."""
    model = _Builder().layer(config)
    if not isinstance(model, tf.keras.Model):
        raise RefusedError("holds a layer and no network. Save a whole model with model.save")
    return model


class _Builder:
    """Makes the layers of one config; a layer that stands in it several times is made once."""

    def __init__(self) -> None:
        self.shared: dict[int, Any] = {}
        self.count = self.depth = 0

    def layer(self, entry: Any) -> tf.keras.layers.Layer:
        """Return the layer or model of an entry {"class_name", "config", "module", "registered_name", …}."""
        package, name, config = names.read_entry(entry, "")
        key = entry.get("shared_object_id")
        if isinstance(key, int) and key in self.shared:
            return self.shared[key]
        self.count += 1
        if self.count > MAX_LAYERS:
            raise RefusedError(f"has more than {MAX_LAYERS} layers")
        if name in names.MODELS.get(package, ()):
            made = self._model(name, config)
        elif package in ("", "keras") and name in ("TFOpLambda", "SlicingOpLambda"):
            made = names.make_op(name, config)
        else:
            made = self._made(names.find_layer(package, name, entry), config)
        if isinstance(key, int):
            self.shared[key] = made
        return made

    def _made(self, kind: type, config: dict[str, Any]) -> Any:
        options = {}
        known = set(_options(kind)) | _BASE_OPTIONS
        for key, value in config.items():
            if key.endswith(_LEFT_OUT) or key in _LEFT_OUT_OF.get(kind.__name__, ()):
                continue
            if key not in known or key in _NEVER:
                raise RefusedError(
                    f"gives the layer '{shown(config.get('name'))}' ({kind.__name__}) the option '{shown(key)}', which it "
                    "does not have in Keras 2. Save the model again with Keras 2"
                )
            options[key] = self._option(key, value)
        return kind(**options)

    def _option(self, key: str, value: Any) -> Any:
        if value is None:
            return None
        if key.endswith("quantizer"):
            return self._quantizer(value)
        if key.endswith("activation"):
            return self._activation(value)
        if key in ("layer", "backward_layer"):
            return self.layer(value)
        return names.read_dtype(value) if key == "dtype" else names.read_plain(value)

    def _activation(self, value: Any) -> Any:
        if isinstance(value, str):
            return names.find_function(names.ACTIVATIONS, {"config": value}, "the activation ")
        _, name, _ = names.read_entry(value, "the activation ")
        if name == "function":
            return names.find_function(names.ACTIVATIONS, value, "the activation ")
        return self.layer(value)

    def _quantizer(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._quantizer({"class_name": value, "config": {}})
        package, name, config = names.read_entry(value, "the quantizer ")
        if name == "function":
            return names.find_function(names.QUANTIZER_FUNCTIONS, value, "the quantizer ")
        if package == "larqnets" and (kind := names.our_classes().get(name)) is not None:
            return self._made(kind, config)
        name = names.LARQ_ALIASES.get(name, name)
        if package in ("", "larq") and name in names.LARQ_QUANTIZERS:
            return self._made(getattr(lq.quantizers, name), config)
        if package in ("", "larq_zoo") and name in names.QUANTIZER_FUNCTIONS:
            return names.QUANTIZER_FUNCTIONS[name]
        raise RefusedError(not_listed(names.whole_name(value), "the quantizer "))

    def _model(self, kind: str, config: dict[str, Any]) -> tf.keras.Model:
        self.depth += 1
        if self.depth > MAX_NESTED:
            raise RefusedError(f"has more than {MAX_NESTED} models in each other")
        entries = config.get("layers")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise RefusedError("has a network without layers")
        model = self._sequence(entries, config) if kind == "Sequential" else self._graph(entries, config)
        self.depth -= 1
        return model

    def _sequence(self, entries: list[dict[str, Any]], config: dict[str, Any]) -> tf.keras.Sequential:
        model = tf.keras.Sequential(name=names.read_name(config.get("name")))
        for entry in entries:
            layer = self.layer(entry)
            model.add(layer)
            _check_size(layer, model.outputs or [])
        shape = config.get("build_input_shape")
        if not model.inputs and isinstance(shape, list) and all(n is None or isinstance(n, int) for n in shape):
            model.build(tuple(shape))
        return model

    def _graph(self, entries: list[dict[str, Any]], config: dict[str, Any]) -> tf.keras.Model:
        """Make the layers, then call each as soon as its inputs are there."""
        layers: dict[str, Any] = {}
        tensors: dict[tuple[str, int], list[Any]] = {}
        waiting: list[tuple[str, int, Any]] = []
        for entry in entries:
            layer = self.layer(entry)
            name = entry.get("name") or layer.name
            if name in layers or not isinstance(name, str):
                raise RefusedError(f"has two layers called '{shown(name)}'")
            layers[name] = layer
            first = 0
            if isinstance(layer, tf.keras.layers.InputLayer):
                tensors[name, 0] = tf.nest.flatten(layer.output)
            elif isinstance(layer, tf.keras.Model) and layer.inputs:
                first = 1  # Keras counts the call that made the inner model
            nodes = entry.get("inbound_nodes")
            if not isinstance(nodes, list):
                raise RefusedError(f"does not say what the layer '{shown(name)}' is called on")
            waiting += [(name, first + i, node) for i, node in enumerate(nodes)]
        while waiting:
            left = []
            for name, place, node in waiting:
                found = list(_references(node))
                if not found:
                    raise RefusedError(f"calls the layer '{shown(name)}' on no tensor")
                if all(reference in tensors for reference in found):
                    tensors[name, place] = _call(layers[name], node, tensors)
                else:
                    left.append((name, place, node))
            if len(left) == len(waiting):
                raise RefusedError(f"calls the layer '{shown(left[0][0])}' on a tensor that no layer makes before it")
            waiting = left
        ends = []
        for key in ("input_layers", "output_layers"):
            found = list(_references(config.get(key)))
            if not found or not all(reference in tensors for reference in found):
                raise RefusedError(f"says no right {key}")
            ends.append(_resolved(config[key], tensors))
        # a single tensor may stand bare, as it did when the model was made
        return tf.keras.Model(*ends, name=names.read_name(config.get("name")))


def _options(kind: type) -> Iterator[str]:
    """Every named argument of a class and those it hands on to."""
    for parent in kind.__mro__:
        if parent in (tf.keras.layers.Layer, tf.Module, object) or "__init__" not in vars(parent):
            continue
        for name, parameter in inspect.signature(parent.__init__).parameters.items():
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY) and name != "self":
                yield name


def _is_reference(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and value[0] != "_CONSTANT_VALUE"
        and all(type(n) is int for n in value[1:3])
        and (len(value) == 3 or isinstance(value[3], dict))
    )


def _references(value: Any) -> Iterator[tuple[str, int]]:
    """Every (layer, call) whose tensors a node asks for, in its keyword arguments too."""
    if _is_reference(value):
        yield value[0], value[1]
        yield from _references(value[3] if len(value) == 4 else None)
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _references(item)


def _resolved(value: Any, tensors: dict[tuple[str, int], list[Any]]) -> Any:
    """Return a structure of references and plain values with tensors for references."""
    if _is_reference(value):
        found = tensors[value[0], value[1]]
        if not 0 <= value[2] < len(found):
            raise RefusedError(f"asks for a tensor that the layer '{shown(value[0])}' does not make")
        return found[value[2]]
    if isinstance(value, list) and value[:2] == ["_CONSTANT_VALUE", -1] and len(value) in (3, 4):
        return names.read_plain(value[2])
    if isinstance(value, list):
        return [_resolved(item, tensors) for item in value]
    if isinstance(value, dict) and "class_name" not in value:
        return {key: _resolved(item, tensors) for key, item in value.items()}
    return names.read_plain(value)


def _keywords(node: Any) -> dict[str, Any]:
    """Return the keyword arguments of a call, which every one of its tensors repeats."""
    if isinstance(node, list) and len(node) == 4 and isinstance(node[0], str) and isinstance(node[3], dict):
        return node[3]
    found: dict[str, Any] = {}
    if isinstance(node, (list, dict)):
        for item in node.values() if isinstance(node, dict) else node:
            found |= _keywords(item)
    return found


def _call(layer: Any, node: Any, tensors: dict[tuple[str, int], list[Any]]) -> list[Any]:
    """Call a layer as a node of the config says and return its tensors."""
    inputs = _resolved(node, tensors)
    keywords = {key: _resolved(value, tensors) for key, value in _keywords(node).items()}
    if isinstance(layer, TFOpLambda):
        parts = keywords.get("num_or_size_splits")
        if isinstance(parts, int) and parts > MAX_PARTS:
            raise RefusedError(f"splits a tensor into more than {MAX_PARTS} parts in the layer '{shown(layer.name)}'")
    elif isinstance(inputs, list) and len(inputs) == 1:
        inputs = inputs[0]
    made = layer(inputs, **keywords)
    _check_size(layer, made)
    return tf.nest.flatten(made)


def _check_size(layer: tf.keras.layers.Layer, tensors: Any) -> None:
    for tensor in tf.nest.flatten(tensors):
        elements = math.prod(length or 1 for length in tensor.shape[1:]) if tensor.shape.rank else 1
        if elements > MAX_ELEMENTS:
            raise RefusedError(
                f"makes tensors of {elements} numbers a sample in the layer '{shown(layer.name)}', more than any device holds"
            )
