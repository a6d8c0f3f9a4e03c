"""From a trained model to 1-bit TFLite files that are proven equal to it, and a manifest that says so.

    <folder>/binary.tflite    the network, every layer trained as binary a 1-bit op
    <folder>/float.tflite     twin: the same backbone real-valued
    <folder>/int8.tflite      twin: the same, quantised after training by stock TFLite
    <folder>/manifest.json    what each file is, its SHA-256, the verification, fallbacks, constants to the byte

Files are written into a folder beside and renamed one by one, the manifest last; a killed conversion leaves the old
ones as they were, and a file whose SHA-256 is not the manifest's is no result.
"""

import dataclasses
import hashlib
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import larq_compute_engine as lce
import numpy as np
import tensorflow as tf

from deploy import contents
from deploy.edit import add_metadata
from deploy.export import Export, export_model, main_kernel
from deploy.inspect import inspect_model
from deploy.interpreter import Interpreter
from deploy.tflite import Model, read_model
from deploy.verify import Verification, verify
from larqnets import __version__
from larqnets.errors import LarqnetsError
from larqnets.files import write_atomically
from larqnets.preflight import TARGETS
from larqnets.terminal import captured_stderr


@dataclass(frozen=True)
class Samples:
    """Images to verify with. The first `num_test` are test images, whose accuracy is reported; the rest only fills up."""

    images: np.ndarray  # float32 (N, H, W, C), preprocessed
    labels: np.ndarray | None = None  # (N,)
    num_test: int = 0
    real: bool = True  # False: random values, for want of images


@dataclass(frozen=True)
class Converted:
    """One file of a conversion."""

    variant: str  # binary, float, int8
    content: bytes
    verification: Verification | None  # None for a file with real weights, whose accuracy alone is measured
    test_accuracy: float | None
    fallbacks: list[contents.Fallback] = field(default_factory=list)
    bytes_check: contents.ByteCheck | None = None
    layers: dict[str, str] = field(default_factory=dict)  # op index -> layer
    warnings: list[str] = field(default_factory=list)
    note: str = ""


def convert(
    model: tf.keras.Model,
    samples: Samples,
    *,
    provenance: dict[str, Any] | None = None,
    allow_float: bool = False,
    on_stage: Callable[[str], Any] = lambda _: None,
    on_sample: Callable[[int], Any] | None = None,
) -> Converted:
    """Convert a trained Keras model, check its contents and verify it; nothing is written.

    Returns the variant "binary" for a model with binary layers, else "float". `provenance` goes into the file's
    metadata. Raises LarqnetsError when a layer trained as binary is not a 1-bit op (unless `allow_float`), when the
    binary constants are not the predicted ones, or when the file is not equal to the model.
    """
    on_stage("rebuild")
    export = export_model(model)
    on_stage("convert")
    content = run_converter(export.model) if export.binary_layers else run_stock_converter(export.model)
    file = read_model(content)
    matched = contents.match_layers(file, export.binary_layers)
    fallbacks = contents.find_fallbacks(file, export.binary_layers, matched)
    if fallbacks and not allow_float:
        raise LarqnetsError(
            " ".join(map(str, fallbacks))
            + " --allow-float converts anyway and records it; those layers then run as float."
        )
    check = contents.check_bytes(file, export.binary_layers, matched, *_real_constants(export, matched))
    _refuse_wrong_constants(check)
    names = layer_names(file, model, {op.index: name for name, ops in matched.items() for op in ops})
    allowed = [f.layer for f in fallbacks]
    entry = {**(provenance or {}), "larqnets": __version__, "layers": names, "float_fallbacks": allowed}
    content = add_metadata(content, entry)
    on_stage("verify")
    result = verify(
        content,
        model,
        samples.images,
        samples.labels,
        real_samples=samples.real,
        allowed_float=allowed,
        on_sample=on_sample,
    )
    if not result.equal:
        raise LarqnetsError(
            f"The converted file is not equal to the trained model and is not published: {'; '.join(result.reasons)}. "
            "This is a defect of the conversion: report it with the model."
        )
    remarks = list(export.warnings)
    if not check.matches:
        remarks.append(f"The real-valued constants are {check.found} bytes where {check.predicted} were predicted.")
    accuracy = test_accuracy(content, samples, result)
    variant = "binary" if export.binary_layers else "float"
    return Converted(variant, content, result, accuracy, fallbacks, check, names, remarks)


def convert_twin(
    model: tf.keras.Model, samples: Samples, calibration: np.ndarray | None, provenance: dict[str, Any], note: str
) -> Converted:
    """Convert a real-valued model with stock TFLite: as float, or as int8 when `calibration` images (N, H, W, C) are given.

    int8 means weights and activations, float input and output. Its accuracy is measured where the samples are labelled.
    """
    variant = "float" if calibration is None else "int8"
    content = run_stock_converter(export_model(model).model, calibration, quantise=calibration is not None)
    names = layer_names(read_model(content), model, {})
    content = add_metadata(content, {**provenance, "larqnets": __version__, "variant": variant, "layers": names})
    return Converted(variant, content, None, test_accuracy(content, samples, None), layers=names, note=note)


