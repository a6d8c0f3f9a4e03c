"""Data sets by name, and batches of them that follow from (seed, step) alone.

`list_datasets`, `DatasetInfo`, `preprocess_info` and `read_image` need neither TensorFlow nor TFDS.
"""

import importlib
from typing import TYPE_CHECKING, Any

from larqnets.data.image import read_image
from larqnets.data.info import DatasetInfo, preprocess_info
from larqnets.data.known import list_datasets

if TYPE_CHECKING:
    from larqnets.data.dataset import Dataset, load_dataset, reading_errors

__all__ = [
    "Dataset",
    "DatasetInfo",
    "list_datasets",
    "load_dataset",
    "preprocess_info",
    "read_image",
    "reading_errors",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'larqnets.data' has no attribute '{name}'")
    return getattr(importlib.import_module("larqnets.data.dataset"), name)
