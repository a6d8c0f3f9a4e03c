"""What the native libraries write to the process's stderr behind Python's back, kept from the user unless it matters."""

import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from larqnets.errors import LarqnetsError


@contextmanager
def captured_stderr() -> Iterator[list[str]]:
    """Divert file descriptor 2 while the block runs; the yielded list holds its lines afterwards.

    When the block fails, what was held back is written out first: it may be the only explanation. A LarqnetsError
    explains itself, and Ctrl-C needs no explanation.
    """
    lines: list[str] = []
    sys.stderr.flush()
    saved = os.dup(2)
    unexplained = False
    with tempfile.TemporaryFile() as sink:
        try:
            os.dup2(sink.fileno(), 2)
            yield lines
        except Exception as error:
            unexplained = not isinstance(error, LarqnetsError)
            raise
        finally:
            try:
                sys.stderr.flush()
            finally:  # Ctrl-C may come here too, and what is said of it must be seen
                os.dup2(saved, 2)
                os.close(saved)
            sink.seek(0)
            text = sink.read().decode(errors="replace")
            lines += text.splitlines()
            if unexplained:
                sys.stderr.write(text)


def quiet_import(name: str) -> ModuleType:
    """Import a module that brings TensorFlow, without the lines that it logs before its log level applies."""
    if name in sys.modules:
        return sys.modules[name]
    with captured_stderr():
        module = importlib.import_module(name)
        if "tensorflow" in sys.modules:
            # the first look for a GPU logs as well
            sys.modules["tensorflow"].config.list_physical_devices()
    return module
