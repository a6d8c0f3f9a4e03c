"""All methods on one kernel: errors as published, settings, protection, refusals, layouts."""

import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from larqnets.decompose import (
    Settings,
    decompose_kernel,
    decompose_kernels,
    deflate_bytes,
    pack,
    search,
    settings_for_bits,
    to_matrix,
    unpack,
)
from larqnets.decompose.matrix import from_matrix, per_channel
from larqnets.decompose.settings import MethodName
from larqnets.errors import LarqnetsError

SOUND = Settings(protect_small=False)
ALL = {
    "sound": SOUND,
    "sound, index": replace(SOUND, code="index", sign_of_nonzeros=False),
    "sound, factors": replace(SOUND, code="all"),
    "sound, channel": replace(SOUND, granularity="channel"),
    "sound, int8 payload": replace(SOUND, step=0.01, int8_payload=True),
    "paper": Settings(mode="paper"),
    "paper, strict": Settings(mode="paper", bottleneck=0.6, strict_paper=True),
    "uniform": Settings(method="uniform"),
    "uniform, channel, mse": Settings(method="uniform", granularity="channel", clip="mse"),
    "int8": Settings(method="int8"),
    "sketch": Settings(method="sketch"),
    "sketch, direct": Settings(method="sketch", refined=False),
    "abc": Settings(method="abc"),
    "abc, one base": Settings(method="abc", bases=1),
}
KERNELS = {
    "conv": (3, 3, 20, 24),
    "1x1": (1, 1, 40, 16),
    "1x7": (1, 7, 8, 8),
    "dense": (70, 30),
    "depthwise": (3, 3, 24, 2),
}


def gauss(shape, seed=0, scale=0.1):
    return (scale * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)


def error(result) -> float:
    """Relative Frobenius error."""
    return 10 ** (-result.sqnr_db / 20)


@pytest.mark.parametrize("shape", KERNELS)
@pytest.mark.parametrize("settings", ALL)
def test_results_are_consistent(settings, shape):
    kernel, depthwise = gauss(KERNELS[shape]), shape == "depthwise"
    result = decompose_kernel(kernel, ALL[settings], "layer", depthwise=depthwise)
    assert result.method in get_args(MethodName)
    assert result.shape == result.values.shape == kernel.shape
    assert result.values.dtype == np.float32
    assert result.max_error == np.abs(kernel - result.values).max()
    assert math.isclose(error(result), np.linalg.norm(kernel - result.values) / np.linalg.norm(kernel), rel_tol=1e-4)
    assert result.bits > 0
    if result.codes is None:
        assert settings.startswith(("sketch", "abc"))
        assert 8 * result.file_bytes >= result.bits
        assert deflate_bytes(result) is None
        with pytest.raises(LarqnetsError, match="not integers times a scale"):
            result.record()
        return
    assert result.codes.dtype == np.int32
    assert result.scale.dtype == np.float32
    assert np.all(result.scale > 0)
    assert np.array_equal(
        result.values, result.codes.astype(np.float32) * per_channel(result.scale, kernel.shape, depthwise)
    )
    assert 0 < deflate_bytes(result) < 2 * kernel.size
    # the record is as long as said, and a file of it gives the integers back in the kernel's layout
    assert len(result.record()) == result.file_bytes
    (tensor,), _ = unpack(pack([result.tensor], b""))
    assert np.array_equal(from_matrix(tensor.codes, kernel.shape, depthwise), result.codes)
    assert np.array_equal(np.ravel(tensor.scale), np.ravel(result.scale))
    assert result.file_bytes == result.plan.bytes
    if ALL[settings].int8_payload:
        assert np.abs(result.codes).max() <= 127
        assert "step was raised" in result.note


@pytest.mark.parametrize("shape", KERNELS)
def test_the_matrix_view_has_the_rows_of_a_channel_together(shape):
    kernel, depthwise = np.arange(math.prod(KERNELS[shape])).reshape(KERNELS[shape]), shape == "depthwise"
    matrix = to_matrix(kernel, depthwise)
    assert np.array_equal(from_matrix(matrix, kernel.shape, depthwise), kernel)
    filters = kernel.reshape(-1, kernel.shape[2] * kernel.shape[3] if depthwise else kernel.shape[-1])
    rows = len(matrix) // filters.shape[1]
    for channel in (0, filters.shape[1] - 1):
        block = matrix[channel * rows : (channel + 1) * rows]
        assert set(block.ravel()) == set(filters[:, channel])
    if shape == "conv":
        assert matrix[2 * 3 + 1, 5 * 3 + 2] == kernel[1, 2, 5, 2]  # (s, y) = (2, 1), (c, x) = (5, 2)


