"""Nobody leaves a distributed run before all have read why: real processes, the reader held up until the others could be gone."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from forked import CONTEXT

from larqnets.errors import LarqnetsError
from larqnets.training import distribution
from larqnets.training.distribution import Workers, join

TIMEOUT = 120  # seconds
PATIENCE = 3  # seconds in which a process that does not wait for the others is gone


def refuse(workers: Workers) -> None:
    with workers.together():
        if workers.index == workers.count - 1:
            raise LarqnetsError("This one is refused.")


def differ(workers: Workers) -> None:
    workers.check_same("thing", workers.index)


def stop(workers: Workers) -> None:
    if workers.any(workers.index == workers.count - 1):
        raise LarqnetsError("All of them stop.")


def end(workers: Workers) -> None:
    with workers.together():
        pass
    workers.heard()
    raise LarqnetsError("All of them are done.")


# What happens -> what the one that causes it says, and what the others say.
SAYINGS = {
    refuse: ("This one is refused.", "Another worker could not go on"),
    differ: ("The workers do not have the same thing", "The workers do not have the same thing"),
    stop: ("All of them stop.", "All of them stop."),
    end: ("All of them are done.", "All of them are done."),
}


def member(index: int, addresses: list[str], happens, folder: Path) -> None:
    """In a process: take part in what happens and write how it ended; the first one reads late what was gathered first."""
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}})
    with (folder / f"{index}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until this process is gone
        workers = join("multiworker")
        if index == 0:
            workers.gather = held_up(workers, folder)
        try:
            with workers.losses():
                happens(workers)
        except LarqnetsError as error:
            (folder / f"{index}.txt").write_text(f"{type(error).__name__}: {error}")
        os._exit(0)


def held_up(workers: Workers, folder: Path):
    """Return a `gather` whose first answer arrives late: not at all if another process is gone by then."""
    real, calls = workers.gather, iter(range(100))

    def gather(value: int) -> list[int]:
        values = real(value)
        if next(calls) == 0 and gone(workers, folder):
            raise distribution.tf.errors.UnavailableError(None, None, "the process that has the values is gone")
        return values

    return gather


def gone(workers: Workers, folder: Path) -> bool:
    """Return whether any other process ends within PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for other in range(1, workers.count):
            with (folder / f"{other}.lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return True
                except BlockingIOError:
                    pass
        time.sleep(0.05)
    return False


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@pytest.mark.parametrize(
    ("happens", "count"), [*((happens, 2) for happens in SAYINGS), (refuse, 3)], ids=lambda x: getattr(x, "__name__", x)
)
def test_nobody_is_taken_for_lost(happens, count, tmp_path):
    addresses = [f"127.0.0.1:{port}" for port in free_ports(count)]
    members = [
        CONTEXT.Process(target=member, args=(i, addresses, happens, tmp_path), daemon=True) for i in range(count)
    ]
    for process in members:
        process.start()
    for process in members:
        process.join(TIMEOUT)
        process.kill()
    said = [(tmp_path / f"{i}.txt").read_text() for i in range(count)]
    cause, others = SAYINGS[happens]
    assert said[-1].startswith(f"LarqnetsError: {cause}"), said
    assert all(text.startswith(f"LarqnetsError: {others}") for text in said[:-1]), said


@contextmanager
def listening(port: int) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", port)):
        yield


def test_a_worker_that_nobody_joins_gives_up_with_a_sentence(monkeypatch):
    ports = free_ports(3)
    place = {"cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(place))
    monkeypatch.setattr(distribution, "WAIT_SECONDS", 0.5)
    with listening(ports[0]), pytest.raises(LarqnetsError) as caught:
        join("multiworker")
    assert f"Worker 1 of 3 cannot join the others: in 0.5 s worker 2 did not answer at 127.0.0.1:{ports[2]}" in str(
        caught.value
    )


def test_an_address_that_another_program_uses(monkeypatch):
    (port,) = free_ports(1)
    place = {"cluster": {"worker": [f"127.0.0.1:{port}"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(place))
    with listening(port), pytest.raises(LarqnetsError, match=r"cannot join the others: .*in use"):
        join("multiworker")
