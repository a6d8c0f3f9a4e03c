"""A decomposed run as .tflite files whose int8 weights are the integers of the decomposition.

<folder>/decomposed.tflite        int8 weights, float activations that are quantised while running (dynamic range)
<folder>/decomposed_int8.tflite   int8 weights and activations; float input and output
"""

from typing import Any

import numpy as np

from deploy.decomposed import packed, patch
from deploy.export.converters import run_stock_converter
from deploy.export.decoding import run_int8_converter
from deploy.export.edit import add_metadata
from deploy.export.trained import Trained
from deploy.proof.contents import layer_names
from deploy.proof.converted import Converted, scores_of, task_entry
from deploy.proof.samples import Samples
from larqnets import __version__, scores
from larqnets.endings import kind_of_model
from larqnets.post_training.decomposed_run import read_codes
from larqnets.post_training.network import Kernel, find_kernels, float_values
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.run import Run
from larqnets.tflite.file_metadata import checked
from larqnets.tflite.model import Model
from larqnets.tflite.reading import read_model


def convert_decomposed(
    run: Run,
    trained: Trained,
    samples: Samples,
    calibration: np.ndarray | None,
    provenance: dict[str, Any],
    reporter: Reporter = SILENT,
) -> list[Converted]:
    """Return decomposed.tflite, and with `calibration` images (N, H, W, C) decomposed_int8.tflite; none without integers.

    `trained` is the run's model. Their accuracy is measured where the samples are labelled. A layer whose integers a file
    cannot hold, or that the converter leaves float, keeps what the converter made of it, and the warnings say so.
    """
    stored = read_codes(run)
    if not stored:
        return []
    codes = {name: stored[layer] for name, layer in trained.origins.items() if layer in stored}
    export = trained.export("as-trained")  # of that kernel are the integers
    model, shape = trained.model, export.model
    kernels = find_kernels(model)
    integers = integers_of(kernels, codes)
    as_float = run_stock_converter(shape)
    files = []
    for variant, images in (("decomposed", None), ("decomposed_int8", calibration)):
        if variant != "decomposed" and images is None:
            continue
        reporter.stage("patch")
        quantised = run_stock_converter(shape, quantise=True) if images is None else run_int8_converter(shape, images)
        patched = patcher_of(as_float, quantised, kernels, float_values(kernels)).patch(integers)
        names = layer_names(quantised, model, {})  # the patched file has the same graph
        entry = {**provenance, "larqnets": __version__, "variant": variant, "layers": names}
        entry |= {scores.KEY: kind_of_model(model), **task_entry(samples), **export.stem_entry}
        whole = read_model(add_metadata(patched.content, checked(entry)))
        sizes = packed.pack_model(whole)[1] if patched.layers else None
        reporter.stage("evaluate")
        measured = scores_of(whole, samples, None)
        note = "no layer could take its integers" if sizes is None else _words(sizes, len(patched.layers), len(kernels))
        remarks = _remarks(variant, patched)
        told = {"layers": names, "warnings": remarks, "note": note, **export.stem_entry}
        files.append(Converted(variant, whole, None, measured, **told))
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
    as_float: bytes | Model, quantised: bytes | Model, kernels: list[Kernel], values: dict[str, np.ndarray]
) -> patch.Patcher:
    """Return the patcher of a quantised file of a network; `values` are the kernels that both files were converted with."""
    by_rows = {kernel.name: patch.rows(values[kernel.name], kernel.depthwise) for kernel in kernels}
    return patch.Patcher(as_float, quantised, by_rows)
