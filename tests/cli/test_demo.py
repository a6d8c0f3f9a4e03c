"""What `make demo` promises to those who read its files: names, types and units of the card, the manifest, `inspect`."""

import hashlib
import json

import pytest

KINDS = ["binary", "int8", "float", "glue"]


@pytest.fixture(scope="module")
def card(demo):
    return json.loads((demo.run / "card.json").read_text())


@pytest.fixture(scope="module")
def manifest(demo):
    return json.loads((demo.run / "arm64" / "manifest.json").read_text())


def test_card_has_both_accuracies_as_fractions(card):
    for name in ("test_accuracy", "converted_test_accuracy"):
        assert isinstance(card[name], float)
        assert 0.5 < card[name] <= 1  # two epochs reach about 0.8
    assert card["test_accuracy"] == pytest.approx(card["converted_test_accuracy"], abs=0.005)
    assert card["status"] == "trained"
    assert card["epochs_done"] == 2
    assert card["converted"] == "runs/demo/arm64/binary.tflite"


def test_manifest_tells_the_proof_and_the_size(demo, manifest):
    assert manifest["file"] == "binary.tflite"
    assert manifest["file_bytes"] == demo.binary.stat().st_size
    assert manifest["verification"]["equal"] is True
    assert manifest["verification"]["samples"] == 1000
    assert manifest["float_fallbacks"] == []
    assert [layer["wrong"] for layer in manifest["verification"]["layers"]] == [0] * 6


def test_manifest_describes_every_file(demo, manifest):
    assert set(manifest["files"]) == {"binary", "float", "int8"}
    for entry in manifest["files"].values():
        content = (demo.run / "arm64" / entry["file"]).read_bytes()
        assert entry["bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert {p.name for p in (demo.run / "arm64").iterdir()} == {
        "manifest.json",
        *(entry["file"] for entry in manifest["files"].values()),
    }
    constants = manifest["files"]["binary"]["constants"]
    assert constants["predicted"] == constants["found"]


def test_json_of_the_verbs_is_what_the_files_say(demo, card, manifest):
    trained, converted = json.loads(demo.train.out), json.loads(demo.convert.out)
    assert trained.items() >= {"run": "runs/demo", "test_accuracy": card["test_accuracy"]}.items()
    assert converted == {**manifest, "folder": "runs/demo/arm64"}


def test_evaluate_finds_the_accuracies_of_the_card(demo, cli, card):
    of_run = json.loads(cli("evaluate", demo.run, "--json").out)
    of_file = json.loads(cli("evaluate", demo.binary, "--json").out)
    assert of_run["images"] == of_file["images"] == 450
    assert of_run["accuracy"] == pytest.approx(card["test_accuracy"], abs=1e-9)
    assert of_file["accuracy"] == pytest.approx(card["converted_test_accuracy"], abs=1e-9)
    assert abs(of_run["accuracy"] - of_file["accuracy"]) <= 0.005


def test_verify_proves_it_again(demo, cli, manifest):
    again = json.loads(cli("verify", demo.binary, "--json").out)
    assert again == manifest["verification"]


def test_inspect_lists_ops_and_totals(demo, cli):
    inspected = json.loads(cli("inspect", demo.binary, "--json").out)
    for index, op in enumerate(inspected["ops"]):
        assert op["index"] == index
        assert op["kind"] in KINDS
        assert all(isinstance(op[key], str) for key in ("op", "name"))
        assert all(isinstance(op[key], int) for key in ("macs", "bytes"))
    totals = inspected["totals"]
    assert totals["binary"]["ops"] == 6
    for kind in KINDS:
        mine = [op for op in inspected["ops"] if op["kind"] == kind]
        expected = {"ops": len(mine), "macs": sum(o["macs"] for o in mine), "bytes": sum(o["bytes"] for o in mine)}
        assert totals[kind] == expected
    assert totals["file_bytes"] == demo.binary.stat().st_size
    assert inspected["metadata"]["run"]["name"] == "demo"


def test_run_labels_an_image(demo, cli):
    answer = json.loads(cli("run", demo.binary, "--json", "--top", "2", _example()).out)
    (ranked,) = answer["predictions"]
    assert len(ranked) == 2
    assert ranked[0]["probability"] >= ranked[1]["probability"]
    assert ranked[0]["label"] in "0123456789"


def test_shipped_model_knows_its_example(cli):
    answer = json.loads(cli("run", "digits", "--json").out)
    assert answer["predictions"][0][0].items() >= {"label": "7", "class": 7}.items()
    (pixels,) = json.loads(cli("run", "nuclei", "--json").out)["predictions"]
    shares = {each["label"]: each["share"] for each in pixels}
    things = [thing for thing in json.loads(cli("run", "bccd", "--json").out)["predictions"] if thing["score"] > 0.7]
    assert sorted(thing["label"] for thing in things) == ["RBC", "RBC", "RBC", "WBC"]
    (white,) = [thing["box"] for thing in things if thing["label"] == "WBC"]
    assert white == pytest.approx([81.1, 36.6, 159.6, 107.4], abs=1)  # around the one white cell
    assert shares == pytest.approx({"background": 0.697, "nucleus": 0.303}, abs=0.01)  # in its mask are 30 %


def test_summary_counts_what_the_file_holds(demo, cli):
    counted = json.loads(cli("summary", demo.run, "--json").out)["totals"]
    found = json.loads(cli("inspect", demo.binary, "--json").out)["totals"]
    assert found == json.loads(cli("inspect", demo.run, "--json").out)["totals"]  # the run's folder will do
    assert counted["binary_macs"] == found["binary"]["macs"]


def test_summary_takes_options_of_a_method(cli):
    """SD-BNN's heads on ResNet-18: 283,648 weights with reduction 8 (its section on cost), half of them with 16."""
    heads = {}
    for option in ("reduction=8", "reduction=16", "asd=false"):
        done = cli("summary", "sdbnn", "--backbone", "resnet18", "--set", option, "--json")
        assert done.code == 0, done.err
        heads[option] = json.loads(done.out)["totals"]["real_macs"]
    assert heads["reduction=8"] - heads["asd=false"] == 283_648
    assert heads["reduction=16"] - heads["asd=false"] == 283_648 // 2


def test_runs_are_listed_with_their_accuracy(demo, cli, card):
    listed = cli("list", "runs", "--runs", demo.folder / "runs")
    assert f"birealnet on resnet8, digits, trained, test accuracy {card['test_accuracy']:.2%}" in listed.out


def _example():
    from deploy.run.shipped import example_of

    return example_of("digits")
