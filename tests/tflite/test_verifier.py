"""The verifier against TensorFlow's own, against every file that its converter writes, and against damage."""

import os
import random
import struct
import time
from collections import Counter
from pathlib import Path

import damage
import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
from counted import calls_of
from foreign_files import FILES
from tensorflow.lite.python.schema_py_generated import BuiltinOptions

from deploy.run.interpreter import Interpreter
from larqnets.errors import LarqnetsError
from larqnets.tflite import derive_schema, schema_table, verifier
from larqnets.tflite.flatbuffer import UINT8, FlatbufferError, Reader
from larqnets.tflite.reading import read_model
from larqnets.tflite.verifier import schema, verify

SECONDS = float(os.environ.get("LARQNETS_FUZZ_SECONDS", "5"))
SEED = int(os.environ.get("LARQNETS_FUZZ_SEED", "1"))


def test_the_table_is_that_of_the_installed_schema():
    source = derive_schema.schema_source().read_text()
    assert derive_schema.render(source) == Path(schema_table.__file__).read_text()


def test_the_table_names_every_table_and_every_member_of_a_union():
    tables, unions = schema()
    targets = {name.strip("[]") for fields in tables.values() for _, *target in fields for name in target}
    scalars = {"1", "2", "4", "8", "string"}
    members = {table for union in unions.values() for table in union.values()}
    assert targets - scalars - unions.keys() <= tables.keys()
    assert members <= tables.keys()
    assert tables.keys() - {"Model"} == (targets - scalars - unions.keys()) | members


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_the_converter_is_accepted(name):
    content = FILES[name]()
    verify(content)
    read_model(content)


def places(content: bytes) -> dict[str, int]:
    """Return where references lie that the reader itself never follows."""
    root = Reader(content).root()
    graph = next(root.tables(2))
    signature = next(root.tables(7))
    operator = next(op for op in graph.tables(3) if op.scalar(3, UINT8) == BuiltinOptions.VarHandleOptions)
    tensor = next(graph.tables(0))
    return {
        "signatures": root._field(7, 4),
        "a signature": root.span(7, 4)[0],
        "names of a signature's inputs": next(signature.tables(0))._field(0, 4),
        "key of a signature": signature._field(2, 4),
        "name of a tensor": tensor._field(3, 4),
        "quantization of a tensor": tensor._field(4, 4),
        "options of an op": operator._field(4, 4),
        "name of a variable": operator.table(4)._field(1, 4),
    }


HIDDEN = sorted(places(FILES["signatures"]()))


@pytest.mark.parametrize("distance", [0, 2, 0x7FFFFFFC, 0xFFFFFFFC], ids=hex)
@pytest.mark.parametrize("name", HIDDEN)
def test_no_reference_may_leave_the_file(name, distance):
    content = bytearray(FILES["signatures"]())
    struct.pack_into("<I", content, places(bytes(content))[name], distance)
    with pytest.raises(LarqnetsError, match="is not a valid TFLite model"):
        read_model(bytes(content))


def test_a_string_ends_with_a_zero():
    content = FILES["signatures"]()
    key = content.index(b"difference\0")
    with pytest.raises(FlatbufferError, match="does not end with a zero"):
        verify(content[: key + 10] + b"!" + content[key + 11 :])


def test_an_empty_file_and_one_of_a_single_byte():
    for content in (b"", b"\1"):
        with pytest.raises(FlatbufferError):
            verify(content)


def vectors_in_vectors(levels: int, entries: int) -> bytes:
    """A model whose `levels` subgraph vectors overlap: one entry, another file's whole vector."""
    builder = flatbuffers.Builder(0)
    builder.StartObject(0)
    leaf = builder.EndObject()
    builder.StartVector(4, entries, 4)
    for _ in range(entries):
        builder.PrependUOffsetTRelative(leaf)
    tensors = builder.EndVector()
    graphs = []
    for _ in range(levels):
        builder.StartObject(6)
        builder.PrependUOffsetTRelativeSlot(0, tensors, 0)
        graphs.append(builder.EndObject())
    builder.StartVector(4, levels, 4)
    for graph in graphs:
        builder.PrependUOffsetTRelative(graph)
    subgraphs = builder.EndVector()
    builder.StartObject(10)
    builder.PrependUOffsetTRelativeSlot(2, subgraphs, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"TFL3")
    return bytes(builder.Output())


