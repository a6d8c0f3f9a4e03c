"""Training on several devices or machines with tf.distribute, and what its processes must agree on.

Every process runs the same loop. The chief alone writes the run; each of the others works on a copy in a temporary
folder, because the values of some variables are read by all processes together or not at all.
"""

import hashlib
import json
import shutil
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from larqnets.config import STRATEGIES
from larqnets.data.augment import Share
from larqnets.documents import parse_json
from larqnets.environment import TF_CONFIG
from larqnets.errors import LarqnetsError, first_line
from larqnets.processes import temporary_folder
from larqnets.runs.run import Run

if TYPE_CHECKING:
    from larqnets.data import Dataset

WAIT_SECONDS = 15 * 60  # for the other processes, at the start and when one starts again by itself
_EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'


class WorkerLostError(LarqnetsError):
    """Another process of a distributed run is gone or does not answer."""


class Workers:
    """The processes of one run, this one among them. `index` 0 is the chief; without a strategy it is alone."""

    def __init__(self, strategy: tf.distribute.Strategy, name: str, index: int = 0, count: int = 1) -> None:
        self.strategy, self.name, self.index, self.count = strategy, name, index, count
        self._gather = tf.function(lambda value: strategy.gather(strategy.run(tf.identity, (value,)), axis=0))

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    @property
    def replicas(self) -> int:
        """The number of devices that share a batch."""
        return self.strategy.num_replicas_in_sync

    def describe(self) -> dict[str, Any]:
        """Return what card and checkpoint record."""
        return {"strategy": self.name, "workers": self.count, "replicas": self.replicas}

    def check_divides(self, batch_size: int) -> None:
        """Raise LarqnetsError when a batch has no equal parts for all replicas."""
        if batch_size % self.replicas:
            raise LarqnetsError(
                f"A batch of {batch_size} images cannot be shared equally by {self.replicas} devices. Set train.batch_size "
                f"to a multiple of {self.replicas}; it is that of all devices together."
            )

    def batches(self, dataset: "Dataset", batch_size: int, seed: int, start_step: int) -> Iterable[Any]:
        """Return the endless training batches from a step on; `batch_size` is that of all replicas together."""

        def mine(context: tf.distribute.InputContext) -> tf.data.Dataset:
            share = Share(context.input_pipeline_id, context.num_input_pipelines)
            batches = dataset.train_batches(batch_size, seed, start_step=start_step, share=share)
            if self.replicas > self.count:
                batches = batches.rebatch(batch_size // self.replicas, drop_remainder=True)
            # That they never end spares the replicas asking one another at every step whether they did.
            return batches.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

        return self.strategy.distribute_datasets_from_function(mine)

    def gather(self, value: int) -> list[int]:
        """Return the values of all processes; each must call this the same number of times."""
        if self.count == 1:
            return [value]
        return [int(v) for v in self._gather(tf.constant([value], tf.int64))]

    def heard(self) -> None:
        """Return when all processes have read what was gathered last; to be called before it makes one leave.

        Who leaves earlier takes what it said along, and is taken for lost by those that did not read it yet.
        """
        with suppress(tf.errors.OpError):  # whoever is gone by now had read it
            self.gather(0)

    def any(self, flag: bool) -> bool:
        """Return whether the flag of any process is set, after which all of them end."""
        found = any(self.gather(int(flag)))
        if found:
            self.heard()
        return found

    def check_same(self, what: str, value: Any) -> None:
        """Raise LarqnetsError in all processes when `value`, which JSON can hold, is not the same in all."""
        digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
        if len(set(self.gather(int.from_bytes(digest[:7], "big")))) > 1:
            self.heard()
            raise LarqnetsError(
                f"The workers do not have the same {what}. Start all of them with the same command, versions and data, "
                "and a --runs folder that all of them share."
            )

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let all processes pass the block, or none: where one raises LarqnetsError, so do the others."""
        try:
            yield
        except LarqnetsError:
            with suppress(tf.errors.OpError):  # with nobody left to tell, it is still the reason
                self.gather(0)
                self.heard()
            raise
        if not all(self.gather(1)):
            self.heard()
            raise LarqnetsError(
                "Another worker could not go on; its own message says why. Then start all workers again."
            )

    @contextmanager
    def losses(self) -> Iterator[None]:
        """Raise WorkerLostError when the block ends because another process is gone."""
        try:
            yield
        except tf.errors.OpError as error:
            if self.count == 1 or not _is_loss(error):
                raise
            raise WorkerLostError(
                f"Worker {self.index} lost the others: one was killed or cannot be reached. Start whoever ended again "
                "with the same command and --resume; the run goes on from its last checkpoint."
            ) from error

    @contextmanager
    def own_copy(self, run: Run) -> Iterator[Run]:
        """Yield the run itself to the chief, and to another process a copy that is deleted after the block."""
        if self.is_chief:
            with self.together():
                pass
            yield run
            return
        with temporary_folder() as folder:
            with self.together():  # the chief writes no new checkpoint before all have read the last one
                try:
                    copy = shutil.copytree(run.path, folder / run.name, ignore=shutil.ignore_patterns(".lock"))
                except OSError as error:
                    raise LarqnetsError(f"Worker {self.index} cannot copy {run.path} to {folder}: {error}.") from error
            try:
                yield Run.open(copy)
            except LarqnetsError as error:  # its words are about the run, not about a folder that is gone
                error.args = (str(error).replace(str(copy), str(run.path)),)
                raise


def join(strategy: str | None) -> Workers:
    """Return the processes of a run with the strategy called so, after all of them have answered; None is one alone.

    "multiworker" reads TF_CONFIG. It must be called before TensorFlow computes anything. Raises LarqnetsError for another
    name, a TF_CONFIG that says no place for this process, and when the others do not answer.
    """
    if strategy is None:
        return Workers(tf.distribute.get_strategy(), "one device")
    if strategy == "mirrored":
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return Workers(tf.distribute.MirroredStrategy([device.name for device in devices]), strategy)
    if strategy != "multiworker":
        raise LarqnetsError(f"There is no strategy '{strategy}'. Choose {' or '.join(STRATEGIES)}.")
    index, addresses = _place(TF_CONFIG.read() or "")
    try:
        _meet(index, addresses)
        return Workers(tf.distribute.MultiWorkerMirroredStrategy(), strategy, index, len(addresses))
    except (OSError, RuntimeError, ValueError, tf.errors.OpError) as error:
        raise LarqnetsError(
            f"Worker {index} of {len(addresses)} cannot join the others: {first_line(error)}. Check that all are started and that the "
            "addresses in TF_CONFIG can be reached."
        ) from error


def _meet(index: int, addresses: list[tuple[str, int]]) -> None:
    """Return when every other process listens at its address; TimeoutError after WAIT_SECONDS.

    TensorFlow would wait for them without end, and without letting anything else happen in this process.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    with socket.create_server(("", addresses[index][1]), family=family, backlog=len(addresses), dualstack_ipv6=dual):
        for other, address in enumerate(addresses):
            while other != index:
                try:
                    socket.create_connection(address, timeout=5).close()
                    break
                except OSError as error:
                    if time.monotonic() > deadline:
                        raise TimeoutError(
                            f"in {WAIT_SECONDS} s worker {other} did not answer at {address[0]}:{address[1]} ({error})"
                        ) from error
                time.sleep(0.2)


def _place(text: str) -> tuple[int, list[tuple[str, int]]]:
    """Return the index of this process (the chief is 0) and the addresses of all in a TF_CONFIG."""
    try:
        config = parse_json(text)
        cluster, task = config["cluster"], config["task"]
        chiefs, workers = cluster.get("chief", []), cluster.get("worker", [])
        kind, index = task["type"], task["index"]
        if len(chiefs) > 1 or not cluster[kind][index] or index < 0 or kind not in ("chief", "worker"):
            raise ValueError(kind)
        parts = [address.rpartition(":") for address in (*chiefs, *workers)]
        addresses = [(host.strip("[]"), int(port)) for host, _, port in parts]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise LarqnetsError(
            f"--strategy multiworker needs TF_CONFIG in the environment, on every machine with an index of its own: {_EXAMPLE}"
        ) from error
    return (index if kind == "chief" or not chiefs else index + 1), addresses


def _is_loss(error: tf.errors.OpError) -> bool:
    gone = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    )
    return isinstance(error, gone) or "ollective" in str(error)