DRAWS = {
    "gauss": lambda generator, shape: generator.normal(0, 0.5, shape),
    "laplace": lambda generator, shape: generator.laplace(0, 0.5, shape),
    "uniform": lambda generator, shape: generator.uniform(-0.5, 0.5, shape),
    "t4": lambda generator, shape: generator.standard_t(4, shape),
}


@pytest.mark.parametrize("kind", DRAWS)
@pytest.mark.parametrize("step", [0.1, 0.25, 0.35, 0.5])
def test_the_step_decides_the_error_whatever_the_distribution(kind, step):
    """10.8 + 20 log10(1/f) dB: noise Delta^2 / 12, within 0.3 dB for f <= 0.5."""
    kernel = DRAWS[kind](np.random.default_rng(1), (3, 3, 64, 64)).astype(np.float32)
    result = decompose_kernel(kernel, replace(SOUND, step=step))
    assert abs(result.sqnr_db - (10 * math.log10(12) + 20 * math.log10(1 / step))) < 0.3
    assert np.isclose(result.scale, step * kernel.std(), rtol=1e-5)
    assert result.max_error <= result.scale * 0.5001
    assert result.bits == 8 * result.file_bytes


@pytest.mark.parametrize(
    ("settings", "bits", "expected"),
    [
        (Settings(method="uniform", bits=5), 5.00, 0.091),
        (Settings(method="uniform", bits=6), 6.00, 0.044),
        (Settings(method="uniform", bits=5, clip="mse"), 5.00, 0.061),
        (Settings(method="uniform", bits=5, granularity="channel"), 5.01, 0.071),
        (Settings(method="uniform", bits=5, granularity="channel", clip="mse"), 5.01, 0.060),
        (Settings(method="sketch", refined=False), 5.07, 0.151),
        (Settings(method="sketch"), 5.07, 0.113),
        (Settings(method="abc"), 5.07, 0.278),
        (Settings(mode="paper", planes=5, bottleneck=0.3), 5.60, 0.065),
        (Settings(step=0.25, code="index", sign_of_nonzeros=False), 5.00, 0.072),
        (Settings(step=0.35, code="index", sign_of_nonzeros=False), 4.17, 0.101),
        (Settings(step=0.25), 4.16, 0.072),
    ],
    ids=lambda value: "" if isinstance(value, float) else f"{value.method}-{value.mode}",
)
def test_the_specifications_table_of_a_gauss_layer(settings, bits, expected):
    """Table 9.2, column Gauss: another draw of 256 x 256 x 3 x 3, so the largest weight may be 5 % off."""
    result = decompose_kernel(gauss((3, 3, 256, 256)), settings)
    assert abs(result.bits / result.weights - bits) < 0.03
    assert abs(error(result) / expected - 1) < 0.06


def test_more_bases_and_refinement_lower_the_error():
    kernel = gauss((3, 3, 32, 32))
    for m in range(1, 6):
        direct, refined = (
            error(decompose_kernel(kernel, Settings(method="sketch", bases=m, refined=r))) for r in (False, True)
        )
        assert refined <= direct * 1.0001
        assert error(decompose_kernel(kernel, Settings(method="sketch", bases=m + 1))) < refined
    one = decompose_kernel(kernel, Settings(method="sketch", bases=1)).values
    assert np.allclose(one, np.abs(kernel).mean(axis=(0, 1, 2)) * np.sign(kernel), atol=1e-6)


def test_the_best_clip_is_never_worse_than_none():
    kernel = np.random.default_rng(2).standard_t(3, (3, 3, 32, 32)).astype(np.float32)
    for granularity in ("layer", "channel"):
        full, clipped = (
            error(decompose_kernel(kernel, Settings(method="uniform", granularity=granularity, clip=clip)))
            for clip in ("max", "mse")
        )
        assert clipped < full


