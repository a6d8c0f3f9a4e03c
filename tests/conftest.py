"""What all tests share: Keras 2, the command line as a fixture, one small trained and converted run, the skip policy.

Every skip is listed at the end with its reason; LARQNETS_NO_SKIP=1 (CI) turns each into a failure, but for the tests that
LARQNETS_MAY_SKIP names.
"""

import fcntl
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import pytest
from forked import Forked, Outcome

import larqnets

NO_SKIP = os.environ.get("LARQNETS_NO_SKIP") == "1"
MAY_SKIP = frozenset(
    os.environ.get("LARQNETS_MAY_SKIP", "").split()
)  # FILE::TEST, which need data that nobody may hand on
# Seconds of every file on an idle machine of two cores, by `make durations`.
DURATIONS = Path(__file__).parent / "durations.json"

# Keras' graphs and models are full of cycles and live as long as a test. Looking for rubbish among them at Python's usual
# pace costs a twentieth of the whole run.
gc.set_threshold(100_000, 50, 1000)

# A background process may have been started with these ignored, which every program in these tests would inherit.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


@dataclass(frozen=True)
class Demo:
    """A run of two epochs on the digits, converted with its twins; `folder` holds runs/."""

    folder: Path
    run: Path
    train: Outcome
    convert: Outcome

    @property
    def binary(self) -> Path:
        return self.run / "arm64" / "binary.tflite"


@pytest.fixture(scope="session")
def tfds_dir(tmp_path_factory) -> Path:
    """Where TFDS keeps its data in these tests; the user's home is left alone."""
    return tmp_path_factory.mktemp("tfds")


def _unproven(arguments: tuple[object, ...]) -> list[str]:
    """Return a command's arguments with the proof on ARM64 off, whether the runtime is built or not, unless it is named.

    Of a file that is converted already nothing is proven.
    """
    words = [*map(str, arguments)]
    named = any(word.endswith(("arm64-proof", ".tflite")) or word.startswith("model:") for word in words)
    proves = words[:1] in (["convert"], ["sweep"]) and not named
    return [*words, "--no-arm64-proof"] if proves else words


@pytest.fixture(scope="session")
def process(tfds_dir) -> Callable[..., Outcome]:
    """Run `larqnets ARGS` in a process of its own, in folder `cwd`."""

    def call(*args: object, cwd: Path) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "larqnets.cli.main", *_unproven(args)],
            cwd=cwd,
            env=os.environ | {"TFDS_DATA_DIR": str(tfds_dir)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return call


@pytest.fixture(scope="session")
def forked(tfds_dir) -> Callable[..., Outcome]:
    """As `process`, for what does not need to begin with a new interpreter: see forked.py."""

    def call(*args: object, cwd: Path) -> Outcome:
        return Forked(*_unproven(args), cwd=cwd, environment=os.environ | {"TFDS_DATA_DIR": str(tfds_dir)}).wait(300)

    return call


@pytest.fixture
def cli(monkeypatch, capfd, tmp_path, tfds_dir) -> Callable[..., Outcome]:
    """Run `larqnets ARGS` through its entry point in this process, which has TensorFlow already, in folder `tmp_path`."""
    from larqnets.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tfds_dir))

    def call(*args: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["larqnets", *_unproven(args)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        return Outcome(end.value.code or 0, out, err)

    return call


@pytest.fixture(scope="session")
def bundle() -> Generator[Path, None, None]:
    """The ARM64 runtime as `make native` builds it; LARQNETS_RUNTIME names it for this process and its children."""
    from android_bench.emulation import emulator
    from android_bench.runtime import bundle

    if (reason := emulator.missing()) is not None:
        pytest.skip(reason)
    try:
        built = Path(bundle.build(Path(__file__).parent.parent / "build")["arm64"])
    except larqnets.LarqnetsError as error:
        if "failed" in str(error):  # a compiler that is there and refuses is no skip
            raise
        pytest.skip(str(error))
    before = os.environ.get("LARQNETS_RUNTIME")
    os.environ["LARQNETS_RUNTIME"] = str(built)
    yield built
    os.environ.pop("LARQNETS_RUNTIME")
    if before is not None:
        os.environ["LARQNETS_RUNTIME"] = before


@pytest.fixture(scope="session")
def demo(tmp_path_factory, process) -> Demo:
    """Train and convert once for all tests, also for those of another worker of pytest-xdist; they must not change it."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, said = root / "demo", root / "demo.json"
    with (root / "demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not said.exists():
            shutil.rmtree(folder, ignore_errors=True)  # the other worker's attempt
            folder.mkdir()
            small = ("--set", "train.epochs=2", "--set", "model.width=1.0")
            trained = process("train", "digits", "--name", "demo", *small, "--json", cwd=folder)
            assert trained.code == 0, trained.err
            converted = process("convert", "runs/demo", "--twins", "--json", cwd=folder)
            assert converted.code == 0, converted.err
            said.write_text(json.dumps([trained, converted, _state_of(folder)]))
    trained, converted, _ = json.loads(said.read_text())
    return Demo(folder, folder / "runs" / "demo", Outcome(*trained), Outcome(*converted))


def _state_of(folder: Path) -> dict[str, list[int]]:
    """Return size and time of every file below a folder."""
    files = {path.relative_to(folder).as_posix(): path.stat() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: [file.st_size, file.st_mtime_ns] for name, file in files.items()}


@pytest.fixture(autouse=True)
def _the_demo_is_left_as_it_was(request) -> Generator[None, None, None]:
    """A test that changes the shared run breaks others, by chance of their order: it fails itself."""
    yield
    if "demo" in request.fixturenames:
        folder = request.getfixturevalue("demo").folder
        before = json.loads((folder.parent / "demo.json").read_text())[2]
        assert _state_of(folder) == before, "this test, or one beside it, changed the demo run: give it a copy"


def pytest_collection_modifyitems(items) -> None:
    """Put the files in the order in which `make test` gives them to its workers: long ones first, so that all end together.

    A file of which nothing is known yet comes before all of them.
    """
    seconds = json.loads(DURATIONS.read_text())
    items.sort(key=lambda item: -seconds.get(_file_of(item.nodeid), float("inf")))


def _file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def pytest_sessionfinish(session, exitstatus) -> None:
    """With LARQNETS_WRITE_DURATIONS=1, as in `make durations`: keep what every file took, over all workers, of a whole run."""
    whole = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and not session.shouldfail
    if os.environ.get("LARQNETS_WRITE_DURATIONS") != "1" or "PYTEST_XDIST_WORKER" in os.environ or not whole:
        return
    found: Counter[str] = Counter()
    for reports in session.config.pluginmanager.get_plugin("terminalreporter").stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                found[_file_of(report.nodeid)] += report.duration
    DURATIONS.write_text(json.dumps({file: round(found[file], 1) for file in sorted(found)}, indent=1) + "\n")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _without_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _without_skip((yield))


def _without_skip(report):
    """Return the report, a failure if it is a skip and skips are forbidden."""
    allowed = report.nodeid.partition("[")[0] in MAY_SKIP
    if NO_SKIP and report.skipped and not allowed and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"LARQNETS_NO_SKIP=1, but this was skipped: {_reason(report)}"
    return report


def pytest_terminal_summary(terminalreporter) -> None:
    skipped = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        skipped[_reason(report)].append(report.nodeid)
    if skipped:
        terminalreporter.section("checks skipped on this machine and why")
        for reason, tests in skipped.items():
            terminalreporter.write_line(reason)
            for test in tests:
                terminalreporter.write_line(f"    {test}")


def _reason(report) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")
