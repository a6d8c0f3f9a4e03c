"""A device that makes up its latencies, for the rules of a session: no hardware, no emulator, no real time."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np

from android_bench.clock import StoppedError
from android_bench.devices.device import Installed
from android_bench.devices.link import DeviceLostError
from android_bench.devices.probe import parse_facts, parse_state
from android_bench.runtime.runner import parse_report
from larqnets import LarqnetsError

STATES = Path(__file__).parent / "states"


class FakeClock:
    """Time that passes when somebody sleeps or works; `stop` ends the next sleep."""

    def __init__(self):
        self.time = 1000.0
        self.stopped = False

    def now(self):
        return self.time

    def sleep(self, seconds):
        if self.stopped:
            raise StoppedError
        self.time += seconds

    def stop(self):
        self.stopped = True


class FakeDevice:
    """`latency_ms`: model name -> ms. `on_run` is called with every run's number and arguments before it is answered."""

    kind, address, name = "ssh", "pi@fake", "ssh:pi@fake"

    def __init__(self, clock, latency_ms, on_run=lambda number, arguments: None):
        self.clock, self.latency_ms, self.on_run = clock, latency_ms, on_run
        self.facts = parse_facts((STATES / "pi4.probe").read_text())
        self.current = parse_state((STATES / "pi4.state").read_text(), 0.0)
        self.emulator = None
        self.runs, self.pushed, self.models = [], 0, {}
        self.reachable = True
        self.expected = {}
        self.rng = np.random.default_rng(0)
        self.closed = False
        self.sources = "0" * 64  # of the runtime that is on it

    def open(self):
        if not self.reachable:
            raise LarqnetsError("It cannot be reached.")

    def probe(self):
        return self.facts

    def push(self, files):
        self.pushed += 1
        return Installed(self.sources, {"larqnets_runner": "1" * 64}, sum(map(len, files.values())))

    def set(self, **changes):
        self.current = dataclasses.replace(self.current, **changes)

    def state(self, at_s):
        return dataclasses.replace(self.current, at_s=at_s)

    def run(self, arguments, model, timeout_s=0.0):
        if not self.reachable:
            raise DeviceLostError("The connection to ssh:pi@fake broke (test).")
        self.runs.append((model, list(arguments)))
        self.on_run(len(self.runs) - 1, arguments)
        milliseconds = self.latency_ms[model]
        ns = []
        if "--rounds" in arguments:
            count = int(arguments[arguments.index("--round-runs") + 1])
            ns = [round(1e6 * milliseconds * value) for value in 1 + 0.01 * np.abs(self.rng.normal(size=count))]
        self.clock.time += 0.5 + sum(ns) / 1e9
        conditions = {"clocks": {"3": {"khz": "1800000", "max_khz": "1800000", "governor": "ondemand"}}}
        events = [
            {"name": op.name, "op": op.index, "in_delegate": not op.name.startswith("Lce"), "mean_ns": 1000}
            for op in self.models[model].subgraphs[0].operators
        ]
        report = {
            "larqnets": "0.1.0",
            "tflite": "2.21",
            "kernels": "neon",
            "system": "Linux fake aarch64",
            "hwcap": "ff",
            "hwcap2": "0",
            "emulator": self.emulator,
            "outputs": [{}] * len(self.expected[model].outputs),
            "init_ms": 12.5,
            "first_inference_ms": 3 * milliseconds,
            "peak_memory_kb": 30000,
            "prepared_bytes": 4000,
            "rounds": [{"ns": ns, "before": conditions, "after": conditions}] if ns else [],
            "profile": events if "--profile" in arguments else None,
            "counted_ops": None,
        }
        return parse_report(json.dumps(report))

    def pull(self, name, size):
        model, _ = self.runs[-1]
        file = io.BytesIO()
        np.save(file, self.expected[model].outputs[int(name.split(".")[1])])
        return file.getvalue()

    def abort(self):
        pass

    def close(self):
        self.closed = True
