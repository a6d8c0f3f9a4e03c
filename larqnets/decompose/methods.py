"""Decompose one kernel, or all kernels of a network.

Every method but sketch and abc ends in integers on a grid, w^ = scale s n, whose bit planes then get the cheapest exact
code. Source: Qiaoben et al. 2019; the mode `sound` and the protection of small layers are a variant of this project.
"""

import math
import os
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from larqnets.decompose import baselines, codes, container, cover, gf2, paper
from larqnets.decompose.matrix import Scale, filters, from_matrix, per_channel, spread, to_matrix
from larqnets.decompose.result import LayerResult, Plane
from larqnets.decompose.settings import INT8_MAX, INT8_PLANES, Settings
from larqnets.errors import LarqnetsError
from larqnets.reporter import SILENT, Reporter

SMALL_LAYER = 20_000  # weights; below, int8 costs little and decides whether a compact network survives
MAX_PLANES = 20  # a largest weight of more steps than these count means a layer without spread
_HEAD_BYTES = 18  # of a record


@dataclass(frozen=True)
class _Grid:
    """Integers in the kernel's layout, their scale, and what was found on the way."""

    codes: np.ndarray
    scale: Scale
    bits: int | None  # as the literature counts them; None: as the record takes
    knobs: dict[str, float | int | str] = field(default_factory=dict)
    note: str = ""
    bottom: int | None = None  # paper: index of the lowest plane
    ranks: dict[int, int] | None = None  # by bit: the planes that may be factored; None: all of them
    term_ranks: dict[int, int] = field(default_factory=dict)


def decompose_kernel(
    kernel: np.ndarray, settings: Settings, name: str = "", *, depthwise: bool = False, stem: bool = False
) -> LayerResult:
    """Return the decomposition of a kernel in Keras layout: (kh, kw, Ci, S), (inputs, outputs) or (kh, kw, C, M).

    `depthwise` says that the shape is the last of these, `stem` that this is the network's first layer. Raises
    LarqnetsError for another shape, no weights, or weights that are not finite.
    """
    settings = settings.resolved()
    w = _checked(kernel, name, depthwise)
    if reason := _why_int8(w, settings, depthwise, stem):
        return _result(w, _int8(w, depthwise, reason), settings, name, depthwise)
    if settings.method in ("sketch", "abc"):
        return _bases(w, settings, name, depthwise)
    method = settings.mode if settings.method == "cbd" else settings.method
    return _result(w, _GRIDS[method](w, settings, depthwise), settings, name, depthwise)


def decompose_kernels(
    kernels: Mapping[str, np.ndarray],
    settings: Settings | Mapping[str, Settings],
    depthwise: Collection[str] = (),
    stem: str | None = None,
    reporter: Reporter = SILENT,
) -> dict[str, LayerResult]:
    """Return the decompositions of named kernels, computed in one thread per core, the largest first.

    `settings` may differ by name. `reporter` is told the number done and the name of each. NumPy leaves Python's
    lock for nearly all of the work; the ranks of the paper mode do not, and gain less.
    """

    def one(name: str) -> LayerResult:
        own = settings if isinstance(settings, Settings) else settings[name]
        return decompose_kernel(kernels[name], own, name, depthwise=name in depthwise, stem=name == stem)

    results: dict[str, LayerResult] = {}
    by_size = sorted(kernels, key=lambda name: -kernels[name].size)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for finished in as_completed([threads.submit(one, name) for name in by_size]):
            result = finished.result()
            results[result.name] = result
            reporter.count(len(results), len(kernels), result.name)
    return {name: results[name] for name in kernels}


def _checked(kernel: np.ndarray, name: str, depthwise: bool) -> np.ndarray:
    """Return the kernel as float32, or raise LarqnetsError."""
    what = f"Layer '{name}'" if name else "The layer"
    if kernel.ndim not in ((4,) if depthwise else (2, 4)) or not kernel.size:
        raise LarqnetsError(f"{what} has a kernel of shape {kernel.shape}, which is no convolution and no dense layer.")
    if kernel.size > container.MAX_WEIGHTS:
        raise LarqnetsError(f"{what} has {kernel.size:,} weights; at most {container.MAX_WEIGHTS:,} can be decomposed.")
    with np.errstate(over="ignore"):
        w = np.asarray(kernel, np.float32)
    if not np.all(np.isfinite(w)):
        raise LarqnetsError(f"{what} has weights that are NaN or infinite; train again, or take an earlier checkpoint.")
    return w


