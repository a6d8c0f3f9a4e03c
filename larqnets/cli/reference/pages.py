"""Which pages there are."""

from collections.abc import Callable

from larqnets.cli.reference import command_line, file_formats, keys, networks, process, public_names

# Name in docs/reference -> what makes it.
PAGES: dict[str, Callable[[], str]] = {
    "cli.md": command_line.markdown,
    "config.md": keys.markdown,
    "methods.md": networks.markdown,
    "record.md": file_formats.record,
    "file-metadata.md": file_formats.file_metadata,
    "cbd.md": file_formats.cbd,
    "environment.md": process.environment,
    "exit-codes.md": process.exit_codes,
    "python.md": public_names.markdown,
}
