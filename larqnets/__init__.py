"""larqnets: train binary networks, convert them to 1-bit TFLite files, prove them equal, run them on ARM64.

Everything public is imported from here; each name is loaded when it is first used, so that `import larqnets` needs
neither TensorFlow nor Larq.
"""

import importlib
import os
from typing import Any

from larqnets.environment import LEGACY_KERAS, LOG_LEVEL
from larqnets.errors import LarqnetsError

__version__ = "0.1.0"

# Larq and the LCE converter need Keras 2. TensorFlow reads this variable once, when it is first imported.
os.environ.setdefault(LEGACY_KERAS.name, LEGACY_KERAS.default)
# TensorFlow logs even harmless fallbacks as errors; what really fails also raises, and is told in a sentence.
os.environ.setdefault(LOG_LEVEL.name, LOG_LEVEL.default)

# Public name -> the module that has it.
PUBLIC = {
    "Experiment": "larqnets.config",
    "load_config": "larqnets.config",
    "list_configs": "larqnets.config",
    "create_model": "larqnets.models",
    "list_methods": "larqnets.models",
    "list_backbones": "larqnets.models",
    "count": "larqnets.counts",
    "list_datasets": "larqnets.data",
    "load_dataset": "larqnets.data",
    "Run": "larqnets.runs.run",
    "train": "larqnets.training",
    "load_trained_model": "larqnets.training",
    "Samples": "deploy.proof.samples",
    "convert": "deploy.convert.convert",
    "Int8Request": "deploy.targets",
    "int8_rest": "deploy.convert.int8_rest",
    "verify": "deploy.proof.verify",
    "inspect_model": "larqnets.tflite.inspect",
    "Interpreter": "deploy.run.interpreter",
    "Classifier": "deploy.run.classifier",
    "Segmenter": "deploy.run.segmenter",
    "Detector": "deploy.run.detector",
}

__all__ = ["LarqnetsError", "__version__", "require_keras_2", *PUBLIC]  # pyright: ignore[reportUnsupportedDunderAll]  # said once


def require_keras_2() -> None:
    """Import Larq; raise LarqnetsError when this process has already chosen Keras 3, which Larq cannot use."""
    reason: Exception | None = None
    if os.environ[LEGACY_KERAS.name].lower() in ("1", "true"):
        try:
            importlib.import_module("larq")
            return
        except AttributeError as error:
            # Larq subclasses layers and optimizers that Keras 3 does not have.
            reason = error
    raise LarqnetsError(
        "Keras 3 is already active in this process, but Larq needs Keras 2. "
        "Import larqnets before keras and tensorflow, or set TF_USE_LEGACY_KERAS=1 in the environment."
    ) from reason


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module 'larqnets' has no attribute '{name}'")
    return getattr(importlib.import_module(PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
