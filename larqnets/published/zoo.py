"""Larq Zoo's networks with the weights that it published for ImageNet, through the packages larq-zoo and zookeeper.

What they ask for contradicts TensorFlow's protobuf, so they are no extra; installed without what they ask for they work.
"""

import contextlib
import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from larqnets.errors import LarqnetsError, first_line, nearest
from larqnets.published import ZOO

INSTALL = (
    'pip install --no-deps "larq-zoo==2.4.0" "zookeeper==1.4.0", and what zookeeper itself needs: '
    'pip install "typeguard>=3" "click>=7"'
)
# What its networks take: (pixel / 255 - mean) / std, RGB.
NORMALISATION: dict[str, tuple[float, ...]] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
# Name after `zoo:` -> the function that builds it. MeliusNet22 and RealToBinaryNet are left out: code stands in their layers.
NETWORKS = {
    "quicknet": "QuickNet",
    "quicknet_small": "QuickNetSmall",
    "quicknet_large": "QuickNetLarge",
    "binary_alexnet": "BinaryAlexNet",
    "birealnet": "BiRealNet",
    "binary_resnet_e18": "BinaryResNetE18",
    "binary_densenet28": "BinaryDenseNet28",
    "binary_densenet37": "BinaryDenseNet37",
    "binary_densenet37_dilated": "BinaryDenseNet37Dilated",
    "binary_densenet45": "BinaryDenseNet45",
    "dorefanet": "DoReFaNet",
    "xnornet": "XNORNet",
}


def check_zoo_name(named: str) -> None:
    """Raise LarqnetsError when Larq Zoo has no such network."""
    name = named.removeprefix(ZOO)
    if name not in NETWORKS:
        raise LarqnetsError(
            f"Larq Zoo has no network '{name}'.{nearest(name, NETWORKS)} Use {ZOO} and one of: {', '.join(NETWORKS)}."
        )


def check_zoo(named: str) -> None:
    """Raise LarqnetsError when Larq Zoo has no such network, or is not installed; without TensorFlow."""
    check_zoo_name(named)
    missing = [package for package in ("larq_zoo", "zookeeper", "typeguard", "click") if find_spec(package) is None]
    if missing:
        raise LarqnetsError(f"{named} needs packages that are not installed: {', '.join(missing)}. {INSTALL}.")


def build_zoo(named: str, **options: Any) -> Any:
    """Return the Keras model of `zoo:NAME`: with its ImageNet weights, or as the options of its function say.

    The file of weights is that in Larq Zoo's cache, or is downloaded; its SHA-256 must be the one that larq-zoo states.
    Raises LarqnetsError when there is no such network, or its weights cannot be had.
    """
    check_zoo(named)
    import tensorflow as tf

    tf.keras.backend.reset_uids()  # its layers have no names of their own and are numbered
    build = zoo_function(named)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Keras tells of a download on stdout, where --json is
            return build(**options)
    except Exception as error:  # Keras raises a bare Exception where a download fails
        raise LarqnetsError(
            f"{named} cannot be had: {first_line(error)}. Check the network connection; the weights are kept in "
            "~/.keras/larq/models afterwards, and a file with another SHA-256 there is never used."
        ) from error


def zoo_function(named: str) -> Callable[..., Any]:
    """Return the function that builds `zoo:NAME`; raises LarqnetsError as `check_zoo` does."""
    check_zoo(named)
    import larq_zoo

    name = NETWORKS[named.removeprefix(ZOO)]
    return getattr(larq_zoo.sota, name, None) or getattr(larq_zoo.literature, name)
