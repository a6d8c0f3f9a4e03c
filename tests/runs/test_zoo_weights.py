"""Larq Zoo's networks by name: weights from its own cache, its SHA-256 of each file, and what is said without it."""

import functools
import hashlib
import urllib.error
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from photos import photos

from deploy.convert.sources import convert_source
from larqnets.errors import LarqnetsError
from larqnets.models import create_model
from larqnets.published import zoo as zoo_networks
from larqnets.reporter import SILENT, Reporter
from larqnets.runs.names import Order, check_origin
from larqnets.runs.subject import open_subject
from larqnets.runs.weights import load_trained_model
from larqnets.training.launch import launch

NAME, FILE, BODY = "zoo:quicknet_small", "quicknet_small_weights.h5", "quicknet_small_weights_notop.h5"
# It is no dependency, and what uses it is; CI installs it and turns a skip into a failure.
needs_zoo = pytest.mark.skipif(find_spec("larq_zoo") is None, reason="Larq Zoo is not installed")


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Larq Zoo's cache folder, empty, without a network behind it."""
    from tf_keras.src.utils import data_utils

    def refuse(*args):
        raise urllib.error.URLError("no network here")

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(data_utils, "urlretrieve", refuse)
    folder = tmp_path / ".keras/larq/models/quicknet"
    folder.mkdir(parents=True)
    return folder


@needs_zoo
def test_weights_are_those_of_the_file_in_the_cache_whose_hash_is_right(cache, monkeypatch):
    import larq_zoo

    tf.keras.utils.set_random_seed(5)
    published = larq_zoo.sota.QuickNetSmall(weights=None)
    published.save_weights(cache / FILE)  # the format of Larq Zoo's own files
    with pytest.raises(LarqnetsError, match=r"zoo:quicknet_small cannot be had: URL fetch failure .*no network here"):
        _ = open_subject(NAME).model  # the file is not the published one, which is asked for
    published.save_weights(cache / FILE)
    _trust(monkeypatch, cache / FILE)
    subject = open_subject(NAME)
    assert (subject.name, subject.takes, subject.model.output_shape) == ("quicknet_small", (224, 224, 3), (None, 1000))
    assert (subject.preparation.mean, subject.preparation.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    for mine, theirs in zip(subject.model.get_weights(), published.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def _trust(monkeypatch, file: Path) -> None:
    """Let Larq Zoo state the hash of this file."""
    import larq_zoo

    fetch, digest = larq_zoo.core.utils.download_pretrained_model, hashlib.sha256(file.read_bytes()).hexdigest()

    @functools.wraps(fetch)
    def call(**options):
        return fetch(**options | {"file_hash": digest})

    monkeypatch.setattr(larq_zoo.core.utils, "download_pretrained_model", call)


@needs_zoo
def test_every_name_is_one_of_the_packages_and_its_normalisation_too():
    import larq_zoo
    from larq_zoo.training import data

    known = {*larq_zoo.sota.__all__, *larq_zoo.literature.__all__}
    assert {*zoo_networks.NETWORKS.values()} == known - {"MeliusNet22", "RealToBinaryNet"}
    for ours, theirs in (("mean", data.MEAN_RGB), ("std", data.STDDEV_RGB)):
        np.testing.assert_allclose(zoo_networks.NORMALISATION[ours], np.array(theirs) / 255)


@pytest.mark.parametrize("words", [("convert", NAME), ("train", "digits", "--init-from", NAME)])
def test_where_it_is_missing_a_line_installs_it(cli, monkeypatch, words):
    monkeypatch.setattr(zoo_networks, "find_spec", lambda name: None if name == "zookeeper" else object())
    refused = cli(*words)
    assert refused.code == 1
    assert "packages that are not installed: zookeeper. pip install --no-deps" in refused.err
    assert '"larq-zoo==2.4.0" "zookeeper==1.4.0"' in refused.err


class Stopped(Exception):  # noqa: N818
    """What a killed process is here."""


class Killed(Reporter):
    """That of a process that dies before its first step."""

    def count(self, done, total=None, what=""):
        raise Stopped


@needs_zoo
def test_a_run_begins_with_its_body_and_is_used_without_the_package(cache, tmp_path, monkeypatch):
    import larq_zoo

    images, config = photos(tmp_path / "own", train=4, test=2), tmp_path / "own.toml"
    config.write_text(
        f'[model]\nmethod = "published"\nbackbone = "{NAME}"\n[data]\ndataset = "folder:{images}"\nimage_size = 32\n'
        "[train]\nepochs = 1\nbatch_size = 6\nfreeze = true\n"
    )
    order = functools.partial(Order, str(config), runs=tmp_path / "runs", init_from=NAME)
    tf.keras.utils.set_random_seed(5)
    published = larq_zoo.sota.QuickNetSmall(weights=None, include_top=False)
    for kept in ((cache / BODY, 0), (cache / BODY, 900)):  # another file than the published one, and a torn one
        published.save_weights(kept[0])
        kept[0].write_bytes(kept[0].read_bytes()[: -kept[1] or None])
        with pytest.raises(
            LarqnetsError, match=r"zoo:quicknet_small cannot be had: URL fetch failure .*no network here"
        ):
            launch(order(), SILENT)
        assert not (tmp_path / "runs").exists()
    published.save_weights(cache / BODY)
    _trust(monkeypatch, cache / BODY)
    run = launch(order(name="frozen"), SILENT)
    with pytest.raises(Stopped):
        launch(order(name="killed"), Killed())
    assert (run.card.transfer.turned, len(run.card.transfer.new), run.card.transfer.unused) == ((), 2, ())
    assert run.experiment.data.mean == zoo_networks.NORMALISATION["mean"]

    monkeypatch.setattr(zoo_networks, "find_spec", lambda name: None)
    monkeypatch.setattr(larq_zoo, "sota", None)
    mine = [weight for weight in load_trained_model(run).weights if not weight.name.startswith("classifier/")]
    for weight, theirs in zip(mine, published.weights, strict=True):
        np.testing.assert_array_equal(weight, theirs, err_msg=weight.name)
    manifest = convert_source(run.path, "arm64", twins=True, arm64_proof=False)
    assert set(manifest["files"]) == {"binary", "float", "int8"}
    with pytest.raises(LarqnetsError, match=r"not installed: larq_zoo.*pip install --no-deps"):
        launch(Order(str(tmp_path / "runs/killed"), resume=True), SILENT)


def test_a_network_that_it_does_not_have_is_told_with_the_nearest():
    with pytest.raises(LarqnetsError, match=r"no network 'quiknet'\. Did you mean 'quicknet'\?"):
        check_origin("zoo:quiknet")


@needs_zoo
@pytest.mark.parametrize(("name", "size", "why"), [("xnornet", 64, "One of the"), ("quicknet_small", 8, "Negative")])
def test_images_that_end_before_its_layers_do_are_refused(name, size, why):
    with pytest.raises(
        LarqnetsError, match=f"zoo:{name} cannot be built for images of {size}x{size}: {why} .*image_size"
    ):
        create_model("published", f"zoo:{name}", (size, size, 3), 5)
