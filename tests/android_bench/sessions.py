"""Synthetic sessions: made up by numbers from a seeded generator, measured nowhere."""

import dataclasses
import hashlib

import numpy as np

from android_bench.record import (
    SCHEMA_VERSION,
    Cluster,
    Cores,
    DeviceRecord,
    Equality,
    Event,
    ModelRecord,
    OpTime,
    Profile,
    Protocol,
    Round,
    RuntimeRecord,
    Session,
    State,
)

PROTOCOL = Protocol(
    rounds=10,
    round_runs=50,
    round_ms=0,
    warmup_runs=10,
    warmup_ms=1000,
    strict=False,
    seed=1,
    xnnpack=True,
    low_memory=False,
    profile_runs=50,
    start_temperature_c=45.0,
    gate_timeout_s=600.0,
)
DEVICE = DeviceRecord(
    kind="adb",
    address="SYNTHETIC-1",
    model="synthetic phone",
    soc="synthetic SoC",
    clusters=(Cluster((0, 1, 2, 3), 1800.0, "schedutil", "Cortex-A55"), Cluster((4, 5), 2800.0, "schedutil", None)),
    memory_mb=7600,
    os="Android 14 (API 34)",
    kernel="5.10.157",
    machine="aarch64",
    bits=64,
    libc="bionic",
    functional_only=False,
    notes=("synthetic: nothing of this was measured",),
)
RUNTIME = RuntimeRecord(
    sources="0" * 64,
    files={"larqnets_runner": "1" * 64, "liblarqnets.so": "2" * 64},
    larqnets="0.1.0",
    tflite="2.19.0",
    kernels="neon",
    system="Linux 5.10.157 aarch64",
    hwcap="ff",
    hwcap2="0",
)


def sha256(name: str) -> str:
    """A hash for a file that does not exist."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()


def state(at_s: float, temperature: float = 40.0) -> State:
    """A moment of the synthetic phone."""
    return State(
        at_s=at_s,
        clocks_mhz={"4": 2800.0},
        clock_limits_mhz={"4": 2800.0},
        temperatures_c={"0 cpu-1-0": temperature},
        thermal_status=0,
        throttled=None,
        load=0.3,
        battery_percent=80,
        charging=True,
        screen_on=False,
    )


def rounds(medians: list[float], seed: int = 0, runs: int = 50) -> tuple[Round, ...]:
    """A round around each median, 30 s apart, lognormal noise of 1 % from run to run."""
    rng = np.random.default_rng(seed)
    return tuple(
        Round(
            number=i,
            order=0,
            started_s=30.0 * i,
            ended_s=30.0 * i + 10,
            runs=runs,
            latencies_ms=tuple(round(float(ms), 6) for ms in median * np.exp(rng.normal(0, 0.01, runs))),
            before=state(30.0 * i, 38 + i / 4),
            after=state(30.0 * i + 10, 39 + i / 4),
            discarded=None,
        )
        for i, median in enumerate(medians)
    )


def model(name: str = "binary", **changes) -> ModelRecord:
    """A model with ten rounds of about 10 ms."""
    rng = np.random.default_rng(1)
    record = ModelRecord(
        name=name,
        file=f"runs/demo/arm64/{name}.tflite",
        sha256=sha256(name),
        bytes=50_000,
        role="binary",
        twin_of=None,
        stem=None,
        kernels=None,
        score="accuracy",
        accuracy=0.95,
        accuracy_source="manifest.json",
        init_ms=(12.0, 11.5),
        first_inference_ms=(14.0, 13.0),
        rounds=rounds(list(10 * np.exp(rng.normal(0, 0.005, 10)))),
        peak_memory_kb=9000,
        profile=Profile(
            50,
            (
                OpTime("Convolution (NHWC, F32) IGEMM", (0,), ("stem",), "real", 3.0, None),
                OpTime("LceQuantize", (1,), ("block_1",), "glue", 0.5, None),
                OpTime("LceBconv2d", (2,), ("block_1_conv",), "binary", 5.5, "classes"),
            ),
        ),
        equality=Equality(sha256("x"), 8, 1e-6, 1.0, 1e-3, True, "LCE 0.16 interpreter"),
        instructions=None,
        fault=None,
    )
    return dataclasses.replace(record, **changes)


def session(*models: ModelRecord, **changes) -> Session:
    """A session of the synthetic phone."""
    whole = Session(
        schema_version=SCHEMA_VERSION,
        session="synthetic",
        created="2026-01-02T03:04:05+00:00",
        larqnets="0.1.0",
        complete=True,
        protocol=PROTOCOL,
        device=DEVICE,
        cores=Cores("10", (4,), 1, "one of the cores with the highest maximum clock"),
        runtime=RUNTIME,
        models=models or (model(),),
        trace=(state(0, 37),),
        events=(Event(0.0, "note", None, "synthetic"),),
    )
    return dataclasses.replace(whole, **changes)
