"""What kernels and whole networks execute on ARM64: results/kernels.json, results/conv_ways.csv and deploy/export/stems.json."""

from collections.abc import Mapping, Sequence

from docs.numbers.formats import markdown, million, percent, times, whole
from docs.numbers.kinds import Makers
from docs.numbers.sources import Row, document, one, table

KERNELS = "results/kernels.json"
WAYS = "results/conv_ways.csv"
STEMS = "deploy/export/stems.json"
CORES = {"a72": "cortex-a72", "a76": "cortex-a76", "i8mm": "i8mm"}
SQUARES = {56: "56x56x64", 28: "28x28x128", 14: "14x14x256", 7: "7x7x512"}
SHAPES = [f"3x3 {shape}" for shape in SQUARES.values()]


def counted(shape: str, kind: str, core: str = "a72") -> Row:
    """Return the row of kernels.json."""
    return one(document(KERNELS), shape=shape, kind=kind, cpu=CORES[core])


def executed(shape: str, kind: str, core: str = "a72") -> int:
    """Return the executed instructions of an inference."""
    return counted(shape, kind, core)["instructions"]


def _line(name: str, cells: Sequence[str]) -> list[str]:
    return [name, *cells]


def _beside(name: str, kind: str, core: str = "a72") -> list[str]:
    """Return a line of XNNPACK's convolutions, in brackets how many times a 1-bit one's instructions they take."""
    pairs = [(executed(shape, kind, core), executed(shape, "larqnets_bconv", core)) for shape in SHAPES]
    return [name, *(f"{million(other)} ({times(other, ours)}x)" for other, ours in pairs)]


def convolutions() -> str:
    """3x3 convolutions of ResNet-18's shapes, in million instructions."""
    return markdown(
        ["", *SQUARES.values()],
        [
            _line("LceBconv2d", [million(executed(shape, "larqnets_bconv")) for shape in SHAPES]),
            _line(
                "the same with zero padding",
                [million(executed(f"{shape} zero padding", "larqnets_bconv")) for shape in SHAPES],
            ),
            _line(
                "the same counted by popcount alone",
                [million(executed(shape, "larqnets_bconv_popcount")) for shape in SHAPES],
            ),
            _beside("XNNPACK float32", "xnnpack_fp32"),
            _beside("XNNPACK int8, Cortex-A72", "xnnpack_int8"),
            _beside("XNNPACK int8, Cortex-A76 (dot product)", "xnnpack_int8", "a76"),
            _beside("XNNPACK int8, i8mm (products of matrices)", "xnnpack_int8", "i8mm"),
        ],
    )


def resnet18(size: int, stem: str = "") -> str:
    """Return how kernels.json calls a ResNet-18; `stem` is "" where it is rewritten."""
    return f"resnet18 {size}x{size}x3" + (", stem as trained" if stem else "")


def networks() -> str:
    """Whole ResNet-18: with the stem as trained, then rewritten."""
    columns = [("network_binary", "a72"), ("network_float", "a72"), *(("network_int8", core) for core in CORES)]
    return markdown(
        ["", "binary, float rest", "float32", "int8, A72", "int8, A76", "int8, i8mm"],
        [
            _line(
                f"{size}x{size}",
                [
                    ", ".join(million(executed(resnet18(size, stem), kind, core), 1) for stem in ("trained", ""))
                    for kind, core in columns
                ],
            )
            for size in (112, 224)
        ],
    )


def mixed() -> str:
    """Whole ResNet-18 with an int8 rest and the stem of our runtime, beside the int8 twin with its stem rewritten."""
    rows = []
    for size in (112, 224):
        for core, name in (("a72", "Cortex-A72"), ("a76", "Cortex-A76"), ("i8mm", "i8mm")):
            ours, theirs = (executed(resnet18(size), kind, core) for kind in ("network_mixed_own_stem", "network_int8"))
            rows.append([f"{size}x{size}, {name}", million(ours, 1), million(theirs, 1), f"{times(theirs, ours)}x"])
    return markdown(["", "binary, mixed, own stem", "int8 twin", "fewer"], rows)


