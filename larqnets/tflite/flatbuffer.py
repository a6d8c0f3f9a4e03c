"""Read FlatBuffers tables without trusting a single offset: every access is checked against the buffer first.

A table is found through its vtable, a list of field positions; a reference is an unsigned distance forward, so a checked
buffer cannot contain a cycle. It can contain one part many times, though: a small file could stand for an enormous
tree. `Reader` therefore counts what it hands out and stops at limits that no honest file reaches.
"""

import struct
from collections.abc import Iterator

import numpy as np

from larqnets.errors import printable

BOOL = struct.Struct("<?")
INT8 = struct.Struct("<b")
UINT8 = struct.Struct("<B")
UINT16 = struct.Struct("<H")
INT32 = struct.Struct("<i")
UINT32 = struct.Struct("<I")
INT64 = struct.Struct("<q")
UINT64 = struct.Struct("<Q")
FLOAT32 = struct.Struct("<f")

MAX_TABLES = 250_000
# Bytes of text and vectors turned into Python objects: some writers share equal parts, so each may count a few times.
MAX_SHARING = 4
MAX_DECODED_BYTES = 64 << 20


class FlatbufferError(ValueError):
    """The bytes are not well formed or contradict their schema; the message is a clause to follow a colon."""


class Reader:
    """The bytes of a FlatBuffer and the account of what was read from them."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._tables_left = MAX_TABLES
        self._views_left = MAX_SHARING * len(content) + 65_536
        self._bytes_left = min(self._views_left, MAX_DECODED_BYTES)

    def root(self) -> "Table":
        """Return the root table; raises FlatbufferError when there is none."""
        return Table(self, self.follow(0))

    def identifier(self) -> bytes:
        """Return the four bytes that name the schema."""
        self.check(4, 4, "file identifier")
        return self.content[4:8]

    def check(self, start: int, size: int, what: str) -> None:
        """Raise FlatbufferError unless the bytes [start, start + size) lie in the buffer."""
        if start < 0 or size < 0 or start + size > len(self.content):
            raise FlatbufferError(
                f"it is cut off or damaged, a {what} of {size} bytes at {start} lies outside its {len(self.content)} bytes"
            )

    def unpack(self, kind: struct.Struct, position: int, what: str) -> int:
        """Return the integer or truth value at an absolute position."""
        self.check(position, kind.size, what)
        return kind.unpack_from(self.content, position)[0]

    def follow(self, position: int) -> int:
        """Return the absolute position that the reference stored at `position` points to."""
        distance = self.unpack(UINT32, position, "reference")
        if distance == 0:
            raise FlatbufferError(f"the reference at offset {position} points to itself")
        self.check(position + distance, 4, "referenced part")
        return position + distance

    def count_table(self) -> None:
        """Account for one table."""
        self._tables_left -= 1
        if self._tables_left < 0:
            raise FlatbufferError(f"it refers to more than {MAX_TABLES} tables")

    def count_bytes(self, size: int) -> None:
        """Account for `size` bytes that become Python objects."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise FlatbufferError("its text and vectors are repeated beyond any honest file")

    def count_view(self, size: int) -> None:
        """Account for `size` bytes that somebody looks at as an array."""
        self._views_left -= size
        if self._views_left < 0:
            raise FlatbufferError("its vectors are repeated beyond any honest file")


class Table:
    """A table at an absolute position. Fields are named by their slot: the order in the schema, starting at 0."""

    __slots__ = ("_position", "_reader", "_size", "_vtable", "_vtable_size")

    def __init__(self, reader: Reader, position: int) -> None:
        reader.count_table()
        self._reader = reader
        self._position = position
        self._vtable = position - reader.unpack(INT32, position, "table")
        self._vtable_size = reader.unpack(UINT16, self._vtable, "vtable")
        if self._vtable_size < 4 or self._vtable_size % 2:
            raise FlatbufferError(f"the vtable at offset {self._vtable} has the impossible size {self._vtable_size}")
        reader.check(self._vtable, self._vtable_size, "vtable")
        self._size = reader.unpack(UINT16, self._vtable + 2, "vtable")
        reader.check(position, self._size, "table")

    def _field(self, slot: int, size: int) -> int | None:
        """Return the absolute position of a field of `size` bytes, or None when the table does not have it."""
        entry = 4 + 2 * slot
        if entry + 2 > self._vtable_size:
            return None
        offset = UINT16.unpack_from(self._reader.content, self._vtable + entry)[0]
        if offset == 0:
            return None
        if offset < 4 or offset + size > self._size:
            raise FlatbufferError(f"field {slot} of the table at offset {self._position} lies outside of the table")
        return self._position + offset

    def scalar(self, slot: int, kind: struct.Struct, default: int = 0) -> int:
        """Return an integer or truth value, or `default` when the table does not store it."""
        position = self._field(slot, kind.size)
        return default if position is None else kind.unpack_from(self._reader.content, position)[0]

    def table(self, slot: int) -> "Table | None":
        """Return the table that the field refers to, or None."""
        position = self._field(slot, 4)
        return None if position is None else Table(self._reader, self._reader.follow(position))

    def span(self, slot: int, item_size: int = 1) -> tuple[int, int]:
        """Return (start, count) of a vector with items of `item_size` bytes; (0, 0) when there is none."""
        position = self._field(slot, 4)
        if position is None:
            return 0, 0
        vector = self._reader.follow(position)
        count = self._reader.unpack(UINT32, vector, "vector")
        self._reader.check(vector + 4, count * item_size, "vector")
        return vector + 4, count

    def raw(self, slot: int) -> bytes:
        """Return the content of a vector of bytes or of a string; empty when there is none."""
        start, count = self.span(slot)
        self._reader.count_bytes(count)
        return self._reader.content[start : start + count]

    def text(self, slot: int) -> str:
        """Return a string to be shown: what is no UTF-8 and what cannot be printed is escaped."""
        return printable(self.raw(slot).decode("utf-8", errors="backslashreplace"))

    def vector(self, slot: int, kind: struct.Struct, max_count: int = 1 << 24) -> tuple:
        """Return a vector of scalars, empty when there is none; FlatbufferError when it has more than `max_count`."""
        start, count = self.span(slot, kind.size)
        if count > max_count:
            raise FlatbufferError(f"a vector at offset {start} has {count} entries, more than {max_count}")
        self._reader.count_bytes(count * kind.size)
        return struct.unpack_from(f"<{count}{kind.format[-1]}", self._reader.content, start)

    def numbers(self, slot: int, kind: struct.Struct) -> np.ndarray:
        """Return a vector of scalars as a read-only array (count,) on the file's bytes; empty when there is none."""
        start, count = self.span(slot, kind.size)
        self._reader.count_view(count * kind.size)
        return np.frombuffer(self._reader.content, np.dtype(kind.format), count, start)

    def tables(self, slot: int) -> "Iterator[Table]":
        """Yield the tables of a vector of tables, none when there is no vector."""
        start, count = self.span(slot, 4)
        for i in range(count):
            yield Table(self._reader, self._reader.follow(start + 4 * i))
