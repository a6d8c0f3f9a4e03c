"""Files of weights alone, of strangers: .npz, .safetensors, and where PyTorch is installed its own .pt and .pth.

A .safetensors is a length in 8 bytes (little-endian), so many bytes of JSON, {name: {"dtype", "shape", "data_offsets"}}, and
the values one after another without a gap; the offsets count from the end of the JSON. It is read here, so no package is
needed for it.
"""

import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np

from larqnets import arrays
from larqnets.arrays import open_at_once
from larqnets.documents import parse_json
from larqnets.errors import LarqnetsError, excerpt, first_line

MAX_ARRAYS = 10_000
_MAX_HEADER = 16 << 20
_DTYPES = {
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
    **{f"{sign}{8 * size}": f"<{sign.lower()}{size}" for sign in "IU" for size in (1, 2, 4, 8)},
    "BF16": "<u2",  # the upper half of a float32
}
_TO_NPZ = (
    "python -c \"import numpy, torch; d = torch.load('{}', map_location='cpu', weights_only=True); "
    "numpy.savez('{}', **{{k: v.float().numpy() for k, v in d.get('state_dict', d).items()}})\""
)


class _DamagedError(ValueError):
    """What is wrong with a file, as a clause to follow a colon."""


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file by name.

    Raises LarqnetsError when it cannot be read, holds anything but finite real numbers, or needs PyTorch where there is none.
    """
    check_readable(path)
    if path.suffix == ".npz":
        names: list[str] = []

        def judge(headers: dict[str, arrays.Header]) -> list[str]:
            names.extend(headers)
            return names

        found = dict(zip(names, arrays.read_arrays(path, judge, MAX_ARRAYS), strict=True))
    elif path.suffix == ".safetensors":
        found = _read_safetensors(path)
    else:
        found = _read_torch(path)
    for name, array in found.items():
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            raise LarqnetsError(
                f"The array '{excerpt(name)}' of {path} holds something other than finite numbers. Mend the file."
            )
    return found


def check_readable(path: Path) -> None:
    """Raise LarqnetsError when there is no such file, or it needs PyTorch, which is not installed."""
    if not path.is_file():
        raise LarqnetsError(f"There is no file {path}. Check the path.")
    if path.suffix in (".pt", ".pth") and find_spec("torch") is None:
        line = _TO_NPZ.format(path, path.with_suffix(".npz").name)
        raise LarqnetsError(
            f"{path} is a PyTorch checkpoint, which PyTorch alone reads, and it is not installed here. Where it is, this "
            f"line makes a .npz of it: {line}"
        )


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        with open_at_once(path) as file:
            return _values(file, path.stat().st_size)
    except (OSError, ValueError, MemoryError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__
        raise LarqnetsError(
            f"{path} cannot be read as a .safetensors file: {excerpt(reason)}. Get it again, or write it anew."
        ) from error


def _values(file: IO[bytes], size: int) -> dict[str, np.ndarray]:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > size - 8:
        raise _DamagedError(f"its header should have {length} bytes, and the file has {size}")
    if length > _MAX_HEADER:
        raise _DamagedError(f"its header has {length} bytes, more than {_MAX_HEADER}")
    entries = parse_json(file.read(length).decode())
    if not isinstance(entries, dict):
        raise _DamagedError("its header is no JSON object")
    entries.pop("__metadata__", None)
    if len(entries) > MAX_ARRAYS:
        raise _DamagedError(f"it holds {len(entries)} arrays, more than {MAX_ARRAYS}")
    places = sorted((_place(name, entry), name) for name, entry in entries.items())
    found, here = {}, 0
    for (begin, end, dtype, shape), name in places:
        if begin != here or end > size - 8 - length:
            raise _DamagedError(f"the values of '{name}' are not where they should be")
        here, found[name] = end, _array(file.read(end - begin), dtype, shape)
    if here != size - 8 - length:
        raise _DamagedError("there is more in it than its header speaks of")
    return found


def _place(name: str, entry: Any) -> tuple[int, int, str, tuple[int, ...]]:
    """Return (begin, end, dtype, shape) of an array, which fit together."""
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str) or entry["dtype"] not in _DTYPES:
        raise _DamagedError(f"the entry of '{name}' names no type of numbers that is known here")
    shape, offsets = _counts(entry.get("shape")), _counts(entry.get("data_offsets"))
    if shape is None or offsets is None or len(offsets) != 2 or len(shape) > 32:
        raise _DamagedError(f"the entry of '{name}' has no shape or no place")
    begin, end = offsets
    if end - begin != math.prod(shape) * np.dtype(_DTYPES[entry["dtype"]]).itemsize:
        raise _DamagedError(f"the shape of '{name}' does not fit its {end - begin} bytes")
    return begin, end, entry["dtype"], shape


def _counts(value: Any) -> tuple[int, ...] | None:
    """Return a list of whole numbers from 0 on as a tuple, None for anything else."""
    whole = isinstance(value, list) and all(type(number) is int and number >= 0 for number in value)
    return tuple(value) if whole else None


def _array(content: bytes, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    values = np.frombuffer(content, _DTYPES[dtype]).reshape(shape)
    if dtype == "BF16":
        return (values.astype("<u4") << 16).view("<f4")
    return values


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    import torch  # pyright: ignore[reportMissingImports]  # nothing here depends on it; `check_readable` has looked

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        content = content.get("state_dict", content) if isinstance(content, Mapping) else content
        return {str(name): tensor.detach().float().numpy() for name, tensor in content.items()}
    except Exception as error:  # what pickle, zipfile and torch raise on files of strangers
        raise LarqnetsError(
            f"{path} is no checkpoint of weights alone: {excerpt(first_line(error))}. Save it with torch.save(model.state_dict(), FILE)."
        ) from error