def _why_int8(w: np.ndarray, settings: Settings, depthwise: bool, stem: bool) -> str:
    """Return why a layer is stored as int8 instead of being decomposed, or nothing."""
    if settings.method == "int8":
        return ""
    if not w.any():
        return "All weights are zero: int8."
    if settings.protect_small:
        if depthwise:
            return "Depthwise kernels are kept at int8."
        if stem:
            return "The first layer is kept at int8."
        if w.size < SMALL_LAYER:
            return f"Layers of fewer than {SMALL_LAYER:,} weights are kept at int8."
    return ""


def _int8(w: np.ndarray, depthwise: bool, note: str = "") -> _Grid:
    """127 steps on each side of zero, one scale per output channel."""
    integers, scale = baselines.int8(filters(w, depthwise))
    knobs: dict[str, float | int | str] = {"fallback": "int8"} if note else {}
    return _Grid(integers.reshape(w.shape), scale, 8 * w.size + 32 * scale.size, knobs, note)


def _uniform(w: np.ndarray, settings: Settings, depthwise: bool) -> _Grid:
    """The uniform grid of `bits`, sign included."""
    integers, scale = baselines.uniform(filters(w, depthwise), settings.bits, settings.granularity, settings.clip)
    bits = settings.bits * w.size + (32 * scale.size if scale.ndim else 0)
    return _Grid(integers.reshape(w.shape), scale, bits, {"bits": settings.bits})


def _sound(w: np.ndarray, settings: Settings, depthwise: bool) -> _Grid:
    """Algorithm B: n = round(|w| / Delta), Delta = f std(w), at least max|w| / 127 where n must fit int8."""
    by_channel = settings.granularity == "channel"
    deviation = spread(w, depthwise, by_channel)
    delta = settings.step * deviation
    largest = np.abs(filters(w, depthwise)).max(axis=0 if by_channel else None)
    if not np.all(delta * 2.0**MAX_PLANES > np.maximum(largest, np.finfo(np.float32).tiny)):
        return _int8(
            w, depthwise, "The weights are nearly equal: their standard deviation gives no useful step, hence int8."
        )
    knobs: dict[str, float | int | str] = {"step": settings.step}
    note = ""
    if settings.int8_payload:
        floor = largest / INT8_MAX
        if np.any(floor > delta):
            delta = np.maximum(floor, delta)
            knobs["step"] = float((delta / deviation).max())
            note = (
                f"The step was raised to {knobs['step']:.3g} standard deviations so that the largest weight fits int8."
            )
    scale = delta.astype(np.float32)
    integers = np.rint(w / per_channel(scale, w.shape, depthwise)).astype(np.int32)
    return _Grid(integers, scale, None, knobs, note)


def _paper(w: np.ndarray, settings: Settings, depthwise: bool) -> _Grid:
    """Algorithm A; int8 where it is not defined, and by the strict rule the uniform grid where factors do not pay."""
    if depthwise:
        return _int8(w, depthwise, "The published method leaves depthwise kernels out: int8.")
    view = to_matrix(w)
    height, width = view.shape
    if int(settings.bottleneck * min(height, width)) == 0:
        return _int8(w, depthwise, f"b min(H, W) is below 1 for a matrix of {height} x {width}: int8.")
    magnitudes = np.abs(view).astype(np.float64)
    largest = float(magnitudes.max())
    if magnitudes.min() == largest:
        return _int8(w, depthwise, "All weights have the same magnitude: int8.")
    found = paper.decompose(magnitudes / largest, settings.planes, settings.bottleneck, settings.dense_planes)
    most = INT8_PLANES if settings.int8_payload else MAX_PLANES
    if found.planes > most:
        return _int8(w, depthwise, f"The largest weight needs {found.planes} planes, more than {most}: int8.")
    note = ""
    if settings.dense_planes is None and found.planes > settings.planes:
        note = f"J was raised from {settings.planes} to {found.planes}, which the largest weight needs."

    upper = {bit: found.magnitudes >> bit & 1 for bit in range(-found.bottom, found.planes)}
    ranks = {bit: gf2.rank(gf2.sparse_rows(np.flatnonzero(plane), width)) for bit, plane in upper.items()}
    factored = [rank * (height + width) for rank in ranks.values()]
    signs = np.sign(w).astype(np.int32)
    knobs: dict[str, float | int | str] = {"planes": found.planes, "bottleneck": settings.bottleneck}
    if settings.strict_paper and sum(factored) > w.size:
        levels = 2**found.planes - 1
        integers = np.rint(np.abs(w) / np.float32(largest) * levels).astype(np.int32) * signs
        note = f"Oversize: the factors need {sum(factored):,} bits for {w.size:,} weights, hence a uniform grid."
        bits = w.size * (found.planes + 1)
        return _Grid(integers, np.float32(largest / levels), bits, knobs | {"fallback": "oversize"}, note, ranks={})

    bits = w.size * (1 - found.bottom) + sum(min(w.size, size) for size in factored)
    knobs |= {"alpha": found.alpha, "rank": found.rank, "top": found.top, "bottom": found.bottom}
    integers = from_matrix(found.magnitudes, w.shape) * signs
    term_ranks = {bit: cover.term_rank(plane) for bit, plane in upper.items()}
    scale = np.float32(largest * found.delta)
    return _Grid(integers, scale, bits, knobs, note, found.bottom, ranks, term_ranks)