def test_small_layers_depthwise_kernels_and_the_stem_are_protected():
    large, small = gauss((3, 3, 48, 48)), gauss((3, 3, 40, 40))
    assert "fallback" not in decompose_kernel(large, Settings()).knobs
    for result, reason in [
        (decompose_kernel(small, Settings()), "fewer than 20,000 weights"),
        (decompose_kernel(large, Settings(), stem=True), "first layer"),
        (decompose_kernel(gauss((3, 3, 4000, 1)), Settings(), depthwise=True), "Depthwise"),
        (decompose_kernel(small, Settings(method="uniform", protect_small=True)), "fewer than 20,000 weights"),
        (decompose_kernel(small, Settings(method="sketch", protect_small=True)), "fewer than 20,000 weights"),
    ]:
        assert reason in result.note
        assert result.knobs == {"fallback": "int8"}
        assert result.scale.shape == (result.values.size // result.values[..., 0].size,) or result.depthwise
        assert result.bits == 8 * result.weights + 32 * result.scale.size
        assert result.sqnr_db > 38
    for settings in (replace(SOUND), Settings(mode="paper"), Settings(method="uniform")):
        assert "fallback" not in decompose_kernel(small, settings, stem=True).knobs


@pytest.mark.parametrize("settings", ALL)
@pytest.mark.parametrize(
    "kernel",
    [
        np.zeros((3, 3, 8, 8), np.float32),
        np.full((3, 3, 8, 8), 0.1, np.float32),
        np.full((3, 3, 8, 8), -3e-39, np.float32),
        np.where(gauss((3, 3, 8, 8)) > 0, 0.25, -0.25).astype(np.float32),
        np.eye(72, dtype=np.float32).reshape(3, 3, 8, 72)[..., :8],
        np.ones((1, 1, 1, 1), np.float32),
        np.linspace(1, 1 + 1e-6, 576, dtype=np.float32).reshape(3, 3, 8, 8),
        gauss((3, 3, 8, 8), scale=1e30),
        gauss((3, 3, 8, 8), scale=1e-30),
    ],
    ids=["zeros", "constant", "subnormal", "two values", "sparse", "single", "nearly constant", "huge", "tiny"],
)
def test_odd_layers(settings, kernel):
    result = decompose_kernel(kernel, ALL[settings], "odd")
    assert np.all(np.isfinite(result.values))
    assert not math.isnan(result.sqnr_db)
    assert result.max_error <= np.abs(kernel).max() * 1.0001
    if not kernel.any():
        assert not result.values.any()
        assert result.note == "All weights are zero: int8." or settings == "int8"
    if result.codes is not None:
        assert len(result.record()) == result.file_bytes
        assert np.all(result.codes[kernel == 0] == 0)


def test_constant_layers_become_int8_with_a_reason():
    flat = np.full((3, 3, 8, 8), 0.1, np.float32)
    assert "nearly equal" in decompose_kernel(flat, SOUND).note
    assert "same magnitude" in decompose_kernel(flat, Settings(mode="paper")).note
    assert (
        "below 1 for a matrix of 8 x 2" in decompose_kernel(gauss((2, 8)), Settings(mode="paper", bottleneck=0.4)).note
    )
    assert "leaves depthwise" in decompose_kernel(gauss((3, 3, 8, 1)), Settings(mode="paper"), depthwise=True).note


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
@pytest.mark.parametrize("method", get_args(MethodName))
def test_weights_that_are_no_numbers_are_refused_by_name(method, bad):
    kernel = gauss((3, 3, 4, 4)).astype(np.float64)
    kernel[1, 2, 3, 0] = bad
    with pytest.raises(LarqnetsError, match=r"Layer 'block3/conv' has weights that are NaN or infinite; train again"):
        decompose_kernel(kernel, Settings(method=method), "block3/conv")


@pytest.mark.parametrize(
    ("shape", "depthwise"), [((3,), False), ((3, 3, 4), False), ((5, 6), True), ((3, 3, 0, 4), False)]
)
def test_other_shapes_are_refused(shape, depthwise):
    with pytest.raises(LarqnetsError, match="no convolution and no dense layer"):
        decompose_kernel(np.ones(shape, np.float32), SOUND, depthwise=depthwise)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"method": "cdb"}, r"'method' is 'cdb', but must be one of 'cbd'.*Did you mean 'cbd'"),
        ({"mode": "papers"}, "Did you mean 'paper'"),
        ({"code": "rise"}, "Did you mean 'rice'"),
        ({"planes": 0}, "'planes' is 0, but must lie between 1 and 16"),
        ({"planes": 2.5}, "'planes' must be of type int, not 2.5"),
        ({"bottleneck": 1.0}, "'bottleneck' is 1.0"),
        ({"step": float("nan")}, "'step' is nan"),
        ({"bases": True}, "'bases' must be of type int, not True"),
        ({"mode": "paper", "granularity": "channel"}, "one scale per layer"),
        ({"mode": "paper", "planes": 8, "int8_payload": True}, "do not fit into int8"),
    ],
)
def test_settings_out_of_range(settings, sentence):
    with pytest.raises(LarqnetsError, match=sentence):
        Settings(**settings)


