"""`parameters.csv`: gates and factors over the epochs, as exact after a resume as the metrics."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from larqnets.config import ModelConfig
from larqnets.layers.branches import SoftGate, WeightedSum
from larqnets.layers.link_scale import LinkScale
from larqnets.runs.run import Run
from larqnets.training import TrainingInterruptedError

from .test_loop import train_once
from .tiny import tiny_experiment

GATES = ["stage2_block1_gate/g", "stage3_block1_gate/g"]


def read(run):
    with run.parameters.open(newline="") as file:
        return [(row["epoch"], row["name"], float(row["value"])) for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def experiment():
    model = ModelConfig("groupnet", "resnet8", width=0.25, options={"k": 2})
    return dataclasses.replace(tiny_experiment(), model=model)


@pytest.fixture(scope="module")
def finished(experiment, tmp_path_factory):
    run = Run.create(tmp_path_factory.mktemp("runs"), "gated", experiment)
    return Run.open(run.path), train_once(experiment, run)


def test_every_epoch_has_the_gates_of_its_end(finished):
    run, model = finished
    lines = read(run)
    assert [line[:2] for line in lines] == [(epoch, gate) for epoch in "123" for gate in GATES]
    last = {name: value for epoch, name, value in lines if epoch == "3"}
    for name in GATES:
        theta = float(model.get_layer(name.removesuffix("/g")).theta)
        assert last[name] == pytest.approx(1 / (1 + np.exp(-theta)), rel=1e-6)
        assert last[name] != pytest.approx(1 / (1 + np.exp(-0.5)), rel=1e-4)  # where it began


def test_tensorboard_shows_them(finished):
    run, _ = finished
    (events,) = run.tensorboard.glob("events.out.tfevents.*")
    values = [v for e in tf.compat.v1.train.summary_iterator(str(events)) for v in e.summary.value]
    shown = [float(tf.make_ndarray(value.tensor)) for value in values if value.tag == GATES[0]]
    np.testing.assert_allclose(shown, [value for _, name, value in read(run) if name == GATES[0]], rtol=1e-6)


def test_a_resumed_run_has_the_same_file(experiment, finished, tmp_path):
    """Stopped in the second epoch; a line of an epoch behind the checkpoint, as a kill leaves it, is gone."""
    run = Run.create(tmp_path, "broken", experiment)
    with pytest.raises(TrainingInterruptedError):
        train_once(experiment, run, stop=lambda step: step == 10)
    with run.parameters.open("a") as file:
        file.write(f"2,{GATES[0]},0.123\n")
    train_once(experiment, run)
    assert run.parameters.read_bytes() == finished[0].parameters.read_bytes()


def test_what_layers_report():
    x = tf.ones((1, 2, 2, 3))
    shared, own, total = SoftGate(0.5), SoftGate(0.5, per_branch=True), WeightedSum()
    link, links = LinkScale(initial=0.1), LinkScale(per_channel=True)
    for layer in (shared, own, total):
        layer([x, x, x] if layer is not total else [x, x])
    for layer in (link, links):
        layer(x)
    own.theta.assign([0.0, np.log(3.0)])
    links.gamma.assign([1.0, 2.0, 6.0])
    for layer, expected in (
        (shared, {"g": 0.6224593}),
        (own, {"g1": 0.5, "g2": 0.75}),
        (total, {"lambda1": 0.5, "lambda2": 0.5}),
        (link, {"gamma": 0.1}),
        (links, {"gamma_mean": 3.0}),
    ):
        assert {name: float(value) for name, value in layer.reported().items()} == pytest.approx(expected)


def test_curves_draws_them(finished, cli, tmp_path):
    run, _ = finished
    done = cli("curves", run.path, run.path, "--parameters", "--output", tmp_path / "gates.png", "--json")
    assert done.code == 0, done.err
    drawn = json.loads(done.out)["runs"]["gated"]
    assert list(drawn) == GATES
    assert drawn[GATES[1]]["value"] == [value for _, name, value in read(run) if name == GATES[1]]
    with Image.open(tmp_path / "gates.png") as picture:
        darkest = picture.convert("RGB").getcolors(1 << 20)
        assert sum(count for count, colour in darkest if colour == (68, 1, 84)) > 50  # viridis begins there


def test_a_run_without_any_has_no_file_and_says_so(demo, cli, tmp_path):
    assert not (demo.run / "parameters.csv").exists()
    done = cli("curves", demo.run, "--parameters")
    assert done.code == 1
    assert "reports no scalars" in done.err
    assert not (tmp_path / "curves.png").exists()
