"""Networks that others published with weights for ImageNet, by name: `zoo:NAME` of Larq Zoo, `keras:NAME` of keras.applications.

Such a network has layers of its own, so that no method is applied to a backbone. A config that trains its body says so:

    [model]
    method = "published"
    backbone = "zoo:quicknet"
"""

from larqnets.errors import LarqnetsError

METHOD = "published"
ZOO, KERAS = "zoo:", "keras:"
IMAGENET = "imagenet"  # the weights that were published, in the place of a file


def is_zoo(named: object) -> bool:
    """Return whether something is named as a network of Larq Zoo."""
    return str(named).startswith(ZOO)


def is_keras(named: object) -> bool:
    """Return whether something is named as a network of keras.applications with the prefix; none of these is binary."""
    return str(named).startswith(KERAS)


def is_published(named: object) -> bool:
    """Return whether something is named as a network of either."""
    return is_zoo(named) or is_keras(named)


def licence_of_published(named: str) -> str:
    """Return the licence of a published network's weights; keras.applications hands on those of several authors."""
    return "Apache 2.0" if is_zoo(named) else "that of its authors, see keras.io/api/applications"


def check_pair(method: str, backbone: str) -> None:
    """Raise LarqnetsError where a method is named for a published body, or "published" for any other one."""
    if is_published(backbone) and method != METHOD:
        raise LarqnetsError(
            f'{backbone} has layers of its own, so no method is applied to it. Set model.method = "{METHOD}".'
        )
    if method == METHOD and not is_published(backbone):
        raise LarqnetsError(
            f"The method '{METHOD}' is for bodies that others published, and '{backbone}' is none. Set model.backbone to "
            "zoo:quicknet, keras:MobileNetV2 or the like, or name a method of `larqnets list methods`."
        )
