"""The knobs of a decomposition: one frozen dataclass for all methods, each method reads its own."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from larqnets.errors import LarqnetsError
from larqnets.schema import Range, settle

MethodName = Literal["cbd", "uniform", "sketch", "abc", "int8"]
INT8_MAX = 127
INT8_PLANES = 7  # of a magnitude up to it


@dataclass(frozen=True)
class Settings:
    """What to do with a kernel; None means the method's own choice (see `resolved`), but for `dense_planes`.

    method     cbd       composite binary decomposition, in one of two modes:
                           paper   the published algorithm: b = `bottleneck`, and J = `planes`, or by the second
                                   published setting (reconstructed) J = a_s + 1 + `dense_planes`, by layer
                           sound   step f std(w) with f = `step`, then the cheapest exact code of every plane
               uniform   one uniform grid, `bits` with the sign; its end the maximum or the least squared error
               sketch    Network Sketching, `bases` of +-1 per filter
               abc       ABC-Net's fixed bases with coefficients by least squares, `bases` per filter
               int8      127 steps on each side of zero, one scale per output channel

    The best f put the end of the dense planes, (2^d - 1/2) f, at 2.5 to 2.9 standard deviations: 0.70, 0.35 and 0.18.
    """

    method: MethodName = "cbd"  # bit planes; or what they are compared with
    mode: Literal["paper", "sound"] = "sound"  # cbd: as published, or a step and the cheapest code for every plane
    planes: Annotated[int, Range(1, 16)] = 6  # paper: J, planes of the magnitude; the sign is not counted
    dense_planes: Annotated[int, Range(0, 15)] | None = (
        None  # paper: planes below plane 0, then J follows; None: J is `planes`
    )
    bottleneck: Annotated[float, Range(0.001, 0.999)] = 0.3  # paper: b; plane 0 has a rank of at most b min(H, W)
    strict_paper: bool = False  # paper: judge the factored planes of a layer together, not each for itself
    step: Annotated[float, Range(0.005, 8)] = 0.35  # sound: f = step / standard deviation of the weights
    code: Literal["dense", "index", "rice", "gf2", "all"] | None = (
        None  # codes that a plane may have beside dense: index, rice (with index), gf2, all
    )
    sign_of_nonzeros: bool | None = None  # store no sign where the weight became zero
    granularity: Literal["layer", "channel"] = "layer"  # sound, uniform: a scale per layer or per output channel
    bits: Annotated[int, Range(2, 8)] = 5  # uniform: bits per weight, the sign counted
    clip: Literal["max", "mse"] = (
        "max"  # uniform: the grid ends at the largest weight, or where the squared error is least (mse)
    )
    bases: Annotated[int, Range(1, 16)] = 5  # sketch, abc: m
    refined: bool = True  # sketch: solve for all coefficients again after each base
    protect_small: bool | None = None  # int8 for stem, depthwise kernels and layers of fewer than 20,000 weights
    int8_payload: bool = False  # keep every integer within -127..127

    def __post_init__(self) -> None:
        """Raise LarqnetsError for a knob of another type or out of its range."""
        settle(self, "decompose")
        if self.is_paper and self.granularity != "layer":
            raise LarqnetsError("The published algorithm has one scale per layer: set 'granularity' to layer.")
        if self.is_paper and self.int8_payload:
            name, most = ("planes", INT8_PLANES) if self.dense_planes is None else ("dense_planes", INT8_PLANES - 1)
            if getattr(self, name) > most:
                raise LarqnetsError(
                    f"{getattr(self, name)} planes do not fit into int8: set '{name}' to {most} or less, or allow "
                    "any integers (--any-integers)."
                )

    @property
    def is_paper(self) -> bool:
        """Whether this is the published algorithm."""
        return self.method == "cbd" and self.mode == "paper"

    @property
    def is_sound(self) -> bool:
        """Whether this is the recommended variant."""
        return self.method == "cbd" and self.mode == "sound"

    def resolved(self) -> "Settings":
        """Return the settings with the method's own choice in place of each None.

        paper: factors over GF(2) and all signs, as published. All others: the smallest record. Small layers are
        protected in sound mode.
        """
        own: dict[str, Any] = {
            "code": "gf2" if self.is_paper else "rice",
            "sign_of_nonzeros": not self.is_paper,
            "protect_small": self.is_sound,
        }
        return replace(self, **{name: value for name, value in own.items() if getattr(self, name) is None})


@dataclass(frozen=True)
class Search:
    """What to look for: a size in bits per weight, or the most points of the score on calibration images to give up."""

    target_bits: Annotated[float, Range(1, 8)] | None = None  # per weight
    max_drop: Annotated[float, Range(0, 100)] | None = None  # points of the score
    images: int = 4096  # to calibrate with, at most

    def __post_init__(self) -> None:
        """Raise LarqnetsError unless exactly one of the two is asked for, within its range."""
        if (self.target_bits is None) == (self.max_drop is None):
            raise LarqnetsError("Search for a size or for a score: give --target-bits or --max-drop, not both.")
        settle(self, "decompose")
