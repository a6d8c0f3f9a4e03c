import hashlib
import multiprocessing
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import larqnets.data.digits
from larqnets import LarqnetsError
from larqnets.config import DataConfig
from larqnets.data import load_dataset
from larqnets.data.digits.larqnets_digits import LarqnetsDigits
from larqnets.data.prepared import prepare_shipped

from .conftest import pair

SHIPPED = Path(larqnets.data.digits.__file__).with_name("digits.npz")


def load_digits(data_dir):
    return load_dataset(DataConfig(dataset="digits", data_dir=str(data_dir)))


def test_shipped_file_is_the_documented_one():
    digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert digest == "b2dab7b501728c22e9119ad76740b2e17c77a231e42d1e592380d90886f1a05e"
    with np.load(SHIPPED) as arrays:
        assert np.bincount(arrays["labels"]).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
        assert arrays["images"].max() == 16


def test_splits_have_their_images(data_dir):
    info = load_digits(data_dir).info
    assert (info.num_train, info.num_test) == (1347, 450)
    assert info.image_shape == (8, 8, 1)
    assert info.labels == tuple("0123456789")
    assert "10.24432/C50P49" in info.citation


def test_the_two_splits_are_all_shipped_images(data_dir):
    dataset = load_digits(data_dir)
    info = dataset.info
    parts = [dataset.samples(2000, split)["image"] for split in ("train", "test")]
    pixels = np.rint((np.concatenate(parts) * info.std + info.mean) * 255).astype(np.uint8).reshape(-1, 64)
    with np.load(SHIPPED) as arrays:
        shipped = np.round(arrays["images"] * (255 / 16)).astype(np.uint8).reshape(-1, 64)
    assert sorted(map(bytes, pixels)) == sorted(map(bytes, shipped))


def test_training_images_are_normalised(data_dir):
    images = load_digits(data_dir).samples(1347)["image"]
    assert images.dtype == np.float32
    assert abs(images.mean()) < 1e-3
    assert abs(images.std() - 1) < 1e-3


def test_labels_belong_to_the_images(data_dir):
    dataset = load_digits(data_dir)
    images, labels = pair(dataset.samples(1347))
    centroids = np.stack([images[labels == digit].mean(0) for digit in range(10)])
    test_images, test_labels = pair(dataset.samples(450, "test"))
    distances = ((test_images[:, np.newaxis] - centroids) ** 2).sum((2, 3, 4))
    assert (distances.argmin(1) == test_labels).mean() > 0.85


def test_preparing_is_silent_and_leaves_nothing_half_done(tmp_path, capfd):
    prepare_shipped("larqnets_digits", tmp_path)
    assert capfd.readouterr() == ("", "")
    assert [p.name for p in (tmp_path / "larqnets_digits").iterdir()] == ["1.0.0"]


def test_an_interrupted_preparation_does_not_matter(tmp_path):
    leftover = tmp_path / "larqnets_digits" / "incomplete.ABC123_1.0.0"
    leftover.mkdir(parents=True)
    (leftover / "larqnets_digits-train.tfrecord-00000-of-00001").write_bytes(b"half")
    assert load_digits(tmp_path).info.num_train == 1347


def test_two_processes_may_prepare_at_once(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=prepare_shipped, args=("larqnets_digits", tmp_path)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert load_digits(tmp_path).info.num_test == 450


def test_losing_the_race_to_another_process_is_no_error(tmp_path, monkeypatch):
    prepare = LarqnetsDigits.download_and_prepare

    def be_late(self, **arguments):
        monkeypatch.setattr(LarqnetsDigits, "download_and_prepare", prepare)
        prepare_shipped("larqnets_digits", tmp_path)
        prepare(self, **arguments)

    monkeypatch.setattr(LarqnetsDigits, "download_and_prepare", be_late)
    assert load_digits(tmp_path).info.num_train == 1347
    assert [path.name for path in tmp_path.iterdir()] == ["larqnets_digits"]


def test_they_are_the_same_bytes_in_whatever_order_a_process_writes_the_fields(tmp_path, monkeypatch):
    """Without it half of the processes would prepare a data set that a run does not know again."""
    serialized = tfds.core.example_serializer.ExampleSerializer.serialize_example

    def other_way_round(self, example):
        fields = dict(tf.train.Example.FromString(serialized(self, example)).features.feature)
        entries = [_field(1, _field(1, name.encode()) + _field(2, fields[name].SerializeToString())) for name in fields]
        orders = _field(1, b"".join(sorted(entries, reverse=True))), _field(1, b"".join(sorted(entries)))
        return orders[len(seen) % 2]

    seen: list[str] = []
    for name in ("a", "b"):
        with monkeypatch.context() as patched:
            patched.setattr(tfds.core.example_serializer.ExampleSerializer, "serialize_example", other_way_round)
            seen.append(load_digits(tmp_path / name).fingerprint())
    assert seen == ["52d5dfba9ca6f7a615b9f838c1fb03c95712864432458d8450e0431e8d4a536b"] * 2


def _field(number: int, content: bytes) -> bytes:
    """Return a length-delimited field of a protocol buffer."""
    size, length = len(content), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([number << 3 | 2, *length, size]) + content


def test_a_data_dir_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LarqnetsError, match=r"cannot be prepared in .*file.*TFDS_DATA_DIR"):
        load_digits(tmp_path / "file")


def test_environment_variable_names_the_data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    load_dataset(DataConfig(dataset="digits"))
    assert (tmp_path / "larqnets_digits" / "1.0.0").is_dir()


def test_damaged_digits_say_what_to_delete(tmp_path):
    prepare_shipped("larqnets_digits", tmp_path)
    next((tmp_path / "larqnets_digits" / "1.0.0").glob("*train*")).unlink()
    with pytest.raises(
        LarqnetsError, match=r"larqnets_digits/1.0.0 is not complete.*Delete that folder and run the command"
    ):
        load_digits(tmp_path)
    shutil.rmtree(tmp_path / "larqnets_digits" / "1.0.0")
    assert load_digits(tmp_path).info.num_train == 1347
