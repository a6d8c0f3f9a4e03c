"""A model in a child process: native code that crashes on a file ends the child, and here it is one sentence.

Parent and child talk through pipes. A message is 4 bytes, the length of a JSON object, the object, and then the raw values
of the arrays that it describes. The child starts with the file's bytes, answers with its inputs and outputs, and then
answers batches until its stdin ends. What it sends is checked like a file of a stranger: it may have been taken over.
"""

import contextlib
import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from larqnets import processes
from larqnets.errors import LarqnetsError, printable
from larqnets.reporter import SILENT, Reporter
from larqnets.tflite.model import Model
from larqnets.tflite.reading import read_model

MAX_REPLY_BYTES = 4 << 30
_MAX_HEADER = 1 << 20
# The child imports from where its parent does, and never from the folder that it happens to start in.
_START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from deploy.run.child import serve; serve()"


class ChildModel:
    """A model whose runs happen in a child process, which ends with this object.

    Raises LarqnetsError when the child refuses the model or dies of it.
    """

    def __init__(self, model: Model, num_threads: int = 1) -> None:
        self._name = model.name
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - what the child says, for as long as there is one
        self._child = processes.start(
            [sys.executable, "-P", "-c", _START, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )
        request = {"name": model.name, "bytes": len(model.content), "threads": num_threads}
        facts = self._ask(request, [model.content])
        try:
            self.engine, self.resizes = printable(str(facts["engine"]))[:200], facts["resizes"] is True
            self.input_shapes, self.input_types = _described(facts["inputs"])
            self.output_shapes, self.output_types = _described(facts["outputs"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._end("answered with nonsense") from error

    def __del__(self) -> None:
        if (child := getattr(self, "_child", None)) is not None:
            _kill(child)
        if (errors := getattr(self, "_errors", None)) is not None:
            errors.close()

    def predict(self, inputs: list[np.ndarray], reporter: Reporter = SILENT) -> list[np.ndarray]:
        """Run samples (N, ...) of every input: every output for all of them. `reporter` is told after every run."""
        described = [_description(value.shape, value.dtype) for value in inputs]
        answer = self._ask({"arrays": described}, [_bytes_of(value) for value in inputs], reporter)
        try:
            shapes, types = _described(answer["arrays"])
            if len(shapes) != len(self.output_shapes):
                raise ValueError("another number of outputs")
            sizes = [math.prod(shape) * dtype.itemsize for shape, dtype in zip(shapes, types, strict=True)]
            if sum(sizes) > MAX_REPLY_BYTES:
                raise LarqnetsError(
                    f"The outputs of {self._name} take {sum(sizes):,} bytes, more than {MAX_REPLY_BYTES:,}. Give fewer samples."
                )
        except (KeyError, TypeError, ValueError) as error:
            raise self._end("answered with nonsense") from error
        return [
            np.frombuffer(self._read(size), dtype).reshape(shape)
            for shape, dtype, size in zip(shapes, types, sizes, strict=True)
        ]

    def _ask(self, request: dict[str, Any], values: list[Any], reporter: Reporter = SILENT) -> dict[str, Any]:
        try:
            _send(processes.pipes(self._child)[0], request, values)
            while True:
                answer = self._receive()
                if "error" in answer:
                    raise LarqnetsError(printable(str(answer["error"]))[:4000])
                if "done" not in answer:
                    return answer
                if isinstance(answer["done"], int):
                    reporter.count(answer["done"], what="samples")
        except BrokenPipeError as error:
            raise self._end() from error
        except BaseException:  # Ctrl-C as well: nobody waits for this answer any more
            _kill(self._child)
            raise

    def _receive(self) -> dict[str, Any]:
        size = int.from_bytes(self._read(4), "little")
        try:
            if size > _MAX_HEADER:
                raise ValueError("too long")
            answer = json.loads(self._read(size))
        except (ValueError, RecursionError) as error:
            raise self._end("answered with nonsense") from error
        if not isinstance(answer, dict):
            raise self._end("answered with nonsense")
        return answer

    def _read(self, size: int) -> bytearray:
        try:
            return _read_exactly(processes.pipes(self._child)[1], size)
        except EOFError as error:
            raise self._end() from error

    def _end(self, did: str = "") -> LarqnetsError:
        """Return what to say of a child that is gone or must go."""
        if did:
            _kill(self._child)
        status = self._child.wait()
        if not did and status < 0:
            did = f"died ({signal.Signals(-status).name})"
        elif not did:
            self._errors.seek(0, os.SEEK_END)
            self._errors.seek(max(0, self._errors.tell() - 2000))
            lines = self._errors.read().decode(errors="backslashreplace").strip().splitlines()
            did = f"ended with {status}: {printable((lines or ['it did not say why'])[-1])[:200]}"
        return LarqnetsError(
            f"The process that ran {self._name} {did}. The file is damaged, or asks for more than there is: copy or convert it "
            "again."
        )


def serve() -> None:
    """Be the child: load the model that the parent sends, answer its batches, end when it does."""
    from deploy.run.host_engines import load_here

    _leave_no_core_dump()
    source, sink = os.fdopen(0, "rb", buffering=0, closefd=False), os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what native code prints must not get between the messages
    try:
        request = _receive_request(source)
        model = read_model(bytes(_read_exactly(source, request["bytes"])))
        engine = _answering(
            sink, lambda: load_here(dataclasses.replace(model, name=request["name"]), request["threads"])
        )
        if engine is None:
            return
        sides = {
            side: [_description(*pair) for pair in zip(shapes, types, strict=True)]
            for side, shapes, types in (
                ("inputs", engine.input_shapes, engine.input_types),
                ("outputs", engine.output_shapes, engine.output_types),
            )
        }
        _send(sink, {"engine": engine.engine, "resizes": engine.resizes, **sides}, [])
        while True:
            _answer_batch(engine, source, sink)
    except (EOFError, BrokenPipeError):
        return  # the parent has all that it wanted


class _ToParent(Reporter):
    """Sends the number of samples done to the parent, which reports it."""

    def __init__(self, sink: IO[bytes]) -> None:
        self._sink = sink

    def count(self, done: int, total: int | None = None, what: str = "") -> None:
        """See Reporter."""
        _send(self._sink, {"done": done}, [])


def _answer_batch(engine: Any, source: IO[bytes], sink: IO[bytes]) -> None:
    shapes, types = _described(_receive_request(source)["arrays"])
    inputs = [
        np.frombuffer(_read_exactly(source, math.prod(shape) * dtype.itemsize), dtype).reshape(shape)
        for shape, dtype in zip(shapes, types, strict=True)
    ]
    outputs = _answering(sink, lambda: engine.predict(inputs, _ToParent(sink)))
    if outputs is not None:
        _send(sink, {"arrays": [_description(y.shape, y.dtype) for y in outputs]}, [_bytes_of(y) for y in outputs])


def _bytes_of(values: np.ndarray) -> memoryview:
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8).data


def _receive_request(source: IO[bytes]) -> dict[str, Any]:
    return json.loads(_read_exactly(source, int.from_bytes(_read_exactly(source, 4), "little")))


def _answering(sink: IO[bytes], work: Callable[[], Any]) -> Any:
    """Return what `work` returns; what is wrong with it is sent to the parent, and None returned."""
    try:
        return work()
    except LarqnetsError as error:
        _send(sink, {"error": str(error)}, [])
        return None


def _leave_no_core_dump() -> None:
    if os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _kill(child: subprocess.Popen[bytes]) -> None:
    processes.end(child)
    for pipe in processes.pipes(child):
        with contextlib.suppress(OSError):  # what was left in it has no reader any more
            pipe.close()


def _description(shape: tuple[int, ...], dtype: np.dtype) -> dict[str, Any]:
    return {"shape": list(map(int, shape)), "dtype": dtype.str}


def _described(arrays: Any) -> tuple[list[tuple[int, ...]], list[np.dtype]]:
    """Return the shapes and types of a message; raises KeyError, TypeError or ValueError when it has none."""
    shapes, types = [], []
    for array in arrays:
        shape, dtype = tuple(array["shape"]), np.dtype(str(array["dtype"]))
        if dtype.kind not in "fciubS" or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"no array: {array}")
        shapes.append(shape)
        types.append(dtype)
    return shapes, types


def _send(pipe: IO[bytes], header: dict[str, Any], values: list[Any]) -> None:
    text = json.dumps(header).encode()
    for part in (len(text).to_bytes(4, "little") + text, *values):
        rest = memoryview(part)
        while rest:
            rest = rest[pipe.write(rest) :]


def _read_exactly(pipe: IO[bytes], size: int) -> bytearray:
    """Read `size` bytes from a pipe; raises EOFError when it ends before."""
    content = bytearray(size)
    view, done = memoryview(content), 0
    while done < size:
        count = pipe.readinto(view[done:])  # pyright: ignore[reportAttributeAccessIssue]  # unbuffered ones have it
        if not count:
            raise EOFError
        done += count
    return content
