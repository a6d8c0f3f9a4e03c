"""What users import: every public name loads, lazily, and nothing else is there."""

import subprocess
import sys

import pytest

import larqnets


@pytest.mark.parametrize("name", larqnets.__all__)
def test_every_public_name_loads(name):
    assert getattr(larqnets, name) is not None
    assert name in dir(larqnets)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'creat_model'"):
        _ = larqnets.creat_model


def test_importing_larqnets_imports_no_tensorflow():
    code = "import larqnets, sys; print(sorted({'tensorflow', 'larq', 'numpy', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
