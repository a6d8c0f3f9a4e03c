"""The kernel core under AddressSanitizer and UBSan with drawn parameters and data (native/fuzz.cc).

LARQNETS_FUZZ_SECONDS says how long, 5 by default. What it finds becomes a case of test_kernels.py.
"""

import os
import re
import shutil
import subprocess

import pytest

from android_bench.runtime.compile import KERNELS, NATIVE, compile_native

SECONDS = int(os.environ.get("LARQNETS_FUZZ_SECONDS", "5"))
SANITIZE = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory):
    """Return fuzz(arguments) -> the finished process."""
    if shutil.which("g++") is None:
        pytest.skip("needs g++ with its sanitizers")
    program = tmp_path_factory.mktemp("fuzz") / "fuzz"
    compile_native([*KERNELS, NATIVE / "fuzz.cc"], program, "x86_64", extra=SANITIZE)
    return lambda *arguments: subprocess.run([program, *map(str, arguments)], capture_output=True, text=True)


def test_drawn_cases(fuzz):
    done = fuzz(SECONDS, 1)
    assert done.returncode == 0, done.stderr
    cases, refused, compared = map(int, re.findall(r"\d+", done.stdout))
    assert refused > cases / 10
    assert compared > cases / 3


PLANTED = {
    "results": ("bconv_plan.cc", "within += 8;", "within += 4;"),
    "lists of classes": ("class_plan.cc", "round * kMaxList < most", "(round + 1) * kMaxList < most"),
    "planes of filters": (
        "sorted_plan.cc",
        "channel % 8 * bytes + channel / 8 % 16",
        "channel % 8 * bytes + channel / 8 % 8",
    ),
    "int8 windows": ("conv8_plan.cc", "window_bytes = quads * 32 + 16;", "window_bytes = quads * 32 - 16;"),
    "bounds": ("pool.cc", "left + params_.filter_w, in_w_)", "left + params_.filter_w, in_w_ + 1)"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_faults_are_found(tmp_path, name):
    if shutil.which("g++") is None:
        pytest.skip("needs g++ with its sanitizers")
    native = tmp_path / "native"
    shutil.copytree(NATIVE, native)
    file, right, wrong = PLANTED[name]
    text = (native / file).read_text()
    assert text.count(right) == 1
    (native / file).write_text(text.replace(right, wrong))
    sources = [native / source.name for source in KERNELS]
    compile_native([*sources, native / "fuzz.cc"], tmp_path / "fuzz", "x86_64", extra=[*SANITIZE, "-O0"])
    done = subprocess.run([tmp_path / "fuzz", "20", "1"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "fuzz replay 1 " in done.stderr
