"""Arrays of strangers: numpy's own are read as numpy reads them, everything else is one sentence and costs no memory."""

import io
import os
import random
import struct
import time
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from larqnets import LarqnetsError
from larqnets.arrays import MAX_BYTES, read_arrays
from larqnets.errors import printable

FUZZ_SECONDS = float(os.environ.get("LARQNETS_FUZZ_SECONDS", "2"))


def npy(values, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, values, **options)
    return buffer.getvalue()


def with_header(text, values=b"", version=1):
    header = text.encode()
    size = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + values


def plain(shape="(2,)", descr="'<f4'", order="False"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


def archive(members, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return buffer.getvalue()


def read(folder, content, judge=list):
    path = folder / "x.npz"
    path.write_bytes(content)
    return read_arrays(path, lambda headers: judge(headers))


DTYPES = ["<f4", ">f4", "<f2", "<f8", "<i1", "<u1", "<i2", ">i4", "<u4", "<i8", "<u8", "?", "<c8", "<c16", "S3"]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    values=st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    ),
    fortran=st.booleans(),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0)]),
    packed=st.booleans(),
)
def test_what_numpy_writes_is_read_as_numpy_reads_it(tmp_path, values, fortran, version, packed):
    stored = np.asfortranarray(values) if fortran and values.ndim else values
    content = npy(stored, version=version)
    (found,) = read(tmp_path, archive([("a.npy", content)]) if packed else content)
    expected = np.load(io.BytesIO(content))
    assert found.dtype == expected.dtype.newbyteorder("=")
    assert found.shape == expected.shape
    assert found.tobytes() == expected.astype(found.dtype).tobytes()


def test_names_are_judged_before_values_are_read_and_order_is_the_judges(tmp_path):
    content = archive([("a.npy", npy(np.arange(3))), ("b.npy", with_header(plain("(9,)")))])  # b has no values
    seen = {}

    def judge(headers):
        seen.update(headers)
        return ["a", "a"]

    first, second = read(tmp_path, content, judge)
    assert first.tolist() == second.tolist() == [0, 1, 2]
    assert {name: header.shape for name, header in seen.items()} == {"a": (3,), "b": (9,)}


def test_a_byte_that_is_no_bool_becomes_one(tmp_path):
    (found,) = read(tmp_path, with_header(plain("(3,)", "'|b1'"), b"\x00\x07\xff"))
    assert found.view(np.uint8).tolist() == [0, 1, 1]


def encrypted():
    content = bytearray(archive([("a.npy", npy(np.zeros(2)))]))
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        content[content.index(signature) + offset] |= 1
    return bytes(content)


def wrong_checksum():
    content = bytearray(archive([("a.npy", npy(np.arange(100.0)))], zipfile.ZIP_STORED))
    content[content.index(b"\x93NUMPY") + 200] ^= 1
    return bytes(content)


