"""The notebook in examples/, executed from its first cell to its last as a reader does."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent.parent
NOTEBOOK = ROOT / "examples" / "first_network.ipynb"
CELL_LIMIT = 300  # seconds; all cells together take about a minute on two idle cores
# The lines of the last comparison: name, bytes of the file, its test accuracy in percent.
FILES = re.compile(r"^(binary, width 1|binary, width 2|float, width 1) +([\d,]+) bytes (\d+\.\d+)%$", re.MULTILINE)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_is_kept_without_what_it_printed():
    notebook = nbformat.read(NOTEBOOK, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert len(code_cells(notebook)) > 10
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code_cells(notebook))


@pytest.fixture(scope="module")
def executed(tmp_path_factory, tfds_dir):
    """Return what the cells printed, and how many pictures they drew; its runs lie in a folder of this test."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:  # the kernel is a process that takes over the environment
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("TFDS_DATA_DIR", str(tfds_dir))
        patch.delenv("MPLBACKEND", raising=False)  # inline, as in a notebook
        NotebookClient(
            notebook, timeout=CELL_LIMIT, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
        ).execute()
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    return printed, sum("image/png" in output.get("data", {}) for output in outputs)


def test_the_file_does_what_the_text_says(executed):
    printed, pictures = executed
    assert "the file has the signs of the latent kernel: True" in printed
    (same,) = re.findall(r"same class for (\d+\.\d+)% of 450 images", printed)
    assert float(same) > 99
    (share,) = re.findall(r"(\d+\.\d)% of all MACs are 1-bit", printed)
    assert float(share) > 80
    assert pictures == 3


def test_the_comparison_at_the_end(executed):
    found = {name: (int(size.replace(",", "")), float(accuracy)) for name, size, accuracy in FILES.findall(executed[0])}
    assert len(found) == 3
    assert found["binary, width 1"][0] < found["binary, width 2"][0] < found["float, width 1"][0]
    assert all(accuracy > 85 for _, accuracy in found.values())
