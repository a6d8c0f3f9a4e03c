"""Trainings here are of the smallest network that has a unit of every kind."""

from collections.abc import Generator

import pytest
from small_backbones import registered


@pytest.fixture(scope="module", autouse=True)
def resnet5() -> Generator[None, None, None]:
    """There is the backbone `resnet5`, for fixtures of modules too."""
    with registered():
        yield
