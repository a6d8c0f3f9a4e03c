"""The forms of Group-Net's training step are one function, and the benchmark writes what it measured."""

import json

import numpy as np
import pytest
from small_backbones import registered

from larqnets.config import TrainConfig
from larqnets.studies.bench_groupnet import FORMS, Setting, build, make_step, noise

SMALL = Setting(backbone="resnet5", width=0.5, image_size=8, batch_size=6)
SGD = TrainConfig(epochs=1, optimizer="sgd", momentum=0.0, learning_rate=0.1)
SAME = [name for name, form in FORMS.items() if name != "separate" and not form.mixed]  # bfloat16 rounds


def as_in(model, values, k):
    """The weights of the separate form, laid out as `model` has them."""

    def of(weight):
        if weight.name in values:
            return values[weight.name]
        parts = [values[weight.name.replace("branches", f"branch{branch}")] for branch in range(1, k + 1)]
        return np.concatenate(parts, -1).reshape(weight.shape)

    return [of(weight) for weight in model.weights]


@pytest.fixture(scope="module", autouse=True)
def small_backbone():
    with registered():
        yield


@pytest.fixture(scope="module", params=[1, 3], ids="K={}".format)
def separate(request):
    """K, drawn weights by name, and the loss and the weights after one step."""
    model, draw = build(FORMS["separate"], SMALL, request.param), np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(draw.normal(size=weight.shape) * 0.3 + ("variance" in weight.name or "gamma" in weight.name))
        if "variance" in weight.name:
            weight.assign(np.abs(weight))
    before = {weight.name: weight.numpy() for weight in model.weights}
    loss = make_step(FORMS["separate"], model, SGD)(*noise(SMALL)).numpy()
    return request.param, before, loss, {weight.name: weight.numpy() for weight in model.weights}


@pytest.mark.parametrize("name", SAME)
def test_every_form_has_the_same_loss_gradients_and_statistics(separate, name):
    """One step of gradient descent: what the weights become is the gradient. float32 sums in other orders.

    Keras' fused BatchNorm keeps the unbiased running variance, n/(n - 1) times the other one's; n is at least 6 * 2 * 2.
    """
    k, before, loss, after = separate
    model = build(FORMS[name], SMALL, k)
    model.set_weights(as_in(model, before, k))
    found = make_step(FORMS[name], model, SGD)(*noise(SMALL)).numpy()
    assert found == pytest.approx(loss, rel=1e-5)
    moved = 0
    for weight, start, expected in zip(model.weights, as_in(model, before, k), as_in(model, after, k), strict=True):
        rtol = 1 / 23 if name == "batched" and "moving_variance" in weight.name else 1e-4
        np.testing.assert_allclose(weight, expected, rtol=rtol, atol=1e-5, err_msg=weight.name)
        moved += np.abs(expected - start).max() > 1e-4
    assert moved > 0.9 * len(model.weights)


def test_the_benchmark_writes_a_row_for_every_form(cli, monkeypatch, tmp_path):
    """Each form is a process: those whose step no test above runs, the compiled one, and `separate` to compare with."""
    forms = {name: form for name, form in FORMS.items() if name == "separate" or form.jit or form.mixed}
    monkeypatch.setattr("larqnets.studies.bench_groupnet.FORMS", forms)
    small = ("--k", 2, "--turns", 2, "--width", 0.25, "--batch", 4, "--size", 8)
    outcome = cli("bench-groupnet-training", *small, "--json")
    assert outcome.code == 0, outcome.err
    written = json.loads((tmp_path / "results/groupnet_training.json").read_text())
    assert json.loads(outcome.out) == written
    assert [(row["k"], row["form"]) for row in written["rows"]] == [(2, form) for form in forms]
    for row in written["rows"]:
        assert min(row["images_per_second"], row["trace_seconds"], row["cpu_seconds_per_step"]) > 0
        assert row["peak_memory_mb"] > 100
        assert min(row["speeds_to_separate"]) <= row["speed_to_separate"] <= max(row["speeds_to_separate"])
        assert bool(row["share_of_ops"]) != FORMS[row["form"]].jit
    assert written["rows"][0]["speed_to_separate"] == 1
    assert "Conv2DBackpropFilter" in written["rows"][0]["share_of_ops"]
