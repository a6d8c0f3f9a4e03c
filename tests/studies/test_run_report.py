"""The report of a run: what it says, what it says is missing, and that nobody's text becomes a part of the page."""

import base64
import dataclasses
import io
import json
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from sessions import model, session

from android_bench.emulation.qemu import Count
from android_bench.record import write_session
from deploy.proof.evaluation import Evaluation
from larqnets import LarqnetsError
from larqnets.config import load_config
from larqnets.runs.run import Run
from larqnets.studies.run_page import to_html
from larqnets.studies.run_report import Looked, check_conversion, sections_of, sessions_here
from larqnets.tasks.class_study import ClassStudy

HOSTILE = """<script>alert("x")</script> & 'q' {{ 7 * 7 }} \x1b[31m"""


class Page(HTMLParser):
    """What a browser would see: tags, what they refer to, and the text between them."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.links, self.words = [], [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href", "action", "data")]
        assert not any(name.startswith("on") for name, _ in attributes)

    def handle_data(self, data):
        self.words.append(data)

    def pictures(self):
        content = [link.removeprefix("data:image/png;base64,") for link in self.links if link.startswith("data:")]
        return [Image.open(io.BytesIO(base64.b64decode(one))) for one in content]


def assert_alone(page):
    assert "script" not in page.tags
    assert not {"link", "iframe", "object", "embed", "form"} & set(page.tags)
    assert all(link.startswith(("#s", "data:image/png;base64,")) for link in page.links)


def looked(labels=("cat", "dog")):
    study = ClassStudy(labels, "logits")
    study.add({"y": np.array([[3, 1], [2, 0], [0, 5]], np.float32)}, {"label": np.array([0, 1, 1])})
    pictures = {1: np.zeros((8, 8, 3), np.uint8)}
    details = study.result()
    return Looked(
        Evaluation(
            "runs/x", "folder:p", "test", 3, {"accuracy": 2 / 3}, 0.5, "TensorFlow", details, (), ("p/1.png",), pictures
        )
    )


def test_of_a_new_run_everything_is_said_to_be_missing_with_its_command(tmp_path):
    run = Run.create(tmp_path, "a run", load_config("digits"))
    sections = sections_of(run, Looked(why_not="It has no checkpoint."), [])
    todo = {one.why: one.command for section in sections for one in section.todo}
    path = f"'{run.path}'"
    assert todo["Its training is not finished."] == f"larqnets train --resume {path}"
    assert todo["They were not looked at: It has no checkpoint."] == f"larqnets evaluate {path}"
    assert todo["It is not converted yet."] == f"larqnets convert {path} --target arm64 --twins"
    page = Page(to_html(run.name, sections))
    assert_alone(page)
    assert all(why in page.text and command in page.text for why, command in todo.items())
    assert "has no finished epoch to draw" in page.text


# The proof is filled up with training images, on which the accuracy is another one.
SAMPLES = ("samples 1,000 real, 450 of them test images", "their accuracy, trained")


def test_a_whole_run_is_on_the_page_with_its_pictures(demo, cli, tmp_path):
    binary, floating = (
        json.loads((demo.run / "arm64/manifest.json").read_text())["files"][k] for k in ("binary", "float")
    )
    count = Count("cortex-a72", 1000, 1, 1, (), 20, 30)
    models = [
        model("binary", sha256=binary["sha256"], instructions=count),
        model(
            *("float",),
            sha256=floating["sha256"],
            role="float",
            twin_of=binary["sha256"],
            instructions=dataclasses.replace(count, instructions=3500),
        ),
    ]
    (tmp_path / "results").mkdir()
    (tmp_path / "results/kernels.json").write_text("[]")  # lies there too and is no session
    write_session(session(*models), tmp_path / "results/synthetic.json")
    write_session(session(model(), session="others"), tmp_path / "results/others.json")
    done = cli("report", demo.run, "--html", "page.html")
    assert done.code == 0, done.err
    page = Page((tmp_path / "page.html").read_text())
    assert_alone(page)
    sizes = [picture.size for picture in page.pictures()]
    assert len(sizes) == 3  # curves, confusion, wrong images
    assert min(min(size) for size in sizes) > 200
    accuracy = json.loads((demo.run / "card.json").read_text())["test_accuracy"]
    for words in (
        f"{accuracy:.2%}",
        f"{binary['bytes']:,}",
        "1,000 3,500",
        "3.50",
        "equal yes",
        "calibration error",
        *SAMPLES,
    ):
        assert words in page.text, words
    assert "others" not in page.text
    assert "larqnets convert" in page.text  # not proven on ARM64 in these tests
    assert "device adb" not in page.text  # the synthetic phone measured it
    shown = json.loads(cli("report", demo.run, "results/others.json", "--json").out)
    assert (shown["sessions"], shown["evaluation"]["accuracy"]) == ([], pytest.approx(accuracy))
    commands = [one["command"] for one in shown["not_done"]]
    assert f"larqnets benchmark {demo.run}/arm64/binary.tflite --device qemu" in commands
    assert "written: page.html" in done.out
    assert f"\n  larqnets convert {demo.run} " in done.out  # a line of its own, to copy
    refused = cli("report", demo.run, "--compare")
    assert (refused.code, refused.out) == (2, "")


def test_nobodys_text_becomes_a_part_of_the_page(demo, tmp_path):
    shutil.copytree(demo.run, tmp_path / "run")
    path = tmp_path / "run/arm64/manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["binary"]["note"] = manifest["proof"]["line"] = HOSTILE
    manifest["warnings"] = [HOSTILE]
    manifest["files"][HOSTILE] = {**manifest["files"]["int8"], "file": HOSTILE}
    path.write_text(json.dumps(manifest))
    run = Run.open(tmp_path / "run")
    run.update_card(backbone=HOSTILE, versions={HOSTILE: HOSTILE})
    html = to_html(HOSTILE, sections_of(run, looked((HOSTILE, "dog")), []))
    page = Page(html)
    assert_alone(page)
    assert page.text.count("""<script>alert("x")</script> & 'q' {{ 7 * 7 }}""") > 6
    assert "\x1b" not in html


@pytest.mark.parametrize(
    "change",
    [
        lambda m: [],
        lambda m: {},
        lambda m: {**m, "files": []},
        lambda m: {**m, "files": {"binary": 1}},
        lambda m: {**m, "files": {"binary": {**m["files"]["binary"], "bytes": "many"}}},
        lambda m: {**m, "files": {**m["files"], "float": {**m["files"]["float"], "bytes": None}}},
        lambda m: {**m, "proof": None},
        lambda m: {**m, "verification": {"layers": 3}},
        lambda m: {**m, "float_fallbacks": [1]},
        lambda m: {**m, "source": None},
    ],
)
def test_a_damaged_manifest_is_one_sentence(demo, tmp_path, change):
    shutil.copytree(demo.run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints", "tensorboard"))
    path = tmp_path / "run/arm64/manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    run = Run.open(tmp_path / "run")
    for read in (check_conversion, lambda run: sections_of(run, looked(), [])):
        with pytest.raises(LarqnetsError, match=r"manifest\.json is damaged: .* Convert again: larqnets convert "):
            read(run)


def test_a_run_that_was_trained_on_since_is_said_to_be_converted_before(demo, tmp_path):
    shutil.copytree(demo.run, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    run.update_card(epochs_done=3)
    todo = [one.why for section in sections_of(run, looked(), []) for one in section.todo]
    assert "It was converted after 2 epochs, and trained on since." in todo


def test_a_session_that_was_named_must_be_one(tmp_path):
    (tmp_path / "x.json").write_text("[]")
    with pytest.raises(LarqnetsError, match="is no session"):
        sessions_here([tmp_path / "x.json"])


def test_of_a_task_that_looks_at_no_single_answers_the_scores_are_shown(tmp_path):
    run = Run.create(tmp_path, "run", load_config("digits"))
    found = dataclasses.replace(looked().evaluation, scores={"near": 0.25}, details=None, places=(), pictures={})
    page = Page(to_html("run", sections_of(run, Looked(found), [])))
    assert "near 25.00%" in page.text
    assert "Confusion" not in page.text