OWN_STEMS = ("7x7 112x112x3 to 64 stride 2", "3x3 112x112x3 to 64 stride 2", "11x11 227x227x3 to 96 stride 4")


def own_stems() -> str:
    """LarqnetsConv2dInt8 alone, XNNPACK's op in brackets."""
    rows = []
    for shape in OWN_STEMS:
        window, sizes, _, filters, _, stride = shape.split()
        cells = []
        for core in CORES:
            ours, theirs = (executed(shape, kind, core) for kind in ("larqnets_conv_int8", "xnnpack_int8"))
            cells.append(f"{million(ours)} ({million(theirs)}, {times(theirs, ours)}x)")
        rows.append([f"{window}, stride {stride}, {sizes} to {filters}", *cells])
    return markdown(["", "Cortex-A72", "Cortex-A76 (dot product)", "int8 matrices (i8mm)"], rows)


def stems() -> str:
    """First convolutions of 64 filters on 3 channels, as trained and rewritten."""
    rows = []
    for kernel, stride in ((3, 2), (5, 2), (7, 2), (11, 4)):
        cells = []
        for numbers, core in (("float", "cortex-a72"), *(("int8", core) for core in CORES.values())):
            where = {"kernel": kernel, "stride": stride, "channels": 3, "filters": 64, "padded": False}
            row = one(document(STEMS)["rows"], numbers=numbers, **where)
            cells.append(f"{million(row['as_trained'][core])}, {million(row['rewritten'][core])}")
        rows.append([f"{kernel}x{kernel}, stride {stride}", *cells])
    return markdown(["", "float, A72 and A76", "int8, A72", "int8, A76", "int8, i8mm"], rows)


def _apart(what: str, size: int) -> float:
    return one(table(WAYS), what=what, height=size)["value"]


def ways() -> str:
    """The ways to count, on the four shapes."""

    def both(kind: str, said: bool = False) -> list[str]:
        rows = [counted(shape, kind) for shape in SHAPES]
        return [f"{million(r['instructions'])} [{million(r['simd'])}]{' ' + r['family'] if said else ''}" for r in rows]

    def apart(what: str, scale: float = 1, digits: int = 0) -> list[str]:
        return [f"{_apart(what, size) / scale:,.{digits}f}" for size in SQUARES]

    zero = [million(executed(f"{shape} zero padding", "larqnets_bconv")) for shape in SHAPES]
    packed = [whole(9 * int(shape.split("x")[-1]) ** 2 / 8) for shape in SHAPES]
    return markdown(
        ["", *SQUARES.values()],
        [
            _line("popcount", both("larqnets_bconv_popcount")),
            _line("chosen", both("larqnets_bconv", True)),
            _line("with zero padding", zero),
            _line("all pixels equal", apart("equal pixels", 1e6, 2)),
            _line("one of four threads, the most", apart("most of four threads", 1e6, 2)),
            _line("bytes of packed weights", packed),
            _line("kept beside them: popcount", apart("kept bytes popcount")),
            _line("kept beside them: chosen", apart("kept bytes chosen")),
            _line("instructions to load the file: popcount", apart("load popcount", 1e6, 2)),
            _line("instructions to load the file: chosen", apart("load chosen", 1e6, 2)),
        ],
    )


NETWORKS: Mapping[str, tuple[str, str, str]] = {  # name -> shape, kind, core
    "ResNet-18, 112x112, float rest": (resnet18(112), "network_binary", "a72"),
    "the same, int8 rest, Cortex-A76": (resnet18(112), "network_mixed_own_stem", "a76"),
    "ResNet-18, 224x224, float rest": (resnet18(224), "network_binary", "a72"),
    "the same at 224x224, int8 rest, Cortex-A76": (resnet18(224), "network_mixed_own_stem", "a76"),
    "ReActNet-A, 224x224, float rest": ("reactnet_a 224x224x3", "network_binary", "a72"),
    "Group-Net on ResNet-20, K = 5, 32x32, float rest": ("groupnet K=5 on resnet20 32x32x3", "network_binary", "a72"),
    "QuickNet (Larq Zoo), 224x224, float rest": ("quicknet 224x224x3", "network_binary", "a72"),
}


