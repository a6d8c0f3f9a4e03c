"""This installation as tables for people."""

from typing import Any

from rich.table import Table

from larqnets.cli.tables.facts import facts


def doctor(report: dict[str, Any]) -> list[Any]:
    """Versions, extras, abilities, and what helps."""
    versions = {name: report[name] for name in ("larqnets", "python", "machine", "cpus", "tfds_data_dir")}
    versions |= {name: version or "missing" for name, version in report["packages"].items()}
    versions |= {name: "found" if there else "missing" for name, there in report["tools"].items()}
    versions |= {"ARM64 runtime": report["arm64_runtime"] or "missing"}
    lines = [f"- {text}" for text in report["findings"]] or ["nothing is missing"]
    can = facts(report["can"], "can")
    return [facts(versions), "", _extras(report["extras"]), "", can, "", "findings", *lines]


def _extras(extras: list[dict[str, Any]]) -> Table:
    """What may be installed beside the core, whether it is, and how to get it."""
    table = Table("extra", "", "what for", "install", title="extras", title_justify="left", box=None, pad_edge=False)
    for extra in extras:
        some = len(extra["missing"]) < len(extra["packages"])
        state = "installed" if extra["installed"] else "partly" if some else "not installed"
        table.add_row(extra["name"], state, extra["purpose"], "" if extra["installed"] else extra["install"])
    return table
