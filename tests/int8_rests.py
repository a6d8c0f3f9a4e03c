"""A converted network with its real-valued rest in int8, both ways, and what holds for every one of them."""

from deploy.convert.int8_rest import int8_rest
from deploy.proof.converted import Converted
from deploy.proof.samples import Samples
from deploy.targets import RESTS, Int8Request
from larqnets.data.info import IMAGE
from larqnets.tflite.model import binary_filter
from larqnets.tflite.weight_ops import stored_kernel


def training_of(samples: Samples):
    """The samples as training images, as many as are asked for."""
    labels = samples.labels if isinstance(samples.labels, dict) else {"label": samples.labels}
    everything = {IMAGE: samples.images, **{name: values for name, values in labels.items() if values is not None}}
    return lambda count: {name: values[:count] for name, values in everything.items()}


def in_int8(converted: Converted, samples: Samples, request: Int8Request, **options) -> Converted:
    """The network with its rest in int8, not counted."""
    return int8_rest(converted, request, samples, training_of(samples), None, counted=False, **options)


def names_of(file):
    """The ops of a file but for those between floats and integers."""
    return [op.name for op in file.subgraphs[0].operators if op.name not in ("QUANTIZE", "DEQUANTIZE")]


def check_int8_rests(converted: Converted, samples: Samples) -> None:
    """Both rests are proven; 1-bit ops stay what they were, and no kernel of floats is left."""
    for rest in RESTS:
        made = in_int8(converted, samples, Int8Request(rest, images=16))
        assert made.variant == f"{converted.variant}_int8_{rest}"
        assert made.integers.proof.equal
        assert names_of(made.file) == names_of(converted.file)
        ours, theirs = (
            [binary_filter(file, op).tobytes() for op in file.subgraphs[0].operators if op.name == "LceBconv2d"]
            for file in (made.file, converted.file)
        )
        assert ours == theirs
        kernels = [stored_kernel(made.file, op) for op in made.file.subgraphs[0].operators if op.name != "LceBconv2d"]
        assert {kernel.dtype for kernel in kernels if kernel is not None} == {"int8"}
        left = {entry["op"] for entry in made.integers.facts["left"]}
        assert ("ADD" in left) == ("ADD" in names_of(converted.file)) or rest == "full"
