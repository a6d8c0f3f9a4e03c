"""`larqnets sweep`: one table, killed and started again, experiments that fail."""

import csv
import json
import os
import signal
import subprocess
import sys

import pytest

from android_bench.emulation.qemu import count
from larqnets.errors import LarqnetsError
from larqnets.studies.sweep_plan import plan
from larqnets.studies.sweep_table import sweep_table

COLUMNS = tuple(sweep_table("accuracy").columns)
TINY = ("--set", "train.epochs=2", "--set", "model.width=0.25", "--set", "train.batch_size=128")


def table(path):
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
    assert tuple(reader.fieldnames) == COLUMNS
    return rows


def weights(run):
    """SHA-256 of the weights and optimizer slots of a run's last checkpoint."""
    newest = max((run / "checkpoints").glob("step-*"))
    state = json.loads((newest / "state.json").read_text())
    return state["step"], state["files"]["weights.data-00000-of-00001"]["sha256"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory, forked, tfds_dir):
    """Two experiments; the process is killed in the second one, and the same command given again."""
    folder = tmp_path_factory.mktemp("sweep")
    command = ("sweep", "digits", "digits_real", *TINY, "--csv", "results/table.csv", "--no-arm64-proof")
    with subprocess.Popen(
        [sys.executable, "-m", "larqnets.cli.main", *command],
        cwd=folder,
        env=os.environ | {"TFDS_DATA_DIR": str(tfds_dir)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as killed:
        second = False
        for line in killed.stderr:
            second = second or line.startswith("[2/2]")
            if second and line.startswith("epoch 1/2"):
                break
        killed.send_signal(signal.SIGKILL)
    after_kill = table(folder / "results/table.csv")
    return folder, after_kill, forked(*command, "--json", cwd=folder)


def test_a_killed_sweep_keeps_its_table_and_goes_on(swept):
    folder, after_kill, outcome = swept
    assert [row["method"] for row in after_kill] == ["birealnet"]
    assert outcome.code == 0, outcome.err
    assert "proven on x86; ARM64 not proven: switched off by --no-arm64-proof" in outcome.err
    assert "digits-seed0 is finished" in outcome.err
    assert "[2/2] digits_real-seed0" in outcome.err
    rows = table(folder / "results/table.csv")
    assert rows[0] == after_kill[0]
    assert [(row["method"], row["backbone"], row["seed"]) for row in rows] == [
        ("birealnet", "resnet8", "0"),
        ("real", "resnet8", "0"),
    ]
    shown = json.loads(outcome.out)
    assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in shown["rows"]] == rows
    assert shown["failed"] == []


def test_rows_say_what_card_and_file_say(swept):
    folder, _, _ = swept
    for row, (run, file) in zip(
        table(folder / "results/table.csv"), {"digits": "binary", "digits_real": "float"}.items(), strict=True
    ):
        path = folder / "runs" / f"{run}-seed0"
        card = json.loads((path / "card.json").read_text())
        assert float(row["test_accuracy"]) == card["test_accuracy"]
        assert float(row["converted_test_accuracy"]) == card["converted_test_accuracy"]
        assert card["converted_test_images"] == 450
        assert int(row["file_bytes"]) == (path / "arm64" / f"{file}.tflite").stat().st_size
        assert float(row["seconds"]) == card["seconds"] > 0
        assert (int(row["binary_macs"]) > 0) == (file == "binary")
        assert int(row["float_macs"]) > 0


def test_instructions_are_counted_where_an_emulator_is(bundle, swept, cli, monkeypatch):
    folder, _, _ = swept
    monkeypatch.chdir(folder)
    outcome = cli("sweep", "digits", "digits_real", *TINY, "--csv", "results/table.csv", "--json")
    assert outcome.code == 0, outcome.err
    for row, file in zip(
        json.loads(outcome.out)["rows"], ("digits-seed0/arm64/binary", "digits_real-seed0/arm64/float"), strict=True
    ):
        assert row["arm64_instructions"] == count(folder / f"runs/{file}.tflite", per_op=False).instructions
    again = cli("sweep", "digits", "digits_real", *TINY, "--csv", "results/table.csv")
    assert "counting" not in again.err


def test_without_a_runtime_the_column_is_empty_and_that_is_said(swept, cli, monkeypatch, tmp_path):
    folder, _, _ = swept
    monkeypatch.setenv("LARQNETS_RUNTIME", str(tmp_path / "nowhere"))
    monkeypatch.chdir(folder)
    outcome = cli("sweep", "digits", *TINY, "--seeds", "1", "--csv", tmp_path / "other.csv")
    assert outcome.code == 0, outcome.err
    assert "arm64_instructions stays empty: " in outcome.err
    assert table(tmp_path / "other.csv")[0]["arm64_instructions"] == ""


def test_a_table_of_an_earlier_version_is_written_anew(swept, cli, monkeypatch, tmp_path):
    folder, _, _ = swept
    old = tmp_path / "old.csv"
    old.write_text(",".join(COLUMNS[:-1]) + "\n")
    monkeypatch.chdir(folder)
    assert cli("sweep", "digits", *TINY, "--csv", old).code == 0
    assert len(table(old)) == 1


def test_a_config_may_have_seeds_of_its_own(tmp_path):
    planned = plan(["digits@3,4", "digits_real"], "5", (), tmp_path)
    assert [p.run.name for p in planned] == ["digits-seed3", "digits-seed4", "digits_real-seed5"]


def test_options_of_the_method_become_columns(cli, tmp_path, tfds_dir):
    other = ("sweep", "digits", *TINY, "--set", "model.method=irnet", "--no-convert", "--csv", "new.csv")
    wrong = cli(*other, "--columns", "t_mn")
    assert wrong.code == 1
    assert "Method 'irnet' has no option 't_mn' to make a column of. Did you mean 't_min'?" in wrong.err
    assert not (tmp_path / "runs").exists()
    outcome = cli(*other, "--columns", "t_min,downsample", "--json")
    assert outcome.code == 0, outcome.err
    (row,) = json.loads(outcome.out)["rows"]
    with (tmp_path / "new.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        assert [(line["t_min"], line["downsample"]) for line in reader] == [(str(row["t_min"]), row["downsample"])]
    assert tuple(reader.fieldnames) == (*COLUMNS, "t_min", "downsample")


def test_a_run_of_a_sweep_is_the_run_alone(swept, forked, tmp_path):
    folder, _, _ = swept
    assert forked("train", "digits_real", *TINY, cwd=tmp_path).code == 0
    assert weights(tmp_path / "runs/digits_real-seed0") == weights(folder / "runs/digits_real-seed0")


def test_a_second_time_nothing_is_trained_and_a_stale_file_is_converted_again(swept, cli, monkeypatch):
    folder, _, _ = swept
    before = table(folder / "results/table.csv")  # with or without instructions, as the machine has it
    path = folder / "runs/digits-seed0/arm64/binary.tflite"
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"?")
    monkeypatch.chdir(folder)
    outcome = cli("sweep", "digits", "digits_real", *TINY, "--csv", "results/table.csv")
    assert outcome.code == 0, outcome.err
    assert "epoch" not in outcome.err.replace("epochs are trained", "")
    assert path.read_bytes() == good
    assert table(folder / "results/table.csv") == before


def test_what_fails_is_told_at_the_end_and_the_others_run(cli, tmp_path):
    config = (
        '[model]\nmethod = "real"\nbackbone = "resnet8"\nwidth = 0.25\n[data]\ndataset = "{}"\n[train]\nepochs = 1\n'
    )
    (tmp_path / "lost.toml").write_text(config.format("folder:nowhere"))
    (tmp_path / "nan.toml").write_text(
        config.format("digits") + 'optimizer = "sgd"\nlearning_rate = 1000\nweight_decay = 1000\n'
    )
    (tmp_path / "good.toml").write_text(config.format("digits"))
    lost = cli("sweep", "lost.toml", "good.toml", "--no-convert", "--seeds", "5")
    assert (lost.code, lost.out, (tmp_path / "runs").exists()) == (1, "", False)
    assert "There is no folder nowhere." in lost.err
    outcome = cli("sweep", "nan.toml", "good.toml", "--no-convert", "--seeds", "5")
    assert outcome.code == 1
    last = outcome.err.strip().splitlines()[-1]
    assert "1 of 2 experiments failed. runs/nan-seed5" in last
    assert "runs/nan-seed5: The loss is no longer finite" in last
    (row,) = table(tmp_path / "runs/sweep.csv")
    assert (row["seed"], row["converted_test_accuracy"], row["file_bytes"]) == ("5", "", "")
    assert "real" in outcome.out


def test_two_sweeps_do_not_write_one_table(cli, tmp_path):
    hold = (
        "import sys; from pathlib import Path; from larqnets.files import locked\n"
        "with locked(Path('t.csv')): print('in', flush=True); sys.stdin.readline()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", hold], cwd=tmp_path, **pipes) as holder:
        assert holder.stdout.readline() == "in\n"
        (tmp_path / "network.h5").touch()
        for command in (["sweep", "digits", *TINY], ["decompose", "compare", "network.h5"]):
            done = cli(*command, "--csv", "t.csv")
            assert (done.code, done.out) == (1, "")
            assert f"t.csv is being written by another process (PID {holder.pid})." in done.err
        holder.communicate("\n")
    assert list(tmp_path.iterdir()) == [tmp_path / "network.h5"]


