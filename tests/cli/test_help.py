"""What stands in `--help`: examples that are commands, panels, options that are called the same everywhere; completion."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from larqnets.cli import main
from larqnets.cli.command import PANELS
from larqnets.cli.tables.models import verification, verification_lines
from larqnets.config import list_configs, load_config
from larqnets.runs.run import Run

TABLE = (
    "method,backbone,seed,test_accuracy,converted_test_accuracy,file_bytes,binary_macs,float_macs,seconds,arm64_instructions\n"
    "real,resnet8,0,0.9,0.8,4000,0,100,1.0,9000\n"
    "birealnet,resnet8,0,0.9,0.70,400,90,10,1.0,3000\n"
)
ROOT = typer.main.get_command(main.app)


def leaves(command=ROOT, path=()):
    """Every command with the words that call it."""
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from leaves(below, (*path, name))
    else:
        yield path, command


COMMANDS = dict(leaves())


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_examples_that_parse(path, monkeypatch, capsys):
    head, *examples = COMMANDS[path].epilog.split("\n\n")
    assert head == "Examples:"
    assert examples
    for example in examples:
        called = []
        monkeypatch.setattr(COMMANDS[path], "callback", lambda called=called, **arguments: called.append(arguments))
        program, *arguments = shlex.split(example)
        assert program == "larqnets"
        ROOT.main(arguments, prog_name="larqnets", standalone_mode=False)
        assert len(called) == 1, f"{example} calls another command"
    assert "called --output" not in capsys.readouterr().err


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_options_are_called_the_same_everywhere(path):
    options = {name: parameter for parameter in COMMANDS[path].params for name in parameter.opts}
    assert "--out" not in options
    assert ("-o" in options) == ("--output" in options)
    for short, long in (("-q", "--quiet"), ("-v", "--verbose"), ("-o", "--output")):
        assert short not in options or long in options[short].opts
    assert "-q" in options
    assert ("-v" in options) == (path in {("convert",), ("verify",)})
    assert len(path) > 1 or COMMANDS[path].rich_help_panel in PANELS


def test_the_panels_stand_in_their_order(cli):
    shown = cli("--help").out
    places = [shown.index(f"─ {panel} ─") for panel in PANELS]
    assert places == sorted(places)
    assert cli("-V").out == cli("--version").out


def test_examples_are_shown_a_line_each(cli):
    lines = [line.strip() for line in cli("verify", "--help").out.splitlines()]
    assert "larqnets verify runs/digits-seed0/arm64/binary.tflite" in lines


@pytest.mark.parametrize("written", [["--out", "p.png"], ["--out=p.png"], ["--output", "p.png"], ["-o", "p.png"]])
def test_out_and_output_are_one(cli, tmp_path, written):
    (tmp_path / "t.csv").write_text(TABLE)
    done = cli("pareto", "t.csv", "--cost", "binary_macs", *written, "--json")
    assert done.code == 0, done.err
    assert (tmp_path / "p.png").is_file()
    said = "larqnets: --out is called --output or -o now; it is taken as before.\n"
    assert done.err == (said if written[0].startswith("--out=") or written[0] == "--out" else "")


def test_quiet_leaves_results_and_errors(demo, cli):
    told, quiet = (cli("evaluate", demo.binary, "--limit", "9", *more) for more in ((), ("-q",)))
    assert "evaluating" in told.err
    assert (quiet.err, quiet.out) == ("", told.out)
    wrong = cli("evaluate", "absent.tflite", "-q")
    assert (wrong.code, wrong.err.count("\n")) == (1, 1)


def test_figures_of_the_proof_stand_behind_verbose(demo, cli):
    short, long = (cli("verify", demo.binary, *more).out for more in ((), ("-v",)))
    assert short == "equal: yes, same class for 100.00% of 1,000 real samples; --verbose shows the figures\n"
    assert "layer by layer: 6 binary layers" in long
    assert "stage1_block1_conv1" in long
    assert "equal: yes\n" in long


@pytest.mark.parametrize(
    ("counted", "shown"),
    [
        ("of the samples get the same class", "same class for 90.00% of 10 real samples"),
        ("of the pixels get the same class", "90.00% of the pixels get the same class, on 10 real samples"),
        ("of the boxes are found by both", "90.00% of the boxes are found by both, on 10 real samples"),
    ],
)
def test_what_both_answer_alike_is_what_the_task_counts(counted, shown):
    values = {"equal": True, "real_samples": True, "samples": 10, "argmax_agreement": 0.9, "counted": counted}
    (line, *_) = verification_lines(values | {"warnings": [], "unchecked_layers": []}, verbose=False)
    assert line == f"equal: yes, {shown}; --verbose shows the figures"


def test_figures_of_a_proof_that_failed_are_always_shown():
    layer = {"layer": "conv", "signs": 100, "wrong": 3, "near_threshold": 0, "worst": 0.5}
    values = {
        "equal": False,
        "layers": [layer],
        "unpoolings": [],
        "gates": [],
        "real_samples": True,
        "samples": 10,
        "logits_difference": 0.5,
        "argmax_agreement": 0.9,
        "output_difference": None,
        "scores_converted": {},
        "scores_trained": {},
        "unchecked_layers": [],
        "reasons": ["3 signs are wrong"],
        "warnings": [],
        "engine": "lce",
    }
    assert verification_lines(values, verbose=False) == verification_lines(values, verbose=True)
    assert verification_lines(values, verbose=False)[0] == "equal: NO"
    assert len(verification(values, verbose=False)) == len(verification(values, verbose=True))


def complete(folder: Path, *words: str) -> tuple[list[str], str]:
    """Return what bash is offered behind the words, and which heavy modules were imported for it."""
    code = (
        "import atexit, sys; heavy = {'tensorflow', 'larq', 'tf_keras', 'keras', 'matplotlib'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr))\n"
        "from larqnets.cli.main import main; main()"
    )
    asked = {
        "_LARQNETS_COMPLETE": "complete_bash",
        "COMP_WORDS": shlex.join(("larqnets", *words)),
        "COMP_CWORD": str(len(words)),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=os.environ | asked, capture_output=True, text=True, timeout=60
    )
    return done.stdout.split(), done.stderr.strip()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("train", "digits_i"), list_configs("digits_i*")),
        (("train", "runs/m"), ["runs/mine"]),
        (("train", "--runs", "else", "else/t"), ["else/theirs"]),
        (("evaluate", "runs/"), ["runs/mine"]),
        (("convert", "run"), ["runs/mine"]),
        (("summary", "birealn"), ["birealnet", *list_configs("birealn*")]),
        (("summary", "birealnet", "--backbone", "resnet1"), ["resnet18"]),
        (("evaluate", "runs/mine", "--dataset", "fold"), ["folder:"]),
        (("list", "conf"), ["configs"]),
        (("inspect", "dig"), ["digits"]),
        (("verif",), ["verify"]),
        (("data", "ch"), ["check"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_a_shell_is_offered_names_without_tensorflow(tmp_path, words, offered):
    for folder, name in (("runs", "mine"), ("else", "theirs")):
        Run.create(tmp_path / folder, name, load_config("digits"))
    assert complete(tmp_path, *words) == (offered, "[]")


def test_installed_completion_works_in_bash(tmp_path):
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/larqnets"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m larqnets.cli.main "$@"\n')
    program.chmod(0o755)
    environment = os.environ | {"HOME": str(tmp_path), "PATH": f"{program.parent}:{os.environ['PATH']}"}

    def bash(script: str) -> str:
        done = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "bash completion installed in" in bash("larqnets --install-completion; exit $?")
    script = (
        "source ~/.bashrc; COMP_WORDS=(larqnets train digits_ir); COMP_CWORD=2; "
        "_larqnets_completion larqnets; echo ${COMPREPLY[@]}"
    )
    assert bash(script).split() == list_configs("digits_ir*")
