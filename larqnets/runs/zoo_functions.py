"""The three functions that networks of Larq Zoo name in their files, so that these load without Larq Zoo.

name                             forward                            used by
clip_by_value_activation         clip(x, 0, 1)                      DoReFaNet
magnitude_aware_sign_unclipped   mean|w| sign(w)                    DoReFaNet
xnor_weight_scale                mean|v_o| sign(v), v = clip(w)     XNORNet
"""

import larq as lq
import tensorflow as tf

from larqnets.quantizers import filter_scale, layer_sign


def clip_by_value_activation(x: tf.Tensor) -> tf.Tensor:
    """clip(x, 0, 1), elementwise on any shape."""
    return tf.clip_by_value(x, 0, 1)


@lq.utils.set_precision(1)
def magnitude_aware_sign_unclipped(w: tf.Tensor) -> tf.Tensor:
    """mean|w| sign(w) with one scale for the whole kernel; its gradient is the identity."""
    return layer_sign(w)


@lq.utils.set_precision(1)
def xnor_weight_scale(w: tf.Tensor) -> tf.Tensor:
    """mean|v_o| sign(v) per filter o with v = clip(w, -1, 1), for kernels (..., O)."""
    v = tf.clip_by_value(w, -1, 1)
    return filter_scale(v) * lq.quantizers.ste_sign(v)
