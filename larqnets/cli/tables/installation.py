"""This installation as tables for people."""

from typing import Any

from larqnets.cli.tables.facts import facts


def doctor(report: dict[str, Any]) -> list[Any]:
    """Versions, abilities, and what helps."""
    versions = {name: report[name] for name in ("larqnets", "python", "machine", "cpus", "tfds_data_dir")}
    versions |= {name: version or "missing" for name, version in report["packages"].items()}
    versions |= {name: "found" if there else "missing" for name, there in report["tools"].items()}
    versions |= {"ARM64 runtime": report["arm64_runtime"] or "missing"}
    lines = [f"- {text}" for text in report["findings"]] or ["nothing is missing"]
    return [facts(versions), "", facts(report["can"], "can"), "", "findings", *lines]
