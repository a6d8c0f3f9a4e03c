"""The nuclei that come with the package: small, whole, the same everywhere, and with masks that fit their images."""

from pathlib import Path

import numpy as np
import pytest

import larqnets.data.nuclei
from larqnets.config import DataConfig, load_config
from larqnets.data import load_dataset
from larqnets.data.info import IMAGE, MASK
from larqnets.data.prepared import prepare_shipped

FINGERPRINT = "d2039f8277cb6e86439a94f76e1098b1357c622b07f7a2de2de982c06c5b111d"
FILE = Path(larqnets.data.nuclei.__file__).with_name("nuclei.npz")


@pytest.fixture(scope="module")
def nuclei(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nuclei")
    return load_dataset(DataConfig("nuclei", data_dir=str(folder), own_validation=True))


def test_they_are_small_and_all_there(nuclei):
    assert FILE.stat().st_size < 1_000_000
    info = nuclei.info
    assert (info.num_train, info.num_validation, info.num_test) == (200, 40, 60)
    assert (info.image_shape, info.labels) == ((128, 128, 3), ("background", "nucleus"))
    assert nuclei.fingerprint() == FINGERPRINT


def test_masks_lie_on_their_images(nuclei):
    """Most nuclei shine in the dark: there, inside and outside differ."""
    (batch,) = nuclei.eval_batches("train", 200).as_numpy_iterator()
    masks, brightness = batch[MASK][..., 0], batch[IMAGE].mean(axis=-1)
    assert set(np.unique(masks)) == {0, 1}
    assert ((masks.mean(axis=(1, 2)) > 0.02) & (masks.mean(axis=(1, 2)) < 0.9)).all()
    brighter = [b[m == 1].mean() > b[m == 0].mean() for b, m in zip(brightness, masks, strict=True)]
    assert np.mean(brighter) > 0.8
    shifted = np.roll(masks, (32, 32), axis=(1, 2))
    gap, other = (
        np.mean([abs(b[m == 1].mean() - b[m == 0].mean()) for b, m in zip(brightness, some, strict=True)])
        for some in (masks, shifted)
    )
    assert gap > 2 * other


def test_their_config_is_one_for_them():
    experiment = load_config("nuclei_birealnet")
    assert (experiment.data.dataset, experiment.task.kind, experiment.train.keep) == ("nuclei", "segmentation", "best")


def test_preparing_is_silent(tmp_path, capfd):
    prepare_shipped("larqnets_nuclei", tmp_path)
    assert capfd.readouterr() == ("", "")
    assert [path.name for path in (tmp_path / "larqnets_nuclei").iterdir()] == ["1.0.0"]
