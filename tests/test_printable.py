"""Names of models, files and devices command nothing: not the terminal, not rich, not matplotlib, not a page."""

import json
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from larqnets.console import PlainConsole
from larqnets.errors import excerpt, printable

HOSTILE = {
    "ansi": "\x1b[2J\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "c1": "\x9b31m",
    "right to left": "\u202egnp.exe",
    "isolate": "\u2066x\u2069",
    "newline": "a\nlarqnets: done",
    "carriage return": "a\rb",
    "line separator": "a\u2028b",
    "NUL": "a\0b",
    "surrogate": "a\ud800\udcffb",
    "zero width": "a\u200bb\ufeff",
    "tag": "a\U000e0041",
}
HONEST = [
    "größer, Straße",
    "日本語　ラベル",
    "кот",
    "שלום",
    "نمی‌خواهم",
    "क्‍ष",
    "👩‍👩‍👧 🇩🇪 ❤️",
    "1\u00a0000",
    "e\u0301",
    "[red]x[/red]",
    "a\\b",
    ":smile:",
]


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_a_terminal_obeys_is_escaped(text):
    shown = printable(text)
    assert shown.isprintable()
    shown.encode("utf-8")
    assert "\\" in shown


@pytest.mark.parametrize("text", HONEST)
def test_letters_of_every_script_stay(text):
    assert printable(text) == text


@given(st.text(st.characters()))
def test_nothing_but_what_is_shown_is_left(text):
    shown = printable(text)
    assert all(unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in shown)
    assert not any(
        unicodedata.bidirectional(c) in ("RLO", "LRO", "RLE", "LRE", "PDF", "RLI", "LRI", "FSI", "PDI") for c in shown
    )
    assert printable(shown) == shown
    assert printable(text, keep=text) == text


@given(st.text(st.characters(), max_size=1000))
def test_an_excerpt_is_one_short_line(text):
    line = excerpt(text)
    assert len(line) <= 200
    assert "\n" not in line


def rendered(*parts):
    from rich.table import Table

    console = PlainConsole()
    with console.capture() as captured:
        for part in parts:
            table = Table(part, title=part)
            table.add_row(part)
            console.print(part, soft_wrap=True)
            console.print(table)
    return captured.get()


@pytest.mark.parametrize("text", [*HOSTILE.values(), "[red]x[/]", "[/]", "[bold", "[link=http://x]y[/link]", ":smile:"])
def test_tables_show_text_as_it_is(text):
    lines = rendered(text)
    assert "\x1b" not in lines
    assert lines.replace("\n", "").replace(" ", "").isprintable()
    assert lines.count(printable(text)) == 4


LABELS = ["[red]", "[/]", "\x1b[31mred\x1b[0m", "\u202eevil", "a\nb", "größer", "日本", "😀"]


def test_labels_of_a_model(cli, tmp_path):
    from deploy.export.edit import add_metadata
    from deploy.run.shipped import example_of, find_model
    from larqnets.tflite.file_metadata import own_metadata
    from larqnets.tflite.reading import read_model

    document = own_metadata(read_model(find_model("digits")))
    names = [*LABELS, "8", "9"]
    document["preprocess"]["labels"] = names
    content = add_metadata(find_model("digits").read_bytes(), document)
    (tmp_path / "m.tflite").write_bytes(content)
    example = example_of("digits")
    done = cli("run", "m.tflite", example, "--top", "10")
    assert done.code == 0, done.err
    for name in names:
        assert printable(name) in done.out
    assert done.out.replace("\n", "").isprintable()
    assert {
        p["label"] for p in json.loads(cli("run", "m.tflite", example, "--top", "10", "--json").out)["predictions"][0]
    } == set(names)
    inspected = cli("inspect", "m.tflite")
    assert inspected.code == 0, inspected.err
    assert inspected.out.replace("\n", "").isprintable()


