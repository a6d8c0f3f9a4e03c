"""`python -m docs.numbers`: write tables, numbers and pictures into the pages; with --check only say what is stale."""

import argparse
import sys

from docs.numbers import drawn, pages
from larqnets.errors import LarqnetsError


def main() -> int:
    """Return the exit code: 1 when something is stale under --check, or a marker is wrong."""
    parser = argparse.ArgumentParser(prog="python -m docs.numbers", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when something is stale")
    options = parser.parse_args()
    try:
        if options.check:
            found = [line for page in pages.pages() for line in pages.stale(page)] + drawn.stale()
            print("\n".join([*found, "Run `make results-docs`."] if found else ["Nothing is stale."]))
            return 1 if found else 0
        done = [*drawn.draw(), *pages.write()]
        print("\n".join(done or ["Nothing was stale."]))
    except LarqnetsError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
