"""A task that the core knows nothing of, with two outputs: how bright an image is, and its mean colour.

It is trained, resumed, converted, proven and run, so that none of these has classification in it.
"""

import csv
import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from training.conftest import resnet5  # noqa: F401 - a fixture that is used by being here
from training.tiny import MemoryDataset, tiny_experiment

from android_bench.measuring.lineup import line_up
from deploy.convert.convert import convert
from deploy.convert.sources import convert_source
from deploy.proof.check import evaluate_subject, verify_file
from deploy.proof.converted import task_entry
from deploy.proof.samples import Samples
from deploy.run.classify import classify
from deploy.run.interpreter import Interpreter
from larqnets import LarqnetsError, create_model
from larqnets.config import TaskConfig, dump_config, load_config, parse_config
from larqnets.data.info import IMAGE
from larqnets.decompose import Settings
from larqnets.post_training.decomposed_run import decompose_network
from larqnets.post_training.network import find_kernels
from larqnets.post_training.steps import Search
from larqnets.reporter import SILENT
from larqnets.runs.names import Order
from larqnets.runs.run import Run
from larqnets.runs.subject import open_subject
from larqnets.studies.curves import draw_curves
from larqnets.studies.pareto import pareto
from larqnets.studies.sweep import sweep
from larqnets.tasks import TASKS, Images, Task, get_task, task_of
from larqnets.tflite.file_metadata import own_metadata
from larqnets.training import TrainingInterruptedError, build_model, load_trained_model, train
from larqnets.training.launch import launch


@dataclasses.dataclass(frozen=True)
class Near:
    """The share of images whose answers all lie within the tolerance, and by itself that of the brightness."""

    tolerance: float
    summed: bool
    names = ("near", "bright")

    def zero(self):
        return {"hits": np.zeros((2,) if self.summed else (0, 2), np.int64)}

    def partial(self, outputs, targets):
        off = [tf.reduce_max(tf.abs(outputs[name] - targets[name]), axis=-1) for name in ("shine", "colour")]
        hits = tf.stack([tf.maximum(*off) < self.tolerance, off[0] < self.tolerance], axis=-1)
        hits = tf.cast(hits, tf.int64)
        return {"hits": tf.reduce_sum(hits, axis=0) if self.summed else hits}

    def result(self, total):
        hits = total["hits"] if self.summed else total["hits"].sum(axis=0)
        return {"near": float(hits[0] / total["images"]), "bright": float(hits[1] / total["images"]), "of_two": 0.5}


@dataclasses.dataclass(frozen=True)
class ShineAndColour(Task):
    name = "shine_and_colour"
    about = "how bright an image is and its mean colour"
    no_answer = "no network that tells brightness and colour"
    headline = "near"

    tolerance: float = 0.25
    summed: bool = True

    def outputs(self, stages, method, backbone, info):
        x = tf.keras.layers.GlobalAvgPool2D(name="head_pool")(method.tail(stages[-1], "head"))
        x = method.averaged(x, "head", backbone)
        colours = info.image_shape[2]
        return {"shine": method.answer(x, 1, "shine_head"), "colour": method.answer(x, colours, "colour_head")}

    def targets(self, example, info):
        colour = tf.reduce_mean(example[IMAGE], axis=[1, 2])
        return {"shine": tf.reduce_max(example[IMAGE], axis=[1, 2, 3])[:, tf.newaxis], "colour": colour}

    def loss(self, config, info):
        return lambda outputs, targets: tf.add_n(
            [tf.reduce_mean((outputs[name] - targets[name]) ** 2, axis=-1) for name in ("shine", "colour")]
        )

    def loss_of(self, model):
        return self.loss(None, None)

    def metric(self, info):
        return Near(self.tolerance, self.summed)

    def metadata(self, info):
        return {"tolerance": self.tolerance}

    def decode(self, outputs, facts):
        return [
            {"shine": float(shine[0]), "colour": colour.tolist(), "within": facts["tolerance"]}
            for shine, colour in zip(outputs["shine"], outputs["colour"], strict=True)
        ]

    def agreement(self, ours, theirs):
        return float(np.mean(np.abs(ours["shine"] - theirs["shine"]) < 0.01))


@pytest.fixture(scope="module", autouse=True)
def registered():
    """There is the task, until these tests are done."""
    get_task()  # reads the folder of tasks
    TASKS.register(ShineAndColour.name)(ShineAndColour)
    yield
    del TASKS._entries[ShineAndColour.name]