# an argument cannot hold NUL
@pytest.mark.parametrize("name", [name for name in (*HOSTILE.values(), "[/]", "[red]") if "\0" not in name])
def test_names_in_errors_are_one_printable_line(cli, name):
    for arguments in (["inspect", f"{name}.tflite"], ["train", name], ["list", name]):
        done = cli(*arguments)
        assert done.code == 1
        assert done.err.count("\n") == 1
        assert done.err[:-1].isprintable()
        assert printable(name)[:20] in done.err


def test_names_of_runs(cli, tmp_path):
    from larqnets.config import load_config
    from larqnets.runs.run import Run

    for name in ("[red]", "[", "grün", "\x1b[31mx", "a$b$c", "_x", "100000 nests", "no zone"):
        run = Run.create(tmp_path / "runs", name, load_config("digits"))
        run.metrics.write_text("epoch,train_loss,test_loss,train_accuracy,test_accuracy\n1,2.0,2.0,0.5,0.5\n")
    (tmp_path / "runs/100000 nests/card.json").write_text("[" * 100_000)
    (tmp_path / "runs/no zone/card.json").write_text('{"seconds": ' + "9" * 5000 + "}")
    done = cli("list", "runs")
    assert done.code == 0, done.err
    assert done.out.replace("\n", "").isprintable()
    for name in ("[red]", "[", "grün", "\\x1b[31mx", "a$b$c", "100000 nests"):
        assert name in done.out
    assert done.out.count("birealnet on resnet8") == 6
    assert done.out.count("card.json is damaged") == 2
    assert len(json.loads(cli("list", "runs", "--json").out)) == 8
    drawn = cli("curves", *(f"runs/{name}" for name in ("[red]", "a$b$c", "_x", "\x1b[31mx")), "--output", "x.svg")
    assert drawn.code == 0, drawn.err


def larqnets(*arguments, folder, **options):
    command = [Path(sys.executable).with_name("larqnets"), *arguments]
    return subprocess.run(command, cwd=folder, stderr=subprocess.PIPE, text=True, **options)


@pytest.mark.parametrize(
    "arguments", [["list", "configs"], ["list", "configs", "--json"], ["inspect", "digits", "--json"]], ids=" ".join
)
def test_a_result_that_cannot_be_written_is_an_error(tmp_path, arguments):
    with Path("/dev/full").open("w") as full:
        done = larqnets(*arguments, folder=tmp_path, stdout=full)
    assert done.returncode == 1
    assert done.stderr == (
        "larqnets: The result cannot be written to stdout: No space left on device. Free some space or name another place, "
        "and give the command again.\n"
    )


def test_json_has_no_nan(capfd):
    from larqnets.cli.command import show

    show({"loss": float("inf"), "rows": [(float("nan"), 1.5)], "name": "nan"}, None, as_json=True)
    assert json.loads(capfd.readouterr().out) == {"loss": None, "rows": [[None, 1.5]], "name": "nan"}


def test_a_closed_stdout_is_an_error_before_the_work(tmp_path):
    done = larqnets("train", "digits", folder=tmp_path, preexec_fn=lambda: os.close(1))
    assert done.returncode == 1
    assert done.stderr.startswith("larqnets: stdout is closed")
    assert not (tmp_path / "runs").exists()


def test_a_reader_that_has_seen_enough_is_no_message(tmp_path):
    read, write = os.pipe()
    os.close(read)
    done = larqnets("list", "configs", folder=tmp_path, stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_terminal_of_few_letters(tmp_path):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = larqnets("list", "none-größer-日本", folder=tmp_path, env=environment, stdout=subprocess.PIPE)
    assert done.returncode == 1
    assert "gr\\xf6\\xdfer-\\u65e5\\u672c" in done.stderr
    done = larqnets("inspect", "digits", folder=tmp_path, env=environment, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_a_folder_for_temporary_files(cli, monkeypatch):
    import tempfile

    def none():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "gettempdir", none)
        done = cli("list", "methods")
    assert done.code == 1
    assert done.err.startswith("larqnets: There is no folder for temporary files")
