"""Data sets of TFDS by name: what is found, and what is said when it is not whole."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from larqnets import LarqnetsError
from larqnets.config import DataConfig
from larqnets.data import list_datasets, load_dataset
from larqnets.data.known import KNOWN_DATASETS
from larqnets.data.prepared import open_prepared
from larqnets.data.streams import RecordStream

from .conftest import pair


@pytest.fixture
def cifar10(data_dir, tmp_path) -> Path:
    """A copy of the tiny cifar10 to damage."""
    return Path(shutil.copytree(Path(data_dir) / "cifar10" / "3.0.2", tmp_path / "cifar10" / "3.0.2"))


def load(cifar10: Path):
    return load_dataset(DataConfig(dataset="cifar10", data_dir=str(cifar10.parent.parent)))


def test_names():
    assert list_datasets() == [
        *(
            "aquarium",
            "bccd",
            "camvid",
            "cifar10",
            "cifar100",
            "coco",
            "digit_boxes",
            "digits",
            "dsb2018_nuclei",
            "imagenet2012",
        ),
        *("nuclei", "oxford_iiit_pet", "voc", "voc2012"),
    ]
    assert list_datasets("cifar*") == ["cifar10", "cifar100"]


def test_labels_are_as_many_as_classes():
    assert len(set(KNOWN_DATASETS["cifar10"].labels)) == 10
    assert len(set(KNOWN_DATASETS["cifar100"].labels)) == 100
    assert sorted(KNOWN_DATASETS["cifar100"].labels) == list(KNOWN_DATASETS["cifar100"].labels)


def test_unknown_name_names_the_nearest():
    with pytest.raises(LarqnetsError, match=r"Did you mean 'cifar10'\? `larqnets list datasets`"):
        load_dataset(DataConfig(dataset="cifar-10"))


def test_cifar10_by_name(data_dir):
    dataset = load_dataset(DataConfig(dataset="cifar10", data_dir=data_dir))
    assert (dataset.info.num_train, dataset.info.num_test) == (53, 20)
    assert dataset.info.image_shape == (32, 32, 3)
    assert dataset.info.labels[3] == "cat"
    images, labels = pair(dataset.samples(53))
    number = np.floor((images * dataset.info.std + dataset.info.mean).mean((1, 2, 3)) * 255 / 4)
    assert (number % 10 == labels).all()
    assert sorted(number) == list(range(53))


def test_imagenet_uses_its_validation_split_as_test(data_dir):
    dataset = load_dataset(DataConfig(dataset="imagenet2012", data_dir=data_dir, image_size=16))
    assert (dataset.info.num_train, dataset.info.num_test) == (18, 7)
    assert dataset.info.labels[0] == "n01440764"
    images, labels = pair(next(iter(dataset.eval_batches("test", 4))))
    assert images.shape == (4, 16, 16, 3)
    assert labels.shape == (4,)


def test_images_of_different_sizes_need_an_image_size(data_dir):
    with pytest.raises(LarqnetsError, match=r"differ in size\. Set data\.image_size"):
        load_dataset(DataConfig(dataset="imagenet2012", data_dir=data_dir))


def test_data_that_is_not_there_says_how_to_get_it(tmp_path):
    with pytest.raises(LarqnetsError, match=r"or set data\.data_dir or TFDS_DATA_DIR") as caught:
        load_dataset(DataConfig(dataset="cifar100", data_dir=str(tmp_path)))
    # The command up to its last call, which would download.
    code = re.search(r'python -c "(.*)\.download_and_prepare\(\)"', str(caught.value)).group(1)
    names = {}
    exec(code.replace("; ", "; builder = "), names)
    assert names["builder"].data_path.parent == tmp_path / "cifar100"
    with pytest.raises(LarqnetsError, match=r"put ILSVRC2012_img_train\.tar .*/downloads/manual"):
        load_dataset(DataConfig(dataset="imagenet2012", data_dir=str(tmp_path), image_size=64))
    assert list(tmp_path.iterdir()) == []


def remove_shard(folder: Path) -> None:
    (folder / "cifar10-train.tfrecord-00002-of-00005").unlink()


def empty_shard(folder: Path) -> None:
    (folder / "cifar10-test.tfrecord-00001-of-00005").write_bytes(b"")


def truncate_shard(folder: Path) -> None:
    os.truncate(folder / "cifar10-train.tfrecord-00000-of-00005", 1000)


def remove_info(folder: Path) -> None:
    (folder / "dataset_info.json").unlink()


def remove_features(folder: Path) -> None:
    (folder / "features.json").unlink()


def cut_info(folder: Path) -> None:
    (folder / "dataset_info.json").write_text((folder / "dataset_info.json").read_text()[:100])


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (remove_shard, "cifar10-train.tfrecord-00002-of-00005 is missing"),
        (empty_shard, "cifar10-test.tfrecord-00001-of-00005 is empty"),
        (truncate_shard, r"split 'train' have .* bytes instead of at least"),
        (remove_info, "dataset_info.json is missing"),
        (remove_features, "features.json is missing"),
        (cut_info, "its description cannot be read"),
    ],
)
def test_incomplete_data_is_named_with_the_remedy(cifar10, damage, what):
    damage(cifar10)
    with pytest.raises(LarqnetsError, match=what) as caught:
        load(cifar10)
    assert f"{cifar10} is not complete" in str(caught.value)
    assert "Delete that folder and build it again" in str(caught.value)
    assert "tfds.builder('cifar10'" in str(caught.value)


def test_an_interrupted_build_is_named(tmp_path):
    (tmp_path / "cifar10" / "incomplete.XYZ789_3.0.2").mkdir(parents=True)
    with pytest.raises(
        LarqnetsError, match=r"incomplete\.XYZ789_3\.0\.2 is not complete: its preparation was interrupted"
    ):
        load_dataset(DataConfig(dataset="cifar10", data_dir=str(tmp_path)))


def test_an_interrupted_build_beside_a_finished_one_does_not_matter(cifar10):
    (cifar10.parent / "incomplete.XYZ789_3.0.2").mkdir()
    assert load(cifar10).info.num_train == 53


def flip_byte(folder: Path) -> None:
    shard = folder / "cifar10-train.tfrecord-00001-of-00005"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 0xFF
    shard.write_bytes(content)


def cut_a_few_bytes(folder: Path) -> None:
    shard = folder / "cifar10-train.tfrecord-00001-of-00005"
    os.truncate(shard, shard.stat().st_size - 10)


@pytest.mark.parametrize("damage", [flip_byte, cut_a_few_bytes])
@pytest.mark.parametrize("streamed", [False, True])
def test_damage_inside_a_shard_is_found_when_it_is_read(cifar10, damage, streamed, request):
    if streamed:
        request.getfixturevalue("streaming")
    damage(cifar10)
    with pytest.raises(LarqnetsError, match=r"3\.0\.2 is not complete: a record is damaged\. Delete that folder"):
        load(cifar10).samples(53)


def test_shards_with_other_counts_than_described_are_found(cifar10, streaming):
    splits = json.loads((cifar10 / "dataset_info.json").read_text())["splits"]
    lengths = [int(n) for split in splits if split["name"] == "train" for n in split["shardLengths"]]
    shards = sorted(cifar10.glob("*train*"))
    shards[np.argmin(lengths)].write_bytes(shards[np.argmax(lengths)].read_bytes())
    with pytest.raises(LarqnetsError, match="another number of records"):
        load(cifar10).samples(40)
    with pytest.raises(LarqnetsError, match="another number of records"):
        load(cifar10).samples(53)


def double_a_shard(folder: Path) -> None:
    shard = folder / "cifar10-train.tfrecord-00001-of-00005"
    shard.write_bytes(2 * shard.read_bytes())


@pytest.mark.parametrize(
    ("damage", "what"),
    [(flip_byte, "record is damaged"), (cut_a_few_bytes, "record is damaged"), (double_a_shard, "another number")],
)
def test_damage_is_found_when_a_part_is_kept_by_its_labels(cifar10, damage, what):
    damage(cifar10)
    with pytest.raises(LarqnetsError, match=f"is not complete: .*{what}"):
        load_dataset(DataConfig("cifar10", data_dir=str(cifar10.parent.parent), validation=0.2))


@pytest.mark.parametrize("name", ["cifar10", "imagenet2012", "digits"])
def test_labels_read_alone_are_those_of_the_examples(data_dir, name):
    known = KNOWN_DATASETS[name]
    builder = open_prepared(known, Path(data_dir))
    for split in ("train", known.test_split):
        stream = RecordStream(builder, split, known)
        expected = [int(example["label"]) for example in stream.in_order().as_numpy_iterator()]
        assert (stream.labels().dtype, stream.labels().tolist()) == (np.int32, expected)
        kept = np.arange(len(expected)) % 3 == 1
        assert stream.where(kept).labels().tolist() == expected[1::3]


@pytest.mark.skipif(
    not os.environ.get("LARQNETS_CIFAR10_DIR"), reason="LARQNETS_CIFAR10_DIR names no prepared CIFAR-10"
)
def test_real_cifar10():
    data_dir = os.environ["LARQNETS_CIFAR10_DIR"]
    dataset = load_dataset(DataConfig(dataset="cifar10", data_dir=data_dir, crop_padding=4, flip=True))
    assert (dataset.info.num_train, dataset.info.num_test) == (50_000, 10_000)
    images, labels = pair(dataset.samples(10_000, "test"))
    assert np.bincount(labels).tolist() == [1000] * 10
    assert np.abs(images.mean((0, 1, 2))).max() < 0.05
    batch = next(iter(dataset.train_batches(128, seed=0, start_step=390)))["image"]
    assert batch.shape == (128, 32, 32, 3)
