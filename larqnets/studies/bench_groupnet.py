"""`make bench-groupnet-training`: what a training step of Group-Net costs with its K branches computed in different forms.

The product has K separate layers. Beside them stand the same network with the branches as channels of one tensor and
grouped convolutions, with the branches as further images of the batch and a batched matrix product, and the separate
layers run in other ways. All but bfloat16 are the same function, weights and gradients included.

Each form runs in a process of its own, so that its memory can be told, on one batch of noise: a block of steps, then the
next form, every other time in reverse. A ratio is the median over these turns; it survives whatever else the machine
does. Images per second are those of the fastest turn, the one least disturbed.
"""

import collections
import contextlib
import json
import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from larqnets import processes
from larqnets.backbones import get_backbone
from larqnets.config import TrainConfig
from larqnets.losses import cross_entropy
from larqnets.studies.groupnet_forms import FORMS, Form
from larqnets.studies.turns import Child, peak_bytes, tell, write_results
from larqnets.tasks import Images, get_task, only
from larqnets.training import environment
from larqnets.training.optimizers import make_optimizer
from larqnets.training.step import in_mixed_precision

CLASSES = 10


@dataclass(frozen=True)
class Setting:
    """The network, its images and how long a turn is."""

    backbone: str = "resnet8"
    width: float = 1.0
    image_size: int = 32
    batch_size: int = 128
    steps_per_turn: int = 3


@tf.autograph.experimental.do_not_convert  # as larqnets.models does
def build(form: Form, setting: Setting, k: int) -> tf.keras.Model:
    """Return the network in a form."""
    plan, method = get_backbone(setting.backbone, "small", setting.width), form.method(k=k)
    images = Images((setting.image_size, setting.image_size, 3), CLASSES)
    inputs = tf.keras.Input(images.image_shape)
    stages = method.body(method.stem(inputs, plan.stem), plan)
    return tf.keras.Model(inputs, only(get_task().outputs(stages, method, plan, images)))


def make_step(form: Form, model: tf.keras.Model, config: TrainConfig) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return a training step on (images, labels) that returns the loss."""
    optimizer = make_optimizer(config)
    optimizer.build(model.trainable_weights)

    @tf.function(jit_compile=form.jit, autograph=False)
    def step(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(cross_entropy(model(images, training=True), labels))
        gradients = tape.gradient(loss, model.trainable_weights)
        optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
        return loss

    return in_mixed_precision(step) if form.mixed else step


def noise(setting: Setting) -> tuple[tf.Tensor, tf.Tensor]:
    """Return a batch of images and labels."""
    shape = (setting.batch_size, setting.image_size, setting.image_size, 3)
    return tf.random.stateless_normal(shape, (0, 1)), tf.range(setting.batch_size) % CLASSES


def time_by_op(run: Callable[[], object], times: int) -> dict[str, float]:
    """Return the share of each kind of op in the time of all, from TensorFlow's own profiler; the largest first."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with processes.temporary_folder() as folder:
        tf.profiler.experimental.start(str(folder))
        for _ in range(times):
            run()
        tf.profiler.experimental.stop()
        (file,) = folder.rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())  # pyright: ignore[reportAttributeAccessIssue]  # not in the stubs
    picoseconds: collections.Counter[str] = collections.Counter()
    for plane in space.planes:
        for event in (event for line in plane.lines for event in line.events):
            name = plane.event_metadata[event.metadata_id].name
            # a node of the graph, as "model/relu:Relu"; "ExecutorState::Process" and "EagerLocalExecute: ..." are around it
            if node := re.fullmatch(r"[\w./-]+:(?:_MklNative|_Mkl)?(\w+)", name):
                picoseconds[node[1]] += event.duration_ps
    total = sum(picoseconds.values())
    return {op: round(time / total, 3) for op, time in picoseconds.most_common() if time >= total / 100}


def child(form_name: str, k: str, setting_json: str) -> None:
    """Tell what the first step took, then of every turn; at the end the peak memory and where the time goes."""
    form, setting = FORMS[form_name], Setting(**json.loads(setting_json))
    batch = noise(setting)
    started = time.monotonic()
    step = make_step(form, build(form, setting, int(k)), TrainConfig(epochs=1))

    def run() -> None:
        step(*batch).numpy()  # waits for it

    run()
    tell(trace_seconds=time.monotonic() - started)
    while sys.stdin.readline():
        started, started_cpu = time.monotonic(), time.process_time()
        for _ in range(setting.steps_per_turn):
            run()
        tell(seconds=time.monotonic() - started, cpu_seconds=time.process_time() - started_cpu)
    tell(peak_bytes=peak_bytes())
    tell(ops={} if form.jit else time_by_op(run, setting.steps_per_turn))  # to the profiler XLA is one op


def bench(ks: Sequence[int], turns: int, setting: Setting, out: Path) -> dict[str, Any]:
    """Measure every form for each K and write the results to `out`; returns them."""
    document = {
        "format_version": 1,
        "command": "make bench-groupnet-training",
        "machine": environment.hardware(),
        "versions": environment.versions(),
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
        "network": f"groupnet on {setting.backbone}, width {setting.width:g}",
        **asdict(setting),
        "turns": turns,
        "rows": [row for k in ks for row in measure(k, turns, setting)],
    }
    document["load_average_after"] = [round(load, 2) for load in os.getloadavg()]
    write_results(out, document)
    return document


def measure(k: int, turns: int, setting: Setting) -> list[dict[str, Any]]:
    """Let the forms take turns, one to warm up and `turns` that count; returns a row for each."""
    with contextlib.ExitStack() as stack:
        children: dict[str, Child] = {}
        trace: dict[str, float] = {}
        for form in FORMS:  # one after the other, so that none traces beside another
            arguments = [form, str(k), json.dumps(asdict(setting))]
            children[form] = stack.enter_context(Child(form, __name__, arguments))
            trace[form] = children[form].answer()["trace_seconds"]
        told: dict[str, list[dict[str, float]]] = {form: [] for form in FORMS}
        for turn in range(turns + 1):
            for form in FORMS if turn % 2 else reversed(FORMS):
                told[form].append(children[form].turn())
        peaks, ops = {}, {}
        for form in FORMS:
            children[form].close()
            peaks[form], ops[form] = children[form].answer()["peak_bytes"], children[form].answer()["ops"]
    seconds, cpu = ({f: [a[key] for a in told[f][1:]] for f in FORMS} for key in ("seconds", "cpu_seconds"))
    images = setting.batch_size * setting.steps_per_turn
    return [
        {
            "k": k,
            "form": form,
            "images_per_second": round(images / min(seconds[form]), 1),
            "speed_to_separate": _ratio(seconds["separate"], seconds[form]),
            "speeds_to_separate": [round(a / b, 3) for a, b in zip(seconds["separate"], seconds[form], strict=True)],
            "cpu_speed_to_separate": _ratio(cpu["separate"], cpu[form]),
            "cpu_seconds_per_step": round(statistics.median(cpu[form]) / setting.steps_per_turn, 4),
            "peak_memory_mb": round(peaks[form] / 1e6, 1),
            "trace_seconds": round(trace[form], 2),
            "share_of_ops": ops[form],
        }
        for form in FORMS
    ]


def _ratio(separate: list[float], other: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(separate, other, strict=True)), 3)
