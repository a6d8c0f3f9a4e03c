"""What commands tell on stderr: on a terminal and in a log, by the same calls."""

import io

import pytest
from rich.console import Console

from larqnets.cli.reporters import STAGES, StatusReporter, StepsReporter
from larqnets.console import PlainConsole
from larqnets.reporter import SILENT
from larqnets.training.progress import epoch_line, step_words

ROW = {
    "epoch": 1,
    "step": 7,
    "learning_rate": 0.1,
    "train_loss": 0.5,
    "train_accuracy": 0.25,
    "test_loss": 0.75,
    "test_accuracy": 0.9,
    "images_per_second": 1234.5,
    "seconds": 3.0,
}


def console(*, terminal: bool) -> tuple[io.StringIO, Console]:
    stream = io.StringIO()
    return stream, PlainConsole(file=stream, force_terminal=terminal, width=100)


def watch(*, terminal: bool) -> str:
    stream, shown = console(terminal=terminal)
    with StepsReporter(shown) as reporter:
        reporter.count(0, 14, "starting")
        reporter.count(5, 14, step_words(0.6, {"accuracy": 0.2}, 1000.0))
        reporter.line(epoch_line(ROW, 2))
        reporter.line("A sentence [with brackets].")
    return stream.getvalue()


def test_a_log_file_gets_one_line_per_epoch_and_no_escape_codes():
    assert watch(terminal=False).splitlines() == [
        "epoch 1/2  loss 0.5000  accuracy  25.0%  test loss 0.7500  test accuracy  90.0%  1,234 images/s",
        "A sentence [with brackets].",
    ]


def test_a_terminal_gets_the_bar_as_well():
    text = watch(terminal=True)
    assert "5/14" in text
    assert "1,000 images/s" in text
    assert "test accuracy  90.0%" in text


@pytest.mark.parametrize("terminal", [False, True], ids=["log", "terminal"])
def test_the_bar_names_the_part_and_the_stage_beside_training(terminal):
    stream, shown = console(terminal=terminal)
    with StepsReporter(shown) as reporter:
        reporter.part(2, 3, "digits-seed1")
        reporter.count(7, 14, "starting")
        reporter.stage("convert")
        reporter.count(500, what="samples")
        reporter.line("It is proven.")
    text = stream.getvalue()
    lines = ["[2/3] digits-seed1", "It is proven."]
    assert all(line in text for line in lines)
    if terminal:
        assert "2/3 digits-seed1" in text.replace(lines[0], "")
        assert STAGES["convert"] in text
    else:
        assert text.splitlines() == lines


@pytest.mark.parametrize("terminal", [False, True], ids=["log", "terminal"])
def test_stages_are_lines_of_a_log_and_counts_are_seen_on_a_terminal_alone(terminal):
    stream, shown = console(terminal=terminal)
    with StatusReporter(shown) as reporter:
        reporter.stage("decompose")
        reporter.count(3, 9, "conv_2")
        shown.print("between")  # which draws the status again
        reporter.stage("writing a file of any name")
        reporter.count(1234, what="samples")
        reporter.line("A sentence [with brackets].")
    text = stream.getvalue()
    if terminal:
        assert "decomposing ... 3 of 9: conv_2" in text
        assert "writing a file of any name ... 1,234 samples" in text
        assert "A sentence [with brackets]." in text
    else:
        assert text.splitlines() == [
            "decomposing ...",
            "between",
            "writing a file of any name ...",
            "A sentence [with brackets].",
        ]


def test_the_silent_one_says_nothing(capfd):
    SILENT.part(1, 2, "name")
    SILENT.stage("convert")
    SILENT.count(1)
    SILENT.line("A sentence.")
    assert capfd.readouterr() == ("", "")
