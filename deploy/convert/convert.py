"""From a trained model to 1-bit TFLite files that are proven equal to it; `publish` writes them."""

from collections import Counter
from typing import Any

import numpy as np
import tensorflow as tf

from deploy.export.binary_layers import main_kernel
from deploy.export.converters import run_converter, run_stock_converter
from deploy.export.decoding import between_integers, integer_ends, run_int8_converter
from deploy.export.edit import add_metadata
from deploy.export.entry import factor_and_bias, is_norm, layers_behind
from deploy.export.model import Export, check_places, check_structure
from deploy.export.own_stem import own_stem_told, with_own_stem
from deploy.export.trained import Trained
from deploy.proof import contents
from deploy.proof.contents import layer_names
from deploy.proof.converted import Converted, scores_of, task_entry
from deploy.proof.samples import Samples
from deploy.proof.verify import verify
from deploy.targets import RuntimeOps, Stem
from larqnets import __version__, scores
from larqnets.endings import kind_of_model
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter
from larqnets.tflite.file_metadata import checked
from larqnets.tflite.model import Model
from larqnets.tflite.reading import read_model
from larqnets.tflite.weight_ops import stored_kernel

layers = tf.keras.layers


def convert(
    model: tf.keras.Model | Trained,
    samples: Samples,
    *,
    provenance: dict[str, Any] | None = None,
    allow_float: bool = False,
    stem: Stem = "cheaper",
    reporter: Reporter = SILENT,
) -> Converted:
    """Convert a trained Keras model, check its contents and verify it; nothing is written.

    Returns the variant "binary" for a model with binary layers, else "float". `provenance` goes into the file's
    metadata. `stem`: how the file has a first convolution of stride 2 or 4 on few channels, "as-trained", "rewritten" as
    SPACE_TO_DEPTH and one of stride 1, or whatever was counted "cheaper" (`deploy.export.stem_table`). Raises LarqnetsError when a layer trained as binary is not a 1-bit op (unless `allow_float`), when the
    binary constants are not the predicted ones, or when the file is not equal to the model.
    """
    trained = refuse_known_problems(model, allow_float=allow_float)
    reporter.stage("rebuild")
    export = trained.export(stem)
    reporter.stage("convert")
    file = (run_converter if export.binary_layers else run_stock_converter)(export.model)
    matched = contents.match_layers(file, export.binary_layers)
    fallbacks = contents.find_fallbacks(file, export.binary_layers, matched)
    if not allow_float:
        _refuse_fallbacks(fallbacks)
    check = contents.check_bytes(file, export.binary_layers, matched, _real_constants(export, matched))
    _refuse_wrong_constants(check)
    names = layer_names(file, trained.model, {op.index: name for name, ops in matched.items() for op in ops})
    allowed = [f.layer for f in fallbacks]
    entry = {**(provenance or {}), "larqnets": __version__, "layers": names, "float_fallbacks": allowed}
    entry |= {scores.KEY: kind_of_model(trained.model), **task_entry(samples), **export.stem_entry}
    file = read_model(add_metadata(file.content, checked(entry)))
    reporter.stage("verify")
    result = verify(
        file,
        trained,
        samples.images,
        samples.labels,
        task=samples.task,
        info=samples.info,
        real_samples=samples.real,
        allowed_float=allowed,
        reporter=reporter,
    )
    if not result.equal:
        raise LarqnetsError(
            f"The converted file is not equal to the trained model and is not published: {'; '.join(result.reasons)}. "
            "This is a defect of the conversion: report it with the model."
        )
    remarks = list(export.warnings)
    if small := trained.small_precision:
        remarks.append(f"The model computes in {small}; file and proof have it in float32, with the same weights.")
    remarks += _remarks(check)
    measured = scores_of(file, samples, result)
    variant = "binary" if export.binary_layers else "float"
    form = export.stem_entry.get("stem")
    told = {"stem": form, "learned": trained.learned_ranges}
    return Converted(variant, file, result, measured, fallbacks, check, names, remarks, **told)


def refuse_known_problems(model: tf.keras.Model | Trained, *, allow_float: bool) -> Trained:
    """Return the model with what was looked at, to be handed on to `convert`.

    Raises LarqnetsError for what the model alone tells: that it cannot be taken apart, or has a layer without 1-bit op.
    """
    trained = Trained.of(model)
    check_structure(trained.given)
    check_places(trained.model)
    if not allow_float:
        _refuse_fallbacks(
            [
                contents.Fallback(layer.name, layer.problem, layer.remedy)
                for layer in trained.binary_layers
                if layer.problem
            ]
        )
    return trained


def _refuse_fallbacks(fallbacks: list[contents.Fallback]) -> None:
    if fallbacks:
        raise LarqnetsError(
            f"{contents.told(fallbacks)} --allow-float converts anyway and records it; those layers then run as float."
        )


