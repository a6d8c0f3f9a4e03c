"""A converted run as a folder for a hub: what is in it, what is not, what its card says, and its upload."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path

import hub_double
import pytest

from deploy.export.edit import add_metadata
from deploy.hub import upload as uploads
from deploy.hub.folder import write_folder
from deploy.hub.front_matter import to_yaml
from larqnets.config import DataConfig, load_config
from larqnets.errors import LarqnetsError
from larqnets.runs.history import history_of_training
from larqnets.runs.run import Run
from larqnets.shipped import model_file

# The extra dev has the package, and CI turns this skip into a failure; who installed less of it may test the rest.
NEEDS_HUB = pytest.mark.skipif(find_spec("huggingface_hub") is None, reason="huggingface_hub is not installed")


def converted(folder: Path, dataset: str = "digits", **facts) -> Path:
    """A run that looks as if it had been trained on a data set and converted; its file is that of the digits."""
    experiment = replace(load_config("digits"), data=DataConfig(dataset, mean=(0.5,), std=(0.5,)))
    history = history_of_training(dataset, facts.get("init_from"))
    scores = {"scores": {"accuracy": 0.75}, "converted_scores": {"accuracy": 0.5}}
    run = Run.create(folder, "net", experiment, facts={**scores, "history": [asdict(a) for a in history], **facts})
    content = model_file("digits").read_bytes()
    (run.path / "arm64").mkdir()
    (run.path / "arm64/binary.tflite").write_bytes(content)
    entry = {"file": "binary.tflite", "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    document = {"format_version": 1, "file": "binary.tflite", "files": {"binary": entry}, "source": str(run.path)}
    (run.path / "arm64/manifest.json").write_text(json.dumps(document))
    return run.path


def test_a_task_that_no_hub_has_a_word_for(tmp_path):
    path = converted(tmp_path, "digits")
    content = add_metadata(model_file("digits").read_bytes(), {"larqnets": "0", "format": 1, "task": "mean_colour"})
    (path / "arm64/binary.tflite").write_bytes(content)
    manifest = json.loads((path / "arm64/manifest.json").read_text())
    manifest["files"]["binary"]["sha256"] = hashlib.sha256(content).hexdigest()
    (path / "arm64/manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(LarqnetsError, match="'mean_colour' cannot be published, only classification, segmentation"):
        write_folder(Run.open(path), tmp_path / "hub", None, None)
    assert not (tmp_path / "hub").exists()


def test_a_trained_and_converted_run(cli, demo, tmp_path):
    done = cli("publish", demo.run, "--output", "hub", "--licence", "apache-2.0", "--json")
    assert done.code == 0, done.err
    written, card = json.loads(done.out), json.loads((demo.run / "card.json").read_text())
    files = {path.name for path in (tmp_path / "hub").iterdir()}
    assert files == set(written["files"])
    assert files == {
        *("README.md", "config.toml", "card.json", "manifest.json"),
        *("binary.tflite", "float.tflite", "int8.tflite"),
    }
    readme = (tmp_path / "hub/README.md").read_text()
    for part in (
        f"| the file | {card['converted_test_accuracy']:.2%} |",
        "| data set digits | CC BY 4.0 |",
        hashlib.sha256(demo.binary.read_bytes()).hexdigest(),
        "larqnets run model/binary.tflite photo.jpg",
        'license: "apache-2.0"',
    ):
        assert part in readme
    assert (tmp_path / "hub/binary.tflite").read_bytes() == demo.binary.read_bytes()
    assert load_config(str(tmp_path / "hub/config.toml")).model == load_config(str(demo.run / "config.toml")).model
    again = cli("publish", demo.run, "--output", "hub", "--json")
    assert again.code == 0, again.err
    assert 'license_name: "not-stated"' in (tmp_path / "hub/README.md").read_text()


@NEEDS_HUB
def test_the_hub_s_own_package_reads_the_card(cli, tmp_path):
    from huggingface_hub import ModelCard

    path = converted(tmp_path)
    assert cli("publish", path).code == 0
    data = ModelCard.load(path / "hub/README.md").data
    assert (data.license, data.license_name, data.library_name) == ("other", "not-stated", "larqnets")
    assert (data.pipeline_tag, data.datasets, data.metrics) == ("image-classification", ["digits"], ["accuracy"])
    assert {"larqnets", "binary-neural-network", "birealnet", "resnet8"} <= set(data.tags)
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("accuracy", 0.5, "digits")


def test_weights_for_research_only_say_so_and_take_no_other_licence(cli, tmp_path):
    path = converted(tmp_path, "camvid")
    done = cli("publish", path)
    assert "The weights are for research only: they descend from camvid." in done.out
    readme = (path / "hub/README.md").read_text()
    assert 'license_name: "research-only"' in readme
    assert "**The weights are for research only: they descend from camvid.**" in readme
    assert "CC BY-NC 4.0" in readme
    refused = cli("publish", path, "--licence", "mit")
    assert (refused.code, refused.out) == (1, "")
    assert "for research only: they descend from camvid. Leave --licence out" in refused.err


def test_a_data_set_without_a_licence_is_said(cli, tmp_path):
    path = converted(tmp_path, "cifar10", init_from="model:bccd")
    assert "Nobody states a licence of cifar10" in cli("publish", path).out
    readme = (path / "hub/README.md").read_text()
    assert "| data set cifar10 | licence not known |" in readme
    assert "| network model:bccd | Apache 2.0 |" in readme
    assert "| data set bccd | MIT | model:bccd |" in readme


def test_nothing_of_the_machine_and_no_image_is_in_it(cli, tmp_path):
    photos = tmp_path / "somebody and others" / "photos"
    path = converted(tmp_path, f"folder:{photos}", init_from="/home/somebody else/runs/before")
    (path / "arm64/example.png").write_bytes(b"an image")
    (path / "arm64/more.png.tflite").write_bytes(b"not listed")
    done = cli("publish", path)
    assert done.code == 0, done.err
    texts = [(path / "hub" / name).read_text() for name in ("README.md", "card.json", "config.toml", "manifest.json")]
    assert not any("somebody" in text for text in texts)
    assert not any(str(tmp_path) in text for text in texts)
    assert '"folder:photos"' in texts[2]
    assert '"init_from": "before"' in texts[1]
    assert "own images" in texts[0]
    assert "datasets:" not in texts[0]
    assert {entry.name for entry in (path / "hub").iterdir()} == {
        *("binary.tflite", "README.md", "card.json", "config.toml", "manifest.json")
    }


def test_a_file_that_tells_where_images_lay_is_said(cli, tmp_path):
    path = converted(tmp_path)
    before = b'"config": "digits", "dataset": "digits"'
    now = b'"config":"d","dataset":"folder:/a"'.ljust(len(before))
    content = model_file("digits").read_bytes().replace(before, now)
    (path / "arm64/binary.tflite").write_bytes(content)
    manifest = path / "arm64/manifest.json"
    digest = hashlib.sha256(model_file("digits").read_bytes()).hexdigest()
    manifest.write_text(manifest.read_text().replace(digest, hashlib.sha256(content).hexdigest()))
    assert "careful: the metadata of binary.tflite say in which folder the images lay" in cli("publish", path).out


def test_what_is_not_converted_or_was_changed_is_refused(cli, tmp_path):
    path = converted(tmp_path)
    (path / "arm64/binary.tflite").write_bytes(b"another")
    assert "binary.tflite is not the file that was proven. Convert the run again." in cli("publish", path).err
    shutil.rmtree(path / "arm64")
    done = cli("publish", path)
    assert (done.code, done.out) == (1, "")
    assert f"{path} is not converted. Convert it first: larqnets convert {path}." in done.err
    assert not (path / "hub").exists()


def test_somebody_else_s_file_is_not_replaced(cli, tmp_path):
    path = converted(tmp_path)
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub/README.md").write_text("mine")
    assert "README.md is there and was not written by this command" in cli("publish", path, "-o", "hub").err
    assert (tmp_path / "hub/README.md").read_text() == "mine"


@pytest.mark.parametrize("name", ["net", "me/", "/net", "me/net/more", "me/n et", "../net", "me/net\n"])
def test_names_that_no_repository_has(cli, tmp_path, name):
    done = cli("publish", converted(tmp_path), "--upload", name)
    assert (done.code, done.out) == (1, "")
    assert "is no name of a model on a hub. Write USER/NAME." in done.err


def test_without_the_package_a_sentence(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(uploads, "missing", lambda extra: [extra])
    done = cli("publish", converted(tmp_path), "--upload", "me/net")
    assert (done.code, done.out) == (1, "")
    assert (
        'An upload needs huggingface_hub, which is not installed. Install it: pip install "larqnets[hub]"' in done.err
    )


def sent(path: Path, address: str, token: str | None, home: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """`larqnets publish PATH --upload me/net` in a process whose user has this token and no other."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
    environment = kept | {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment["HF_HUB_DISABLE_XET"] = "1"  # a protocol of its own for large files, which the double does not speak
    environment |= {} if token is None else {"HF_TOKEN": token}
    command = [sys.executable, "-m", "larqnets.cli.main", "publish", str(path), "--upload", "me/net", *more]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@NEEDS_HUB
def test_an_upload_arrives_whole_and_the_token_is_nowhere(tmp_path):
    path = converted(tmp_path)
    (path / "hub").mkdir()
    (path / "hub/photo.png").write_bytes(b"an image that lay there")
    with hub_double.running() as hub:
        done = sent(path, hub.address, hub_double.TOKEN, tmp_path / "home", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["address"] == f"{hub.address}/me/net"
    assert hub.repositories == ["me/net"]
    expected = ("README.md", "binary.tflite", "card.json", "config.toml", "manifest.json")
    assert hub.files == {name: (path / "hub" / name).read_bytes() for name in expected}
    assert "hf download me/net --local-dir net" in hub.files["README.md"].decode()
    assert any(said == f"Bearer {hub_double.TOKEN}" for _, _, said in hub.requests)
    assert hub_double.TOKEN not in done.stdout + done.stderr
    for file in path.rglob("*"):
        assert not file.is_file() or hub_double.TOKEN.encode() not in file.read_bytes()
    assert not (tmp_path / "home/token").exists()


@NEEDS_HUB
@pytest.mark.parametrize(
    ("token", "said"),
    [
        (None, "There is no token for the hub. Log in with `hf auth login`, or set HF_TOKEN"),
        ("hf_wrongOne", "The hub did not take me/net: "),
    ],
)
def test_without_a_token_that_may_write_a_sentence(tmp_path, token, said):
    path = converted(tmp_path)
    with hub_double.running() as hub:
        done = sent(path, hub.address, token, tmp_path / "home")
    assert (done.returncode, hub.files) == (1, {})
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert token is None or token not in done.stdout + done.stderr
    assert (path / "hub/README.md").is_file() == (token is not None)  # what can be known before is


@NEEDS_HUB
def test_a_hub_that_is_not_there_is_a_sentence(tmp_path):
    path = converted(tmp_path)
    with hub_double.running() as hub:
        pass
    done = sent(path, hub.address, hub_double.TOKEN, tmp_path / "home")
    assert done.returncode == 1
    assert "The hub did not take me/net: " in done.stderr
    assert "Traceback" not in done.stderr
    assert hub_double.TOKEN not in done.stdout + done.stderr


def test_yaml_of_texts_that_are_none_of_yaml():
    text = to_yaml({"a": 'x: "y" # z', "b": ["- 1", {"c": "é\n", "d": 1.5}], "e": {"f": [True, None]}})
    assert text == ('a: "x: \\"y\\" # z"\nb:\n  - "- 1"\n  - c: "é\\n"\n    d: 1.5\ne:\n  f:\n    - true\n    - null\n')
