"""The commands of the Dockerfile, for checks without Docker."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
VENV, SOURCE = "/opt/larqnets", "/opt/source"


def instructions() -> list[tuple[str, str]]:
    """Return (name, rest) of every instruction of the Dockerfile, lines that go on joined."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    found = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            found.append((name, " ".join(rest.split())))
    return found


def arguments(name: str) -> list[str]:
    """Return what stands behind every instruction of a name."""
    return [rest for one, rest in instructions() if one == name]


def copied() -> list[str]:
    """Return the files and folders of the project that are copied into the image."""
    return [source for rest in arguments("COPY") for source in rest.split()[:-1]]
