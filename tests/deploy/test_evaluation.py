"""`larqnets evaluate` on a folder of photographs: what it says is what Keras and TensorFlow Lite answer."""

import csv
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from deploy.export.edit import add_metadata
from deploy.proof.evaluation import Evaluation, evaluate_images
from larqnets import LarqnetsError
from larqnets.cli.tables.evaluation import evaluated
from larqnets.config import DataConfig
from larqnets.console import PlainConsole
from larqnets.data import load_dataset, preprocess_info
from larqnets.data.info import image_options
from larqnets.runs.subject import open_subject
from larqnets.tasks import Task
from larqnets.tasks.class_study import ClassStudy
from larqnets.tasks.classification import Classification

LABELS = [
    f"{name}s on grass"
    for name in ("ant", "bee", "cow", "dog", "eel", "fly", "gnu", "hen", "ibis", "jay", "koi", "lynx")
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """12 labels, 2 images of each to train on and 5 to test with, of several sizes and formats."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for split, count in (("train", 2), ("test", 5)):
        for number, label in enumerate(LABELS):
            (folder / split / label).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (14 + number, 12 + i, 3), np.uint8)
                Image.fromarray(pixels).save(folder / split / label / f"{i}.{('png', 'bmp')[i % 2]}")
    return folder


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One network as a Keras file and, by TensorFlow's own converter, as a .tflite."""
    tf.keras.utils.set_random_seed(1)
    layers = tf.keras.layers
    head = [layers.Flatten(), layers.Dense(len(LABELS), kernel_initializer="random_normal")]
    model = tf.keras.Sequential([tf.keras.Input((8, 8, 3)), *head])
    folder = tmp_path_factory.mktemp("files")
    model.save(folder / "net.h5")
    (folder / "net.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return {".h5": folder / "net.h5", ".tflite": folder / "net.tflite", "model": model}


def answers(kind, files, images):
    if kind == ".h5":
        return files["model"].predict(images, verbose=0)
    interpreter = tf.lite.Interpreter(str(files[".tflite"]))
    interpreter.allocate_tensors()
    rows = []
    for image in images:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    return np.array(rows)


@pytest.mark.parametrize("kind", [".h5", ".tflite"])
def test_it_says_what_was_wrong_and_writes_it(photos, files, cli, tmp_path, kind):
    data = load_dataset(DataConfig(f"folder:{photos}").of_size((8, 8)))
    (batch,) = data.eval_batches("test", 100).as_numpy_iterator()
    outputs, labels = answers(kind, files, batch["image"]), batch["label"]
    chosen, sure = outputs.argmax(-1), tf.nn.softmax(outputs).numpy().max(-1)
    wanted = ("--confusion", "c.svg", "--wrong", "w.csv", "--sheet", "w.png")
    named = (files[kind], "--dataset", f"folder:{photos}")
    done = cli("evaluate", *named, *wanted, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    keys = ["subject", "dataset", "split", "images", "accuracy", *(["loss"] if kind == ".h5" else []), "engine"]
    assert list(found)[: len(keys)] == keys  # what they were before there were details
    assert found["accuracy"] == pytest.approx(np.mean(chosen == labels))
    assert found["top5_accuracy"] == pytest.approx(float(np.mean(tf.math.in_top_k(labels, outputs, 5))))
    assert found["confusion"]["labels"] == LABELS
    assert found["confusion"]["counts"] == tf.math.confusion_matrix(labels, chosen, 12).numpy().tolist()
    assert [row["label"] for row in found["classes"]] == LABELS
    assert len(found["calibration"]["bins"]) == 15
    expected = {
        (str(photos / "test" / LABELS[labels[i]] / f"{i % 5}.{('png', 'bmp')[i % 5 % 2]}"), LABELS[chosen[i]])
        for i in np.flatnonzero(chosen != labels)
    }
    assert {(row["image"], row["given"]) for row in found["wrong"]} == expected
    assert found["wrong"][0]["confidence"] == pytest.approx(max(sure[chosen != labels]), rel=1e-4)
    with (tmp_path / "w.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["image"], r["true"], r["given"]) for r in rows] == [
        (r["image"], r["true"], r["given"]) for r in found["wrong"]
    ]
    assert b"<svg" in (tmp_path / "c.svg").read_bytes()
    assert Image.open(tmp_path / "w.png").width > 480


def test_the_screen_has_the_matrix_where_it_fits_and_else_the_most_frequent_confusion():
    outputs = np.eye(13, dtype=np.float32)[[1, 1, 2, 0]]
    for names, words in (
        (LABELS, "most often taken for"),
        ([label[:3] for label in LABELS], "given labels in columns"),
    ):
        study = ClassStudy(names, "logits")
        study.add({"y": outputs[:, :12]}, {"label": np.array([0, 0, 0, 0])})
        found = Evaluation("x", "d", "test", 4, {"accuracy": 0.25}, None, "e", study.result(), (), ("1", "2", "3"), {})
        console = PlainConsole(width=120)
        with console.capture() as screen:
            for part in evaluated(found.to_json()):
                console.print(part)
        text = screen.get()
        assert words in text
        assert "calibration error (ECE)" in text
        assert "wrong: 3 of 4 images; --wrong CSV lists them" in text
        assert ("bees on grass, 2 times" in text) == (names == LABELS)
        assert "no image" in text


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ((), "; --wrong CSV lists them, --sheet PNG shows them"),
        (("wrong_sheet",), "; --wrong CSV lists them"),
        (("wrong_table",), "; --sheet PNG shows them"),
        (("wrong_table", "wrong_sheet"), ""),
    ],
)
def test_what_is_written_already_is_not_advised(written, hint):
    result = {"scores": {}, "images": 4, "wrong": [{}, {}]} | dict.fromkeys(written, "here")
    assert f"wrong: 2 of 4 images{hint}" in evaluated(result)


def test_a_narrow_matrix_has_its_heading_in_one_line():
    study = ClassStudy(["a", "b"], "logits")
    study.add({"y": np.eye(2, dtype=np.float32)}, {"label": np.array([0, 0])})
    found = Evaluation("x", "d", "test", 2, {"accuracy": 0.5}, None, "e", study.result(), (), ("1",), {})
    console = PlainConsole(width=120)
    with console.capture() as screen:
        for part in evaluated(found.to_json()):
            console.print(part)
    assert "\ntrue labels in rows, given labels in columns\n" in screen.get()


def test_the_sheet_shows_what_the_network_is_shown(photos, files, monkeypatch):
    found = evaluate_images(open_subject(files[".h5"], dataset=f"folder:{photos}"))
    drawn = []
    monkeypatch.setattr("deploy.proof.evaluation.contact_sheet", lambda title, rows, *more: drawn.extend(rows) or b"")
    found.sheet()
    named = {(heading, tile.caption[0], tile.caption[-1]) for heading, tiles in drawn for tile in tiles}
    wrong = found.wrong()
    assert len(named) == len(wrong)
    expected = {(f"true label: {w['true']}", f"given: {w['given']}", Path(w["image"]).name) for w in wrong}
    assert named == expected
    data = load_dataset(DataConfig(f"folder:{photos}").of_size((8, 8)))
    (batch,) = data.eval_batches("test", 100).as_numpy_iterator()
    for index, picture in found.pictures.items():
        expected = np.rint(127.5 * (batch["image"][index] + 1))
        np.testing.assert_array_equal(picture, expected)
    assert set(found.pictures) == {mistake.index for mistake in found.details.mistakes}


def test_records_have_numbers_also_where_some_are_held_out(tfds_dir):
    config = DataConfig("digits", data_dir=str(tfds_dir), validation=0.2)
    data = load_dataset(config)
    (whole,) = (
        load_dataset(DataConfig("digits", data_dir=str(tfds_dir))).eval_batches("train", 2000).as_numpy_iterator()
    )
    (kept,) = data.eval_batches("validation", 2000).as_numpy_iterator()
    for index, name in zip((0, 7), data.names("validation", [0, 7]), strict=True):
        split, word, number = name.split()
        assert (split, word) == ("train", "record")
        np.testing.assert_array_equal(whole["image"][int(number)], kept["image"][index])
    assert data.names("test", [3]) == ["test record 3"]


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        (("--confusion", "c.txt"), "c.txt names no kind of file"),
        (("--wrong", "w.txt"), "w.txt names no kind of file"),
        (("--sheet", "no/w.png"), "there is no folder no"),
    ],
)
def test_what_cannot_be_written_is_said_before_the_work(photos, files, cli, option, sentence):
    done = cli("evaluate", files[".h5"], "--dataset", f"folder:{photos}", *option)
    assert (done.code, done.out) == (1, "")
    assert sentence in done.err
    assert "evaluating" not in done.err


