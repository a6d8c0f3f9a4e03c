"""Arrays from .npy and .npz files of strangers: every header is read by us and judged before memory is taken for it.

numpy's own reader believes what a header says and evaluates it as Python; here a header is a pattern, its shape and type
are asked about first, and a member of an archive is a stored or deflated array and nothing else.
"""

import io
import math
import os
import re
import stat
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np

from larqnets.errors import LarqnetsError, printable

MAX_BYTES = 4 << 30  # of one file's arrays together
MAX_ARRAYS = 256
_MAX_HEADER, _MAX_RANK = 4096, 32
_MAGIC = b"\x93NUMPY"
_VALUE = r"'[^'\\]{1,16}'|\"[^\"\\]{1,16}\"|True|False|\([0-9L, ]*\)"
_PAIR = rf"['\"](descr|fortran_order|shape)['\"]\s*:\s*({_VALUE})"
_HEADER = re.compile(rf"\{{\s*{_PAIR}\s*,\s*{_PAIR}\s*,\s*{_PAIR}\s*,?\s*\}}\s*")
_DTYPE = re.compile(r"[<>|=]?(?:f[248]|c8|c16|[iu][1248]|b1|S[1-9]\d{0,5})")
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
Order = Literal["C", "F"]


@dataclass(frozen=True)
class Header:
    """What a .npy says before its values; `order` is numpy's word for the order of the values, C or F."""

    shape: tuple[int, ...]
    dtype: np.dtype
    order: Order

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class _DamagedError(ValueError):
    """What is wrong with an array, as a clause to follow a colon."""


Judge = Callable[[dict[str, Header]], Sequence[str]]