TOML = """
[model]
method = "birealnet"
backbone = "resnet8"
width = 0.5
[data]
dataset = "digits"
crop_padding = 1
[task]
kind = "shine_and_colour"
tolerance = 0.5
[train]
epochs = 2
batch_size = 128
learning_rate = 0.01
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory, tfds_dir) -> Run:
    """Two epochs on the digits, converted with its twins."""
    folder = tmp_path_factory.mktemp("second")
    (folder / "shine.toml").write_text(TOML)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(tfds_dir))
        run = launch(Order(str(folder / "shine.toml"), runs=folder), SILENT)
        convert_source(run.path, "arm64", twins=True, arm64_proof=False)
        yield Run.open(run.path)


def test_it_trains_and_its_scores_have_their_names(run):
    with run.metrics.open() as file:
        rows = list(csv.DictReader(file))
    names = ["train_loss", "train_near", "train_bright", "test_loss", "test_near", "test_bright"]
    assert list(rows[0]) == ["stage", "epoch", "step", "learning_rate", *names, "images_per_second", "seconds"]
    assert float(rows[-1]["train_loss"]) < float(rows[0]["train_loss"])
    assert (run.card.headline, run.card.test_accuracy) == ("near", None)
    assert run.card.document["test_near"] == run.card.score == pytest.approx(float(rows[-1]["test_near"]))
    assert sorted(run.card.scores) == ["bright", "near", "of_two"]


def test_it_converts_with_its_twins_and_every_output_is_proven(run):
    manifest = json.loads((run.path / "arm64" / "manifest.json").read_text())
    assert sorted(manifest["files"]) == ["binary", "float", "int8"]
    proof = manifest["verification"]
    assert proof["equal"]
    assert proof["accuracy_trained"] is None
    assert proof["scores_converted"]["near"] == pytest.approx(proof["scores_trained"]["near"], abs=0.01)
    assert proof["argmax_agreement"] > 0.95
    interpreter = Interpreter(run.path / "arm64" / "binary.tflite")
    assert [port.names[0] for port in interpreter.interface.outputs] == ["shine", "colour"]
    metadata = own_metadata(interpreter.model)
    assert (metadata["task"], metadata["tolerance"]) == ("shine_and_colour", 0.5)
    assert task_of(interpreter.model) == get_task(run.config.task)
    images = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype(np.float32)
    due = load_trained_model(run)(images, training=False)
    for ours, theirs in zip(due, interpreter.predict(images), strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-3)


def test_a_file_is_verified_evaluated_and_run(run, tmp_path):
    file = run.path / "arm64" / "binary.tflite"
    assert verify_file(file, None).equal
    of_run, of_file = evaluate_subject(run.path), evaluate_subject(file)
    assert of_run["near"] == pytest.approx(run.card.score)
    assert of_file["near"] == pytest.approx(of_run["near"], abs=0.01)
    Image.fromarray(np.full((8, 8), 200, np.uint8)).save(tmp_path / "grey.png")
    (answer,) = classify(file, tmp_path / "grey.png")["predictions"]
    assert (sorted(answer), answer["within"], len(answer["colour"])) == (["colour", "shine", "within"], 0.5, 1)


def test_a_sweep_its_front_and_its_curves_tell_it_by_its_score(run, tmp_path):
    config = str(run.path.parent / "shine.toml")
    shown = sweep([config], runs=run.path.parent, table=tmp_path / "sweep.csv", arm64_proof=False, reporter=SILENT)
    (row,) = shown["rows"]
    assert (shown["score"], row["test_near"], row["converted_test_near"]) == (
        *("near", run.card.score),
        pytest.approx(run.card.score, abs=0.01),
    )
    assert (tmp_path / "sweep.csv").read_text().startswith("method,backbone,seed,test_near,converted_test_near,")
    (point,) = pareto(tmp_path / "sweep.csv", tmp_path / "p.png", "file_bytes")["points"]
    assert point["near"] == row["converted_test_near"]
    (curve,) = draw_curves([run.path], tmp_path / "c.png")["runs"].values()
    assert curve["test_near"][-1] == pytest.approx(run.card.score)
    (entrant, *_) = line_up([run.path / "arm64" / "binary.tflite"])
    assert (entrant.record().score, entrant.record().accuracy) == ("near", row["converted_test_near"])
    with pytest.raises(LarqnetsError, match="is ranked by near and digits by accuracy"):
        sweep([config, "digits"], runs=run.path.parent, table=tmp_path / "sweep.csv", reporter=SILENT)


def test_it_is_decomposed_by_its_score_and_all_of_its_outputs(run, tmp_path):
    """Its real layers; what both outputs are moved by counts, and what is lost is lost of its own score."""
    wanted = Search(max_drop=5, images=64)
    subject = open_subject(run.path)
    shown = decompose_network(subject, Settings(int8_payload=True), name="cbd", runs=tmp_path, search=wanted).card
    found = shown.document["search"]
    assert found["calibration_near"] > 0
    assert {"mixed", "validation_images", "calibration_accuracy"}.isdisjoint(found)
    assert (shown.document["float_near"], shown.headline) == (run.card.score, "near")
    assert shown.document["test_near"] == pytest.approx(run.card.score, abs=0.15)
    heads = ("shine_head", "colour_head")
    assert all(found["sensitivity"][head] > 0 for head in heads)
    kernels = [kernel for kernel in find_kernels(load_trained_model(run)) if kernel.name in heads]
    assert len({round(found["sensitivity"][kernel.name], 6) for kernel in kernels}) == 2


@pytest.mark.parametrize("change", ["shine", "colour"])
def test_a_file_whose_one_output_is_wrong_is_not_equal(run, change):
    model = load_trained_model(run)
    content = (run.path / "arm64" / "binary.tflite").read_bytes()
    samples = Samples(np.random.default_rng(0).normal(size=(40, 8, 8, 1)).astype(np.float32), task=get_task())
    layer = model.get_layer(f"{change}_head")
    layer.bias.assign_add(np.full(layer.bias.shape, 0.1))
    from deploy.proof.verify import verify

    found = verify(content, model, samples.images, task=ShineAndColour(), real_samples=False)
    assert not found.equal
    assert "the logits differ" in found.reasons[0]


@pytest.mark.parametrize("summed", [True, False])
def test_it_resumes_with_the_same_bits(tmp_path, summed):
    experiment = dataclasses.replace(tiny_experiment(epochs=2), task=TaskConfig("shine_and_colour", {"summed": summed}))

    def go(run, **options):
        return train(experiment, run, MemoryDataset(), build_model(experiment, (6, 6, 1), 3), **options)

    whole, halved = (Run.create(tmp_path, name, experiment) for name in ("whole", "halved"))
    model = go(whole)
    with pytest.raises(TrainingInterruptedError):
        go(halved, stop=lambda step: step == 9)
    again = go(Run.open(halved.path))
    assert all((a == b).all() for a, b in zip(model.get_weights(), again.get_weights(), strict=True))
    rows = [list(csv.DictReader(run.metrics.open())) for run in (whole, halved)]
    assert ("train_near" in rows[0][0]) == summed
    for key in rows[0][0].keys() - {"images_per_second", "seconds"}:
        assert [row[key] for row in rows[0]] == [row[key] for row in rows[1]]


def test_the_outputs_of_a_method_whose_last_layer_is_a_norm_keep_their_names():
    tf.keras.utils.set_random_seed(0)
    task = ShineAndColour()
    model = create_model("binarynet", "vgg_small", (8, 8, 3), 2, width=0.125, task=task)
    assert model.output_names == ["shine", "colour"]
    images = np.random.default_rng(0).normal(size=(40, 8, 8, 3)).astype(np.float32)
    converted = convert(model, Samples(images, {}, 40, task=task, info=Images((8, 8, 3), 2)))
    assert converted.verification.equal
    assert converted.scores == converted.verification.scores_converted


def test_a_config_has_the_options_of_its_task_and_is_written_back():
    experiment = parse_config(TOML, "shine.toml", ["task.summed=false"])
    assert get_task(experiment.task) == ShineAndColour(tolerance=0.5, summed=False)
    assert parse_config(dump_config(experiment), "again") == experiment
    assert "[task]" not in dump_config(load_config("digits"))
    assert task_entry(Samples(np.zeros((1, 2, 2, 1), np.float32))) == {}


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("task.kind=segmantation", "There is no task 'segmantation'"),
        ("task.tolerence=1.0", r"unknown key 'task.tolerence'. Did you mean 'tolerance'\?"),
        ("task.tolerance=wide", "'task.tolerance' must be of type float"),
    ],
)
def test_what_a_task_does_not_know_is_told_before_a_run_exists(tmp_path, tfds_dir, monkeypatch, override, sentence):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))
    (tmp_path / "shine.toml").write_text(TOML)
    with pytest.raises(LarqnetsError, match=sentence):
        launch(Order(str(tmp_path / "shine.toml"), runs=tmp_path / "runs", overrides=[override]), SILENT)
    assert not (tmp_path / "runs").exists()


def test_a_task_that_cannot_learn_from_a_teacher_says_so(run, tmp_path):
    with pytest.raises(LarqnetsError, match="A network for shine_and_colour cannot learn from the answers of another"):
        launch(Order(str(run.path / "config.toml"), "taught", tmp_path, [f"train.teacher={run.path}"]), SILENT)


def test_a_body_goes_to_another_task_and_back_and_all_of_it_to_the_same(run, tmp_path, tfds_dir, monkeypatch):
    """Both directions with a new head; for the same task on the same classes the head is taken, too."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))
    (tmp_path / "shine.toml").write_text(TOML)

    def start(name, origin, *overrides):
        short = ["train.epochs=1", "train.batch_size=1347", *overrides]
        order = Order(str(tmp_path / "shine.toml"), name, tmp_path, short, init_from=origin.path)
        return launch(order, SILENT)

    classifier = start("classifier", run, 'task={kind="classification"}')
    back = start("back", classifier)
    again = start("again", run)
    assert again.card.transfer.new == {}
    for of, there, heads in (
        (classifier, "shine_and_colour", ["classifier"]),
        (back, "classification", ["shine_head", "colour_head"]),
    ):
        assert {name.split("/")[0] for name in of.card.transfer.new} == {*heads}
        assert set(of.card.transfer.new.values()) == {f"the head is new, for another task, {there} there"}
        assert len(of.card.transfer.taken) == len(load_trained_model(of).weights) - 2 * len(heads)
    assert {name.split("/")[0] for name in classifier.card.transfer.unused} == {"shine_head", "colour_head"}
