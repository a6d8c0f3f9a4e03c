"""What a device or its runner says: a report or one sentence, printable, and no more than there should be."""

import json
import os
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_bench.clock import StoppedError
from android_bench.devices.link import OUTPUT_LIMIT, Client, last_line, unframed
from android_bench.devices.ssh import explain
from android_bench.runtime.runner import parse_report
from larqnets.errors import LarqnetsError

ROUND = {"ns": [1000, 1001], "before": {"clocks": {}}, "after": {"clocks": {}}}
REPORT = {
    **dict.fromkeys(("larqnets", "tflite", "kernels", "system", "hwcap", "hwcap2"), "x"),
    **{
        "emulator": None,
        "outputs": [{}],
        "init_ms": 1.5,
        "first_inference_ms": 2,
        "peak_memory_kb": 3,
        "prepared_bytes": 4,
    },
    **{"rounds": [ROUND], "profile": None, "counted_ops": None},
}


def test_a_report_with_more_than_is_read():
    report = parse_report(json.dumps(REPORT | {"threads": 1, "conditions": {}}))
    assert (report.first_inference_ms, report.rounds[0].ns) == (2.0, (1000, 1001))


@pytest.mark.parametrize(
    "changes",
    [
        {"rounds": [ROUND | {"ns": []}]},
        {"rounds": [ROUND | {"ns": [0]}]},
        {"rounds": [ROUND | {"ns": [1.5]}]},
        {"rounds": [ROUND | {"before": {"clocks": {"0": {"khz": 1}}}}]},
        {"rounds": "many"},
        {"init_ms": -1},
        {"init_ms": True},
        {"peak_memory_kb": 10**30},
        {"profile": [{"name": "x"}]},
        {"system": 3},
    ],
    ids=str,
)
def test_a_report_of_other_values(changes):
    with pytest.raises(LarqnetsError, match="The runner's report") as error:
        parse_report(json.dumps(REPORT | changes))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", REPORT)
def test_a_report_that_lacks_a_key(key):
    with pytest.raises(LarqnetsError, match=f"The runner's report: '{key}' is missing"):
        parse_report(json.dumps({k: v for k, v in REPORT.items() if k != key}))


@given(st.text(max_size=300) | st.sampled_from(["[" * 100_000, "NaN", "[]", "{}", "9" * 5000, json.dumps(REPORT)[:-9]]))
def test_what_is_no_report_is_one_short_sentence(text):
    with pytest.raises(LarqnetsError) as error:
        parse_report(text)
    assert len(str(error.value)) < 400
    assert str(error.value).isprintable()


HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202egnp.exe\ud800\r\n"


def test_texts_of_a_report_are_printable():
    report = parse_report(json.dumps(REPORT | {"system": "Linux \x1b[31m\u202e", "emulator": "größer 日本"}))
    assert report.system == "Linux \\x1b[31m\\u202e"
    assert report.emulator == "größer 日本"


def test_what_a_shell_prints_is_printable():
    said = HOSTILE.encode("utf-8", "surrogatepass")
    output = unframed(b"@@begin\nname\tGer\xc3\xa4t " + said + b"@@end 0\n")
    assert output.text.startswith("name\tGerät \\x1b[2J")
    assert output.text.replace("\n", "").replace("\t", "").isprintable()


def test_an_error_sentence_quotes_200_characters_at_most():
    said = ("error " + HOSTILE.strip() * 1000).encode("utf-8", "surrogatepass")
    line = last_line(b"", said)
    assert len(line) <= 200
    assert line.isprintable()
    sentence = explain("Connection refused " + HOSTILE.strip() * 1000, "ssh:pi", "pi")
    assert len(sentence) < 350
    assert sentence.isprintable()


@pytest.mark.parametrize("stream", [1, 2])
def test_output_is_limited_while_it_arrives(stream, tmp_path):
    code = f"import os, time\nfor _ in range(4096): os.write({stream}, b'x' * 65536)\ntime.sleep(600)"
    with pytest.raises(LarqnetsError, match="sends more than 16 MiB"):  # waiting for its end would be a TimeoutError
        Client().run([sys.executable, "-c", code], 60)
    code = f"import os\nos.write({stream}, b'x' * {OUTPUT_LIMIT + 1})"
    with pytest.raises(LarqnetsError, match="sends more than 16 MiB"):
        Client().run([sys.executable, "-c", code], 60)
    done = Client().run([sys.executable, "-c", code], 60, limit=OUTPUT_LIMIT + 1)
    assert len(done.stdout + done.stderr) == OUTPUT_LIMIT + 1


def test_patience_and_abort_are_kept():
    with pytest.raises(TimeoutError):
        Client().run(["sleep", "60"], 0.2)
    client = Client()
    threading.Timer(0.3, client.abort).start()
    with pytest.raises(StoppedError):
        client.run(["sleep", "60"], 30)


def test_a_banner_without_an_end(tmp_path, monkeypatch):
    """A server that talks and talks before it lets anybody in is left for what it says, not when patience ends."""
    import android_bench.devices.ssh as link
    from android_bench.devices import open_board

    ssh = tmp_path / "ssh"
    talk = "for _ in range(16): os.write(2, b'welcome ' * 8192)"
    ssh.write_text(f"#!{sys.executable}\nimport os, time\n{talk}\ntime.sleep(60)\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(link, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=time.sleep))
    with pytest.raises(LarqnetsError, match="does not answer"):  # the server's end would be "cannot be reached"
        open_board("ssh:pi")
