"""The batch of step s follows from (seed, s) alone, from memory and from disk."""

from itertools import islice

import numpy as np
import pytest

import larqnets.data.streams
from larqnets import LarqnetsError
from larqnets.config import DataConfig
from larqnets.data import load_dataset
from larqnets.data.augment import Share

from .conftest import pair

BATCH = 10
STEPS = 5  # of 53 training images; an epoch leaves out 3


def cifar10(data_dir, **options):
    return load_dataset(DataConfig(dataset="cifar10", data_dir=data_dir, **options))


def take(batches, count):
    return [pair(example) for example in islice(batches.as_numpy_iterator(), count)]


def image_numbers(dataset, batches):
    """Return which images of the tiny cifar10 these are: image i has pixels 4i..4i+3."""
    images = np.concatenate([x for x, _ in batches])
    return np.floor((images * dataset.info.std + dataset.info.mean).mean((1, 2, 3)) * 255 / 4).astype(int)


@pytest.fixture(params=["memory", "one block", "blocks", "files", "resized crops"])
def dataset(request, data_dir, image_folder, monkeypatch):
    """Every way in which training images are read; all of them with augmentation."""
    if request.param == "memory":
        return cifar10(data_dir, crop_padding=4, flip=True)
    monkeypatch.setattr(larqnets.data.dataset, "MEMORY_LIMIT", 0)
    if request.param == "files":
        options = {"image_size": 8, "crop_padding": 1, "flip": True}
        return load_dataset(DataConfig(dataset=f"folder:{image_folder}", **options))
    if request.param == "resized crops":
        return cifar10(data_dir, random_resized_crop=True, flip=True, image_size=16)
    if request.param == "blocks":
        monkeypatch.setattr(larqnets.data.streams, "BLOCK_RECORDS", 22)  # 2 of the 5 shards
    return cifar10(data_dir, crop_padding=4, flip=True)


def test_a_fresh_pipeline_continues_an_uninterrupted_one(dataset):
    batch = 5 if dataset.info.num_train == 12 else BATCH
    steps = dataset.steps_per_epoch(batch)
    whole = take(dataset.train_batches(batch, seed=3), 2 * steps + 2)
    for start in (0, 1, steps - 1, steps, 2 * steps - 1, 2 * steps + 1):
        images, labels = take(dataset.train_batches(batch, seed=3, start_step=start), 1)[0]
        assert (labels == whole[start][1]).all()
        assert (images == whole[start][0]).all()


def test_shares_of_a_batch_are_the_batch(dataset):
    whole = take(dataset.train_batches(4, seed=3, start_step=1), 3)
    shares = [take(dataset.train_batches(4, seed=3, start_step=1, share=Share(i, 2)), 3) for i in range(2)]
    for (images, labels), *parts in zip(whole, *shares, strict=True):
        assert (np.concatenate([x for x, _ in parts]) == images).all()
        assert (np.concatenate([y for _, y in parts]) == labels).all()


def test_seeds_differ(dataset):
    first, second = (take(dataset.train_batches(5, seed), 1)[0][0] for seed in (1, 2))
    assert (first != second).any()


