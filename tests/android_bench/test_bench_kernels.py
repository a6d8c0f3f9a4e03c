"""`make bench-kernels` and `make bench-groupnet` on small models: the rows, the file, the tables."""

import json
from dataclasses import fields
from itertools import product
from pathlib import Path

import pytest

from android_bench.emulation import groupnet_cost, kernels, stem_cost
from android_bench.emulation.emulator import CPUS
from android_bench.emulation.qemu import OpCount
from deploy.export.stem_table import Counted
from larqnets import LarqnetsError, inspect_model
from larqnets.cli.tables import studies
from larqnets.schema import from_mapping
from larqnets.studies import bench_int8, bench_models
from larqnets.studies.bench_models import Convolution


@pytest.fixture(scope="module")
def small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_models, "COMPARED", (Convolution(7, 64, 64),))
        patch.setattr(bench_models, "BINARY_ONLY", (Convolution(7, 32, 40, window=1, stride=2, pad_value=0),))
        patch.setattr(bench_models, "INT8_STEMS", (Convolution(16, 3, 24, window=7, stride=2),))
        patch.setattr(bench_models, "NETWORKS", (("resnet8", (16, 16, 3), 10, "small"),))
        patch.setattr(bench_models, "_bodies", lambda: iter(()))
        yield


def test_rows_file_and_tables(bundle, small, cli, tmp_path):
    done = cli("bench-kernels", "--models", "models", "--output", "kernels.json", "--json")
    assert done.code == 0, done.err
    rows = json.loads((tmp_path / "kernels.json").read_text())
    assert rows == json.loads(done.out)
    assert all(list(row) == [field.name for field in fields(kernels.KernelCount)] for row in rows)
    a72, a76, i8mm = ({(r["shape"], r["kind"]): r for r in rows if r["cpu"] == cpu} for cpu in CPUS)
    assert list(a72) == list(a76) == list(i8mm)
    shape, other, network = "3x3 7x7x64", "1x1 7x7x32 to 40 stride 2 zero padding", "resnet8 16x16x3"
    ways = {"larqnets_bconv": "popcount"} | {f"larqnets_bconv_{way}": way for way in ("classes", "sorted")}
    single = {"lce_quantize": None, "xnnpack_fp32": None, "xnnpack_int8": None}
    assert {kind: row["family"] for (name, kind), row in a72.items() if name == shape} == ways | single
    least = min(a72[shape, kind]["instructions"] for kind in ways)
    assert (
        0.95 * a72[shape, "larqnets_bconv"]["instructions"] <= least
    )  # another way is taken where it saves a twentieth
    assert a72[other, "larqnets_bconv"]["family"] == "popcount"
    twins, binary = ("network_float", "network_int8"), ("network_binary", "network_mixed_own_stem")
    assert {kind for name, kind in a72 if name == network} == {
        *twins,
        *binary,
        *(f"{kind}_popcount" for kind in binary),
    }
    for kind in binary:
        assert a72[network, kind]["instructions"] <= a72[network, f"{kind}_popcount"]["instructions"]
    assert all(
        (row["load_instructions"] is None) is (kind in ways or kind == "lce_quantize")
        for (name, kind), row in a72.items()
        if name == shape
    )
    for kind in ("larqnets_bconv", "xnnpack_fp32", "xnnpack_int8"):
        assert a72[shape, kind]["macs"] == 7 * 7 * 64 * 9 * 64
    assert a72[shape, "lce_quantize"]["macs"] == 7 * 7 * 64
    assert a72[other, "larqnets_bconv"]["macs"] == 4 * 4 * 32 * 40
    # the binary kernel is the same on all cores, the int8 one has dot products on the newer, and products of matrices
    for kind in ways:
        assert a72[shape, kind] | {"cpu": ""} == a76[shape, kind] | {"cpu": ""}
    counts = [of_cpu[shape, "larqnets_bconv"]["instructions"] for of_cpu in (a76, i8mm)]
    assert 0.99 * counts[0] < counts[1] <= counts[0]  # the system's memset is another one there
    assert a76[shape, "xnnpack_int8"]["instructions"] < 0.6 * a72[shape, "xnnpack_int8"]["instructions"]
    assert i8mm[shape, "xnnpack_int8"]["instructions"] < 0.8 * a76[shape, "xnnpack_int8"]["instructions"]
    assert a72[shape, "larqnets_bconv"]["instructions"] < 0.2 * a72[shape, "xnnpack_fp32"]["instructions"]
    for rows_of in (a72, a76):
        ours, theirs = (rows_of["7x7 16x16x3 to 24 stride 2", kind] for kind in ("larqnets_conv_int8", "xnnpack_int8"))
        assert ours["macs"] == theirs["macs"] == 8 * 8 * 24 * 7 * 7 * 3
        assert ours["instructions"] < 0.6 * theirs["instructions"]
    titles = [table.title for table in studies.instructions_of_kernels(rows)]
    assert len(titles) == 9
    assert titles[0].startswith("cortex-a72")
    assert titles[6].startswith("i8mm (qemu's max,sme=off, in the place of a current phone): million")