def test_a_network_without_mistakes_has_an_empty_table(photos, files, tmp_path):
    perfect = tf.keras.Sequential([tf.keras.Input((8, 8, 3)), tf.keras.layers.Flatten(), tf.keras.layers.Dense(12)])
    perfect.layers[-1].bias.assign(np.eye(12)[0] * 1e6)
    perfect.save(tmp_path / "first.h5")
    found = evaluate_images(open_subject(tmp_path / "first.h5", dataset=f"folder:{photos}"), limit=5)
    found.write_wrong(tmp_path / "w.csv")
    assert found.scores == {"accuracy": 1.0}
    assert (tmp_path / "w.csv").read_text() == "image,true,given,confidence\n"
    assert "0 of 5 test images wrong" in found.wrong_words()
    found.sheet()


def test_a_damaged_image_in_the_middle_is_named(photos, files, tmp_path, monkeypatch):
    monkeypatch.setattr("larqnets.data.dataset.MEMORY_LIMIT", 0)  # as a set that is larger than the memory
    import shutil

    shutil.copytree(photos, tmp_path / "p")
    broken = tmp_path / "p/test/cows on grass/2.png"
    broken.write_bytes(broken.read_bytes()[:-80])
    with pytest.raises(LarqnetsError, match=r"cows on grass/2\.png cannot be read"):
        evaluate_images(open_subject(files[".h5"], dataset=f"folder:{tmp_path / 'p'}"))


