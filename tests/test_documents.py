"""JSON, TOML and CSV of strangers: within the limits it is read, outside of them it is a ValueError with a phrase."""

import hashlib
import json
import os
import random
import re
import time
import tomllib
from pathlib import Path

import pytest
from counted import calls
from hypothesis import given
from hypothesis import strategies as st

from larqnets.config import find_config, load_config, parse_config
from larqnets.documents import MAX_DEPTH, finite_number, parse_csv, parse_json, parse_toml, read_json, read_text
from larqnets.errors import LarqnetsError

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text("abc"), inner), max_leaves=20)


@given(VALUES)
def test_what_json_writes_is_read_back(value):
    assert parse_json(json.dumps(value)) == value


NEST = 100_000
BAD_JSON = {
    "empty": "",
    "cut": '{"a": ',
    "nested lists": "[" * NEST + "]" * NEST,
    "nested objects": '{"a":' * NEST + "1" + "}" * NEST,
    "a little too deep": "[" * (MAX_DEPTH + 2) + "]" * (MAX_DEPTH + 2),
    "many digits": "9" * 5000,
    "ten to the 400": str(10**400),
    "over 64 bits": str(2**63),
    "overflow": "1e999",
    "minus overflow": '{"a": [-1e999]}',
    "NaN": '{"a": NaN}',
    "Infinity": "Infinity",
    "NUL": '"a\\u0000b"',
    "NUL in a key": '{"a\\u0000b": 1}',
    "lone surrogate": '["\\ud800"]',
    "lone surrogate in a key": '{"\\udfff": 1}',
}


@pytest.mark.parametrize("text", BAD_JSON.values(), ids=BAD_JSON)
def test_json_over_a_limit(text):
    with calls() as made, pytest.raises(ValueError, match=r"\w") as error:
        parse_json(text)
    assert len(str(error.value)) < 120
    assert "\n" not in str(error.value)
    assert made() < 1000


BAD_TOML = {
    "nested lists": "a = " + "[" * NEST + "]" * NEST,
    "nested tables": "a = " + "{a = " * NEST + "1" + "}" * NEST,
    "long key": ".".join("a" * NEST) + " = 1",
    "long key with spaces": " . ".join("a" * NEST) + " = 1",
    "long quoted key": ".".join(['"a"'] * NEST) + " = 1",
    "long table": "[" + ".".join("a" * NEST) + "]",
    "many digits": "a = " + "9" * 5000,
    "over 64 bits": f"a = {2**63}",
    "inf": "a = inf",
    "nan": "a = [1.0, nan]",
    "overflow": "a = 1e999",
    "NUL": 'a = "x\\u0000"',
    "no date": "a = 2026-99-99",
    "no TOML": "a = = 1",
}


@pytest.mark.parametrize("text", BAD_TOML.values(), ids=BAD_TOML)
def test_toml_over_a_limit(text):
    with calls() as made, pytest.raises(ValueError, match=r"\w"):
        parse_toml(text)
    assert made() < NEST / 10  # a key of that many parts is not taken apart
    with pytest.raises(LarqnetsError, match=r"x\.toml is not valid TOML") as error:
        parse_config(text, "x.toml")
    assert len(str(error.value)) < 200


def test_toml_within_the_limits():
    text = find_config("digits").read_text()
    assert parse_toml(text) == tomllib.loads(text)
    dotted = 'a = "' + ".".join("word" for _ in range(30)) + '"'
    assert parse_toml(dotted) == tomllib.loads(dotted)


@pytest.mark.parametrize(
    "override",
    [
        "model.options.x=" + "[" * NEST,
        "model.options.x=" + "[" * NEST + "]" * NEST,
        ".".join("a" * NEST) + "=1",
        "train.epochs=" + "9" * 5000,
        "train.learning_rate=inf",
        "data.data_dir=a\udcffb",
    ],
    ids=lambda text: text[:20].encode("unicode_escape").decode(),
)
def test_settings_over_a_limit(override):
    with pytest.raises(LarqnetsError, match=r"^--set ") as error:
        load_config("digits", [override])
    assert len(str(error.value)) < 400


def test_files(tmp_path):
    with pytest.raises(ValueError, match="more than 10 bytes"):
        read_text(Path("/dev/zero"), 10)
    with pytest.raises(ValueError, match="not UTF-8"):
        read_text(Path("/bin/sh"), 2**30)
    with pytest.raises(OSError, match="No such file"):
        read_json(tmp_path / "none")
    with pytest.raises(ValueError, match="null byte"):
        read_json(Path("a\0b"))


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "", "one", "9" * 5000], ids=lambda text: text[:5])
def test_numbers_of_tables_are_finite(text):
    with pytest.raises(ValueError, match=r"number|convert"):
        finite_number(text)


@pytest.mark.parametrize(
    "text", ["a,b\n1\n", "a,b\n1,2,3\n", 'a,b\n"1,2\n', "a\n" + "x" * 200_000, "a\nx\0y\n"], ids=lambda text: text[:8]
)
def test_tables_that_are_none(text):
    with pytest.raises(ValueError, match=r"\w"):
        parse_csv(text)


def test_tables():
    assert parse_csv("") == ([], [])
    assert parse_csv('a,b\r\n1,"x,\n"\n\n') == (["a", "b"], [{"a": "1", "b": "x,\n"}])


