"""The numbers by which docs/guides/speed.md teaches: ratios of results/kernels.json and results/int8_rest.json."""

from docs.numbers.formats import times
from docs.numbers.kinds import Makers, kernels
from docs.numbers.kinds import int8 as rests
from docs.numbers.sources import Row

SIZE = 112
DEEP = "3x3 14x14x256"
# A variant and the stem that it is compared with; the int8 twin has the rewritten one.
VARIANTS = {
    "float_rest": ("float_rest", "rewritten"),
    "mixed": ("mixed", "rewritten"),
    "own_stem": ("mixed_own_stem", "own_op"),
}


def _fewer(variant: str, stem: str, core: str) -> str:
    """Return how many times fewer instructions a binary ResNet-18 executes than its int8 twin."""
    ours, theirs = (
        rests.executed(rests.BIREAL, of, core, size=SIZE, stem=with_stem)
        for of, with_stem in ((variant, stem), ("int8_twin", "rewritten"))
    )
    return times(theirs, ours)


def _part(kind: str) -> str:
    """Return what part of a binary ResNet-18 with a float rest is of one kind of op, in percent."""
    row = rests.rest(rests.BIREAL, "float_rest", "a72", size=SIZE)
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
        f"speed_{name}_vs_int8_{core}": lambda v=variant, s=stem, c=core: _fewer(v, s, c)
        for name, (variant, stem) in VARIANTS.items()
        for core in kernels.CORES
    },
}
