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
from larqnets.backbones import Backbone, Block, Unit, get_backbone
from larqnets.config import TrainConfig
from larqnets.losses import cross_entropy
from larqnets.methods import Tensor, layers
from larqnets.methods.groupnet import GroupNet
from larqnets.quantizers import approx_sign, identity_sign
from larqnets.shapes import known
from larqnets.studies.turns import Child, peak_bytes, tell, write_results
from larqnets.training import environment
from larqnets.training.step import in_mixed_precision, make_optimizer

CLASSES = 10


@dataclass(frozen=True)
class Sliced(GroupNet):
    """Separate layers whose shared 1x1 convolution reads a strided slice instead of a pooling over one pixel."""

    def downsample(self, xs: list[Tensor], filters: int, strides: int, name: str) -> list[Tensor]:
        """As GroupNet's."""
        if len(xs) == 1:
            return super().downsample(xs, filters, strides, name)
        thin = layers.Lambda(lambda t: t[:, ::strides, ::strides], name=f"{name}_thin")
        return super().downsample([thin(x) for x in xs], filters, 1, name)


@dataclass(frozen=True)
class Together(GroupNet):
    """The default Group-Net on basic blocks, the K branches in one tensor. Subclasses say how they lie in it.

    Weights are named as the separate layers' with `branches` for branch1, branch2, ...; those of all branches stand one
    after the other along the last axis, first axis of `batched`'s BatchNorm.
    """

    def body(self, x: Tensor, backbone: Backbone) -> list[Tensor]:
        """As GroupNet's."""
        outputs, shared, x = [], x, self.copies(x)
        for s, stage in enumerate(backbone.stages, 1):
            for b, block in enumerate(stage, 1):
                name = f"stage{s}_block{b}"
                if shared is None and self.k > 1:
                    x = self.mixed(x, f"{name}_gate")
                x, shared = self.group(x, shared, block, name), None
            outputs.append(self.mean(x, f"stage{s}_mean"))
        return outputs

    def group(self, x: Tensor, shared: Tensor | None, block: Block, name: str) -> Tensor:
        """One block of all branches; `shared` is what they all read, where they do."""
        around, strides = x, block.units[0].strides
        if strides > 1:
            around = self.thinned(x, block.units[-1].filters, strides, f"{name}_projection")
        for i, unit in enumerate(block.units, 1):
            conv = f"{name}_conv{i}_branches"
            is_shared = shared is not None and i == 1
            y = self.convolved(shared if is_shared else x, unit, is_shared, conv)
            y = self.normalised(layers.ReLU(name=f"{conv}_relu")(y), f"{conv}_bn")
            x = layers.Add(name=f"{conv}_add")([y, around if i == 1 else x])
        return x

    def copies(self, x: Tensor) -> Tensor:
        """K times the tensor."""
        raise NotImplementedError

    def convolved(self, x: Tensor, unit: Unit, shared: bool, name: str) -> Tensor:
        """The binary convolutions of all branches, which read the same tensor where it is `shared`."""
        raise NotImplementedError

    def normalised(self, x: Tensor, name: str) -> Tensor:
        """BatchNorm of every branch."""
        raise NotImplementedError

    def thinned(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """The shortcut of every branch where the shape changes: the 1x1 convolution with one kernel for all."""
        raise NotImplementedError

    def mixed(self, x: Tensor, name: str) -> Tensor:
        """The gate."""
        raise NotImplementedError

    def mean(self, x: Tensor, name: str) -> Tensor:
        """The mean of the branches."""
        raise NotImplementedError


@dataclass(frozen=True)
class Stacked(Together):
    """(N, H, W, K C): grouped convolutions; branches that read the same tensor are one ordinary convolution."""

    def copies(self, x: Tensor) -> Tensor:
        """K times the channels."""
        return layers.Concatenate(name="copies")([x] * self.k) if self.k > 1 else x

    def convolved(self, x: Tensor, unit: Unit, shared: bool, name: str) -> Tensor:
        """Kernel (k, k, C, K filters): its third axis tells TensorFlow how many groups there are."""
        return BranchConv(unit, known(x.shape[-1:])[0] // (1 if shared else self.k), self.k, name=name)(x)

    def normalised(self, x: Tensor, name: str) -> Tensor:
        """BatchNorm is per channel anyway."""
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name)(x)

    def thinned(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """The 1x1 with one kernel for all branches, which lie beside each other as if in a wider image."""
        height, width, channels = known(x.shape[1:])
        height, width, channels = -(-height // strides), -(-width // strides), channels // self.k
        x = layers.AvgPool2D(1, strides, name=f"{name}_thin")(x)
        x = layers.Reshape((height, width * self.k, channels), name=f"{name}_apart")(x)
        x = self._binary_conv(x, Unit(filters, 1), name)
        x = layers.Reshape((height, width, self.k * filters), name=f"{name}_beside")(x)
        return self.normalised(x, f"{name}_bn_branches")

    def mixed(self, x: Tensor, name: str) -> Tensor:
        """The gate."""
        return TogetherGate(self.k, axis=-2, name=name)(x)

    def mean(self, x: Tensor, name: str) -> Tensor:
        """(N, H, W, K C) -> (N, H, W, C)."""
        return layers.Lambda(lambda t: tf.reduce_mean(unfolded(t, self.k, -2), -2), name=name)(x)


@dataclass(frozen=True)
class Batched(Together):
    """(K N, H, W, C): every convolution is one product of K matrices of patches with K kernels."""

    def copies(self, x: Tensor) -> Tensor:
        """K times the images."""
        return layers.Lambda(lambda t: tf.concat([t] * self.k, 0), name="copies")(x)

    def convolved(self, x: Tensor, unit: Unit, shared: bool, name: str) -> Tensor:
        """Kernel as in `Stacked`."""
        return BranchConv(unit, known(x.shape[-1:])[0], self.k, 1 if shared else self.k, name=name)(x)

    def normalised(self, x: Tensor, name: str) -> Tensor:
        """Statistics for every branch, which the fused BatchNorm cannot keep apart in one batch."""
        norm = layers.BatchNormalization(axis=[0, 4], momentum=0.9, epsilon=1e-5, name=name)  # pyright: ignore[reportArgumentType]  # the stubs know one axis
        return layers.Lambda(lambda t: folded(t, 0), name=f"{name}_below")(
            norm(layers.Lambda(lambda t: unfolded(t, self.k, 0), name=f"{name}_apart")(x))
        )

    def thinned(self, x: Tensor, filters: int, strides: int, name: str) -> Tensor:
        """The 1x1 with one kernel for all branches is one convolution on the larger batch."""
        return self.normalised(self._binary_conv(x, Unit(filters, 1, strides), name), f"{name}_bn_branches")

    def mixed(self, x: Tensor, name: str) -> Tensor:
        """The gate."""
        return TogetherGate(self.k, axis=0, name=name)(x)

    def mean(self, x: Tensor, name: str) -> Tensor:
        """(K N, H, W, C) -> (N, H, W, C)."""
        return layers.Lambda(lambda t: tf.reduce_mean(unfolded(t, self.k, 0), 0), name=name)(x)


def unfolded(x: tf.Tensor, k: int, axis: int) -> tf.Tensor:
    """Give the branches an axis of their own: (K N, H, W, C) -> (K, N, H, W, C), or (N, H, W, K C) -> (N, H, W, K, C)."""
    n, (height, width, channels) = tf.shape(x)[0], known(x.shape[1:])
    shape = [k, n // k, height, width, channels] if axis == 0 else [n, height, width, k, channels // k]
    return tf.reshape(x, shape)


def folded(x: tf.Tensor, axis: int) -> tf.Tensor:
    """Undo `unfolded`."""
    if axis == 0:
        return tf.reshape(x, [-1, *x.shape[2:]])
    height, width, k, channels = known(x.shape[1:])
    return tf.reshape(x, [-1, height, width, k * channels])


class BranchConv(layers.Layer):
    """K binary convolutions, padding +1.

    Grouped: (N, H, W, C) or (N, H, W, K C) -> (N, H', W', K filters). `batched` says how many branches the batch holds:
    (N, H, W, C) or (K N, H, W, C) -> (K N, H', W', filters).
    """

    def __init__(self, unit: Unit, channels: int, k: int, batched: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.unit, self.channels, self.k, self.batched = unit, channels, k, batched

    def build(self, input_shape: Any) -> None:
        """Create the kernel (k, k, C, K filters)."""
        size = self.unit.kernel_size
        self.kernel = self.add_weight(
            name="kernel",
            shape=(size, size, self.channels, self.k * self.unit.filters),
            initializer="glorot_normal",
            constraint=tf.keras.constraints.get("weight_clip"),
        )

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Sign, pad, convolve."""
        size, strides = self.unit.kernel_size, self.unit.strides
        pads = [max((-(-n // strides) - 1) * strides + size - n, 0) for n in known(x.shape[1:3])]
        around = [[0, 0], *([p // 2, p - p // 2] for p in pads), [0, 0]]
        signs = tf.pad(approx_sign(x), around, constant_values=1)
        kernel = identity_sign(self.kernel)
        if not self.batched:
            return tf.nn.conv2d(signs, kernel, strides, "VALID")
        height, width = (-(-n // strides) for n in known(x.shape[1:3]))
        patches = tf.concat(
            [
                signs[:, i : i + (height - 1) * strides + 1 : strides, j : j + (width - 1) * strides + 1 : strides]
                for i in range(size)
                for j in range(size)
            ],
            -1,
        )
        depth = size * size * self.channels
        kernels = tf.transpose(tf.reshape(kernel, [depth, self.k, self.unit.filters]), [1, 0, 2])
        y = tf.reshape(patches, [self.batched, -1, depth]) @ kernels
        return tf.reshape(y, [-1, height, width, self.unit.filters])


class TogetherGate(layers.Layer):
    """GroupNet's gate, one for the block, on branches in one tensor."""

    def __init__(self, k: int, axis: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.k, self.axis = k, axis

    def build(self, input_shape: Any) -> None:
        """Create theta."""
        self.theta = self.add_weight(name="theta", shape=(), initializer=tf.keras.initializers.Constant(0.5))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """g h_k + (1 - g) mean."""
        gate, apart = tf.sigmoid(self.theta), unfolded(x, self.k, self.axis)
        mean = tf.reduce_sum(apart, self.axis, keepdims=True) * ((1 - gate) / self.k)
        return folded(gate * apart + mean, self.axis)


@dataclass(frozen=True)
class Form:
    """A way to compute the branches, and to run the step."""

    method: type[GroupNet]
    jit: bool = False  # XLA compiles the whole step
    mixed: bool = False  # train.mixed_precision


FORMS = {
    "separate": Form(GroupNet),
    "separate_sliced": Form(Sliced),
    "stacked": Form(Stacked),
    "batched": Form(Batched),
    "separate_jit": Form(GroupNet, jit=True),
    "separate_mixed": Form(GroupNet, mixed=True),
    "stacked_mixed": Form(Stacked, mixed=True),
}


@dataclass(frozen=True)
class Setting:
    """The network, its images and how long a turn is."""

    backbone: str = "resnet8"
    width: float = 1.0
    image_size: int = 32
    batch_size: int = 128
    steps_per_turn: int = 3


def build(form: Form, setting: Setting, k: int) -> tf.keras.Model:
    """Return the network in a form."""
    plan, method = get_backbone(setting.backbone, "small", setting.width), form.method(k=k)
    inputs = tf.keras.Input((setting.image_size, setting.image_size, 3))
    features = method.body(method.stem(inputs, plan.stem), plan)
    return tf.keras.Model(inputs, method.head(features[-1], plan, CLASSES))


def make_step(form: Form, model: tf.keras.Model, config: TrainConfig) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return a training step on (images, labels) that returns the loss."""
    optimizer = make_optimizer(config)
    optimizer.build(model.trainable_weights)

    @tf.function(jit_compile=form.jit)
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
