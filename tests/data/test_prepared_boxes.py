"""Sets of TFDS with objects: by name, and any other that is prepared; flags are optional, sizes and classes whatever they are."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from boxed import NAMES, picture_of, read_off, things

from larqnets.config import DataConfig
from larqnets.data import load_dataset
from larqnets.data.check_prepared import check_prepared
from larqnets.data.folder import annotation_of
from larqnets.data.info import BOX_KIND, BOX_LABELS, BOXES, CROWD, DIFFICULT, IMAGE
from larqnets.errors import LarqnetsError
from larqnets.runs.names import check_data

SPLITS = {"train": 7, "validation": 3, "test": 4}


def prepare(name: str, folder: Path, size=(48, 66), names=NAMES, flags=(), splits=None) -> dict[str, list]:
    """Have TFDS write a set with objects; the first object of every image has the flags. Returns what is in the images."""
    own = {"bbox": tfds.features.BBoxFeature(), "label": tfds.features.ClassLabel(names=list(names))}
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "image/filename": tfds.features.Text(),
            "objects": tfds.features.Sequence({**own, **dict.fromkeys(flags, np.bool_)}),
        }
    )
    written = {split: [] for split in splits or SPLITS}

    def examples(split, count, seed):
        rng = np.random.default_rng(seed)
        for number in range(count):
            some = sorted((0 if len(names) == 1 else thing[0], *thing[1:]) for thing in things(rng, size))
            written[split].append(some)
            objects = []
            for i, (label, *ends) in enumerate(some):
                box = [float(end / size[k % 2]) for k, end in enumerate(ends)]
                flagged = dict.fromkeys(flags, i == 0)
                objects.append({"bbox": np.float32(box), "label": label, **flagged})
            yield number, {"image": picture_of(some, size), "image/filename": f"{number}.png", "objects": objects}

    made = {split: examples(split, count, seed) for seed, (split, count) in enumerate((splits or SPLITS).items())}
    builder = type(
        "Builder",
        (tfds.core.GeneratorBasedBuilder,),
        {
            "name": name.partition("/")[0],
            "VERSION": tfds.core.Version("1.0.0"),
            "_info": lambda self: tfds.core.DatasetInfo(builder=self, features=features),
            "_split_generators": lambda self, dl_manager: made,
            "_generate_examples": lambda self: None,
        },
        skip_registration=True,
    )(data_dir=folder)
    builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False, num_shards=2))
    if "/" in name:  # a variant lies in a folder of its own
        version = folder / name.partition("/")[0] / "1.0.0"
        target = folder / name / "1.0.0"
        target.parent.mkdir()
        shutil.move(version, target)
    return written


def spoil(folder: Path, change) -> None:
    """Change every box in the records of a set, as TFDS itself would not write it."""
    for shard in folder.glob("*.tfrecord*"):
        records = [tf.train.Example.FromString(record.numpy()) for record in tf.data.TFRecordDataset(str(shard))]
        with tf.io.TFRecordWriter(str(shard)) as writer:
            for record in records:
                values = record.features.feature["objects/bbox"].float_list.value
                changed = [change(values[i : i + 4]) for i in range(0, len(values), 4)]
                values[:] = [float(side) for box in changed for side in box]
                writer.write(record.SerializeToString())


def said(batch, size):
    return [
        sorted((int(k), *(np.array(box) * [*size, *size])) for k, box in zip(labels, boxes, strict=True) if k >= 0)
        for boxes, labels in zip(batch[BOXES], batch[BOX_LABELS], strict=True)
    ]


@pytest.mark.parametrize("name", ["aquarium", "bccd", "coco/2017", "fruit_never_seen", "own_set/small"])
def test_boxes_are_those_that_the_images_show(tmp_path, name):
    flags = {"aquarium": ("is_difficult", "is_truncated"), "coco/2017": ("is_crowd",)}.get(name, ())
    written = prepare(name, tmp_path, flags=flags)
    named = name.partition("/")[0] if name.startswith("coco") else name
    config = DataConfig(named, data_dir=str(tmp_path), image_size=48, image_width=66, own_validation=named != "coco")
    check_data(config)
    assert annotation_of(config) == BOXES
    dataset = load_dataset(config)
    tests = {"test": 3} if named == "coco" else {"validation": 3, "test": 4}  # COCO's test has no boxes
    for split, count in ({"train": 7} | tests).items():
        (batch,) = dataset.eval_batches(split, 10).as_numpy_iterator()
        pixels = 255 * (batch[IMAGE] * np.array(dataset.info.std) + np.array(dataset.info.mean))
        shown = [read_off(np.round(image)) for image in pixels]
        assert len(shown) == count
        for on_picture, in_boxes in zip(shown, said(batch, (48, 66)), strict=True):
            np.testing.assert_allclose(in_boxes, on_picture, atol=0.01)
        kind = {"aquarium": DIFFICULT, "coco": CROWD}.get(named, 0)
        assert batch[BOX_KIND].tolist() == [[kind] + [0] * 99] * count
        where = "validation" if named == "coco" and split == "test" else split
        assert sorted(shown) == sorted(written[where])
    with pytest.raises(LarqnetsError, match="has no validation images of its own"):
        load_dataset(
            DataConfig("coco", data_dir=str(tmp_path), own_validation=True)
        ) if named == "coco" else load_dataset(DataConfig("digits", data_dir=str(tmp_path), own_validation=True))


def test_a_set_of_one_class_trains_checks_and_takes_validation_from_train(tmp_path):
    prepare("lemons", tmp_path, size=(104, 104), names=("lemon",), splits={"train": 8, "test": 3})
    config = DataConfig("lemons", data_dir=str(tmp_path), image_size=64, validation=0.25, random_scale=(0.8, 1.2))
    dataset = load_dataset(config)
    assert (dataset.info.labels, dataset.info.num_train, dataset.info.num_validation) == (("lemon",), 6, 2)
    batch = next(iter(dataset.train_batches(3, 0)))
    assert batch[BOXES].shape == (3, 100, 4)
    found = check_prepared(config)
    assert found.problem() is None
    assert found.sheet().startswith(b"\x89PNG")
    assert set(found.to_json()["boxes"]) == {"train", "validation", "test"}


def test_what_reaches_out_is_clipped_and_counted_and_the_others_cannot_be(tmp_path):
    prepare("reaching", tmp_path / "a")
    spoil(tmp_path / "a/reaching/1.0.0", lambda box: [box[0] - 0.5, *box[1:]])
    dataset = load_dataset(DataConfig("reaching", data_dir=str(tmp_path / "a"), image_size=48))
    counts = dataset.survey.counted().contents["train"]
    assert counts.mended["clipped"] > 0
    (batch,) = dataset.eval_batches("train", 10).as_numpy_iterator()
    assert batch[BOXES].min() == 0
    assert (batch[BOX_LABELS] >= 0).sum() == sum(counts.boxes)
    prepare("broken", tmp_path / "b")
    spoil(tmp_path / "b/broken/1.0.0", lambda box: [float("nan"), *box[1:]])
    dataset = load_dataset(DataConfig("broken", data_dir=str(tmp_path / "b"), image_size=48))
    with pytest.raises(
        LarqnetsError, match=r"train record 0 of broken has boxes that cannot be: box 1 has a number that is not"
    ):
        next(iter(dataset.train_batches(2, 0)))
    dataset = load_dataset(DataConfig("reaching", data_dir=str(tmp_path / "a"), image_size=48, max_boxes=1))
    with pytest.raises(
        LarqnetsError, match=r"train record \d has \d boxes, and there is room for 1. Set data.max_boxes"
    ):
        next(iter(dataset.train_batches(2, 0)))


def test_names_that_are_no_set_stay_unknown(tmp_path):
    for name in ("nobody", "../lemons", "a/../../b"):
        with pytest.raises(LarqnetsError, match="There is no data set"):
            load_dataset(DataConfig(name, data_dir=str(tmp_path)))
    prepare("texts", tmp_path, splits={"train": 2, "test": 2})
    file = tmp_path / "texts/1.0.0/features.json"
    document = json.loads(file.read_text())
    document["featuresDict"]["features"].pop("objects")
    file.write_text(json.dumps(document))
    with pytest.raises(
        LarqnetsError, match=r"texts in .* is not complete: its features are not an image and objects, a segm"
    ):
        load_dataset(DataConfig("texts", data_dir=str(tmp_path)))
