"""The forward pass of every method against stored logits, so that no change of a network goes unseen.

    python tests/methods/test_golden.py METHOD ...     writes the lines of these methods into golden.json; without a name, of all
                                               that have none

Weights follow from the seed of the line and their names, images from the seed: neither from TensorFlow nor from the order
in which layers are made. Another processor sums in another order, which moves values by some 1e-6 and could move one across
the threshold of a sign. So the seed is the first with which everything that a sign is taken of, activations and kernels,
stays MARGIN away from it, and the logits may be compared closely. Libra's rounded exponents need no such care: with kernels
as normal as these they are -0.3 before they are rounded to 0.
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from larqnets import create_model, list_methods, quantizers
from larqnets.backbones import get_backbone
from larqnets.models import method_matrix

FILE = Path(__file__).with_name("golden.json")
GOLDEN = json.loads(FILE.read_text()) if FILE.exists() else {}
SHAPE = (16, 16, 3)
MARGIN = 2e-5  # ten times what the order of the sums moves; with five branches no seed leaves much more
TOLERANCE = 1e-4  # of the largest logit; another order of the sums (oneDNN off) moved them by up to 3e-7, a change of
# WSD's coefficient from 0.01 to 0.02, the smallest that was tried, by 3e-3


def draw(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Return the values of a weight, or of the images; RandomState, since NumPy has frozen its streams."""
    random = np.random.RandomState(zlib.crc32(f"{seed} {name}".encode()))
    if name.endswith("/moving_variance:0"):
        return random.uniform(32, 96, shape)  # of a sum of so many products
    if name.endswith("/progress:0"):
        return np.ones(shape)  # the end of training, where BNext's kernels are signs
    if name.endswith("/gamma:0"):
        return random.uniform(0.5, 1.5, shape)
    return random.normal(scale=1.0 if name.endswith(("kernel:0", "images")) else 0.25, size=shape)


def forward(method: str, backbone: str, seed: int) -> tuple[np.ndarray, float]:
    """Return logits (2, 10) and the smallest magnitude of all values that a sign is taken of."""
    model = create_model(method, backbone, SHAPE, 10, width=0.5)
    signs = 0
    for layer in model.layers:
        for weight in layer.weights:
            # not the whole name: Keras numbers quantizers from model to model
            weight.assign(draw(f"{layer.name}/{weight.name.rsplit('/', 1)[-1]}", weight.shape, seed))
        parts = (getattr(layer, f"{part}_quantizer", None) for part in ("input", "kernel"))
        signs += len(layer.inbound_nodes) * sum(getattr(part, "precision", None) == 1 for part in parts)
    images = draw("images", (2, *SHAPE), seed).astype(np.float32)
    seen = []

    def watched(x):
        seen.append(float(np.abs(x).min()))
        return plain(x)

    plain = quantizers.sign
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantizers, "sign", watched)
        logits = model(images).numpy()
    assert len(seen) == signs, f"{signs} signs in the network, {len(seen)} were watched"
    return logits, min(seen, default=np.inf)


@pytest.mark.parametrize("method", list_methods())
def test_logits_are_the_stored_ones(method):
    assert method in GOLDEN, (
        f"golden.json has no line for '{method}'. When its forward pass is checked, write one: "
        f"python tests/methods/test_golden.py {method}"
    )
    line = GOLDEN[method]
    logits, margin = forward(method, line["backbone"], line["seed"])
    assert margin > MARGIN / 2
    np.testing.assert_allclose(logits, line["logits"], rtol=0, atol=TOLERANCE * np.abs(line["logits"]).max())


def test_every_line_belongs_to_a_method():
    assert sorted(GOLDEN) == [method for method in list_methods() if method in GOLDEN]


def write(methods: list[str]) -> None:
    """Compute and store the lines of methods."""
    for method in methods:
        possible = [backbone for backbone, reason in method_matrix()[method].items() if not reason]
        smallest = min(possible, key=lambda name: len(get_backbone(name).units))
        backbone = "resnet8" if "resnet8" in possible else smallest
        for seed in range(1000):
            logits, margin = forward(method, backbone, seed)
            if margin > MARGIN:
                break
        else:
            sys.exit(f"No seed below 1000 keeps {method} on {backbone} away from its thresholds.")
        GOLDEN[method] = {"backbone": backbone, "seed": seed, "logits": np.round(logits.astype(float), 6).tolist()}
        print(f"{method} on {backbone}: seed {seed}, margin {margin:.1e}, logits up to {np.abs(logits).max():.2f}")
    lines = [f"{json.dumps(method)}: {json.dumps(GOLDEN[method])}" for method in sorted(GOLDEN)]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    write(sys.argv[1:] or [method for method in list_methods() if method not in GOLDEN])
