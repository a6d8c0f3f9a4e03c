import io

from larqnets.console import PlainConsole
from larqnets.training.progress import Terminal

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


def watch(*, terminal: bool) -> str:
    stream = io.StringIO()
    with Terminal(PlainConsole(file=stream, force_terminal=terminal, width=100)) as progress:
        progress.start(0, 14, 2)
        progress.step(5, 0.6, 0.2, 1000.0)
        progress.epoch(ROW)
        progress.note("A sentence [with brackets].")
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
