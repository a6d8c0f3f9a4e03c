"""Small detectors as files, each made once for all tests of a process."""

from functools import cache

import numpy as np
import tensorflow as tf
from detectors import CLASSES, SHAPE, detection, detector

from deploy.convert.convert import convert, convert_twin
from deploy.proof.converted import Converted
from deploy.proof.samples import Samples
from larqnets.tasks import Images

IMAGES = np.random.default_rng(0).normal(size=(12, *SHAPE)).astype(np.float32)
INFO = Images(SHAPE, CLASSES)
_NETWORKS = {"int8": "float", "ssd float": "ssd", "ssd int8": "ssd"}


def samples(variant: str = "") -> Samples:
    """The images for a detector of this kind."""
    options = {"detector": "ssd"} if variant.startswith("ssd") else {}
    return Samples(IMAGES, None, 0, task=detection(**options), info=INFO)


def network_of(variant: str) -> tf.keras.Model:
    """The network that a file comes from: FCOS of groupnet ("binary") or real, or a real SSD."""
    return _network(_NETWORKS.get(variant, variant))


@cache
def _network(name: str) -> tf.keras.Model:
    if name == "binary":
        return detector("groupnet")
    return detector("real", task={"detector": "ssd"} if name == "ssd" else None)


@cache
def file_of(variant: str) -> Converted:
    """The file, proven where it is claimed to be equal; binary, float, int8, ssd float or ssd int8."""
    model, given = network_of(variant), samples(variant)
    return convert_twin(model, given, IMAGES, {}, "") if variant.endswith("int8") else convert(model, given)
