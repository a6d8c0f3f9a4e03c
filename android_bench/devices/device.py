"""A device to measure on, whatever link leads to it: what it is, our files in its cache folder, runs, states.

    FOLDER/larqnets-cache/runtime-DIGEST/     the runner and its libraries, addressed by the checksum of all of them
    FOLDER/larqnets-cache/SHA256.tflite, ...  models and inputs

FOLDER is /data/local/tmp on Android, ~/.cache on a board, or what LARQNETS_DEVICE_FOLDER names. Every file is written
beside, compared with its SHA-256 on the device, and renamed.
"""

import base64
import binascii
import contextlib
import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Protocol

from android_bench.devices.link import OUTPUT_LIMIT, DeviceLostError, Link, send_patience_s
from android_bench.devices.probe import PROBE, STATE, Facts, parse_facts, parse_state, unusable
from android_bench.record import Kind, State
from android_bench.runtime.bundle import RUNNER, read_runtime
from android_bench.runtime.runner import Report, parse_report
from larqnets.errors import LarqnetsError, excerpt
from larqnets.reporter import SILENT, Reporter

CACHE = "larqnets-cache"
RUN_PATIENCE_S = 600.0
_PID = "run.pid"
# Our names are runtime-DIGEST, SHA256.tflite, SHA256.N.npy and those of a run; what is called otherwise is somebody else's.
_CLEAN = r"""
for file in * .*; do
  case $file in .|..) continue;; esac
  [ -e "$file" ] || [ -L "$file" ] || continue  # a pattern that nothing matched
  name=${file%.part} stem= size=64 ours=
  case $name in
    run.pid|run.err|y.[0-9].npy|y.[0-9][0-9].npy|y.*.npy.writing) ours=yes;;
    runtime-*) stem=${name#runtime-} size=16;;
    *.tflite) stem=${name%.tflite};;
    *.npy) stem=${name%.npy} stem=${stem%.*};;
  esac
  if [ ${#stem} -eq $size ]; then
    case $stem in *[!0-9a-f]*) ;; *) ours=yes;; esac
  fi
  if [ "$ours" ]; then rm -rf "./$file" 2>&1 || exit 1; else echo "kept $file"; fi
done
"""


class RunnerError(LarqnetsError):
    """The runner could not do what it was asked with one model; others may well run."""


@dataclass(frozen=True)
class Installed:
    """The runtime in a device's cache: digest of its sources, name -> SHA-256 of its files, and the bytes just sent."""

    sources: str
    files: dict[str, str]
    sent: int


class Device(Protocol):
    """What a session needs of a device."""

    kind: Kind

    @property
    def name(self) -> str:
        """As in --device."""
        ...

    @property
    def address(self) -> str:
        """Serial, or user@host."""
        ...

    def open(self) -> None:
        """Connect, or connect again; raises LarqnetsError."""
        ...

    def probe(self) -> Facts:
        """Say what it is; raises LarqnetsError when the runtime cannot run there."""
        ...

    def push(self, files: Mapping[str, bytes]) -> Installed:
        """See to it that the runtime and `files` (name -> content) are in the cache, whole; says what the runtime is."""
        ...

    def run(self, arguments: Sequence[str], model: str, timeout_s: float = RUN_PATIENCE_S) -> Report:
        """Start the runner in the cache folder and return its report; raises RunnerError when it fails on `model`."""
        ...

    def pull(self, name: str, size: int) -> bytes:
        """Return a file of the cache of about `size` bytes."""
        ...

    def state(self, at_s: float) -> State:
        """Return its state now, which is `at_s` seconds after the session's start."""
        ...

    def abort(self) -> None:
        """End what is running, from another thread."""
        ...

    def close(self) -> None:
        """Disconnect and leave no process of ours there."""
        ...


