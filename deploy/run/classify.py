"""`larqnets run`: one image or array through a .tflite file. Needs numpy, Pillow and an engine, no TensorFlow."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deploy.run.interpreter import CHILD, Interpreter, check_model
from larqnets.arrays import Header, read_arrays
from larqnets.data.image import read_image
from larqnets.data.info import preprocessing
from larqnets.errors import LarqnetsError
from larqnets.files import write_atomically
from larqnets.scores import KEY
from larqnets.tasks import task_of
from larqnets.tflite.answers import kind_of_file
from larqnets.tflite.inspect import own_metadata
from larqnets.tflite.interface import Port, check_inputs, dtype_of, interface_of, match_names
from larqnets.tflite.model import Model
from larqnets.tflite.reading import read_model


def classify(
    model: Path,
    inputs: Path,
    *,
    output: Path | None = None,
    top: int = 3,
    num_threads: int = 1,
    device: str | None = None,
) -> dict[str, Any]:
    """Run `model` on an image file, on a .npy array (N, ...) of ready values, or on a .npz of one for every input.

    An image is preprocessed as the file's metadata says; the arrays of a .npz belong to the inputs whose signature or tensor
    has their name. They are read and held against the file before an engine starts, in a child process unless the file is a
    shipped one. Returns engine, what its output is (see larqnets.scores) and per sample the most probable labels; writes the
    raw outputs to `output` if given: the one to a .npy, all under their names to a .npz. `device`: see Interpreter. Raises
    LarqnetsError.
    """
    if output is not None and output.suffix not in (".npy", ".npz"):
        raise LarqnetsError(f"{output} names no kind of file for arrays. Let it end in .npy or .npz.")
    file = read_model(model)
    check_model(file, num_threads)
    interface = interface_of(file)
    preprocess = preprocessing(file)
    if len(interface.outputs) > 1 and output is not None and output.suffix != ".npz":
        raise LarqnetsError(f"{model} has {len(interface.outputs)} outputs. Write them with --output FILE.npz.")
    x: np.ndarray | list[np.ndarray]
    if inputs.suffix in (".npy", ".npz"):
        x = _read_inputs(inputs, file, interface.inputs)
        if any(array.dtype.kind in "fc" and not np.isfinite(array).all() for array in x):
            raise LarqnetsError(f"{inputs} holds NaN or infinite values. Mend what wrote it.")
    elif preprocess is None:
        wanted = ", ".join(f"{port.shape} {dtype_of(port.dtype)}" for port in interface.inputs)
        raise LarqnetsError(
            f"{model} does not say how its images were preprocessed. Give a .npy array of ready input values, "
            f"{wanted or 'of which it takes none'}."
        )
    else:
        x = read_image(inputs, preprocess)
        check_inputs(file, interface.inputs, [x.shape], [x.dtype])
    interpreter = Interpreter(file, num_threads, device or CHILD)
    results = interpreter.predict(x)
    results = results if isinstance(results, list) else [results]
    names = interpreter.output_names
    if output is not None:
        write_atomically(output, _npz(names, results) if output.suffix == ".npz" else _npy(results[0]))
    result: dict[str, Any] = {"model": str(model), "engine": interpreter.engine, "input": str(inputs)}
    result["output_shapes"] = [list(each.shape) for each in results]
    result["output_names"] = names
    task, kind = task_of(file), kind_of_file(file)
    facts = {
        **(own_metadata(file) or {}),
        "labels": (preprocess or {}).get("labels", ()),
        "top": top,
        KEY: kind,
    }
    predictions = task.decode(dict(zip(names, results, strict=True)), facts)
    if predictions:
        if not all(np.isfinite(values).all() for values in results):
            raise LarqnetsError(
                f"The model's outputs for {inputs} are NaN or infinite. Give smaller values, or train the model again."
            )
        result |= {"output_kind": kind, "predictions": predictions}
    if output is not None:
        result["output"] = str(output)
    return result


def _read_inputs(path: Path, model: Model, ports: Sequence[Port]) -> list[np.ndarray]:
    """Read the values of every input, in the order of the model; their headers are held against it first."""

    def judge(headers: dict[str, Header]) -> list[str]:
        if not ports:
            check_inputs(model, ports, [], [])  # says so
        names = match_names(ports, list(headers), str(path))
        chosen = [headers[name] for name in names]
        types = [header.dtype.newbyteorder("=") for header in chosen]
        check_inputs(model, ports, [header.shape for header in chosen], types)
        return names

    return read_arrays(path, judge)


def _npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def _npz(names: list[str], arrays: list[np.ndarray]) -> bytes:
    """Return a .npz; numpy.savez would take a name such as "file" for an argument of its own."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in zip(names, arrays, strict=True):
            archive.writestr(f"{name}.npy", _npy(values))
    return buffer.getvalue()
