"""A decomposed run as .tflite files whose int8 weights are the integers of the decomposition.

<folder>/decomposed.tflite        int8 weights, float activations that are quantised while running (dynamic range)
<folder>/decomposed_int8.tflite   int8 weights and activations; float input and output
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from deploy.decomposed import packed, patch
from deploy.export.converters import run_stock_converter
from deploy.export.edit import add_metadata, order_outputs
from deploy.export.model import export_model
from deploy.proof.contents import layer_names
from deploy.proof.converted import Converted, Samples, scores_of, task_entry
from larqnets import __version__, scores
from larqnets.endings import kind_of_model
from larqnets.post_training.launch import read_codes
from larqnets.post_training.network import Kernel, find_kernels, float_values
from larqnets.runs.run import Run
from larqnets.tflite.model import read_model


def convert_decomposed(
    run: Run,
    model: tf.keras.Model,
    samples: Samples,
    calibration: np.ndarray | None,
    provenance: dict[str, Any],
    on_stage: Callable[[str], Any] = lambda _: None,
) -> list[Converted]:
    """Return decomposed.tflite, and with `calibration` images (N, H, W, C) decomposed_int8.tflite; none without integers.

    `model` is the run's. Their accuracy is measured where the samples are labelled. A layer whose integers a file cannot
    hold, or that the converter leaves float, keeps what the converter made of it, and the warnings say so.
    """
    codes = read_codes(run)
    if not codes:
        return []
    kernels = find_kernels(model)
    integers = integers_of(kernels, codes)
    shape = export_model(model).model
    float_content = run_stock_converter(shape)
    files = []
    for variant, images in (("decomposed", None), ("decomposed_int8", calibration)):
        if variant != "decomposed" and images is None:
            continue
        on_stage("patch")
        content = run_stock_converter(shape, images, quantise=True)
        patched = patcher_of(float_content, content, kernels, float_values(kernels)).patch(integers)
        names = layer_names(read_model(patched.content), model, {})
        entry = {**provenance, "larqnets": __version__, "variant": variant, "layers": names}
        entry |= {scores.KEY: kind_of_model(model), **task_entry(samples)}
        whole = add_metadata(order_outputs(patched.content, model.output_names), entry)
        sizes = packed.pack_model(whole)[1] if patched.layers else None
        on_stage("evaluate")
        measured = scores_of(whole, samples, None)
        note = "no layer could take its integers" if sizes is None else _words(sizes, len(patched.layers), len(kernels))
        remarks = _remarks(variant, patched)
        files.append(Converted(variant, whole, None, measured, layers=names, warnings=remarks, note=note))
    return files


def _remarks(variant: str, patched: patch.Patched) -> list[str]:
    """Return which layers do not hold their integers: one sentence for each reason, one for all that stay float."""
    remarks = [
        f"{variant}: layer '{name}' keeps the converter's weights: {why}" for name, why in patched.unpatched.items()
    ]
    if patched.floats:
        layers = ", ".join(f"'{name}'" for name in patched.floats)
        words = f"layer {layers} stays" if len(patched.floats) == 1 else f"layers {layers} stay"
        remarks.append(f"{variant}: {words} float: the converter makes no int8 of fewer than 1,024 elements")
    return remarks


def _words(sizes: packed.Sizes, patched: int, count: int) -> str:
    words = f"integers of {patched} of {count} kernels; DEFLATE {sizes.deflate:,} bytes, .cbd {sizes.container:,}"
    return words if sizes.container < sizes.deflate else f"{words}: DEFLATE is as small"


def integers_of(
    kernels: list[Kernel], codes: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, patch.Integers | None]:
    """Return what a Patcher takes, None for a kernel that has no integers."""
    return {
        kernel.name: patch.Integers(
            patch.rows(codes[kernel.name][0].astype(np.int32), kernel.depthwise), codes[kernel.name][1]
        )
        if kernel.name in codes
        else None
        for kernel in kernels
    }


def patcher_of(
    float_content: bytes, quantised: bytes, kernels: list[Kernel], values: dict[str, np.ndarray]
) -> patch.Patcher:
    """Return the patcher of a quantised file of a network; `values` are the kernels that both files were converted with."""
    by_rows = {kernel.name: patch.rows(values[kernel.name], kernel.depthwise) for kernel in kernels}
    return patch.Patcher(float_content, quantised, by_rows)
