"""A layer that is called on maps of several sizes, written as one layer for every size, as detectors call theirs.

What walks over a network asks a layer for what stands before and behind it, and a 1-bit op is found by its kernel and the
size of its map: in several places both have several answers. The copies have equal kernels, of which a file stores one.
A layer that is called on several maps of one size stays as it is; what tells its places apart is in `binary_layers`.
"""

from typing import Any

import tensorflow as tf

Shapes = tuple[tuple[int | None, ...], ...]


def unshared(model: tf.keras.Model, *, cut: bool = False) -> tf.keras.Model:
    """Return the functional model with one layer for every size of input, called NAME_HEIGHTxWIDTH, and the same weights.

    The model itself where every layer has inputs of one size, unless it is `cut` out of a larger one, of which its layers
    still know: then with layers of its own.
    """
    nodes = _nodes(model)
    names = _names(nodes)
    if not cut and len(names) == len({layer for layer, _ in names}):
        return model
    copies: dict[str, tf.keras.layers.Layer] = {}
    made: dict[int, Any] = {}  # by the identity of the tensor that it stands for
    for given, name in zip(model.inputs, model.input_names, strict=True):
        made[id(given)] = tf.keras.Input(given.shape[1:], given.shape[0], name=name, dtype=given.dtype)

    def stand_in(given: Any) -> Any:
        return made.get(id(given), given)

    for node in nodes:
        if node.is_input:
            continue
        layer = node.layer
        name = names[layer.name, _shapes(node)]
        if name not in copies:
            copies[name] = type(layer).from_config({**layer.get_config(), "name": name})
        args, kwargs = tf.nest.map_structure(stand_in, (node.call_args, node.call_kwargs))
        outputs = copies[name](*args, **kwargs)
        made |= zip(map(id, tf.nest.flatten(node.outputs)), tf.nest.flatten(outputs), strict=True)
        if layer.weights:
            copies[name].set_weights(layer.get_weights())
    return tf.keras.Model([made[id(x)] for x in model.inputs], [made[id(x)] for x in model.outputs], name=model.name)


def origins(model: tf.keras.Model) -> dict[str, str]:
    """Return of what `unshared` makes of a model the name of every layer, and which layer of the model it stands for."""
    return {name: layer for (layer, _), name in _names(_nodes(model)).items()}


def _nodes(model: tf.keras.Model) -> list[Any]:
    """Return the calls of the model's layers in an order in which they can be made; none of a model that is no graph."""
    by_depth = getattr(model, "_nodes_by_depth", {})
    return [node for depth in sorted(by_depth, reverse=True) for node in by_depth[depth]]


def _shapes(node: Any) -> Shapes:
    return tuple(tuple(given.shape) for given in node.keras_inputs)


def _names(nodes: list[Any]) -> dict[tuple[str, Shapes], str]:
    """Return (layer, shapes) -> what its copy for them is called; where one is enough it keeps its name."""
    sizes: dict[str, list[Shapes]] = {}
    for node in nodes:
        shapes = sizes.setdefault(node.layer.name, [])
        shapes += [] if _shapes(node) in shapes else [_shapes(node)]
    names, taken = {}, set(sizes)
    for layer, shapes in sizes.items():
        for place, given in enumerate(shapes, 1):
            name = layer
            if len(shapes) > 1:
                name = f"{layer}_{'x'.join(map(str, given[0][1:-1] or given[0][1:]))}"
                name = name if name not in taken else f"{name}_{place}"
                taken.add(name)
            names[layer, given] = name
    return names