def places_checked(content: bytes, monkeypatch) -> int:
    """Return how many places of a file its verification looks at."""
    looked = 0

    class Counting(verifier._Verifier):
        def _check(self, starts: np.ndarray, *arguments: object, **options: int) -> None:
            nonlocal looked
            looked += len(starts)
            super()._check(starts, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(verifier, "_Verifier", Counting)
        verifier.verify(content)
    return looked


def test_parts_that_are_used_often_are_checked_once(monkeypatch):
    """Two thousand graphs, each of the same two thousand tensors: four million in a file of 32 kB."""
    shared = places_checked(vectors_in_vectors(2000, 2000), monkeypatch)
    graphs = places_checked(vectors_in_vectors(2000, 1), monkeypatch)
    tensors = places_checked(vectors_in_vectors(1, 2000), monkeypatch)
    assert shared == graphs + tensors - places_checked(vectors_in_vectors(1, 1), monkeypatch)


def test_a_file_of_more_references_than_any_honest_one():
    with pytest.raises(FlatbufferError, match="more than 1000000 references"):
        verify(vectors_in_vectors(1, 1_000_001))


def test_the_work_does_not_grow_with_the_number_of_tables():
    """Tables are checked a kind at a time; what grows are the arrays of their positions."""
    few, many = vectors_in_vectors(15, 9), vectors_in_vectors(150_000, 900)
    assert len(many) > 1000 * len(few)
    verify(few)  # which reads the schema, once
    assert calls_of(verify, many) == calls_of(verify, few)


def test_weights_are_not_looked_at(monkeypatch):
    def network(size: int) -> bytes:
        weights = np.random.default_rng(0).normal(size=(size, size)).astype(np.float32)
        function = tf.function(lambda x: tf.matmul(x, tf.constant(weights)), input_signature=[tf.TensorSpec((1, size))])
        return tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()]).convert()

    small, large = network(16), network(1600)
    assert len(large) > 10_000_000
    assert places_checked(large, monkeypatch) == places_checked(small, monkeypatch)
    assert calls_of(verify, large) == calls_of(verify, small)


def _tensorflow_accepts(content: bytes) -> bool:
    try:
        tf.lite.Interpreter(model_content=content)
    except ValueError as error:
        return "not a valid Flatbuffer" not in str(error)
    return True


def _verifies(content: bytes) -> bool:
    try:
        verify(content)
    except FlatbufferError:
        return False
    return True


def test_what_flatbuffers_own_verifier_refuses_is_refused():
    """TensorFlow's interpreter runs that verifier, then parses the file, which may kill it: in children."""
    draw = random.Random(SEED)
    files = [damage.damaged(FILES[draw.choice(list(FILES))](), draw) for _ in range(600)]
    files = [file for file in files if file[4:8] == b"TFL3"]
    ours = [file for file in files if _verifies(file)]
    refused = [file for file in files if not _verifies(file)]
    assert 0 not in damage.outcomes(ours, _tensorflow_accepts)
    # We also demand that fields lie inside of their table, which FlatBuffers' does not; nearly all refusals are common.
    assert damage.outcomes(refused, _tensorflow_accepts).count(0) > 0.9 * len(refused)


def _run(content: bytes) -> bool:
    model = Interpreter(content)
    model.predict([np.zeros(shape, kind) for shape, kind in zip(model.input_shapes, model.input_types, strict=True)])
    return True


def test_damaged_files_that_are_accepted_rarely_kill_the_engine():
    """LARQNETS_FUZZ_SECONDS says how long, LARQNETS_FUZZ_SEED which.

    Reading must never fail otherwise than with a sentence. What still kills the engine are sizes that no memory holds, about
    one file in a thousand, and loops without end; commands therefore run files in a child.
    """
    draw, end, counts = random.Random(SEED), time.monotonic() + SECONDS, Counter()
    while time.monotonic() < end:
        batch: list[bytes] = []
        while len(batch) < 100:
            file = damage.damaged(FILES[draw.choice(list(FILES))](), draw)
            counts["drawn"] += 1
            if damage.accepted(file):
                batch.append(file)
        found = damage.outcomes(batch, _run)
        counts["run"] += len(batch)
        counts["dead"] += sum(code < 0 for code in found)
    print(dict(counts))
    assert counts["run"] > counts["drawn"] / 10
    assert counts["dead"] <= 2 + counts["run"] / 500, counts