def test_mistakes_are_told_before_anything_runs(cli, tmp_path):
    for arguments, message in [
        (["digits", "digitz"], "There is no config 'digitz'. Did you mean"),
        (["digits", "digits"], "Two experiments of the sweep would be the run runs/digits-seed0"),
        (["digits", "--seeds", "1,x"], "The seeds '1,x' are no list of numbers"),
        (["digits", "--seeds", "-1"], "have one outside 0"),
        (["digits@1,,2"], "The seeds '1,,2' are no list of numbers"),
        (["digits", "--csv", "notes.txt"], "notes.txt is there and is not the table of a sweep"),
    ]:
        (tmp_path / "notes.txt").write_text("mine\n")
        outcome = cli("sweep", *arguments)
        assert outcome.code == 1, arguments
        assert message in outcome.err
        assert not list(tmp_path.glob("runs/*"))
    assert (tmp_path / "notes.txt").read_text() == "mine\n"


def test_a_run_of_another_config_is_not_taken_for_the_experiment(swept):
    folder, _, _ = swept
    with pytest.raises(LarqnetsError, match="was started with another config than this sweep gives it"):
        plan(["digits"], None, ["train.epochs=3"], folder / "runs")


def test_with_validation_images_the_best_run_is_named_by_them(cli, tmp_path, tfds_dir):
    small = ("--set", "model.width=0.0625", "--set", "train.batch_size=512", "--set", "train.epochs=2")
    few = ("sweep", "digits@0,1", *small, "--set", "data.validation=0.2", "--no-convert")
    outcome = cli(*few, "--json")
    assert outcome.code == 0, outcome.err
    shown = json.loads(outcome.out)
    cards = [json.loads((tmp_path / f"runs/digits-seed{seed}/card.json").read_text()) for seed in (0, 1)]
    scores = [card["chosen"]["validation_scores"]["accuracy"] for card in cards]
    best = max((0, 1), key=scores.__getitem__)
    assert shown["chosen"] == {
        "run": f"runs/digits-seed{best}",
        "validation_accuracy": scores[best],
        "test_accuracy": cards[best]["test_accuracy"],
    }
    with (tmp_path / "runs/sweep.csv").open(newline="") as file:
        reader = csv.DictReader(file)
        assert [float(row["validation_accuracy"]) for row in reader] == scores
    assert set(reader.fieldnames) - set(COLUMNS) == {"validation_accuracy"}
    again = cli(*few)
    assert f"best by validation accuracy: runs/digits-seed{best}, {scores[best]:.2%}, test" in again.out
    drawn = json.loads(cli("curves", "runs/digits-seed0", "--json").out)
    assert (tmp_path / drawn["picture"]).is_file()
    curve = drawn["runs"]["digits-seed0"]
    assert curve["test_accuracy"] == [None, pytest.approx(cards[0]["test_accuracy"])]
    assert curve["validation_accuracy"][-1] == pytest.approx(scores[0])
