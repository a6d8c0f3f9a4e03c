"""Composite binary decomposition of trained real networks: smaller files without training, exact codes of bit planes.

The package needs NumPy alone, and SciPy for covers by rows and columns (paper mode, cascaded convolutions); TensorFlow
is imported nowhere in it. It makes files smaller; it does not by itself make a network faster than int8.
"""

from larqnets.decompose.container import Tensor, pack, unpack
from larqnets.decompose.matrix import from_matrix, to_matrix
from larqnets.decompose.methods import decompose_kernel, decompose_kernels
from larqnets.decompose.planes import body_and_top, body_planes, cascade, plane_kernels
from larqnets.decompose.result import LayerResult, Plane, container_bytes, deflate_bytes
from larqnets.decompose.search import settings_for_bits
from larqnets.decompose.settings import Settings

__all__ = [
    "LayerResult",
    "Plane",
    "Settings",
    "Tensor",
    "body_and_top",
    "body_planes",
    "cascade",
    "container_bytes",
    "decompose_kernel",
    "decompose_kernels",
    "deflate_bytes",
    "from_matrix",
    "pack",
    "plane_kernels",
    "settings_for_bits",
    "to_matrix",
    "unpack",
]