HOSTILE = {
    "empty": (b"", "does not begin"),
    "text": (b"no array", "does not begin"),
    "objects": (npy(np.array([{}], object), allow_pickle=True), "type '.O'"),
    "records": (npy(np.zeros(2, [("a", "f4")])), "not that of a plain array"),
    "dates": (npy(np.zeros(2, "M8[s]")), "is no number"),
    "unicode": (npy(np.array(["a"])), "is no number"),
    "code in the header": (with_header("{'descr': __import__('os').abort()}"), "not that of a plain array"),
    "nest": (with_header("(" * 4000), "not that of a plain array"),
    "long header": (with_header(plain() + " " * 60000), "header has 6"),
    "header of 4 GB": (b"\x93NUMPY\2\0" + b"\xff" * 4, "header has 4294967295"),
    "cut header": (with_header(plain())[:-5], "cut off within its header"),
    "version 9": (b"\x93NUMPY\x09\0" + bytes(20), "unknown version 9.0"),
    "cut values": (with_header(plain("(4,)"), bytes(15)), "speaks of 16 bytes of values and 15"),
    "two arrays": (npy(np.zeros(1)) * 2, "speaks of 8 bytes"),
    "absurd": (with_header(plain("(99999999999,)")), "speaks of 399999999996"),
    "number of 5,000 digits": (with_header(plain(f"({'9' * 3900},)")), "its shape is"),
    "negative": (with_header(plain("(-1,)")), "not that of a plain array"),
    "rank 40": (with_header(plain(f"({'1, ' * 40})"), bytes(4)), "its shape is"),
    "twice the same key": (with_header("{'descr': '<f4', 'descr': '<f4', 'shape': (1,), }"), "not that of a plain"),
    "shape is a text": (with_header(plain("'abc'")), "its shape is"),
    "shape is a control character": (with_header(plain("'\x01bc'")), r"its shape is '\\x01bc'"),
    "order is a text": (with_header(plain(order="'True'")), "not that of a plain array"),
    "no zip": (b"PK\3\4" + bytes(50), "archive is damaged"),
    "cut zip": (archive([("a.npy", npy(np.zeros(9)))])[:-30], "archive is damaged"),
    "encrypted": (encrypted(), "'a' in it is encrypted"),
    "bzip2": (archive([("a.npy", npy(np.zeros(2)))], zipfile.ZIP_BZIP2), "compressed by method 12"),
    "lzma": (archive([("a.npy", npy(np.zeros(2)))], zipfile.ZIP_LZMA), "compressed by method 14"),
    "checksum": (wrong_checksum(), "archive is damaged"),
    "no npy": (archive([("a.txt", "x")]), "'a.txt' in it is no .npy"),
    "control characters": (archive([("\x1b[31m\u202e.txt", "x")]), r"'\\x1b\[31m\\u202e.txt'"),
    "300 members": (archive([(f"{i}.npy", npy(np.zeros(1))) for i in range(300)]), "300 members"),
    "objects within": (archive([("a.npy", npy(np.array([{}], object), allow_pickle=True))]), "no number"),
    "cut within": (archive([("a.npy", with_header(plain("(9,)"), bytes(8)))]), "8 of 36 bytes"),
    "more within": (archive([("a.npy", with_header(plain("(1,)"), bytes(8)))]), "more than the values"),
    "absurd within": (archive([("a.npy", with_header(plain("(99999999999,)")))]), f"more than {MAX_BYTES:,}"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_no_plain_array_is_a_sentence_and_takes_no_memory(tmp_path, kind):
    content, pattern = HOSTILE[kind]
    tracemalloc.start()
    try:
        with pytest.raises(LarqnetsError, match=pattern) as error:
            read(tmp_path, content)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 600


def test_a_bomb_costs_what_arrives_only(tmp_path):
    """1 GiB of zeros in a megabyte, which the header calls 100 values."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = with_header(plain("(100,)"))
    stream = packer.compress(content) + b"".join(packer.compress(bytes(1 << 24)) for _ in range(64)) + packer.flush()
    local = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, 0, len(stream), 1 << 30, 5, 0) + b"a.npy"
    central = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 8, 0, 0, 0, len(stream), 1 << 30, 5, 0, 0, 0, 0, 0, 0)
    central += b"a.npy"
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local) + len(stream), 0)
    tracemalloc.start()
    try:
        with pytest.raises(LarqnetsError, match="more than the values"):
            read(tmp_path, local + stream + central + end)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["absent", "folder", "fifo", "NUL"])
def test_what_is_no_file_is_a_sentence(tmp_path, kind):
    path = tmp_path / ("x\0.npy" if kind == "NUL" else "x.npy")
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(LarqnetsError, match=r"x.*(cannot be read|is not a file)"):
        read_arrays(path, list)


def test_fuzz(tmp_path):
    """Damage of every kind, for LARQNETS_FUZZ_SECONDS: an array or a sentence, never anything else, never much memory."""
    seeds = [
        npy(np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)),
        npy(np.asfortranarray(np.ones((2, 3), np.int8)), version=(2, 0)),
        archive([("image.npy", npy(np.zeros((1, 8, 8, 1), np.float32))), ("t.npy", npy(np.float32(1)))]),
        archive([("a.npy", npy(np.arange(50)))], zipfile.ZIP_STORED),
        *(content for content, _ in HOSTILE.values() if len(content) < 5000),
    ]
    seed = int(os.environ.get("LARQNETS_FUZZ_SEED", "0"))
    chance = random.Random(seed)
    deadline, count, read_well = time.monotonic() + FUZZ_SECONDS, 0, 0
    tracemalloc.start()
    try:
        while time.monotonic() < deadline:
            content = bytearray(chance.choice(seeds))
            for _ in range(chance.choice((1, 1, 2, 4, 16))):
                _damage(content, chance, seeds)
            said = ""
            try:
                read(tmp_path, bytes(content))
                read_well += 1
            except LarqnetsError as error:
                said = str(error)
            assert said == printable(said), (seed, count)
            assert len(said) < 1000, (seed, count)
            count += 1
            assert tracemalloc.get_traced_memory()[1] < 64 << 20, (seed, count)
    finally:
        tracemalloc.stop()
    print(f"{count} files, {read_well} of them arrays, seed {seed}")
    assert count > 50
    assert 0 < read_well < count


def _damage(content, chance, seeds):
    place = chance.randrange(len(content) + 1)
    match chance.randrange(6):
        case 0 if content:
            content[place % len(content)] ^= 1 << chance.randrange(8)
        case 1 if content:
            content[place % len(content)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, ord("9"), ord("("), ord("'")))
        case 2:
            del content[place : place + chance.choice((1, 4, 64, 1 << 20))]
        case 3:
            content[place:place] = chance.randbytes(chance.choice((1, 4, 32)))
        case 4:
            other = chance.choice(seeds)
            start = chance.randrange(len(other) + 1)
            content[place:place] = other[start : start + 64]
        case 5:
            content[place : place + 4] = struct.pack("<I", chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 20)))
