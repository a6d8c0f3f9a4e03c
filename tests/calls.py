"""Counting calls of functions of ours, whoever has imported them."""

import functools
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

OURS = ("larqnets", "deploy", "android_bench")


def counted(monkeypatch: pytest.MonkeyPatch, *functions: Callable[..., Any]) -> Counter[str]:
    """Return how often each function, by its name, is called from now on by any module that is imported already."""
    counts: Counter[str] = Counter()
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] in OURS]
    for function in functions:

        @functools.wraps(function)
        def call(*args: Any, _function: Callable[..., Any] = function, **options: Any) -> Any:
            counts[_function.__name__] += 1
            return _function(*args, **options)

        for module in modules:
            for name in [name for name, value in vars(module).items() if value is function]:
                monkeypatch.setattr(module, name, call)
    return counts
