"""`python -m larqnets.cli.reference FOLDER` writes every page of the reference into a folder."""

import sys
from pathlib import Path

from larqnets.cli.command import needs_training_extra
from larqnets.files import write_atomically


def main() -> None:
    """Write what PAGES has."""
    (folder,) = sys.argv[1:]
    pages = needs_training_extra("larqnets.cli.reference.pages").PAGES
    needs_training_extra("larqnets.models")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, make in pages.items():
        write_atomically(Path(folder) / name, make())


if __name__ == "__main__":
    main()
