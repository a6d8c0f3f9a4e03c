"""The reader of the ops' options (native/options.h) against the flatbuffers library, and against damage."""

import ctypes
import struct
import subprocess

import pytest
from flatbuffers import flexbuffers
from hypothesis import given, settings
from hypothesis import strategies as st

from android_bench.runtime.compile import NATIVE, compiler
from larqnets import LarqnetsError

SOURCE = """
#include "options.h"
extern "C" int find(const uint8_t* data, size_t size, const char* name, int64_t* value) {
  return larqnets::OptionMap(data, size).find(name, value) ? 1 : 0;
}
"""


@pytest.fixture(scope="module")
def find(tmp_path_factory):
    """Look an option up: its value, or None. Reads beyond the end would meet a page that is not there."""
    folder = tmp_path_factory.mktemp("options")
    (folder / "find.cc").write_text(SOURCE)
    try:
        command = [*compiler("x86_64"), f"-I{NATIVE}", "-shared", "-fPIC", str(folder / "find.cc")]
    except LarqnetsError as error:
        pytest.skip(str(error))
    subprocess.run([*command, "-o", str(folder / "find.so")], check=True)
    library = ctypes.CDLL(str(folder / "find.so"))
    library.find.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p]
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
    libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    page = 4096
    pages = libc.mmap(None, 3 * page, 3, 0x22, -1, 0)
    assert libc.mprotect(pages, page, 0) == 0
    assert libc.mprotect(pages + 2 * page, page, 0) == 0

    def call(content, name):
        value = ctypes.c_int64()
        start = pages + 2 * page - len(content)  # ends where reading is forbidden
        ctypes.memmove(start, content, len(content))
        found = library.find(start, len(content), name.encode(), ctypes.byref(value))
        return value.value if found else None

    return call


names = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
numbers = st.one_of(st.integers(0, 3), st.integers(-(2**63), 2**63 - 1))


def packed(entries):
    builder = flexbuffers.Builder()
    with builder.Map():
        for name, value in entries.items():
            builder.Key(name)
            builder.Add(value) if isinstance(value, (bool, str, float)) else builder.Int(value)
    return bytes(builder.Finish())


@settings(max_examples=300, deadline=None)
@given(entries=st.dictionaries(names, numbers, min_size=1, max_size=12))
def test_integers_are_found_as_the_library_wrote_them(find, entries):
    content = packed(entries)
    assert {name: find(content, name) for name in entries} == entries
    assert find(content, "no such name") is None


def test_other_kinds_of_values(find):
    content = packed({"yes": True, "no": False, "text": "3", "real": 3.0, "stride": 2})
    assert [find(content, name) for name in ("yes", "no", "text", "real", "stride")] == [1, 0, None, None, 2]


@settings(max_examples=500, deadline=None)
@given(data=st.data(), entries=st.dictionaries(names, numbers, min_size=1, max_size=12))
def test_damage_is_never_followed(find, data, entries):
    content = bytearray(packed(entries))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(1, len(content))) :]
    for name in entries:
        value = find(bytes(content), name)
        assert value is None or -(2**63) <= value < 2**63


@settings(max_examples=500, deadline=None)
@given(content=st.binary(max_size=60))
def test_noise_is_never_followed(find, content):
    find(content, "a")
    find(content + struct.pack("BBB", 1, 9 << 2, 1), "a")
