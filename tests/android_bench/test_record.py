"""The record: what is written is read back, what is not a session is refused in one sentence."""

import dataclasses
import hashlib
import json
import re
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sessions import model, rounds, session

from android_bench import record
from android_bench.emulation.qemu import Count, OpCount
from android_bench.record import MAX_SAMPLES, parse_session, read_session, thin, to_json, write_session
from android_bench.reporting.summary import summarise
from larqnets.cli.tables import devices as device_tables
from larqnets.errors import LarqnetsError

COUNT = Count("cortex-a72", 10, 5, 2, (OpCount("LceBconv2d", (0,), "binary", 10, 5, 2, "classes"),), 100, 50)
SESSION = session(model(), model("float", role="float", twin_of=model().sha256, instructions=COUNT))
TEXT = json.dumps(to_json(SESSION))


def test_written_is_read_back(tmp_path):
    path = tmp_path / "s.json"
    write_session(SESSION, path)
    assert read_session(path) == SESSION
    assert json.loads(path.read_text()) == json.loads(TEXT)
    write_session(session(), path)
    assert read_session(path) == session()
    assert [p.name for p in tmp_path.iterdir()] == ["s.json"]


def _without_ways(found):
    """The session as it is when nothing is known of how 1-bit convolutions count."""
    models = []
    for measured in found.models:
        counted, profile = measured.instructions, measured.profile
        if counted is not None:
            ops = tuple(dataclasses.replace(op, way=None) for op in counted.ops)
            counted = dataclasses.replace(counted, ops=ops, load_instructions=None, prepared_bytes=None)
        if profile is not None:
            profile = dataclasses.replace(profile, ops=tuple(dataclasses.replace(op, way=None) for op in profile.ops))
        models.append(dataclasses.replace(measured, kernels=None, instructions=counted, profile=profile))
    return dataclasses.replace(found, models=tuple(models))


def test_a_record_of_an_earlier_version_is_one_of_classifiers_whose_files_say_no_stem_and_no_ways_to_count():
    first, second, third = (json.loads(TEXT) | {"schema_version": version} for version in (1, 2, 3))
    for old in (first, second, third):
        assert old["protocol"].pop("low_memory") is False
        for record_of_model in old["models"]:
            assert record_of_model.pop("kernels") is None
            for part in ("instructions", "profile"):
                for op in (record_of_model[part] or {"ops": ()})["ops"]:
                    del op["way"]
            if record_of_model["instructions"]:
                del record_of_model["instructions"]["load_instructions"]
                del record_of_model["instructions"]["prepared_bytes"]
    for old in (first, second):
        for record_of_model in old["models"]:
            assert record_of_model.pop("stem") is None
    for record_of_model in first["models"]:
        assert record_of_model.pop("score") == "accuracy"
    assert _without_ways(SESSION) != SESSION
    for old in (first, second, third):
        assert parse_session(json.dumps(old), "f.json") == _without_ways(parse_session(TEXT, "f.json"))
    with pytest.raises(LarqnetsError, match=r"'models' must be"):
        parse_session(json.dumps(first | {"models": 3}), "f.json")


def _places(value, place=()):
    """Every key of every object inside of a JSON value; of a list its first item."""
    if isinstance(value, list):
        value = dict(list(enumerate(value))[:1])
    if isinstance(value, dict):
        for key, entry in value.items():
            if isinstance(key, str):
                yield (*place, key)
            yield from _places(entry, (*place, key))


# Keys of a mapping are data, those of everything else are the schema.
MAPPINGS = ("files", "clocks_mhz", "clock_limits_mhz", "temperatures_c")
KEYS = [place for place in _places(json.loads(TEXT)) if not set(MAPPINGS) & set(place[:-1])]


def _changed(place, change):
    document = json.loads(TEXT)
    parent = document
    for key in place[:-1]:
        parent = parent[key]
    change(parent, place[-1])
    return json.dumps(document)


@pytest.mark.parametrize("place", KEYS, ids=lambda p: ".".join(map(str, p)))
def test_a_key_that_is_missing_or_unknown_is_named(place):
    with pytest.raises(LarqnetsError, match=r"^f\.json[: ].*") as missing:
        parse_session(_changed(place, lambda parent, key: parent.pop(key)), "f.json")
    assert "is missing" in str(missing.value) or place == ("schema_version",)
    with pytest.raises(LarqnetsError, match="unknown key"):
        parse_session(_changed(place, lambda parent, key: parent.update({f"{key}_x": 1})), "f.json")
    with pytest.raises(LarqnetsError):
        parse_session(_changed(place, lambda parent, key: parent.update({key: [{"a": []}]})), "f.json")


