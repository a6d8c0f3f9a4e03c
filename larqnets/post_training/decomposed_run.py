"""What `larqnets decompose` does: a network in, a run folder of kind `decomposed` out.

runs/<name>/model.h5      the graph with the reconstructed weights
            codes.npz     the integers of every layer, and its scale; not of methods that have none
            layers.json   the report: what became of every layer, in full
            layers.png    the same as a picture
            card.json     source, settings, sums and the table of the layers
"""

import dataclasses
import io
import json
import math
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from larqnets import pictures
from larqnets.decompose import LayerResult, Settings
from larqnets.errors import LarqnetsError
from larqnets.importing.imported_run import measured
from larqnets.post_training import network as net
from larqnets.post_training.picture import draw_layers
from larqnets.post_training.steps import Search, find_settings
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.card import Card
from larqnets.runs.history import history_of_network
from larqnets.runs.keras_file import keras_file_content
from larqnets.runs.run import MODEL_FILE, Run, new_run_path
from larqnets.runs.subject import Subject
from larqnets.shapes import known

CODES_FILE, REPORT_FILE, PICTURE_FILE = "codes.npz", "layers.json", "layers.png"


def decompose_network(
    subject: Subject,
    settings: Settings,
    *,
    name: str | None = None,
    runs: Path = Path("runs"),
    overwrite: bool = False,
    search: Search | None = None,
    kept: net.Kept | None = None,
    measure: bool = True,
    reporter: Reporter = SILENT,
) -> Run:
    """Decompose a network into the new run `runs/name`, by default called after network and method.

    `search` finds a step for every layer first, but for those that are `kept`; with `measure` the card gets the scores on the
    test images. Its model has the reconstructed weights then. Raises LarqnetsError, also where matplotlib is missing.
    """
    name = name or f"{Path(subject.origin).stem}-{settings.method}"
    new_run_path(runs, name, overwrite)  # what is wrong with it is said before the work
    pictures.check_can_draw()
    model, data, headline = subject.model, subject.data, subject.task.headline
    begun = time.monotonic()
    kernels = net.find_kernels(model)
    decomposed, at_int8, as_float = (kept or net.Kept()).divide(kernels)
    chosen: Settings | Mapping[str, Settings] = settings
    found: dict[str, Any] = {}
    if search is not None:
        if settings.protect_small is None:
            settings = dataclasses.replace(settings, protect_small=False)  # the search gives them fine steps
        reporter.stage("search")
        chosen, found = find_settings(subject, decomposed, settings, search, reporter)
    reporter.stage("decompose")
    given = {kernel.name: chosen if isinstance(chosen, Settings) else chosen[kernel.name] for kernel in decomposed}
    given |= {kernel.name: Settings("int8") for kernel in at_int8}
    stored = [kernel for kernel in kernels if kernel.name in given]
    results = net.decompose(stored, given, reporter)
    net.assign(stored, net.reconstructions(results))
    seconds = time.monotonic() - begun
    card: dict[str, Any] = {
        "kind": "decomposed",
        "method": settings.method,
        "backbone": subject.name,
        "dataset": data.dataset if data else "",
        "source": str(subject.origin),
        "history": [dataclasses.asdict(ancestor) for ancestor in history_of_network(str(subject.origin))],
        "settings": dataclasses.asdict(settings.resolved()),
        **({"search": found} if found else {}),
        **totals(results, model.count_params(), at_int8, as_float),
        "left_out": net.left_out(model),
        **_kept(at_int8, as_float),
        **({"no_weights": weightless} if (weightless := net.no_weights(model)) else {}),
        "layers": [layer_row(result) for result in results.values()],
        f"float_{headline}": subject.score,
        **({} if headline == Card.headline else {"headline": headline}),  # also where nothing is measured
        "seconds": round(seconds, 1),
    }
    if data is not None and measure:
        reporter.stage("evaluate")
        card |= measured(subject)
    report = {"settings": card["settings"], "layers": [_whole(result) for result in results.values()]}
    report |= {"no_weights": weightless} if weightless else {}
    files = {
        MODEL_FILE: keras_file_content(model),
        REPORT_FILE: (json.dumps(report, indent=1, allow_nan=False) + "\n").encode(),
        PICTURE_FILE: draw_layers(card["layers"], f"{subject.name}, {settings.method}"),
    }
    if any(result.codes is not None for result in results.values()):
        files[CODES_FILE] = _codes_content(results)
    task = None if subject.run is None else subject.run.config.task
    return Run.create_with_model(runs, name, data, card, files, task, overwrite=overwrite)


