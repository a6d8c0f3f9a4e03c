"""Codes and .cbd files: exact, as long as predicted, small beyond doubt, and proof against any bytes."""

import random
import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from larqnets.decompose import Tensor, codes, container, gf2, pack, unpack
from larqnets.decompose.codes import ALLOWED, NAMES, Choice, DamagedError, Reader
from larqnets.errors import LarqnetsError

CODES = sorted(ALLOWED)


@st.composite
def matrices(draw):
    """Integers as a step of a heavy-tailed layer leaves them, and worse."""
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    spread = draw(st.sampled_from([0, 0.3, 3, 100, 1e5, 3e8]))
    values = generator.standard_t(3, (height, width)) * spread
    return np.clip(np.rint(values), -(2**31) + 1, 2**31 - 1).astype(np.int32)


@st.composite
def planes(draw):
    matrix = draw(matrices())
    return np.abs(matrix) > draw(st.sampled_from([0, 1, 5]))


@settings(deadline=None)
@given(planes(), st.sampled_from(CODES))
def test_a_plane_survives_every_code_and_takes_the_predicted_bytes(plane, code):
    choice = codes.choose(plane, code)
    assert choice.mode in ALLOWED[code]
    assert choice.ones == np.count_nonzero(plane)
    check_plane(plane, choice)


@settings(deadline=None)
@given(planes(), st.integers(0, 5))
def test_each_code_is_exact_also_where_it_is_not_the_cheapest(plane, rice):
    best = codes.choose(plane, "all").bytes
    for mode in range(len(NAMES)):
        data = codes.encode(plane, Choice(mode, 0, 0, rice=rice if rice <= codes.index_width(plane.size) else 0))
        reader = Reader(data)
        if mode == codes.GF2 and len(data) > 1 + (plane.size + 7) // 8:
            with pytest.raises(DamagedError, match="are larger than their plane of"):
                codes.decode(reader, *plane.shape)
            continue
        assert np.array_equal(codes.decode(reader, *plane.shape), plane.ravel())
        assert reader.left == 0
        assert len(data) >= best or mode == codes.RICE  # whose parameter is estimated


def check_plane(plane, choice):
    data = codes.encode(plane, choice)
    assert len(data) == choice.bytes
    reader = Reader(data + b"more")
    assert np.array_equal(codes.decode(reader, *plane.shape), plane.ravel())
    assert reader.left == 4


@pytest.mark.parametrize("density", [0.001, 0.01, 0.1, 0.3, 0.45])
def test_the_rice_parameter_is_within_a_thousandth_of_the_best(density):
    plane = np.random.default_rng(5).random((300, 300)) < density
    chosen = codes.choose(plane, "rice")
    every = [len(codes.encode(plane, Choice(codes.RICE, 0, 0, rice=r))) for r in range(17)]
    assert chosen.bytes <= min(*every, plane.size / 8 + 1) * 1.001


@settings(deadline=None)
@given(matrices(), st.sampled_from(CODES), st.booleans(), st.integers(0, 3))
def test_a_record_is_as_long_as_planned_and_gives_the_tensor_back(matrix, code, nonzero, divisor):
    scales = matrix.shape[0] // divisor if divisor and matrix.shape[0] % divisor == 0 else 0
    scale = np.linspace(0.1, 0.7, scales).astype(np.float32) if scales else np.float32(np.pi)
    tensor = Tensor("w", matrix, scale)
    plan = container.plan(matrix, scales, code, nonzero)
    record = container.encode(tensor, plan)
    assert len(record) == plan.bytes
    data = pack([tensor], b"rest", code, nonzero)
    assert record in data
    same([tensor], b"rest", data)


def same(tensors, rest, data):
    read, read_rest = unpack(data)
    assert read_rest == rest
    assert [tensor.name for tensor in read] == [tensor.name for tensor in tensors]
    for tensor, expected in zip(read, tensors, strict=True):
        assert np.array_equal(tensor.codes, expected.codes)
        assert tensor.codes.dtype == np.int32
        assert tensor.scale.dtype == np.float32
        # a record of int8 integers knows no difference between one scale and one channel
        assert np.array_equal(np.ravel(tensor.scale), np.ravel(expected.scale))