@pytest.mark.parametrize("block_records", [22, 1_000_000, None])
def test_each_epoch_visits_each_image_at_most_once_in_a_new_order(data_dir, block_records, monkeypatch):
    if block_records:
        monkeypatch.setattr(larqnets.data.dataset, "MEMORY_LIMIT", 0)
        monkeypatch.setattr(larqnets.data.streams, "BLOCK_RECORDS", block_records)
    dataset = cifar10(data_dir)
    batches = take(dataset.train_batches(BATCH, seed=0), 20 * STEPS)
    epochs = [image_numbers(dataset, batches[e * STEPS : (e + 1) * STEPS]) for e in range(20)]
    assert all(len(set(epoch)) == STEPS * BATCH for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 20
    assert set(np.concatenate(epochs)) == set(range(53))
    labels = np.concatenate([y for _, y in batches])
    assert (labels == np.concatenate(epochs) % 10).all()


def test_files_give_the_same_batches_from_memory_and_from_disk(image_folder, monkeypatch):
    config = DataConfig(dataset=f"folder:{image_folder}", image_size=8, crop_padding=2, flip=True)
    in_memory = take(load_dataset(config).train_batches(5, seed=0), 6)
    monkeypatch.setattr(larqnets.data.dataset, "MEMORY_LIMIT", 0)
    streamed = take(load_dataset(config).train_batches(5, seed=0), 6)
    for (images, labels), (other_images, other_labels) in zip(in_memory, streamed, strict=True):
        assert (images == other_images).all()
        assert (labels == other_labels).all()


def test_without_augmentation_images_are_as_stored(data_dir):
    dataset = cifar10(data_dir, crop_padding=4, flip=True)
    stored = dataset.samples(53)["image"]
    images, _ = take(dataset.train_batches(BATCH, seed=0, augment=False), 1)[0]
    assert {x.tobytes() for x in images} <= {x.tobytes() for x in stored}


def test_shapes_and_types(dataset):
    images, labels = pair(dataset.train_batches(5, seed=0).element_spec)
    assert images.shape == (5, *dataset.info.image_shape)
    assert images.dtype.name == "float32"
    assert labels.shape == (5,)
    assert labels.dtype.name == "int32"


@pytest.mark.parametrize("limit", [0, 1_000_000_000])
def test_evaluation_takes_every_image_once_in_stored_order(data_dir, limit, monkeypatch):
    monkeypatch.setattr(larqnets.data.dataset, "MEMORY_LIMIT", limit)
    dataset = cifar10(data_dir, crop_padding=4, flip=True)
    batches = take(dataset.eval_batches("test", 8), 100)
    assert [len(y) for _, y in batches] == [8, 8, 4]
    assert sorted(image_numbers(dataset, batches)) == list(range(20))
    assert (np.concatenate([x for x, _ in batches]) == dataset.samples(20, "test")["image"]).all()
    assert [len(y) for _, y in take(dataset.eval_batches("train", 8, limit=13), 100)] == [8, 5]


@pytest.mark.parametrize("limit", [0, 1_000_000_000])
def test_samples_are_different_images_chosen_by_seed(data_dir, limit, monkeypatch):
    monkeypatch.setattr(larqnets.data.dataset, "MEMORY_LIMIT", limit)
    dataset = cifar10(data_dir)
    images, labels = pair(dataset.samples(30, seed=4))
    numbers = image_numbers(dataset, [(images, labels)])
    assert len(set(numbers)) == 30
    assert (numbers % 10 == labels).all()
    again = cifar10(data_dir).samples(30, seed=4)["image"]
    assert (again == images).all()
    assert (dataset.samples(30, seed=5)["image"] != images).any()


@pytest.mark.parametrize("count", [1, 20, 53, 100])
def test_samples_are_the_same_whether_all_images_are_kept_or_only_these_decoded(data_dir, count, monkeypatch):
    kept = cifar10(data_dir).samples(count, seed=4)
    monkeypatch.setattr(larqnets.data.dataset, "KEPT_BYTES", 0)
    monkeypatch.setattr(larqnets.data.dataset, "SAMPLES_BYTES", 7 * 4 * 32 * 32 * 3)  # several batches
    dataset = cifar10(data_dir)
    decoded = dataset.samples(count, seed=4)
    assert not dataset._arrays
    assert len(decoded["image"]) == min(count, 53)
    for name, values in kept.items():
        np.testing.assert_array_equal(decoded[name], values)


def test_batch_larger_than_the_training_set(data_dir):
    dataset = cifar10(data_dir)
    assert dataset.steps_per_epoch(53) == 1
    with pytest.raises(LarqnetsError, match=r"Set train\.batch_size to 1\.\.53"):
        dataset.steps_per_epoch(54)
    with pytest.raises(LarqnetsError, match="A batch of 54"):
        dataset.train_batches(54, seed=0)


def test_settings_that_exclude_each_other(data_dir):
    with pytest.raises(LarqnetsError, match="exclude each other"):
        cifar10(data_dir, random_resized_crop=True, crop_padding=4)
    with pytest.raises(LarqnetsError, match=r"32x32 pixels\. Set it to less"):
        cifar10(data_dir, crop_padding=32)
