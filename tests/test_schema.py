"""The one strict schema: an int is a float, a bool is no int, wherever a value comes from."""

import dataclasses
import json
from typing import get_type_hints

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from larqnets.config import parse_config
from larqnets.decompose import Settings
from larqnets.errors import LarqnetsError
from larqnets.schema import convert

CONFIG = '[model]\nmethod = "{method}"\nbackbone = "resnet20"\n{options}\n[data]\ndataset = "digits"\n[train]\nepochs = 1\n{train}'


def of_config(kind, value):
    key = {float: "momentum", int: "batch_size", bool: "nesterov"}[kind]
    text = CONFIG.format(method="real", options="", train=f"{key} = {json.dumps(value)}")
    return getattr(parse_config(text, "config").train, key)


def of_method(kind, value):
    from larqnets.methods import get_method

    method, key = {float: ("irnet", "t_min"), int: ("groupnet", "k"), bool: ("sdbnn", "asd")}[kind]
    return getattr(get_method(method, **{key: value}), key)


def of_settings(kind, value):
    key = {float: "step", int: "planes", bool: "refined"}[kind]
    return getattr(Settings(**{key: value}), key)


def of_record(kind, value):
    from sessions import session

    key = {float: "start_temperature_c", int: "seed", bool: "strict"}[kind]
    return getattr(read_back(session(), lambda document: document["protocol"].update({key: value})).protocol, key)


def read_back(session, change):
    from android_bench.record import parse_session, to_json

    document = to_json(session)
    change(document)
    return parse_session(json.dumps(document), "record")


READERS = [of_config, of_method, of_settings, of_record]


@pytest.mark.parametrize("read", READERS)
def test_an_int_is_a_float(read):
    value = read(float, 1)
    assert (value, type(value)) == (1.0, float)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(
    ("kind", "value"), [(int, True), (float, True), (int, 1.0), (int, "1"), (float, "1"), (bool, 1), (bool, "true")]
)
def test_nothing_else_is_another_type(read, kind, value):
    with pytest.raises(LarqnetsError, match=f"must be of type {kind.__name__}, not ") as error:
        read(kind, value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400])
def test_a_float_is_finite(value):
    with pytest.raises(LarqnetsError, match="must be"):
        convert(value, float, "x", "here")


def test_every_range_of_the_config_is_one_of_numbers():
    from larqnets import config

    kinds = [kind for kind in vars(config).values() if dataclasses.is_dataclass(kind)]
    notes = [
        (hint, note)
        for kind in kinds
        for hint in get_type_hints(kind, include_extras=True).values()
        for note in getattr(hint, "__metadata__", ())
    ]
    assert len(notes) > 15
    assert all(hint.__origin__ in (int, float) and note.low < note.high for hint, note in notes)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@example({"\n": None}, dict[str, float])
@given(JSON, st.sampled_from([int, float, bool, str, tuple[int, ...], dict[str, float], int | None]))
def test_a_value_is_of_the_type_or_refused_in_one_sentence(value, hint):
    refused = ""
    try:
        result = convert(value, hint, "x", "here")
    except LarqnetsError as error:
        refused = str(error)
    assert refused or result == value or list(result) == list(value)
    assert len(refused) < 300
    assert "\n" not in refused