def ways_of_networks() -> str:
    """Whole networks by popcount and in the chosen ways."""
    rows = []
    for name, (shape, kind, core) in NETWORKS.items():
        popcount, chosen = counted(shape, f"{kind}_popcount", core), counted(shape, kind, core)
        loads = " → ".join(million(row["load_instructions"], 0) for row in (popcount, chosen))
        kept = f"{million(popcount['prepared_bytes'])} → {million(chosen['prepared_bytes'], 1)} MB"
        old, new = popcount["instructions"], chosen["instructions"]
        rows.append([name, million(old, 1), million(new, 1), f"{times(old, new, 2)}x", loads, kept])
    return markdown(["", "popcount", "chosen", "fewer", "to load the file", "kept bytes"], rows)


def cycles() -> str:
    """Least cycles of a Cortex-A76, in thousands: two vector operations, four instructions, two loads or stores a cycle."""

    def least(row: Row) -> float:
        return max(row["simd"] / 2, row["instructions"] / 4, row["loads_stores"] / 2)

    popcount, chosen = (
        [least(counted(shape, kind, "a76")) for shape in SHAPES]
        for kind in ("larqnets_bconv_popcount", "larqnets_bconv")
    )
    return markdown(
        ["", *SQUARES.values()],
        [
            _line("popcount", [whole(cycles / 1e3) for cycles in popcount]),
            _line(
                "chosen",
                [f"{whole(new / 1e3)} ({times(old, new)}x)" for old, new in zip(popcount, chosen, strict=True)],
            ),
        ],
    )


TABLES: Makers = {
    "kernels_convolutions": convolutions,
    "kernels_networks": networks,
    "kernels_mixed": mixed,
    "kernels_own_stem": own_stems,
    "stems": stems,
    "ways": ways,
    "ways_networks": ways_of_networks,
    "ways_cycles": cycles,
}


def _resnet18_values() -> Makers:
    """Return resnet18_{112,224}_{mixed,int8,ratio}_{a72,a76,i8mm}: millions with an int8 rest and our stem, of the int8 twin, and how many times fewer."""
    found = {}
    for size in (112, 224):
        for core in CORES:
            name, shape = f"resnet18_{size}", resnet18(size)
            kinds = {"mixed": "network_mixed_own_stem", "int8": "network_int8"}
            for word, kind in kinds.items():
                found[f"{name}_{word}_{core}"] = lambda s=shape, k=kind, c=core: million(executed(s, k, c), 1)
            found[f"{name}_ratio_{core}"] = lambda s=shape, c=core: times(
                executed(s, "network_int8", c), executed(s, "network_mixed_own_stem", c)
            )
    return found


def _share(core: str, size: int = 112) -> str:
    """Return the instructions of the binary network with a float rest in percent of the int8 twin's."""
    return percent(executed(resnet18(size), "network_binary", core) / executed(resnet18(size), "network_int8", core), 0)


VALUES: Makers = {
    **{
        f"bconv_{size}": lambda s=shape: million(executed(s, "larqnets_bconv"))
        for size, shape in zip(SQUARES, SHAPES, strict=True)
    },
    "bconv_macs": lambda: million(counted(SHAPES[0], "larqnets_bconv")["macs"], 1),
    **_resnet18_values(),
    **{f"resnet18_112_float_rest_share_{core}": lambda c=core: _share(c) for core in CORES},
    "resnet18_224_float_rest_share_i8mm": lambda: _share("i8mm", 224),
    "resnet18_112_float_twin_load": lambda: million(counted(resnet18(112), "network_float")["load_instructions"], 0),
}
