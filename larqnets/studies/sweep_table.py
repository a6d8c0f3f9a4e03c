"""The table that `larqnets sweep` fills and `larqnets pareto` draws."""

from dataclasses import dataclass

from larqnets.csv_table import CsvTable


@dataclass(frozen=True)
class SweepRow:
    """A line of the table. Accuracies are fractions of the whole test set, `seconds` is training time over all resumes.

    Without a conversion, what is read from the converted file is None. `arm64_instructions` are those of one inference of
    the file on an emulated Cortex-A72, one thread; None where nothing can emulate it.
    """

    method: str
    backbone: str
    seed: int
    test_accuracy: float
    converted_test_accuracy: float | None
    file_bytes: int | None
    binary_macs: int | None
    float_macs: int | None
    seconds: float
    arm64_instructions: int | None


TABLE = CsvTable.of(SweepRow)  # behind its columns stand the options that were asked for
COLUMNS = tuple(TABLE.columns)
EARLIER = (TABLE, TABLE.only(*COLUMNS[:-1]))  # what a sweep without options, and an earlier version, wrote
