"""The command line: a verb parses its arguments, makes one library call, prints.

Results go to stdout, progress and errors to stderr, see `exit_codes` for how a command ends. With `--json` stdout carries one JSON
value and nothing else. TensorFlow is imported inside the verbs that need it.
"""

import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from larqnets import LarqnetsError, __version__
from larqnets.cli import (
    config_commands,
    convert_commands,
    data_commands,
    device_commands,
    installation_commands,
    model_commands,
    network_commands,
    shipped_commands,
    study_commands,
    training_commands,
)
from larqnets.cli.command import PANELS
from larqnets.cli.exit_codes import COULD_NOT, CTRL_C, of_signal
from larqnets.errors import MovedWarning, StoppedBySignalError, printable


class _InPanels(TyperGroup):
    """The commands in the order of their panels, in which the help shows them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return their names."""
        panels = {name: vars(command)["rich_help_panel"] for name, command in self.commands.items()}
        order = {panel: place for place, panel in enumerate(PANELS)}
        return sorted(super().list_commands(ctx), key=lambda name: order.get(panels[name], len(order)))


app = typer.Typer(
    name="larqnets",
    cls=_InPanels,
    help="Train binary neural networks, convert them to 1-bit TFLite files, prove them equal, run them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for commands in (
    config_commands,
    data_commands,
    training_commands,
    shipped_commands,
    convert_commands,
    model_commands,
    study_commands,
    installation_commands,
    network_commands,
    device_commands,
):
    app.add_typer(commands.app)  # without a name: its commands are ours

_ENDS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
_AGAIN_S = 0.05  # until a signal that was lost comes again
_received: list[int] = []  # signals that asked this process to stop


@app.callback(invoke_without_command=True)
def _global(
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the Python traceback of an error.")] = False,
) -> None:
    if version:
        print(f"larqnets {__version__}")
        raise typer.Exit


def _check_stdout() -> None:
    """See that results have somewhere to go, in whatever encoding; a character that it lacks is escaped."""
    if sys.stdout is None:
        raise LarqnetsError("stdout is closed, so no result could be shown. Leave it open, or send it to a file.")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _format_warning(message: Warning | str, category: type[Warning], *place: Any) -> str:
    """Return a warning as it is printed: one for the user is a line, without the code that it comes from."""
    if issubclass(category, MovedWarning):
        return f"larqnets: {printable(str(message))}\n"
    return _python_format(message, category, *place)


_python_format, warnings.formatwarning = warnings.formatwarning, _format_warning


def _stopped() -> NoReturn:
    print("larqnets: stopped. Nothing half-written is left.", file=sys.stderr)
    sys.exit(CTRL_C)


def main() -> None:
    """Entry point: turn errors that the user can act on into one sentence and exit code 1.

    SIGTERM and SIGHUP end a command as Ctrl-C does, so that nothing stays behind; the exit code is then 128 + the signal's
    number. One that is ignored when larqnets starts, as SIGHUP is under nohup, stays ignored.
    """
    _received.clear()
    for number in (signal.SIGINT, *_ENDS):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler, _interrupt):
            signal.signal(number, _interrupt)
    before = sys.unraisablehook
    sys.unraisablehook = partial(_unraisable, before)
    try:
        _run_app()
    except BaseException:
        if ends := [number for number in _received if number in _ENDS]:
            _let_go_of_terminal()
            raise SystemExit(of_signal(ends[0])) from None
        raise
    finally:
        sys.unraisablehook = before


def _unraisable(otherwise: Callable[["sys.UnraisableHookArgs"], Any], lost: "sys.UnraisableHookArgs") -> None:
    """Let a signal come again that met Python in a destructor, out of which nothing is raised: the command would go on."""
    if not _received or not issubclass(lost.exc_type, KeyboardInterrupt):
        otherwise(lost)
        return
    number = _received[0]
    _received.clear()
    again = threading.Timer(_AGAIN_S, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _interrupt(number: int, frame: FrameType | None) -> None:
    first = not _received
    _received.append(number)
    if first or number == signal.SIGINT:  # systemd and a closed terminal send several; the first is being obeyed
        raise KeyboardInterrupt


def _let_go_of_terminal() -> None:
    """Let nothing be written to a terminal that is gone: Python would end with an exit code of its own."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # it was closed when larqnets began
            continue
        try:
            stream.flush()
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)


def _code_of(error: LarqnetsError) -> int:
    """Return the exit code of an error: one that a signal brought about is no failure of the work."""
    if isinstance(error, StoppedBySignalError) and error.number is not None:
        return of_signal(error.number)
    return CTRL_C if signal.SIGINT in _received else COULD_NOT


def _run_app() -> None:
    try:
        _check_stdout()
        app(prog_name="larqnets")
    except LarqnetsError as error:
        if "--debug" in sys.argv:
            raise
        print(f"larqnets: {printable(str(error))}", file=sys.stderr)
        sys.exit(_code_of(error))
    except SystemExit as end:
        if end.code != CTRL_C:  # what Typer makes of KeyboardInterrupt
            raise
        _stopped()
    except SystemError:  # what TensorFlow's C code makes of a KeyboardInterrupt that reaches it at a bad moment
        if not _received:
            raise
        _stopped()
    except BrokenPipeError:
        # the reader of our output, e.g. `head`, has seen enough
        sys.stderr.close()
        sys.exit(COULD_NOT)


if __name__ == "__main__":
    main()
