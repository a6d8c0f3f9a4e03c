import json

import numpy as np
import tensorflow as tf

from larqnets.runs.weights import build_model
from larqnets.studies.bench_training import CASES, Synthetic, experiment_of, plain_model, plain_pipeline


def test_both_sides_train_the_same_network_on_images_of_the_same_kind():
    case = CASES["digits"]
    experiment = experiment_of(case, ["model.width=0.25"])
    ours = build_model(experiment, case.image_shape, 10)
    plain = plain_model(ours)
    plain.set_weights(ours.get_weights())
    dataset = Synthetic(case, experiment)
    batches = {
        "ours": next(iter(dataset.train_batches(64, 0))),
        "plain": next(iter(plain_pipeline(dataset, experiment))),
    }
    batches["ours"] = (batches["ours"]["image"], batches["ours"]["label"])
    assert batches["ours"][0].shape == batches["plain"][0].shape
    for statistic in (np.mean, np.std, np.min, np.max):
        np.testing.assert_allclose(*(statistic(images) for images, _ in batches.values()), atol=0.05)
    images, labels = batches["ours"]
    results = []
    for model in (ours, plain):
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        gradients = tape.gradient(loss, model.trainable_weights)
        # Larq keeps the scale of a filter in the gradient of its kernel, we do not: directions are compared.
        kernels = [g.numpy().reshape(-1, g.shape[-1]) for g in gradients if len(g.shape) > 1]
        unit = [g / np.linalg.norm(g, axis=0) for g in kernels]
        results.append([logits, *unit, *(g for g in gradients if len(g.shape) == 1)])
    for mine, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-4)


def test_the_benchmark_writes_its_results(process, tmp_path):
    small = ("--case", "digits", "--pairs", "2", "--set", "model.width=0.25")
    outcome = process("bench-training", *small, "--json", cwd=tmp_path)
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    written = json.loads((tmp_path / "results/training.json").read_text())
    assert json.loads(outcome.out) == written
    (entry,) = written["results"]
    assert len(entry["ratios"]) == 2
    assert min(entry["ratios"]) <= entry["ratio"] <= max(entry["ratios"])
    for numbers in ("images_per_second", "peak_bytes"):
        assert set(entry[numbers]) == {"larqnets", "plain_larq"}
        assert min(entry[numbers].values()) > 0
    assert written["machine"]["cpu_count"] >= 1


def test_an_unknown_case_is_named(cli):
    outcome = cli("bench-training", "--case", "cifer10")
    assert outcome.code == 1
    assert "Did you mean 'cifar10'" in outcome.err
