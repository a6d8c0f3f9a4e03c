"""What decides how much a network executes, for docs/guides/speed.md."""

from docs.numbers.formats import percent, times
from docs.numbers.kinds import Makers
from docs.numbers.kinds.int8 import BIREAL, executed, rest
from docs.numbers.kinds.kernels import CORES, counted
from docs.numbers.kinds.kernels import executed as of_kernel


def _per_mac(shape: str) -> float:
    row = counted(shape, "larqnets_bconv", "a76")
    return row["instructions"] / row["macs"]


def _share(kind: str) -> str:
    """Return what a kind of op takes of a Bi-Real ResNet-18 with a float rest, in percent."""
    row = rest(BIREAL, "float_rest", "a72", 112)
    return percent(row["by_kind"][kind] / row["instructions"], 0)


def _of_int8(variant: str, core: str) -> str:
    """Return how many times the instructions of a variant the int8 twin takes, at 112x112."""
    return times(executed(BIREAL, "int8_twin", core, 112), executed(BIREAL, variant, core, 112))


def _convolution(core: str) -> str:
    shape = "3x3 14x14x256"
    return times(of_kernel(shape, "xnnpack_int8", core), of_kernel(shape, "larqnets_bconv", core))


VALUES: Makers = {
    "speed_narrow_per_mac": lambda: times(_per_mac("3x3 56x56x32"), _per_mac("3x3 56x56x64")),
    **{f"speed_bconv_vs_int8_{core}": lambda c=core: _convolution(c) for core in CORES},
    "speed_resnet18_1bit_percent": lambda: _share("1-bit convolutions"),
    "speed_resnet18_stem_percent": lambda: _share("stem"),
    **{
        f"speed_{name}_vs_int8_{core}": lambda v=variant, c=core: _of_int8(v, c)
        for name, variant in (("float_rest", "float_rest"), ("mixed", "mixed"), ("own_stem", "mixed_own_stem"))
        for core in CORES
    },
}
