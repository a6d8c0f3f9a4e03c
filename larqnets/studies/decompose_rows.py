"""The rows of `larqnets decompose compare`: what is compared, the table of it, and its picture; read without TensorFlow."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from larqnets.csv_table import CsvTable
from larqnets.decompose import Settings
from larqnets.decompose.settings import Search
from larqnets.errors import LarqnetsError
from larqnets.files import cannot_write
from larqnets.post_training.picture import DrawnNetwork, draw_methods

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class ComparisonRow:
    """A method with a setting on a network, called after its run; scores are fractions, on all test images.

    In the table `_score` is the name of the score that ranks the task: test_accuracy, test_miou. `bits_per_weight` as the literature counts, `file_bits_per_weight` with everything, in the method's own codes, see
    `launch.totals`. Of the kernels alone: `deflate_bytes`, their integers as int8 after DEFLATE, and `container_bytes`,
    their smallest records in a .cbd file; None without integers. `seconds` is the time to decompose, with the search for
    steps where there is one, on this machine, as busy as it was.
    """

    network: str
    method: str
    setting: str
    bits_per_weight: float
    file_bits_per_weight: float
    deflate_bytes: int | None
    container_bytes: int | None
    test_score: float
    float_score: float
    seconds: float

    @property
    def key(self) -> tuple[str, str, str]:
        """What names a row."""
        return self.network, self.method, self.setting


@dataclass(frozen=True)
class Point:
    """What is compared: settings for all layers, or with a `search` a step for every layer that it finds."""

    line: (
        str  # of the picture: what it shares with others of other sizes; those whose integers are another line's: none
    )
    settings: Settings
    search: Search | None = None


def comparison_table(score: str) -> CsvTable:
    """Return the kind of table for networks with this score."""
    return CsvTable({_column(name, score): kind for name, kind in CsvTable.of(ComparisonRow).columns.items()})


def _column(field: str, score: str) -> str:
    return field.removesuffix("score") + score if field.endswith("_score") else field


def cells(row: ComparisonRow, score: str) -> dict[str, Any]:
    return {_column(name, score): value for name, value in asdict(row).items()}


def points() -> dict[tuple[str, str], Point]:
    """Return what is compared, by (method, setting)."""
    sound: dict[str, Any] = {"protect_small": False, "int8_payload": True}
    found: dict[tuple[str, str], Point] = {("int8", "per channel"): Point("int8", Settings(method="int8"))}
    for f in (0.5, 0.25, 0.125, 0.0625):
        found["cbd sound", f"rice f={f:g}"] = Point("cbd sound, one step", Settings(step=f, **sound))
    for bits in (2, 3, 4, 5, 6):
        search = Search(target_bits=bits)
        found["cbd sound", f"found {bits} bits"] = Point("cbd sound, steps found", Settings(**sound), search)
    for f in (1.0, 0.5, 0.25, 0.125):
        settings = Settings(step=f, code="index", sign_of_nonzeros=False, **sound)
        found["cbd sound", f"index f={f:g}"] = Point("", settings)
    for b in (0.2, 0.3):
        for j in (3, 4, 5, 6):
            settings = Settings(mode="paper", planes=j, bottleneck=b, int8_payload=True)
            found["cbd paper", f"J={j} b={b:g}"] = Point(f"cbd paper, b={b:g}", settings)
    for granularity in ("layer", "channel"):
        for clip in ("max", "mse"):
            for bits in (3, 4, 5, 6):
                settings = Settings(method="uniform", bits=bits, granularity=granularity, clip=clip)
                found["uniform", f"{granularity} {clip} {bits} bits"] = Point(
                    f"uniform, {granularity} {clip}", settings
                )
    for kind in ("refined", "direct"):
        for m in (3, 4, 5, 6):
            settings = Settings(method="sketch", bases=m, refined=kind == "refined")
            found["sketch", f"{kind} m={m}"] = Point("", settings)
    for m in (3, 4, 5, 6):
        found["abc", f"m={m}"] = Point("", Settings(method="abc", bases=m))
    return found


def read_rows(path: Path, score: str) -> dict[tuple[str, str, str], ComparisonRow]:
    """Return the rows of the table by key, none when it is not there yet."""
    if not path.exists():
        return {}
    if not path.is_file():
        raise LarqnetsError(f"{path} is no regular file, and the table is read again. Name another one with --csv.")
    try:
        fields = {_column(name, score): name for name in CsvTable.of(ComparisonRow).columns}
        entries = comparison_table(score).read(path)
        rows = (ComparisonRow(**{fields[name]: value for name, value in entry.items()}) for entry in entries)
        return {row.key: row for row in rows}
    except OSError as error:
        raise cannot_write(path, error) from error
    except ValueError as error:
        raise LarqnetsError(
            f"{path} is damaged: {error}. Delete the line, or choose another file with --csv."
        ) from error


def draw_rows(rows: Mapping[tuple[str, str, str], ComparisonRow], score: str) -> "Figure":
    """Return the picture of a table: a panel a network, a line a method."""
    return draw_methods(_lines(rows), score)


def _lines(rows: Mapping[tuple[str, str, str], ComparisonRow]) -> dict[str, DrawnNetwork]:
    """Return what `draw_methods` takes, the lines in the order of the points."""
    networks = {row.network: DrawnNetwork(row.float_score) for row in rows.values()}
    for key, point in points().items():
        for name, network in networks.items():
            row = rows.get((name, *key))
            if point.line and row is not None and row.container_bytes is not None:
                network.lines.setdefault(point.line, []).append((row.container_bytes, row.test_score))
    return networks
