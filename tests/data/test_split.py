"""What is held out of a training set: by seed, the same share of every label, few changes when files come, never trained on."""

import hashlib
import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import larqnets.data.dataset
import larqnets.data.streams
from larqnets import LarqnetsError
from larqnets.config import DataConfig
from larqnets.data import load_dataset
from larqnets.data.folder import scan_folder
from larqnets.data.split import held_out

from .conftest import pair, write_image

LABELS = ("a", "b", "c")
# for i in $(seq 0 49); do printf '0\0a/%d.png' $i | sha256sum | sed "s/-/$i/"; done | sort | head -10
FIRST_TEN = [19, 24, 28, 29, 33, 35, 38, 45, 47, 48]


def split(names, share=0.2, seed=0, numbers=None):
    numbers = np.zeros(len(names), int) if numbers is None else numbers
    return held_out(numbers, names, share, seed, LABELS[: 1 + numbers.max()], "a test set")


@given(
    counts=st.lists(st.integers(2, 60), min_size=1, max_size=3),
    share=st.floats(0.01, 0.9),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=50)
def test_every_label_gives_its_share(counts, share, seed):
    numbers = np.repeat(np.arange(len(counts)), counts)
    out = split([f"{i}.png" for i in range(len(numbers))], share, seed, numbers)
    for label, count in enumerate(counts):
        wanted = min(max(1, int(share * count + 0.5)), count - 1)
        assert out[numbers == label].sum() == wanted


def test_a_split_follows_from_seed_and_names_alone():
    names = [f"a/{i}.png" for i in range(50)]
    out = split(names)
    shuffled = np.random.default_rng(0).permutation(50)
    assert (split([names[i] for i in shuffled]) == out[shuffled]).all()
    assert (split(names, seed=1) != out).any()
    assert np.flatnonzero(out).tolist() == FIRST_TEN


def test_a_file_that_comes_moves_one_at_most():
    names = [f"a/{i}.png" for i in range(200)]
    before = split(names)
    for new in range(20):
        after = split([*names, f"a/new-{new}.png"])
        assert (after[:-1] != before).sum() <= 1


def test_a_larger_share_keeps_what_was_held_out():
    names = [f"a/{i}.png" for i in range(100)]
    assert split(names, 0.4)[split(names, 0.2)].all()


def test_copies_stay_on_one_side():
    names = ["same"] * 7 + [f"{i}" for i in range(13)]
    for seed in range(20):
        out = split(names, seed=seed)
        assert len(set(out[:7])) == 1
        assert 1 <= out.sum() < 20


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["x"], "'a' has 1 image, but 2 different ones are needed to take a test set"),
        (["x", "x", "x"], "'a' has 3 images that are all the same, but 2 different ones"),
    ],
)
def test_what_cannot_be_split(names, says):
    with pytest.raises(LarqnetsError, match=says):
        split(names)


def test_a_label_without_images_cannot_be_split():
    with pytest.raises(LarqnetsError, match="'b' has no image, but"):
        held_out(np.array([0, 0]), ["x", "y"], 0.5, 0, ("a", "b"), "a test set")


def flat(root, counts, **options):
    """Images of one level each, which stands in the name."""
    level = itertools.count(1)
    for label, count in counts.items():
        for _ in range(count):
            value = next(level)
            write_image(root / label / f"{value:03}.png", np.full((8, 8, 3), value))
    return load_dataset(DataConfig(f"folder:{root}", image_size=8, **options))


def values(dataset, images):
    return np.rint((images * dataset.info.std + dataset.info.mean) * 255).astype(int)[:, 0, 0, 0]


def test_a_flat_folder_is_split_and_a_part_of_train_kept(tmp_path):
    dataset = flat(tmp_path, {"a": 20, "b": 10}, validation=0.25)
    seen = {name: values(dataset, dataset.samples(100, name)["image"]) for name in ("train", "validation", "test")}
    assert {name: len(some) for name, some in seen.items()} == {"train": 18, "validation": 6, "test": 6}
    assert sorted(np.concatenate([*seen.values()])) == [*range(1, 31)]
    labels = pair(dataset.samples(100, "test"))[1]
    assert np.bincount(labels).tolist() == [4, 2]


def test_the_test_set_does_not_depend_on_what_is_kept_of_train(tmp_path):
    without = flat(tmp_path, {"a": 20, "b": 10})
    kept = flat(tmp_path, {"a": 20, "b": 10}, validation=0.4)
    assert (without.samples(100, "test")["image"] == kept.samples(100, "test")["image"]).all()
    assert without.fingerprint() != kept.fingerprint()


def test_a_folder_is_split_the_same_wherever_it_lies(tmp_path):
    names = []
    for where in ("one", "another/place"):
        flat(tmp_path / where, {"a": 9, "b": 9})
        splits = scan_folder(tmp_path / where, DataConfig("")).splits
        names.append({name: files.names() for name, files in splits.items()})
    assert names[0] == names[1]


