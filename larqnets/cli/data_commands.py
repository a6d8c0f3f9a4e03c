"""Commands about images, before there is a network. `larqnets.cli.main` takes them in."""

from pathlib import Path
from typing import Annotated

import typer

from larqnets.cli.command import DATA, DataDir, Json, Set, needs_training_extra, show, verb

app = typer.Typer()
data = typer.Typer(help="Look at images before training on them.", no_args_is_help=True)
app.add_typer(data, name="data", rich_help_panel=DATA)


@verb(
    data,
    DATA,
    "larqnets data check photos --sheet photos.png",
    "larqnets data check digits",
    "larqnets data check photos --set data.validation=0.2 --json",
)
def check(
    images: Annotated[str, typer.Argument(metavar="PATH|NAME", help="A folder of images, or a data set's name.")],
    sheet: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Also draw a contact sheet: a few images of every label.")
    ] = None,
    augment: Annotated[
        Path | None,
        typer.Option(
            metavar="PNG", help="Also draw how a training varies images, e.g. with --set data.augment=photos."
        ),
    ] = None,
    overrides: Set = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Say what is in a data set: images by split and label, sizes, what is left out and why, damage, duplicates.

    Every image is decoded. --set takes keys of data, such as those that split a set: --set data.validation=0.2.
    """
    from larqnets.cli import preflight

    config = preflight.check_data_check(images, overrides or (), data_dir, sheet, augment)
    from larqnets.cli.reporters import StatusReporter
    from larqnets.cli.tables import data as tables
    from larqnets.cli.tables.facts import legend_lines
    from larqnets.files import write_atomically
    from larqnets.legend import Legend
    from larqnets.places import FOLDER_PREFIX

    legend = Legend()
    with StatusReporter() as reporter:
        if config.dataset.startswith(FOLDER_PREFIX):
            from larqnets.data.check import check_folder

            found = check_folder(config, reporter)
        else:
            found = needs_training_extra("larqnets.data.check_prepared").check_prepared(config, reporter)
        if sheet is not None:
            write_atomically(sheet, found.sheet(legend))
        if augment is not None and found.problem() is None:
            reporter.stage("varying images")
            sheet_of = needs_training_extra("larqnets.data.augmented_sheet").augmented_sheet
            write_atomically(augment, sheet_of(config, legend))
    drawn = {"contact_sheet": sheet, "augmented_sheet": augment if found.problem() is None else None}
    result = {**found.to_json(), **{name: None if path is None else str(path) for name, path in drawn.items()}}
    result |= {"legend": legend.entries} if legend.entries else {}
    show(result, lambda: [*tables.check(found, drawn), *legend_lines(legend.entries)], as_json)
    if (problem := found.problem()) is not None:
        raise problem