def test_no_field_has_a_default():
    """A default would make its key optional in the file."""
    for kind in vars(record).values():
        if dataclasses.is_dataclass(kind) and kind.__module__ == record.__name__:
            for field in dataclasses.fields(kind):
                assert field.default is field.default_factory is dataclasses.MISSING, (kind, field.name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "damaged or no session"),
        (TEXT[: len(TEXT) // 2], "damaged or no session"),
        ("[" * 100_000, "nested too deep"),
        ("[]", "is no session"),
        ('{"format_version": 1}', "is no session"),
        (TEXT.replace('"schema_version": 4', '"schema_version": 5', 1), "Update larqnets"),
        (TEXT.replace('"schema_version": 4', '"schema_version": "2"', 1), "schema version '2'"),
        (TEXT.replace('"schema_version": 4', '"schema_version": true', 1), "schema version True"),
        (TEXT.replace('"accuracy": 0.95', '"accuracy": NaN', 1), "NaN is no number"),
        (TEXT.replace('"accuracy": 0.95', '"accuracy": 1e999', 1), "too large"),
        (TEXT.replace('"accuracy": 0.95', f'"accuracy": {10**400}', 1), "no whole number, or too large"),
        (TEXT.replace('"accuracy": 0.95', '"accuracy": true', 1), "type float"),
        (TEXT.replace('"runs": 50', '"runs": 50.5', 1), "type int"),
        (TEXT.replace('"runs": 50', '"runs": 49', 1), r"models\.0\.rounds\.0: .*more latencies than runs"),
        (TEXT.replace('"number": 1,', '"number": 0,', 1), "same number"),
        (TEXT.replace('"latencies_ms": [', '"latencies_ms": [-1.5, ', 1), "not above 0"),
        (TEXT.replace('"role": "binary"', '"role": "bniary"', 1), "Did you mean 'binary'"),
        (TEXT.replace('"name": "float"', '"name": "binary"', 1), "the same name"),
        (TEXT.replace(model().sha256, "abc", 1), "SHA-256"),
        (TEXT.replace('"created": "2026', '"created": "soon', 1), "ISO 8601"),
        (TEXT.replace("2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05", 1), "time zone"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_what_is_no_session_is_refused_in_one_sentence(text, said):
    assert text != TEXT
    with pytest.raises(LarqnetsError, match=said) as error:
        parse_session(text, "f.json")
    message = str(error.value)
    assert message.startswith("f.json")
    assert "\n" not in message
    assert len(message) < 600


def test_a_round_that_counts_has_latencies():
    empty = {"latencies_ms": (), "runs": 0}
    (first, *_) = rounds([1.0])
    with pytest.raises(ValueError, match="no latencies"):
        dataclasses.replace(first, **empty)
    assert dataclasses.replace(first, **empty, discarded="killed").latencies_ms == ()


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(LarqnetsError, match="Cannot read"):
        read_session(tmp_path / "none.json")
    with pytest.raises(LarqnetsError, match="Cannot read"):
        read_session(tmp_path)
    (tmp_path / "x.json").write_bytes(b"\xff\xfe")
    with pytest.raises(LarqnetsError, match="not UTF-8"):
        read_session(tmp_path / "x.json")
    with pytest.raises(LarqnetsError, match="Cannot write"):
        write_session(SESSION, tmp_path / "no" / "x.json")


@given(st.integers(0, 3 * MAX_SAMPLES), st.integers(1, MAX_SAMPLES))
def test_thinning_keeps_order_and_both_halves(count, limit):
    kept = thin(range(count), limit)
    assert len(kept) == min(count, limit)
    assert list(kept) == sorted(set(kept))
    assert abs(sum(i < count / 2 for i in kept) - len(kept) / 2) <= 1


@pytest.mark.parametrize(
    ("device", "kind"),
    [
        ({"kind": "local", "machine": "x86_64", "functional_only": True}, "qemu"),
        ({"kind": "local", "machine": None, "functional_only": True}, "qemu"),
        ({"kind": "local", "machine": "aarch64", "functional_only": True}, "local"),  # an ARM64 system that is emulated
        ({"kind": "local", "machine": "aarch64", "functional_only": False}, "local"),
        ({"kind": "adb", "machine": "x86_64", "functional_only": True}, "adb"),
    ],
)
def test_the_old_word_for_the_emulator_is_read_and_said(device, kind):
    values = to_json(SESSION)
    values["device"] |= {"address": "", "notes": ["It is qemu on x86_64."], **device}
    found = parse_session(json.dumps(values), "x").device
    assert found.kind == kind
    if kind == "qemu":
        assert found.address == "cortex-a72"
        assert found.notes == ("It is qemu on x86_64.", "Its record calls the device local, which is qemu today.")
        said = device_tables.session(summarise(dataclasses.replace(SESSION, device=found)))
        assert "note: Its record calls the device local, which is qemu today." in said
    else:
        assert (found.address, len(found.notes)) == ("", 1)
    assert parse_session(json.dumps({**values, "device": dataclasses.asdict(found)}), "x").device == found


def test_the_schema_of_this_version():
    """A change of the schema is a new SCHEMA_VERSION, and only then a new digest here."""
    kinds = [k for k in vars(record).values() if dataclasses.is_dataclass(k) and k is not record.Range] + [OpCount]
    lines = sorted(
        re.sub(r"\w+\.(?=\w)", "", f"{k.__name__}: {f}: {hint}")
        for k in kinds
        for f, hint in typing.get_type_hints(k).items()
    )
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
    assert (record.SCHEMA_VERSION, digest) == (4, "d18e6c2a57d51c2b"), "\n".join(lines)