def test_a_folder_without_models(tmp_path):
    with pytest.raises(LarqnetsError, match="make bench-kernels"):
        kernels.count_models(tmp_path)
    with pytest.raises(LarqnetsError, match="make bench-stems"):
        stem_cost.count_stems(tmp_path)


def test_the_kept_counts_of_networks():
    """Rewritten, the stem is cheaper for every variant on every core, and by how much is the same for the float ones."""
    rows = json.loads((Path(__file__).parents[2] / "results/kernels.json").read_text())
    found = {(r["cpu"], r["shape"], r["kind"]): r["instructions"] for r in rows if r["kind"].startswith("network_")}
    twins = {key: count for key, count in found.items() if key[2] in ("network_float", "network_int8")}
    assert len(twins) == len(CPUS) * 2 * 2 * 2  # sizes of the images, forms of the stem, kinds
    for (cpu, shape, kind), count in found.items():
        if f"{shape}, stem as trained" in {of for _, of, _ in found} and "mixed" not in kind:
            assert count < found[cpu, f"{shape}, stem as trained", kind]
    saved = [
        found[cpu, "resnet18 112x112x3, stem as trained", kind] - found[cpu, "resnet18 112x112x3", kind]
        for cpu in CPUS
        for kind in ("network_binary", "network_float")
    ]
    assert max(saved) - min(saved) < 0.02 * min(saved)


def test_stems(bundle, cli, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_models, "STEMS", ((3, 2),))
    monkeypatch.setattr(bench_models, "STEM_CHANNELS", (3,))
    monkeypatch.setattr(bench_models, "STEM_FILTERS", (8,))
    monkeypatch.setattr(bench_models, "STEM_SIZE", 12)
    monkeypatch.setattr(stem_cost, "CPUS", CPUS[1:2])
    done = cli("bench-stems", "--models", "models", "--output", "stems.json", "--json")
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "stems.json").read_text())
    assert result == json.loads(done.out)
    rows = [from_mapping(Counted, row, "", "stems.json") for row in result["rows"]]
    assert [(row.padded, row.numbers) for row in rows] == list(product((False, True), ("float", "int8")))
    assert all(tuple(row.as_trained) == tuple(row.rewritten) == CPUS[1:2] for row in rows)
    ops = [inspect_model(tmp_path / "models" / f"stem_00{i}_rewritten.tflite").ops for i in (0, 2)]
    assert [[op.op for op in of_one] for of_one in ops] == [
        ["SPACE_TO_DEPTH", "CONV_2D"],
        ["RESHAPE", "PAD", "RESHAPE", "SPACE_TO_DEPTH", "CONV_2D"],
    ]
    assert [table.row_count for table in studies.instructions_of_stems(result)] == [2, 2]


def check_goal(rows):
    """Behind the stem, with five branches: glue at most a quarter, and all of it at most 5.5 times that of one branch."""
    for cpu in CPUS:
        one, five = ({r["k"]: r for r in rows if r["cpu"] == cpu}[k] for k in (1, 5))
        assert five["glue"] <= 0.25 * five["total"]
        assert five["total"] <= 5.5 * one["total"]


def test_groupnets(bundle, cli, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_models, "GROUPNET", ("resnet8", 2.0, (16, 16, 3), 10))
    monkeypatch.setattr(bench_models, "BRANCHES", (1, 5))
    done = cli("bench-groupnet", "--models", "models", "--output", "groupnet.json", "--json")
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "groupnet.json").read_text())
    assert result == json.loads(done.out)
    assert result["network"] == "groupnet on resnet8, 32, 64, 128 filters, images 16x16x3, 10 classes"
    rows = result["rows"]
    assert [(r["cpu"], r["k"]) for r in rows] == [(c, k) for c in CPUS for k in (1, 5)]
    for row in rows:
        assert list(row) == ["k", "fused", "cpu", "binary", "float", "glue", "total"]
        assert row["total"] == row["binary"] + row["float"] + row["glue"]
        alike = [other["float"] for other in rows if other["cpu"] == row["cpu"]]
        assert set(alike) == {row["float"]}
        assert row["float"] > 4 * 4 * 128 / 4  # the head reads every feature, four at a time
    # Every branch has its own ops, the 1x1 in the shortcut too; what class sums execute depends a little on the weights.
    assert rows[1]["binary"] == pytest.approx(5 * rows[0]["binary"], rel=0.01)
    check_goal(rows)
    assert [table.row_count for table in studies.instructions_of_groupnets(result)] == [2, 2, 2]


