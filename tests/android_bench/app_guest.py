"""The library for apps and TensorFlow Lite for Android, both bionic, run on this machine's Linux or under qemu."""

import struct

_DT_VERSYM, _DT_VERNEED, _DT_VERNEEDNUM, _DT_VERDEF, _DT_VERDEFNUM = (
    *(0x6FFFFFF0, 0x6FFFFFFE, 0x6FFFFFFF),
    *(0x6FFFFFFC, 0x6FFFFFFD),
)
_IGNORED = 0x6FFFFEF0  # a tag that no loader knows
_PT_DYNAMIC = 2


def unversioned(content: bytes) -> bytes:
    """Return an ELF64 library that asks for no versions of symbols: glibc has other ones than Android."""
    data = bytearray(content)
    (program_headers,) = struct.unpack_from("<Q", data, 32)
    size, number = struct.unpack_from("<HH", data, 54)
    for i in range(number):
        kind, _, offset, _, _, bytes_ = struct.unpack_from("<IIQQQQ", data, program_headers + i * size)
        if kind != _PT_DYNAMIC:
            continue
        for at in range(offset, offset + bytes_, 16):
            (tag,) = struct.unpack_from("<Q", data, at)
            if tag in (_DT_VERSYM, _DT_VERNEED, _DT_VERNEEDNUM, _DT_VERDEF, _DT_VERDEFNUM):
                struct.pack_into("<Q", data, at, _IGNORED)
    return bytes(data)