_GRIDS: dict[str, Callable[[np.ndarray, Settings, bool], _Grid]] = {
    "paper": _paper,
    "sound": _sound,
    "uniform": _uniform,
    "int8": lambda w, _, depthwise: _int8(w, depthwise),
}


def _result(w: np.ndarray, grid: _Grid, settings: Settings, name: str, depthwise: bool) -> LayerResult:
    """Choose the code of each plane and measure."""
    assert settings.code is not None  # the settings are resolved
    assert settings.sign_of_nonzeros is not None
    values = grid.codes.astype(np.float32) * per_channel(grid.scale, w.shape, depthwise)
    matrix = to_matrix(grid.codes, depthwise)
    plan = container.plan(
        matrix, grid.scale.size if grid.scale.ndim else 0, settings.code, settings.sign_of_nonzeros, grid.ranks
    )
    planes = [
        Plane(
            (grid.bottom or 0) + bit,
            choice.ones,
            choice.rank if choice.rank is not None else (grid.ranks or {}).get(bit),
            grid.term_ranks.get(bit),
            codes.NAMES[choice.mode],
            choice.bytes,
        )
        for bit, choice in enumerate(plan.planes)
    ]
    sparse = w.size / max(1, codes.index_width(w.size))  # from here on an index list would not be smaller
    if grid.bottom is not None:
        dense = -grid.bottom
    elif planes:
        dense = max((bit + 1 for bit, plane in enumerate(planes) if plane.ones > sparse), default=0)
    else:
        dense = int(np.abs(matrix).max()).bit_length()
    return _measured(
        w,
        values,
        name=name,
        method=settings.method,
        depthwise=depthwise,
        codes=grid.codes,
        scale=grid.scale,
        bits=8 * plan.bytes if grid.bits is None else grid.bits,
        file_bytes=plan.bytes,
        planes=planes,
        dense_planes=dense,
        knobs=grid.knobs,
        note=grid.note,
        plan=plan,
    )


def _bases(w: np.ndarray, settings: Settings, name: str, depthwise: bool) -> LayerResult:
    """Sign tensors with real coefficients per filter."""
    rows = filters(w, depthwise)
    m, count = settings.bases, rows.shape[1]
    values = baselines.sketch(rows, m, settings.refined) if settings.method == "sketch" else baselines.abc(rows, m)
    return _measured(
        w,
        values.reshape(w.shape),
        name=name,
        method=settings.method,
        depthwise=depthwise,
        codes=None,
        scale=None,
        bits=m * w.size + 32 * m * count,
        file_bytes=_HEAD_BYTES + m * ((w.size + 7) // 8) + 4 * m * count,
        planes=[],
        dense_planes=0,
        knobs={"bases": m},
        note="",
        plan=None,
    )


def _measured(w: np.ndarray, values: np.ndarray, **fields: Any) -> LayerResult:
    """Return the result with its error."""
    error = w - values
    noise, signal = (float(np.vdot(x, x)) for x in (error.astype(np.float64), w.astype(np.float64)))
    sqnr = math.inf if noise == 0 else 10 * math.log10(signal / noise) if signal else -math.inf
    return LayerResult(shape=w.shape, values=values, sqnr_db=sqnr, max_error=float(np.abs(error).max()), **fields)