def test_the_plain_record_is_byte_for_byte_as_specified():
    matrix = np.array([[3, 0, -1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 0, -2]], np.int32)
    record = container.encode(Tensor("w", matrix, np.float32(0.5)), container.plan(matrix, 0, "index", False))
    head = b"CBDP" + struct.pack("<IIfBB", 2, 9, 0.5, 2, 5)
    signs = bytes([0b00100000, 0, 0b01000000])
    dense = [b"\0" + bytes([0b10100000, 0, 0]), b"\0" + bytes([0b10000000, 0, 0b01000000])]
    assert record == head + signs + b"".join(dense)


def test_an_index_list_and_a_rice_code_byte_for_byte():
    plane = np.zeros((4, 64), bool)
    plane.ravel()[[1, 7, 200]] = True
    assert codes.encode(plane, Choice(codes.INDEX, 0, 0)) == b"\1" + struct.pack("<I", 3) + bytes([1, 7, 200])
    # gaps 1, 5, 192 with r = 5: quotients 0, 0, 6, then the remainders 1, 5, 0 of five bits each
    bits = "1" + "1" + "0000001" + "00001" + "00101" + "00000"
    payload = int(bits.ljust(24, "0"), 2).to_bytes(3, "big")
    assert codes.encode(plane, Choice(codes.RICE, 0, 0, rice=5)) == b"\2" + struct.pack("<IB", 3, 5) + payload


def test_int8_integers_take_eight_bits_at_most():
    matrix = np.random.default_rng(0).integers(-128, 128, (64, 64), dtype=np.int32)
    plan = container.plan(matrix, 64)
    assert plan.kind == b"CBDI"
    assert plan.bytes == 16 + 4 * 64 + matrix.size
    same([t := Tensor("w", matrix, np.ones(64, np.float32))], b"", pack([t], b""))


def test_a_tensor_of_zeros_keeps_to_the_weights_per_byte():
    tensor = Tensor("zeros", np.zeros((1000, 1000), np.int32))
    data = pack([tensor], b"")
    assert len(data) > 1_000_000 / container.MAX_WEIGHTS_PER_BYTE
    same([tensor], b"", data)


def sample() -> bytes:
    """A file with every kind of record and every code, 5 tensors, small."""
    generator = np.random.default_rng(7)
    body = np.rint(generator.standard_t(3, (12, 30)) * 3).astype(np.int32)
    low_rank = np.outer(np.arange(64) % 2, np.arange(64) % 3 == 0).astype(np.int32)
    tensors = [
        (Tensor("plain", body, np.float32(0.1)), "all", False),
        (Tensor("channels", body, np.linspace(1, 2, 12).astype(np.float32)), "rice", True),
        (Tensor("factors", low_rank), "all", True),
        (Tensor("index", (generator.random((40, 40)) < 0.002).astype(np.int32)), "index", False),
        (Tensor("int8", generator.integers(-128, 128, (12, 30), dtype=np.int32), np.ones(12, np.float32)), "all", True),
    ]
    parts = []
    for tensor, code, nonzero in tensors:
        data = pack([tensor], b"", code, nonzero)
        parts.append(data[16 : len(data) - 8 - len(zlib.compress(b"", 9))])
    packed = zlib.compress(b"the rest " * 20, 9)
    return framed(b"".join(parts) + struct.pack("<II", 180, len(packed)) + packed, len(tensors))


def framed(body: bytes, count: int) -> bytes:
    """A head that fits the body, as an attacker would write it."""
    return b"CBDF" + struct.pack("<III", 1, count, zlib.crc32(body)) + body


def test_the_sample_has_every_kind_and_code():
    tensors, rest = unpack(sample())
    assert [tensor.name for tensor in tensors] == ["plain", "channels", "factors", "index", "int8"]
    assert rest == b"the rest " * 20
    for kind in (b"CBDP", b"CBDS", b"CBDQ", b"CBDI"):
        assert kind in sample()


def refused(data: bytes) -> bool:
    """Unpack anything: it must work or end in one sentence."""
    sentence = None
    try:
        unpack(data)
    except LarqnetsError as error:
        sentence = str(error)
    assert sentence is None or (sentence.endswith(".") and "\n" not in sentence)
    return sentence is not None