def publish(folder: Path, files: list[Converted], manifest: dict[str, Any]) -> dict[str, Any]:
    """Write the files and the manifest into `folder`, all or nothing per file and the manifest last; returns the manifest.

    Twins of an earlier conversion that this one does not have are removed. Raises LarqnetsError when it cannot be written.
    """
    entries = {f.variant: _entry(f) for f in files}
    main = files[0]
    document = {
        "format_version": 1,
        **manifest,
        "larqnets": __version__,
        "target": TARGETS[0],
        "file": f"{main.variant}.tflite",
        "file_bytes": len(main.content),
        "float_fallbacks": [dataclasses.asdict(f) for f in main.fallbacks],
        "verification": main.verification.to_json() if main.verification else None,
        "warnings": main.warnings,
        "files": entries,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob(".writing-*"):
            shutil.rmtree(leftover)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as beside:
            for f in files:
                write_atomically(Path(beside) / f"{f.variant}.tflite", f.content)
            for f in files:
                (Path(beside) / f"{f.variant}.tflite").replace(folder / f"{f.variant}.tflite")
        write_atomically(folder / "manifest.json", json.dumps(document, indent=2) + "\n")
        for variant in {"binary", "float", "int8"} - set(entries):
            (folder / f"{variant}.tflite").unlink(missing_ok=True)
    except OSError as error:
        raise LarqnetsError(
            f"Cannot write {folder}: {error.strerror}. Free space or choose another folder; nothing was replaced by half."
        ) from error
    return document


def _entry(f: Converted) -> dict[str, Any]:
    check = f.bytes_check
    return {
        "file": f"{f.variant}.tflite",
        "sha256": hashlib.sha256(f.content).hexdigest(),
        "bytes": len(f.content),
        "test_accuracy": f.test_accuracy,
        "binary_mac_share": inspect_model(f.content).totals["binary_mac_share"],
        "note": f.note,
        "constants": None if check is None else {**dataclasses.asdict(check), "matches": check.matches},
    }


def run_converter(model: tf.keras.Model) -> bytes:
    """Run the LCE converter on a SavedModel with a fixed batch, the only path that keeps every binary layer."""
    call = tf.function(lambda image: model(image, training=False), autograph=False)
    signature = call.get_concrete_function(tf.TensorSpec(model.input_shape, tf.float32, name="image"))
    try:
        with captured_stderr(), tempfile.TemporaryDirectory() as folder:
            tf.saved_model.save(model, folder, signatures={"serving_default": signature})
            return lce.convert_saved_model(folder)
    except Exception as error:
        # The converter raises bare Exception with MLIR text: the last line is its reason.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise LarqnetsError(f"The Larq Compute Engine cannot convert the model: {reason}") from error


def run_stock_converter(
    model: tf.keras.Model, calibration: np.ndarray | None = None, *, quantise: bool = False
) -> bytes:
    """Convert a model without binary layers with stock TFLite; `quantise` makes its weights int8, and with `calibration`
    images (N, H, W, C) its activations too. Input and output stay float.

    LCE's converter would do for the float file, but takes a padding of one pixel on every side before a VALID
    convolution of stride 2 for SAME, which shifts the image.
    """
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantise:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        # LCE's interpreter does not have the newer dense op whose weights have a scale per channel
        converter._experimental_disable_per_channel_quantization_for_dense_layers = calibration is None
    if calibration is not None:
        converter.representative_dataset = lambda: ([image[np.newaxis]] for image in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with captured_stderr(), warnings.catch_warnings():
        # float input and output are meant; TFLite takes them for an oversight
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs were expected")
        return converter.convert()


def _real_constants(export: Export, matched: dict[str, Any]) -> tuple[int, int]:
    """Predict the bytes of the kernels that stay real, and of their biases.

    TFLite gives every convolution a bias, which takes up the BatchNorm behind it; a dense layer has one if that is not 0.
    """
    kernels, biases = 0, 0
    for layer in export.model.layers:
        kernel = main_kernel(layer)
        if kernel is None or layer.name in matched:
            continue
        kernels += 4 * int(np.prod(kernel.shape))
        normalised = [isinstance(n.outbound_layer, tf.keras.layers.BatchNormalization) for n in layer.outbound_nodes]
        biased = layer.use_bias and np.any(layer.bias.numpy())
        with_bias = not isinstance(layer, tf.keras.layers.Dense) or biased or normalised == [True]
        biases += 4 * layer.output_shape[-1] if with_bias else 0
    return kernels, biases


def _refuse_wrong_constants(check: contents.ByteCheck) -> None:
    for category in ("binary_kernels", "binary_multipliers_and_thresholds"):
        predicted, found = check.predicted.get(category, 0), check.found.get(category, 0)
        if predicted != found:
            raise LarqnetsError(
                f"The file holds {found} bytes of {category.replace('_', ' ')} where {predicted} were predicted. "
                "This is a defect of the conversion: report it with the model."
            )


def layer_names(file: Model, model: tf.keras.Model, known: dict[int, str]) -> dict[str, str]:
    """Return op index -> layer: proven for 1-bit ops (`known`), elsewhere read from the name of the op's output."""
    layers = [layer.name for layer in model.layers]
    graph = file.subgraphs[0]
    names = {}
    for op in graph.operators:
        output = graph.tensors[op.outputs[0]].name if op.outputs else ""
        if op.index in known:
            names[str(op.index)] = known[op.index]
        elif output.startswith("StatefulPartitionedCall"):
            names[str(op.index)] = model.output_names[0]  # the converter's name for the model's output
        elif guess := _layer_in(output, layers):
            names[str(op.index)] = guess
        if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") and str(op.index) in names:
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


def test_accuracy(content: bytes, samples: Samples, result: Verification | None) -> float | None:
    """Accuracy on the test images among the samples."""
    if samples.labels is None or not samples.num_test:
        return None
    if result is not None and samples.num_test == len(samples.images):
        return result.accuracy_converted
    logits = Interpreter(content).predict(samples.images[: samples.num_test])
    return float(np.mean(logits.argmax(-1) == samples.labels[: samples.num_test]))
