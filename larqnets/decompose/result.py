"""What the decomposition of one kernel returns."""

import zlib
from dataclasses import dataclass

import numpy as np

from larqnets.decompose import container
from larqnets.decompose.container import Plan, Tensor
from larqnets.decompose.matrix import Scale, to_matrix
from larqnets.decompose.settings import INT8_MAX
from larqnets.errors import LarqnetsError


@dataclass(frozen=True)
class Plane:
    """One bit plane of the magnitudes and how it is stored."""

    index: int  # paper: i of 2^i a', below 0 for the planes that stay dense; else the bit
    ones: int
    rank: int | None  # over GF(2), where it was computed
    term_rank: int | None  # fewest rows and columns with all ones; paper: of the planes from 0 on
    code: str
    bytes: int


@dataclass(frozen=True, repr=False)
class LayerResult:
    """A decomposed kernel in Keras layout: `values` replace it, and equal codes scale where `codes` are not None.

    `bits` is the size as the literature counts it: in the paper mode sign, dense planes and factors, without headers and
    scale (the authors' count); in sound mode the record in full; else bits N, and 32 for each scale or coefficient of a
    channel. `file_bytes` is the record of a .cbd file in full; sketch and abc have no such record, and theirs is what
    base planes and coefficients would take behind the same head.
    """

    name: str
    method: str  # what was asked for
    shape: tuple[int, ...]
    depthwise: bool
    codes: np.ndarray | None  # int32 s n; None for sketch and abc
    scale: Scale | None  # float32, () or (output channels,)
    values: np.ndarray  # float32
    bits: int
    file_bytes: int
    planes: list[Plane]  # lowest first; empty where the integers are stored as int8
    dense_planes: int  # d: the planes below 2^d make the body, the others the sparse top
    knobs: dict[str, float | int | str]  # as they were used
    note: str  # what was done other than asked for and why, one sentence, or empty
    sqnr_db: float  # 10 log10(sum w^2 / sum (w - w^)^2); infinite without error
    max_error: float  # max |w - w^|
    plan: Plan | None  # of the record

    @property
    def weights(self) -> int:
        """The number N of weights."""
        return self.values.size

    @property
    def tensor(self) -> Tensor:
        """The integers for a .cbd file, as the separable-filter matrix; LarqnetsError where there are none."""
        if self.codes is None or self.scale is None:
            raise LarqnetsError(f"The weights of '{self.name}' by {self.method} are not integers times a scale.")
        return Tensor(self.name, to_matrix(self.codes, self.depthwise), self.scale)

    def record(self) -> bytes:
        """Return the record, `file_bytes` long; LarqnetsError where there is none."""
        tensor = self.tensor
        assert self.plan is not None  # of integers
        return container.encode(tensor, self.plan)


def container_bytes(result: LayerResult) -> int | None:
    """Return the bytes of the smallest record of the integers, which `pack` writes, whatever codes the method has.

    None for sketch and abc, which have no integers.
    """
    if result.codes is None or result.scale is None:
        return None
    scales = result.scale.size if result.scale.ndim else 0
    return container.plan(to_matrix(result.codes, result.depthwise), scales).bytes


def deflate_bytes(result: LayerResult) -> int | None:
    """Return the bytes of the integers after DEFLATE (zlib, level 9), as int8 in a TFLite file's order; else None.

    That order is (S, kh, kw, Ci), and (kh, kw, C M) for depthwise kernels. There is no such baseline for sketch and abc,
    nor for integers beyond int8.
    """
    if result.codes is None or np.abs(result.codes).max() > INT8_MAX:
        return None
    integers = result.codes.astype(np.int8)
    return len(zlib.compress((integers if result.depthwise else np.moveaxis(integers, -1, 0)).tobytes(), 9))
