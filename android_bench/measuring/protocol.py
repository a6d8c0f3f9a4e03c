"""How it is measured by default and strictly."""

import dataclasses

from android_bench.record import Protocol

DEFAULT = Protocol(
    rounds=10,
    round_runs=50,
    round_ms=1000,
    warmup_runs=10,
    warmup_ms=1000,
    strict=False,
    seed=0,
    xnnpack=True,
    low_memory=False,
    profile_runs=50,
    start_temperature_c=60.0,
    gate_timeout_s=600.0,
)
STRICT = dataclasses.replace(DEFAULT, round_runs=103, round_ms=6000, strict=True)  # 10 x 103 >= 1024, 10 x 6 s = 60 s


def functional(protocol: Protocol) -> Protocol:
    """Return what is left of a protocol where time means nothing: enough to see that everything works."""
    return dataclasses.replace(
        protocol,
        rounds=min(protocol.rounds, 2),
        round_runs=min(protocol.round_runs, 3),
        round_ms=0,
        warmup_runs=min(protocol.warmup_runs, 1),
        warmup_ms=0,
        profile_runs=min(protocol.profile_runs, 2),
    )
