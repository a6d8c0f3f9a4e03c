"""`larqnets run`: one image or array through a .tflite file. Needs numpy, Pillow and an engine, no TensorFlow."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from deploy.inspect import own_metadata
from deploy.interpreter import Interpreter
from larqnets.data.image import read_image
from larqnets.errors import LarqnetsError
from larqnets.run_folder import write_atomically


def classify(
    model: Path,
    inputs: Path,
    *,
    output: Path | None = None,
    top: int = 3,
    num_threads: int = 1,
    device: str | None = None,
) -> dict[str, Any]:
    """Run `model` on an image file, or on a .npy array (N, H, W, C) of ready values.

    An image is preprocessed as the file's metadata says. Returns engine and per input the most probable labels, by
    softmax of the logits; writes the raw outputs to `output` if given; `device`: see
    Interpreter. Raises LarqnetsError.
    """
    interpreter = Interpreter(model, num_threads, device)
    preprocess = preprocessing(interpreter)
    if inputs.suffix == ".npy":
        x = _read_array(inputs)
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise LarqnetsError(f"{inputs} holds NaN or infinite values. Mend what wrote it.")
    elif preprocess is None:
        raise LarqnetsError(
            f"{model} does not say how its images were preprocessed. Give a .npy array of ready input values, "
            f"{interpreter.input_shapes[0]} {interpreter.input_types[0]}."
        )
    else:
        x = read_image(inputs, preprocess)
    y = interpreter.predict(x)
    if isinstance(y, list):
        raise LarqnetsError(f"{model} has {len(y)} outputs; only models with one are run. Use larqnets.Interpreter.")
    if output is not None:
        buffer = io.BytesIO()
        np.save(buffer, y)
        write_atomically(output, buffer.getvalue())
    result = {"model": str(model), "engine": interpreter.engine, "input": str(inputs), "output_shape": list(y.shape)}
    if y.ndim == 2 and y.dtype == np.float32:
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


def _read_array(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise LarqnetsError(f"{path} cannot be read as a .npy array: {error}. Write it with numpy.save.") from error
