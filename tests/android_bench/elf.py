"""What a loader reads of a shared library: segments, what it needs, exports and imports (ELF64, little endian)."""

import struct
from dataclasses import dataclass
from pathlib import Path

PT_LOAD, PT_DYNAMIC, PT_TLS = 1, 2, 7
DT_NEEDED, DT_STRTAB, DT_SYMTAB, DT_SONAME, DT_TEXTREL, DT_FLAGS, DT_GNU_HASH, DT_HASH = (
    1,
    5,
    6,
    14,
    22,
    30,
    0x6FFFFEF5,
    4,
)
DF_TEXTREL = 4
MACHINES = {62: "x86_64", 183: "arm64-v8a"}


@dataclass(frozen=True)
class Library:
    """A shared library."""

    abi: str
    segments: dict[int, list[int]]  # type -> alignment of each, in bytes
    needed: tuple[str, ...]
    name: str
    relocates_code: bool
    exports: frozenset[str]
    imports: frozenset[str]


def read_library(path: Path) -> Library:
    """Read a library whose file offsets and addresses of headers, strings and symbols agree, as lld lays them out."""
    data = path.read_bytes()
    assert data[:6] == b"\x7fELF\x02\x01"
    (machine,) = struct.unpack_from("<H", data, 18)
    (at,) = struct.unpack_from("<Q", data, 32)
    size, number = struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<IIQQQQQQ", data, at + i * size) for i in range(number)]
    segments: dict[int, list[int]] = {}
    for header in headers:
        segments.setdefault(header[0], []).append(header[7])
    dynamic = next(header for header in headers if header[0] == PT_DYNAMIC)
    entries = [struct.unpack_from("<QQ", data, dynamic[2] + i) for i in range(0, dynamic[5], 16)]
    tags = dict(entries)

    def text(offset: int) -> str:
        start = tags[DT_STRTAB] + offset
        return data[start : data.index(b"\0", start)].decode()

    exports, imports = set(), set()
    for i in range(1, _symbols(data, tags)):
        name, info, _, section, _, _ = struct.unpack_from("<IBBHQQ", data, tags[DT_SYMTAB] + 24 * i)
        if info >> 4:  # global or weak
            (exports if section else imports).add(text(name))
    return Library(
        MACHINES[machine],
        segments,
        tuple(text(value) for tag, value in entries if tag == DT_NEEDED),
        text(tags[DT_SONAME]),
        DT_TEXTREL in tags or bool(tags.get(DT_FLAGS, 0) & DF_TEXTREL),
        frozenset(exports),
        frozenset(imports),
    )


def _symbols(data: bytes, tags: dict[int, int]) -> int:
    """Return how many symbols there are: the classic table says it, the other one ends with its last chain."""
    if DT_HASH in tags:
        return struct.unpack_from("<II", data, tags[DT_HASH])[1]
    buckets, first, words, _ = struct.unpack_from("<IIII", data, tags[DT_GNU_HASH])
    start = tags[DT_GNU_HASH] + 16 + 8 * words
    last = max(struct.unpack_from(f"<{buckets}I", data, start))
    while not struct.unpack_from("<I", data, start + 4 * (buckets + last - first))[0] & 1:
        last += 1
    return last + 1