def test_a_network_is_decomposed_as_its_layers_are():
    kernels = {
        "stem": gauss((3, 3, 3, 16)),
        "conv": gauss((3, 3, 64, 64), 1),
        "dw": gauss((3, 3, 64, 1), 2),
        "fc": gauss((64, 10), 3),
    }
    results = decompose_kernels(kernels, Settings(), depthwise=["dw"], stem="stem")
    assert list(results) == list(kernels)
    assert [bool(result.note) for result in results.values()] == [True, False, True, True]
    alone = decompose_kernel(kernels["conv"], Settings(), "conv")
    assert np.array_equal(results["conv"].codes, alone.codes)
    own = {name: replace(SOUND, step=0.1 * (i + 1)) for i, name in enumerate(kernels)}
    assert [r.knobs["step"] for r in decompose_kernels(kernels, own).values()] == [s.step for s in own.values()]
    with pytest.raises(LarqnetsError, match="Layer 'fc'"):
        decompose_kernels(kernels | {"fc": np.full((64, 10), np.nan)}, Settings())


def test_a_search_meets_its_size():
    kernels = {"a": gauss((3, 3, 32, 32)), "b": gauss((3, 3, 64, 64), 1), "c": gauss((64, 10), 2)}
    for target in (3, 4.5):
        found, bits = settings_for_bits(kernels, target, SOUND)
        assert abs(bits - target) <= 0.01
        assert len({settings.step for settings in found.values()}) == 1
        results = decompose_kernels(kernels, found)
        total = sum(result.file_bytes for result in results.values())
        assert bits == 8 * total / sum(kernel.size for kernel in kernels.values())
    with pytest.raises(LarqnetsError, match=r"No step gives 20 bits per weight: .* with the finest"):
        settings_for_bits(kernels, 20, SOUND)
    with pytest.raises(LarqnetsError, match=r"No step gives 0\.1 bits per weight: .* with the coarsest"):
        settings_for_bits(kernels, 0.1, SOUND)
    with pytest.raises(LarqnetsError, match="mode sound only"):
        settings_for_bits(kernels, 4, Settings(mode="paper"))


def test_a_search_takes_few_tries_also_where_most_weights_are_int8(monkeypatch):
    kernels = {"a": gauss((3, 3, 48, 48)), **{f"small{i}": gauss((3, 3, 40, 40), i) for i in range(5)}}
    tries = []

    def counted(*arguments):
        tries.append(1)
        return decompose_kernels(*arguments)

    monkeypatch.setattr(search, "decompose_kernels", counted)
    for target in (6.4, 7.2):
        assert abs(settings_for_bits(kernels, target, Settings())[1] - target) <= 0.01
    assert len(tries) <= 16


def test_sensitive_layers_get_finer_steps_and_the_cost_falls():
    kernels = {"a": gauss((3, 3, 48, 48)), "b": gauss((3, 3, 48, 48), 1)}
    costs = {"a": 1.0, "b": 100.0}

    def cost(settings):
        return sum(costs[name] * error(result) ** 2 for name, result in decompose_kernels(kernels, settings).items())

    equal, _ = settings_for_bits(kernels, 4, SOUND)
    weighted, bits = settings_for_bits(kernels, 4, SOUND, costs)
    assert abs(bits - 4) <= 0.01
    assert np.isclose(weighted["a"].step / weighted["b"].step, 10)
    assert cost(weighted) < 0.5 * cost(equal)
    with pytest.raises(LarqnetsError, match="sensitivity of layer 'b' is None"):
        settings_for_bits(kernels, 4, SOUND, {"a": 1.0})