def test_a_task_that_looks_at_no_single_answers_has_its_scores_alone(photos, files, monkeypatch):
    monkeypatch.setattr(Classification, "study", Task.study)
    opened = open_subject(files[".h5"], dataset=f"folder:{photos}")
    found = evaluate_images(opened).to_json()
    assert list(found) == ["subject", "dataset", "split", "images", "accuracy", "loss", "engine", "scores", "remarks"]
    (remark,) = found["remarks"]  # on the scores themselves: its weights are random
    assert "is not above chance" in remark
    with pytest.raises(LarqnetsError, match=r"not told of a network for classification, .* Leave --confusion, --wrong"):
        evaluate_images(opened, look=True)


@pytest.fixture(scope="module")
def unsplit(tmp_path_factory):
    """12 labels in a folder without splits, and a network for it."""
    folder, rng = tmp_path_factory.mktemp("unsplit") / "photos", np.random.default_rng(0)
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / label / f"{i}.png")
    return folder


def test_a_file_far_from_its_run_is_tested_on_what_was_kept_from_its_training(unsplit, files, tmp_path):
    """Its metadata say which images of a folder without splits these were."""
    trained_on = load_dataset(DataConfig(f"folder:{unsplit}", test=0.5, split_seed=3, validation=0.2).of_size((8, 8)))
    entry = preprocess_info(trained_on.info, DataConfig(""), trained_on.survey.division)
    content = files[".tflite"].read_bytes()
    (tmp_path / "new.tflite").write_bytes(add_metadata(content, {"preprocess": entry}))
    found = evaluate_images(open_subject(tmp_path / "new.tflite", dataset=f"folder:{unsplit}"))
    kept = trained_on.names("test", range(trained_on.info.num_test))
    assert (found.images, trained_on.info.num_test) == (36, 36)
    assert set(found.places) <= set(kept)
    assert not any("trained on" in remark for remark in found.remarks)
    # A file of before does not say it; nor does it matter for images that it was not made for.
    del entry["split"]
    for name, warned in (("folder:photos", True), ("folder:others", False)):
        (tmp_path / "old.tflite").write_bytes(add_metadata(content, {"preprocess": entry | {"dataset": name}}))
        found = evaluate_images(open_subject(tmp_path / "old.tflite", dataset=f"folder:{unsplit}"))
        assert found.images == 12
        assert any("does not say which images of folder:photos were kept" in text for text in found.remarks) == warned


def test_what_is_converted_says_how_a_folder_was_split(unsplit, photos, files):
    says = open_subject(files[".h5"], dataset=f"folder:{unsplit}").preprocess
    assert says["split"] == {"test": 0.2, "seed": 0}
    assert image_options(says) == {"test": 0.2, "split_seed": 0}
    assert "split" not in open_subject(files[".h5"], dataset=f"folder:{photos}").preprocess


def test_labels_that_the_font_lacks_stand_in_a_legend(files, cli, tmp_path):
    names = [chr(0x732B + i) for i in range(12)]
    for number, label in enumerate(names):
        for split in ("train", "test"):
            (tmp_path / "set" / split / label).mkdir(parents=True)
            Image.new("RGB", (8, 8), (20 * number, 9, 9)).save(tmp_path / "set" / split / label / "0.png")
    named = (files[".h5"], "--dataset", f"folder:{tmp_path / 'set'}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as matplotlib's of missing glyphs
        done = cli("evaluate", *named, "--confusion", "c.png", "--sheet", "w.png")
    assert done.code == 0, done.err
    assert "drawn as numbers" in done.out
    for number, label in enumerate(names, 1):
        assert f"  #{number} is {label}" in done.out
