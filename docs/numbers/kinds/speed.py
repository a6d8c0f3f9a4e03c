"""The numbers by which docs/guides/speed.md teaches: ratios of results/kernels.json and results/int8_rest.json."""

from docs.numbers.formats import times
from docs.numbers.kinds import Makers, kernels
from docs.numbers.kinds import int8 as rests
from docs.numbers.sources import Row

DEEP = "3x3 14x14x256"
VARIANTS = {"float_rest": "float_rest", "mixed": "mixed", "own_stem": "mixed_own_stem"}


def _part(kind: str) -> str:
    """Return what part of a binary ResNet-18 with a float rest is of one kind of op, in percent."""
    row = rests.rest(rests.BIREAL, "float_rest", "a72", size=112)
    return f"{100 * row['by_kind'][kind] / row['instructions']:.0f}"


def _of_int8(core: str) -> str:
    return times(kernels.executed(DEEP, "xnnpack_int8", core), kernels.executed(DEEP, "larqnets_bconv", core))


def _narrow() -> str:
    """Return how much dearer a product is with 32 channels than with 64."""

    def each(row: Row) -> float:
        return row["instructions"] / row["macs"]

    narrow, wide = (kernels.counted(f"3x3 56x56x{channels}", "larqnets_bconv", "a76") for channels in (32, 64))
    return times(each(narrow), each(wide))


VALUES: Makers = {
    "speed_narrow_per_mac": _narrow,
    **{f"speed_bconv_vs_int8_{core}": lambda c=core: _of_int8(c) for core in kernels.CORES},
    "speed_resnet18_1bit_percent": lambda: _part("1-bit convolutions"),
    "speed_resnet18_stem_percent": lambda: _part("stem"),
    **{
        f"speed_{name}_vs_int8_{core}": lambda v=variant, c=core: rests.fewer(v, c)
        for name, variant in VARIANTS.items()
        for core in kernels.CORES
    },
}
