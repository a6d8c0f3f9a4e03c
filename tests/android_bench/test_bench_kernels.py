"""`make bench-kernels` on small models: the rows, the file, the tables."""

import json

import pytest

from android_bench import kernels
from deploy import bench_models
from deploy.bench_models import Convolution
from larqnets import LarqnetsError


@pytest.fixture(scope="module")
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_models, "COMPARED", (Convolution(7, 64, 64),))
        patch.setattr(bench_models, "BINARY_ONLY", (Convolution(7, 32, 40, window=1, stride=2, pad_value=0),))
        patch.setattr(bench_models, "NETWORK", ("resnet8", (16, 16, 3), 10, "small"))
        yield


def test_rows_file_and_tables(bundle, small, cli, tmp_path):
    done = cli("bench-kernels", "--models", "models", "--out", "kernels.json", "--json")
    assert done.code == 0, done.err
    rows = json.loads((tmp_path / "kernels.json").read_text())
    assert rows == json.loads(done.out)
    assert all(list(row) == ["cpu", "shape", "kind", "macs", "instructions"] for row in rows)
    a72, a76 = ({(r["shape"], r["kind"]): r for r in rows if r["cpu"] == f"cortex-{name}"} for name in ("a72", "a76"))
    assert list(a72) == list(a76)
    shape, other, network = "3x3 7x7x64", "1x1 7x7x32 to 40 stride 2 zero padding", "resnet8 16x16x3"
    assert [key for key in a72 if key[0] == shape] == [
        *((shape, "larqnets_bconv"), (shape, "lce_quantize"), (shape, "xnnpack_fp32"), (shape, "xnnpack_int8"))
    ]
    assert (other, "larqnets_bconv") in a72
    assert {kind for name, kind in a72 if name == network} == {"network_binary", "network_float", "network_int8"}
    for kind in ("larqnets_bconv", "xnnpack_fp32", "xnnpack_int8"):
        assert a72[shape, kind]["macs"] == 7 * 7 * 64 * 9 * 64
    assert a72[shape, "lce_quantize"]["macs"] == 7 * 7 * 64
    assert a72[other, "larqnets_bconv"]["macs"] == 4 * 4 * 32 * 40
    # the binary kernel is the same on both cores, the int8 one has dot products on the newer
    assert a72[shape, "larqnets_bconv"] | {"cpu": ""} == a76[shape, "larqnets_bconv"] | {"cpu": ""}
    assert a76[shape, "xnnpack_int8"]["instructions"] < 0.6 * a72[shape, "xnnpack_int8"]["instructions"]
    assert a72[shape, "larqnets_bconv"]["instructions"] < 0.2 * a72[shape, "xnnpack_fp32"]["instructions"]
    titles = [table.title for table in kernels.tables(rows)]
    assert len(titles) == 4
    assert titles[0].startswith("cortex-a72")


def test_a_folder_without_models(tmp_path):
    with pytest.raises(LarqnetsError, match="make bench-kernels"):
        kernels.count_models(tmp_path)