def read_arrays(path: Path, judge: Judge, most: int = MAX_ARRAYS) -> list[np.ndarray]:
    """Return arrays of a .npy or .npz file, in native byte order.

    `judge` is given every name with its header, a .npy's being "arr_0", before any value is read; it returns the names to
    read, in the order wanted, or raises. Raises LarqnetsError for everything that is no plain array of numbers or bytes:
    objects, records, encrypted or otherwise compressed members, damage, more than MAX_BYTES or `most` arrays.
    """
    try:
        with open_at_once(path) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise LarqnetsError(f"{path} is not a file. Give a .npy or .npz file.")
            if file.read(4) == b"PK\x03\x04":
                return _read_archive(file, judge, most)
            file.seek(0)
            return _read_single(file, judge)
    except _DamagedError as error:
        raise LarqnetsError(
            f"{path} cannot be read as a .npy array: {error}. Write it with numpy.save or numpy.savez."
        ) from error
    except MemoryError as error:
        raise LarqnetsError(f"{path} does not fit into memory. Split it.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise LarqnetsError(f"{path} cannot be read: {reason}. Check the path.") from error


def open_at_once(path: Path) -> IO[bytes]:
    """Open a file of any kind for reading; a FIFO is not waited for, it reads as empty."""
    return os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb")


def _read_single(file: IO[bytes], judge: Judge) -> list[np.ndarray]:
    header = _read_header(file)
    left = os.fstat(file.fileno()).st_size - file.tell()
    if header.nbytes != left:
        raise _DamagedError(f"its header speaks of {header.nbytes} bytes of values and {left} follow")
    _limit([header])
    return [_read_values(file, header) for _ in judge({"arr_0": header})]


def _read_archive(file: IO[bytes], judge: Judge, most: int) -> list[np.ndarray]:
    try:
        with zipfile.ZipFile(file) as archive:
            members = _members(archive, most)
            headers = {}
            for name, member in members.items():
                with archive.open(member) as content:
                    headers[name] = _read_header(content)
            names = judge(headers)
            _limit([headers[name] for name in names])
            arrays = []
            for name in names:
                with archive.open(members[name]) as content:
                    header = _read_header(content)
                    arrays.append(_read_values(content, header))
                    if content.read(1):  # also where the checksum is looked at
                        raise _DamagedError(f"more than the values of {printable(name)} follows its header")
            return arrays
    except (_DamagedError, LarqnetsError, MemoryError):
        raise
    except Exception as error:  # zipfile raises whatever its parsers do: BadZipFile, zlib.error, struct.error, EOFError
        reason = printable(str(error))[:200] or type(error).__name__
        raise _DamagedError(f"the archive is damaged, {reason}") from error


def _members(archive: zipfile.ZipFile, most: int) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > most:
        raise _DamagedError(f"it holds {len(infos)} members, more than {most}")
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        name = info.filename.removesuffix(".npy")
        shown = printable(name)[:200]
        if name == info.filename:
            raise _DamagedError(f"'{shown}' in it is no .npy")
        if name in members:
            raise _DamagedError(f"'{shown}' is in it twice")
        if info.flag_bits & 0x41:  # bit 0: encrypted, bit 6: strongly
            raise _DamagedError(f"'{shown}' in it is encrypted")
        if info.compress_type not in _COMPRESSIONS:
            raise _DamagedError(f"'{shown}' in it is compressed by method {info.compress_type}, not by DEFLATE")
        members[name] = info
    return members


def _read_header(file: IO[bytes]) -> Header:
    start = file.read(8)
    if len(start) < 8 or start[:6] != _MAGIC:
        raise _DamagedError("it does not begin as a .npy does")
    if start[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise _DamagedError(f"it is of the unknown version {start[6]}.{start[7]}")
    width = 2 if start[6] == 1 else 4
    size = int.from_bytes(file.read(width), "little")
    if size > _MAX_HEADER:
        raise _DamagedError(f"its header has {size} bytes, more than any plain array's")
    text = file.read(size)
    if len(text) < size:
        raise _DamagedError("it is cut off within its header")
    match = _HEADER.fullmatch(text.decode("utf-8", errors="replace"))
    fields = dict(zip(match.groups()[::2], match.groups()[1::2], strict=True)) if match else {}
    if len(fields) != 3:
        raise _DamagedError("its header is not that of a plain array")
    return Header(_shape(fields["shape"]), _dtype(fields["descr"][1:-1]), _order(fields["fortran_order"]))


def _shape(text: str) -> tuple[int, ...]:
    parts = [part.strip().removesuffix("L") for part in text[1:-1].split(",")] if text[:1] == "(" else ["?"]
    if parts[-1] == "":  # behind the last comma, or ()
        parts.pop()
    if len(parts) > _MAX_RANK or not all(re.fullmatch(r"\d{1,18}", part) for part in parts):
        raise _DamagedError(f"its shape is {printable(text)[:200]}")
    return tuple(map(int, parts))


def _dtype(text: str) -> np.dtype:
    if not _DTYPE.fullmatch(text):
        raise _DamagedError(f"its values are of type '{printable(text)}', which is no number")
    return np.dtype(text)


def _order(text: str) -> Order:
    if text not in ("True", "False"):
        raise _DamagedError("its header is not that of a plain array")
    return "F" if text == "True" else "C"


def _limit(headers: Sequence[Header]) -> None:
    total = sum(header.nbytes for header in headers)
    if total > MAX_BYTES:
        raise _DamagedError(f"its arrays take {total:,} bytes, more than {MAX_BYTES:,}")


def _read_values(file: IO[bytes], header: Header) -> np.ndarray:
    """Read the values; memory grows with what arrives, not with what the header says."""
    buffer = io.BytesIO()
    while chunk := file.read(min(1 << 24, header.nbytes - buffer.tell())):
        buffer.write(chunk)
    if buffer.tell() < header.nbytes:
        raise _DamagedError(f"it is cut off, {buffer.tell()} of {header.nbytes} bytes of values are there")
    if not header.nbytes:
        return np.empty(header.shape, header.dtype.newbyteorder("="))
    stored = np.dtype(np.uint8) if header.dtype == bool else header.dtype
    values = np.frombuffer(buffer.getbuffer(), stored).reshape(header.shape, order=header.order)
    if header.dtype == bool:
        return values != 0  # a byte that is neither 0 nor 1 is no bool to C++
    return values.astype(header.dtype.newbyteorder("="), copy=False)
