"""Check the whole table tree of a .tflite file before anything reads it, as FlatBuffers' C++ Verifier does.

TFLite follows every offset of a file without a check. `verify` visits each that the schema (`schema_table.py`) knows, also
those that we never decode: signatures, sparsity, options of every op. The tables of one kind are checked together, so the
time grows with the size of the file and not with the number of its tables.
"""

from functools import cache

import numpy as np

from larqnets.tflite import schema_table
from larqnets.tflite.flatbuffer import FlatbufferError

# Of FlatBuffers' Verifier, whose limit the TFLite tools keep.
MAX_REFERENCES = 1_000_000


def verify(content: bytes) -> None:
    """Raise FlatbufferError unless every offset that a reader of the schema follows stays inside of `content`.

    Checked are the vtables, fields, vectors, strings (with their closing zero) and tables of unions by their types, and
    that each lies where its scalars are aligned. Fields, tables and union members that the schema does not have, as a newer
    version may write them, are not followed.
    """
    if not content:
        raise FlatbufferError("it is empty")
    _Verifier(content).tree()


@cache
def schema() -> tuple[dict[str, list[list[str]]], dict[str, dict[int, str]]]:
    """Return table -> (name, type) of its fields by slot, and union -> number -> table."""

    def rows(text: str) -> list[tuple[str, list[list[str]]]]:
        lines = (line.split(":") for line in text.replace("\n  ", " ").strip().splitlines())
        return [(name, [item.split() for item in items.split(",") if item.strip()]) for name, items in lines]

    return dict(rows(schema_table.TABLES)), {
        name: {int(number): table for number, table in members} for name, members in rows(schema_table.UNIONS)
    }


class _Verifier:
    """The positions still to be visited: of a table by its kind, of vectors and strings at once."""

    def __init__(self, content: bytes) -> None:
        self._size = len(content)
        self._bytes = np.frombuffer(content, np.uint8)
        self._halves, self._words = (self._bytes[: self._size // n * n].view(f"<u{n}") for n in (2, 4))
        self._tables: dict[str, list[np.ndarray]] = {}
        self._references_left = MAX_REFERENCES

    def tree(self) -> None:
        tables, unions = schema()
        self._refer("Model", self._follow(np.zeros(1, np.int64)))
        for kind, fields in tables.items():  # parents first, so that none of a kind is found after its turn
            found = self._tables.pop(kind, [])
            if found:
                self._visit(kind, np.unique(np.concatenate(found)), fields, unions)

    def _visit(self, kind: str, tables: np.ndarray, fields: list[list[str]], unions: dict[str, dict[int, str]]) -> None:
        """Check all tables of a kind, given by their positions, and note what they refer to."""
        self._check(tables, 4, kind)
        vtables = tables - self._words[tables // 4].view("<i4")
        self._check(vtables, 4, "vtable", align=2)
        vtable_sizes, sizes = (self._halves[vtables // 2 + i].astype(np.int64) for i in (0, 1))
        _refuse(vtables, (vtable_sizes < 4) | (vtable_sizes % 2 != 0), "the vtable at offset {} has an impossible size")
        self._check(vtables, vtable_sizes, "vtable")
        self._check(tables, sizes, kind)
        types = none = np.zeros(len(tables), np.uint8)
        for slot, (name, *target) in enumerate(fields):
            union_types, types = types, none
            if not target:
                continue
            entry = 4 + 2 * slot
            has = np.flatnonzero(vtable_sizes >= entry + 2)
            offsets = self._halves[(vtables[has] + entry) // 2].astype(np.int64)
            has, offsets = has[offsets > 0], offsets[offsets > 0]
            if not len(has):
                continue
            width = int(target[0]) if target[0].isdigit() else 4
            outside = (offsets < 4) | (offsets + width > sizes[has])
            _refuse(tables[has], outside, f"{name} of the {kind} at offset {{}} lies outside of the table")
            places = tables[has] + offsets
            self._check(places, width, f"{kind}'s {name}", align=width)
            if width == 1:
                types = none.copy()
                types[has] = self._bytes[places]
            elif not target[0].isdigit():
                self._reference(target[0], self._follow(places), union_types[has], unions)

    def _reference(self, target: str, places: np.ndarray, types: np.ndarray, unions: dict[str, dict[int, str]]) -> None:
        """Check or note what references lead to; `types`: for a union, its table at each place."""
        if target in unions:
            for number, table in unions[target].items():
                self._refer(table, places[types == number])
        elif target == "string":
            self._strings(places)
        elif not target.startswith("["):
            self._refer(target, places)
        elif target == "[string]":
            self._strings(self._follow(self._items(places)))
        elif target[1].isdigit():
            self._vectors(np.unique(places), int(target[1]))
        else:
            self._refer(target[1:-1], self._follow(self._items(places)))

    def _refer(self, kind: str, places: np.ndarray) -> None:
        if len(places):
            self._tables.setdefault(kind, []).append(places)

    def _follow(self, places: np.ndarray) -> np.ndarray:
        """Return where the references stored at aligned `places` lead."""
        self._check(places, 4, "reference", align=4)
        distances = self._words[places // 4].astype(np.int64)
        _refuse(places, distances == 0, "the reference at offset {} points to itself")
        self._check(places + distances, 4, "referenced part", align=4)
        return places + distances

    def _vectors(self, vectors: np.ndarray, width: int) -> np.ndarray:
        """Return the number of entries of vectors whose entries have `width` bytes."""
        counts = self._words[vectors // 4].astype(np.int64)
        self._check(vectors + 4, counts * width, "vector")
        return counts

    def _strings(self, strings: np.ndarray) -> None:
        strings = np.unique(strings)
        ends = strings + 4 + self._vectors(strings, 1)
        self._check(ends, 1, "string's end")
        _refuse(strings, self._bytes[ends] != 0, "the string at offset {} does not end with a zero")

    def _items(self, vectors: np.ndarray) -> np.ndarray:
        """Return the places of all entries of vectors of references."""
        vectors = np.unique(vectors)
        counts = self._vectors(vectors, 4)
        self._references_left -= int(counts.sum())
        if self._references_left < 0:
            raise FlatbufferError(f"it has more than {MAX_REFERENCES} references")
        starts = np.cumsum(counts) - counts
        return np.repeat(vectors + 4 - 4 * starts, counts) + 4 * np.arange(counts.sum())

    def _check(self, starts: np.ndarray, sizes: np.ndarray | int, what: str, align: int = 1) -> None:
        """Raise FlatbufferError unless all spans lie in the file and start at a multiple of `align`."""
        outside = np.flatnonzero((starts < 0) | (starts + sizes > self._size))
        if len(outside):
            first = outside[0]
            size = int(np.broadcast_to(sizes, starts.shape)[first])
            raise FlatbufferError(
                f"it is cut off or damaged, a {what} of {size} bytes at {int(starts[first])} lies outside its {self._size} bytes"
            )
        _refuse(starts, starts % align != 0, f"a {what} at offset {{}} does not start at a multiple of {align} bytes")


def _refuse(places: np.ndarray, wrong: np.ndarray, sentence: str) -> None:
    """Raise FlatbufferError with the first of the places that is wrong, if any."""
    if wrong.any():
        raise FlatbufferError(sentence.format(int(places[np.argmax(wrong)])))
