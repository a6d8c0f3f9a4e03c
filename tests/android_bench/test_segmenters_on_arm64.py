"""Networks that label pixels on ARM64: proven equal under both heads, with rates beyond the map, and their instructions counted."""

import numpy as np
import pytest
from segmenters import IMAGES, MASKS, facts, segmenter

from android_bench.emulation.qemu import ENGINE, count
from deploy.convert.convert import convert
from deploy.proof.samples import Samples
from deploy.proof.verify import verify
from deploy.run.interpreter import Interpreter

BPAC = {"k": 2, "bpac": True, "bpac_rates": ((2, 5),)}  # of a map of 4 x 4
NETWORKS = {
    "group-net with parallel rates, fcn": ("groupnet", "fcn", {}, BPAC),
    "group-net with parallel rates, aspp": ("groupnet", "aspp", {}, BPAC),
    "bi-real net, aspp of signs": ("birealnet", "aspp", {"activation": "sign"}, {}),
    "reactnet, fcn with a skip": ("reactnet", "fcn", {"skip": True}, {}),
    "the real twin, aspp": ("real", "aspp", {}, {}),
    "segnet, unpooling and a plain head": ("segnet", "plain", {}, {}),
}


@pytest.mark.parametrize(("method", "head", "task", "options"), NETWORKS.values(), ids=NETWORKS)
def test_a_segmenter_is_equal_on_arm64_and_counted(bundle, method, head, task, options):
    model, task = segmenter(method, head, task=task, **options)
    known = {"mask": MASKS}
    file = convert(model, Samples(IMAGES, known, len(IMAGES), task=task, info=facts())).file
    result = verify(file, model, IMAGES[:4], {"mask": MASKS[:4]}, task=task, info=facts(), device="qemu")
    assert result.engine == ENGINE
    assert result.equal, result.reasons
    ours, lce = (Interpreter(file.content, device=device).predict(IMAGES[:2]) for device in ("qemu", None))
    np.testing.assert_allclose(ours, lce, rtol=1e-3, atol=1e-3 * np.abs(lce).max())
    # Of the two engines; the network before conversion may have a sign beside zero, which turns whole areas of so small a map.
    assert np.mean(ours.argmax(-1) == lce.argmax(-1)) > 0.99
    counted = count(file)
    names = [op.name for op in file.subgraphs[0].operators]
    assert sorted(i for op in counted.ops for i in op.ops) == list(range(len(names)))
    assert [op.group for op in counted.ops].count("binary") == names.count("LceBconv2d")
