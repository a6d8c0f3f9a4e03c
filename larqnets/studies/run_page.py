"""The report of a run as one HTML page that needs nothing else: no script, every picture inside it."""

import base64
from collections.abc import Sequence

from larqnets import __version__
from larqnets.errors import printable
from larqnets.studies.run_report import Section
from larqnets.templates import templates_of


def to_html(name: str, sections: Sequence[Section]) -> str:
    """Return the page; whatever a user, a file name or a manifest says in it is escaped."""
    environment = templates_of(
        "larqnets.studies",
        autoescape=True,
        finalize=lambda value: printable(value, keep="\n") if type(value) is str else value,
    )
    environment.filters["base64"] = lambda content: base64.b64encode(content).decode("ascii")
    return environment.get_template("run.html").render(name=name, sections=sections, version=__version__)
