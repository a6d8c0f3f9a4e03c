"""This machine: itself, where it is ARM64 Linux, and an emulated ARM64 on any other, functional only."""

import platform
import shutil
from pathlib import Path

from android_bench.devices.link import (
    OUTPUT_LIMIT,
    SHELL_PATIENCE_S,
    Bundle,
    Client,
    DeviceLostError,
    Output,
    framed,
    last_line,
    refused,
    unframed,
)
from android_bench.emulation.emulator import CPUS, described, qemu_command
from android_bench.record import Kind
from android_bench.runtime.bundle import cache_folder
from larqnets.errors import LarqnetsError


class Local:
    """This machine, ARM64 Linux."""

    kind: Kind = "local"
    bundle: Bundle = "arm64"

    def __init__(self) -> None:
        self.name, self.address = "local", ""
        self.emulator: str | None = None
        self.launcher: tuple[str, ...] = ()
        self.folder = str(cache_folder())
        self._client = Client()

    def open(self) -> None:
        """See that there is a shell."""
        if shutil.which("sh") is None:
            raise LarqnetsError("This machine has no POSIX shell. Measure a device with --device adb or ssh:HOST.")

    def shell(self, script: str, timeout_s: float = SHELL_PATIENCE_S, limit: int = OUTPUT_LIMIT) -> Output:
        """See Link."""
        try:
            done = self._client.run(["sh", "-c", framed(script)], timeout_s, limit=limit)
        except TimeoutError as error:
            raise DeviceLostError(
                f"This machine took more than {timeout_s:.0f} s. Stop what else runs on it."
            ) from error
        output = unframed(done.stdout)
        if output is None:
            raise LarqnetsError(f"sh failed on this machine: {last_line(done.stderr, done.stdout)}. Try it by hand.")
        return output

    def send(self, content: bytes, path: str) -> None:
        """See Link."""
        try:
            Path(path).write_bytes(content)
        except OSError as error:
            raise refused("this machine", path, error.strerror or str(error), len(content)) from error

    def abort(self) -> None:
        """See Link."""
        self._client.abort()

    def resume(self) -> None:
        """See Link."""
        self._client.resume()

    def close(self) -> None:
        """See Link."""


class Qemu(Local):
    """An ARM64 CPU that qemu emulates on this machine: its address says which."""

    kind: Kind = "qemu"

    def __init__(self, cpu: str = CPUS[0]) -> None:
        super().__init__()
        self.name, self.address = f"qemu:{cpu}", cpu
        self.emulator: str | None = f"qemu on {platform.machine()}"
        if described(cpu) != cpu:
            self.emulator += f" as {described(cpu)}"

    def open(self) -> None:
        """See that there is what runs ARM64 files here."""
        self.launcher = tuple(qemu_command(self.address))
        super().open()