def test_the_form_of_unicode_does_not_move_a_file(tmp_path):
    """A Mac decomposes the names of files that it copies."""
    sides = []
    for form, name in (("nfc", "\u00fc{}.png"), ("nfd", "u\u0308{}.png")):
        for i, label in itertools.product(range(12), "ab"):
            write_image(tmp_path / form / label / name.format(i), np.full((8, 8, 3), 9 * i + (label == "b")))
        splits = scan_folder(tmp_path / form, DataConfig("")).splits
        sides.append([name.replace("u\u0308", "\u00fc") for name in splits["test"].names()])
    assert sorted(sides[0]) == sorted(sides[1])


def test_its_own_validation_folder_is_taken_when_asked_for(image_folder):
    for label in ("cat", "dog"):
        write_image(image_folder / "val" / label / "0.png", np.full((10, 10, 3), 7))
    dataset = load_dataset(DataConfig(f"folder:{image_folder}", image_size=10, own_validation=True))
    assert (dataset.info.num_train, dataset.info.num_validation, dataset.info.num_test) == (12, 2, 6)
    assert (values(dataset, dataset.samples(9, "validation")["image"]) == 7).all()
    assert dataset.survey.split_by == "train/, val/ and test/"
    without = load_dataset(DataConfig(f"folder:{image_folder}", image_size=10))
    assert (without.info.num_validation, without.info.num_test) == (0, 6)
    assert "data.own_validation = true takes it" in " ".join(without.survey.lines())


def test_validation_that_is_not_there(image_folder):
    dataset = load_dataset(DataConfig(f"folder:{image_folder}", image_size=10))
    for read in (dataset.samples, lambda count, split: dataset.eval_batches(split)):
        with pytest.raises(LarqnetsError, match=r"has no validation images\. data\.validation = 0\.2 takes a part"):
            read(5, "validation")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"own_validation": True}, r"has no folder validation/"),
        ({"own_validation": True, "validation": 0.2}, "exclude each other"),
    ],
)
def test_validation_that_cannot_be_had_of_a_folder(image_folder, options, says):
    with pytest.raises(LarqnetsError, match=says):
        load_dataset(DataConfig(f"folder:{image_folder}", image_size=10, **options))


def test_prepared_sets_have_no_validation_of_their_own(data_dir):
    with pytest.raises(LarqnetsError, match="cifar10 has no validation images of its own"):
        load_dataset(DataConfig("cifar10", data_dir=data_dir, own_validation=True))


@pytest.fixture(params=["memory", "one block", "blocks", "resized crops"])
def kept(request, data_dir, monkeypatch):
    """The tiny cifar10 with a part kept, in every way in which it is read."""
    options = {"validation": 0.2}
    if request.param != "memory":
        monkeypatch.setattr(larqnets.data.dataset, "MEMORY_LIMIT", 0)
    if request.param == "blocks":
        monkeypatch.setattr(larqnets.data.streams, "BLOCK_RECORDS", 16)  # 2 of the 5 shards
    if request.param == "resized crops":
        options |= {"random_resized_crop": True, "min_crop_area": 0.9, "image_size": 32}
    return load_dataset(DataConfig("cifar10", data_dir=data_dir, **options))


def numbers(dataset, batches):
    """Which images of the tiny cifar10 these are: image i has pixels 4i..4i+3."""
    images = np.concatenate([example["image"] for example in batches])
    return np.floor((images * dataset.info.std + dataset.info.mean).mean((1, 2, 3)) * 255 / 4).astype(int)


def test_what_is_kept_of_records_is_never_trained_on(kept):
    assert (kept.info.num_train, kept.info.num_validation, kept.info.num_test) == (43, 10, 20)
    validation = numbers(kept, kept.eval_batches("validation").as_numpy_iterator())
    train = numbers(kept, kept.eval_batches("train").as_numpy_iterator())
    assert sorted([*validation, *train]) == [*range(53)]
    assert sorted(validation % 10) == [*range(10)]  # the label of image i is i % 10
    steps = kept.steps_per_epoch(10)
    batches = itertools.islice(kept.train_batches(10, seed=3, augment=False).as_numpy_iterator(), 4 * steps)
    trained = numbers(kept, batches).reshape(4, steps * 10)
    assert all(len({*epoch}) == steps * 10 for epoch in trained)
    assert set(trained.ravel()) <= set(train)
    augmented = kept.train_batches(10, seed=3).as_numpy_iterator()
    assert set(numbers(kept, itertools.islice(augmented, 2 * steps))) <= set(train)


def test_kept_records_continue_where_they_stood(kept):
    whole = [*itertools.islice(kept.train_batches(10, seed=3).as_numpy_iterator(), 10)]
    for start in (1, 3, 4, 7):
        again = next(kept.train_batches(10, seed=3, start_step=start).as_numpy_iterator())
        assert all((again[name] == whole[start][name]).all() for name in again)


def test_a_folder_of_before_has_its_fingerprint_of_before(image_folder):
    """A run recognises its data by it: the names below the folder with their split, the sizes, the contents."""
    paths = {f"{path.parts[-3]}:{'/'.join(path.parts[-3:])}": path for path in image_folder.rglob("*.png")}
    digest = hashlib.sha256(json.dumps({name: paths[name].stat().st_size for name in sorted(paths)}).encode())
    for name in sorted(paths):
        digest.update(hashlib.sha256(paths[name].read_bytes()).digest())
    assert load_dataset(DataConfig(f"folder:{image_folder}", image_size=10)).fingerprint() == digest.hexdigest()
