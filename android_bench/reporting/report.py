"""`larqnets report`: sessions as one HTML page that needs nothing else, and as Markdown."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from android_bench import UNTRIED
from android_bench.measuring.profile import GROUP_NAMES
from android_bench.record import Session, read_session
from android_bench.reporting import plots
from android_bench.reporting.counted import RATIOS, kinds_of, side_by_side
from android_bench.reporting.summary import ModelSummary, Summary, summarise
from android_bench.reporting.words import (
    device_name,
    facts,
    interval_words,
    kib,
    ms,
    pairing_words,
    percent,
    provenance,
    twin_words,
)
from larqnets import __version__
from larqnets.extras import require
from larqnets.files import write_atomically
from larqnets.templates import templates_of

SHOWN_OPS = 12
PAGES_NEED = ("matplotlib", "jinja2")
GROUP_WORDS = {"binary": "binary", "real": "real (float or int8)", "glue": "glue"}


def write_report(files: Sequence[Path], html: Path | None = None, markdown: Path | None = None) -> list[Summary]:
    """Read sessions, write them as a page and as Markdown where a path is given, and return what they say.

    Raises LarqnetsError for a file that is no session, when a page cannot be written, and where what pages need is missing.
    """
    if html is not None or markdown is not None:
        require("Pages of reports", *PAGES_NEED)
    sessions = [read_session(file) for file in files]
    if html is not None:
        write_atomically(html, to_html(sessions))
    if markdown is not None:
        write_atomically(markdown, to_markdown(sessions))
    return [summarise(session) for session in sessions]


def to_html(sessions: Sequence[Session]) -> str:
    """Return the sessions as one page with everything in it, which opens offline."""
    return _render("report.html", sessions, autoescape=True)


def to_markdown(sessions: Sequence[Session]) -> str:
    """Return the sessions as Markdown; names are escaped."""
    return _render("report.md", sessions, autoescape=False)


def _render(template: str, sessions: Sequence[Session], *, autoescape: bool) -> str:
    from markupsafe import Markup

    environment = templates_of("android_bench", autoescape=autoescape, finalize=None if autoescape else _markdown)
    environment.filters |= {"ms": ms, "percent": percent, "kib": kib}
    environment.globals |= {
        "colours": plots.COLOURS,
        "groups": GROUP_WORDS,
        "interval": interval_words,
        "pairing": pairing_words,
        "twin_words": twin_words,
        "kinds_of": kinds_of,
        "ratios": RATIOS,
        "side_by_side": side_by_side,
        "shown_ops": SHOWN_OPS,
        "bar": bar,
        "accuracy_plot": lambda summary, page: Markup(plots.accuracy_against_latency(summary, page) or ""),
        "time_plot": lambda summary, page: Markup(plots.over_time(summary, page) or ""),
    }
    summaries = [summarise(session) for session in sessions]
    pages = [
        {"summary": s, "name": device_name(s.session), "facts": facts(s), "provenance": provenance(s)}
        for s in summaries
    ]
    return environment.get_template(template).render(pages=pages, untried=UNTRIED, version=__version__)


def _markdown(value: Any) -> Any:
    """Return text with everything escaped that Markdown, or HTML within it, would take for its own."""
    if type(value) is not str:  # a number; or a picture, which is jinja2's Markup
        return value
    text = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", value)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def bar(model: ModelSummary) -> list[tuple[str, float]]:
    """Return (group, percent of the bar) of a breakdown; the bar is the median, or the sum of the ops if that is more."""
    assert model.breakdown is not None
    assert model.latency is not None
    whole = max(model.latency.median_ms, sum(share.ms for share in model.breakdown.groups.values()))
    parts = [(group, 100 * model.breakdown.groups[group].ms / whole) for group in GROUP_NAMES]
    return [*parts, ("rest", 100 - sum(width for _, width in parts))]