def totals(
    results: Mapping[str, LayerResult],
    parameters: int,
    at_int8: Sequence[net.Kernel] = (),
    as_float: Sequence[net.Kernel] = (),
) -> dict[str, Any]:
    """Return the sums of a decomposition; `parameters` counts all of the model's, those outside of `results` stay float.

    `bits_per_weight` is the literature's: bits over the `weights` of the layers that are decomposed, not of those kept
    `at_int8`. `file_bits_per_weight` has everything in it, over the weights of all kernels: records with scales and heads, and
    32 bits for every parameter outside of them, also of the kernels kept `as_float`.
    """
    aside = {kernel.name for kernel in at_int8}
    decomposed = [result for name, result in results.items() if name not in aside]
    weights = sum(result.weights for result in decomposed)
    stored = sum(result.weights for result in results.values())
    kernels = stored + sum(math.prod(known(kernel.weight.shape)) for kernel in as_float)
    records = sum(result.file_bytes for result in results.values())
    rest = 4 * (parameters - stored)
    return {
        "weights": weights,
        "parameters": parameters,
        "bits_per_weight": sum(result.bits for result in decomposed) / weights,
        "file_bits_per_weight": 8 * (records + rest) / kernels,
        "file_bytes": records + rest,
        "float_bytes": 4 * parameters,
    }


def _kept(at_int8: Sequence[net.Kernel], as_float: Sequence[net.Kernel]) -> dict[str, Any]:
    kept = {"kept_at_int8": at_int8, "kept_as_float": as_float}
    return {key: [kernel.name for kernel in kernels] for key, kernels in kept.items() if kernels}


def layer_row(result: LayerResult) -> dict[str, Any]:
    """Return what the card says about a layer; `planes` counts the sign where there is one, `sqnr_db` None is no error."""
    stored: dict[str, int] = {}
    for plane in result.planes:
        stored[plane.code] = stored.get(plane.code, 0) + 1
    ranks = [plane.rank for plane in result.planes if plane.rank is not None]
    whole = "int8" if result.plan is not None and result.plan.as_int8 else ""
    return {
        "layer": result.name,
        "shape": list(result.shape),
        "weights": result.weights,
        "bits_per_weight": result.bits / result.weights,
        "file_bytes": result.file_bytes,
        "planes": len(result.planes),
        "ranks": ranks,
        "codes": ", ".join(f"{count} {code}" for code, count in stored.items()) or whole,
        "sqnr_db": float(result.sqnr_db) if np.isfinite(result.sqnr_db) else None,
        "note": result.note,
    }


def _whole(result: LayerResult) -> dict[str, Any]:
    planes = [dataclasses.asdict(plane) for plane in result.planes]
    return {**layer_row(result), "knobs": result.knobs, "max_error": float(result.max_error), "plane_list": planes}


def _codes_content(results: Mapping[str, LayerResult]) -> bytes:
    """Return the integers of all layers, each as NAME:codes and NAME:scale, as the bytes of a .npz."""
    arrays = {}
    for name, result in results.items():
        if result.codes is not None:
            small = np.abs(result.codes).max() <= 127
            arrays[f"{name}:codes"] = result.codes.astype(np.int8) if small else result.codes
            arrays[f"{name}:scale"] = np.asarray(result.scale, np.float32)
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def read_codes(run: Run) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return (integers in the kernel's layout, scale) by layer of a decomposed run; empty where its method has none."""
    path = run.path / CODES_FILE
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        names = [key.removesuffix(":codes") for key in arrays if key.endswith(":codes")]
        return {name: (arrays[f"{name}:codes"], arrays[f"{name}:scale"]) for name in names}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise LarqnetsError(f"{path} is damaged: {error}. Decompose the network again.") from error
