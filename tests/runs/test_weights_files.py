"""Files of weights alone: the same arrays from every format, and a sentence for everything that is none."""

import json
import pickle
import struct
import sys
import types
from importlib.util import find_spec

import numpy as np
import pytest

from larqnets.errors import LarqnetsError
from larqnets.runs import weights_files
from larqnets.runs.weights_files import read_weights

RNG = np.random.default_rng(0)
ARRAYS = {
    "conv.weight": RNG.normal(size=(4, 3, 2, 2)).astype(np.float32),
    "half": RNG.normal(size=(5,)).astype(np.float16),
    "steps": np.array(7, np.int64),
    "none": np.zeros((0, 3), np.float64),
}
DTYPES = {"float32": "F32", "float16": "F16", "int64": "I64", "float64": "F64"}


def safetensors(arrays, change=lambda header: header, tail=b""):
    """The bytes of a file, written by the description of the format."""
    header, content = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        begin, content = len(content), content + array.tobytes()
        header[name] = {"dtype": DTYPES[array.dtype.name], "shape": array.shape, "data_offsets": [begin, len(content)]}
    text = json.dumps(change(header)).encode()
    return struct.pack("<Q", len(text)) + text + content + tail


def test_arrays_come_back_from_both_formats_with_their_bits(tmp_path):
    np.savez(tmp_path / "w.npz", **ARRAYS)
    (tmp_path / "w.safetensors").write_bytes(safetensors(ARRAYS))
    for file in ("w.npz", "w.safetensors"):
        found = read_weights(tmp_path / file)
        assert found.keys() == ARRAYS.keys()
        for name, array in ARRAYS.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_bfloat16_is_the_upper_half_of_a_float(tmp_path):
    values = np.array([1.0, -2.5, 3.140625], np.float32)  # exact in eight bits
    halves = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = json.dumps({"x": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + halves)
    np.testing.assert_array_equal(read_weights(tmp_path / "x.safetensors")["x"], values)


def entry(**changes):
    return lambda header: header | {"conv.weight": header["conv.weight"] | changes}


WRONG = {
    "empty": b"",
    "short": b"abc",
    "huge header": struct.pack("<Q", 2**62) + b"{}",
    "long header": struct.pack("<Q", (16 << 20) + 1) + bytes((16 << 20) + 1),
    "no json": struct.pack("<Q", 4) + b"{{{{",
    "deep json": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "a list": struct.pack("<Q", 2) + b"[]",
    "cut": safetensors(ARRAYS)[:-3],
    "more": safetensors(ARRAYS, tail=b"x"),
    "type": safetensors(ARRAYS, entry(dtype="C64")),
    "no type": safetensors(ARRAYS, entry(dtype=["F32"])),
    "shape": safetensors(ARRAYS, entry(shape=[4, 3, 2, 3])),
    "huge shape": safetensors(ARRAYS, entry(shape=[2**40, 2**40])),
    "negative": safetensors(ARRAYS, entry(shape=[-4, -3, 2, 2])),
    "truth": safetensors(ARRAYS, entry(shape=[True, 48])),
    "overlap": safetensors(ARRAYS, entry(data_offsets=[10, 202])),
    "beyond": safetensors(ARRAYS, entry(shape=[2**20], data_offsets=[0, 2**22])),
    "backwards": safetensors(ARRAYS, entry(data_offsets=[192, 0])),
    "one offset": safetensors(ARRAYS, entry(data_offsets=[192])),
    "pickle": pickle.dumps({"a": 1}),
}


@pytest.mark.parametrize("case", WRONG)
def test_damaged_and_hostile_safetensors_are_told_in_a_sentence(tmp_path, case):
    path = tmp_path / "w.safetensors"
    path.write_bytes(WRONG[case])
    with pytest.raises(
        LarqnetsError, match=r"w\.safetensors cannot be read as a \.safetensors file: .{5,}\. Get it again"
    ):
        read_weights(path)


def test_npz_of_strangers_are_told_in_a_sentence(tmp_path):
    path = tmp_path / "w.npz"
    for content in (b"", b"PK\x03\x04 half of a zip", b"text", pickle.dumps({"a": 1})):
        path.write_bytes(content)
        with pytest.raises(LarqnetsError, match=r"cannot be read as a \.npy array"):
            read_weights(path)
    np.savez(path, a=np.array([{}], object))
    with pytest.raises(LarqnetsError, match="cannot be read"):
        read_weights(path)
    np.savez(path, **{f"a{i}": np.zeros(1) for i in range(300)})  # a network may have more arrays than a file of inputs
    assert len(read_weights(path)) == 300


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_named(tmp_path, value):
    array = np.array([1, value], np.float32)
    np.savez(tmp_path / "w.npz", a=array)
    (tmp_path / "w.safetensors").write_bytes(safetensors({"a": array}))
    for file in ("w.npz", "w.safetensors"):
        with pytest.raises(LarqnetsError, match=r"The array 'a' of .* other than finite numbers"):
            read_weights(tmp_path / file)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".pt"])
def test_a_file_that_is_not_there(tmp_path, suffix):
    with pytest.raises(LarqnetsError, match="There is no file"):
        read_weights(tmp_path / f"absent{suffix}")


def test_without_torch_a_line_says_how_a_checkpoint_becomes_a_npz(tmp_path, monkeypatch):
    monkeypatch.setattr(weights_files, "find_spec", lambda name: None)
    (tmp_path / "w.pt").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(LarqnetsError, match="PyTorch alone reads, and it is not installed here") as error:
        read_weights(tmp_path / "w.pt")
    line = str(error.value).split('python -c "')[1].rstrip('"')
    compile(line, "line", "exec")
    assert "weights_only=True" in line


class Runs:
    """What a hostile pickle does when it is opened."""

    def __reduce__(self):
        return (print, ("it ran",))


class Tensor:
    """As much of PyTorch's tensor as is asked for."""

    def __init__(self, values):
        self.values = values

    def detach(self):
        return self

    def float(self):
        return Tensor(self.values.astype(np.float32))

    def numpy(self):
        return self.values


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_checkpoint_is_asked_for_its_weights_alone(tmp_path, monkeypatch, wrapped):
    """PyTorch is too large for a test of one function: this one stands in for it. Where it is installed the next test runs."""
    path, calls = tmp_path / "w.pt", []
    path.write_bytes(b"PK")
    tensors = {name: Tensor(array) for name, array in ARRAYS.items()}

    def load(given, **options):
        calls.append((given, options))
        return {"state_dict": tensors, "epoch": 3} if wrapped else tensors

    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(load=load))
    monkeypatch.setattr(weights_files, "find_spec", lambda name: object())
    found = read_weights(path)
    assert calls == [(path, {"map_location": "cpu", "weights_only": True})]
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array.astype(np.float32))


if find_spec("torch") is not None:

    def test_a_checkpoint_is_read_without_running_anything(tmp_path, capsys):
        import torch

        path = tmp_path / "w.pt"
        tensors = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}
        for content in (tensors, {"state_dict": tensors, "epoch": 3}):
            torch.save(content, path)
            found = read_weights(path)
            for name, array in ARRAYS.items():
                np.testing.assert_array_equal(found[name], array.astype(np.float32))
        for content in (b"", b"PK\x03\x04", pickle.dumps(Runs()), pickle.dumps([1, 2])):
            path.write_bytes(content)
            with pytest.raises(LarqnetsError, match="is no checkpoint of weights alone"):
                read_weights(path)
        assert "it ran" not in capsys.readouterr().out
