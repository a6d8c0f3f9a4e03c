"""What a converted file contains, held against what was trained: which op is which layer, what fell back, every byte."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from deploy.export.binary_layers import BinaryLayer, main_kernel
from larqnets.tflite.model import Model, Operator, Tensor, binary_filter, pack_bits
from larqnets.tflite.weight_ops import stored_bias, stored_kernel


@dataclass(frozen=True)
class Fallback:
    """A layer that was trained as binary and is not a 1-bit op in the file."""

    layer: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        return f"Layer '{self.layer}' is not a 1-bit op: {self.cause}. To mend it, {self.remedy}."


def told(fallbacks: list[Fallback]) -> str:
    """Return a sentence for every cause: the first layer that it strikes, and how many more."""
    by_cause: dict[tuple[str, str], list[Fallback]] = {}
    for fallback in fallbacks:
        by_cause.setdefault((fallback.cause, fallback.remedy), []).append(fallback)
    return " ".join(
        str(first) + (f" The same holds for {len(others)} more: {_listed(others)}." if others else "")
        for first, *others in by_cause.values()
    )


def _listed(fallbacks: list[Fallback]) -> str:
    names = [f"'{fallback.layer}'" for fallback in fallbacks[:3]]
    return ", ".join(names) + (", …" if len(fallbacks) > 3 else "")


@dataclass(frozen=True)
class RealConstants:
    """Bytes of the kernels and biases of the layers that stay real, for every op; `unpredicted`: layers left out."""

    kernels: int
    biases: int
    unpredicted: tuple[str, ...] = ()


@dataclass(frozen=True)
class ByteCheck:
    """Constants of a file in bytes, predicted from the trained model and found in the file.

    Both count what every op reads. A file stores equal constants once: `shared` is what that saves.
    """

    predicted: dict[str, int]
    found: dict[str, int]
    shared: int
    other_constants: int  # shapes, axes, BatchNorms that no convolution took up, weights of `unpredicted` layers
    overhead: int  # of the file that is not constants
    unpredicted: tuple[str, ...] = ()  # layers of kinds whose size in a file is not predicted

    @property
    def matches(self) -> bool:
        """Whether every predicted category was found to the byte."""
        return self.predicted == self.found


def match_layers(model: Model, layers: list[BinaryLayer]) -> dict[str, list[Operator]]:
    """Return layer name -> its LceBconv2d, one for each place of the layer, by the packed bits of the kernel.

    Tensor names are cut short and renamed by the converter, so names prove nothing. A filter may be stored inverted: in
    bit-packed chains the converter flips filters whose BatchNorm gamma is negative. Equal kernels of several layers are
    told apart by the size of the map that they read, and of one size taken in order; those of one layer in several places
    by the input that they share with another layer.
    """
    tensors = model.subgraphs[0].tensors
    free = [op for op in model.subgraphs[0].operators if op.name == "LceBconv2d"]
    matched: dict[str, list[Operator]] = {}
    with_signs = ((layer, layer.signs) for layer in layers if layer.signs is not None)
    for layer, signs in sorted(with_signs, key=lambda pair: bool(pair[0].beside)):
        plain = pack_bits(signs.transpose(3, 0, 1, 2))
        inverted = pack_bits(-signs.transpose(3, 0, 1, 2))
        equal = [op for op in free if _is_one_of(plain, inverted, binary_filter(model, op))]
        if layer.beside:
            by_input = {op.inputs[0]: op for op in equal}
            places = [by_input.get(matched[other][0].inputs[0]) if other in matched else None for other in layer.beside]
        else:
            places = [
                next((op for op in equal if tensors[op.inputs[0]].shape[1:3] == layer.size), next(iter(equal), None))
            ]
        ops = [op for op in places if op is not None]
        if len(ops) == len(places):
            matched[layer.name] = ops
            free = [op for op in free if op not in ops]
    return matched


def _is_one_of(plain: np.ndarray, inverted: np.ndarray, stored: np.ndarray) -> bool:
    """Whether every stored filter is that of one or of the other, all (O, kh, kw, words)."""
    axes = (1, 2, 3)
    return stored.shape == plain.shape and bool(np.all((stored == plain).all(axes) | (stored == inverted).all(axes)))


def find_fallbacks(model: Model, layers: list[BinaryLayer], matched: dict[str, list[Operator]]) -> list[Fallback]:
    """Return the binary layers that have no 1-bit op, and those of which the file also holds a float copy."""
    found = []
    copies = _two_valued_constants(model)
    for layer in layers:
        if layer.name not in matched:
            cause = layer.problem or "the converter did not recognise it as a binary convolution"
            remedy = layer.remedy or "report the model: the export promises this layer"
            found.append(Fallback(layer.name, cause, remedy))
        elif layer.signs is not None and any(_same_signs(layer.signs, copy) for copy in copies):
            found.append(
                Fallback(layer.name, "the file also holds its kernel as numbers", "report the model: it should not")
            )
    return found


def _two_valued_constants(model: Model) -> list[np.ndarray]:
    """Return the constants that could be a binary kernel kept as numbers: 2-D or 4-D, no bit-packed words."""
    packed = {op.inputs[1] for op in model.subgraphs[0].operators if op.name == "LceBconv2d"}
    found = []
    for tensor in model.subgraphs[0].tensors:
        if tensor.index in packed or len(tensor.shape) not in (2, 4) or tensor.dtype not in ("float32", "int8"):
            continue
        data = tensor.data(model)
        if data is not None and data.size > 1 and len(np.unique(np.abs(data.reshape(data.shape[0], -1)[0]))) == 1:
            found.append(data)
    return found


def _same_signs(signs: np.ndarray, constant: np.ndarray) -> bool:
    """Whether a TFLite kernel (O, kh, kw, C) or (O, C) has the signs of our kernel (kh, kw, C, O), up to inversion."""
    ours = signs.transpose(3, 0, 1, 2).reshape(signs.shape[3], -1)
    if constant.shape[0] != ours.shape[0] or constant.size != ours.size:
        return False
    theirs = np.where(constant.reshape(ours.shape) >= 0, 1, -1)
    return bool(np.all((theirs == ours).all(1) | (theirs == -ours).all(1)))


def check_bytes(
    model: Model, layers: list[BinaryLayer], matched: dict[str, list[Operator]], real: RealConstants
) -> ByteCheck:
    """Compare the constants with the prediction; that of the real-valued layers is given.

    A 1-bit layer (kh, kw, C, O) takes O kh kw ceil(C/32) words, and per filter two floats (multiplier, bias), or one
    threshold where its output is bit-packed. Real-valued constants are left out where a layer is `unpredicted`.
    """
    predicted: dict[str, int] = dict.fromkeys(("binary_kernels", "binary_multipliers_and_thresholds"), 0)
    found = dict(predicted)
    graph = model.subgraphs[0]
    signs = {layer.name: layer.signs for layer in layers if layer.signs is not None}
    read: list[Tensor] = []  # by one op after another
    for name, op in ((name, op) for name, ops in matched.items() for op in ops):
        height, width, channels, filters = signs[name].shape
        kernel, *vectors = [graph.tensors[i] for i in op.inputs[1:] if i >= 0]
        predicted["binary_kernels"] += 4 * filters * height * width * -(-channels // 32)
        predicted["binary_multipliers_and_thresholds"] += (4 if op.inputs[4] >= 0 else 8) * filters
        found["binary_kernels"] += _nbytes(model, kernel)
        found["binary_multipliers_and_thresholds"] += sum(_nbytes(model, vector) for vector in vectors)
        read += [kernel, *vectors]
    if not real.unpredicted:
        predicted |= {"real_kernels": real.kernels, "real_biases": real.biases}
        found |= {"real_kernels": 0, "real_biases": 0}
        for op in graph.operators:
            if op.name != "LceBconv2d" and (kernel := stored_kernel(model, op)) is not None:
                biases = [] if (bias := stored_bias(model, op)) is None else [bias]
                found["real_kernels"] += _nbytes(model, kernel)
                found["real_biases"] += sum(_nbytes(model, tensor) for tensor in biases)
                read += [kernel, *biases]
    buffers = {tensor.buffer for tensor in read}
    stored = sum(model.buffers[buffer].size for buffer in buffers)
    others = {tensor.buffer for tensor in graph.tensors} - buffers
    other = sum(model.buffers[buffer].size for buffer in others)
    shared = sum(found.values()) - stored
    return ByteCheck(predicted, found, shared, other, model.size_bytes - stored - other, real.unpredicted)


def _nbytes(model: Model, tensor: Tensor) -> int:
    return model.buffers[tensor.buffer].size


def layer_names(file: Model, model: tf.keras.Model, known: dict[int, str]) -> dict[str, str]:
    """Return op index -> layer: proven for 1-bit ops (`known`), elsewhere read from the name of the op's output."""
    layers = [layer.name for layer in model.layers]
    graph = file.subgraphs[0]
    names = {}
    for op in graph.operators:
        output = graph.tensors[op.outputs[0]].name if op.outputs else ""
        if op.index in known:
            names[str(op.index)] = known[op.index]
        elif output.startswith("StatefulPartitionedCall"):  # the converter's name for an output of the model
            answer = graph.outputs.index(op.outputs[0]) if op.outputs[0] in graph.outputs else 0
            names[str(op.index)] = model.output_names[answer]
        elif guess := _layer_in(output, layers):
            names[str(op.index)] = guess
        if op.index not in known and stored_kernel(file, op) is not None and str(op.index) in names:
            names[str(op.index)] = _with_kernel(model, names[str(op.index)])
    return names


def _with_kernel(model: tf.keras.Model, name: str) -> str:
    """Return the layer with a kernel that was fused with the named one, e.g. the convolution before a BatchNorm."""
    layer = model.get_layer(name)
    while main_kernel(layer) is None:
        before = layer.inbound_nodes[0].inbound_layers
        if isinstance(before, list):
            return name
        layer = before
    return layer.name


def _layer_in(tensor: str, layers: list[str]) -> str:
    """Return the layer that a tensor's name mentions; the converter joins names with ';' and cuts them at 50 characters."""
    parts = tensor.split(";")[0].split("/")
    whole = [layer for layer in layers if layer in parts]
    cut = [layer for layer in layers if layer.startswith(parts[-1])] if len(parts[-1]) > 8 else []
    return (whole or cut or [""])[-1]
