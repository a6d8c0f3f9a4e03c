"""Larq Zoo's networks with random weights: loaded from both kinds of file as they were, or refused in a true sentence.

LARQNETS_ZOO=all takes every network and converts it, which takes an hour; else a few are loaded.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from larqnets.errors import LarqnetsError
from larqnets.runs.keras_file import load_keras_file

zoo = pytest.importorskip("larq_zoo", reason="Larq Zoo is not installed")

ALL = os.environ.get("LARQNETS_ZOO") == "all"
LOADED = (
    *("QuickNetSmall", "DoReFaNet", "BinaryDenseNet28"),
    *(("QuickNet", "QuickNetLarge", "BinaryAlexNet", "BiRealNet", "BinaryResNetE18", "XNORNet") if ALL else ()),
    *(("BinaryDenseNet37", "BinaryDenseNet37Dilated", "BinaryDenseNet45") if ALL else ()),
)
# Activations of two bits, and a first layer whose kernel is binary and whose input is the image.
NOT_BINARY = {"DoReFaNet": "quant_conv2d", "BinaryAlexNet": "quant_conv2d"}
REFUSED = {"MeliusNet22": "stem_s1_groupconv_split", "RealToBinaryNet": "r2b_bnn_block_2_out"}


def network(name: str) -> tf.keras.Model:
    """A network for small images, with statistics that no BatchNormalization begins with."""
    size = 224 if name == "XNORNet" else 64
    build = getattr(zoo.sota if name.startswith("Quick") else zoo.literature, name)
    model = build(input_shape=(size, size, 3), weights=None, num_classes=10)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.set_weights([w + rng.uniform(0, 0.3, w.shape) for w in layer.get_weights()])
    return model


@pytest.mark.parametrize("name", LOADED)
def test_networks_of_the_zoo_load_from_files(tmp_path, name):
    model = network(name)
    x = np.random.default_rng(1).normal(size=(2, *model.input_shape[1:])).astype(np.float32)
    for suffix in (".keras", ".h5"):
        path = tmp_path / f"{name}{suffix}"
        model.save(path)
        np.testing.assert_array_equal(load_keras_file(path)(x), model(x))
        if ALL:
            _convert(path)


def _convert(path: Path) -> None:
    """The proof itself raises where the file is not equal; what is no 1-bit op is named."""
    from deploy.convert.sources import convert_source

    if path.stem in NOT_BINARY:
        with pytest.raises(LarqnetsError, match=f"Layer '{NOT_BINARY[path.stem]}.*To mend it, "):
            convert_source(path, "arm64")
    else:
        convert_source(path, "arm64")


@pytest.mark.parametrize("name", REFUSED)
def test_networks_with_lambda_layers_are_refused_by_the_name_of_the_layer(tmp_path, name):
    model = network(name)
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"model{suffix}")
        with pytest.raises(LarqnetsError, match=f"Lambda layer '{REFUSED[name]}', which is code"):
            load_keras_file(tmp_path / f"model{suffix}")
    if ALL:  # in memory they are no code of strangers
        from larqnets import Samples, convert

        x = np.random.default_rng(2).normal(size=(100, *model.input_shape[1:])).astype(np.float32)
        assert convert(model, Samples(x, real=False)).verification.equal
