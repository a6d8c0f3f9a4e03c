"""Damage a .tflite file, and run what the reader accepts in children whose deaths are counted."""

import faulthandler
import os
import random
import resource
import signal
import struct
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

import numpy as np

from larqnets.errors import LarqnetsError
from larqnets.tflite.reading import read_model

_INTERESTING = [0, 1, 2, 3, 4, 5, 8, 16, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]
_SECONDS = 20  # for one file in a child
_MEMORY = 4 << 30  # that a child may add


@cache
def structure(content: bytes) -> list[int]:
    """Return the positions of a file that are in no constant, aligned to 4."""
    inside = np.zeros(len(content), bool)
    for buffer in read_model(content).buffers:
        inside[buffer.start + 64 : buffer.start + buffer.size] = True
    return [p for p in range(0, len(content) - 3, 4) if not inside[p]]


def damaged(content: bytes, draw: random.Random) -> bytes:
    """Return a copy with one to four damages: a byte, a word, a word moved a little or copied from elsewhere, a cut."""
    result, places = bytearray(content), structure(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        place = draw.choice(places)
        kind = draw.randrange(7)
        (word,) = struct.unpack_from("<I", result, place)
        if kind == 0:
            result[place + draw.randrange(4)] = draw.randrange(256)
        elif kind == 1:
            word = draw.choice(_INTERESTING)
        elif kind == 2:
            word = (word + draw.choice((-8, -4, -2, -1, 1, 2, 4, 8, 256, 65536))) % 2**32
        elif kind == 3:
            (word,) = struct.unpack_from("<I", result, draw.choice(places))
        elif kind == 4:  # a reference to another place than that of its neighbour
            word = draw.choice(places) - place if draw.random() < 0.9 else len(content) - place
            word %= 2**32
        elif kind == 5:
            struct.pack_into("<H", result, place + draw.choice((0, 2)), draw.choice(_INTERESTING) & 0xFFFF)
        else:
            result[place + draw.randrange(4)] ^= 1 << draw.randrange(8)
        if kind in (1, 2, 3, 4):
            struct.pack_into("<I", result, place, word)
    if draw.random() < 0.01:
        del result[draw.randrange(len(result)) :]
    return bytes(result)


def accepted(content: bytes) -> bool:
    """Return whether the reader takes a file; anything but a LarqnetsError is an error."""
    try:
        read_model(content)
    except LarqnetsError:
        return False
    return True


def outcomes(files: Sequence[bytes], run: Callable[[bytes], bool]) -> list[int]:
    """Return for every file what `run` says in a child, 0 or 1, or minus the signal that killed it.

    An exception counts as 0. A child runs one file after another while it lives.
    """
    found: list[int] = []
    while len(found) < len(files):
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            _run_all(files[len(found) :], run, write)
        os.close(write)
        with os.fdopen(read, "rb") as said:
            found += said.read()
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            found.append(-os.WTERMSIG(status))
    return found


def _run_all(files: Sequence[bytes], run: Callable[[bytes], bool], write: int) -> NoReturn:
    """In the child: write a byte after every file that it survived."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    faulthandler.disable()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + _MEMORY, size + _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for content in files:
        signal.alarm(_SECONDS)
        try:
            said = run(content)
        except Exception:  # an engine may refuse a file in whatever words; what is counted here is death by a signal
            said = False
        os.write(write, bytes([said]))
    os._exit(0)
