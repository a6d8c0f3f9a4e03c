"""The per-op profile: whose time is it. Kernel names and parts were recorded from the runner under qemu."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from android_bench.emulation.emulator import qemu_command
from android_bench.measuring.profile import GROUP_NAMES, align, breakdown, layers_of, merge
from android_bench.record import OpTime, Profile
from android_bench.runtime.compile import LIBRARY_SOURCES, compile_native
from android_bench.runtime.runner import parse_report
from deploy.run.shipped import find_model
from larqnets.tflite.reading import read_model

CONV, DENSE = "Convolution (NHWC, F32) IGEMM", "Fully Connected (NC, F32) GEMM"


@pytest.mark.parametrize(
    ("kernels", "ops", "expected"),
    [
        # a 1x1 convolution runs as a dense layer
        (["Add (ND)", "Average Pooling (NHWC, F32)", DENSE], "ADD AVERAGE_POOL_2D CONV_2D", [[0], [1], [2]]),
        # an ADD with its activation is two kernels
        ([CONV, "Add (ND)", "Clamp (NC)", CONV], "CONV_2D ADD CONV_2D", [[0], [1], [1], [2]]),
        # a MEAN that drops its dimensions is two kernels: which of them is whose is not known
        (
            ["Add (ND)", "Mean (ND) Reduce2", "Static Reshape (NC)", DENSE],
            "ADD MEAN FULLY_CONNECTED",
            [[0, 1], [0, 1], [0, 1], [2]],
        ),
        # a kernel that XNNPACK puts in by itself
        (["Convert (NC)", CONV], "CONV_2D", [[], [0]]),
        # a convolution is missing: nothing is known but the part
        ([CONV, "Add (ND)"], "CONV_2D ADD CONV_2D", [[0, 1, 2], [0, 1, 2]]),
        ([CONV], "", [[]]),
    ],
)
def test_kernels_are_given_their_ops(kernels, ops, expected):
    assert align(kernels, list(enumerate(ops.split()))) == expected


@given(st.lists(st.sampled_from([CONV, DENSE, "Add (ND)", "Clamp (NC)"])), st.data())
def test_one_kernel_for_every_op_is_one_by_one(kernels, data):
    mac = st.sampled_from(["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
    ops = [(i, data.draw(mac) if kernel in (CONV, DENSE) else "ADD") for i, kernel in enumerate(kernels)]
    assert align(kernels, ops) == [[i] for i in range(len(kernels))]


def test_breakdown_sums_to_the_median():
    ops = (
        OpTime("a", (0,), (), "real", 3.0, None),
        OpTime("b", (1,), (), "binary", 5.0, None),
        OpTime("c", (2,), (), "glue", 0.5, None),
        OpTime("d", (3,), (), "real", 1.0, None),
    )
    found = breakdown(Profile(10, ops), median_ms=10.0)
    assert [op.name for op, _ in found.ops] == ["b", "a", "d", "c"]
    assert {group: share.ms for group, share in found.groups.items()} == {"binary": 5, "real": 4, "glue": 0.5}
    assert found.residual.ms == pytest.approx(0.5)
    assert sum(share.share for share in found.groups.values()) + found.residual.share == pytest.approx(1)
    assert breakdown(Profile(10, ops), median_ms=9.0).residual.share < 0, "a profiler that costs time is no secret"


def test_the_runners_profile_of_a_network(bundle):
    """Every op of the file is in it, with its layer; order and names are the file's."""
    file = find_model("digits")
    command = [*qemu_command(), bundle / "larqnets_runner", "--model", file, "--profile", "2", "--warmup-ms", "0"]
    events = parse_report(subprocess.run(command, env={}, capture_output=True, check=True, text=True).stdout).profile
    model = read_model(file)
    profile = merge(events, model, layers_of(file), runs=2)
    operators = model.subgraphs[0].operators
    assert {i for op in profile.ops for i in op.ops} == set(range(len(operators)))
    assert len(profile.ops) == len(events)
    assert sum(op.mean_ms for op in profile.ops) == pytest.approx(sum(e.mean_ns for e in events) / 1e6)
    binary = [op for op in profile.ops if op.group == "binary"]
    assert [op.ops for op in binary] == [(op.index,) for op in operators if op.name == "LceBconv2d"]
    assert all(op.layers[0].startswith("stage") for op in binary)
    assert {op.group for op in profile.ops} == set(GROUP_NAMES)
    unsure = [op.name for op in profile.ops if len(op.ops) > 1]
    assert unsure == ["Add (ND)", "Mean (ND) Reduce2", "Static Reshape (NC)"], "MEAN alone is more than one kernel"


def test_no_fault_of_the_profiler_when_memory_ends(tmp_path):
    """Every allocation of an invocation fails once, under AddressSanitizer; the next invocation is right again."""
    if shutil.which("g++") is None or platform.machine() != "x86_64":
        pytest.skip("needs g++ with its sanitizers")
    sources = [*LIBRARY_SOURCES, Path(__file__).with_name("profile_faults.cc")]
    # The double has of TensorFlow Lite what is called; the rest of the library is not there to link with.
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-sanitize=vptr"]
    flags += ["-Wl,--unresolved-symbols=ignore-all", "-fno-pie", "-no-pie", '-DLARQNETS_VERSION="test"']
    compile_native(sources, tmp_path / "faults", "x86_64", extra=flags)
    done = subprocess.run([tmp_path / "faults"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = [line.partition(": ")[2] for line in done.stdout.splitlines()]
    assert lines[0] == "There is no memory for the profile."
    assert lines[-1] == "done"
    assert set(lines) == {"There is no memory for the profile.", "done"}
