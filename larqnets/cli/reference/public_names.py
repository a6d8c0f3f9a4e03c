"""docs/reference/python.md: a place for every public name, which mkdocstrings fills from the sources when the site is built."""

import larqnets
from larqnets.cli.reference.markdown import page

_ABOUT = """Everything public is imported from `larqnets`. A name is loaded when it is first used, so that `import larqnets` needs neither
TensorFlow nor Larq. Import larqnets before TensorFlow: Larq needs Keras 2, and the choice is made when TensorFlow is first imported.
Examples: [Scripts](../guides/scripts.md). This page is filled from the sources when the site is built."""


def markdown() -> str:
    """Return the page: a heading for every name of `larqnets.__all__`, in that order."""
    return page("Python", _ABOUT, *(_entry(name) for name in larqnets.__all__))


def _entry(name: str) -> str:
    # Only the names that stand in larqnets itself are loaded: the others need TensorFlow, or cost time.
    module = larqnets.PUBLIC.get(name) or getattr(vars(larqnets)[name], "__module__", "larqnets")
    return f"::: {module}.{name}\n    options:\n      heading: larqnets.{name}\n      toc_label: {name}"