class Board:
    """The device that a link leads to. `reporter` is told what is sent and how large it is."""

    def __init__(self, link: Link, reporter: Reporter = SILENT) -> None:
        self.link, self._reporter = link, reporter
        self.kind: Kind = link.kind
        self._runtime = ""
        self._running = False  # a runner, or one that was cut off

    @property
    def name(self) -> str:
        """As in --device, with the serial that was found."""
        return self.link.name

    @property
    def address(self) -> str:
        """Serial, or user@host."""
        return self.link.address

    @property
    def cache(self) -> str:
        """Our folder on the device."""
        return f"{self.link.folder}/{CACHE}"

    def open(self) -> None:
        """See Device."""
        self.link.open()
        self._stop_own()

    def facts(self) -> Facts:
        """Say what it is, whether or not it can be used."""
        facts = parse_facts(self.link.shell(PROBE).text)
        return dataclasses.replace(facts, emulator=self.link.emulator or facts.emulator)

    def probe(self) -> Facts:
        """See Device."""
        facts = self.facts()
        if self.link.emulator is None and (sentence := unusable(facts, self.name)) is not None:
            raise LarqnetsError(sentence)
        if self.link.shell(f"{self._find_runner()} && echo yes").text.strip() == "yes":
            raise LarqnetsError(
                f"Another session is measuring on {self.name}. Wait for it; if there is none, larqnets devices --clean "
                f"--device {self.name} ends what it left there."
            )
        return facts

    def push(self, files: Mapping[str, bytes]) -> Installed:
        """See Device."""
        runtime = read_runtime(self.link.bundle)
        sums = {name: _sha256(content) for name, content in runtime.files.items()}
        self._runtime = f"runtime-{_sha256(repr(sorted(sums.items())).encode())[:16]}"
        wanted = {f"{self._runtime}/{name}": content for name, content in runtime.files.items()} | dict(files)
        there = self._sums(list(wanted))
        missing = {path: content for path, content in wanted.items() if there.get(path) != _sha256(content)}
        sent = sum(map(len, missing.values()))
        if missing:
            self._reporter.stage(
                f"sending {len(missing)} files, {sent / 2**20:.1f} MiB, to {self.cache} on {self.name}"
            )
            self._send(missing)
        return Installed(runtime.sources, sums, sent)

    def _sums(self, paths: Sequence[str]) -> dict[str, str]:
        """Return path -> SHA-256 of those files of the cache that are there; makes the cache."""
        output = self.link.shell(
            f"mkdir -p {quote(f'{self.cache}/{self._runtime}')} 2>&1 && cd {quote(self.cache)} || exit 3\n"
            f"command -v sha256sum >/dev/null || exit 4\nsha256sum {' '.join(map(quote, paths))} 2>/dev/null\ntrue"
        )
        if output.code == 3:
            reason = excerpt(output.text).rpartition(": ")[2] or "it cannot be entered"
            raise LarqnetsError(
                f"{self.name} cannot keep our files in {self.cache}: {reason}. Make the folder writable, or name another "
                "one in LARQNETS_DEVICE_FOLDER."
            )
        if output.code == 4:
            raise LarqnetsError(
                f"{self.name} has no sha256sum. Install coreutils or busybox there; Android has it since 6."
            )
        return {path: sha256 for sha256, path in re.findall(r"^([0-9a-f]{64})  (.+)$", output.text, re.MULTILINE)}

    def _send(self, files: Mapping[str, bytes]) -> None:
        """Write files beside their places, compare what arrived, then rename them."""
        for path, content in files.items():
            self.link.send(content, f"{self.cache}/{path}.part")
        arrived = self._sums([f"{path}.part" for path in files])
        for path, content in files.items():
            if arrived.get(f"{path}.part") != _sha256(content):
                raise LarqnetsError(
                    f"{path.rpartition('/')[2]} arrived damaged on {self.name}. Try again; if it stays so, use another "
                    "cable and look whether the storage there is healthy."
                )
        names = " ".join(map(quote, files))
        done = self.link.shell(
            f"cd {quote(self.cache)} || exit 1\n"
            f'for file in {names}; do chmod 755 "$file.part" && mv -f "$file.part" "$file" || exit 1; done 2>&1'
        )
        if done.code != 0:
            raise LarqnetsError(
                f"{self.name} cannot finish our files in {self.cache}: {excerpt(done.text)}. Run: larqnets devices --clean"
            )

    def run(self, arguments: Sequence[str], model: str, timeout_s: float = RUN_PATIENCE_S) -> Report:
        """See Device. `arguments` name files of the cache as ../NAME."""
        command = " ".join(map(quote, [*self.link.launcher, f"./{RUNNER}", *arguments]))
        # In the background, so that its number is known to `close` when the connection breaks in between.
        self._running = True
        output = self.link.shell(
            f"cd {quote(f'{self.cache}/{self._runtime}')} || exit 125\n"
            f"{command} </dev/null 2>../run.err &\npid=$!\necho $pid >../{_PID}\nwait $pid\ncode=$?\nrm -f ../{_PID}\n"
            'echo "@@ err"\ncat ../run.err\nexit $code',
            timeout_s,
        )
        self._running = False
        said, _, err = output.text.partition("@@ err\n")
        if output.code != 0:
            raise self._failed(output.code, err, model)
        try:
            return parse_report(said)
        except LarqnetsError as error:
            raise LarqnetsError(f"{self.name}: {error} Run: larqnets devices --clean") from error

    def _failed(self, code: int, err: str, model: str) -> LarqnetsError:
        lines = [excerpt(line) for line in err.splitlines() if line.strip()] or ["it did not say why"]
        said = next((line for line in lines if line.startswith(f"{RUNNER}: ")), None)
        if code == 125:
            return DeviceLostError(f"Our files are gone from {self.cache} on {self.name}. Run the command again.")
        if code == 126 or (code == 127 and said is None):
            return LarqnetsError(
                f"{self.name} may not run programs in {self.cache} ({lines[-1].rpartition(': ')[2]}). Name a folder where it "
                "may, on a file system without noexec, in LARQNETS_DEVICE_FOLDER."
            )
        if code == 128 + 9:
            return RunnerError(
                f"{self.name} killed the runner while it ran {model}, most likely for want of memory. Close what else runs "
                "there, or measure a smaller model."
            )
        if code > 128:
            return RunnerError(
                f"The runner died on {self.name} while it ran {model} (signal {code - 128}). Convert it again."
            )
        reason = (said or lines[-1]).removeprefix(f"{RUNNER}: ")
        return RunnerError(f"{model} cannot be run on {self.name}: {reason}")

    def pull(self, name: str, size: int) -> bytes:
        """See Device. Through the shell, in base64: for small files."""
        output = self.link.shell(
            f"cd {quote(self.cache)} && base64 {quote(name)} && sha256sum {quote(name)}",
            send_patience_s(size),
            OUTPUT_LIMIT + 3 * size // 2,
        )
        *lines, last = output.text.splitlines() or [""]
        try:
            content = base64.b64decode("".join(lines), validate=True)
        except binascii.Error:
            content = b""
        if output.code != 0 or last.partition(" ")[0] != _sha256(content):
            raise LarqnetsError(f"{name} cannot be read back from {self.name}. Run the command again.")
        return content

    def state(self, at_s: float) -> State:
        """See Device."""
        return parse_state(self.link.shell(STATE).text, at_s)

    def cache_bytes(self) -> int:
        """Return the size of the cache folder, in whole KiB."""
        output = self.link.shell(f"du -sk {quote(self.cache)} 2>/dev/null")
        size = output.text.partition("\t")[0].strip()
        return 1024 * int(size) if size.isdecimal() else 0

    def clean(self) -> tuple[int, list[str]]:
        """Remove what we put into the cache folder, and the folder; returns the bytes and the names of others' files that stay."""
        size = self.cache_bytes()
        self.stop_runner()
        done = self.link.shell(f"[ -d {quote(self.cache)} ] || exit 0\ncd {quote(self.cache)} || exit 1\n{_CLEAN}")
        if done.code != 0:
            raise LarqnetsError(f"{self.name} cannot remove {self.cache}: {excerpt(done.text)}. Remove it by hand.")
        kept = [line.removeprefix("kept ") for line in done.text.splitlines() if line.startswith("kept ")]
        if not kept:
            self.link.shell(f"rmdir {quote(self.cache)} 2>/dev/null")
        return size - self.cache_bytes(), kept

    def _find_runner(self) -> str:
        """Return shell that succeeds, with its number in $pid, when a runner that was started from here is alive."""
        file = quote(f"{self.cache}/{_PID}")
        return f"[ -f {file} ] && pid=$(cat {file}) && grep -q {RUNNER} /proc/$pid/cmdline 2>/dev/null"

    def stop_runner(self) -> None:
        """End a runner that a broken connection or Ctrl-C left behind."""
        self.link.shell(f"{self._find_runner()} && kill $pid\nrm -f {quote(f'{self.cache}/{_PID}')}")
        self._running = False

    def _stop_own(self) -> None:
        if self._running:
            self.stop_runner()

    def abort(self) -> None:
        """See Device."""
        self.link.abort()

    def close(self) -> None:
        """See Device."""
        self.link.resume()
        with contextlib.suppress(LarqnetsError):  # the device may be gone, and the runner ends by itself
            self._stop_own()
        self.link.close()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
