"""The knobs of a decomposition: one frozen dataclass for all methods, each method reads its own."""

from dataclasses import dataclass, replace
from typing import Any

from larqnets.errors import LarqnetsError, nearest

METHODS = ("cbd", "uniform", "sketch", "abc", "int8")
MODES = ("paper", "sound")
CODES = ("dense", "index", "rice", "gf2", "all")
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

    method: str = "cbd"
    mode: str = "sound"
    planes: int = 6  # paper: J, planes of the magnitude; the sign is not counted
    dense_planes: int | None = None  # paper: planes below plane 0, then J follows; None: J is `planes`
    bottleneck: float = 0.3  # paper: b; plane 0 has a rank of at most b min(H, W)
    strict_paper: bool = False  # paper: judge the factored planes of a layer together, not each for itself
    step: float = 0.35  # sound: f = step / standard deviation of the weights
    code: str | None = None  # codes that a plane may have beside dense: index, rice (with index), gf2, all
    sign_of_nonzeros: bool | None = None  # store no sign where the weight became zero
    granularity: str = "layer"  # sound, uniform: a scale per layer or per output channel
    bits: int = 5  # uniform: bits per weight, the sign counted
    clip: str = "max"  # uniform: the grid ends at the largest weight, or where the squared error is least (mse)
    bases: int = 5  # sketch, abc: m
    refined: bool = True  # sketch: solve for all coefficients again after each base
    protect_small: bool | None = None  # int8 for stem, depthwise kernels and layers of fewer than 20,000 weights
    int8_payload: bool = False  # keep every integer within -127..127

    def __post_init__(self) -> None:
        """Raise LarqnetsError for a knob out of its range."""
        for name, known in _CHOICES.items():
            if (value := getattr(self, name)) not in known:
                choices = ", ".join(str(choice) for choice in known if choice is not None)
                raise LarqnetsError(
                    f"'{name}' is '{value}', not one of {choices}.{nearest(str(value), map(str, known))}"
                )
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if name == "dense_planes" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                raise LarqnetsError(f"'{name}' is {value}; it must lie between {low} and {high}.")
            if isinstance(low, int) and not isinstance(value, int):
                raise LarqnetsError(f"'{name}' is {value}; it must be a whole number.")
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


_CHOICES: dict[str, tuple] = {
    "method": METHODS,
    "mode": MODES,
    "code": (*CODES, None),
    "granularity": ("layer", "channel"),
    "clip": ("max", "mse"),
    "strict_paper": (False, True),
    "sign_of_nonzeros": (False, True, None),
    "refined": (False, True),
    "protect_small": (False, True, None),
    "int8_payload": (False, True),
}
_RANGES: dict[str, tuple] = {
    "planes": (1, 16),
    "dense_planes": (0, 15),
    "bottleneck": (0.001, 0.999),
    "step": (0.005, 8.0),
    "bits": (2, 8),
    "bases": (1, 16),
}