def test_every_truncation_is_refused():
    data = sample()
    for length in range(len(data)):
        assert refused(data[:length])
        assert length < 16 or refused(framed(data[16:length], 5))


def test_a_flipped_bit_is_noticed():
    data = sample()
    for position in range(len(data)):
        assert refused(data[:position] + bytes([data[position] ^ 1 << position % 8]) + data[position + 1 :])


@pytest.mark.parametrize(("cases", "traced"), [(4000, False), (200, True)])
def test_mutated_files_end_in_a_sentence_and_in_little_memory(cases, traced):
    data, generator = sample(), random.Random(11 + traced)
    refusals = 0
    if traced:
        tracemalloc.start()
    for _ in range(cases):
        body = bytearray(data[16:])
        for _ in range(generator.choice([1, 1, 2, 8])):
            position = generator.randrange(len(body))
            action = generator.randrange(4)
            if action == 0:
                body[position] = generator.randrange(256)
            elif action == 1:
                body[position : position + 4] = generator.choice([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\0\0\0\x10"])
            elif action == 2:
                del body[position : position + generator.randrange(1, 9)]
            else:
                body[position:position] = generator.randbytes(generator.randrange(1, 9))
        refusals += refused(framed(bytes(body), generator.choice([5, 5, 5, 0, 2**32 - 1])))
    assert refusals > cases / 4
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # 64 weights per byte in 4-byte integers and a few copies of them: some hundred times the file, never what it claims
    assert peak < 2000 * len(data)


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=300))
def test_arbitrary_bytes(body):
    refused(framed(body, 1))
    refused(framed(struct.pack("<H", 1) + b"w" + b"CBDP" + body, 1))
    refused(framed(struct.pack("<H", 1) + b"wCBDQ" + struct.pack("<IIfBB", 8, 8, 1.0, 3, 6) + body, 1))


def record(head: bytes) -> bytes:
    rest = zlib.compress(b"")
    return framed(struct.pack("<H", 1) + b"w" + head + struct.pack("<II", 0, len(rest)) + rest, 1)


