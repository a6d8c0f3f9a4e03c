"""Single numbers that a command prints and no table keeps: results/notes.csv, with the command beside each."""

from docs.numbers.sources import texts

NOTES = "results/notes.csv"

VALUES = {row["name"]: lambda row=row: row["value"] for row in texts(NOTES)}
