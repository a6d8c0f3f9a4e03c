"""Heads: what tasks put on the stages of a backbone, made of the layers of a method, so that every method has the head of its own
precision and `real` is the twin.

A head is a function of the outputs of all stages. It asks the method for its pieces (`larqnets.methods`):

    fcn     a 3x3 convolution and the classifier of a pixel          `hidden`, `pixel_answer`
    aspp    five convolutions that see areas of different size       `path`, then as above
    plain   one real 3x3 convolution, on a map as large as the image  nothing
"""

from typing import TYPE_CHECKING

from larqnets.errors import LarqnetsError

if TYPE_CHECKING:
    from larqnets.backbones import Backbone


def check_classes(classes: int) -> None:
    """Raise LarqnetsError for less than two classes."""
    if classes < 2:
        raise LarqnetsError(f"Pixels cannot be told apart by {classes} class: there must be at least 2.")


def check_pixels(backbone: "Backbone", image_shape: tuple[int, int, int], classes: int) -> None:
    """Raise LarqnetsError where no pixel can be labelled: of less than two classes, or on a map of less than 2 x 2 pixels."""
    check_classes(classes)
    reduction = backbone.reductions[-1]
    height, width, _ = image_shape
    if min(height, width) < 2 * reduction:
        raise LarqnetsError(
            f"Images of {height}x{width} are too small: one pixel of the last map stands for {reduction} of the image, and both "
            f"sides must be at least {2 * reduction}. Use larger images or a smaller output stride."
        )