def test_fuzz_every_reader(tmp_path):
    """Damaged configs, cards, records, manifests and tables: a result or a LarqnetsError, nothing else.

    LARQNETS_FUZZ_SECONDS makes it longer, LARQNETS_FUZZ_SEED repeats one.
    """
    from sessions import session

    from android_bench.measuring.lineup import line_up
    from android_bench.record import parse_session, to_json
    from deploy.run.shipped import find_model
    from larqnets.cli.listing import listing
    from larqnets.runs.run import Run
    from larqnets.studies.curves import draw_curves
    from larqnets.studies.pareto import pareto

    seed = int(os.environ.get("LARQNETS_FUZZ_SEED", random.SystemRandom().randrange(2**32)))
    print(f"LARQNETS_FUZZ_SEED={seed}")
    rng = random.Random(seed)
    run = Run.create(tmp_path / "runs", "a", load_config("digits"))
    columns = "epoch,train_loss,test_loss,train_accuracy,test_accuracy\n"
    run.metrics.write_text(columns + "1,2.0,2.0,0.5,0.5\n")
    run.update_card(test_accuracy=0.5, seconds=1.5)
    table = tmp_path / "table.csv"
    model = tmp_path / "binary.tflite"
    model.write_bytes(find_model("digits").read_bytes())
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    manifest = {"files": {"binary": {"file": "binary.tflite", "sha256": sha256, "test_accuracy": 0.9}}}

    def show_runs():
        _, render = listing("runs", "*", tmp_path / "runs", lambda name: None)
        render()
        Run.open(run.path)

    kinds = {
        "config": ((run.path / "config.toml"), lambda: load_config(str(run.path / "config.toml"))),
        "card": (run.path / "card.json", show_runs),
        "metrics": (run.metrics, lambda: draw_curves([run.path], tmp_path / "x.svg")),
        "record": (tmp_path / "record.json", lambda: parse_session((tmp_path / "record.json").read_text(), "record")),
        "manifest": (tmp_path / "manifest.json", lambda: [entrant.record() for entrant in line_up([model])]),
        "table": (table, lambda: pareto(table, tmp_path / "y.svg")),
    }
    good = {
        "config": (run.path / "config.toml").read_text(),
        "card": (run.path / "card.json").read_text(),
        "metrics": run.metrics.read_text(),
        "record": json.dumps(to_json(session())),
        "manifest": json.dumps(manifest),
        "table": "method,backbone,seed,test_accuracy,converted_test_accuracy,file_bytes,binary_macs,float_macs,seconds,"
        "arm64_instructions\nreal,resnet8,0,0.9,0.9,1,1,1,1,5\n",
    }
    cheap = [kind for kind in kinds if kind not in ("metrics", "table")]
    for kind, (path, _) in kinds.items():
        path.write_text(good[kind])
    for _, read in kinds.values():
        read()
    deadline = time.monotonic() + float(os.environ.get("LARQNETS_FUZZ_SECONDS", 3))
    while time.monotonic() < deadline:
        kind = rng.choice(cheap if rng.random() < 0.9 else list(kinds))
        path, read = kinds[kind]
        text = damaged(good[kind], rng) if rng.random() < 0.4 else changed(good[kind], rng)
        path.write_text(text, encoding="utf-8")
        try:
            read()
        except LarqnetsError as error:
            said = str(error)
            assert len(said) < 1500, f"{said[:200]} ... {said[-200:]}"
        except Exception:
            print(repr(text))
            raise
        path.write_text(good[kind])


PIECES = [
    *(
        '"',
        "'",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "=",
        ".",
        "\n",
        "-",
        "null",
        "true",
        "nan",
        "NaN",
        "inf",
        "1e999",
        "\\u0000",
    ),
    *(
        "\\ud800",
        "\u202e",
        "\x1b[31m",
        "9" * 400,
        "9" * 5000,
        "[" * 3000,
        "{}",
        '""',
        "0",
        "-1",
        "1.5",
        "2026-01-01",
        "é",
        "a.b",
    ),
]


VALUES_OF_ANY_TYPE = [
    *(None, True, 0, -1, 2**62, 1.5, -1e300, "", "a", "../x", "x" * 1000, "\x1b[31m\u202e", [], {}, [[]], {"a": []}),
    *("2026-01-01", "NaN", "a/b", 10**18, ["a"], [1], {"khz": 1}, {"file": 3, "sha256": None}),
]


def changed(text, rng):
    """Return a text that is still JSON, TOML or CSV, with one value replaced by one of another type or size."""
    if not text.startswith("{"):
        values = [match.span() for match in re.finditer(r"(?<== )[^\n]+|(?<=[,\n])[\w.]+(?=[,\n])", text)]
        start, end = rng.choice(values)
        return (
            text[:start] + rng.choice([json.dumps(rng.choice(VALUES_OF_ANY_TYPE)), "", "0", "nan", "-1"]) + text[end:]
        )
    document = json.loads(text)
    parents = [document]
    for parent in parents:
        children = parent.values() if isinstance(parent, dict) else parent
        parents += [child for child in children if isinstance(child, dict | list) and child]
    parent = rng.choice(parents)
    key = rng.choice(list(parent)) if isinstance(parent, dict) else rng.randrange(len(parent))
    parent[key] = rng.choice(VALUES_OF_ANY_TYPE)
    return json.dumps(document)


def damaged(text, rng):
    """Return a text with a few pieces replaced by hostile ones, values above all."""
    for _ in range(rng.randint(1, 3)):
        values = [match.span() for match in re.finditer(r'"[^"\n]*"|[\d.]+|true|false|null', text)]
        if values and rng.random() < 0.7:
            start, end = rng.choice(values)
        else:
            start = rng.randrange(len(text) + 1)
            end = min(len(text), start + rng.randrange(4))
        text = text[:start] + rng.choice(PIECES) + text[end:]
    return text
