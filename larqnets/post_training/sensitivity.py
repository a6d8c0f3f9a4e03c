"""How much an error in a kernel moves the answers, for all kernels in two passes over the images.

For a small error e of the weights w, independent and of mean 0, the numbers z that a network answers an image with, such
as logits, of classes or of those of every pixel, move by J e, and

    E |J e|^2 = sum_i E[e_i^2] |dz / dw_i|^2

With the step f in standard deviations, rounding gives E[e_i^2] = (f std)^2 / 12 for every weight of a kernel. So alone it
moves them (squared, mean over images) by s f^2 / 12, and all kernels together by the sum, with

    s = sum_i std^2 |dz / dw_i|^2

|dz / dw_i|^2 is the mean of (d(v . z) / dw_i)^2 over random signs v; one gradient of a sum over images with signs of
their own gives the sum over the images, for their products have the mean 0. (Ours, not the paper's, which has one setting
for all layers. The estimate is Hutchinson's.) Through places of maxima and through signs goes what training lets through.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from larqnets.decompose import matrix
from larqnets.post_training.network import Kernel
from larqnets.shapes import known
from larqnets.training.evaluation import map_sizes

PASSES = 2
BATCH = 64  # images whose gradients are summed before they are squared
MAX_BYTES = 1 << 30  # of all maps of the images that a gradient is taken of at once, in float32; it needs them all
_SIGNS = np.array([-1, 1], np.float32)


def sensitivities(
    model: tf.keras.Model, kernels: Sequence[Kernel], images: np.ndarray, per_channel: bool, seed: int = 0
) -> dict[str, float]:
    """Return s of every kernel for images (N, H, W, C); `per_channel`: std is that of each output channel.

    A kernel that moves nothing, such as one behind ReLUs that are all off, gets the least s of those that do.
    """
    variables = [kernel.weight for kernel in kernels]
    shapes = [known(output.shape[1:]) for output in model.outputs]
    answers = [tf.TensorSpec((None, *shape)) for shape in shapes]

    @tf.function(input_signature=[tf.TensorSpec((None, *model.input_shape[1:])), answers])
    def gradients(x: tf.Tensor, signs: list[tf.Tensor]) -> list[tf.Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            outputs = tf.nest.flatten(model(x, training=False))
            projected = tf.add_n([tf.reduce_sum(s * z) for s, z in zip(signs, outputs, strict=True)])
        found = tape.gradient(projected, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return [tf.convert_to_tensor(gradient) for gradient in found]

    generator = np.random.default_rng(seed)
    sums: list[np.ndarray] = [np.zeros(known(variable.shape)) for variable in variables]
    size = min(BATCH, max(1, MAX_BYTES // (4 * sum(map_sizes(model)))))
    for _ in range(PASSES):
        for start in range(0, len(images), BATCH):
            batch = images[start : start + BATCH]
            of_batch: list[np.ndarray] = [np.zeros(total.shape, np.float32) for total in sums]
            for x in (batch[i : i + size] for i in range(0, len(batch), size)):
                signs = [generator.choice(_SIGNS, size=(len(x), *shape)) for shape in shapes]
                for own, found in zip(of_batch, gradients(tf.constant(x), list(map(tf.constant, signs))), strict=True):
                    own += found.numpy()
            for total, own in zip(sums, of_batch, strict=True):
                total += np.square(own)
    found = {
        kernel.name: float(np.sum(total * _variance(kernel, per_channel))) / (PASSES * len(images))
        for kernel, total in zip(kernels, sums, strict=True)
    }
    return _positive(found)


def _variance(kernel: Kernel, by_channel: bool) -> matrix.Scale:
    """Return std^2 in a shape that broadcasts over the kernel."""
    deviation = matrix.spread(np.asarray(kernel.weight), kernel.depthwise, by_channel)
    return matrix.per_channel(deviation, known(kernel.weight.shape), kernel.depthwise) ** 2


def _positive(found: Mapping[str, float]) -> dict[str, float]:
    least = min((value for value in found.values() if value > 0), default=1.0)
    return {name: max(value, least) for name, value in found.items()}