def convert_twin(
    model: tf.keras.Model | Trained,
    samples: Samples,
    calibration: np.ndarray | None,
    provenance: dict[str, Any],
    note: str,
    stem: Stem = "cheaper",
    runtime_ops: RuntimeOps = "stock",
) -> Converted:
    """Convert a real-valued model with stock TFLite: as float, or as int8 when `calibration` images (N, H, W, C) are given.

    int8 means weights and activations, float input and output, and in floats what decodes boxes; with `runtime_ops`
    "larqnets" its stem is an op of our runtime, LarqnetsError where there is none for it. Its accuracy is measured where the
    samples are labelled. `stem`: as in `convert`.
    """
    variant = "float" if calibration is None else "int8"
    trained = Trained.of(model)
    export = trained.export(stem)
    model = export.model
    file = run_stock_converter(model) if calibration is None else run_int8_converter(model, calibration)
    names = layer_names(file, trained.model, {})
    entry = {**provenance, "larqnets": __version__, "variant": variant, "layers": names}
    entry |= {scores.KEY: kind_of_model(trained.model), **task_entry(samples), **export.stem_entry}
    warnings = [export.stem.remark] if export.stem and export.stem.remark else []
    warnings += [] if calibration is None else _left_float(file, names)
    if calibration is not None and runtime_ops == "larqnets":
        file = read_model(with_own_stem(file.content))
        entry |= {"runtime_ops": runtime_ops}
        warnings.append(own_stem_told(variant))
    file = read_model(add_metadata(file.content, checked(entry)))
    told = {"layers": names, "warnings": warnings, "note": note, **export.stem_entry}
    return Converted(variant, file, None, scores_of(file, samples, None), **told)


def _left_float(file: Model, names: dict[str, str]) -> list[str]:
    """Return what of an int8 file computes in floats: layers of which the converter decides so without a word, other ops between
    integers, and a decoding.
    """
    ops = [
        op for op in file.subgraphs[0].operators if (k := stored_kernel(file, op)) is not None and k.dtype == "float32"
    ]
    left = ", ".join(f"'{names.get(str(op.index), op.name)}'" for op in ops)
    told = [f"int8: the converter left {left} float, {len(ops)} of its layers."] if ops else []
    between = Counter(op.name for op in between_integers(file) if op not in ops)
    others = ", ".join(f"{number} {name}" for name, number in between.items())
    return [
        *told,
        *(
            [
                f"int8: the converter left {others} float between integers, which costs a DEQUANTIZE and a QUANTIZE around."
            ]
            if others
            else []
        ),
        *(["int8: boxes and scores are made in floats of what its last kernels give."] if integer_ends(file) else []),
    ]


# Layers whose kernels are those of one op, and one depthwise and one ordinary op.
_ONE_KERNEL = (
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv3D,
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
    layers.Dense,
)
_TWO_KERNELS = (layers.SeparableConv1D, layers.SeparableConv2D)
# Layers with weights that no op multiplies by as a kernel.
_NO_KERNEL = (layers.BatchNormalization, layers.LayerNormalization, layers.GroupNormalization, layers.PReLU)
_NO_KERNEL += (layers.Normalization,)


def _real_constants(export: Export, matched: dict[str, Any]) -> contents.RealConstants:
    """Predict the bytes of the kernels that stay real and of their biases, in every place of a layer.

    TFLite gives every convolution a bias, which takes up the BatchNorm behind it; a dense or transposed one has one if
    that is not 0.
    """
    kernels, biases, unpredicted = 0, 0, []
    for layer in export.model.layers:
        places = len(layer.inbound_nodes)
        if layer.name in matched or not layer.weights:
            continue
        if isinstance(layer, _TWO_KERNELS):
            channels = int(np.prod(layer.depthwise_kernel.shape[-2:]))
            weights = int(np.prod(layer.depthwise_kernel.shape)) + int(np.prod(layer.pointwise_kernel.shape))
            kernels += 4 * places * weights
            biases += 4 * places * (channels + layer.filters)
        elif isinstance(layer, _ONE_KERNEL):
            kernels += 4 * places * int(np.prod(main_kernel(layer).shape))
            biases += 4 * places * layer.get_output_shape_at(0)[-1] if _has_bias(layer) else 0
        elif not isinstance(layer, _NO_KERNEL) and not type(layer).__module__.startswith(("larqnets.", "deploy.")):
            unpredicted.append(layer.name)
    return contents.RealConstants(kernels, biases, tuple(unpredicted))


def _has_bias(layer: layers.Layer) -> bool:
    if isinstance(layer, layers.Conv3D):
        return False  # an addition of its own
    if not isinstance(layer, layers.Dense | layers.Conv1DTranspose | layers.Conv2DTranspose):
        return True
    norms = [behind for behind in layers_behind(layer) if is_norm(behind)]
    moved = len(norms) == len(layer.outbound_nodes) == 1 and np.any(factor_and_bias(norms[0])[1])
    return bool(moved or (layer.use_bias and np.any(layer.bias.numpy())))


def _remarks(check: contents.ByteCheck) -> list[str]:
    """Return what is to be said of the real-valued constants; the binary ones are right."""
    if check.unpredicted:
        names = ", ".join(f"'{name}'" for name in check.unpredicted)
        return [
            f"How many bytes the weights of {names} take in the file is not predicted, nor those of other real layers."
        ]
    if check.matches:
        return []
    found, predicted = (
        f"{c['real_kernels']:,} bytes of real kernels and {c['real_biases']:,} of their biases"
        for c in (check.found, check.predicted)
    )
    return [
        f"The ops of the file read {found}, where {predicted} were predicted: the size is another, the values are not."
    ]


def _refuse_wrong_constants(check: contents.ByteCheck) -> None:
    for category in ("binary_kernels", "binary_multipliers_and_thresholds"):
        predicted, found = check.predicted.get(category, 0), check.found.get(category, 0)
        if predicted != found:
            raise LarqnetsError(
                f"The file holds {found} bytes of {category.replace('_', ' ')} where {predicted} were predicted. "
                "This is a defect of the conversion: report it with the model."
            )
