"""Training in stages from the command line to the converted file."""

import json

SMALL = ("--set", "train.epochs=1", "--set", "model.width=0.5")


def test_a_run_in_stages_is_trained_taught_and_converted(cli, tmp_path):
    assert cli("train", "digits_real", "--name", "teacher", *SMALL).code == 0
    taught = cli("train", "digits_stages", "--name", "taught", *SMALL, "--set", "train.teacher=runs/teacher")
    assert taught.code == 0, taught.err
    assert "Stage 2 of 2, binary: binary." in taught.err
    assert "binary_activations: 1 epochs" in taught.out
    card = json.loads((tmp_path / "runs/taught/card.json").read_text())
    assert [stage["teacher"] for stage in card["stages"]] == ["runs/teacher"] * 2
    converted = cli("convert", "runs/taught", "--json")
    assert converted.code == 0, converted.err
    assert json.loads(converted.out)["files"]["binary"]["binary_mac_share"] > 0.9


def test_a_run_whose_weights_are_still_real_is_not_converted(cli, tmp_path):
    assert cli("train", "digits_stages", "--name", "half", *SMALL, "--set", "stages.1.precision=real").code == 0
    evaluated = cli("evaluate", "runs/half", "--json")
    card = json.loads((tmp_path / "runs/half/card.json").read_text())
    assert json.loads(evaluated.out)["accuracy"] == card["test_accuracy"]
    refused = cli("convert", "runs/half")
    assert refused.code == 1
    assert "The weights of runs/half are still real" in refused.err
    assert "precision = 'binary'" in refused.err
    assert not (tmp_path / "runs/half/arm64").exists()


def test_what_is_wrong_with_a_later_stage_is_said_before_a_run_exists(cli, tmp_path):
    for change, sentence in [
        ("stages.1.teacher=runs/absent", "There is no run at runs/absent"),
        ("model.method=real", "Stage 'binary_activations': Method 'real' has no binary"),
        ("stages.1.warmup_epochs=1", "train.warmup_epochs is 1"),
    ]:
        failed = cli("train", "digits_stages", *SMALL, "--set", change)
        assert failed.code == 1
        assert sentence in failed.err
    assert not (tmp_path / "runs").exists()