def test_the_kept_counts_of_group_net_reach_the_goal():
    kept = json.loads((Path(__file__).parents[2] / "results/groupnet_instructions.json").read_text())
    assert {r["k"] for r in kept["rows"]} == {1, 3, 5, 8}
    check_goal(kept["rows"])


def test_real_work_between_stem_and_head_is_no_groupnet():
    def op(name, group="real"):
        return OpCount(name, (0,), group, 10, 0, 0, None)

    stem, conv, head = op("CONV_2D"), op("LceBconv2d", "binary"), op("ADD + MUL + MEAN + FULLY_CONNECTED")
    assert groupnet_cost.split((stem, conv, head), 4) == {"binary": 10, "float": 4, "glue": 6}
    for wrong in ((stem, op("ADD + CONV_2D"), head), (stem, conv), (op("CONV_2D + MUL"), conv, head)):
        with pytest.raises(LarqnetsError, match="Count a Group-Net whose convolutions are binary"):
            groupnet_cost.split(wrong, 4)


def test_a_folder_without_groupnets(tmp_path):
    with pytest.raises(LarqnetsError, match="make bench-groupnet"):
        groupnet_cost.count_groupnets(tmp_path)


def test_int8_rests_are_proven_counted_and_scored(bundle, cli, demo, tmp_path, monkeypatch):
    """Of a trained run and its trained twin, whose stem is of stride 1: there is one form of it, and ours."""
    monkeypatch.setattr(bench_int8, "NETWORKS", ())
    twin = cli("train", "digits_real", "--name", "twin", "--set", "train.epochs=2", "--set", "model.width=1.0")
    assert twin.code == 0, twin.err
    done = cli("bench-int8", demo.run, "runs/twin", "--output", "int8.json", "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert rows == json.loads((tmp_path / "int8.json").read_text())
    ours = [("float_rest", "float"), ("mixed", "float"), ("full", "float"), ("mixed", "uint8")]
    ours += [("mixed_own_stem", "float"), ("mixed_own_stem", "uint8")]
    files = [*ours, *((name, "float") for name in ("float_twin", "int8_twin", "int8_twin_own_stem"))]
    assert [(row["variant"], row["input"], row["cpu"]) for row in rows] == [
        (*file, cpu) for file in files for cpu in CPUS
    ]
    assert {row["stem"] for row in rows if "own" in row["variant"]} == {"own_op"}
    assert {row["stem"] for row in rows if "own" not in row["variant"]} == {"as_trained"}
    found = {(row["variant"], row["input"], row["cpu"]): row for row in rows}
    a72 = {file: found[*file, "cortex-a72"]["instructions"] for file in files}
    assert a72["mixed_own_stem", "float"] < a72["mixed", "float"]
    for row in rows:
        kinds = row["by_kind"]
        assert row["instructions"] < sum(kinds.values()) < row["instructions"] + 50_000  # marks between the ops
        assert (kinds["1-bit convolutions"] > 0) == ("twin" not in row["variant"])
        assert kinds["stem"] + kinds["real convolutions, classifier"] > 0
    for row in rows:
        assert row["headline"] == "accuracy"
        assert row["accuracy_low"] < row["test_accuracy"] == row["test_score"] < row["accuracy_high"]
        assert row["float_rest_accuracy"] == row["float_rest_score"] == rows[0]["test_accuracy"]
        assert (row["difference"] is None) == (row["variant"] not in ("mixed", "full", "mixed_own_stem"))
    for takes in ("float", "uint8"):
        own, mixed = (found[variant, takes, CPUS[0]]["test_accuracy"] for variant in ("mixed_own_stem", "mixed"))
        assert own == mixed
    assert found["mixed", "float", CPUS[0]]["difference"] == pytest.approx(
        found["mixed", "float", CPUS[0]]["test_accuracy"] - rows[0]["test_accuracy"]
    )
    assert (tmp_path / "int8_runs.png").stat().st_size > 10_000
    assert not (tmp_path / "int8.png").exists()
    (table,) = studies.int8_rests(rows)
    assert table.row_count == len(files)


@pytest.mark.parametrize(
    ("runs", "words"), [(["nowhere"], "nowhere"), (["runs/twin"], "is the twin of no run that is named")]
)
def test_int8_rests_of_what_is_no_run_or_a_twin_alone(bundle, cli, runs, words):
    made = cli("train", "digits_real", "--name", "twin", "--set", "train.epochs=1", "--set", "model.width=0.25")
    assert made.code == 0, made.err
    done = cli("bench-int8", *runs, "--output", "int8.json")
    assert done.code == 1
    assert words in done.err