def oversized(side: int, rank: int) -> bytes:
    """A square record with one plane of random factors."""
    head = b"CBDP" + struct.pack("<IIfBB", side, side, 1, 1, codes.index_width(side * side)) + bytes(side * side // 8)
    return head + b"\3" + struct.pack("<I", rank) + random.Random(rank).randbytes(2 * side * rank // 8)


def test_the_largest_factors_that_are_smaller_than_their_plane_are_read():
    tensors, _ = unpack(record(oversized(64, 31)))  # 4 + 2 x 64 x 31 / 8 = 500 bytes for 512
    assert tensors[0].codes.any()


@settings(deadline=None)
@given(planes(), st.sampled_from(CODES), st.booleans())
def test_the_writer_takes_factors_only_where_they_are_smaller_than_the_plane(plane, code, rank_is_known):
    """So the reader may refuse larger ones."""
    rank = gf2.rank(gf2.row_integers(plane)) if rank_is_known else None
    choice = codes.choose(plane, code, rank)
    if choice.mode == codes.GF2:
        assert choice.bytes < 1 + (plane.size + 7) // 8


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "does not begin with CBDF"),
        (b"TFL3" + bytes(40), "does not begin with CBDF"),
        (b"CBDF" + struct.pack("<III", 2, 0, 0), "version 2"),
        (b"CBDF" + struct.pack("<III", 1, 0, 0) + b"x", "checksum"),
        (framed(b"", 1), "the name of a tensor"),
        (framed(struct.pack("<H", 1) + b"\xff", 1), "not UTF-8"),
        (record(b"CBDP" + struct.pack("<IIfBB", 2**31, 2**31, 1, 0, 0)), "more than the file can hold"),
        (record(b"CBDP" + struct.pack("<IIfBB", 0, 5, 1, 0, 0)), "more than the file can hold"),
        (record(b"CBDP" + struct.pack("<IIfBB", 2, 8, np.nan, 0, 4) + b"12"), "a scale is not a number"),
        (record(b"CBDP" + struct.pack("<IIfBB", 2, 8, 1, 32, 4) + b"12"), "32 planes"),
        (record(b"CBDP" + struct.pack("<IIfBB", 2, 8, 1, 1, 4) + b"12" + b"\4"), "no code with the number 4"),
        (record(b"CBDP" + struct.pack("<IIfBB", 2, 8, 1, 1, 4) + b"12\1" + struct.pack("<I", 17)), "17 ones"),
        (record(b"CBDP" + struct.pack("<IIfBB", 2, 8, 1, 1, 4) + b"12\1\2\0\0\0\x55"), "ascending"),
        (record(b"CBDP" + struct.pack("<IIfBB", 2, 8, 1, 1, 4) + b"12\2\1\0\0\0\7\0"), "parameter 7"),
        (
            record(b"CBDP" + struct.pack("<IIfBB", 2, 8, 1, 1, 4) + b"12\3\3\0\0\0"),
            "factors of the rank 3 are larger than",
        ),
        # all bytes are there, and the rank is possible: 2 x 64 x 33 bits of factors for 64 x 64 weights
        (record(oversized(64, 33)), "factors of the rank 33 are larger than their plane of 64 x 64"),
        (record(b"CBDR" + struct.pack("<IIfBB", 2, 8, 0, 0, 4) + struct.pack("<I", 3)), "3 scales do not fit 2 rows"),
        (record(b"CBDI" + struct.pack("<III", 2, 8, 0)), "0 scales do not fit 2 rows"),
        (record(b"CBDX" + struct.pack("<IIfBB", 2, 8, 1, 0, 4)), "unknown kind"),
        (framed(struct.pack("<II", 2**31, 8) + bytes(8), 0), "cannot hold the rest"),
        (framed(struct.pack("<II", 9, 8) + bytes(8), 0), "no zlib stream"),
        (framed(struct.pack("<II", 9, 9) + zlib.compress(b"x"), 0), "does not have its 9 bytes"),
        (framed(struct.pack("<II", 1, 9) + zlib.compress(b"x") + b"more", 0), "4 bytes follow its end"),
    ],
)
def test_what_is_wrong_is_said(data, sentence):
    with pytest.raises(LarqnetsError, match=sentence):
        unpack(data)


@pytest.mark.parametrize(
    ("tensors", "sentence"),
    [
        ([Tensor("a", np.ones((1, 1), np.int32))] * 2, "same name"),
        ([Tensor("a", np.ones((2, 2), np.float32))], "no matrix of integers"),
        ([Tensor("a", np.ones(3, np.int32))], "no matrix of integers"),
        ([Tensor("a", np.ones((0, 3), np.int32))], "no matrix of integers"),
        ([Tensor("a", np.array([[2**31]]))], "more than 31 bits"),
        ([Tensor("a", np.ones((4, 2), np.int32), np.ones(3, np.float32))], "a divisor of its rows"),
        ([Tensor("a", np.ones((4, 2), np.int32), np.float32(np.inf))], "one finite scale"),
        ([Tensor("a" * 70_000, np.ones((1, 1), np.int32))], "too long"),
    ],
)
def test_what_cannot_be_packed_is_said(tensors, sentence):
    with pytest.raises(LarqnetsError, match=sentence):
        pack(tensors, b"")


def test_unpacking_needs_numpy_alone():
    program = (
        "import sys; from larqnets.decompose import pack, unpack, Tensor; import numpy as np\n"
        "unpack(pack([Tensor('w', np.arange(12).reshape(3, 4))], b'rest', 'all'))\n"
        "print(sorted(m for m in ('tensorflow', 'scipy', 'larq', 'keras', 'tf_keras') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_scipy_the_sound_mode_works_and_a_cover_says_what_to_install():
    program = (
        "import sys; sys.modules['scipy'] = sys.modules['scipy.sparse'] = None\n"
        "from larqnets.decompose import Settings, decompose_kernel; import numpy as np\n"
        "kernel = np.random.default_rng(0).standard_normal((3, 3, 8, 8))\n"
        "decompose_kernel(kernel, Settings(protect_small=False))\n"
        "decompose_kernel(kernel, Settings(mode='paper'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert "line 5" in done.stderr
    assert done.stderr.strip().endswith('need scipy, which is not installed: pip install "larqnets[train]"')
