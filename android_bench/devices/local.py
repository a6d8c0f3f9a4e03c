"""This machine: on ARM64 Linux a device like any other, elsewhere the same files under qemu, functional only."""

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
from android_bench.emulation.emulator import qemu_command
from android_bench.record import Kind
from android_bench.runtime.bundle import cache_folder
from larqnets.errors import LarqnetsError, on_arm64_linux


class Local:
    """This machine."""

    kind: Kind = "local"
    address = ""
    name = "local"
    bundle: Bundle = "arm64"

    def __init__(self) -> None:
        self.emulator = None if on_arm64_linux() else f"qemu on {platform.machine()}"
        self.launcher: tuple[str, ...] = ()
        self.folder = str(cache_folder())
        self._client = Client()

    def open(self) -> None:
        """See that there is what runs ARM64 files here."""
        if self.emulator is not None:
            self.launcher = tuple(qemu_command())
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
