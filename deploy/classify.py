"""`larqnets run`: one image or array through a .tflite file. Needs numpy, Pillow and an engine, no TensorFlow."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from deploy.inspect import own_metadata
from deploy.interpreter import Interpreter
from larqnets.data.image import read_image
from larqnets.errors import LarqnetsError
from larqnets.files import write_atomically


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

    An image is preprocessed as the file's metadata says. Returns engine and per sample the most probable labels, by
    softmax of the logits; writes the raw outputs to `output` if given: the one to a .npy, all as output_0, output_1, ...
    to a .npz. `device`: see Interpreter. Raises LarqnetsError.
    """
    if output is not None and output.suffix not in (".npy", ".npz"):
        raise LarqnetsError(f"{output} names no kind of file for arrays. Let it end in .npy or .npz.")
    interpreter = Interpreter(model, num_threads, device)
    preprocess = preprocessing(interpreter)
    x: np.ndarray | list[np.ndarray]
    if inputs.suffix in (".npy", ".npz"):
        x = _read_arrays(inputs)
        if any(array.dtype.kind == "f" and not np.isfinite(array).all() for array in x):
            raise LarqnetsError(f"{inputs} holds NaN or infinite values. Mend what wrote it.")
    elif preprocess is None:
        raise LarqnetsError(
            f"{model} does not say how its images were preprocessed. Give a .npy array of ready input values, "
            f"{interpreter.input_shapes[0]} {interpreter.input_types[0]}."
        )
    else:
        x = read_image(inputs, preprocess)
    if len(interpreter.output_shapes) > 1 and output is not None and output.suffix != ".npz":
        raise LarqnetsError(f"{model} has {len(interpreter.output_shapes)} outputs. Write them with --output FILE.npz.")
    results = interpreter.predict(x)
    results = results if isinstance(results, list) else [results]
    if output is not None:
        buffer = io.BytesIO()
        if output.suffix == ".npz":
            np.savez(buffer, **{f"output_{i}": y for i, y in enumerate(results)})
        else:
            np.save(buffer, results[0])
        write_atomically(output, buffer.getvalue())
    y = results[0]
    result: dict[str, Any] = {"model": str(model), "engine": interpreter.engine, "input": str(inputs)}
    result["output_shapes"] = [list(each.shape) for each in results]
    if len(results) == 1 and y.ndim == 2 and y.dtype == np.float32:
        if not np.isfinite(y).all():
            raise LarqnetsError(
                f"The model's outputs for {inputs} are NaN or infinite. Give smaller values, or train the model again."
            )
        names = (preprocess or {}).get("labels", ())
        if len(names) != y.shape[1]:
            names = [str(i) for i in range(y.shape[1])]
        result["predictions"] = [_ranked(logits, names, top) for logits in y]
    if output is not None:
        result["output"] = str(output)
    return result


def preprocessing(interpreter: Interpreter) -> dict[str, Any] | None:
    """Return what the file's metadata says about its images, None if nothing; LarqnetsError when it is nonsense."""
    entry = (own_metadata(interpreter.model) or {}).get("preprocess")
    if entry is None:
        return None
    shape = list(interpreter.input_shapes[0][1:])
    try:
        fits = entry["image_shape"] == shape and len(entry["mean"]) == len(entry["std"]) == shape[-1]
        fits = fits and all(float(v) == float(v) for v in (*entry["mean"], *entry["std"])) and 0 not in entry["std"]
        fits = fits and isinstance(entry["labels"], list) and 0 < float(entry.get("crop_fraction", 1.0)) <= 1
    except (KeyError, TypeError, ValueError):
        fits = False
    if not fits:
        raise LarqnetsError(
            f"What {interpreter.model.name} says about its images does not fit its input {tuple(shape)}. "
            "Convert it again, or give a .npy array of ready values."
        )
    return entry


def _ranked(logits: np.ndarray, names: list[str], top: int) -> list[dict[str, Any]]:
    powers = np.exp(logits - logits.max())
    probabilities = powers / powers.sum()
    best = np.argsort(-probabilities, kind="stable")[:top]
    return [{"label": names[i], "class": int(i), "probability": float(probabilities[i])} for i in best]


def _read_arrays(path: Path) -> list[np.ndarray]:
    try:
        loaded = np.load(path, allow_pickle=False)
        return [loaded] if isinstance(loaded, np.ndarray) else [loaded[name] for name in loaded.files]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise LarqnetsError(f"{path} cannot be read as a .npy array: {error}. Write it with numpy.save.") from error
