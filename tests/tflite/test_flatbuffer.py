"""The reader against the reference writer, and against bytes made to break it."""

import struct

import flatbuffers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larqnets.tflite import flatbuffer as fb
from larqnets.tflite.flatbuffer import FlatbufferError, Reader, Table


def written() -> bytes:
    """A table: 0 int32 7, 1 absent, 2 string, 3 vector of int32, 4 vector of two tables whose slot 0 is a bool."""
    builder = flatbuffers.Builder(0)
    text = builder.CreateString("häuser")
    builder.StartVector(4, 3, 4)
    for value in (3, -2, 1):
        builder.PrependInt32(value)
    numbers = builder.EndVector()
    children = []
    for flag in (True, False):
        builder.StartObject(1)
        builder.PrependBoolSlot(0, flag, False)
        children.append(builder.EndObject())
    builder.StartVector(4, 2, 4)
    for child in reversed(children):
        builder.PrependUOffsetTRelative(child)
    tables = builder.EndVector()
    builder.StartObject(5)
    builder.PrependInt32Slot(0, 7, 0)
    builder.PrependUOffsetTRelativeSlot(2, text, 0)
    builder.PrependUOffsetTRelativeSlot(3, numbers, 0)
    builder.PrependUOffsetTRelativeSlot(4, tables, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"TEST")
    return bytes(builder.Output())


def raw_table(*fields: bytes) -> bytes:
    """A file of one table with 4-byte fields, its vtable right behind the root reference, its end open for more."""
    vtable = struct.pack("<HH", 4 + 2 * len(fields), 4 + 4 * len(fields))
    vtable += b"".join(struct.pack("<H", 4 + 4 * i) for i in range(len(fields)))
    return struct.pack("<I", 4 + len(vtable)) + vtable + struct.pack("<i", len(vtable)) + b"".join(fields)


def test_reads_what_the_reference_writer_wrote():
    reader = Reader(written())
    root = reader.root()
    assert reader.identifier() == b"TEST"
    assert root.scalar(0, fb.INT32) == 7
    assert root.scalar(1, fb.INT32, 42) == 42
    assert root.scalar(99, fb.UINT8, 5) == 5
    assert root.raw(2).decode() == "häuser"
    assert root.vector(3, fb.INT32) == (1, -2, 3)
    assert root.span(3, 4)[1] == 3
    assert [child.scalar(0, fb.BOOL) for child in root.tables(4)] == [True, False]
    assert root.table(1) is None
    assert root.vector(1, fb.INT32) == ()
    assert root.raw(1) == b""
    assert list(root.tables(1)) == []


def test_every_truncation_is_noticed_or_harmless():
    content = written()
    whole = walk(Reader(content).root(), 3)
    noticed = 0
    for size in range(len(content)):
        try:
            assert walk(Reader(content[:size]).root(), 3) == whole  # only padding is missing
        except FlatbufferError:
            noticed += 1
    assert noticed >= len(content) - 3


def walk(table: Table, depth: int) -> list:
    """Return all that the table holds, and its children."""
    found = [table.scalar(slot, fb.INT8) for slot in range(6)] + [table.raw(2), table.vector(3, fb.INT32)]
    return found + [walk(child, depth - 1) for child in table.tables(4)] if depth else found


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "a reference of 4 bytes at 0 lies outside its 0 bytes"),
        (struct.pack("<I", 0) + bytes(8), "the reference at offset 0 points to itself"),
        (struct.pack("<I", 0xFFFFFFFF), "a referenced part of 4 bytes at 4294967295"),
        (struct.pack("<Ii", 4, 5000), "a vtable of 2 bytes at -4996"),
        (struct.pack("<Ii", 4, -(2**31)), "a vtable of 2 bytes at 2147483652"),
        (struct.pack("<IiHH", 4, -4, 3, 4), "the impossible size 3"),
        (struct.pack("<IiHH", 4, -4, 0xFFFE, 4), "a vtable of 65534 bytes"),
        (struct.pack("<IiHH", 4, -4, 4, 0xFFFF), "a table of 65535 bytes"),
    ],
)
def test_roots_that_lie(content: bytes, sentence: str):
    with pytest.raises(FlatbufferError, match=sentence):
        Reader(content).root()


def test_fields_that_lie():
    reference_to_itself = raw_table(struct.pack("<I", 0))
    with pytest.raises(FlatbufferError, match="points to itself"):
        Reader(reference_to_itself).root().table(0)
    long_vector = raw_table(struct.pack("<I", 4)) + struct.pack("<I", 2**31)
    with pytest.raises(FlatbufferError, match="a vector of 8589934592 bytes"):
        Reader(long_vector).root().vector(0, fb.INT32)
    with pytest.raises(FlatbufferError, match="a vector of 2147483648 bytes"):
        Reader(long_vector).root().raw(0)
    with pytest.raises(FlatbufferError, match="a vector of 8589934592 bytes"):
        list(Reader(long_vector).root().tables(0))
    outside = bytearray(raw_table(struct.pack("<I", 1)))
    outside[8:10] = struct.pack("<H", 6)  # the field would end two bytes behind the table
    with pytest.raises(FlatbufferError, match="field 0 of the table at offset 10 lies outside of the table"):
        Reader(bytes(outside)).root().scalar(0, fb.INT32)
    short_vector = raw_table(struct.pack("<I", 4)) + struct.pack("<I3i", 3, 1, 2, 3)
    with pytest.raises(FlatbufferError, match="3 entries, more than 2"):
        Reader(short_vector).root().vector(0, fb.INT32, max_count=2)


def test_a_part_that_is_referred_to_a_million_times_ends_early():
    count = 300_000
    # All references lead to the table behind the vector, which has no fields; its vtable lies behind it.
    references = struct.pack(f"<{count}I", *(4 * (count - i) for i in range(count)))
    content = raw_table(struct.pack("<I", 4)) + struct.pack("<I", count) + references + struct.pack("<iHH", -4, 4, 4)
    tables = Reader(content).root().tables(0)
    for _ in range(fb.MAX_TABLES - 1):  # the root is one
        next(tables)
    with pytest.raises(FlatbufferError, match="more than 250000 tables"):
        next(tables)
    text = raw_table(struct.pack("<I", 4)) + struct.pack("<I", 100_000) + bytes(100_000)
    root = Reader(text).root()
    with pytest.raises(FlatbufferError, match="repeated beyond any honest file"):
        [root.raw(0) for _ in range(10)]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_read_or_raise(content: bytes):
    try:
        walk(Reader(content).root(), 3)
    except FlatbufferError:
        return


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.integers(0, len(written()) - 1), st.integers(0, 255), max_size=8))
def test_damaged_bytes_read_or_raise(damage: dict[int, int]):
    content = bytearray(written())
    for position, value in damage.items():
        content[position] = value
    try:
        walk(Reader(bytes(content)).root(), 3)
    except FlatbufferError:
        return
